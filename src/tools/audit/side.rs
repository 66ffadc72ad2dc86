//! One end of a conversation: sends and reads patterns, and keeps an account of what it saw.
//!
//! Every wait has a limit; what does not come within it is [`End::Stuck`]. Dropping a side resets its connection.

use crate::{
    net::socket::{Socket, settle},
    runtime::clock::within,
    tools::{
        audit::observation::{Books, End},
        load::pattern::Pattern,
    },
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    task::Poll,
    time::Duration,
};

/// A connection that stands still longer is stuck, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(5);
const PIECE_BYTES: u64 = 64 * 1024;
const ROOM_BYTES: usize = 64 * 1024;

/// All sides of a thread read into it, between two awaits.
pub type Room = RefCell<Box<[u8]>>;

/// Room for all sides of a thread.
pub fn room() -> Room {
    RefCell::new(vec![0; ROOM_BYTES].into())
}

/// One end of a conversation.
pub struct Side<'a> {
    socket: Socket,
    books: &'a Books,
    room: &'a Room,
    sends: Pattern,
    receives: Pattern,
    patience: Cell<Duration>,
}

impl<'a> Side<'a> {
    /// An end that sends one pattern and expects another.
    pub fn new(socket: Socket, books: &'a Books, room: &'a Room, [sends, receives]: [u64; 2]) -> Self {
        let (sends, receives) = (Pattern::new(sends), Pattern::new(receives));
        Side { socket, books, room, sends, receives, patience: Cell::new(PATIENCE) }
    }

    /// From now on waits `pause` longer than [`PATIENCE`]: the other end takes its time.
    pub fn expect_pause(&self, pause: Duration) {
        self.patience.set(PATIENCE + pause);
    }

    /// Sends something that is no part of the account; whether it could.
    pub async fn say(&self, bytes: &[u8]) -> bool {
        let mut left = bytes;
        while !left.is_empty() {
            match within(Some(self.patience.get()), self.socket.write(left)).await {
                Some(Ok(count)) => left = &left[count..],
                end => {
                    self.books.note(end_of(end));
                    return false;
                }
            }
        }
        true
    }

    /// Sends the next `count` bytes; whether all were taken.
    pub async fn send(&self, count: u64) -> bool {
        let goal = self.books.sent.get() + count;
        while self.books.sent.get() < goal {
            let end = within(Some(self.patience.get()), self.send_some(goal)).await;
            if !matches!(end, Some(Ok(_))) {
                self.books.note(end_of(end));
                return false;
            }
        }
        true
    }

    /// Sends up to `most` bytes, until none was taken for as long as `still`; whether it was stopped so.
    pub async fn send_until_held(&self, most: u64, still: Duration) -> bool {
        let goal = self.books.sent.get() + most;
        while self.books.sent.get() < goal {
            match within(Some(still), self.send_some(goal)).await {
                Some(Ok(_)) => {}
                None => return true,
                end => {
                    self.books.note(end_of(end));
                    return false;
                }
            }
        }
        false
    }

    async fn send_some(&self, goal: u64) -> io::Result<usize> {
        let sent = self.books.sent.get();
        let count = self.socket.write(self.sends.at(sent, (goal - sent).min(PIECE_BYTES))).await?;
        self.books.sent.set(sent + count as u64);
        Ok(count)
    }

    /// Sends an urgent byte, which is no part of the account.
    pub async fn send_urgent(&self) -> bool {
        let end = within(Some(self.patience.get()), self.socket.send_urgent(b'!')).await;
        let done = matches!(end, Some(Ok(())));
        if !done {
            self.books.note(end_of(end));
        }
        done
    }

    /// Reads the next `count` bytes; whether all came.
    pub async fn read(&self, count: u64) -> bool {
        let goal = self.books.received.get() + count;
        while self.books.received.get() < goal {
            if !self.read_some(goal - self.books.received.get()).await {
                return false;
            }
        }
        true
    }

    /// Reads to the end of the stream; whether that was its FIN.
    pub async fn read_to_end(&self) -> bool {
        while self.read_some(u64::MAX).await {}
        self.books.end.get() == End::Fin
    }

    /// Reads at most `most` bytes; notes the end if there are no more.
    async fn read_some(&self, most: u64) -> bool {
        let read = poll_fn(|context| {
            let mut room = self.room.borrow_mut();
            let size = room.len().min(usize::try_from(most).unwrap_or(usize::MAX));
            let read = self.socket.poll_read(context, &mut room[..size]);
            if let Poll::Ready(Ok(count)) = &read {
                self.account(&room[..*count]);
            }
            read
        });
        match within(Some(self.patience.get()), read).await {
            Some(Ok(count)) if count > 0 => true,
            Some(Ok(_)) => {
                self.books.note(End::Fin);
                false
            }
            end => {
                self.books.note(end_of(end));
                false
            }
        }
    }

    fn account(&self, bytes: &[u8]) {
        let position = self.books.received.get();
        if self.books.wrong_at.get().is_none() && !self.receives.is_at(position, bytes) {
            let places = position..position + bytes.len() as u64;
            let wrong = places.zip(bytes).find(|(place, byte)| !self.receives.is_at(*place, &[**byte]));
            self.books.wrong_at.set(wrong.map(|(place, _)| place));
        }
        self.books.received.set(position + bytes.len() as u64);
    }

    /// Reads something that is no part of the account; whether it was `expected`.
    pub async fn hear(&self, expected: &[u8]) -> bool {
        let mut heard = vec![0; expected.len()];
        let mut done = 0;
        while done < heard.len() {
            let read = poll_fn(|context| self.socket.poll_read(context, &mut heard[done..]));
            match within(Some(self.patience.get()), read).await {
                Some(Ok(count)) if count > 0 => done += count,
                _ => return false,
            }
        }
        heard == expected
    }

    pub fn sent(&self) -> u64 {
        self.books.sent.get()
    }

    /// The connection, in whatever state it is.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Ends our stream.
    pub fn finish(&self) {
        // If the connection is gone, reading tells how.
        let _ = self.socket.finish();
    }

    /// Waits until the other side's kernel has all that was sent.
    pub async fn settle(&self) {
        within(Some(self.patience.get()), settle(&self.socket)).await;
    }

    /// Resets the connection; what was sent and is not acknowledged is lost.
    pub fn reset(self) {
        drop(self);
    }

    /// Closes the connection; what was sent still arrives.
    pub fn close(self) {
        self.socket.close();
    }
}

fn end_of<T>(end: Option<io::Result<T>>) -> End {
    match end {
        Some(Err(error)) => End::of(&error),
        _ => End::Stuck,
    }
}
