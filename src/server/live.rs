//! The live sessions of a shard: what may be asked of them, and how they end before their time.

use crate::{
    report::{tally::Tally, verdict::Ended},
    runtime::{limit::Slot, task::Task},
    server::books::Books,
    session::{
        cause::Cause,
        delivery,
        event::{Events, What},
        order::Order,
        outcome::Outcome,
        record::Record,
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The set of live sessions, and the books in which they end. If it is dropped before they have ended, by a fault of its shard,
/// each still gets its close line.
pub(super) struct LiveSessions {
    sessions: HashMap<u64, LiveSession>,
    books: Books,
    events: Events,
    /// How many there are, those that wait to be admitted included.
    count: Arc<AtomicUsize>,
    /// No more are to come.
    pub draining: bool,
}

/// Dropping it resets its peers and gives its slot back.
struct LiveSession {
    record: Arc<Record>,
    _task: Task<()>,
    _slot: Slot,
}

impl LiveSessions {
    pub fn new(books: Books, events: Events, count: Arc<AtomicUsize>) -> Self {
        LiveSessions { sessions: HashMap::new(), books, events, count, draining: false }
    }

    /// A session begins that is to be [inserted](LiveSessions::insert) or [refused](LiveSessions::refuse).
    pub fn open(&mut self, record: &Record) {
        self.books.open(record);
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub fn list(&self) -> Vec<Arc<Record>> {
        self.sessions.values().map(|session| session.record.clone()).collect()
    }

    pub fn find(&self, id: u64) -> Option<Arc<Record>> {
        self.sessions.get(&id).map(|session| session.record.clone())
    }

    /// The sums of all sessions, live ones included.
    pub fn tally(&self) -> Tally {
        self.books.tally(self.sessions.values().map(|session| &*session.record))
    }

    pub fn insert(&mut self, record: Arc<Record>, task: Task<()>, slot: Slot) {
        self.sessions.insert(record.id, LiveSession { record, _task: task, _slot: slot });
    }

    /// Ends a session that may not begin. If it is one of many, it is not told.
    pub fn refuse(&mut self, record: &Record, cause: Cause, mut why: Box<str>) {
        let untold = match cause {
            Cause::RefusedAccess => record.listening.refusals.tell(),
            _ => Some(0),
        };
        if let Some(more @ 1..) = untold {
            why = format!("{why}, as {more} before it").into();
        }
        record.conclude(Outcome::Refused(cause, why));
        self.close(record, untold.is_some());
    }

    /// Takes a session off that has ended, if it was not cut before that.
    pub fn finished(&mut self, id: u64) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let is_denied = session.record.cause() == Cause::RefusedAccess;
        self.close(&session.record, !is_denied || session.record.listening.refusals.tell().is_some());
    }

    /// Ends those of the sessions that are here, by RST or by `fin` after what is under way; says which are not.
    pub fn cut(&mut self, mut ids: Vec<u64>, fin: bool) -> Vec<u64> {
        ids.retain(|id| !self.cut_one(*id, fin));
        ids
    }

    fn cut_one(&mut self, id: u64, fin: bool) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        if !(fin && session.record.orders.give(Order::Finish)) {
            session.record.conclude(Outcome::Cut);
            delivery::note_lost(&session.record);
            self.finished(id);
        }
        true
    }

    pub fn end_all(&mut self, outcome: impl Fn() -> Outcome) {
        for session in std::mem::take(&mut self.sessions).into_values() {
            session.record.conclude(outcome());
            delivery::note_lost(&session.record);
            self.close(&session.record, true);
        }
    }

    /// Books the end of a session that is not in the set any more, tells it unless too many are, and remembers it.
    fn close(&mut self, record: &Record, is_told: bool) {
        self.count.fetch_sub(1, Relaxed);
        record.end_introduction(&self.events);
        let ended = Ended::now(record);
        record.taps.end(|| ended.verdict());
        if is_told {
            self.events.tell_with(|| What::Close(Box::new(ended.close.clone())));
        }
        self.books.close(record, ended);
    }
}

impl Drop for LiveSessions {
    fn drop(&mut self) {
        self.end_all(|| Outcome::Aborted);
    }
}
