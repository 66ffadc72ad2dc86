//! Recycled buffers for small pieces: taken when a socket is readable, given back when the bytes are written.

use std::sync::{Mutex, PoisonError};

/// One buffer's size: a page-multiple that holds most requests and replies whole. A read that fills it is bulk.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Free buffers kept for reuse: 4 MiB in all. More are freed at once.
const SPARE_BUFFERS: usize = 256;

static SPARE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer and the part of it that is still to be written.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer with room for [`BUFFER_BYTES`].
    #[must_use]
    pub fn take() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into()), start: 0, end: 0 }
    }

    /// A buffer of its own size that holds `bytes`.
    #[must_use]
    pub fn holding(bytes: &[u8]) -> Self {
        Buffer { bytes: bytes.into(), start: 0, end: bytes.len() }
    }

    /// All the room, to read into; say afterwards how much came with [`Buffer::filled`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Says that the first `count` bytes of the room hold data, in place of what was there.
    pub fn filled(&mut self, count: usize) {
        self.start = 0;
        self.end = count.min(self.bytes.len());
    }

    /// The bytes still to be written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Says that the first `count` of [`Buffer::bytes`] are written.
    pub fn written(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() != BUFFER_BYTES {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_the_rest() {
        let mut buffer = Buffer::take();
        buffer.room()[..6].copy_from_slice(b"foobar");
        buffer.filled(6);
        buffer.written(3);
        assert_eq!(buffer.bytes(), b"bar");
        buffer.written(9);
        assert!(buffer.bytes().is_empty());
    }
}
