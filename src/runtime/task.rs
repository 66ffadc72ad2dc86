//! A task with one owner: awaiting it gives its value, dropping it cancels it, a panic in it stays in it.

use crate::runtime::shard;
use futures::FutureExt;
use std::{
    any::Any,
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

/// A running task. Dropping it cancels the task at its next await, soon and asynchronously; there is no detach.
#[must_use = "a dropped task is cancelled"]
pub struct Task<T> {
    task: async_task::Task<Result<T, Panicked>>,
}

/// The task panicked; holds the panic's message.
#[derive(Debug)]
pub struct Panicked(String);

/// Begins a task of this thread's shard.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    Task { task: shard::spawn(contain(future)) }
}

/// Lets every other task that is ready run first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs `future`; a panic in it becomes a value.
pub fn contain<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // What the future borrowed is not looked at again by it: a panic drops it.
    AssertUnwindSafe(future).catch_unwind().map(|end| end.map_err(|panic| Panicked::new(&*panic)))
}

impl<T> Future for Task<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.poll_unpin(context)
    }
}

impl Panicked {
    pub(super) fn new(panic: &(dyn Any + Send)) -> Self {
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
    use futures::channel::oneshot;

    #[test]
    fn a_panic_reaches_the_owner_as_a_value() {
        let end: Result<(), Panicked> =
            shard::run(async { spawn(async { panic!("on purpose") }).await }).unwrap();
        assert_eq!(end.unwrap_err().to_string(), "internal fault: on purpose");
    }

    #[test]
    fn a_dropped_task_drops_its_future() {
        let (sender, receiver) = oneshot::channel::<()>();
        let told = shard::run(async {
            let task = spawn(async move {
                let _held = sender;
                std::future::pending::<()>().await;
            });
            drop(task);
            receiver.await
        });
        assert!(told.unwrap().is_err());
    }
}
