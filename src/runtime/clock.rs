//! The clock of a shard: an ordered list of sleepers. A sleeper costs a list entry and no system call: the shard wakes those
//! that are due, and sleeps itself until the next is.

use crate::runtime::{shard::Shard, waker::WakerCell};
use futures::future::{Either, select};
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The sleepers of a shard, by when they are due.
#[derive(Default)]
pub(super) struct Clock {
    sleepers: RefCell<BTreeMap<Key, Rc<Sleeper>>>,
    last_number: Cell<u64>,
}

/// When a sleeper is due, and its number.
type Key = (Instant, u64);

#[derive(Default)]
struct Sleeper {
    fired: Cell<bool>,
    waker: WakerCell,
}

/// A future that ends at an instant. Dropping it takes it off the clock.
#[must_use = "it sleeps only while it is awaited"]
pub struct Sleep {
    key: Key,
    sleeper: Rc<Sleeper>,
}

/// Ends at `when`, never before.
pub fn sleep_until(when: Instant) -> Sleep {
    let shard = Shard::here().expect("a task sleeps on a shard");
    let sleeper = Rc::new(Sleeper::default());
    let clock = &shard.clock;
    clock.last_number.set(clock.last_number.get() + 1);
    let key = (when, clock.last_number.get());
    clock.sleepers.borrow_mut().insert(key, sleeper.clone());
    Sleep { key, sleeper }
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

/// Ends once `count` has stood still for `limit`.
pub async fn standstill(limit: Duration, count: impl Fn() -> u64) {
    loop {
        let before = count();
        sleep(limit).await;
        if count() == before {
            return;
        }
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

impl Clock {
    /// Wakes the sleepers that are due, and says when the next will be.
    pub(super) fn wake_due(&self) -> Option<Instant> {
        let mut now = None;
        loop {
            let mut sleepers = self.sleepers.borrow_mut();
            let next = sleepers.first_entry()?;
            let when = next.key().0;
            if when > *now.get_or_insert_with(Instant::now) {
                return Some(when);
            }
            let sleeper = next.remove();
            drop(sleepers);
            sleeper.fired.set(true);
            sleeper.waker.wake();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.sleeper.fired.get() {
            return Poll::Ready(());
        }
        self.sleeper.waker.register(context);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(shard) = Shard::here() {
            shard.clock.sleepers.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;

    #[test]
    fn sleepers_wake_in_order_and_never_early() {
        run(async {
            let begin = Instant::now();
            let later = sleep(Duration::from_millis(60));
            let sooner = sleep(Duration::from_millis(20));
            sooner.await;
            assert!(begin.elapsed() >= Duration::from_millis(20));
            later.await;
            assert!(begin.elapsed() >= Duration::from_millis(60));
        })
        .unwrap();
    }

    #[test]
    fn a_limit_ends_what_takes_longer() {
        run(async {
            let limit = Some(Duration::from_millis(5));
            assert_eq!(within(limit, std::future::pending::<()>()).await, None);
            assert_eq!(within(limit, std::future::ready(1)).await, Some(1));
            assert_eq!(within(None, std::future::ready(1)).await, Some(1));
        })
        .unwrap();
    }

    #[test]
    fn a_sleeper_that_goes_leaves_nothing_on_the_clock() {
        run(async {
            let gone = sleep(Duration::from_secs(1));
            let stays = sleep(Duration::from_secs(2));
            let due = || Shard::here().unwrap().clock.wake_due();
            assert_eq!(due(), Some(gone.key.0));
            drop(gone);
            assert_eq!(due(), Some(stays.key.0));
            drop(stays);
            assert_eq!(due(), None);
        })
        .unwrap();
    }

    #[test]
    fn the_longest_sleep_is_no_panic_and_holds_up_no_other() {
        run(async {
            let _longest = sleep(Duration::MAX);
            sleep(Duration::from_millis(5)).await;
        })
        .unwrap();
    }
}
