//! What a server knows of all its sessions: their sums, which each shard's supervisor keeps, and the last ones that ended.
//!
//! What is counted of a session moves from its record into the books in the step that takes it off the set of live
//! sessions, so that it is never missed and never counted twice.

use crate::{
    relay::direction::Direction,
    report::{
        histogram::{Histogram, LIFE, NETWORK},
        tally::{DirectionBytes, Handshakes, ListenerTally, Tally},
        verdict::Ended,
    },
    runtime::lock::Lock,
    session::{cause::Cause, health::Health, listening::Listening, record::Record},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// The sums of the sessions of a shard that ended.
#[derive(Clone)]
pub struct Books {
    sums: Tally,
    remembered: Arc<Remembered>,
}

/// The last sessions that ended, on any shard.
pub struct Remembered {
    /// How many, some 400 bytes each.
    keep: AtomicUsize,
    /// The newest last.
    last: Lock<VecDeque<Arc<Ended>>>,
}

impl Books {
    /// Empty books for the sessions of `listenings`; a clone shares what is remembered.
    pub fn new(listenings: &[Arc<Listening>], remembered: Arc<Remembered>) -> Self {
        let sums = Tally {
            listeners: listenings
                .iter()
                .map(|one| ListenerTally::new(one.name.clone(), one.target.mode()))
                .collect(),
            client_bytes: 0,
            upstream_bytes: 0,
            dials: Histogram::new(NETWORK),
            lives: Histogram::new(LIFE),
            handshakes: Handshakes::default(),
        };
        Books { sums, remembered }
    }

    pub fn open(&mut self, record: &Record) {
        listener(&mut self.sums, record).opened += 1;
    }

    /// The session of `record` has ended; it moves nothing more.
    pub fn close(&mut self, record: &Record, ended: Ended) {
        listener(&mut self.sums, record).closed[record.cause() as usize] += 1;
        add_moved(&mut self.sums, record);
        add_failed(&mut self.sums, record);
        self.sums.lives.observe(ended.close.duration);
        self.remembered.add(ended);
    }

    /// The sums with these sessions, which live.
    pub fn tally<'a>(&self, live: impl Iterator<Item = &'a Record>) -> Tally {
        let mut sums = self.sums.clone();
        for record in live {
            add_moved(&mut sums, record);
            let listener = listener(&mut sums, record);
            listener.active += 1;
            listener.health[Health::of(record) as usize] += 1;
        }
        sums
    }
}

impl Remembered {
    /// Remembers the last `keep`.
    pub fn new(keep: usize) -> Self {
        Remembered { keep: AtomicUsize::new(keep), last: Lock::default() }
    }

    fn add(&self, ended: Ended) {
        let mut last = self.last();
        last.push_back(Arc::new(ended));
        let surplus = last.len().saturating_sub(self.keep.load(Relaxed));
        last.drain(..surplus);
    }

    /// Remembers the last `keep` from now on.
    pub fn set_keep(&self, keep: usize) {
        self.keep.store(keep, Relaxed);
    }

    /// The newest `count` of the sessions that ended, the newest last.
    pub fn newest(&self, count: usize) -> Vec<Arc<Ended>> {
        let last = self.last();
        last.iter().skip(last.len().saturating_sub(count)).cloned().collect()
    }

    /// The session with this number, if it has ended and is remembered.
    pub fn find(&self, id: u64) -> Option<Arc<Ended>> {
        self.last().iter().rev().find(|ended| ended.close.session == id).cloned()
    }

    fn last(&self) -> MutexGuard<'_, VecDeque<Arc<Ended>>> {
        self.last.lock()
    }
}

fn listener<'a>(sums: &'a mut Tally, record: &Record) -> &'a mut ListenerTally {
    sums.listener(&record.listening.name, record.mode())
}

/// Handshakes that failed: with the client, with the server that was the last, and with those that were tried before.
fn add_failed(sums: &mut Tally, record: &Record) {
    let introduction = record.introduced();
    let is_open = introduction.is_some_and(|of| of.client_tls.get().is_some());
    let handshakes = &mut sums.handshakes;
    match record.cause() {
        Cause::TlsClient if !is_open => handshakes.with_clients.failed += 1,
        Cause::HandshakeTimeout => handshakes.with_clients.late += 1,
        _ => {}
    }
    let is_reached = introduction.is_some_and(|of| of.upstream_tls.get().is_some());
    let tried = record.choice().map(|choice| &choice.tried[..]).unwrap_or_default();
    let failed = tried.iter().filter(|tried| tried.error.as_str() == Cause::TlsUpstream.name()).count();
    // Of a bare address there is no choice to tell.
    let is_untold = failed == 0 && !is_reached && record.cause() == Cause::TlsUpstream;
    handshakes.with_upstreams.failed += failed as u64 + u64::from(is_untold);
}

/// Bytes, dials and handshakes count from when they happen, not from the session's end.
fn add_moved(sums: &mut Tally, record: &Record) {
    let bytes = |way: &Direction| DirectionBytes { received: way.received(), sent: way.delivered() };
    let moved = &mut listener(sums, record).moved;
    moved.from_client.add(bytes(&record.from_client));
    moved.from_upstream.add(bytes(&record.from_upstream));
    sums.client_bytes += record.client_bytes();
    sums.upstream_bytes += record.upstream_bytes();
    if let Some(introduction) = record.introduced() {
        let Handshakes { with_clients, with_upstreams } = &mut sums.handshakes;
        introduction.client_tls.get().iter().for_each(|tls| with_clients.count(tls));
        introduction.upstream_tls.get().iter().for_each(|tls| with_upstreams.count(tls));
    }
    if let Some(dial) = record.dial()
        && let Some(connect) = dial.connect
    {
        sums.dials.observe(dial.resolve.unwrap_or(Duration::ZERO) + connect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{outcome::Outcome, record::Dial, target::Target};
    use strum::VariantArray;

    fn record() -> Arc<Record> {
        Record::sample(1, Target::upstream("127.0.0.1:1"))
    }

    fn books(keep: usize) -> Books {
        Books::new(&[record().listening.clone()], Arc::new(Remembered::new(keep)))
    }

    #[test]
    fn causes_and_healths_are_numbered_in_their_order() {
        for (number, cause) in Cause::VARIANTS.iter().copied().enumerate() {
            assert_eq!(cause as usize, number);
        }
        for (number, health) in Health::VARIANTS.iter().copied().enumerate() {
            assert_eq!(health as usize, number);
        }
    }

    #[test]
    fn a_session_counts_the_same_alive_and_ended() {
        let (mut books, record) = (books(0), record());
        books.open(&record);
        record.from_client.add_received(3);
        record.from_upstream.add_received(4);
        let (resolve, connect) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        record.set_dial(Dial { upstream: None, local: None, resolve, connect });
        let alive = books.tally([&*record].into_iter());
        record.conclude(Outcome::Due(Cause::ClientReset));
        books.close(&record, Ended::now(&record));
        let ended = books.tally([].into_iter());
        for tally in [&alive, &ended] {
            assert_eq!((tally.opened(), tally.client_bytes, tally.upstream_bytes), (1, 3, 4));
            assert_eq!((tally.dials.count(), tally.dials.sum()), (1, 0.003));
        }
        assert_eq!((alive.active(), alive.lives.count()), (1, 0));
        assert_eq!((ended.active(), ended.lives.count()), (0, 1));
        let live = |tally: &Tally| tally.health().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!((live(&alive), live(&ended)), (vec![(Health::Live, 1)], vec![]));
        let closed: Vec<_> = ended.closed().filter(|(_, count)| *count > 0).collect();
        assert_eq!(closed, [(Cause::ClientReset, 1)]);
    }

    #[test]
    fn a_dial_that_failed_has_no_duration() {
        let (mut books, record) = (books(0), record());
        record.set_dial(Dial { upstream: None, local: None, resolve: None, connect: None });
        books.close(&record, Ended::now(&record));
        assert_eq!(books.tally([].into_iter()).dials.count(), 0);
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut books = books(2);
        for id in 1..=3 {
            let record = Record::sample(id, Target::Echo);
            books.close(&record, Ended::now(&record));
        }
        let ids = |ended: Vec<Arc<Ended>>| ended.iter().map(|one| one.close.session).collect::<Vec<_>>();
        assert_eq!(ids(books.remembered.newest(9)), [2, 3]);
        assert_eq!(ids(books.remembered.newest(1)), [3]);
        assert!(books.remembered.find(1).is_none() && books.remembered.find(2).is_some());
    }
}
