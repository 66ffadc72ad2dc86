//! The client's connection as hyper reads and writes it, with every byte counted.

use crate::{
    net::stream::Stream,
    relay::{direction::Flow, half::Observer},
    session::{event::Side, record::Record},
};
use futures::io::{AsyncRead, AsyncWrite};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A stream whose bytes are counted in a session's record. Closing it leaves the connection open: its owner ends it.
pub struct Wire<'a> {
    stream: Stream,
    record: &'a Record,
    /// Who looks at what each side sends, in the order of [`Side`].
    observers: [&'a dyn Observer; 2],
    /// Bytes that the kernel refused: counted as received from us, and not yet as delivered.
    refused: usize,
}

impl<'a> Wire<'a> {
    /// Counts what crosses `stream`.
    pub fn new(stream: Stream, record: &'a Record, observers: [&'a dyn Observer; 2]) -> Self {
        Wire { stream, record, observers, refused: 0 }
    }

    fn outgoing(&self) -> &'a Flow {
        &self.record.from_upstream
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(context, room))?;
        let flow = &self.record.from_client;
        if count > 0 {
            self.observers[Side::Client as usize].show(flow.received(), &room[..count]);
            flow.add_received(count);
            flow.add_delivered(count);
        } else if !room.is_empty() && !flow.ended() {
            flow.set_ended();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Wire<'_> {
    /// Bytes wait for the client, as the stall deadline sees it, from the first time that the kernel refuses them.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let counted = match &written {
            Poll::Pending => bytes.len(),
            Poll::Ready(Ok(count)) => *count,
            Poll::Ready(Err(_)) => 0,
        };
        if counted > self.refused {
            self.outgoing().add_received(counted - self.refused);
            self.refused = counted;
        }
        if let Poll::Ready(Ok(count)) = written {
            self.record.note_first_byte();
            self.observers[Side::Upstream as usize].show(self.outgoing().delivered(), &bytes[..count]);
            self.outgoing().add_delivered(count);
            self.refused -= count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
