//! A tap over a control connection: the bytes of a running session, until it ends or its watcher has enough.

use crate::{
    control::protocol::Last,
    server::control::connection::Connection,
    session::{
        event::Side,
        tap::{Piece, Watcher},
    },
    text::{hex::Hex, moment::Moment},
};
use futures::{FutureExt, select_biased};
use serde::Serialize;
use std::{io, time::Duration};

/// Pieces are put together up to about this size, and written at once.
const BATCH_BYTES: usize = 64 * 1024;
/// A watcher that takes nothing for so long has gone; until then it only loses pieces.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// What a tap tells.
#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    /// The tap is on.
    Attached { attached: u64 },
    /// Some bytes.
    Data { ts: String, from: Side, offset: u64, bytes: usize, hex: String },
    /// Pieces that this watcher was too slow for.
    Lost { lost: u64 },
    /// The session has ended.
    Ended { ended: String },
}

impl Connection {
    /// Shows what a session moves, at most `limit` bytes of a piece. Any line of the client ends it.
    pub(super) async fn tap(
        &mut self,
        session: u64,
        from: Option<Side>,
        limit: Option<usize>,
    ) -> io::Result<Last> {
        let Some(record) = self.facts.supervisor.find(session).await else {
            return Ok(self.unknown(&[session]).await);
        };
        let Some(mut watcher) = Watcher::attach(&record, from) else {
            return Ok(Last::Failed { error: format!("session {session} has too many taps already") });
        };
        drop(record);
        self.push_item(&Told::Attached { attached: session });
        self.flush(WRITE_WAIT).await?;
        loop {
            let piece = select_biased! {
                piece = watcher.pieces.next().fuse() => piece,
                more = self.read_more().fuse() => return if more? { Ok(Last::OK) } else { Err(io::ErrorKind::UnexpectedEof.into()) },
            };
            let Some(piece) = piece else { break };
            self.push_item(&told(&piece, limit));
            while self.unwritten() < BATCH_BYTES
                && let Some(piece) = watcher.pieces.try_next()
            {
                self.push_item(&told(&piece, limit));
            }
            self.push_lost(&watcher);
            self.flush(WRITE_WAIT).await?;
        }
        self.push_lost(&watcher);
        if let Some(verdict) = watcher.verdict() {
            self.push_item(&Told::Ended { ended: verdict.to_owned() });
        }
        Ok(Last::OK)
    }

    fn push_lost(&mut self, watcher: &Watcher) {
        let lost = watcher.take_lost();
        if lost > 0 {
            self.push_item(&Told::Lost { lost });
        }
    }
}

fn told(piece: &Piece, limit: Option<usize>) -> Told {
    let shown = limit.map_or(piece.bytes.len(), |limit| limit.min(piece.bytes.len()));
    Told::Data {
        ts: Moment(piece.at).to_string(),
        from: piece.from,
        offset: piece.offset,
        bytes: piece.bytes.len(),
        hex: Hex(&piece.bytes[..shown]).to_string(),
    }
}
