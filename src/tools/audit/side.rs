//! One end of a conversation: sends and reads patterns, and keeps an account of what it saw.
//!
//! Every wait has a limit; what does not come within it is [`End::Stuck`]. Dropping a side resets its connection.

use crate::{
    net::socket::settle,
    relay::leg::Leg,
    runtime::clock::within,
    tools::{
        audit::observation::{End, Seen},
        load::{content::Content, room::Room},
    },
};
use futures::{AsyncReadExt, AsyncWriteExt};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

/// A connection that stands still longer is stuck, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(5);
const PIECE_BYTES: u64 = 64 * 1024;

pub struct Side<'a> {
    leg: Leg,
    seen: &'a Cell<Seen>,
    other_seen: &'a Cell<Seen>,
    room: &'a Room,
    sends: Content,
    receives: Content,
    patience: Cell<Duration>,
}

impl<'a> Side<'a> {
    /// An end with its account and the other end's. It sends the pattern of one seed and expects that of another.
    pub fn new(
        leg: Leg,
        [seen, other_seen]: [&'a Cell<Seen>; 2],
        room: &'a Room,
        [sends, receives]: [u64; 2],
    ) -> Self {
        let (sends, receives) = (Content::pattern(sends), Content::pattern(receives));
        Side { leg, seen, other_seen, room, sends, receives, patience: Cell::new(PATIENCE) }
    }

    /// From now on waits `pause` longer than [`PATIENCE`]: the other end takes its time.
    pub fn expect_pause(&self, pause: Duration) {
        self.patience.set(PATIENCE + pause);
    }

    fn note(&self, end: End) {
        self.seen.update(|seen| seen.ended(end));
    }

    /// Waits for `work` with patience. If it fails or does not come, that is the end.
    async fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> Option<T> {
        match within(Some(self.patience.get()), work).await {
            Some(Ok(value)) => Some(value),
            end => {
                self.note(end_of(end));
                None
            }
        }
    }

    /// Sends something that is no part of the account; whether it could.
    pub async fn say(&self, bytes: &[u8]) -> bool {
        self.wait((&self.leg).write_all(bytes)).await.is_some()
    }

    /// Sends the next `count` bytes; whether all were taken.
    pub async fn send(&self, count: u64) -> bool {
        let goal = self.sent() + count;
        while self.sent() < goal {
            if self.wait(self.send_some(goal)).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Sends up to `most` bytes, until none was taken for as long as `still`; whether it was stopped so.
    pub async fn send_until_held(&self, most: u64, still: Duration) -> bool {
        let goal = self.sent() + most;
        while self.sent() < goal {
            match within(Some(still), self.send_some(goal)).await {
                Some(Ok(())) => {}
                None => return true,
                end => {
                    self.note(end_of(end));
                    return false;
                }
            }
        }
        false
    }

    async fn send_some(&self, goal: u64) -> io::Result<()> {
        let sent = self.sent();
        let bytes = self.sends.at(sent, (goal - sent).min(PIECE_BYTES));
        let count = poll_fn(|context| self.leg.poll_write(context, bytes)).await?;
        self.other_seen.update(|seen| Seen { sent: sent + count as u64, ..seen });
        Ok(())
    }

    pub async fn send_urgent(&self) -> bool {
        self.wait(self.leg.socket().send_urgent(b'!')).await.is_some()
    }

    /// Reads the next `count` bytes; whether all came.
    pub async fn read(&self, count: u64) -> bool {
        let goal = self.seen.get().received + count;
        while self.seen.get().received < goal {
            if !self.read_some(goal - self.seen.get().received).await {
                return false;
            }
        }
        true
    }

    /// Reads to the end of the stream; whether that was a FIN.
    pub async fn read_to_end(&self) -> bool {
        while self.read_some(u64::MAX).await {}
        matches!(self.seen.get().end, End::Fin | End::Truncated)
    }

    /// Reads at most `most` bytes; notes the end if there are no more.
    async fn read_some(&self, most: u64) -> bool {
        let read = poll_fn(|context| {
            self.room.lend(|room| {
                let size = room.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                let read = self.leg.poll_read(context, &mut room[..size]);
                if let Poll::Ready(Ok(count)) = &read {
                    self.account(&room[..*count]);
                }
                read
            })
        });
        let Some(count) = self.wait(read).await else { return false };
        if count == 0 {
            self.note(End::Fin);
        }
        count > 0
    }

    fn account(&self, bytes: &[u8]) {
        let mut seen = self.seen.get();
        if seen.wrong_at.is_none() && !self.receives.is_at(seen.received, bytes) {
            let mut places = (seen.received..).zip(bytes);
            seen.wrong_at =
                places.find(|(place, byte)| !self.receives.is_at(*place, &[**byte])).map(|(place, _)| place);
        }
        seen.received += bytes.len() as u64;
        self.seen.set(seen);
    }

    /// Reads something that is no part of the account; whether it was `expected`.
    pub async fn hear(&self, expected: &[u8]) -> bool {
        let mut heard = vec![0; expected.len()];
        let read = within(Some(self.patience.get()), (&self.leg).read_exact(&mut heard)).await;
        matches!(read, Some(Ok(()))) && heard == expected
    }

    pub fn sent(&self) -> u64 {
        self.other_seen.get().sent
    }

    /// The connection, in whatever state it is.
    pub fn into_leg(self) -> Leg {
        self.leg
    }

    /// Ends the stream, over TLS by close_notify first.
    pub async fn finish(&self) {
        let finish = poll_fn(|context| self.leg.poll_finish(context));
        // If the connection is gone, reading tells how.
        within(Some(self.patience.get()), finish).await;
    }

    /// Ends the stream as one that was cut off, after `bytes` that TLS does not protect: over TLS by FIN alone, and the
    /// connection stays for what comes back; without TLS by RST.
    pub async fn truncate(self, bytes: &[u8]) -> Option<Leg> {
        let Leg::Tls(tls) = &self.leg else { return None };
        let socket = tls.socket();
        // If the connection is gone, the other end tells how.
        let _ = self.wait(socket.write_all(bytes, false)).await.is_some_and(|()| socket.finish().is_ok());
        Some(self.leg)
    }

    /// Waits until the other side's kernel has all that was sent.
    pub async fn settle(&self) {
        within(Some(self.patience.get()), settle(self.leg.socket())).await;
    }

    /// Resets the connection; what was sent and is not acknowledged is lost.
    pub fn reset(self) {
        drop(self);
    }

    /// Closes the connection; what was sent still arrives. Over TLS a peer has something to say even where its stream has
    /// not a byte (tickets), and close(2) would answer it by a RST: so its end is awaited.
    pub async fn close(self) {
        if let Leg::Tls(_) = &self.leg {
            self.finish().await;
            if self.seen.get().end == End::Unwatched {
                within(Some(self.patience.get()), self.drain()).await;
            }
        }
        self.leg.socket().close_when_dropped();
    }

    /// Reads to the end what is no part of the account.
    async fn drain(&self) {
        let read = |context: &mut Context<'_>| {
            self.room
                .lend(|room| self.leg.poll_read(context, room).map(|read| read.is_ok_and(|count| count > 0)))
        };
        while poll_fn(read).await {}
    }
}

/// How a connection ended of which nothing good came; none: nothing came in time.
pub fn end_of<T>(end: Option<io::Result<T>>) -> End {
    match end {
        Some(Err(error)) => End::of(&error),
        _ => End::Stuck,
    }
}
