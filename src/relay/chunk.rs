//! An owned piece of a stream: a buffer of bytes, or a kernel pipe full of them.

use crate::net::{buffer::Buffer, pipe::Pipe};

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
