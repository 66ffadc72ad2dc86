//! A latch: raised once; one task of the same shard awaits it.

use crate::runtime::waker::WakerCell;
use std::{
    cell::Cell,
    task::{Context, Poll},
};

/// A flag that stays up once it is raised, and the one task that waits for it.
#[derive(Default)]
pub struct Latch {
    raised: Cell<bool>,
    waker: WakerCell,
}

impl Latch {
    pub fn raise(&self) {
        self.raised.set(true);
        self.waker.wake();
    }

    /// Lets the task that waits look again, whether or not the flag is up.
    pub fn nudge(&self) {
        self.waker.wake();
    }

    pub fn poll_raised(&self, context: &Context<'_>) -> Poll<()> {
        if self.raised.get() {
            return Poll::Ready(());
        }
        self.waker.register(context);
        Poll::Pending
    }
}
