//! The buffer that all connections of a thread read into, and the bytes that they moved. Verified bytes are not kept.

use std::cell::{Cell, RefCell};

/// One read takes up to this: few system calls a MiB, and it fits a core's second-level cache.
const ROOM_BYTES: usize = 256 * 1024;

pub struct Room {
    bytes: RefCell<Box<[u8]>>,
    sent: Cell<u64>,
    received: Cell<u64>,
}

impl Room {
    pub fn moved(&self) -> (u64, u64) {
        (self.sent.get(), self.received.get())
    }

    pub fn note_sent(&self, count: usize) {
        self.sent.update(|sent| sent + count as u64);
    }

    pub fn note_received(&self, count: usize) {
        self.received.update(|received| received + count as u64);
    }

    /// The buffer, for the time between two awaits.
    pub fn lend<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        work(&mut self.bytes.borrow_mut())
    }
}

impl Default for Room {
    fn default() -> Self {
        Room { bytes: RefCell::new(vec![0; ROOM_BYTES].into()), sent: Cell::new(0), received: Cell::new(0) }
    }
}
