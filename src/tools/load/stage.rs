//! What the clients of a run share: the plan, what they count, and how far the run is.

use crate::tools::{
    failure::Fault,
    load::{
        arrivals::Arrivals, failure::Failure, report::Report, room::Room, run::Plan, shared::Shared,
        timeline::Slice, watch::Watch,
    },
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// All clients run on one thread.
pub(super) struct Stage<'a> {
    pub plan: &'a Plan,
    pub shared: &'a Shared,
    pub thread: usize,
    pub room: Room,
    pub report: RefCell<Report>,
    pub arrivals: Arrivals,
    pub counting: Cell<bool>,
    pub over: Cell<bool>,
    /// The run is to end at once: it was asked to, or there is no target.
    pub stopped: Cell<bool>,
    /// Clients that have made their first steps, or failed at them.
    pub started: Cell<usize>,
    pub holding: Cell<usize>,
    pub watches: RefCell<Vec<Rc<Watch>>>,
    /// Whether clients may go on to their operations, and who waits for that.
    open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// Operations begun since they count.
    begun: Cell<u64>,
    last_seed: Cell<u64>,
    next_connection: Cell<Instant>,
    /// The second of the window that goes on, when it began, and what was moved before it.
    slice: RefCell<Slice>,
    slice_begin: Cell<Instant>,
    before_slice: Cell<(u64, u64)>,
}

impl<'a> Stage<'a> {
    pub fn new(plan: &'a Plan, shared: &'a Shared, seed: u64, thread: usize) -> Self {
        let now = Instant::now();
        Stage {
            plan,
            shared,
            thread,
            room: Room::default(),
            report: RefCell::default(),
            arrivals: Arrivals::new(plan.rate),
            counting: Cell::new(false),
            over: Cell::new(false),
            stopped: Cell::new(false),
            started: Cell::new(0),
            holding: Cell::new(0),
            watches: RefCell::default(),
            open: Cell::new(false),
            waiting: RefCell::default(),
            begun: Cell::new(0),
            last_seed: Cell::new(seed << 32),
            next_connection: Cell::new(now + plan.connect_rate.map_or(Duration::ZERO, |rate| rate.first)),
            slice: RefCell::default(),
            slice_begin: Cell::new(now),
            before_slice: Cell::new((0, 0)),
        }
    }

    pub fn fail(&self, failure: Failure) {
        *self.report.borrow_mut().failures.entry(failure).or_default() += 1;
        self.slice.borrow_mut().second.failures += 1;
    }

    /// A connection could not be made, or not as it is to be. If none ever was, the run has no target.
    pub fn note_unreached(&self, fault: Fault, error: &io::Error) {
        if self.plan.needs_target && self.shared.progress().made == 0 {
            let mut report = self.report.borrow_mut();
            report.unreached.get_or_insert_with(|| (fault, crate::error::reason(error)));
            self.stopped.set(true);
        }
    }

    /// When the next connection may be made; none: at once. That of this call is then made.
    pub fn connection_slot(&self) -> Option<Instant> {
        let rate = self.plan.connect_rate?;
        let slot = self.next_connection.get().max(Instant::now());
        self.next_connection.set(slot + Duration::from_secs_f64(1.0 / rate.per_second));
        Some(slot)
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

    /// Lets the clients go on to their operations, for `length`.
    pub fn open(&self, length: Duration) {
        self.arrivals.begin(length);
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
        let Some(limit) = self.plan.operations else { return true };
        if begun + 1 >= limit {
            // No other will be due: a client must not wait for it.
            self.arrivals.close();
        }
        begun < limit
    }

    /// Counts an operation that has ended. What began in the window and ended after it is part of the latencies, so that
    /// what took longest is not left out, and not of the rate.
    pub fn add(&self, begin: Instant, due: Option<Instant>, began_counting: bool, status: Option<u16>) {
        let counting = self.counting.get();
        if !counting && !began_counting {
            return;
        }
        let end = Instant::now();
        let service = end - begin;
        let response = due.map(|due| end.saturating_duration_since(due));
        let mut report = self.report.borrow_mut();
        report.add(service, response);
        *(if counting { &mut report.operations } else { &mut report.late }) += 1;
        if let Some(status) = status {
            *report.statuses.entry(status).or_default() += 1;
        }
        if counting {
            let mut slice = self.slice.borrow_mut();
            slice.second.operations += 1;
            slice.second.failures += u64::from(status.is_some_and(|status| status >= 400));
            slice.latencies.add(response.unwrap_or(service));
        }
    }

    pub fn open_window(&self) -> (Instant, (u64, u64)) {
        let (now, moved) = (Instant::now(), self.room.moved());
        self.begin_slice(now, moved);
        self.counting.set(true);
        self.open(self.plan.window);
        (now, moved)
    }

    pub fn close_window(&self, begin: Instant, before: (u64, u64)) {
        let unsent = self.arrivals.close();
        self.over.set(true);
        self.counting.set(false);
        let (sent, received) = self.room.moved();
        let mut report = self.report.borrow_mut();
        (report.sent, report.received) = (sent - before.0, received - before.1);
        report.window = begin.elapsed();
        // A schedule that ends with a number of operations has none that are due later.
        if self.plan.operations.is_none() {
            report.unsent = unsent;
        }
    }

    fn begin_slice(&self, now: Instant, moved: (u64, u64)) {
        self.slice_begin.set(now);
        self.before_slice.set(moved);
        *self.slice.borrow_mut() = Slice::default();
    }

    /// Brings this thread's part of a second to the timeline, and begins the next.
    pub fn end_slice(&self) {
        let (now, moved) = (Instant::now(), self.room.moved());
        let before = self.before_slice.get();
        {
            let mut slice = self.slice.borrow_mut();
            (slice.second.sent, slice.second.received) = (moved.0 - before.0, moved.1 - before.1);
            slice.second.length = now - self.slice_begin.get();
            if self.shared.progress().timeline.add(self.thread, &slice) {
                self.shared.tell();
            }
        }
        self.begin_slice(now, moved);
    }

    pub fn leave_timeline(&self) {
        if self.shared.progress().timeline.end(self.thread) {
            self.shared.tell();
        }
    }

    pub fn next_seed(&self) -> u64 {
        self.last_seed.update(|seed| seed + 1);
        self.last_seed.get()
    }
}
