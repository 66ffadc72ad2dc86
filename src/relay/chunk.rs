//! An owned piece of a stream: a buffer of bytes, or a kernel pipe full of them; and what gives and takes such pieces.

use crate::{
    net::{buffer::Buffer, pipe::Pipe},
    relay::{direction::Direction, leg::Leg},
};
use std::{
    io,
    rc::Rc,
    task::{Context, Poll},
};

/// A piece of a stream. The actor that holds it must deliver it, or abort the stream.
pub enum Chunk {
    Bytes(Buffer),
    /// Bytes that never left the kernel.
    Piped(Pipe),
}

impl Chunk {
    /// How many bytes are still to be written.
    pub fn len(&self) -> usize {
        match self {
            Chunk::Bytes(buffer) => buffer.bytes().len(),
            Chunk::Piped(pipe) => pipe.held(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Chunk::Bytes(buffer) => Some(buffer.bytes()),
            Chunk::Piped(_) => None,
        }
    }
}

pub trait ChunkSource {
    /// The next chunk; none at the end of the stream. If the gate of `direction` is not open, the chunk is in memory.
    /// Cancel-safe.
    fn read(&mut self, direction: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin;

    /// The end of the stream was passed on: if its other half ends now, both have.
    fn ended(&mut self) {}
}

pub trait ChunkSink {
    /// The leg that it writes; none if it is no leg.
    fn leg(&self) -> Option<Rc<Leg>> {
        None
    }

    /// Writes the first bytes of `chunk`, takes them out of it, and says how many they were.
    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Unpin;

    /// Ends the stream after all that was written.
    fn poll_finish(&mut self, context: &Context<'_>) -> Poll<io::Result<()>>;
}
