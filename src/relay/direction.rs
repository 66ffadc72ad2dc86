//! One direction of a session: its counters, its end, its gate, and those who watch it. The half-loops write it.

use crate::{
    relay::gate::Gate,
    runtime::clock::{coarse_ms, now_ns},
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

const NS_PER_MS: u64 = 1_000_000;

/// What one direction has moved, when it last did, and who watches it.
#[derive(Debug)]
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
    /// Boxed: most sessions never need it.
    rare: OnceLock<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    watchers: Mutex<Vec<Arc<dyn Watch>>>,
    /// Bytes that the receiver's queue in our kernel held when it was reset.
    lost: AtomicU64,
}

/// A watcher of one direction. It must not wait.
pub trait Watch: Send + Sync {
    /// Shows a chunk that begins `offset` bytes into the stream.
    fn show(&self, offset: u64, bytes: &[u8]);
}

impl Direction {
    /// A direction that begins now.
    #[must_use]
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
            rare: OnceLock::new(),
        }
    }

    /// Notes that `bytes` came from the sender, and shows them to the watchers.
    pub fn receive(&self, bytes: &[u8]) {
        if !self.gate.is_open() {
            self.show(bytes);
        }
        self.add_received(bytes.len());
    }

    fn show(&self, bytes: &[u8]) {
        let Some(rare) = self.rare.get() else { return };
        for watcher in &*rare.watchers() {
            watcher.show(self.received(), bytes);
        }
    }

    /// Notes that `count` bytes came from the sender.
    pub fn add_received(&self, count: usize) {
        let now = coarse_ms();
        if self.waiting() == 0 {
            self.waiting_since_ms.store(now, Relaxed);
        }
        if self.received.fetch_add(count as u64, Relaxed) == 0 {
            self.first_ns.store(now_ns(), Relaxed);
        }
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
        self.end_ns.store(now_ns(), Relaxed);
        self.moved_ms.store(coarse_ms(), Relaxed);
    }

    /// Notes that `count` bytes that our kernel had taken for the receiver went with its connection.
    pub fn set_lost(&self, count: u64) {
        if count > 0 {
            self.rare.get_or_init(Box::default).lost.store(count, Relaxed);
        }
    }

    /// From now on `watcher` is shown every chunk, until [`Direction::unwatch`].
    pub fn watch(&self, watcher: Arc<dyn Watch>) -> Weak<dyn Watch> {
        let weak = Arc::downgrade(&watcher);
        self.rare.get_or_init(Box::default).watchers().push(watcher);
        self.gate.add_watcher();
        weak
    }

    /// Takes a watcher off, if it is there.
    pub fn unwatch(&self, watcher: &Weak<dyn Watch>) {
        let Some(rare) = self.rare.get() else { return };
        let mut watchers = rare.watchers();
        if let Some(at) = watchers.iter().position(|there| Weak::ptr_eq(&Arc::downgrade(there), watcher)) {
            watchers.swap_remove(at);
            self.gate.remove_watcher();
        }
    }

    /// Bytes that never reached the receiver's kernel, as far as that is known, once the session has ended.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.waiting() + self.rare.get().map_or(0, |rare| rare.lost.load(Relaxed))
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

    /// When the first byte came, in nanoseconds of [`now_ns`].
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        Some(self.first_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    /// Whether the sender ended its stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.end_ns().is_some()
    }

    /// When the sender ended its stream, in nanoseconds of [`now_ns`]; that orders the ends of one session.
    #[must_use]
    pub fn end_ns(&self) -> Option<u64> {
        Some(self.end_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    /// When the sender ended its stream, in milliseconds of [`coarse_ms`].
    #[must_use]
    pub fn ended_ms(&self) -> Option<u64> {
        self.end_ns().map(|ns| ns / NS_PER_MS)
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

impl Default for Direction {
    fn default() -> Self {
        Self::new()
    }
}

impl Rare {
    fn watchers(&self) -> MutexGuard<'_, Vec<Arc<dyn Watch>>> {
        // Every change under the lock is one call.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} watchers", self.watchers().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread::sleep, time::Duration};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(u64, Vec<u8>)>>);

    impl Watch for Seen {
        fn show(&self, offset: u64, bytes: &[u8]) {
            self.0.lock().unwrap().push((offset, bytes.to_vec()));
        }
    }

    #[test]
    fn what_waits_is_what_was_received_and_not_delivered() {
        let direction = Direction::new();
        assert_eq!((direction.waiting_since_ms(), direction.first_ns()), (None, None));
        direction.add_received(5);
        assert!(direction.waiting_since_ms().is_some() && direction.first_ns().is_some());
        direction.add_delivered(3);
        assert_eq!(direction.waiting(), 2);
        direction.set_lost(4);
        assert_eq!(direction.undelivered(), 6);
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
        assert!(!direction.ended() && direction.ended_ms().is_none());
        let (began, before) = (direction.moved_ms(), now_ns());
        sleep(Duration::from_millis(30));
        direction.set_ended();
        let ended = direction.end_ns().unwrap();
        assert!(direction.ended() && ended > before && ended <= now_ns());
        // The coarse clock lags by a tick at most.
        assert!(
            direction.moved_ms() > began
                && direction.ended_ms().unwrap().abs_diff(direction.moved_ms()) <= 20
        );
    }

    #[test]
    fn a_watcher_is_shown_what_comes_between_its_coming_and_its_going() {
        let (direction, seen) = (Direction::new(), Arc::new(Seen::default()));
        direction.receive(b"before");
        let watcher = direction.watch(seen.clone());
        direction.receive(b"while");
        direction.unwatch(&watcher);
        direction.unwatch(&watcher);
        direction.receive(b"after");
        assert_eq!(*seen.0.lock().unwrap(), [(6, b"while".to_vec())]);
        assert!(direction.gate.is_open());
    }
}
