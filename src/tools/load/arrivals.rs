//! An open loop's arrivals: operations are due by a schedule, whether or not a client is free to begin them.
//!
//! A free client takes the next one. If that is not due yet, the client waits in a queue, so that clients take turns;
//! `Arrivals::dispatch` hands out operations as they become due, with one timer for all clients that wait.

use crate::runtime::clock::{Sleep, sleep_until};
use futures::channel::oneshot;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// An even schedule, of which one thread has its part.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Operations a second, of this thread.
    pub per_second: f64,
    /// When this thread's first is due, so that threads take turns.
    pub first: Duration,
}

impl Rate {
    pub fn due(&self, begin: Instant, number: u64) -> Instant {
        begin + self.first + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    pub fn due_before(&self, begin: Instant, end: Instant) -> u64 {
        let passed = end.saturating_duration_since(begin + self.first).as_secs_f64();
        let mut count = (passed * self.per_second) as u64;
        // What is rounded away in that is not to be a request too many or too few.
        while self.due(begin, count) < end {
            count += 1;
        }
        while count > 0 && self.due(begin, count - 1) >= end {
            count -= 1;
        }
        count
    }
}

/// The schedule of one thread, and the clients that wait for it.
pub(super) struct Arrivals {
    rate: Option<Rate>,
    begin: Cell<Instant>,
    /// No operation is due then or later.
    end: Cell<Instant>,
    /// How many were handed out since the begin.
    handed: Cell<u64>,
    closed: Cell<bool>,
    idle: RefCell<VecDeque<oneshot::Sender<Instant>>>,
    dispatcher: RefCell<Option<Waker>>,
}

impl Arrivals {
    pub fn new(rate: Option<Rate>) -> Self {
        Arrivals {
            rate,
            begin: Cell::new(Instant::now()),
            end: Cell::new(Instant::now()),
            handed: Cell::new(0),
            closed: Cell::new(false),
            idle: RefCell::default(),
            dispatcher: RefCell::default(),
        }
    }

    /// The schedule begins now and lasts for `length`; earlier operations are forgotten.
    pub fn begin(&self, length: Duration) {
        let now = Instant::now();
        self.begin.set(now);
        self.end.set(now + length);
        self.handed.set(0);
        self.wake_dispatcher();
    }

    /// No operation is handed out any more, and clients that wait for one are told. Returns how many were due and not begun.
    pub fn close(&self) -> u64 {
        self.closed.set(true);
        drop(self.idle.take());
        let Some(rate) = self.rate else { return 0 };
        let due = rate.due_before(self.begin.get(), self.end.get().min(Instant::now()));
        due.saturating_sub(self.handed.get())
    }

    /// Waits for the next operation: when it was due, or none if there is no more. Without a schedule there is always
    /// one, due at no time.
    pub async fn next(&self) -> Option<Option<Instant>> {
        let Some(rate) = self.rate else { return (!self.closed.get()).then_some(None) };
        if self.closed.get() {
            return None;
        }
        let due = self.due(rate);
        if due <= Instant::now() && due < self.end.get() && self.idle.borrow().is_empty() {
            self.handed.update(|handed| handed + 1);
            return Some(Some(due));
        }
        let (sender, given) = oneshot::channel();
        self.idle.borrow_mut().push_back(sender);
        self.wake_dispatcher();
        given.await.ok().map(Some)
    }

    fn due(&self, rate: Rate) -> Instant {
        rate.due(self.begin.get(), self.handed.get())
    }

    fn wake_dispatcher(&self) {
        if let Some(waker) = self.dispatcher.take() {
            waker.wake();
        }
    }

    /// Hands out operations when they are due. It never ends.
    pub async fn dispatch(&self) {
        let Some(rate) = self.rate else { return std::future::pending().await };
        let mut timer: Option<(Instant, Sleep)> = None;
        poll_fn(|context| {
            self.dispatcher.replace(Some(context.waker().clone()));
            loop {
                let due = self.due(rate);
                if self.idle.borrow().is_empty() || due >= self.end.get() {
                    timer = None;
                    return Poll::Pending;
                }
                if due > Instant::now() {
                    if waits(&mut timer, due, context) {
                        return Poll::Pending;
                    }
                    continue;
                }
                if let Some(idle) = self.idle.borrow_mut().pop_front() {
                    self.handed.update(|handed| handed + 1);
                    // A client that is gone takes its operation with it.
                    let _ = idle.send(due);
                }
            }
        })
        .await
    }
}

/// Whether `due` is still to come; the timer then wakes at it.
fn waits(timer: &mut Option<(Instant, Sleep)>, due: Instant, context: &mut Context<'_>) -> bool {
    if timer.as_ref().is_none_or(|(when, _)| *when != due) {
        *timer = Some((due, sleep_until(due)));
    }
    timer.as_mut().is_some_and(|(_, sleep)| Pin::new(sleep).poll(context).is_pending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_due_as_the_schedule_has() {
        let begin = Instant::now();
        for (per_second, first_us, length_ms, count) in [
            (2000.0, 0, 2200, 4400),
            (1000.0, 0, 1000, 1000),
            (3.0, 0, 1000, 3),
            (3.0, 0, 1001, 4),
            (7.0, 0, 0, 0),
        ]
        .into_iter()
        .chain([(500.0, 1000, 2000, 1000), (500.0, 0, 2000, 1000), (0.1, 0, 5000, 1)])
        {
            let rate = Rate { per_second, first: Duration::from_micros(first_us) };
            let end = begin + Duration::from_millis(length_ms);
            assert_eq!(rate.due_before(begin, end), count, "{rate:?}, {length_ms} ms");
        }
    }
}
