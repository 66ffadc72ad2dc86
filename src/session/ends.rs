//! How a session's near leg ends, once its pump has or the far side failed: what was relayed to the client is still delivered.

use crate::{
    relay::{
        direction::Direction,
        leg::Leg,
        pump::{LAST_DELIVERY, LegEnd},
    },
    runtime::{
        clock::while_moving,
        task::{Panicked, Task},
    },
    session::{
        delivery,
        event::Side,
        outcome::{Loss, Outcome},
        record::Record,
    },
};
use futures::{
    FutureExt,
    future::{Fuse, FusedFuture, LocalBoxFuture},
};
use std::{pin::Pin, rc::Rc};

/// Goes on with the near leg once the far side has failed: what came of it is still delivered.
pub(super) async fn outlive(
    pump: Pin<&mut impl Future<Output = LegEnd>>,
    fault: Result<Outcome, Panicked>,
    to_client: &Direction,
) -> Ends {
    let fault = fault.unwrap_or_else(Outcome::Panicked);
    (while_moving(LAST_DELIVERY, pump, || to_client.motion()).await, fault)
}

/// How the near leg and the far side ended; the leg's end is none if it does not matter any more.
pub(super) type Ends = (Option<LegEnd>, Outcome);

/// Closes the near leg after a clean end, if there is nothing to wait for; else that is to be waited for. Boxed: it is rare.
pub(super) fn close(
    near: Rc<Leg>,
    ends: Ends,
    far: Fuse<Task<Outcome>>,
    record: &Record,
) -> Option<LocalBoxFuture<'_, Outcome>> {
    let is_clean = matches!(ends, (Some(LegEnd::Clean), Outcome::Clean)) && far.is_terminated();
    if !is_clean {
        return Some(Box::pin(end_legs(near, ends, far, record)));
    }
    near.end_at_once().map(|settled| settled.map(|()| Outcome::Clean).boxed_local())
}

/// Ends the near leg as its pump ended, and waits for the far side if it goes on.
async fn end_legs(
    near: Rc<Leg>,
    (near_end, far_outcome): Ends,
    mut far: Fuse<Task<Outcome>>,
    record: &Record,
) -> Outcome {
    let mut client_gone = None;
    match near_end {
        Some(LegEnd::Clean) => near.end().await,
        Some(LegEnd::OtherGone) => {
            near.settle().await;
            delivery::note_lost_towards(record, Side::Client);
        }
        Some(LegEnd::PeerGone(error)) => {
            record.note_gone(Side::Client, &error);
            client_gone = Some(Loss::new(error, record.to_client()));
        }
        // The upstream is gone and the client takes nothing more.
        None => {}
    }
    match (far_outcome, client_gone) {
        (Outcome::Clean | Outcome::Aborted, Some(loss)) => {
            // What the client sent may still be on its way; a dial serves no client any more.
            if !far.is_terminated() && record.connected() {
                while_moving(LAST_DELIVERY, &mut far, || record.from_client.motion()).await;
            }
            Outcome::ClientGone(loss)
        }
        _ if !far.is_terminated() => far.await.unwrap_or_else(Outcome::Panicked),
        (far_outcome, _) => far_outcome,
    }
}
