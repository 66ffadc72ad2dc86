//! The upstream actor: dials, then owns the far leg and relays it to its session's links.
//!
//! It ends when the leg's end is known, or when its session drops it, which resets the connection.

use crate::{
    net::{
        dial::{DialFailureKind, Dialled, Reserved, dial_with},
        options::Options,
    },
    relay::{
        direction::Ways,
        leg::Leg,
        link::{LinkReceiver, LinkSender},
        pump::{LegEnd, pump},
    },
    session::{
        cause::Cause,
        context::Context,
        delivery,
        event::{Side, What},
        group::{Group, Place, Seat},
        outcome::{Loss, Outcome},
        record::{Dial, Record, Selection, Tried},
        route::{Facts, Routes},
    },
    text::{
        escape::Escaped,
        safe::SafeText,
        units::{counted, milliseconds},
    },
};
use std::{
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
        let (far, _seat) = match Box::pin(reach(reserved, &record, &context, &routes)).await {
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
        match pump(&far, record.listening.settings.splice, down_sender, up_receiver, ways).await {
            LegEnd::Clean => {
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
) -> Result<(Rc<Leg>, Seat), Outcome> {
    let facts = Facts { source: record.client.ip(), ..Facts::default() };
    let refused = |why: String| Err(Outcome::Refused(Cause::NoRoute, why.into()));
    let Some(chosen) = routes.choose(&facts) else {
        return refused(format!("no route of {} fits", record.listening.name));
    };
    let Some(group) = &chosen.route.group else {
        return refused(format!("{} refuses it", routes.name(chosen.number)));
    };
    let route = routes.description(&chosen, &facts);
    let (tried, reached) = try_servers(group, reserved, record, context).await;
    // Of a bare address there is nothing to tell.
    let selection = (!group.is_address || route.is_some()).then(|| {
        let place = reached.as_ref().ok().map(|(_, place)| place);
        Selection {
            route: route.as_deref().map(SafeText::from),
            upstream_group: (!group.is_address).then(|| group.name.as_str().into()),
            server: place.map(|place| safe(&place.server.address())),
            why: place.filter(|_| !group.is_address).map(|place| safe(&place.why)),
            tried,
        }
    });
    if let Some(selection) = &selection {
        record.set_choice(selection.clone());
    }
    let (Dialled { socket, address, local, resolve, connect }, place) = match reached {
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
    });
    Ok((Rc::new(Leg::Plain(socket)), place.seat))
}

/// How a group was reached; else how long the last name took to resolve, and the outcome.
type Reached = Result<(Dialled, Place), (Option<Duration>, Outcome)>;

/// Tries servers of the group until one is reached or none is left to try; which could not be reached, and how it went.
async fn try_servers(
    group: &Group,
    mut reserved: Option<Reserved>,
    record: &Record,
    context: &Context,
) -> (Vec<Tried>, Reached) {
    let settings = &record.listening.settings;
    let deadlines = settings.deadlines.get();
    let limit = group.settings.connect_timeout.or(deadlines.connect);
    let (mut told, mut tried) = (Vec::new(), Vec::new());
    let (mut last, mut waited) = (None, 0);
    while let Some(place) = group.choose(record.client.ip(), &tried) {
        let server = place.server.clone();
        let begin = Instant::now();
        let own = context.own.get();
        match dial_with(reserved.take(), &server.destination, &settings.options, limit, &own).await {
            Ok(dialled) => {
                group.note_connected(&server);
                return (told, Ok((dialled, place)));
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
                told.push(Tried { server: safe(&server.address()), error: cause.name().into(), ms });
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

fn safe(text: &str) -> SafeText {
    SafeText::escaped(Escaped(text.as_bytes()))
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
        assert_eq!(loss.cause(Cause::UpstreamReset), Cause::StallTimeout, "{loss:?}");
    }
}
