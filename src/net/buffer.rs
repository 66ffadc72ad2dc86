//! Recycled buffers for small pieces: taken when a socket is readable, given back when the bytes are written.

use crate::runtime::{
    clock::sleep,
    lock::Lock,
    shard::{own, shared},
    task::{Task, spawn},
};
use memmap2::MmapMut;
use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// One buffer's size: a page-multiple that holds most requests and replies whole. A read that fills it is bulk.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Free buffers that a shard keeps for reuse at least, while it does not rest: 512 KiB. Nearly every chunk is written in the poll
/// that read it, so that more are in use only while receivers are slow or dialled, or faults hold what comes; then as many are
/// kept as are in use: memory that comes and goes at the rate of a stream would else be taken from the system, and zeroed, for
/// each chunk.
const SPARE_BUFFERS: usize = 32;
/// What a shard keeps of them once none was taken for [`REST`]: the memory of a burst that is over is not its own.
const SPARE_AT_REST: usize = 2;
const REST: Duration = Duration::from_secs(1);

/// The free buffers of a shard, and their number, for others to see.
struct SpareBuffers {
    #[expect(
        clippy::vec_box,
        reason = "a buffer moves through links as its one pointer, which the pool takes and gives"
    )]
    rooms: RefCell<Vec<Box<Room>>>,
    in_use: Cell<usize>,
    count: Arc<AtomicUsize>,
    /// One was taken since that was last asked.
    was_taken: Cell<bool>,
    /// Waits for a rest, while more are spare than are kept in one.
    rest: RefCell<Option<Task<()>>>,
}

/// The numbers of free buffers of all shards.
#[derive(Default)]
struct SpareCounts(Lock<Vec<Arc<AtomicUsize>>>);

/// A buffer and the part of it that is still to be written. One pointer wide: links move it.
pub struct Buffer {
    /// None only while it is dropped.
    room: Option<Box<Room>>,
}

struct Room {
    start: usize,
    end: usize,
    /// Whether other bytes are there that follow these at once.
    more: bool,
    /// Pages of its own, not of the heap: they go back to the system when it is dropped, whatever lives on beside it, and
    /// those that no byte came into were never there.
    bytes: MmapMut,
}

/// Free buffers of the program.
pub fn spare() -> usize {
    let counts = shared::<SpareCounts>();
    let counts = counts.0.lock();
    counts.iter().map(|count| count.load(Relaxed)).sum()
}

impl Default for SpareBuffers {
    fn default() -> Self {
        let spare = SpareBuffers {
            rooms: RefCell::default(),
            in_use: Cell::default(),
            count: Arc::default(),
            was_taken: Cell::default(),
            rest: RefCell::default(),
        };
        shared::<SpareCounts>().0.lock().push(spare.count.clone());
        spare
    }
}

impl SpareBuffers {
    fn take(&self) -> Box<Room> {
        let mut rooms = self.rooms.borrow_mut();
        let room = rooms.pop().unwrap_or_else(Room::new);
        self.in_use.set(self.in_use.get() + 1);
        self.was_taken.set(true);
        self.count.store(rooms.len(), Relaxed);
        room
    }

    fn give(&self, room: Option<Box<Room>>) {
        let mut rooms = self.rooms.borrow_mut();
        // A record that another shard drops may still have what was read of its client early.
        self.in_use.set(self.in_use.get().saturating_sub(1));
        let kept = self.in_use.get().max(SPARE_BUFFERS);
        rooms.extend(room);
        // One by one: what was in use goes in time, and never all at once.
        for _ in 0..2 {
            if rooms.len() > kept {
                rooms.pop();
            }
        }
        self.count.store(rooms.len(), Relaxed);
        if rooms.len() > SPARE_AT_REST {
            self.rest.borrow_mut().get_or_insert_with(|| spawn(rest()));
        }
    }

    /// Gives those back that are not kept in a rest, if none was taken since the last call.
    fn rests(&self) -> bool {
        let rests = !self.was_taken.replace(false);
        if rests {
            let mut rooms = self.rooms.borrow_mut();
            rooms.truncate(SPARE_AT_REST);
            self.count.store(rooms.len(), Relaxed);
            *self.rest.borrow_mut() = None;
        }
        rests
    }
}

/// Gives the spare buffers of this shard back once it rests.
async fn rest() {
    loop {
        sleep(REST).await;
        if own::<SpareBuffers>().rests() {
            return;
        }
    }
}

impl Room {
    /// Panics if the system has no memory, or the process has all the mappings that it may have (`vm.max_map_count`).
    fn new() -> Box<Self> {
        let bytes = MmapMut::map_anon(BUFFER_BYTES).expect("memory for a buffer");
        Box::new(Room { start: 0, end: 0, more: false, bytes })
    }
}

impl Buffer {
    pub fn take() -> Self {
        let mut room = own::<SpareBuffers>().take();
        (room.start, room.end, room.more) = (0, 0, false);
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

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let room = self.inner_mut();
        &mut room.bytes[room.start..room.end]
    }

    /// Says that the first `count` of [`Buffer::bytes`] are written.
    pub fn written(&mut self, count: usize) {
        let room = self.inner_mut();
        room.start = (room.start + count).min(room.end);
    }

    /// Says whether other bytes are there to follow these at once.
    pub fn set_more(&mut self, more: bool) {
        self.inner_mut().more = more;
    }

    pub fn has_more(&self) -> bool {
        self.room.as_ref().expect(TAKEN_BY_DROP).more
    }

    fn inner_mut(&mut self) -> &mut Room {
        self.room.as_mut().expect(TAKEN_BY_DROP)
    }
}

const TAKEN_BY_DROP: &str = "the room is taken only by drop";

impl Drop for Buffer {
    fn drop(&mut self) {
        own::<SpareBuffers>().give(self.room.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard;
    use std::{fs, time::Instant};

    #[test]
    fn as_many_free_buffers_are_kept_as_are_in_use_and_a_few_in_the_end() {
        shard::run(async {
            let kept = || own::<SpareBuffers>().rooms.borrow().len();
            let mut held: Vec<Buffer> = (0..8 * SPARE_BUFFERS).map(|_| Buffer::take()).collect();
            held.truncate(6 * SPARE_BUFFERS);
            assert_eq!(kept(), 2 * SPARE_BUFFERS);
            held.truncate(3 * SPARE_BUFFERS);
            assert!(kept() <= 3 * SPARE_BUFFERS + 1 && kept() >= 2 * SPARE_BUFFERS, "{}", kept());
            held.clear();
            assert_eq!(kept(), SPARE_BUFFERS);
            // Those that were in use go in a rest, and are there again after it.
            for _ in 0..2 {
                let begin = Instant::now();
                while kept() > SPARE_AT_REST {
                    assert!(begin.elapsed() < REST * 20);
                    sleep(REST / 10).await;
                }
                held.extend((0..SPARE_BUFFERS).map(|_| Buffer::take()));
                held.clear();
                assert_eq!(kept(), SPARE_BUFFERS);
            }
        })
        .unwrap();
    }

    #[test]
    fn what_a_burst_took_goes_back_to_the_system_though_what_came_between_stays() {
        const BURST: usize = 4096;
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
            kib.unwrap().trim().parse::<usize>().unwrap() * 1024
        };
        let given_back = || {
            let (buffers, _between): (Vec<Buffer>, Vec<Box<[u8]>>) = (0..BURST)
                .map(|_| (Buffer::holding(&[7; BUFFER_BYTES]), vec![7; 600].into_boxed_slice()))
                .unzip();
            let full = resident();
            drop(buffers);
            full.saturating_sub(resident())
        };
        // Other tests of the process may take memory meanwhile.
        assert!((0..5).any(|_| given_back() > BURST * BUFFER_BYTES / 4 * 3));
    }

    #[test]
    fn what_is_written_leaves_the_rest() {
        let mut buffer = Buffer::holding(b"foobar");
        buffer.written(3);
        assert_eq!(buffer.bytes(), b"bar");
        buffer.written(9);
        assert!(buffer.bytes().is_empty());
    }
}
