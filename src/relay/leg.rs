//! A leg: one connection of a session, as the half-loops read and write it. Small chunks are copied, bulk crosses as pipes.

use crate::{
    net::{
        buffer::{BUFFER_BYTES, Buffer},
        pipe::Pipe,
        socket::{Socket, settle},
        tls_socket::TlsSocket,
    },
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::Direction,
    },
};
use futures::{FutureExt, future::OptionFuture};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// One connection of a session. Dropping it resets the peer; [`Leg::end`] is the clean way.
pub enum Leg {
    /// TCP or UNIX; bulk is spliced.
    Plain(Socket),
    /// Every byte is copied: it takes no pipes, and gives none.
    Tls(Box<TlsSocket>),
}

/// Reads a leg. Copies until a read comes back full, then splices until one does not.
pub struct LegReader<'a> {
    leg: &'a Rc<Leg>,
    splice: bool,
    bulk: bool,
    /// Where in the stream the last pipe ended: a pipe waits until as much is delivered.
    piped: u64,
    /// Once the gate ends the stream: bytes that are still to be read.
    left: Option<u32>,
}

/// Writes a leg.
pub struct LegWriter<'a> {
    leg: &'a Rc<Leg>,
}

impl Leg {
    pub fn socket(&self) -> &Socket {
        match self {
            Leg::Plain(socket) => socket,
            Leg::Tls(tls) => tls.socket(),
        }
    }

    /// Waits until the peer's kernel has all that was written, so that a reset destroys nothing; within limits.
    pub async fn settle(&self) {
        settle(self.socket()).await;
    }

    /// Writes what it takes at once of the first bytes of `chunk`, takes them out of it, and says how many they were.
    /// Errors: `WouldBlock`, or that of the connection.
    pub fn try_write(&self, chunk: &mut Chunk) -> io::Result<usize> {
        match (self, chunk) {
            (_, Chunk::Bytes(buffer)) => {
                let count = self.try_write_bytes(buffer.bytes(), buffer.has_more())?;
                buffer.written(count);
                Ok(count)
            }
            (Leg::Plain(socket), Chunk::Piped(pipe)) => socket.try_splice_out(pipe),
            // A session with such a leg never splices.
            (Leg::Tls(_), Chunk::Piped(_)) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn try_write_bytes(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match self {
            Leg::Plain(socket) => socket.try_write(bytes, more),
            Leg::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Reads what is there into `room`; 0 is the end of the stream.
    pub fn poll_read(&self, context: &Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Leg::Plain(socket) => socket.poll_read(context, room),
            Leg::Tls(tls) => tls.poll_fill(context, room),
        }
    }

    /// Writes some of `bytes`. If it waits, bytes that begin with the same must come again.
    pub fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket().poll_put(context, || self.try_write_bytes(bytes, false))
    }

    /// Ends our stream.
    pub fn poll_finish(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Leg::Plain(socket) => Poll::Ready(socket.finish()),
            Leg::Tls(tls) => tls.poll_finish(context),
        }
    }

    /// Whether a write has begun that must go on with the same bytes: they are encrypted.
    pub fn has_begun(&self) -> bool {
        matches!(self, Leg::Tls(tls) if tls.has_begun())
    }

    /// Closes because we have all that we want, whether or not the peer has ended its stream. Over TLS our stream is ended
    /// first, if that takes no waiting.
    pub fn hang_up(self) {
        if let Leg::Tls(tls) = &self {
            // If it cannot be told, the peer takes it for a cut, and has nothing more to lose by that.
            let _ = tls.poll_finish(&Context::from_waker(Waker::noop()));
            // What is there and not read would have it reset.
            let _ = self.socket().read_away();
        }
        self.socket().close_when_dropped();
    }

    /// Whether the peer may send more than was read of its stream, though that has ended: by an operator, or by close_notify.
    /// close(2) answers that by a RST, which overtakes what is under way (RFC 2525 §2.17): [`Leg::settle`] first.
    fn may_have_more(&self) -> bool {
        let goes_on = || !matches!(self, Leg::Tls(tls) if tls.peer_has_closed());
        !self.socket().has_ended() && self.socket().read_away().is_some_and(|has_more| has_more || goes_on())
    }

    /// Closes after both streams have ended; nothing that was written is lost, whatever the peer sends yet.
    pub fn end(self: Rc<Self>) -> impl Future<Output = ()> {
        OptionFuture::from(self.end_at_once()).map(drop)
    }

    /// As [`Leg::end`]; gives what is to be waited for, if anything is. Boxed: it is rare.
    pub fn end_at_once(self: Rc<Self>) -> Option<Pin<Box<impl Future<Output = ()> + use<>>>> {
        // It is asked once: to look takes away what was there.
        if !self.may_have_more() {
            self.close();
            return None;
        }
        Some(Box::pin(async move {
            self.settle().await;
            self.close();
        }))
    }

    /// As [`Leg::end`], if the peer sends nothing after its stream.
    pub fn close(self: Rc<Self>) {
        self.socket().close_when_dropped();
    }
}

impl From<Socket> for Leg {
    fn from(socket: Socket) -> Self {
        Leg::Plain(socket)
    }
}

impl<'a> LegReader<'a> {
    /// Reads `leg`; bulk crosses as pipes if `splice` allows it.
    pub fn new(leg: &'a Rc<Leg>, splice: bool) -> Self {
        LegReader { leg, splice, bulk: false, piped: 0, left: None }
    }

    fn try_read(&mut self, socket: &Socket, direction: &Direction) -> io::Result<Option<Chunk>> {
        if direction.gate.is_open()
            && self.splice
            && self.bulk
            && let Some(pipe) = self.try_splice(socket, direction)?
        {
            return Ok(Some(Chunk::Piped(pipe)));
        }
        let mut buffer = Buffer::take();
        let count = socket.try_fill(&mut buffer)?;
        self.bulk = count == BUFFER_BYTES;
        Ok((count > 0).then_some(Chunk::Bytes(buffer)))
    }

    /// A pipe full of what is there; none if copying has to do it.
    ///
    /// The kernel says "nothing there" and even "end" at an urgent byte (RFC 6093) that a plain read gets past, so neither
    /// is believed while one may be about.
    fn try_splice(&mut self, socket: &Socket, direction: &Direction) -> io::Result<Option<Pipe>> {
        let another = direction.delivered() < self.piped;
        let Some(mut pipe) = Pipe::take(another) else { return Ok(None) };
        let urgent = socket.urgent();
        match socket.try_splice_in(&mut pipe) {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.bulk = count >= BUFFER_BYTES;
                self.piped = direction.received() + count as u64;
                Ok(Some(pipe))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && urgent => Ok(None),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::OutOfMemory) =>
            {
                self.splice = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what was there when the gate ended the stream. After that, and at an urgent byte, the stream ends.
    fn read_rest(&mut self, context: &Context<'_>) -> io::Result<Option<Chunk>> {
        let left = self.left.get_or_insert_with(|| self.leg.socket().unread());
        let rest = match &**self.leg {
            Leg::Plain(socket) => socket.try_read_rest(left),
            Leg::Tls(tls) => match tls.poll_read_rest(context, left) {
                Poll::Ready(rest) => rest,
                Poll::Pending => Ok(None),
            },
        };
        rest.map(|buffer| buffer.map(Chunk::Bytes))
    }
}

// Both wait by hand: as async functions they would hold the state of every call they make, for as long as they wait.

impl ChunkSource for LegReader<'_> {
    fn read(&mut self, direction: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
        poll_fn(move |context| {
            if direction.gate.finishes() {
                return Poll::Ready(self.read_rest(context));
            }
            let socket = match &**self.leg {
                Leg::Plain(socket) => socket,
                Leg::Tls(tls) => return tls.poll_read(context).map_ok(|buffer| buffer.map(Chunk::Bytes)),
            };
            loop {
                ready!(socket.poll_readable(context));
                match self.try_read(socket, direction) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            }
        })
    }

    fn ended(&mut self) {
        self.leg.socket().closes_next();
    }
}

impl<'a> LegWriter<'a> {
    /// Writes `leg`.
    pub fn new(leg: &'a Rc<Leg>) -> Self {
        LegWriter { leg }
    }
}

impl ChunkSink for LegWriter<'_> {
    fn leg(&self) -> Option<Rc<Leg>> {
        Some(self.leg.clone())
    }

    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Unpin {
        poll_fn(move |context| self.leg.socket().poll_put(context, || self.leg.try_write(chunk)))
    }

    fn poll_finish(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.leg.poll_finish(context)
    }
}
