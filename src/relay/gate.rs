//! The gate of a direction: all that its half-loops have to heed, in one word. [`crate::relay::direction`] shows the chunks
//! to the watchers, [`crate::relay::leg`] ends a stream that is to finish, and [`crate::relay::link`] passes through a chain
//! what something acts on.
//!
//! An open gate costs one relaxed load a chunk, and the relay splices. With a watcher, a chain or an act the direction
//! copies; it splices again once its watchers and its chain are gone; an act stays.

use crate::relay::link::Parcel;
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::{Context, Poll},
};

/// The stream is to end after what its sender's leg has received.
const FINISHING: u32 = 1 << 31;
/// The stream is to be in memory for as long as it lasts: its receiver cannot take pipes.
const COPIED: u32 = 1 << 30;
/// A chain acts on the stream, or is to.
const CHAINED: u32 = 1 << 29;
/// The chain holds what the receiver might take: that this gets nothing is not its doing.
const HELD: u32 = 1 << 28;

/// What acts on the stream of a direction, between its link and the half-loop that writes.
pub trait Chain {
    /// Whether it takes another parcel.
    fn takes(&self) -> bool;

    /// Takes the next parcel; none: the stream was aborted. That and `Fin` are the last.
    fn take(&mut self, parcel: Option<Parcel>);

    /// The next parcel that passes; none: the stream is aborted. Before it waits it has done all that it can with what it
    /// took.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Parcel>>;

    /// It holds nothing, and nothing is left that acts.
    fn is_over(&self) -> bool;
}

/// What makes the chain of a direction once that is needed, where the direction is written.
pub trait Chains: Send + Sync {
    /// None: nothing acts on it any more.
    fn chain(&self) -> Option<Box<dyn Chain>>;

    /// Whether something is to act on the stream.
    fn act(&self) -> bool;
}

/// What stands at the gate, in one word: the watchers in its low bits, the rest above them.
#[derive(Default)]
pub struct Gate {
    word: AtomicU32,
}

impl Gate {
    /// Whether the stream passes without being looked at.
    pub fn is_open(&self) -> bool {
        self.word.load(Relaxed) == 0
    }

    /// Whether the stream is to end after what its sender's leg has received.
    pub fn finishes(&self) -> bool {
        self.word.load(Relaxed) & FINISHING != 0
    }

    /// Ends the stream after what its sender's leg has received. The half-loop that reads it must be woken to see this.
    pub fn finish(&self) {
        self.word.fetch_or(FINISHING, Relaxed);
    }

    /// From now on every chunk is in memory.
    pub fn copy(&self) {
        self.word.fetch_or(COPIED, Relaxed);
    }

    /// Whether a chain acts on the stream.
    pub fn is_chained(&self) -> bool {
        self.word.load(Relaxed) & CHAINED != 0
    }

    /// Whether what waits is held by the chain: not the receiver is what it waits for.
    pub fn is_held(&self) -> bool {
        self.word.load(Relaxed) & HELD != 0
    }

    pub(super) fn set_chained(&self, is_chained: bool) {
        self.set(CHAINED, is_chained);
    }

    pub(super) fn set_held(&self, is_held: bool) {
        self.set(HELD, is_held);
    }

    fn set(&self, bit: u32, is_set: bool) {
        if is_set {
            self.word.fetch_or(bit, Relaxed);
        } else {
            self.word.fetch_and(!bit, Relaxed);
        }
    }

    pub(super) fn add_watcher(&self) {
        self.word.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_watcher(&self) {
        self.word.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_open_again_once_its_watchers_are_gone() {
        let gate = Gate::default();
        gate.add_watcher();
        gate.add_watcher();
        gate.remove_watcher();
        assert!(!gate.is_open());
        gate.remove_watcher();
        assert!(gate.is_open() && !gate.finishes());
        gate.finish();
        assert!(!gate.is_open() && gate.finishes());
    }
}
