//! Taps: observers that come to a running session and go again. Each has a mailbox; what it does not take is counted.

use crate::{
    runtime::mailbox::{Address, Mailbox, Refused, mailbox},
    session::{event::Side, record::Record},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
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
    /// When they arrived.
    pub at: SystemTime,
    /// Who sent them.
    pub from: Side,
    /// How many bytes that side had sent before.
    pub offset: u64,
    /// The bytes, shared by all taps.
    pub bytes: Arc<[u8]>,
}

/// The taps of one session. Without any it is a pointer.
#[derive(Debug, Default)]
pub struct Taps {
    attached: OnceLock<Box<Attached>>,
}

#[derive(Default)]
struct Attached {
    count: AtomicUsize,
    last_id: AtomicU64,
    taps: Mutex<Vec<Tap>>,
    /// How the session ended, once it has.
    verdict: Arc<OnceLock<String>>,
}

struct Tap {
    id: u64,
    from: Option<Side>,
    pieces: Address<Piece>,
    lost: Arc<AtomicU64>,
}

/// The far end of a tap. Dropping it takes the tap off its session.
pub struct Watcher {
    record: Weak<Record>,
    id: u64,
    /// What the session moves; ends with the session.
    pub pieces: Mailbox<Piece>,
    lost: Arc<AtomicU64>,
    verdict: Arc<OnceLock<String>>,
}

impl Watcher {
    /// Taps the session of `record`: what one side sends, or both. None where it has too many taps already.
    #[must_use]
    pub fn attach(record: &Arc<Record>, from: Option<Side>) -> Option<Self> {
        let attached = record.taps.attached.get_or_init(Box::default);
        let mut taps = attached.lock();
        if taps.len() >= TAPS_MAX {
            return None;
        }
        let (address, pieces) = mailbox(PIECES);
        let id = attached.last_id.fetch_add(1, Relaxed);
        let lost = Arc::new(AtomicU64::new(0));
        taps.push(Tap { id, from, pieces: address, lost: lost.clone() });
        attached.count.store(taps.len(), Relaxed);
        let verdict = attached.verdict.clone();
        Some(Watcher { record: Arc::downgrade(record), id, pieces, lost, verdict })
    }

    /// How the session ended; none while it lives.
    #[must_use]
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    /// How many pieces were lost since this was last asked.
    #[must_use]
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(record) = self.record.upgrade()
            && let Some(attached) = record.taps.attached.get()
        {
            let mut taps = attached.lock();
            taps.retain(|tap| tap.id != self.id);
            attached.count.store(taps.len(), Relaxed);
        }
    }
}

impl Taps {
    /// How many watch just now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.attached.get().map_or(0, |attached| attached.count.load(Relaxed))
    }

    /// Tells every tap how the session ended: the session is told of nowhere else where none is remembered.
    pub fn end(&self, verdict: impl FnOnce() -> String) {
        if let Some(attached) = self.attached.get() {
            attached.verdict.get_or_init(verdict);
        }
    }

    /// Shows bytes to every tap that wants them, and waits for none.
    pub fn offer(&self, from: Side, offset: u64, bytes: &[u8]) {
        let Some(attached) = self.attached.get().filter(|attached| attached.count.load(Relaxed) > 0) else {
            return;
        };
        let piece = Piece { at: SystemTime::now(), from, offset, bytes: bytes.into() };
        for tap in attached.lock().iter().filter(|tap| tap.from.is_none_or(|wanted| wanted == from)) {
            if let Err(Refused::Full(_)) = tap.pieces.try_send(piece.clone()) {
                tap.lost.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Attached {
    fn lock(&self) -> MutexGuard<'_, Vec<Tap>> {
        // Every change under the lock is one call.
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} taps", self.count.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{net::address::Address, session::event::Mode};

    fn record() -> Arc<Record> {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        Arc::new(Record::new(1, Mode::Echo, address.clone(), address.clone(), address))
    }

    #[test]
    fn every_tap_is_shown_what_it_asked_for_until_it_goes() {
        let record = record();
        record.taps.offer(Side::Client, 0, b"before");
        let mut both = Watcher::attach(&record, None).unwrap();
        let mut upstream = Watcher::attach(&record, Some(Side::Upstream)).unwrap();
        record.taps.offer(Side::Client, 6, b"up");
        record.taps.offer(Side::Upstream, 0, b"down");
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
            record.taps.offer(Side::Client, 0, b"x");
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
