//! A counted limit: a task that wants to go on takes a slot, and gives it back by dropping it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

#[derive(Clone)]
pub struct Slots {
    state: Arc<Mutex<State>>,
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
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        let state = State { taken: 0, limit, paused: false, waiting: VecDeque::new() };
        Slots { state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for a free slot. Cancel-safe.
    pub async fn take(&self) -> Slot {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
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
        self.lock().paused
    }

    /// Whether all are taken while a waiter wants one.
    pub fn wanted(&self) -> bool {
        let state = self.lock();
        !state.paused && state.taken >= state.limit && !state.waiting.is_empty()
    }

    /// Makes a change that a waiter may have waited for.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let woken = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many are taken, and the limit.
    pub fn count(&self) -> (usize, usize) {
        let state = self.lock();
        (state.taken, state.limit)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete at each point that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Every waiter looks again: waiters are few (one a listener, one a lookup), and a waiter that has been dropped
        // must not swallow the only wake-up.
        self.slots.change(|state| state.taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
