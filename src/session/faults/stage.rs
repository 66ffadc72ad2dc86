//! A stage: one fault at work in one direction of one session. It moves what may pass from the queue before it to the queue
//! after it.

use crate::{
    runtime::random::Lot,
    session::faults::{
        fault::{Fault, Values},
        held::{Held, HeldPart, HeldQueue},
    },
};
use std::sync::atomic::Ordering::Relaxed;

/// What waits before a stage that is not made to hold more: a few buffers, beyond which the sender is to wait.
pub const STAGE_ROOM: usize = 64 << 10;

pub trait Stage {
    /// Moves what may pass at `flow.now_ns`, as far as there is room, and says when it is to be called again.
    fn advance(&mut self, flow: &mut Flow<'_>);

    /// What may wait before it, in bytes of memory.
    fn room(&self) -> usize {
        STAGE_ROOM
    }

    /// Its attributes are others from now on; what it has counted stays.
    fn update(&mut self, values: Values);

    /// It acts no more, after it did: it was removed, or its schedule has it pause. What waits before it then goes on by itself,
    /// and what it knows of that is void. How the session is to end for that, if it is.
    fn leave(&mut self) -> Option<FaultEnd> {
        None
    }
}

/// How a fault ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEnd {
    /// Both streams end by FIN: this one after what has passed the stage, the other after what has come of it.
    Fin,
    /// Both peers are reset, the receiver after what has passed the stage.
    Abort,
    /// Both peers are reset at once.
    Reset,
}

/// What a stage sees, and what it may do.
pub struct Flow<'a> {
    pub now_ns: u64,
    /// Since when the fault acts on the session, in nanoseconds of [`crate::runtime::clock::now_ns`].
    pub since_ns: u64,
    pub input: &'a mut HeldQueue,
    pub output: &'a mut HeldQueue,
    /// Of this fault on this session: the same in each run with the same seed.
    pub lot: &'a mut Lot,
    pub(super) fault: &'a Fault,
    pub(super) asks: Asks,
}

/// What a stage asks for.
#[derive(Default)]
pub(super) struct Asks {
    pub wake_ns: Option<u64>,
    /// Since when what it holds would pass, had the next one room.
    pub late_since_ns: Option<u64>,
    pub stops_intake: bool,
    /// It has taken bytes away.
    pub swallows: bool,
    pub end: Option<FaultEnd>,
    /// A peer can notice what it does.
    pub shows: bool,
}

/// The earlier of two instants, as far as there are any.
pub(super) fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Flow<'_> {
    /// Has the stage called again at that instant, if nothing calls it sooner.
    pub fn wake_at(&mut self, ns: u64) {
        self.asks.wake_ns = sooner(self.asks.wake_ns, Some(ns));
    }

    /// What waits before it was due at that instant, and the next one has no room.
    pub fn is_late_since(&mut self, ns: u64) {
        self.asks.late_since_ns = Some(ns);
    }

    /// Nothing more is to be read of the sender for now.
    pub fn stop_intake(&mut self) {
        self.asks.stops_intake = true;
    }

    /// Ends the session.
    pub fn end(&mut self, end: FaultEnd) {
        self.asks.end = Some(end);
        self.asks.shows = true;
    }

    /// A peer can notice what the fault does from now on.
    pub fn show(&mut self) {
        self.asks.shows = true;
    }

    /// Passes a run on, as of `as_of_ns`: now, or the instant at which it was due.
    pub fn pass(&mut self, held: Held, as_of_ns: u64) {
        let counts = &self.fault.counts;
        counts.passed.fetch_add(held.count() as u64, Relaxed);
        if held.count() > 0 {
            counts.runs.fetch_add(1, Relaxed);
            counts.delayed_ns.fetch_add(self.now_ns.saturating_sub(held.came_ns), Relaxed);
        }
        self.output.push(Held::new(as_of_ns, held.part));
    }

    /// Passes on all that waits, as far as there is room.
    pub fn pass_all(&mut self) {
        while self.pass_next(self.now_ns) {}
    }

    /// Passes on the run or the end that is next, if there is room; says whether there was one, and room.
    pub fn pass_next(&mut self, as_of_ns: u64) -> bool {
        if self.output.is_full() {
            return false;
        }
        let next = self.input.pop();
        let passed = next.is_some();
        next.into_iter().for_each(|held| self.pass(held, as_of_ns));
        passed
    }

    /// Passes on at most `bytes` of the run that is next, or the end that is, whether or not there is room; how many they were.
    pub fn pass_part(&mut self, bytes: u64, as_of_ns: u64) -> u64 {
        let Some(held) = self.input.pop_part(usize::try_from(bytes).unwrap_or(usize::MAX)) else { return 0 };
        let passed = held.count() as u64;
        self.pass(held, as_of_ns);
        passed
    }

    /// Takes the run that is next away for ever.
    pub fn swallow_next(&mut self) {
        let count = self.input.pop().map_or(0, |held| held.count());
        self.fault.counts.swallowed.fetch_add(count as u64, Relaxed);
        self.asks.swallows = true;
    }

    pub fn bytes_are_next(&self) -> bool {
        matches!(self.input.front(), Some(Held { part: HeldPart::Bytes(_), .. }))
    }
}
