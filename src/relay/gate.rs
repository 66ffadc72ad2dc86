//! The gate of a direction: all that its half-loops have to heed, in one word. [`crate::relay::direction`] shows the chunks
//! to the watchers, and [`crate::relay::leg`] ends a stream that is to finish.
//!
//! An open gate costs one relaxed load a chunk, and the relay splices. With a watcher or an act the direction copies; it
//! splices again once its watchers are gone; an act stays.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The stream is to end after what its sender's leg has received.
const FINISHING: u32 = 1 << 31;
/// The stream is to be in memory for as long as it lasts: its receiver cannot take pipes.
const COPIED: u32 = 1 << 30;

/// What stands at the gate, in one word: the watchers in its low bits, the acts above them.
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
