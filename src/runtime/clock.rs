//! One clock for every deadline of the process: an ordered list of sleepers and one timer of the runtime. A thread that
//! waits for its events itself ([`super::inline`]) has one of its own.
//!
//! Every arming of a timer of async-io wakes its reactor, which costs a system call and often a change of threads. Here a
//! sleeper costs a list entry; the runtime's timer moves only when a sleeper comes that is due before all others.

use crate::runtime::task::{self, Task};
use futures::{
    future::{Either, select},
    task::AtomicWaker,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

static CLOCK: LazyLock<Arc<Clock>> = LazyLock::new(Arc::default);

thread_local! {
    /// The clock of a thread that wakes only its own sleepers.
    static OWN: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Clock {
    sleepers: Mutex<Sleepers>,
    /// Wakes the clock's task when a sleeper comes that is due before `armed`.
    earlier: AtomicWaker,
}

#[derive(Default)]
struct Sleepers {
    due: BTreeMap<(Instant, u64), Arc<Sleeper>>,
    /// When the runtime's timer will fire.
    armed: Option<Instant>,
    last_number: u64,
}

#[derive(Default)]
struct Sleeper {
    fired: AtomicBool,
    waker: AtomicWaker,
}

/// A future that ends at an instant. Dropping it takes it off the clock.
#[must_use = "it sleeps only while it is awaited"]
pub struct Sleep {
    key: (Instant, u64),
    sleeper: Arc<Sleeper>,
    clock: Arc<Clock>,
}

/// The clock stops when the task is dropped.
pub fn start() -> Task<()> {
    task::spawn(run())
}

/// Ends at `when`, never before.
pub fn sleep_until(when: Instant) -> Sleep {
    let sleeper = Arc::new(Sleeper::default());
    let clock = Clock::here();
    let mut sleepers = clock.lock();
    sleepers.last_number += 1;
    let key = (when, sleepers.last_number);
    sleepers.due.insert(key, sleeper.clone());
    let earlier = sleepers.armed.is_none_or(|armed| when < armed);
    drop(sleepers);
    if earlier {
        clock.earlier.wake();
    }
    Sleep { key, sleeper, clock }
}

/// No sleep is longer: a thousand years, which every clock and timer of the kernel can add.
const SLEEP_MAX: Duration = Duration::from_secs(1000 * 31_557_600);

/// Ends after `duration`, or after a thousand years.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration.min(SLEEP_MAX))
}

/// The value of `future`; none if it takes longer than `limit`. Without a limit it may take for ever.
pub async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    let Some(limit) = limit else { return Some(future.await) };
    match select(std::pin::pin!(future), sleep(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// Milliseconds of the kernel's coarse monotonic clock: a few nanoseconds to read, one kernel tick ([`TICK`]) exact.
pub fn coarse_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// Nanoseconds of the kernel's monotonic clock; exact, and some 20 ns to read.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The longest tick of a Linux kernel (`CONFIG_HZ=100`), by which [`coarse_ms`] may lag.
pub const TICK: Duration = Duration::from_millis(10);

/// The calling thread's own clock, in place of the process's. It ends when this and its sleepers are dropped.
pub(super) struct Own(Arc<Clock>);

impl Own {
    pub(super) fn open() -> Self {
        let clock = Arc::<Clock>::default();
        OWN.set(Some(clock.clone()));
        Own(clock)
    }

    pub(super) fn wake_due(&self) -> Option<Instant> {
        self.0.wake_due()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        OWN.set(None);
    }
}

impl Clock {
    /// That of the thread, or else that of the process.
    fn here() -> Arc<Self> {
        OWN.with_borrow(Clone::clone).unwrap_or_else(|| CLOCK.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        // A panic while the list is held leaves it usable: every change of it is one call.
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the sleepers that are due, and says when the next will be.
    fn wake_due(&self) -> Option<Instant> {
        let mut sleepers = self.lock();
        let mut due = Vec::new();
        if !sleepers.due.is_empty() {
            let now = Instant::now();
            while let Some(entry) = sleepers.due.first_entry().filter(|entry| entry.key().0 <= now) {
                due.push(entry.remove());
            }
        }
        let next = sleepers.due.first_key_value().map(|((when, _), _)| *when);
        sleepers.armed = next;
        drop(sleepers);
        for sleeper in due {
            sleeper.fired.store(true, Ordering::Release);
            sleeper.waker.wake();
        }
        next
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.sleeper.waker.register(context.waker());
        if self.sleeper.fired.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.lock().due.remove(&self.key);
    }
}

async fn run() {
    let mut timer: Option<(Instant, async_io::Timer)> = None;
    std::future::poll_fn(|context| {
        CLOCK.earlier.register(context.waker());
        loop {
            let Some(next) = CLOCK.wake_due() else {
                timer = None;
                return Poll::Pending;
            };
            if timer.as_ref().is_none_or(|(when, _)| *when != next) {
                timer = Some((next, async_io::Timer::at(next)));
            }
            let Some((_, armed)) = &mut timer else { return Poll::Pending };
            if Pin::new(armed).poll(context).is_pending() {
                return Poll::Pending;
            }
            timer = None;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn sleepers_wake_in_order_and_never_early() {
        let _clock = start();
        let begin = Instant::now();
        let later = sleep(Duration::from_millis(60));
        let sooner = sleep(Duration::from_millis(20));
        block_on(sooner);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        block_on(later);
        assert!(begin.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn a_limit_ends_what_takes_longer() {
        let _clock = start();
        let limit = Some(Duration::from_millis(5));
        assert_eq!(block_on(within(limit, std::future::pending::<()>())), None);
        assert_eq!(block_on(within(limit, std::future::ready(1))), Some(1));
        assert_eq!(block_on(within(None, std::future::ready(1))), Some(1));
    }

    #[test]
    fn a_sleeper_that_goes_leaves_nothing_on_the_clock() {
        let clock = Own::open();
        let gone = sleep(Duration::from_secs(1));
        let stays = sleep(Duration::from_secs(2));
        let due = stays.key.0;
        drop(gone);
        assert_eq!(clock.wake_due(), Some(due));
        drop(stays);
        assert_eq!(clock.wake_due(), None);
    }

    #[test]
    fn the_longest_sleep_is_no_panic_and_holds_up_no_other() {
        let _clock = start();
        let _longest = sleep(Duration::MAX);
        block_on(sleep(Duration::from_millis(5)));
    }
}
