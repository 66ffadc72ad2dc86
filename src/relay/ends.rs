//! A socket as a source and as a sink: small pieces are copied, bulk crosses as pipes.

use crate::{
    io::{
        buffer::{BUFFER_BYTES, Buffer},
        pipe::Pipe,
        socket::Socket,
    },
    relay::{
        chunk::Chunk,
        half::{Observer, Sink, Source},
    },
};
use std::io;

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

impl Source for SocketSource<'_> {
    async fn read(&mut self, observer: &impl Observer) -> io::Result<Option<Chunk>> {
        loop {
            self.socket.readable().await;
            match self.try_read(observer.watches()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
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
    async fn write(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        match chunk {
            Chunk::Bytes(buffer) => {
                let count = self.socket.write(buffer.bytes()).await?;
                buffer.written(count);
                Ok(count)
            }
            Chunk::Piped(pipe) => self.socket.splice_out(pipe).await,
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.socket.finish()
    }
}
