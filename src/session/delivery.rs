//! What the kernel still delivers when this program has nothing left to do: bytes that are written and not yet acknowledged.
//!
//! A slow reader of a reply that lies in the kernel's queue is neither idle nor stalled, though no byte moves through here.
//! So while a session is quiet its queues are looked at now and then, until they are empty.

use crate::{
    net::{
        address::Address,
        kernel::{SendQueue, unacknowledged},
    },
    session::record::Record,
};

/// What one leg's queue held, and when it last shrank.
#[derive(Clone, Copy, Default)]
pub struct Queue {
    unacknowledged: u32,
    moved_ms: Option<u64>,
}

/// The queues towards both peers.
#[derive(Clone, Copy, Default)]
pub struct Delivery {
    /// Towards the client.
    pub to_client: Queue,
    /// Towards the upstream.
    pub to_upstream: Queue,
}

impl Queue {
    /// When it was last seen to move, in milliseconds of the coarse clock.
    #[must_use]
    pub fn moved_ms(&self) -> Option<u64> {
        self.moved_ms
    }

    fn look(&mut self, local: Option<&Address>, peer: Option<&Address>, now_ms: u64) {
        let left = match local.zip(peer).map(|(local, peer)| unacknowledged(local, peer)) {
            Some(SendQueue::Bytes(left)) => left,
            Some(SendQueue::Unknown) => self.unacknowledged,
            Some(SendQueue::Gone) | None => 0,
        };
        // A first look at a queue that is not empty counts as a move: it may have shrunk just before.
        if left != self.unacknowledged {
            self.moved_ms = Some(now_ms);
        }
        self.unacknowledged = left;
    }
}

impl Delivery {
    /// Looks at both queues at `now_ms`; says whether something is still to be delivered.
    pub fn look(&mut self, record: &Record, now_ms: u64) -> bool {
        let dial = record.dial();
        let (local, upstream) =
            (dial.and_then(|dial| dial.local.as_ref()), dial.and_then(|dial| dial.upstream.as_ref()));
        self.to_client.look(Some(&record.local), Some(&record.client), now_ms);
        self.to_upstream.look(local, upstream, now_ms);
        self.to_client.unacknowledged > 0 || self.to_upstream.unacknowledged > 0
    }
}
