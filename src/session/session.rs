//! The session actor: one client connection, from its begin to its end.
//!
//! It owns the client's socket. In every mode it is the same: obtain a link to send into and one to receive from, then
//! relay. It ends when both directions are done, at an abort, at a deadline, or when its supervisor drops its task,
//! which resets both peers.

use crate::{
    error::reason,
    net::{
        options::Options,
        socket::{Socket, settle},
    },
    relay::{
        direction::Flow,
        link::link,
        pump::{End, Flows, LAST_DELIVERY, relay},
    },
    runtime::{
        clock::sleep,
        task::{self, Panicked, Task},
    },
    session::{
        cause::Cause,
        context::Context,
        deadline::Watch,
        dump::Dump,
        event::{Mode, Side, What},
        origin, queue,
        record::Record,
        target::Role,
        upstream::{self, lost},
    },
};
use futures::{
    FutureExt,
    future::{Either, OptionFuture, select},
};
use std::{pin::pin, sync::Arc};

/// Starts the session of `record` on the client's socket; `ended` is told when it is over, unless it was dropped.
///
/// What the session ends by is in its record; reporting that is left to whoever hears of its end.
pub fn start<E: Future<Output = ()> + Send + 'static>(
    socket: Socket,
    record: Arc<Record>,
    context: Arc<Context>,
    ended: impl FnOnce() -> E + Send + 'static,
) -> Task<()> {
    // Its own task in all but name: a panic in it is a fault of this session, and whoever waits is still told.
    task::spawn(task::contain(run(socket, record.clone(), context)).then(move |end| {
        if let Err(panicked) = end {
            record.end(Cause::Internal, Some(panicked.to_string()));
        }
        Box::pin(ended())
    }))
}

// What follows are functions that give an async block, and combinators: an async function keeps its arguments twice.

fn run(socket: Socket, record: Arc<Record>, context: Arc<Context>) -> impl Future<Output = ()> + Send {
    async move {
        context.reporter.report_with(|| What::Open {
            session: record.id,
            mode: record.mode,
            listener: record.listener.clone(),
            client: record.client.clone(),
        });
        let mut watch = {
            let deadlines = context.deadlines.get();
            // An accepted socket has the user timeout of its listener, which was made before an operator changed it.
            if deadlines.stall != context.options.user_timeout && record.client.ip().is_some() {
                let _ =
                    socket.set_user_timeout(&Options { user_timeout: deadlines.stall, ..context.options });
            }
            record.set_leg(Side::Client, socket.reading());
            Watch::new(&record, deadlines)
        };
        // Dropping what lives when a deadline passes resets both peers.
        if let Either::Right((cause, _)) =
            select(pin!(live(socket, &record, &context)), pin!(watch.expired())).await
        {
            queue::note_both(&record);
            record.end(cause, None);
        }
    }
}

/// The session's life, where nobody ends it from outside.
fn live<'a>(
    socket: Socket,
    record: &'a Arc<Record>,
    context: &'a Arc<Context>,
) -> impl Future<Output = ()> + Send + 'a {
    async move {
        if matches!(context.role, Role::Origin) {
            return Box::pin(serve(socket, record, context)).await;
        }
        let (up, up_end) = link();
        // Echo is the link back to itself, and no upstream.
        let (inbound, mut upstream, from_other) = match &context.role {
            Role::Origin | Role::Echo => (up_end, None, &record.from_client),
            Role::Proxy(target) => {
                let (down_end, down) = link();
                let upstream =
                    upstream::start(record.clone(), context.clone(), target.clone(), up_end, down_end);
                (down, Some(upstream), &record.from_upstream)
            }
        };
        let end = {
            let dump = Dump::new(&context.reporter, record, Side::Client, context.dump_limit);
            let flows = Flows { incoming: &record.from_client, outgoing: from_other };
            let mut relay = pin!(relay(&socket, context.splice, up, inbound, flows, &dump));
            let beside = OptionFuture::from(upstream.as_mut());
            match select(relay.as_mut(), beside).await {
                Either::Left((end, _)) => Some(end),
                Either::Right((None, _)) => Some(relay.await),
                Either::Right((Some(ended), _)) => {
                    upstream = None;
                    match ended {
                        Ok(upstream::End::Clean) => Some(relay.await),
                        ended => {
                            note_fault(record, ended);
                            Box::pin(last_delivery(relay, from_other)).await
                        }
                    }
                }
            }
        };
        Box::pin(conclude(socket, record, end, upstream)).await;
    }
}

async fn serve(socket: Socket, record: &Record, context: &Context) {
    let dump = |side| Dump::new(&context.reporter, record, side, context.dump_limit);
    origin::serve(socket, record, [&dump(Side::Client), &dump(Side::Upstream)]).await;
}

/// Ends the client's connection as its relay ended, and waits for the upstream where it goes on.
async fn conclude(socket: Socket, record: &Record, end: Option<End>, upstream: Option<Task<upstream::End>>) {
    let gone = matches!(end, Some(End::PeerGone(_)));
    match end {
        Some(End::Clean) => socket.close(),
        Some(End::PeerGone(error)) => {
            let unread = if record.mode == Mode::Echo { &record.from_client } else { &record.from_upstream };
            let cause = lost(&error, unread.waiting() > 0, Cause::ClientReset);
            record.end(cause, Some(format!("client: {}", reason(&error))));
        }
        Some(End::OtherGone(_)) => {
            settle(&socket).await;
            queue::note(record, Side::Client);
        }
        // The upstream is gone and the client takes nothing more.
        None => {}
    }
    // What the client sent may still be on its way. A dial is for nobody once the client is gone.
    match upstream {
        Some(upstream) if !gone => note_fault(record, upstream.await),
        Some(upstream) if record.connected() => {
            if let Some(ended) = last_delivery(upstream, &record.from_client).await {
                note_fault(record, ended);
            }
        }
        _ => {}
    }
}

fn note_fault(record: &Record, ended: Result<upstream::End, Panicked>) {
    if let Err(panicked) = ended {
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
    const SESSION_BYTES_MAX: usize = 728;
    const UPSTREAM_BYTES_MAX: usize = 460;

    #[test]
    fn an_idle_session_is_small() {
        let session = size(run);
        assert!(session <= SESSION_BYTES_MAX, "{session}");
        let upstream = upstream::future_bytes();
        assert!(upstream <= UPSTREAM_BYTES_MAX, "{upstream}");
    }

    fn size<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
}
