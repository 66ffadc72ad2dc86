//! What waits before a stage: bytes, and the end of their stream, with the instant at which they came there.

use crate::{
    net::buffer::{BUFFER_BYTES, Buffer},
    relay::chunk::Chunk,
};
use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A run of at most this is kept in memory of its own size: many small messages would else take a buffer each.
const SMALL_BYTES: usize = BUFFER_BYTES / 4;
/// What a run costs beside its bytes: its place in the queue, and an allocation.
const RUN_COST: usize = 64;

/// What one direction may hold: as much as a relay that copies moves in 50 ms at over 1 GB/s.
pub const HELD_MAX: usize = 64 << 20;
/// What all directions may hold together. One that asks for more may still hold [`HELD_LEAST`].
pub const HELD_TOTAL_MAX: usize = 512 << 20;
pub const HELD_LEAST: usize = 64 << 10;

/// A run of bytes that is held.
pub enum HeldBytes {
    Whole(Buffer),
    Small(Box<[u8]>),
}

/// What came, and when, in nanoseconds of [`crate::runtime::clock::now_ns`].
pub struct Held {
    pub came_ns: u64,
    pub part: HeldPart,
}

pub enum HeldPart {
    Bytes(HeldBytes),
    /// The sender ended its stream.
    Fin,
    /// The stream was cut off.
    Abort,
}

/// What waits before a stage, in its order.
#[derive(Default)]
pub struct HeldQueue {
    runs: VecDeque<Held>,
    bytes: usize,
    cost: usize,
    /// Beyond this cost it is full. An end always has room.
    room: usize,
    /// Beyond this cost it is full for now, because of what waits elsewhere.
    limit: usize,
}

/// The memory that all held runs of a server take.
#[derive(Clone, Default)]
pub struct HeldTotal(Arc<AtomicUsize>);

impl HeldBytes {
    /// Errors: a chunk that is no memory, which a gate that is not open does not let pass.
    pub fn of(chunk: Chunk) -> Result<Self, Chunk> {
        match chunk {
            Chunk::Bytes(mut buffer) if buffer.bytes().len() > SMALL_BYTES => {
                // What follows may come later now, or never.
                buffer.set_more(false);
                Ok(HeldBytes::Whole(buffer))
            }
            Chunk::Bytes(buffer) => Ok(HeldBytes::Small(buffer.bytes().into())),
            piped @ Chunk::Piped(_) => Err(piped),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            HeldBytes::Whole(buffer) => buffer.bytes(),
            HeldBytes::Small(bytes) => bytes,
        }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            HeldBytes::Whole(buffer) => buffer.bytes_mut(),
            HeldBytes::Small(bytes) => bytes,
        }
    }

    /// Takes the first `count` bytes out of it, which must be fewer than it has.
    pub fn split(&mut self, count: usize) -> Self {
        let first = HeldBytes::copied(&self.bytes()[..count]);
        match self {
            HeldBytes::Whole(buffer) => buffer.written(count),
            HeldBytes::Small(bytes) => *bytes = bytes[count..].into(),
        }
        first
    }

    fn copied(bytes: &[u8]) -> Self {
        if bytes.len() > SMALL_BYTES {
            HeldBytes::Whole(Buffer::holding(bytes))
        } else {
            HeldBytes::Small(bytes.into())
        }
    }

    pub fn into_chunk(self) -> Chunk {
        Chunk::Bytes(match self {
            HeldBytes::Whole(buffer) => buffer,
            HeldBytes::Small(bytes) => Buffer::holding(&bytes),
        })
    }

    fn cost(&self) -> usize {
        RUN_COST
            + match self {
                HeldBytes::Whole(_) => BUFFER_BYTES,
                HeldBytes::Small(bytes) => bytes.len(),
            }
    }
}

impl Held {
    pub fn new(came_ns: u64, part: HeldPart) -> Self {
        Held { came_ns, part }
    }

    /// How many bytes it has; an end has none.
    pub fn count(&self) -> usize {
        match &self.part {
            HeldPart::Bytes(bytes) => bytes.bytes().len(),
            HeldPart::Fin | HeldPart::Abort => 0,
        }
    }

    fn cost(&self) -> usize {
        match &self.part {
            HeldPart::Bytes(bytes) => bytes.cost(),
            HeldPart::Fin | HeldPart::Abort => 0,
        }
    }
}

impl HeldQueue {
    pub fn with_room(room: usize) -> Self {
        HeldQueue { room, limit: usize::MAX, ..HeldQueue::default() }
    }

    pub fn push(&mut self, held: Held) {
        self.bytes += held.count();
        self.cost += held.cost();
        self.runs.push_back(held);
    }

    pub fn pop(&mut self) -> Option<Held> {
        let held = self.runs.pop_front()?;
        self.bytes -= held.count();
        self.cost -= held.cost();
        Some(held)
    }

    pub fn front(&self) -> Option<&Held> {
        self.runs.front()
    }

    /// Takes at most `count` bytes of the first run, or the end that is first.
    pub fn pop_part(&mut self, count: usize) -> Option<Held> {
        let first = self.runs.front_mut()?;
        let HeldPart::Bytes(bytes) = &mut first.part else { return self.pop() };
        if bytes.bytes().len() <= count {
            return self.pop();
        }
        let before = bytes.cost();
        let part = HeldPart::Bytes(bytes.split(count));
        self.cost = self.cost - before + bytes.cost();
        self.bytes -= count;
        Some(Held::new(first.came_ns, part))
    }

    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Held> {
        self.runs.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.cost >= self.room.min(self.limit)
    }

    /// From now on it is full beyond this cost.
    pub fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// From now on there is room for `spare` more, or for [`HELD_LEAST`] at all: where slices cost more than the run that
    /// they were, a chain goes on, and holds no more than it may.
    pub fn limit(&mut self, spare: usize) {
        self.limit = self.cost.saturating_add(spare).max(HELD_LEAST);
    }

    /// Bytes of the stream that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory that they take.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Moves all of it behind what waits in `to`, as of `now_ns`.
    pub fn drain_into(&mut self, to: &mut HeldQueue, now_ns: u64) {
        (self.bytes, self.cost) = (0, 0);
        mem::take(&mut self.runs).into_iter().for_each(|held| to.push(Held::new(now_ns, held.part)));
    }
}

impl HeldTotal {
    /// Notes that one direction held `before` and now holds `now`.
    pub fn change(&self, before: usize, now: usize) {
        // A difference below 0 wraps around, and so does the sum.
        self.0.fetch_add(now.wrapping_sub(before), Relaxed);
    }

    /// The memory of all of them, in bytes.
    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Whether a direction that holds `own` may hold more.
    pub fn has_room(&self, own: usize) -> bool {
        own < HELD_LEAST || (own < HELD_MAX && self.get() < HELD_TOTAL_MAX)
    }
}
