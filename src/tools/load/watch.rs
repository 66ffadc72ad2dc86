//! A limit on each client's operation, without a timer for each: a sweep now and then looks at since when each is busy.

use crate::tools::load::failure::Failure;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

#[derive(Default)]
pub(super) struct Watch {
    /// Since when it waits for its peer; none if it does not wait.
    since: Cell<Option<Instant>>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// From now on the client waits for its peer.
    pub fn begin(&self, now: Instant) {
        self.since.set(Some(now));
    }

    pub fn end(&self) {
        self.since.set(None);
    }

    pub fn is_busy(&self) -> bool {
        self.since.get().is_some()
    }

    /// Ends the client's wait if it has taken longer than `limit`.
    pub fn sweep(&self, now: Instant, limit: Duration) {
        let late = |since: Instant| now.saturating_duration_since(since) > limit;
        if self.since.get().is_some_and(late) {
            self.since.set(None);
            self.expired.set(true);
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Plays `client` until it ends or a wait of it took too long.
    pub async fn over<T>(&self, client: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut client = pin!(client);
        poll_fn(|context| {
            if self.expired.take() {
                return Poll::Ready(Err(Failure::TimedOut));
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            drop(waker);
            client.as_mut().poll(context)
        })
        .await
    }
}
