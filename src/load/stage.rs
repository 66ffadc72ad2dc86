//! What the clients of a run share: the plan, what they count, and how far the run is.

use crate::load::{failure::Failure, report::Report, room::Room, run::Plan};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
    time::Instant,
};

/// The shared state; all clients run on one thread.
pub(super) struct Stage<'a> {
    pub plan: &'a Plan,
    pub room: Room,
    pub report: RefCell<Report>,
    pub counting: Cell<bool>,
    pub over: Cell<bool>,
    /// Clients that have made their first steps, or failed at them.
    pub started: Cell<usize>,
    /// Clients that only hold their connection.
    pub holding: Cell<usize>,
    /// Whether clients may go on to their operations, and who waits for that.
    open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// Operations begun since they count.
    begun: Cell<u64>,
    last_seed: Cell<u64>,
}

impl<'a> Stage<'a> {
    pub fn new(plan: &'a Plan, seed: u64) -> Self {
        Stage {
            plan,
            room: Room::new(),
            report: RefCell::new(Report::new()),
            counting: Cell::new(false),
            over: Cell::new(false),
            started: Cell::new(0),
            holding: Cell::new(0),
            open: Cell::new(false),
            waiting: RefCell::default(),
            begun: Cell::new(0),
            last_seed: Cell::new(seed << 32),
        }
    }

    pub fn fail(&self, failure: Failure) {
        self.report.borrow_mut().failures.add(failure);
    }

    /// Waits until all clients have made their first steps.
    pub async fn opened(&self) {
        poll_fn(|context| {
            if self.open.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets the clients go on to their operations.
    pub fn open(&self) {
        self.open.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Whether a client may begin an operation; counts it.
    pub fn may_begin(&self) -> bool {
        if !self.counting.get() {
            return !self.over.get();
        }
        let begun = self.begun.get();
        self.begun.set(begun + 1);
        self.plan.operations.is_none_or(|limit| begun < limit)
    }

    pub fn close_window(&self, begin: Instant, before: (u64, u64)) {
        self.over.set(true);
        self.counting.set(false);
        let (sent, received) = self.room.moved();
        let mut report = self.report.borrow_mut();
        (report.sent, report.received) = (sent - before.0, received - before.1);
        report.window = begin.elapsed();
    }

    pub fn next_seed(&self) -> u64 {
        self.last_seed.set(self.last_seed.get() + 1);
        self.last_seed.get()
    }
}
