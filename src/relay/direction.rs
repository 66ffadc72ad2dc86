//! One direction of a session: what it has moved, when, and its gate. The half-loops write it.

use crate::{
    relay::gate::Gate,
    runtime::clock::{coarse_ms, now_ns},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub struct Direction {
    received: AtomicU64,
    delivered: AtomicU64,
    /// When a byte or the end last moved, in milliseconds of the coarse clock.
    moved_ms: AtomicU64,
    /// Since when bytes wait that the receiver does not take; meaningful while some wait.
    waiting_since_ms: AtomicU64,
    /// When the first byte came, in nanoseconds of the monotonic clock; 0 before.
    first_ns: AtomicU64,
    /// When the sender ended its stream, in nanoseconds of the monotonic clock; 0 while it goes on.
    end_ns: AtomicU64,
    /// Where the stream is watched and acted on.
    pub gate: Gate,
}

/// Both directions as a leg sees them.
#[derive(Clone, Copy)]
pub struct Ways<'a> {
    /// What the leg's peer sends.
    pub incoming: &'a Direction,
    /// What the leg's peer is sent.
    pub outgoing: &'a Direction,
}

impl Direction {
    #[expect(clippy::new_without_default, reason = "it begins at this instant: no two are the same")]
    pub fn new() -> Self {
        let now = coarse_ms();
        Direction {
            received: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            moved_ms: AtomicU64::new(now),
            waiting_since_ms: AtomicU64::new(now),
            first_ns: AtomicU64::new(0),
            end_ns: AtomicU64::new(0),
            gate: Gate::default(),
        }
    }

    /// Notes that `bytes` came from the sender, and shows them to the watchers.
    pub fn note_received(&self, bytes: &[u8]) {
        self.gate.show(self.received(), bytes);
        self.add_received(bytes.len());
    }

    /// Notes that `count` bytes came from the sender.
    pub fn add_received(&self, count: usize) {
        let now = coarse_ms();
        if self.waiting() == 0 {
            self.waiting_since_ms.store(now, Relaxed);
        }
        if add(&self.received, count) == 0 {
            self.first_ns.store(now_ns(), Relaxed);
        }
        self.moved_ms.store(now, Relaxed);
    }

    /// Notes that our kernel took `count` bytes for the receiver.
    pub fn add_delivered(&self, count: usize) {
        let now = coarse_ms();
        add(&self.delivered, count);
        self.waiting_since_ms.store(now, Relaxed);
        self.moved_ms.store(now, Relaxed);
    }

    /// Notes that the sender ended its stream.
    pub fn set_ended(&self) {
        self.end_ns.store(now_ns(), Relaxed);
        self.moved_ms.store(coarse_ms(), Relaxed);
        self.gate.show_end();
    }

    /// Whether a chain holds what the receiver might take. From the instant at which it does not, the receiver is waited for.
    pub fn set_held(&self, is_held: bool) {
        if self.gate.is_held() != is_held {
            self.moved_ms.store(coarse_ms(), Relaxed);
            self.waiting_since_ms.store(coarse_ms(), Relaxed);
            self.gate.set_held(is_held);
        }
    }

    /// A number that stands still only while the direction's peers do.
    pub fn motion(&self) -> u64 {
        if self.gate.is_held() { coarse_ms() } else { self.received().wrapping_add(self.delivered()) }
    }

    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes that our kernel took for the receiver.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Bytes received and not delivered.
    pub fn waiting(&self) -> u64 {
        self.received().saturating_sub(self.delivered())
    }

    /// When the first byte came, in nanoseconds of [`now_ns`].
    pub fn first_ns(&self) -> Option<u64> {
        Some(self.first_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    pub fn ended(&self) -> bool {
        self.end_ns().is_some()
    }

    /// When the sender ended its stream, in nanoseconds of [`now_ns`]; that orders the ends of one session.
    pub fn end_ns(&self) -> Option<u64> {
        Some(self.end_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    /// When a byte or the end last moved, in milliseconds of [`coarse_ms`].
    pub fn moved_ms(&self) -> u64 {
        self.moved_ms.load(Relaxed)
    }

    /// Since when bytes wait for a receiver that takes none, in milliseconds of [`coarse_ms`]: if a chain holds them, since now.
    pub fn waiting_since_ms(&self) -> Option<u64> {
        let since = || if self.gate.is_held() { coarse_ms() } else { self.waiting_since_ms.load(Relaxed) };
        (self.waiting() > 0).then(since)
    }
}

/// Adds to a number that only its shard writes, and others read: that takes no lock of the bus. Says what it was.
fn add(number: &AtomicU64, count: usize) -> u64 {
    let before = number.load(Relaxed);
    number.store(before.wrapping_add(count as u64), Relaxed);
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread::sleep, time::Duration};

    #[test]
    fn what_waits_is_what_was_received_and_not_delivered() {
        let direction = Direction::new();
        assert_eq!((direction.waiting_since_ms(), direction.first_ns()), (None, None));
        direction.add_received(5);
        assert!(direction.waiting_since_ms().is_some() && direction.first_ns().is_some());
        direction.add_delivered(3);
        assert_eq!(direction.waiting(), 2);
    }

    #[test]
    fn bytes_wait_from_when_the_first_of_them_comes_or_the_last_was_taken() {
        const PAUSE: Duration = Duration::from_millis(30);
        let direction = Direction::new();
        let began = direction.moved_ms();
        sleep(PAUSE);
        direction.add_received(5);
        let since = direction.waiting_since_ms().unwrap();
        assert!(since > began && direction.moved_ms() == since);
        sleep(PAUSE);
        direction.add_received(5);
        assert_eq!(direction.waiting_since_ms(), Some(since));
        assert!(direction.moved_ms() > since);
        direction.add_delivered(1);
        assert!(direction.waiting_since_ms().unwrap() > since);
    }

    #[test]
    fn an_end_is_a_move_and_has_its_time_on_both_clocks() {
        let direction = Direction::new();
        assert!(!direction.ended() && direction.end_ns().is_none());
        let (began, before) = (direction.moved_ms(), now_ns());
        sleep(Duration::from_millis(30));
        direction.set_ended();
        let ended = direction.end_ns().unwrap();
        assert!(direction.ended() && ended > before && ended <= now_ns());
        // The coarse clock lags by a tick at most.
        assert!(direction.moved_ms() > began && (ended / 1_000_000).abs_diff(direction.moved_ms()) <= 20);
    }
}
