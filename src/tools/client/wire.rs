//! A connection as hyper reads and writes it, and what is known of it below hyper: the bytes as they came, and how it ended.

use crate::{net::stream::Stream, runtime::clock::coarse_ms, tools::client::tee::Tee};
use futures::{
    io::{AsyncRead, AsyncWrite},
    task::AtomicWaker,
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

/// A stream that notes what crosses it.
pub struct Wire {
    stream: Stream,
    seen: Arc<Seen>,
    /// A server that speaks before it is asked must not be taken for one that answers nobody's question: reading begins
    /// when the question is on its way.
    asked: bool,
    reader: AtomicWaker,
}

/// What is known of a connection.
pub struct Seen {
    /// The bytes as they came; none where they are not printed so.
    pub tee: Option<Tee>,
    received: AtomicU64,
    moved_ms: AtomicU64,
    printing: AtomicBool,
    end: OnceLock<Result<(), io::Error>>,
}

impl Wire {
    /// Notes what crosses `stream` in `seen`.
    pub fn new(stream: Stream, seen: Arc<Seen>) -> Self {
        Wire { stream, seen, asked: false, reader: AtomicWaker::new() }
    }
}

impl Seen {
    /// Nothing yet; with `tee` the bytes are kept for printing.
    pub fn new(tee: bool) -> Self {
        Seen {
            tee: tee.then(Tee::default),
            received: AtomicU64::new(0),
            moved_ms: AtomicU64::new(coarse_ms()),
            printing: AtomicBool::new(false),
            end: OnceLock::new(),
        }
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How the server's stream ended: with FIN, or with the error of a lost connection. None while it goes on.
    pub fn end(&self) -> Option<&Result<(), io::Error>> {
        self.end.get()
    }

    /// Notes that printing begins or is over.
    pub fn set_printing(&self, printing: bool) {
        self.printing.store(printing, Relaxed);
        self.note_move();
    }

    /// When a byte last moved, in milliseconds of [`coarse_ms`]; none while it is our output that is waited for.
    pub fn last_moved(&self) -> Option<u64> {
        let behind = self.printing.load(Relaxed) || self.tee.as_ref().is_some_and(|tee| !tee.is_empty());
        (!behind).then(|| self.moved_ms.load(Relaxed))
    }

    fn note_move(&self) {
        self.moved_ms.store(coarse_ms(), Relaxed);
    }

    fn note_read(&self, read: &io::Result<usize>, bytes: &[u8]) {
        match read {
            Ok(0) => {
                let _ = self.end.set(Ok(()));
            }
            Ok(count) => {
                self.received.fetch_add(*count as u64, Relaxed);
                if let Some(tee) = &self.tee {
                    tee.push(&bytes[..*count]);
                }
            }
            Err(error) => {
                let _ = self.end.set(Err(io::Error::new(error.kind(), error.to_string())));
            }
        }
        self.note_move();
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.asked {
            self.reader.register(context.waker());
            return Poll::Pending;
        }
        if let Some(tee) = &self.seen.tee {
            ready!(tee.poll_room(context));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, room));
        self.seen.note_read(&read, room);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    /// A server may answer without reading the question, and close: its answer is still read. So an error of writing is
    /// left to the next read, which gives what came before the loss and then tells of it.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.seen.note_move();
        self.asked = true;
        self.reader.wake();
        Poll::Ready(Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// The connection stays open: its owner ends it.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
