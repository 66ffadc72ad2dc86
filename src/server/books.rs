//! The totals over all sessions of a server. The supervisor keeps them: what is counted of a session moves from its record
//! into the books in the step that takes it off the set of live sessions, so that it is never missed and never twice.

use crate::{
    report::{
        histogram::{Histogram, LIFE, NETWORK},
        tally::Tally,
    },
    session::{cause::Cause, record::Record},
};
use std::time::Duration;

/// What is counted of the sessions that have ended.
#[derive(Clone, Debug)]
pub struct Books {
    opened: u64,
    /// By cause, in the order of [`Cause::ALL`].
    closed: [u64; Cause::ALL.len()],
    moved: Moved,
    lives: Histogram,
}

/// Bytes and dials; they count from when they happen, not from the session's end.
#[derive(Clone, Debug)]
struct Moved {
    client_bytes: u64,
    upstream_bytes: u64,
    dials: Histogram,
}

impl Books {
    /// Empty books.
    #[must_use]
    pub fn new() -> Self {
        let moved = Moved { client_bytes: 0, upstream_bytes: 0, dials: Histogram::new(NETWORK) };
        Books { opened: 0, closed: [0; Cause::ALL.len()], moved, lives: Histogram::new(LIFE) }
    }

    /// A session begins.
    pub fn open(&mut self) {
        self.opened += 1;
    }

    /// The session of `record` has ended; it moves nothing more.
    pub fn close(&mut self, record: &Record) {
        self.closed[record.cause() as usize] += 1;
        self.moved.add(record);
        self.lives.observe(record.age());
    }

    /// The books with these sessions, which live.
    pub fn tally<'a>(&self, live: impl Iterator<Item = &'a Record>) -> Tally {
        let mut moved = self.moved.clone();
        let mut active = 0;
        for record in live {
            moved.add(record);
            active += 1;
        }
        let Moved { client_bytes, upstream_bytes, dials } = moved;
        let (opened, closed, lives) = (self.opened, self.closed, self.lives.clone());
        Tally { active, opened, closed, client_bytes, upstream_bytes, dials, lives }
    }
}

impl Default for Books {
    fn default() -> Self {
        Self::new()
    }
}

impl Moved {
    fn add(&mut self, record: &Record) {
        self.client_bytes += record.client_bytes();
        self.upstream_bytes += record.upstream_bytes();
        if let Some(dial) = record.dial()
            && let Some(connect) = dial.connect
        {
            self.dials.observe(dial.resolve.unwrap_or(Duration::ZERO) + connect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{outcome::Outcome, record::Dial, target::Target};
    use std::sync::Arc;

    fn record() -> Arc<Record> {
        Record::sample(1, Target::upstream("127.0.0.1:1"))
    }

    #[test]
    fn causes_are_numbered_in_their_order() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number);
        }
    }

    #[test]
    fn a_session_counts_the_same_alive_and_ended() {
        let (mut books, record) = (Books::new(), record());
        books.open();
        record.from_client.add_received(3);
        record.from_upstream.add_received(4);
        let (resolve, connect) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        record.set_dial(Dial { upstream: None, local: None, resolve, connect });
        let alive = books.tally([&*record].into_iter());
        record.conclude(Outcome::Due(Cause::ClientReset));
        books.close(&record);
        let ended = books.tally([].into_iter());
        for tally in [&alive, &ended] {
            assert_eq!((tally.opened, tally.client_bytes, tally.upstream_bytes), (1, 3, 4));
            assert_eq!((tally.dials.count(), tally.dials.sum()), (1, 0.003));
        }
        assert_eq!((alive.active, alive.lives.count()), (1, 0));
        assert_eq!((ended.active, ended.lives.count()), (0, 1));
        let closed: Vec<_> = ended.closed().filter(|(_, count)| *count > 0).collect();
        assert_eq!(closed, [(Cause::ClientReset, 1)]);
    }

    #[test]
    fn a_dial_that_failed_has_no_duration() {
        let (mut books, record) = (Books::new(), record());
        record.set_dial(Dial { upstream: None, local: None, resolve: None, connect: None });
        books.close(&record);
        assert_eq!(books.tally([].into_iter()).dials.count(), 0);
    }
}
