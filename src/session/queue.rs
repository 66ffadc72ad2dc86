//! What the kernel still holds for a peer when this program ends its connection by force: written, and never delivered.

use crate::{
    net::kernel::{SendQueue, unacknowledged},
    session::{
        event::{Mode, Side},
        record::Record,
    },
};

/// Notes in the record what lies in the kernel's queue towards a peer. To be called while the connection is there; where
/// its peer reset it, nothing is known of the queue any more.
pub fn note(record: &Record, towards: Side) {
    let dial = record.dial();
    let (local, peer) = match towards {
        Side::Client => (Some(&record.local), Some(&record.client)),
        Side::Upstream => {
            (dial.and_then(|dial| dial.local.as_ref()), dial.and_then(|dial| dial.upstream.as_ref()))
        }
    };
    let flow = match (towards, record.mode) {
        (Side::Client, Mode::Echo) | (Side::Upstream, _) => &record.from_client,
        (Side::Client, Mode::Proxy | Mode::Origin) => &record.from_upstream,
    };
    if let Some((local, peer)) = local.zip(peer)
        && let SendQueue::Bytes(left) = unacknowledged(local, peer)
    {
        // Our FIN waits in the queue like a byte.
        let fin = u64::from(flow.ended() && flow.waiting() == 0);
        flow.set_lost(u64::from(left).saturating_sub(fin));
    }
}

/// Notes both queues.
pub fn note_both(record: &Record) {
    note(record, Side::Client);
    note(record, Side::Upstream);
}
