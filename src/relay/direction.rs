//! The counters of one direction of a session: written by the half-loops, read by whoever looks.

use crate::runtime::clock::coarse_ms;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Numbers the ends of streams, so that it can be told which of two in one tick of the clock came first.
static ENDS: AtomicU64 = AtomicU64::new(1);
/// The low bits of an end's number count ends, the others hold its milliseconds: a million ends in one tick.
const ENDS_BITS: u32 = 20;

/// What one direction has moved, and when it last did.
#[derive(Debug)]
pub struct Flow {
    received: AtomicU64,
    delivered: AtomicU64,
    /// When a byte or the end last moved, in milliseconds of the coarse clock.
    moved_ms: AtomicU64,
    /// Since when bytes wait that nobody took; meaningful while some wait.
    waiting_since_ms: AtomicU64,
    /// The number of its end, which holds its moment; 0 while it goes on.
    end: AtomicU64,
    /// Bytes that the receiver's queue in our kernel held when it was reset.
    lost: AtomicU64,
}

impl Flow {
    /// A direction that begins now.
    #[must_use]
    pub fn new() -> Self {
        let now = coarse_ms();
        Flow {
            received: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            moved_ms: AtomicU64::new(now),
            waiting_since_ms: AtomicU64::new(now),
            end: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Notes that `count` bytes came from the sender.
    pub fn add_received(&self, count: usize) {
        let now = coarse_ms();
        if self.waiting() == 0 {
            self.waiting_since_ms.store(now, Relaxed);
        }
        self.received.fetch_add(count as u64, Relaxed);
        self.moved_ms.store(now, Relaxed);
    }

    /// Notes that our kernel took `count` bytes for the receiver.
    pub fn add_delivered(&self, count: usize) {
        let now = coarse_ms();
        self.delivered.fetch_add(count as u64, Relaxed);
        self.waiting_since_ms.store(now, Relaxed);
        self.moved_ms.store(now, Relaxed);
    }

    /// Notes that the sender ended its stream.
    pub fn set_ended(&self) {
        let now = coarse_ms();
        let count = ENDS.fetch_add(1, Relaxed) % (1 << ENDS_BITS);
        self.end.store(now << ENDS_BITS | count, Relaxed);
        self.moved_ms.store(now, Relaxed);
    }

    /// Notes that `count` bytes that our kernel had taken for the receiver went with its connection.
    pub fn set_lost(&self, count: u64) {
        self.lost.store(count, Relaxed);
    }

    /// Bytes received that never reached the receiver's kernel, as far as that is known, once the session has ended.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.waiting() + self.lost.load(Relaxed)
    }

    /// Bytes received from the sender.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes handed to our kernel for the receiver.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Bytes received and not delivered.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.received().saturating_sub(self.delivered())
    }

    /// Whether the sender ended its stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.end().is_some()
    }

    /// The number of the stream's end among all ends of the process, where it ended.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        Some(self.end.load(Relaxed)).filter(|number| *number > 0)
    }

    /// When the stream ended, in milliseconds of [`coarse_ms`], where it did.
    #[must_use]
    pub fn ended_ms(&self) -> Option<u64> {
        self.end().map(|number| number >> ENDS_BITS)
    }

    /// When a byte or the end last moved, in milliseconds of [`coarse_ms`].
    #[must_use]
    pub fn moved_ms(&self) -> u64 {
        self.moved_ms.load(Relaxed)
    }

    /// Since when bytes wait for a receiver that takes none, in milliseconds of [`coarse_ms`].
    #[must_use]
    pub fn waiting_since_ms(&self) -> Option<u64> {
        (self.waiting() > 0).then(|| self.waiting_since_ms.load(Relaxed))
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_until_they_are_delivered() {
        let flow = Flow::new();
        assert_eq!(flow.waiting_since_ms(), None);
        flow.add_received(10);
        assert!(flow.waiting_since_ms().is_some());
        flow.add_delivered(4);
        assert_eq!((flow.received(), flow.delivered(), flow.waiting()), (10, 4, 6));
        flow.add_delivered(6);
        assert_eq!(flow.waiting_since_ms(), None);
    }
}
