//! What the kernel still delivers when this program has nothing left to do: bytes that are written and not yet acknowledged.
//!
//! A slow reader of a reply that lies in the kernel's queue is neither idle nor stalled, though no byte moves through here.
//! So while a session is quiet its queues are looked at, ever more rarely while nothing moves, until they are empty.

use crate::{
    net::{
        address::Address,
        kernel::{SendQueue, unacknowledged},
    },
    session::{event::Side, record::Record},
};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What lay in one leg's queue at the last look, and when the peer was last seen to take some of it.
#[derive(Clone, Copy, Default)]
pub struct Queue {
    unacknowledged: u32,
    /// Bytes of the stream that the peer had acknowledged.
    acknowledged: u64,
    moved_ms: u64,
}

/// The queues towards both peers.
#[derive(Clone, Copy, Default)]
pub struct Delivery {
    /// Towards the client.
    pub to_client: Queue,
    /// Towards the upstream.
    pub to_upstream: Queue,
}

/// What the last look found in the queue towards one side, for operators.
#[derive(Default)]
pub struct SeenQueue {
    unacknowledged: AtomicU32,
    moved_ms: AtomicU64,
    /// Bytes that it held when its connection was ended by force.
    lost: AtomicU32,
}

impl SeenQueue {
    fn note(&self, queue: Queue) {
        self.unacknowledged.store(queue.unacknowledged, Relaxed);
        self.moved_ms.store(queue.moved_ms, Relaxed);
    }

    /// The queue, if nothing flowed since `flowed_ms`; else it is another by now, and taken to be empty.
    pub fn get(&self, flowed_ms: u64) -> Queue {
        let (unacknowledged, moved_ms) = (self.unacknowledged.load(Relaxed), self.moved_ms.load(Relaxed));
        let is_current = moved_ms >= flowed_ms;
        Queue { unacknowledged: if is_current { unacknowledged } else { 0 }, acknowledged: 0, moved_ms }
    }

    /// Bytes that our kernel had taken for the peer, and that went with its connection.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed).into()
    }
}

impl Queue {
    /// Bytes that the peer's kernel had not acknowledged at the last look.
    pub fn bytes(&self) -> u64 {
        self.unacknowledged.into()
    }

    /// When it was last seen to move, in milliseconds of the coarse clock; 0 before.
    pub fn moved_ms(&self) -> u64 {
        self.moved_ms
    }

    /// Since when the peer takes nothing of what lies there; none if nothing does.
    pub fn waiting_since_ms(&self) -> Option<u64> {
        (self.unacknowledged > 0).then_some(self.moved_ms)
    }

    fn look(&mut self, ends: Option<(&Address, &Address)>, delivered: u64, now_ms: u64) {
        let left = match ends.map(|(local, peer)| unacknowledged(local, peer)) {
            Some(SendQueue::Bytes(left)) => left,
            Some(SendQueue::Unknown) => return,
            Some(SendQueue::Gone) | None => 0,
        };
        let acknowledged = delivered.saturating_sub(left.into());
        // A queue that was empty at the last look may have shrunk just before this one.
        let moved = if self.unacknowledged == 0 { left > 0 } else { acknowledged > self.acknowledged };
        if moved {
            self.moved_ms = now_ms;
        }
        (self.unacknowledged, self.acknowledged) = (left, acknowledged);
    }
}

impl Delivery {
    /// Looks at both queues at `now_ms`; says whether one of them moved.
    pub fn look(&mut self, record: &Record, now_ms: u64) -> bool {
        let before = self.moved_ms();
        self.to_client.look(ends(record, Side::Client), record.to_client().delivered(), now_ms);
        self.to_upstream.look(ends(record, Side::Upstream), record.from_client.delivered(), now_ms);
        record.to_client_queue.note(self.to_client);
        record.to_upstream_queue.note(self.to_upstream);
        self.moved_ms() > before
    }

    /// Whether something lay in a queue at the last look.
    pub fn waits(&self) -> bool {
        self.to_client.unacknowledged > 0 || self.to_upstream.unacknowledged > 0
    }

    /// When one of them was last seen to move, in milliseconds of the coarse clock; 0 before.
    pub fn moved_ms(&self) -> u64 {
        self.to_client.moved_ms.max(self.to_upstream.moved_ms)
    }
}

/// Our address and the peer's of the leg towards one side, if it is there.
fn ends(record: &Record, towards: Side) -> Option<(&Address, &Address)> {
    match towards {
        Side::Client => Some((&record.local, &record.client)),
        Side::Upstream => record.dial().and_then(|dial| dial.local.as_ref().zip(dial.upstream.as_ref())),
    }
}

/// Notes what lies in the kernel's queue towards a peer whose connection is ended by force: written, and never delivered.
/// To be called while the connection is there; if its peer reset it, nothing is known of the queue any more.
pub fn note_lost_towards(record: &Record, towards: Side) {
    let (direction, queue) = match towards {
        Side::Client => (record.to_client(), &record.to_client_queue),
        Side::Upstream => (&record.from_client, &record.to_upstream_queue),
    };
    if let Some((local, peer)) = ends(record, towards)
        && let SendQueue::Bytes(left) = unacknowledged(local, peer)
    {
        // Our FIN waits in the queue like a byte.
        let fin = u32::from(direction.ended() && direction.waiting() == 0);
        if left > fin {
            queue.lost.store(left - fin, Relaxed);
        }
    }
}

/// As [`note_lost_towards`], of both peers: two questions to the kernel, which take some 16 µs.
pub fn note_lost(record: &Record) {
    note_lost_towards(record, Side::Client);
    note_lost_towards(record, Side::Upstream);
}
