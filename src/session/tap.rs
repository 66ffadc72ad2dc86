//! Taps: observers that come to a running session and go again. Each has a mailbox; what it does not take is counted.

use crate::{
    relay::gate::ChunkWatcher,
    runtime::{
        lock::Lock,
        mailbox::{Mailbox, Refused, Sender, mailbox},
    },
    session::{
        event::Side,
        mark::{Mark, MarkKind},
        record::Record,
    },
};
use once_cell::race::OnceBox;
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// Pieces that may wait for a slow tap: 1 MiB, as a copied piece has up to 16 KiB.
const PIECES: usize = 64;
/// The same of one among many taps: 128 KiB.
const PIECES_OF_MANY: usize = 8;
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

/// What a tap is shown.
#[derive(Clone, Debug)]
pub enum Sight {
    Piece(Piece),
    Mark(Mark),
}

/// What a tap wants to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// The side whose bytes are shown; none: both.
    pub from: Option<Side>,
    /// Marks too.
    pub marks: bool,
    /// It is one of many taps of one operator.
    pub of_many: bool,
}

/// How many taps a session has, and how it ended, for them. Without taps it is a pointer.
#[derive(Default)]
pub struct Taps {
    attached: OnceBox<Attached>,
}

#[derive(Default)]
struct Attached {
    count: AtomicUsize,
    /// Where the taps are that want marks.
    marked: Lock<Vec<Arc<Address>>>,
    /// How the session ended, once it has.
    verdict: Arc<OnceLock<String>>,
}

/// Where a tap is shown something.
struct Address {
    sights: Sender<Sight>,
    lost: Arc<AtomicU64>,
}

/// One tap at one direction.
struct Tap {
    from: Side,
    marks: bool,
    began_ns: u64,
    to: Arc<Address>,
}

/// The far end of a tap. Dropping it takes the tap off its session.
pub struct Watcher {
    record: Weak<Record>,
    /// One at each direction that it watches.
    taps: Vec<Weak<dyn ChunkWatcher>>,
    /// Where it is shown marks, if it is.
    marked: Weak<Address>,
    /// What the session moves; ends with the session.
    pub sights: Mailbox<Sight>,
    lost: Arc<AtomicU64>,
    verdict: Arc<OnceLock<String>>,
}

impl Watcher {
    /// Taps the session of `record`. None if it has too many taps already.
    pub fn attach(record: &Arc<Record>, view: View) -> Option<Self> {
        let attached = record.taps.attached.get_or_init(Box::default);
        let one_more = |count: usize| (count < TAPS_MAX).then_some(count + 1);
        attached.count.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        let (address, sights) = mailbox(if view.of_many { PIECES_OF_MANY } else { PIECES });
        let lost = Arc::new(AtomicU64::new(0));
        let address = Arc::new(Address { sights: address, lost: lost.clone() });
        let mut taps = Vec::new();
        for (direction, side) in record.sides() {
            if view.from.is_none_or(|wanted| wanted == side) {
                let (marks, began_ns) = (view.marks, record.began_ns());
                taps.push(direction.gate.watch(Arc::new(Tap {
                    from: side,
                    marks,
                    began_ns,
                    to: address.clone(),
                })));
            }
        }
        let mut marked = Weak::new();
        if view.marks {
            marked = Arc::downgrade(&address);
            attached.marked.lock().push(address);
        }
        let verdict = attached.verdict.clone();
        Some(Watcher { record: Arc::downgrade(record), taps, marked, sights, lost, verdict })
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
            self.taps.iter().for_each(|tap| direction.gate.unwatch(tap));
        }
        if let Some(attached) = record.taps.attached.get() {
            attached.count.fetch_sub(1, Relaxed);
            attached.marked.lock().retain(|address| !Weak::ptr_eq(&Arc::downgrade(address), &self.marked));
        }
    }
}

impl Taps {
    pub fn count(&self) -> usize {
        self.attached.get().map_or(0, |attached| attached.count.load(Relaxed))
    }

    /// Shows a mark to every tap that wants it.
    pub fn mark(&self, mark: impl FnOnce() -> Mark) {
        let Some(attached) = self.attached.get() else { return };
        let marked = attached.marked.lock();
        if !marked.is_empty() {
            let mark = mark();
            marked.iter().for_each(|address| address.show(Sight::Mark(mark.clone())));
        }
    }

    /// Tells every tap how the session ended: a tap may learn it nowhere else, if no ended session is remembered.
    pub fn end(&self, verdict: impl FnOnce() -> String) {
        if let Some(attached) = self.attached.get() {
            attached.verdict.get_or_init(verdict);
        }
    }
}

impl Address {
    fn show(&self, sight: Sight) {
        if let Err(Refused::Full(_)) = self.sights.try_send(sight) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

impl Tap {
    fn mark(&self, kind: MarkKind) {
        if self.marks {
            self.to.show(Sight::Mark(Mark::now(kind, Some(self.from), self.began_ns)));
        }
    }
}

impl ChunkWatcher for Tap {
    fn show(&self, offset: u64, bytes: &[u8]) {
        if offset == 0 {
            self.mark(MarkKind::FirstByte);
        }
        let piece = Piece { at: SystemTime::now(), from: self.from, offset, bytes: bytes.into() };
        self.to.show(Sight::Piece(piece));
    }

    fn ended(&self) {
        self.mark(MarkKind::Fin);
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
        record.from_client.note_received(b"before");
        let mut both = Watcher::attach(&record, View::default()).unwrap();
        let view = View { from: Some(Side::Upstream), ..View::default() };
        let mut upstream = Watcher::attach(&record, view).unwrap();
        record.from_client.note_received(b"up");
        record.from_upstream.note_received(b"down");
        let shown = |watcher: &mut Watcher| match watcher.sights.try_next() {
            Some(Sight::Piece(piece)) => Some((piece.offset, piece.bytes.to_vec())),
            _ => None,
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
        let watcher = Watcher::attach(&record, View::default()).unwrap();
        for _ in 0..PIECES + 3 {
            record.from_client.note_received(b"x");
        }
        assert_eq!((watcher.take_lost(), watcher.take_lost()), (3, 0));
    }

    #[test]
    fn a_session_that_ends_ends_its_taps_and_tells_them_how() {
        let record = record();
        let mut watcher = Watcher::attach(&record, View::default()).unwrap();
        assert_eq!(watcher.verdict(), None);
        record.taps.end(|| "somehow".into());
        drop(record);
        assert_eq!(watcher.verdict(), Some("somehow"));
        assert!(futures::executor::block_on(watcher.sights.next()).is_none());
    }

    #[test]
    fn a_tap_that_wants_marks_is_shown_the_first_byte_and_the_end_of_each_side_in_their_place() {
        let record = record();
        let mut marked = Watcher::attach(&record, View { marks: true, ..View::default() }).unwrap();
        let mut plain = Watcher::attach(&record, View::default()).unwrap();
        record.from_client.note_received(b"a");
        record.from_client.note_received(b"b");
        record.from_client.set_ended();
        record.taps.mark(|| Mark::now(MarkKind::Reset, Some(Side::Upstream), 0));
        let mut shown = Vec::new();
        while let Some(sight) = marked.sights.try_next() {
            shown.push(match sight {
                Sight::Piece(piece) => Err(piece.bytes.to_vec()),
                Sight::Mark(mark) => Ok((mark.kind, mark.from)),
            });
        }
        let [client, upstream] = [Some(Side::Client), Some(Side::Upstream)];
        assert_eq!(
            shown,
            [
                Ok((MarkKind::FirstByte, client)),
                Err(b"a".to_vec()),
                Err(b"b".to_vec()),
                Ok((MarkKind::Fin, client)),
                Ok((MarkKind::Reset, upstream)),
            ]
        );
        let mut pieces = 0;
        while let Some(sight) = plain.sights.try_next() {
            assert!(matches!(sight, Sight::Piece(_)));
            pieces += 1;
        }
        assert_eq!(pieces, 2);
    }
}
