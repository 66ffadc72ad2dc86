//! The upstream actor: dials, then owns the far leg and relays it to its session's links.
//!
//! It ends when the leg's end is known, or when its session drops it, which resets the connection.

use crate::{
    net::{
        dial::{Destination, DialError, Dialled, Reserved, dial_with},
        options::Options,
    },
    relay::{
        direction::Ways,
        leg::Leg,
        link::{LinkReceiver, LinkSender},
        pump::{LegEnd, pump},
    },
    session::{
        context::Context,
        delivery,
        event::{Side, What},
        outcome::{Loss, Outcome},
        record::{Dial, Record},
    },
};
use std::{rc::Rc, sync::Arc, time::Duration};

/// The actor: dials `upstream`, with the socket that is `reserved`, for the session of `record`. What the client sends
/// comes from `up_receiver`, and what it is sent goes to `down_sender`.
pub(super) fn run(
    reserved: Option<Reserved>,
    record: Arc<Record>,
    context: Arc<Context>,
    upstream: Arc<Destination>,
    up_receiver: LinkReceiver,
    down_sender: LinkSender,
) -> impl Future<Output = Outcome> {
    async move {
        // Boxed: what dialling needs is not kept while the connection lives.
        let far = match Box::pin(connect(reserved, &record, &context, &upstream)).await {
            Ok(far) => {
                // A session that lives on has it set when it first looks at its deadlines.
                if !down_sender.set_source(&far) {
                    watch_peer(&far, &record, context.deadlines.get().stall, &context);
                }
                far
            }
            Err(error) => return Outcome::NotReached(Box::new(error)),
        };
        let ways = Ways { incoming: &record.from_upstream, outgoing: &record.from_client };
        match pump(&far, context.splice, down_sender, up_receiver, ways).await {
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
pub(super) fn watch_peer(far: &Leg, record: &Record, stall: Option<Duration>, context: &Context) {
    // A UNIX socket has no peer that could.
    if record.dial().is_some_and(|dial| dial.local.is_some()) {
        far.watch_peer(&Options { user_timeout: stall, ..context.options.clone() });
    }
}

async fn connect(
    reserved: Option<Reserved>,
    record: &Record,
    context: &Context,
    upstream: &Destination,
) -> Result<Rc<Leg>, DialError> {
    let deadlines = context.deadlines.get();
    match dial_with(reserved, upstream, &context.options, deadlines.connect, &context.own).await {
        Ok(Dialled { socket, address, local, resolve, connect }) => {
            record.set_dial(Dial { upstream: Some(address.clone()), local, resolve, connect: Some(connect) });
            context.events.tell_with(|| What::Connect {
                session: record.id,
                upstream: address,
                upstream_name: upstream.endpoint.to_string().into(),
                resolve,
                connect,
            });
            Ok(Rc::new(Leg::Plain(socket)))
        }
        Err(error) => {
            record.set_dial(Dial { upstream: None, local: None, resolve: error.resolve, connect: None });
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::buffer::{BUFFER_BYTES, Buffer},
        relay::{chunk::Chunk, link::link},
        runtime::{clock::within, shard},
        session::{cause::Cause, deadline::Deadlines, target::Target},
    };
    use futures::future::join;
    use std::net::TcpListener;

    #[test]
    fn a_peer_that_takes_nothing_is_ended_by_the_kernel_and_that_is_a_stall() {
        const LIMIT: Option<Duration> = Some(Duration::from_secs(20));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::upstream(&listener.local_addr().unwrap().to_string());
        let Target::Upstream(upstream) = target.clone() else { unreachable!("it is one") };
        let record = Record::sample(1, target);
        // Nothing here watches our own deadline: the kernel's is the one that ends the connection.
        let deadlines = Deadlines { stall: Some(Duration::ZERO), ..Deadlines::default() };
        let ((up_sender, up_receiver), (down_sender, down_receiver)) = (link(), link());
        assert!(down_receiver.nudge().source().is_none(), "it is the actor's to ask the kernel for it");
        let actor = run(None, record.clone(), Context::sample(deadlines), upstream, up_receiver, down_sender);
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
