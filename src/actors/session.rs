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
    pin_mut, select_biased,
};
use std::sync::Arc;

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
            let live = live(socket, record, context).fuse();
            pin_mut!(live);
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
    let upstream = match &context.role {
        Role::Echo => None,
        Role::Proxy(upstream) => Some(upstream.clone()),
        Role::Origin => return origin::serve(socket, record).await,
    };
    let dump = Dump::new(&context.reporter, record, Side::Client, context.dump_limit);
    let (up, up_end) = link();
    let Some(upstream) = upstream else {
        let flows = Flows { incoming: &record.from_client, outgoing: &record.from_client };
        let end = relay(&socket, context.splice, up, up_end, flows, &dump).await;
        return conclude(socket, record, end).await;
    };
    let (down_end, down) = link();
    let mut upstream = upstream::start(record.clone(), context.clone(), upstream, up_end, down_end);
    let flows = Flows { incoming: &record.from_client, outgoing: &record.from_upstream };
    let end = {
        let relay = relay(&socket, context.splice, up, down, flows, &dump);
        pin_mut!(relay);
        match select(relay, &mut upstream).await {
            Either::Left((end, _)) => Either::Left(end),
            Either::Right((Ok(upstream::End::Clean), relay)) => Either::Right(Some(relay.await)),
            Either::Right((end, relay)) => {
                note_fault(record, end);
                Either::Right(last_delivery(relay, &record.from_upstream).await)
            }
        }
    };
    match end {
        // The upstream has ended; the client was the last.
        Either::Right(Some(end)) => conclude(socket, record, end).await,
        // The upstream is gone and the client takes nothing more.
        Either::Right(None) => {}
        // The client's side has ended; what it sent is still on its way.
        Either::Left(end) => {
            let gone = matches!(end, End::PeerGone(_));
            conclude(socket, record, end).await;
            if gone && !record.connected() {
                return;
            }
            let ended =
                if gone { last_delivery(upstream, &record.from_client).await } else { Some(upstream.await) };
            if let Some(ended) = ended {
                note_fault(record, ended);
            }
        }
    }
}

/// Ends the client's connection as the relay says.
async fn conclude(socket: Socket, record: &Record, end: End) {
    match end {
        End::Clean => socket.close(),
        End::PeerGone(error) => {
            let waiting = match record.mode {
                crate::observe::event::Mode::Echo => record.from_client.waiting(),
                _ => record.from_upstream.waiting(),
            };
            record.end(lost(&error, waiting > 0, Cause::ClientReset), Some(format!("client: {error}")));
        }
        End::OtherGone(_) => settle(&socket).await,
    }
}

fn note_fault(record: &Record, end: Result<upstream::End, Panicked>) {
    if let Err(panicked) = end {
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
