//! An owned piece of a stream: a buffer of bytes, or a kernel pipe full of them.

use crate::net::{buffer::Buffer, pipe::Pipe};

/// A piece of a stream. Whoever holds it must deliver it or end the stream with an abort.
pub enum Chunk {
    /// Bytes in memory.
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

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Chunk::Bytes(buffer) => Some(buffer.bytes()),
            Chunk::Piped(_) => None,
        }
    }
}
