//! Taps: observers that come to a running session and go again. Each has a mailbox; what it does not take is counted.

use crate::{
    relay::direction::ChunkWatcher,
    runtime::mailbox::{Mailbox, Refused, Sender, mailbox},
    session::{event::Side, record::Record},
};
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// Pieces that may wait for a slow tap: 1 MiB, as a copied piece has up to 16 KiB.
const PIECES: usize = 64;
/// Taps of one session at once.
const TAPS_MAX: usize = 16;

/// Some bytes of a session, as they arrived.
#[derive(Clone, Debug)]
pub struct Piece {
    pub at: SystemTime,
    pub from: Side,
    /// How many bytes that side had sent before.
    pub offset: u64,
    pub bytes: Arc<[u8]>,
}

/// How many taps a session has, and how it ended, for them. Without taps it is a pointer.
#[derive(Default)]
pub struct Taps {
    attached: OnceLock<Box<Attached>>,
}

#[derive(Default)]
struct Attached {
    count: AtomicUsize,
    /// How the session ended, once it has.
    verdict: Arc<OnceLock<String>>,
}

/// One tap at one direction.
struct Tap {
    from: Side,
    pieces: Sender<Piece>,
    lost: Arc<AtomicU64>,
}

/// The far end of a tap. Dropping it takes the tap off its session.
pub struct Watcher {
    record: Weak<Record>,
    /// One at each direction that it watches.
    taps: Vec<Weak<dyn ChunkWatcher>>,
    /// What the session moves; ends with the session.
    pub pieces: Mailbox<Piece>,
    lost: Arc<AtomicU64>,
    verdict: Arc<OnceLock<String>>,
}

impl Watcher {
    /// Taps the session of `record`: what one side sends, or both. None if it has too many taps already.
    pub fn attach(record: &Arc<Record>, from: Option<Side>) -> Option<Self> {
        let attached = record.taps.attached.get_or_init(Box::default);
        let one_more = |count: usize| (count < TAPS_MAX).then_some(count + 1);
        attached.count.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        let (address, pieces) = mailbox(PIECES);
        let lost = Arc::new(AtomicU64::new(0));
        let mut taps = Vec::new();
        for (direction, side) in record.sides() {
            if from.is_none_or(|wanted| wanted == side) {
                let tap = Tap { from: side, pieces: address.clone(), lost: lost.clone() };
                taps.push(direction.watch(Arc::new(tap)));
            }
        }
        let verdict = attached.verdict.clone();
        Some(Watcher { record: Arc::downgrade(record), taps, pieces, lost, verdict })
    }

    /// How the session ended; none while it lives.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    /// How many pieces were lost since this was last asked.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(record) = self.record.upgrade() else { return };
        for (direction, _) in record.sides() {
            self.taps.iter().for_each(|tap| direction.unwatch(tap));
        }
        if let Some(attached) = record.taps.attached.get() {
            attached.count.fetch_sub(1, Relaxed);
        }
    }
}

impl Taps {
    pub fn count(&self) -> usize {
        self.attached.get().map_or(0, |attached| attached.count.load(Relaxed))
    }

    /// Tells every tap how the session ended: a tap may learn it nowhere else, if no ended session is remembered.
    pub fn end(&self, verdict: impl FnOnce() -> String) {
        if let Some(attached) = self.attached.get() {
            attached.verdict.get_or_init(verdict);
        }
    }
}

impl ChunkWatcher for Tap {
    fn show(&self, offset: u64, bytes: &[u8]) {
        let piece = Piece { at: SystemTime::now(), from: self.from, offset, bytes: bytes.into() };
        if let Err(Refused::Full(_)) = self.pieces.try_send(piece) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    fn record() -> Arc<Record> {
        Record::sample(1, Target::Origin)
    }

    #[test]
    fn every_tap_is_shown_what_it_asked_for_until_it_goes() {
        let record = record();
        record.from_client.receive(b"before");
        let mut both = Watcher::attach(&record, None).unwrap();
        let mut upstream = Watcher::attach(&record, Some(Side::Upstream)).unwrap();
        record.from_client.receive(b"up");
        record.from_upstream.receive(b"down");
        let shown = |watcher: &mut Watcher| {
            watcher.pieces.try_next().map(|piece| (piece.offset, piece.bytes.to_vec()))
        };
        assert_eq!(shown(&mut both), Some((6, b"up".to_vec())));
        assert_eq!(shown(&mut both), Some((0, b"down".to_vec())));
        assert_eq!(shown(&mut upstream), Some((0, b"down".to_vec())));
        drop(both);
        assert_eq!(record.taps.count(), 1);
        drop(upstream);
        assert_eq!(record.taps.count(), 0);
    }

    #[test]
    fn a_tap_that_does_not_take_loses_pieces_and_knows_how_many() {
        let record = record();
        let watcher = Watcher::attach(&record, None).unwrap();
        for _ in 0..PIECES + 3 {
            record.from_client.receive(b"x");
        }
        assert_eq!((watcher.take_lost(), watcher.take_lost()), (3, 0));
    }

    #[test]
    fn a_session_that_ends_ends_its_taps_and_tells_them_how() {
        let record = record();
        let mut watcher = Watcher::attach(&record, None).unwrap();
        assert_eq!(watcher.verdict(), None);
        record.taps.end(|| "somehow".into());
        drop(record);
        assert_eq!(watcher.verdict(), Some("somehow"));
        assert!(futures::executor::block_on(watcher.pieces.next()).is_none());
    }
}
