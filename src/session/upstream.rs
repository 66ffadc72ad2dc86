//! The upstream actor: dials, then owns the far leg and relays it to its session's links.
//!
//! It ends when the leg's end is known, or when its session drops it, which resets the connection.

use crate::{
    net::{dial::Reserved, options::Options},
    relay::{
        direction::Ways,
        leg::{Leg, LegReader, LegWriter},
        link::{LinkReceiver, LinkSender},
        pump::{LegEnd, pump},
    },
    runtime::clock::sleep,
    session::{
        attempts::{Attempts, NotReached, Reached},
        cause::Cause,
        context::Context,
        delivery,
        event::{Side, What},
        group::Seat,
        introduction::Introduction,
        outcome::{Loss, Outcome},
        record::{Dial, Record, Selection},
        route::Routes,
    },
};
use futures::future::{Either, select};
use std::{pin::pin, rc::Rc, sync::Arc, time::Duration};

/// A connection that is over before needs no watch: that costs four calls.
const WATCHED_AFTER: Duration = Duration::from_millis(250);

/// The actor: dials where the `routes` lead, with the socket that is `reserved`, for the session of `record`. What the client
/// sends comes from `up_receiver`, and what it is sent goes to `down_sender`.
pub(super) fn run(
    reserved: Option<Reserved>,
    record: Arc<Record>,
    context: Arc<Context>,
    routes: Arc<Routes>,
    up_receiver: LinkReceiver,
    down_sender: LinkSender,
) -> impl Future<Output = Outcome> {
    // Boxed: what dialling needs is not kept while the connection lives.
    let reached = Box::pin(reach(reserved, record.clone(), context.clone(), routes, up_receiver));
    async move {
        // Kept to the last: the server waits until it is gone, and so until the far leg is closed.
        let _ = &context;
        let (far, up_receiver, _seat) = match reached.await {
            Ok(reached) => reached,
            Err(outcome) => return outcome,
        };
        let ways = Ways { incoming: &record.from_upstream, outgoing: &record.from_client };
        let end = {
            let reader = LegReader::new(&far, record.may_splice());
            let mut pump = pin!(pump(reader, LegWriter::new(&far), down_sender, up_receiver, ways));
            let soon = match select(pump.as_mut(), sleep(WATCHED_AFTER)).await {
                Either::Left((end, _)) => Some(end),
                Either::Right(_) => None,
            };
            match soon {
                Some(end) => end,
                None => {
                    watch_peer(&far, &record);
                    pump.await
                }
            }
        };
        let is_clean = match is_clean(end, &record) {
            Ok(is_clean) => is_clean,
            Err(outcome) => return outcome,
        };
        if is_clean {
            far.end().await;
            return Outcome::Clean;
        }
        Box::pin(far.settle()).await;
        delivery::note_lost_towards(&record, Side::Upstream);
        Outcome::Aborted
    }
}

/// Whether both streams ended; else the session's other side is gone.
/// Errors: the upstream is gone.
fn is_clean(end: LegEnd, record: &Record) -> Result<bool, Outcome> {
    let LegEnd::PeerGone(error) = end else { return Ok(matches!(end, LegEnd::Clean)) };
    record.note_gone(Side::Upstream, &error);
    Err(Outcome::UpstreamGone(Loss::new(error, &record.from_client)))
}

/// Has the kernel find an upstream that has vanished.
fn watch_peer(far: &Leg, record: &Record) {
    // A UNIX socket has no peer that could.
    if record.dial().is_some_and(|dial| dial.local.is_some()) {
        far.socket().watch_peer(&record.listening.settings.options);
    }
}

/// Takes the route, and has a server of its group dialled; its leg, what it is to be sent, and its seat.
async fn reach(
    reserved: Option<Reserved>,
    record: Arc<Record>,
    context: Arc<Context>,
    routes: Arc<Routes>,
    up_receiver: LinkReceiver,
) -> Result<(Rc<Leg>, LinkReceiver, Seat), Outcome> {
    let opening_faults = record.opening_faults();
    if let Some(delay) = opening_faults.map(|opening| opening.delay).filter(|delay| !delay.is_zero()) {
        sleep(delay).await;
    }
    let facts = record.facts();
    let led = routes.lead(&facts);
    let (chosen, group) = led.map_err(|why| Outcome::Refused(Cause::NoRoute, why.into()))?;
    let route = routes.description(&chosen, &facts);
    // Before it connects, so that the first segment offers the window.
    let options = &record.listening.settings.options;
    let window = opening_faults.and_then(|opening| opening.far_window);
    let narrowed = window.map(|window| Box::new(Options { window: Some(window), ..options.clone() }));
    let options = narrowed.as_deref().unwrap_or(options);
    let (record, context) = (&*record, &*context);
    let attempts = Attempts { group, options, record, context, up_receiver: &up_receiver };
    let (tried, reached) = attempts.run(reserved).await;
    let place = reached.as_ref().ok().map(|reached| &reached.place);
    if let Some(selection) = Selection::of(group, route.as_deref(), place, tried) {
        record.set_choice(selection);
    }
    let Reached { leg, address, local, resolve, connect, place } = match reached {
        Ok(reached) => reached,
        Err(NotReached { resolve, outcome }) => {
            record.set_dial(Dial { upstream: None, local: None, resolve, connect: None });
            return Err(outcome);
        }
    };
    record.set_dial(Dial { upstream: Some(address.clone()), local, resolve, connect: Some(connect) });
    context.events.tell_with(|| What::Connect {
        session: record.id,
        upstream: address,
        upstream_name: place.server.address().into(),
        resolve,
        connect,
        choice: record.choice().cloned().map(Box::new),
        introduced: record.introduced().and_then(Introduction::told),
    });
    Ok((Rc::new(leg), up_receiver, place.seat))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        relay::link::link,
        runtime::{clock::within, shard},
        session::target::Target,
    };
    use std::{future::poll_fn, net::TcpListener, task::Poll};

    /// What malloc(3) of glibc keeps at hand for the next who asks; anything larger costs several times as much.
    const CACHED_BYTES_MAX: usize = 1032;

    #[test]
    fn what_dialling_needs_is_cheap_to_get() {
        let bytes = size(reach);
        assert!(bytes <= CACHED_BYTES_MAX, "{bytes}");
    }

    fn size<A, B, C, D, E, F: Future>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_upstream_that_lives_holds_what_its_server_waits_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::upstream(&listener.local_addr().unwrap().to_string());
        let Target::Upstream(routes) = target.clone() else { unreachable!("it is one") };
        let (record, context) = (Record::sample(1, target), Context::sample());
        let ((_up_sender, up_receiver), (down_sender, _down_receiver)) = (link(), link());
        shard::run(async {
            let mut actor =
                Box::pin(run(None, record.clone(), context.clone(), routes, up_receiver, down_sender));
            let connected = poll_fn(|task| {
                assert!(actor.as_mut().poll(task).is_pending());
                if record.connected() { Poll::Ready(()) } else { Poll::Pending }
            });
            assert!(within(Some(Duration::from_secs(20)), connected).await.is_some());
            assert_eq!(Arc::strong_count(&context), 2);
            drop(actor);
            assert_eq!(Arc::strong_count(&context), 1);
        })
        .unwrap();
    }
}
