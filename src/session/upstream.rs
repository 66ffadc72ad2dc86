//! The upstream actor: dials, then owns the far leg and relays it to its session's links.
//!
//! It ends when the leg's end is known, or when its session drops it, which resets the connection.

use crate::{
    error::reason,
    net::{
        address::Address,
        dial::{DialError, DialFailureKind, Dialled, Reserved, dial_with},
        options::Options,
    },
    relay::{
        direction::Ways,
        leg::{Leg, LegReader},
        link::{LinkReceiver, LinkSender},
        pump::{LegEnd, pump},
    },
    runtime::{
        clock::{sleep, within},
        task::yield_now,
    },
    session::{
        cause::Cause,
        context::Context,
        delivery,
        event::{Side, What},
        group::{Group, Place, Seat, Server},
        introduction::Introduction,
        outcome::{Loss, Outcome},
        preamble::Preamble,
        record::{Dial, Record, Selection, Tried},
        route::Routes,
    },
    text::{
        safe::SafeText,
        units::{counted, duration, milliseconds},
    },
};
use std::{
    borrow::Cow,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// The actor: dials where the `routes` lead, with the socket that is `reserved`, for the session of `record`. What the client sends
/// comes from `up_receiver`, and what it is sent goes to `down_sender`.
pub(super) fn run(
    reserved: Option<Reserved>,
    record: Arc<Record>,
    context: Arc<Context>,
    routes: Arc<Routes>,
    up_receiver: LinkReceiver,
    down_sender: LinkSender,
) -> impl Future<Output = Outcome> {
    async move {
        // Boxed: what dialling needs is not kept while the connection lives.
        let (far, _seat) = match Box::pin(reach(reserved, &record, &context, &routes, &up_receiver)).await {
            Ok((far, seat)) => {
                // A session that lives on has it set when it first looks at its deadlines.
                if !down_sender.set_source(&far) {
                    watch_peer(&far, &record, record.listening.settings.deadlines.get().stall);
                }
                (far, seat)
            }
            Err(outcome) => return outcome,
        };
        drop(routes);
        let ways = Ways { incoming: &record.from_upstream, outgoing: &record.from_client };
        match pump(LegReader::new(&far, record.may_splice()), down_sender, up_receiver, ways).await {
            LegEnd::Clean => {
                if far.may_have_more() {
                    Box::pin(far.settle()).await;
                }
                far.close();
                Outcome::Clean
            }
            LegEnd::PeerGone(error) => {
                record.note_gone(Side::Upstream, &error);
                Outcome::UpstreamGone(Loss::new(error, &record.from_client))
            }
            LegEnd::OtherGone => {
                Box::pin(far.settle()).await;
                delivery::note_lost_towards(&record, Side::Upstream);
                Outcome::Aborted
            }
        }
    }
}

/// Has the kernel find an upstream that has vanished.
pub(super) fn watch_peer(far: &Leg, record: &Record, stall: Option<Duration>) {
    // A UNIX socket has no peer that could.
    if record.dial().is_some_and(|dial| dial.local.is_some()) {
        far.watch_peer(&Options { user_timeout: stall, ..record.listening.settings.options.clone() });
    }
}

/// Takes the route, and tries the servers of its group one after the other.
async fn reach(
    reserved: Option<Reserved>,
    record: &Record,
    context: &Context,
    routes: &Routes,
    up_receiver: &LinkReceiver,
) -> Result<(Rc<Leg>, Seat), Outcome> {
    if let Some(delay) = record.opening_faults().map(|opening| opening.delay).filter(|delay| !delay.is_zero())
    {
        sleep(delay).await;
    }
    let facts = record.facts();
    let refused = |why: String| Err(Outcome::Refused(Cause::NoRoute, why.into()));
    let Some(chosen) = routes.choose(&facts) else {
        return refused(format!("no route of {} fits", record.listening.name));
    };
    let Some(group) = &chosen.route.group else {
        return refused(format!("{} refuses it", routes.name(chosen.number)));
    };
    let route = routes.description(&chosen, &facts);
    // Before it connects, so that the first segment offers the window.
    let options = match record.opening_faults().and_then(|opening| opening.far_window) {
        None => Cow::Borrowed(&record.listening.settings.options),
        window => Cow::Owned(Options { window, ..record.listening.settings.options.clone() }),
    };
    let (tried, reached) = try_servers(group, (reserved, &options), record, context, up_receiver).await;
    // Of a bare address there is nothing to tell.
    let selection = (!group.is_address || route.is_some()).then(|| {
        let place = reached.as_ref().ok().map(|reached| &reached.place);
        Selection {
            route: route.as_deref().map(SafeText::from),
            upstream_group: (!group.is_address).then(|| group.name.as_str().into()),
            server: place.map(|place| SafeText::literal(&place.server.address())),
            why: place.filter(|_| !group.is_address).map(|place| SafeText::literal(&place.why)),
            tried,
        }
    });
    if let Some(selection) = &selection {
        record.set_choice(selection.clone());
    }
    let Reached { leg, address, local, resolve, connect, place } = match reached {
        Ok(reached) => reached,
        Err((resolve, outcome)) => {
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
        choice: selection.map(Box::new),
        introduced: record.introduced().and_then(Introduction::told),
    });
    Ok((Rc::new(leg), place.seat))
}

/// A server that is reached, and ready for the client's stream.
struct Reached {
    leg: Leg,
    address: Address,
    local: Option<Address>,
    resolve: Option<Duration>,
    connect: Duration,
    place: Place,
}

/// How long the last name took to resolve, and the outcome.
type NotReached = (Option<Duration>, Outcome);

/// Tries servers of the group until one is reached or none is left to try; which could not be reached, and how it went.
async fn try_servers(
    group: &Group,
    (mut reserved, options): (Option<Reserved>, &Options),
    record: &Record,
    context: &Context,
    up_receiver: &LinkReceiver,
) -> (Vec<Tried>, Result<Reached, NotReached>) {
    let deadlines = record.listening.settings.deadlines.get();
    let limit = group.settings.connect_timeout.or(deadlines.connect);
    let (mut told, mut tried) = (Vec::new(), Vec::new());
    let (mut last, mut waited) = (None, 0);
    while let Some(place) = group.choose(record.source().ip(), &tried) {
        let server = place.server.clone();
        let begin = Instant::now();
        let own = context.own.of(&record.listening.address);
        let dialled = dial_with(reserved.take(), &server.destination, options, limit, &own).await;
        let greeted = match dialled {
            Ok(dialled) => greet(dialled, group, &server, record, (limit, up_receiver)).await,
            Err(error) => Err(error),
        };
        match greeted {
            Ok((leg, address, local, resolve, connect)) => {
                group.note_connected(&server);
                return (told, Ok(Reached { leg, address, local, resolve, connect, place }));
            }
            Err(error) => {
                // Being short of descriptors is no fault of the server.
                if error.kind == DialFailureKind::Resources {
                    return (told, Err((error.resolve, Outcome::NotReached(Box::new(error)))));
                }
                if let Some(change) = group.note_failed(&server, &error.text) {
                    context.events.tell(What::server(group, &server, change));
                }
                let (cause, ms) = (Cause::from(error.kind), milliseconds(begin.elapsed()));
                told.push(Tried {
                    server: SafeText::literal(&server.address()),
                    error: cause.name().into(),
                    ms,
                });
                let was_last_resort = place.is_last_resort;
                tried.push(server);
                waited += u32::from(error.kind != DialFailureKind::Refused);
                last = Some((error, was_last_resort));
                if !group.may_try(tried.len(), waited) {
                    break;
                }
            }
        }
    }
    let Some((error, was_last_resort)) = last else {
        let why = format!("no server of {} takes sessions", group.name);
        return (told, Err((None, Outcome::NoServer(why.into()))));
    };
    let resolve = error.resolve;
    let is_whole = tried.len() > 1 && !group.has_more(&tried);
    let outcome = if !group.is_address && (is_whole || was_last_resort) {
        let servers = counted(tried.len(), "server");
        Outcome::NoServer(format!("tried {servers} of {}; the last: {}", group.name, error.text).into())
    } else {
        Outcome::NotReached(Box::new(error))
    };
    (told, Err((resolve, outcome)))
}

/// Has a server ready for the client's stream, within what connecting has left of its limit.
async fn greet(
    dialled: Dialled,
    group: &Group,
    server: &Server,
    record: &Record,
    (limit, up_receiver): (Option<Duration>, &LinkReceiver),
) -> Result<(Leg, Address, Option<Address>, Option<Duration>, Duration), DialError> {
    let Dialled { socket, address, local, resolve, connect } = dialled;
    let (preamble, endpoint) = (Preamble::of(&group.settings, record), &server.destination.endpoint);
    if preamble.is_empty() {
        return Ok((Leg::Plain(socket), address, local, resolve, connect));
    }
    // What the client has sent by now goes with it.
    yield_now().await;
    let left = limit.map(|limit| limit.saturating_sub(resolve.unwrap_or_default() + connect));
    let given = preamble.give(socket, endpoint, record, up_receiver.has_parcel());
    let (kind, text) = match within(left, given).await {
        Some(Ok(leg)) => return Ok((leg, address, local, resolve, connect)),
        Some(Err(error)) => {
            (DialFailureKind::Handshake, format!("no TLS with {endpoint}: {}", reason(&error)))
        }
        None => {
            let limit = duration(limit.unwrap_or_default());
            (DialFailureKind::TimedOut, format!("{endpoint} did not finish the TLS handshake within {limit}"))
        }
    };
    Err(DialError { kind, text, resolve })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::buffer::{BUFFER_BYTES, Buffer},
        relay::{chunk::Chunk, link::link},
        runtime::{clock::within, shard},
        session::target::Target,
    };
    use futures::future::join;
    use std::net::TcpListener;

    #[test]
    fn a_peer_that_takes_nothing_is_ended_by_the_kernel_and_that_is_a_stall() {
        const LIMIT: Option<Duration> = Some(Duration::from_secs(20));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::upstream(&listener.local_addr().unwrap().to_string());
        let Target::Upstream(routes) = target.clone() else { unreachable!("it is one") };
        let record = Record::sample(1, target);
        // Nothing here watches our own deadline: the kernel's is the one that ends the connection.
        record.listening.settings.deadlines.change(|deadlines| deadlines.stall = Some(Duration::ZERO));
        let ((up_sender, up_receiver), (down_sender, down_receiver)) = (link(), link());
        assert!(down_receiver.nudge().source().is_none(), "it is the actor's to ask the kernel for it");
        let actor = run(None, record.clone(), Context::sample(), routes, up_receiver, down_sender);
        let upload = async {
            loop {
                record.from_client.add_received(BUFFER_BYTES);
                if up_sender.send(Chunk::Bytes(Buffer::holding(&[0; BUFFER_BYTES]))).await.is_err() {
                    break;
                }
            }
        };
        let ended = shard::run(within(LIMIT, join(actor, upload))).unwrap();
        let Some((Outcome::UpstreamGone(loss), ())) = ended else { panic!("it did not end so: {ended:?}") };
        assert_eq!(loss.cause(Side::Upstream), Cause::StallTimeout, "{loss:?}");
    }
}
