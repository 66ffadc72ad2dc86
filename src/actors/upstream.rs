//! The upstream actor: dials, then owns the upstream's socket and relays it to its session's links.
//!
//! It ends when the connection's end is known, or when its session drops it, which resets the connection.

use crate::{
    actors::{context::Context, dump::Dump},
    config::Upstream,
    io::{
        dial::{Dialled, dial},
        settle::settle,
        socket::Socket,
    },
    observe::{
        cause::Cause,
        event::{Side, What},
        record::{Dial, Record},
    },
    relay::{
        duplex::{self, Flows, relay},
        half::Observer,
        link::{LinkReceiver, LinkSender},
    },
    runtime::task::{self, Task},
};
use std::{io, sync::Arc};

/// How the upstream's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both streams ended.
    Clean,
    /// It was never reached, it is gone, or it was reset because the client is gone.
    Aborted,
}

struct Actor {
    record: Arc<Record>,
    context: Arc<Context>,
    /// What the client sends.
    inbound: LinkReceiver,
    /// What the client is sent.
    out: LinkSender,
}

/// Notes the first byte, besides what the dump wants.
struct FirstByte<'a> {
    record: &'a Record,
    dump: Dump<'a>,
}

/// Starts dialling `upstream` for the session of `record`.
pub fn start(
    record: Arc<Record>,
    context: Arc<Context>,
    upstream: Upstream,
    inbound: LinkReceiver,
    out: LinkSender,
) -> Task<End> {
    let actor = Actor { record, context, inbound, out };
    task::spawn(actor.run(upstream))
}

impl Actor {
    async fn run(self, upstream: Upstream) -> End {
        let Context { options, deadlines, own, .. } = &*self.context;
        match dial(&upstream, options, deadlines.connect, own).await {
            Ok(dialled) => {
                let socket = self.connected(&upstream, dialled);
                self.relay(socket).await
            }
            Err(error) => {
                self.record.set_dial(Dial { upstream: None, resolve: error.resolve, connect: None });
                self.record.end(error.cause, Some(error.text));
                End::Aborted
            }
        }
    }

    fn connected(&self, upstream: &Upstream, dialled: Dialled) -> Socket {
        let Dialled { socket, address, resolve, connect } = dialled;
        self.record.set_dial(Dial { upstream: Some(address.clone()), resolve, connect: Some(connect) });
        if self.context.reporter.listens() {
            self.context.reporter.report(What::Connect {
                session: self.record.id,
                upstream: address,
                upstream_name: upstream.endpoint.to_string().into(),
                resolve,
                connect,
            });
        }
        socket
    }

    async fn relay(self, socket: Socket) -> End {
        let Actor { record, context, inbound, out } = self;
        let flows = Flows { incoming: &record.from_upstream, outgoing: &record.from_client };
        let dump = Dump::new(&context.reporter, &record, Side::Upstream, context.dump_limit);
        let observer = FirstByte { record: &record, dump };
        match relay(&socket, context.splice, out, inbound, flows, &observer).await {
            duplex::End::Clean => {
                socket.close();
                End::Clean
            }
            duplex::End::PeerGone(error) => {
                let unread = record.from_client.waiting() > 0;
                record.end(lost(&error, unread, Cause::UpstreamReset), Some(format!("upstream: {error}")));
                End::Aborted
            }
            duplex::End::OtherGone(_) => {
                settle(&socket).await;
                End::Aborted
            }
        }
    }
}

/// The cause of a lost connection: the kernel's user timeout ends one whose peer took nothing (RFC 5482).
pub(super) fn lost(error: &io::Error, bytes_wait: bool, reset: Cause) -> Cause {
    if error.kind() == io::ErrorKind::TimedOut && bytes_wait { Cause::StallTimeout } else { reset }
}

impl Observer for FirstByte<'_> {
    fn watches(&self) -> bool {
        self.dump.watches()
    }

    fn show(&self, offset: u64, bytes: &[u8]) {
        self.dump.show(offset, bytes);
    }

    fn arrived(&self, offset: u64) {
        if offset == 0 {
            self.record.note_first_byte();
        }
    }
}
