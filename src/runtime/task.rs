//! A task with one owner: awaiting it gives its value, dropping it cancels it, a panic in it stays in it.

use async_std::task::JoinHandle;
use futures::FutureExt;
use pin_project_lite::pin_project;
use std::{
    any::Any,
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

/// A running task. Dropping it cancels the task at its next await, soon and asynchronously; there is no detach.
#[must_use = "a dropped task is cancelled"]
pub struct Task<T> {
    handle: Option<JoinHandle<Result<T, Panicked>>>,
}

/// The task panicked; holds the panic's message.
#[derive(Debug)]
pub struct Panicked(String);

pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task { handle: Some(async_std::task::spawn(Counted { future: contain(future) })) }
}

/// How often any task was polled, ever. A task that yields and finds that only its own poll was added knows that no other
/// task had anything to do.
static POLLS: AtomicU64 = AtomicU64::new(0);

pub(super) fn polls() -> u64 {
    POLLS.load(Ordering::Relaxed)
}

pin_project! {
    struct Counted<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        POLLS.fetch_add(1, Ordering::Relaxed);
        self.project().future.poll(context)
    }
}

/// Runs `future`; a panic in it becomes a value.
pub fn contain<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // What the future borrowed is not looked at again by it: a panic drops it.
    AssertUnwindSafe(future).catch_unwind().map(|end| end.map_err(|panic| Panicked::new(&*panic)))
}

impl<T> Future for Task<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.as_mut().expect("the handle is taken only by drop").poll_unpin(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // The first poll of `cancel` marks the task; the executor then drops its future.
            let _ = handle.cancel().now_or_never();
        }
    }
}

impl Panicked {
    fn new(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Panicked(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "internal fault: {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{channel::oneshot, executor::block_on};

    #[test]
    fn a_panic_reaches_the_owner_as_a_value() {
        let task = spawn(async { panic!("on purpose") });
        let end: Result<(), Panicked> = block_on(task);
        assert_eq!(end.unwrap_err().to_string(), "internal fault: on purpose");
    }

    #[test]
    fn a_dropped_task_drops_its_future() {
        let (sender, receiver) = oneshot::channel::<()>();
        let task = spawn(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(block_on(receiver).is_err());
    }
}
