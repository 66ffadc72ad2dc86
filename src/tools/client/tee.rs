//! Bytes on their way to a library, kept for printing as well. Bounded: the reader waits while the printer is behind.

use futures::task::AtomicWaker;
use std::{
    future::poll_fn,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// Reading waits while this much is not yet taken for printing; one read may add as much again.
const HELD_BYTES: usize = 64 * 1024;

/// Holds what was read until it is printed.
#[derive(Default)]
pub struct Tee {
    state: Mutex<State>,
    filled: AtomicWaker,
    taken: AtomicWaker,
}

#[derive(Default)]
struct State {
    held: Vec<u8>,
    closed: bool,
}

impl Tee {
    /// Ready when more may be read.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        self.taken.register(context.waker());
        if self.lock().held.len() < HELD_BYTES { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Holds a copy of what was read.
    pub fn push(&self, bytes: &[u8]) {
        self.lock().held.extend_from_slice(bytes);
        self.filled.wake();
    }

    /// Nothing more will be read.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.wake();
    }

    /// Whether nothing waits to be printed.
    pub fn is_empty(&self) -> bool {
        self.lock().held.is_empty()
    }

    /// All that is held; waits for some, and is none after the last. Cancel-safe.
    pub async fn next(&self) -> Option<Vec<u8>> {
        poll_fn(|context| {
            self.filled.register(context.waker());
            let mut state = self.lock();
            if !state.held.is_empty() {
                let held = mem::take(&mut state.held);
                drop(state);
                self.taken.wake();
                return Poll::Ready(Some(held));
            }
            if state.closed { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, executor::block_on, task::noop_waker};

    #[test]
    fn a_reader_waits_for_the_printer() {
        let tee = Tee::default();
        let waker = noop_waker();
        let context = Context::from_waker(&waker);
        tee.push(&[b'a'; HELD_BYTES - 1]);
        assert!(tee.poll_room(&context).is_ready());
        tee.push(b"bc");
        assert!(tee.poll_room(&context).is_pending());
        assert_eq!(block_on(tee.next()).unwrap().len(), HELD_BYTES + 1);
        assert!(tee.poll_room(&context).is_ready() && tee.is_empty());
    }

    #[test]
    fn the_last_bytes_come_before_the_end() {
        let tee = Tee::default();
        assert!(tee.next().now_or_never().is_none());
        tee.push(b"a");
        tee.close();
        assert_eq!(block_on(tee.next()), Some(b"a".to_vec()));
        assert_eq!(block_on(tee.next()), None);
    }
}
