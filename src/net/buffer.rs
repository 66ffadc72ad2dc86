//! Recycled buffers for small pieces: taken when a socket is readable, given back when the bytes are written.

use std::sync::{Mutex, PoisonError};

/// One buffer's size: a page-multiple that holds most requests and replies whole. A read that fills it is bulk.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Free buffers kept for reuse: 4 MiB in all. More are freed at once.
const SPARE_BUFFERS: usize = 256;

static SPARE: Mutex<Vec<Box<Room>>> = Mutex::new(Vec::new());

/// A buffer and the part of it that is still to be written. One pointer wide: links move it.
pub struct Buffer {
    /// None only while it is dropped.
    room: Option<Box<Room>>,
}

struct Room {
    start: usize,
    end: usize,
    bytes: [u8; BUFFER_BYTES],
}

pub fn spare() -> usize {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).len()
}

impl Buffer {
    pub fn take() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut room = spare.unwrap_or_else(|| Box::new(Room { start: 0, end: 0, bytes: [0; BUFFER_BYTES] }));
        (room.start, room.end) = (0, 0);
        Buffer { room: Some(room) }
    }

    /// A buffer that holds the first [`BUFFER_BYTES`] of `bytes`.
    pub fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Buffer::take();
        let count = bytes.len().min(BUFFER_BYTES);
        buffer.room()[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        buffer
    }

    /// All the room, to read into; say afterwards how much came with [`Buffer::filled`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.inner_mut().bytes
    }

    /// Says that the first `count` bytes of the room hold data, in place of what was there.
    pub fn filled(&mut self, count: usize) {
        let room = self.inner_mut();
        (room.start, room.end) = (0, count.min(BUFFER_BYTES));
    }

    pub fn bytes(&self) -> &[u8] {
        let room = self.room.as_ref().expect(TAKEN_BY_DROP);
        &room.bytes[room.start..room.end]
    }

    /// Says that the first `count` of [`Buffer::bytes`] are written.
    pub fn written(&mut self, count: usize) {
        let room = self.inner_mut();
        room.start = (room.start + count).min(room.end);
    }

    fn inner_mut(&mut self) -> &mut Room {
        self.room.as_mut().expect(TAKEN_BY_DROP)
    }
}

const TAKEN_BY_DROP: &str = "the room is taken only by drop";

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.extend(self.room.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_the_rest() {
        let mut buffer = Buffer::holding(b"foobar");
        buffer.written(3);
        assert_eq!(buffer.bytes(), b"bar");
        buffer.written(9);
        assert!(buffer.bytes().is_empty());
    }
}
