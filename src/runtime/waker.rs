//! A place for the waker of the one task of this shard that waits for something.

use std::{
    cell::Cell,
    task::{Context, Waker},
};

/// The task that waits, if one does.
#[derive(Default)]
pub struct WakerCell(Cell<Option<Waker>>);

impl WakerCell {
    /// The task of `context` waits from now on, in place of any other.
    pub fn register(&self, context: &Context<'_>) {
        let waker = self.0.take().filter(|waker| waker.will_wake(context.waker()));
        self.0.set(Some(waker.unwrap_or_else(|| context.waker().clone())));
    }

    /// Wakes the task that waits, once.
    pub fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Wakes the task that waits; it goes on waiting.
    pub fn wake_and_keep(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake_by_ref();
            self.0.set(Some(waker));
        }
    }
}
