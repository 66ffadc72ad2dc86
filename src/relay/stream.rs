//! A leg, and both links of a session, as the byte stream that libraries expect (`AsyncRead`, `AsyncWrite` of futures).

use crate::{
    net::buffer::{BUFFER_BYTES, Buffer},
    relay::{
        chunk::Chunk,
        direction::Ways,
        leg::Leg,
        link::{LinkReceiver, LinkSender, Parcel, Waiting},
    },
};
use futures::io::{AsyncRead, AsyncWrite};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

/// Closing it ends our direction; the leg stays with its owner.
impl AsyncRead for &Leg {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Leg::poll_read(&self, context, room)
    }
}

impl AsyncWrite for &Leg {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Leg::poll_write(&self, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(context)
    }
}

/// The far end of a session that this program plays itself. What it reads must be in memory: the gate of the incoming
/// direction is to copy.
pub struct LinkStream<'a> {
    from_link: LinkReceiver,
    to_link: LinkSender,
    ways: Ways<'a>,
    /// What was taken from the link and is not read yet.
    unread: Option<Buffer>,
    /// The peer ended its stream.
    finished: bool,
    /// What waits for room in the link.
    unsent: Waiting,
}

impl<'a> LinkStream<'a> {
    /// Reads `from_link`, whose direction is the incoming one of `ways`, and writes `to_link`.
    pub fn new(from_link: LinkReceiver, to_link: LinkSender, ways: Ways<'a>) -> Self {
        ways.incoming.gate.copy();
        LinkStream { from_link, to_link, ways, unread: None, finished: false, unsent: None }
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to_link.poll_send(&mut self.unsent, context).map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl AsyncRead for LinkStream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(buffer) = &mut self.unread {
                let count = buffer.bytes().len().min(room.len());
                room[..count].copy_from_slice(&buffer.bytes()[..count]);
                buffer.written(count);
                if buffer.bytes().is_empty() {
                    self.unread = None;
                }
                self.ways.incoming.add_delivered(count);
                return Poll::Ready(Ok(count));
            }
            if self.finished {
                return Poll::Ready(Ok(0));
            }
            let next = {
                let this = &mut *self;
                pin!(this.from_link.receive(this.ways.incoming)).poll(context)
            };
            match ready!(next) {
                Ok(Some(Parcel::Data(Chunk::Bytes(buffer)))) => self.unread = Some(buffer),
                Ok(Some(Parcel::Data(Chunk::Piped(_))) | None) | Err(_) => return Poll::Ready(Err(gone())),
                Ok(Some(Parcel::Fin)) => self.finished = true,
            }
        }
    }
}

impl AsyncWrite for LinkStream<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(context))?;
        let bytes = &bytes[..bytes.len().min(BUFFER_BYTES)];
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.ways.outgoing.note_received(bytes);
        let mut chunk = Chunk::Bytes(Buffer::holding(bytes));
        if !self.to_link.deliver(&mut chunk, self.ways.outgoing) {
            self.unsent = self.to_link.try_send(chunk);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    /// Ends our stream after all that was written.
    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context))?;
        if !self.ways.outgoing.ended() {
            self.ways.outgoing.set_ended();
            self.to_link.end();
        }
        self.poll_sent(context)
    }
}
