//! A latch: raised once, from anywhere; one task awaits it.

use futures::task::AtomicWaker;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

/// A flag that stays up once it is raised, and the one task that waits for it.
#[derive(Default)]
pub struct Latch {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Latch {
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Lets the task that waits look again, whether or not the flag is up.
    pub fn nudge(&self) {
        self.waker.wake();
    }

    pub fn poll_raised(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.raised.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}
