//! What the kernel still delivers when this program has nothing left to do: bytes that are written and not yet acknowledged.
//!
//! A slow reader of a reply that lies in the kernel's queue is neither idle nor stalled, though no byte moves through here.
//! So while a session is quiet its queues are looked at, ever more rarely while nothing moves, until they are empty. While bytes of
//! one peer flow, they are looked at for the other, which may take none.

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
    moved_ms: u64,
}

/// The queue towards one side, as the looks find it.
#[derive(Default)]
pub struct SeenQueue {
    unacknowledged: AtomicU32,
    /// Bytes that it held when its connection was ended by force.
    lost: AtomicU32,
    /// Bytes of the stream that the peer had acknowledged.
    acknowledged: AtomicU64,
    moved_ms: AtomicU64,
}

impl SeenQueue {
    /// The queue at the last look.
    pub fn last(&self) -> Queue {
        Queue { unacknowledged: self.unacknowledged.load(Relaxed), moved_ms: self.moved_ms.load(Relaxed) }
    }

    /// The same, if nothing flowed since `flowed_ms`; else it is another by now, and taken to be empty.
    pub fn get(&self, flowed_ms: u64) -> Queue {
        let last = self.last();
        let is_current = last.moved_ms >= flowed_ms;
        Queue { unacknowledged: if is_current { last.unacknowledged } else { 0 }, ..last }
    }

    /// Bytes that our kernel had taken for the peer, and that went with its connection.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed).into()
    }

    fn look(&self, ends: Option<(&Address, &Address)>, delivered: u64, now_ms: u64) {
        let left = match ends.map(|(local, peer)| unacknowledged(local, peer)) {
            Some(SendQueue::Bytes(left)) => left,
            // What cannot be known ends no session.
            Some(SendQueue::Unknown | SendQueue::Gone) | None => 0,
        };
        let acknowledged = delivered.saturating_sub(left.into());
        let (left_before, acknowledged_before) =
            (self.unacknowledged.swap(left, Relaxed), self.acknowledged.swap(acknowledged, Relaxed));
        // A queue that was empty at the last look may have shrunk just before this one.
        let moved = if left_before == 0 { left > 0 } else { acknowledged > acknowledged_before };
        if moved {
            self.moved_ms.store(now_ms, Relaxed);
        }
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
}

/// Looks at both queues of a session at `now_ms`; says whether one of them moved.
pub fn look(record: &Record, now_ms: u64) -> bool {
    let before = moved_ms(record);
    record.to_client_queue.look(ends(record, Side::Client), record.to_client().delivered(), now_ms);
    record.to_upstream_queue.look(ends(record, Side::Upstream), record.from_client.delivered(), now_ms);
    moved_ms(record) > before
}

/// When one of its queues was last seen to move, in milliseconds of the coarse clock; 0 before.
fn moved_ms(record: &Record) -> u64 {
    record.to_client_queue.last().moved_ms.max(record.to_upstream_queue.last().moved_ms)
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
