//! The session actor: one client connection, from its begin to its end.
//!
//! It owns the client's socket. In every mode it is the same: obtain a link to send into and one to receive from, then
//! relay. It ends when both directions are done, at an abort, at a deadline, or when it is cut.

use crate::{
    actors::{
        context::Context,
        deadline::Watch,
        dump::Dump,
        upstream::{self, lost},
    },
    config::Role,
    io::{settle::settle, socket::Socket},
    mailbox::{self, Mailbox, mailbox},
    observe::{
        cause::Cause,
        event::{Side, What},
        record::Record,
    },
    origin,
    relay::{
        duplex::{End, Flows, LAST_DELIVERY, relay},
        flow::Flow,
        link::link,
    },
    runtime::{
        clock::sleep,
        task::{self, Panicked, Task},
    },
};
use futures::{
    FutureExt,
    future::{Either, select},
    select_biased,
};
use std::{pin::pin, sync::Arc};

/// Commands that may wait for a session; they are rare and small.
const COMMANDS: usize = 2;

/// What a session can be told.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// End now: reset both peers.
    Cut(Cause),
}

/// A running session, as its supervisor knows it.
pub struct Session {
    /// What is known of it.
    pub record: Arc<Record>,
    commands: mailbox::Address<Command>,
}

struct Actor {
    record: Arc<Record>,
    context: Arc<Context>,
    commands: Mailbox<Command>,
}

impl Session {
    /// Starts the session of `record` on the client's socket.
    pub fn start(socket: Socket, record: Record, context: Arc<Context>) -> (Self, Task<()>) {
        let record = Arc::new(record);
        let (address, commands) = mailbox(COMMANDS);
        let actor = Actor { record: record.clone(), context, commands };
        (Session { record, commands: address }, task::spawn(actor.run(socket)))
    }

    /// Tells the session to end. A session with commands waiting ends by those.
    pub fn cut(&self, cause: Cause) {
        let _ = self.commands.try_send(Command::Cut(cause));
    }
}

impl Actor {
    async fn run(mut self, socket: Socket) {
        let Actor { record, context, commands } = &mut self;
        let reporter = &context.reporter;
        reporter.report_with(|| What::Open {
            session: record.id,
            mode: record.mode,
            listener: record.listener.clone(),
            client: record.client.clone(),
        });
        {
            let mut watch = Watch::new(record, &context.deadlines);
            let mut live = pin!(live(socket, record, context).fuse());
            // Leaving this block drops what still lives, which resets both peers.
            let expired = select_biased! {
                () = live => None,
                command = commands.next().fuse() => match command {
                    Some(Command::Cut(cause)) => Some(cause),
                    None => Some(Cause::Cut),
                },
                cause = watch.expired().fuse() => Some(cause),
            };
            if let Some(cause) = expired {
                record.end(cause, None);
            }
        }
        reporter.report_with(|| What::Close(Box::new(record.close())));
    }
}

/// The session's life, where nobody ends it from outside.
async fn live(socket: Socket, record: &Arc<Record>, context: &Arc<Context>) {
    let (up, up_end) = link();
    // Echo is the link back to itself, and an upstream that has ended already.
    let (inbound, upstream, from_other) = match &context.role {
        Role::Origin => return Box::pin(origin::serve(socket, record)).await,
        Role::Echo => (up_end, None, &record.from_client),
        Role::Proxy(upstream) => {
            let (down_end, down) = link();
            let upstream =
                upstream::start(record.clone(), context.clone(), upstream.clone(), up_end, down_end);
            (down, Some(upstream), &record.from_upstream)
        }
    };
    let end = {
        let dump = Dump::new(&context.reporter, record, Side::Client, context.dump_limit);
        let flows = Flows { incoming: &record.from_client, outgoing: from_other };
        let relay = pin!(relay(&socket, context.splice, up, inbound, flows, &dump));
        relay_beside(relay, upstream, record).await
    };
    let (end, upstream) = end;
    let gone = matches!(end, Some(End::PeerGone(_)));
    match end {
        Some(End::Clean) => socket.close(),
        Some(End::PeerGone(error)) => {
            let cause = lost(&error, from_other.waiting() > 0, Cause::ClientReset);
            record.end(cause, Some(format!("client: {error}")));
        }
        Some(End::OtherGone(_)) => Box::pin(settle(&socket)).await,
        // The upstream is gone and the client takes nothing more.
        None => {}
    }
    // The client's side has ended; what it sent may still be on its way. A dial is for nobody then.
    if let Some(upstream) = upstream
        && (!gone || record.connected())
    {
        let ended =
            if gone { last_delivery(upstream, &record.from_client).await } else { Some(upstream.await) };
        note_fault(record, ended);
    }
}

/// Runs the client's relay beside the upstream, until the client's side has ended. Gives the upstream back where it goes on.
async fn relay_beside(
    relay: impl Future<Output = End> + Unpin,
    upstream: Option<Task<upstream::End>>,
    record: &Record,
) -> (Option<End>, Option<Task<upstream::End>>) {
    let Some(upstream) = upstream else { return (Some(relay.await), None) };
    match select(relay, upstream).await {
        Either::Left((end, upstream)) => (Some(end), Some(upstream)),
        Either::Right((Ok(upstream::End::Clean), relay)) => (Some(relay.await), None),
        Either::Right((ended, relay)) => {
            note_fault(record, Some(ended));
            (last_delivery(relay, &record.from_upstream).await, None)
        }
    }
}

fn note_fault(record: &Record, ended: Option<Result<upstream::End, Panicked>>) {
    if let Some(Err(panicked)) = ended {
        record.end(Cause::Internal, Some(panicked.to_string()));
    }
}

/// Waits for the end of a delivery whose sender is gone, as long as it moves.
async fn last_delivery<T>(delivery: impl Future<Output = T> + Unpin, flow: &Flow) -> Option<T> {
    let mut delivery = delivery;
    loop {
        let before = flow.delivered();
        match select(&mut delivery, sleep(LAST_DELIVERY)).await {
            Either::Left((end, _)) => return Some(end),
            Either::Right(_) if flow.delivered() == before => return None,
            Either::Right(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session and its upstream hold while nothing flows, in bytes; the rest of an idle session is two links, a
    /// mailbox and two registrations.
    const SESSION_BYTES_MAX: usize = 1100;
    const UPSTREAM_BYTES_MAX: usize = 900;

    #[test]
    fn an_idle_session_is_small() {
        let session = size(|actor: Actor, socket| actor.run(socket));
        assert!(session <= SESSION_BYTES_MAX, "{session}");
        let upstream = upstream::future_bytes();
        assert!(upstream <= UPSTREAM_BYTES_MAX, "{upstream}");
    }

    fn size<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }
}
