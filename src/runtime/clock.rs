//! The clock of a shard: a heap of sleepers. A sleeper costs an entry in it and no system call: the shard wakes those
//! that are due, and sleeps itself until the next is.

use crate::runtime::{shard::Shard, waker::WakerCell};
use futures::future::{Either, select};
use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::BinaryHeap,
    mem,
    num::NonZeroU64,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The sleepers of a shard. Each has a place, and no allocation of its own: nearly every session has a sleeper.
pub(super) struct Clock {
    /// What instants are counted from.
    begin: Instant,
    sleepers: RefCell<Sleepers>,
}

#[derive(Default)]
struct Sleepers {
    /// The first is due next. Nearly every sleeper leaves long before it is due, and leaves its entry behind.
    due: BinaryHeap<Reverse<Due>>,
    /// Entries whose sleepers have left.
    left: usize,
    places: Vec<Place>,
    free: Vec<u32>,
}

/// When a sleeper is due, in nanoseconds, and its place.
type Due = (u64, u32);

#[derive(Default)]
struct Place {
    /// When the sleeper is due; none once it was.
    due_ns: Option<NonZeroU64>,
    waker: WakerCell,
}

/// Entries whose sleepers have left, beside as many whose sleepers have not, before they are cleared away.
const LEFT_MAX: usize = 64;

/// A future that ends at an instant. Dropping it takes it off the clock.
#[must_use = "it sleeps only while it is awaited"]
pub struct Sleep {
    clock: Rc<Clock>,
    place: u32,
}

/// Ends at `when`, never before.
pub fn sleep_until(when: Instant) -> Sleep {
    let clock = Shard::here().expect("a task sleeps on a shard").clock.clone();
    let place = clock.set(when);
    Sleep { clock, place }
}

/// No sleep is longer: a thousand years, which every clock and timer of the kernel can add.
const SLEEP_MAX: Duration = Duration::from_secs(1000 * 31_557_600);

/// Ends after `duration`, or after a thousand years.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(after(Instant::now(), duration))
}

fn after(began: Instant, duration: Duration) -> Instant {
    began + duration.min(SLEEP_MAX)
}

/// The value of `future`; none if it takes longer than `limit`. Without a limit it may take for ever.
pub fn within<F: Future>(limit: Option<Duration>, future: F) -> Within<F> {
    within_from(Instant::now(), limit, future)
}

/// As [`within`], where it is known when the time `began`.
pub fn within_from<F: Future>(began: Instant, limit: Option<Duration>, future: F) -> Within<F> {
    Within { future, end: limit.map(|limit| after(began, limit)), sleep: None }
}

pin_project! {
    /// See [`within`]. An async function would keep the future twice: as passed, and as pinned.
    #[must_use = "it is nothing until it is awaited"]
    pub struct Within<F> {
        #[pin]
        future: F,
        end: Option<Instant>,
        sleep: Option<Sleep>,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Some(value));
        }
        let Some(end) = *this.end else { return Poll::Pending };
        let sleep = this.sleep.get_or_insert_with(|| sleep_until(end));
        Pin::new(sleep).poll(context).map(|()| None)
    }
}

/// The value of `future`; none if `count` stands still for `limit` before that.
pub async fn while_moving<T>(
    limit: Duration,
    future: impl Future<Output = T> + Unpin,
    count: impl Fn() -> u64,
) -> Option<T> {
    match select(future, std::pin::pin!(standstill(limit, count))).await {
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

impl Default for Clock {
    fn default() -> Self {
        Clock { begin: Instant::now(), sleepers: RefCell::default() }
    }
}

impl Clock {
    /// Wakes the sleepers that are due, and says when the next will be.
    pub(super) fn wake_due(&self) -> Option<Instant> {
        let mut now = None;
        loop {
            let mut sleepers = self.sleepers.borrow_mut();
            let due = sleepers.first()?;
            let when = self.begin + Duration::from_nanos(due.0);
            if when > *now.get_or_insert_with(Instant::now) {
                return Some(when);
            }
            sleepers.due.pop();
            let Place { waker, .. } = mem::take(&mut sleepers.places[due.1 as usize]);
            drop(sleepers);
            waker.wake();
        }
    }

    /// Gives a sleeper that is due at `when` a place.
    fn set(&self, when: Instant) -> u32 {
        // What is due already is due at the beginning; what 64 bits do not hold is 584 years away.
        let ns = when.saturating_duration_since(self.begin).as_nanos();
        let due_ns = NonZeroU64::new(u64::try_from(ns).unwrap_or(u64::MAX)).unwrap_or(NonZeroU64::MIN);
        let mut sleepers = self.sleepers.borrow_mut();
        let number = sleepers.free.pop().unwrap_or_else(|| {
            sleepers.places.push(Place::default());
            u32::try_from(sleepers.places.len() - 1).expect("memory does not hold as many sleepers")
        });
        sleepers.places[number as usize].due_ns = Some(due_ns);
        sleepers.due.push(Reverse((due_ns.get(), number)));
        number
    }

    fn take_off(&self, number: u32) {
        let mut sleepers = self.sleepers.borrow_mut();
        let place = mem::take(&mut sleepers.places[number as usize]);
        if place.due_ns.is_some() {
            sleepers.left += 1;
        }
        sleepers.free.push(number);
        sleepers.clear_away();
        // Not under the borrow: nothing says what goes with the last waker of a task.
        drop(sleepers);
        drop(place);
    }
}

impl Sleepers {
    /// Whose sleeper has not left. A place may have another by then, which is due at another time, or at the same.
    fn is_held(places: &[Place], (due_ns, number): Due) -> bool {
        places[number as usize].due_ns.is_some_and(|due| due.get() == due_ns)
    }

    /// That of the sleeper who is due next.
    fn first(&mut self) -> Option<Due> {
        loop {
            let Reverse(due) = *self.due.peek()?;
            if Self::is_held(&self.places, due) {
                return Some(due);
            }
            self.due.pop();
            // Two entries of a place that are due at the same time count as held both.
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Clears entries away whose sleepers have left, once most are: a sleeper costs a step or two of that.
    fn clear_away(&mut self) {
        if self.left > LEFT_MAX + self.due.len() / 2 {
            let places = &self.places;
            self.due.retain(|Reverse(due)| Self::is_held(places, *due));
            self.left = 0;
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let place = &self.clock.sleepers.borrow().places[self.place as usize];
        if place.due_ns.is_none() {
            return Poll::Ready(());
        }
        place.waker.register(context);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.take_off(self.place);
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
            let first = due().unwrap();
            drop(gone);
            assert!(due().unwrap() >= first + Duration::from_secs(1));
            // The place is given to another, and what was due there is not.
            let another = sleep(Duration::from_secs(3));
            drop(stays);
            assert!(due().unwrap() >= first + Duration::from_secs(2));
            drop(another);
            assert_eq!(due(), None);
        })
        .unwrap();
    }

    #[test]
    fn sleepers_that_come_and_go_take_no_room_and_hide_no_other() {
        const LIVE: usize = 100;
        run(async {
            let clock = Shard::here().unwrap().clock.clone();
            let when = Instant::now() + Duration::from_secs(60);
            let sleepers: Vec<_> = (0..LIVE).map(|_| sleep_until(when)).collect();
            let soon = sleep(Duration::from_millis(20));
            for _ in 0..10_000 {
                // The next one has its place, and is due when it was.
                drop(sleep_until(when));
            }
            let entries = clock.sleepers.borrow().due.len();
            assert!((LIVE + 1..=2 * (LIVE + LEFT_MAX + 2)).contains(&entries), "{entries}");
            soon.await;
            drop(sleepers);
            assert_eq!(clock.wake_due(), None);
        })
        .unwrap();
    }

    #[test]
    fn a_place_whose_sleepers_are_due_at_one_time_is_woken_once_for_the_last() {
        run(async {
            let when = Instant::now() + Duration::from_millis(20);
            drop(sleep_until(when));
            sleep_until(when).await;
            assert!(Instant::now() >= when);
            // What is left of the first is nobody's.
            assert_eq!(Shard::here().unwrap().clock.wake_due(), None);
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
