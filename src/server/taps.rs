//! The taps of one operator: of some sessions, of all, or of those to come, as the items that the operator is told.

use crate::{
    control::protocol::{Named, TapItem},
    session::{
        mark::Mark,
        onlookers::{Arrival, Onlooker},
        tap::{Piece, Sight, Watcher},
    },
    text::{hex::HexBytes, moment::Moment, safe::SafeText},
};
use futures::{
    FutureExt, StreamExt,
    future::pending,
    select_biased,
    stream::{BoxStream, SelectAll, unfold},
};
use std::{collections::VecDeque, pin::pin};

/// Sessions that one operator taps at once: 128 MiB of pieces if the operator takes none of them.
const SESSIONS_MAX: usize = 1024;
/// Pieces that are told before it is looked whether others were lost.
const LOST_TOLD_AFTER: usize = 32;

/// What some sessions move from now on; dropping it ends the taps.
pub struct OperatorTaps {
    sessions: SelectAll<BoxStream<'static, TapItem>>,
    /// Sessions to come.
    arrivals: Option<Onlooker<Arrival>>,
    form: Form,
    /// Sessions that could not be tapped, and were not told of.
    missed: u64,
    /// The newest of the sessions that were there at the begin: it may arrive as well.
    newest: u64,
}

/// How a tap is told.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// How many bytes of a piece are shown.
    pub limit: usize,
    pub marks: bool,
}

impl OperatorTaps {
    /// Taps `arrivals` from now on, besides those that are added.
    pub fn new(form: Form, arrivals: Option<Onlooker<Arrival>>) -> Self {
        OperatorTaps { sessions: SelectAll::new(), arrivals, form, missed: 0, newest: 0 }
    }

    /// Adds the tap of a session, to which `past` has happened.
    pub fn add(&mut self, session: u64, watcher: Watcher, past: Vec<Mark>) {
        if self.sessions.len() >= SESSIONS_MAX {
            self.missed += 1;
            return;
        }
        let tap = SessionTap::new(session, watcher, past, self.form);
        let items = unfold(tap, |mut tap| async move { tap.next().await.map(|item| (item, tap)) });
        self.sessions.push(items.boxed());
    }

    /// A session that is there could not be tapped.
    pub fn miss(&mut self) {
        self.missed += 1;
    }

    /// Of those that arrive, this session and older ones were there before.
    pub fn arrive_after(&mut self, session: u64) {
        self.newest = self.newest.max(session);
    }

    /// Waits for the next item; none once every tapped session has ended and no more come. Cancel-safe.
    pub async fn next(&mut self) -> Option<TapItem> {
        loop {
            self.missed += self.arrivals.as_ref().map_or(0, Onlooker::take_lost);
            if self.missed > 0 {
                return Some(TapItem::Missed { missed: std::mem::take(&mut self.missed) });
            }
            if self.arrivals.is_none() && self.sessions.is_empty() {
                return None;
            }
            match self.next_of_both().await {
                // It was there at the begin, and is tapped.
                Next::Arrival(Some(arrival)) if arrival.session <= self.newest => {}
                Next::Arrival(Some(arrival)) => self.add(arrival.session, arrival.watcher, arrival.past),
                Next::Arrival(None) => self.arrivals = None,
                Next::Item(item) => return Some(item),
                Next::NoSession => {}
            }
        }
    }

    async fn next_of_both(&mut self) -> Next {
        let arrival = async {
            match &mut self.arrivals {
                Some(arrivals) => arrivals.shown.next().await,
                None => pending().await,
            }
        };
        if self.sessions.is_empty() {
            return Next::Arrival(arrival.await);
        }
        let mut item = self.sessions.next();
        select_biased! {
            arrival = pin!(arrival.fuse()) => Next::Arrival(arrival),
            item = item => item.map_or(Next::NoSession, Next::Item),
        }
    }
}

enum Next {
    /// A session that begins, or none if no more come.
    Arrival(Option<Arrival>),
    Item(TapItem),
    /// The last of those that were tapped has ended.
    NoSession,
}

/// What one session moves.
struct SessionTap {
    session: u64,
    watcher: Watcher,
    form: Form,
    /// What is told first.
    first: VecDeque<TapItem>,
    /// Marks that were told, at the begin.
    told: Vec<Mark>,
    /// Pieces since it was looked whether others were lost.
    pieces: usize,
    ended: bool,
}

impl SessionTap {
    fn new(session: u64, watcher: Watcher, past: Vec<Mark>, form: Form) -> Self {
        let told = if form.marks { past } else { Vec::new() };
        let mut first = VecDeque::from([TapItem::Attached { attached: session }]);
        first.extend(told.iter().map(|mark| item_of_mark(session, mark)));
        SessionTap { session, watcher, form, first, told, pieces: 0, ended: false }
    }

    /// Waits for the next item; none after that which tells how the session ended. Cancel-safe.
    async fn next(&mut self) -> Option<TapItem> {
        if let Some(item) = self.first.pop_front() {
            return Some(item);
        }
        loop {
            let there = if self.pieces < LOST_TOLD_AFTER { self.watcher.sights.try_next() } else { None };
            if there.is_none() {
                self.pieces = 0;
                let lost = self.watcher.take_lost();
                if lost > 0 {
                    return Some(TapItem::Lost { lost, session: self.session });
                }
            }
            let sight = match there {
                Some(sight) => Some(sight),
                None => self.watcher.sights.next().await,
            };
            match sight {
                Some(Sight::Mark(mark)) if self.told.iter().any(|told| told.is_same(&mark)) => {}
                Some(Sight::Mark(mark)) => return Some(item_of_mark(self.session, &mark)),
                Some(Sight::Piece(piece)) => {
                    self.pieces += 1;
                    return Some(self.item(&piece));
                }
                None => return self.end(),
            }
        }
    }

    fn end(&mut self) -> Option<TapItem> {
        let lost = self.watcher.take_lost();
        if lost > 0 {
            return Some(TapItem::Lost { lost, session: self.session });
        }
        let ended = self.watcher.verdict().filter(|_| !self.ended)?.into();
        self.ended = true;
        Some(TapItem::Ended { ended, session: self.session })
    }

    fn item(&self, piece: &Piece) -> TapItem {
        TapItem::Data {
            ts: Moment(piece.at),
            from: piece.from,
            offset: piece.offset,
            bytes: piece.bytes.len() as u64,
            hex: HexBytes(piece.bytes[..self.form.limit.min(piece.bytes.len())].to_vec()),
            session: self.session,
        }
    }
}

fn item_of_mark(session: u64, mark: &Mark) -> TapItem {
    TapItem::Mark {
        ts: Moment(mark.at),
        mark: Named::Known(mark.kind),
        from: mark.from,
        after_us: u64::try_from(mark.after.as_micros()).unwrap_or(u64::MAX),
        about: mark.about.as_deref().map(SafeText::literal),
        session,
    }
}
