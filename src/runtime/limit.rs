//! Two limits: a counted one, of which a task takes a slot that it gives back by dropping it; and the descriptors of the
//! process, which only the kernel can count, and for which actors queue.

use crate::runtime::{
    clock::{Sleep, sleep},
    lock::Lock,
    shard::shared,
};
use futures::FutureExt;
use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// If no actor says that something is free again, the first in a queue tries again after this time: short enough to serve
/// within a second of relief, long enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Slots(Arc<SlotCount>);

struct SlotCount {
    state: Lock<State>,
    /// What held a slot has closed its descriptors when it gives it back.
    descriptors: Arc<WaitQueue>,
}

struct State {
    taken: usize,
    limit: usize,
    paused: bool,
    waiting: VecDeque<Waker>,
}

pub struct Slot {
    slots: Slots,
}

impl Slots {
    pub fn new(limit: usize) -> Self {
        let state = State { taken: 0, limit, paused: false, waiting: VecDeque::new() };
        Slots(Arc::new(SlotCount { state: Lock::new(state), descriptors: descriptors() }))
    }

    /// Waits for a free slot. Cancel-safe.
    pub async fn take(&self) -> Slot {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            if state.taken < state.limit && !state.paused {
                state.taken += 1;
                return Poll::Ready(Slot { slots: self.clone() });
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push_back(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Changes the limit; slots above it stay until they are given back.
    pub fn set_limit(&self, limit: usize) {
        self.change(|state| state.limit = limit);
    }

    /// Gives out no slots while it is paused, free or not.
    pub fn set_paused(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    pub fn paused(&self) -> bool {
        self.0.state.lock().paused
    }

    /// Whether all are taken while a waiter wants one.
    pub fn wanted(&self) -> bool {
        let state = self.0.state.lock();
        !state.paused && state.taken >= state.limit && !state.waiting.is_empty()
    }

    /// Makes a change that a waiter may have waited for.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        change(&mut state);
        let woken = std::mem::take(&mut state.waiting);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many are taken, and the limit.
    pub fn count(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        (state.taken, state.limit)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Every waiter looks again: waiters are few (one a listener, one a lookup), and a waiter that has been dropped
        // must not swallow the only wake-up.
        self.slots.change(|state| state.taken -= 1);
        self.slots.0.descriptors.freed();
    }
}

/// A number of something in a second, by any number of tasks; a second's worth at once after a pause.
pub struct Rate {
    per_second: u32,
    state: Lock<RateState>,
}

struct RateState {
    /// What is left of this second's, in billionths of one.
    left: u64,
    since: Instant,
}

const BILLION: u64 = 1_000_000_000;

impl Rate {
    pub fn new(per_second: NonZeroU32) -> Self {
        let per_second = per_second.get();
        let state = RateState { left: u64::from(per_second) * BILLION, since: Instant::now() };
        Rate { per_second, state: Lock::new(state) }
    }

    /// Takes one if there is one, else says how long it is until then.
    fn try_take(&self) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let gone = u64::try_from(now.duration_since(state.since).as_nanos()).unwrap_or(u64::MAX);
        let (rate, most) = (u64::from(self.per_second), u64::from(self.per_second) * BILLION);
        state.left = state.left.saturating_add(gone.saturating_mul(rate)).min(most);
        state.since = now;
        match state.left.checked_sub(BILLION) {
            Some(left) => {
                state.left = left;
                Ok(())
            }
            None => Err(Duration::from_nanos((BILLION - state.left).div_ceil(rate))),
        }
    }

    /// Waits for one. Cancel-safe.
    pub async fn take(&self) {
        while let Err(wait) = self.try_take() {
            sleep(wait).await;
        }
    }

    /// Gives one back that was not used.
    pub fn give_back(&self) {
        let mut state = self.state.lock();
        state.left = (state.left + BILLION).min(u64::from(self.per_second) * BILLION);
    }
}

/// The program's queue for descriptors.
pub fn descriptors() -> Arc<WaitQueue> {
    shared()
}

/// A queue of actors that wait for something of which only the kernel knows whether it is there. The first tries.
#[derive(Default)]
pub struct WaitQueue {
    state: Lock<WaitState>,
    /// The length, for a look without the lock.
    waiting: AtomicUsize,
    /// How often there was nothing free.
    shortages: AtomicU64,
}

#[derive(Default)]
struct WaitState {
    waiting: BTreeMap<Key, Option<Waker>>,
    last_number: u64,
    /// How often an actor said that something is free again.
    freed: u64,
}

/// Who comes before whom: the lower rank first, then the lower number.
type Key = (Rank, u64);

/// What an actor waits for; what comes earlier here comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// To let an operator or a scraper in, who may end the shortage.
    Operator,
    /// To go on dialling for a session that has begun.
    Dial,
    /// To begin another session.
    Accept,
}

/// A place in a queue, until it is dropped.
pub struct WaitPlace {
    queue: Arc<WaitQueue>,
    key: Key,
    /// After it failed: the count of [`WaitState::freed`] then, and the pause.
    failed: Option<(u64, Sleep)>,
}

impl WaitQueue {
    /// How many wait: more than none means that every descriptor is in use while a connection could be accepted or dialled.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How often an actor has found nothing free. Rises for as long as there is a shortage and actors that look.
    pub fn shortages(&self) -> u64 {
        self.shortages.load(Ordering::Relaxed)
    }

    pub fn note_shortage(&self) {
        self.shortages.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the last place of a rank.
    pub fn join(self: &Arc<Self>, rank: Rank) -> WaitPlace {
        let mut state = self.state.lock();
        state.last_number += 1;
        let key = (rank, state.last_number);
        state.waiting.insert(key, None);
        self.waiting.store(state.waiting.len(), Ordering::Relaxed);
        WaitPlace { queue: self.clone(), key, failed: None }
    }

    /// Says that something is free again.
    fn freed(&self) {
        if self.waiting() > 0 {
            self.change(|state| state.freed += 1);
        }
    }

    /// Makes a change after which the first may have its turn.
    fn change(&self, change: impl FnOnce(&mut WaitState)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.waiting.store(state.waiting.len(), Ordering::Relaxed);
        let first = state.waiting.first_entry().and_then(|mut first| first.get_mut().take());
        drop(state);
        first.into_iter().for_each(Waker::wake);
    }
}

impl WaitPlace {
    /// Waits until it is first; once it has failed, also until something may be free again. Cancel-safe.
    pub async fn turn(&mut self) {
        poll_fn(|context| {
            let mut state = self.queue.state.lock();
            let is_first = state.waiting.first_key_value().is_some_and(|(key, _)| *key == self.key);
            let is_due = self
                .failed
                .as_mut()
                .is_none_or(|(freed, pause)| *freed != state.freed || pause.poll_unpin(context).is_ready());
            if is_first && is_due {
                return Poll::Ready(());
            }
            state.waiting.insert(self.key, Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub fn failed(&mut self) {
        self.queue.note_shortage();
        let freed = self.queue.state.lock().freed;
        self.failed = Some((freed, sleep(LOOK_EVERY)));
    }
}

impl Drop for WaitPlace {
    fn drop(&mut self) {
        self.queue.change(|state| drop(state.waiting.remove(&self.key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;
    use futures::{FutureExt, executor::block_on};
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        task::{Context, Wake},
    };

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(1);
        let first = block_on(slots.take());
        let mut second = Box::pin(slots.take());
        assert!(!slots.wanted());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(slots.wanted());
        drop(first);
        let _second = block_on(second);
        assert!(!slots.wanted());
        assert_eq!(slots.count(), (1, 1));
    }

    #[test]
    fn a_waiter_that_goes_does_not_take_the_wake_up_of_another() {
        #[derive(Default)]
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Relaxed);
            }
        }
        let slots = Slots::new(1);
        let first = block_on(slots.take());
        let mut waiters = [(); 2].map(|()| (Box::pin(slots.take()), Arc::new(Woken::default())));
        for (waiter, woken) in &mut waiters {
            let waker = woken.clone().into();
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let [goes, (_stays, woken)] = waiters;
        drop(goes);
        drop(first);
        assert!(woken.0.load(Relaxed));
    }

    #[test]
    fn no_slot_is_given_out_while_it_is_paused() {
        let slots = Slots::new(1);
        slots.set_paused(true);
        let mut waiter = Box::pin(slots.take());
        assert!(waiter.as_mut().now_or_never().is_none());
        slots.set_paused(false);
        assert!(waiter.now_or_never().is_some());
    }

    #[test]
    fn a_raised_limit_lets_a_waiter_go_on() {
        let slots = Slots::new(0);
        let mut waiter = Box::pin(slots.take());
        assert!(waiter.as_mut().now_or_never().is_none());
        slots.set_limit(1);
        assert!(waiter.now_or_never().is_some());
    }

    #[test]
    fn an_operator_comes_before_a_dial_and_a_dial_before_a_new_session() {
        let queue = Arc::<WaitQueue>::default();
        let mut places = [Rank::Accept, Rank::Dial, Rank::Accept, Rank::Operator, Rank::Dial]
            .map(|rank| Some(queue.join(rank)));
        for next in [3, 1, 4, 0, 2] {
            let is_first = |place: &mut Option<WaitPlace>| {
                place.as_mut().is_some_and(|place| place.turn().now_or_never().is_some())
            };
            let first: Vec<usize> = (0..5).filter(|number| is_first(&mut places[*number])).collect();
            assert_eq!(first, [next]);
            places[next] = None;
        }
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn the_first_that_failed_tries_again_when_something_is_free_and_after_a_while_in_any_case() {
        run(async {
            let queue = Arc::<WaitQueue>::default();
            let mut place = queue.join(Rank::Dial);
            place.failed();
            assert!(place.turn().now_or_never().is_none());
            queue.freed();
            assert!(place.turn().now_or_never().is_some());
            place.failed();
            place.turn().await;
        })
        .unwrap();
    }

    #[test]
    fn one_that_leaves_wakes_the_next() {
        let queue = Arc::<WaitQueue>::default();
        let first = queue.join(Rank::Dial);
        let waits = std::thread::spawn(move || block_on(queue.join(Rank::Dial).turn()));
        drop(first);
        waits.join().unwrap();
    }
}
