//! A socket as a source and as a sink: small pieces are copied, bulk crosses as pipes.

use crate::{
    net::{
        buffer::{BUFFER_BYTES, Buffer},
        pipe::Pipe,
        socket::Socket,
    },
    relay::{
        chunk::Chunk,
        half::{Observer, Sink, Source},
    },
};
use std::{
    future::poll_fn,
    io,
    task::{Poll, ready},
};

/// Reads a socket. Copies until a read comes back full, then splices until one does not.
pub struct SocketSource<'a> {
    socket: &'a Socket,
    splice: bool,
    bulk: bool,
}

/// Writes a socket.
pub struct SocketSink<'a> {
    socket: &'a Socket,
}

impl<'a> SocketSource<'a> {
    /// Reads `socket`; bulk crosses as pipes where `splice` allows.
    #[must_use]
    pub fn new(socket: &'a Socket, splice: bool) -> Self {
        SocketSource { socket, splice, bulk: false }
    }

    /// A pipe full of what is there; none where copying has to do it.
    ///
    /// The kernel says "nothing there" and even "end" at an urgent byte (RFC 6093) that a plain read gets past, so neither
    /// is believed where one may be about.
    fn try_splice(&mut self) -> io::Result<Option<Pipe>> {
        let Some(mut pipe) = Pipe::take() else { return Ok(None) };
        let urgent = self.socket.urgent();
        match self.socket.try_splice_in(&mut pipe) {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.bulk = count >= BUFFER_BYTES;
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

    fn try_read(&mut self, copy: bool) -> io::Result<Option<Chunk>> {
        if self.splice
            && self.bulk
            && !copy
            && let Some(pipe) = self.try_splice()?
        {
            return Ok(Some(Chunk::Piped(pipe)));
        }
        let mut buffer = Buffer::take();
        let count = self.socket.try_fill(&mut buffer)?;
        self.bulk = count == BUFFER_BYTES;
        Ok((count > 0).then_some(Chunk::Bytes(buffer)))
    }
}

// Both wait by hand: as async functions they would hold the state of every call they make, for as long as they wait.

impl Source for SocketSource<'_> {
    fn read(&mut self, observer: &impl Observer) -> impl Future<Output = io::Result<Option<Chunk>>> + Send {
        poll_fn(move |context| {
            loop {
                ready!(self.socket.poll_readable(context));
                match self.try_read(observer.watches()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            }
        })
    }
}

impl<'a> SocketSink<'a> {
    /// Writes `socket`.
    #[must_use]
    pub fn new(socket: &'a Socket) -> Self {
        SocketSink { socket }
    }
}

impl Sink for SocketSink<'_> {
    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(move |context| match chunk {
            Chunk::Bytes(buffer) => {
                let count = ready!(self.socket.poll_write(context, buffer.bytes()))?;
                buffer.written(count);
                Poll::Ready(Ok(count))
            }
            Chunk::Piped(pipe) => self.socket.poll_splice_out(context, pipe),
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        self.socket.finish()
    }
}
