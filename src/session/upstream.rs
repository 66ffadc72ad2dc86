//! The upstream actor: dials, then owns the upstream's socket and relays it to its session's links.
//!
//! It ends when the connection's end is known, or when its session drops it, which resets the connection.

use crate::{
    error::reason,
    net::{
        dial::{Destination, Dialled, dial},
        options::Options,
        socket::{Socket, settle},
    },
    relay::{
        half::Observer,
        link::{LinkReceiver, LinkSender},
        pump as duplex,
        pump::{Flows, relay},
    },
    runtime::task::{self, Task},
    session::{
        cause::Cause,
        context::Context,
        dump::Dump,
        event::{Side, What},
        queue,
        record::{Dial, Record},
    },
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

/// Notes the first byte, besides what the dump wants.
struct FirstByte<'a> {
    record: &'a Record,
    dump: Dump<'a>,
}

/// Starts dialling `upstream` for the session of `record`; `inbound` is what the client sends, `out` what it is sent.
pub fn start(
    record: Arc<Record>,
    context: Arc<Context>,
    upstream: Arc<Destination>,
    inbound: LinkReceiver,
    out: LinkSender,
) -> Task<End> {
    task::spawn(run(record, context, upstream, inbound, out))
}

fn run(
    record: Arc<Record>,
    context: Arc<Context>,
    upstream: Arc<Destination>,
    inbound: LinkReceiver,
    out: LinkSender,
) -> impl Future<Output = End> + Send {
    async move {
        // Boxed: what dialling needs is not kept while the connection lives.
        let Some(socket) = Box::pin(connect(&record, &context, &upstream)).await else { return End::Aborted };
        let flows = Flows { incoming: &record.from_upstream, outgoing: &record.from_client };
        let dump = Dump::new(&context.reporter, &record, Side::Upstream, context.dump_limit);
        let observer = FirstByte { record: &record, dump };
        match relay(&socket, context.splice, out, inbound, flows, &observer).await {
            duplex::End::Clean => {
                socket.close();
                return End::Clean;
            }
            duplex::End::PeerGone(error) => {
                let cause = lost(&error, record.from_client.waiting() > 0, Cause::UpstreamReset);
                record.end(cause, Some(format!("upstream: {}", reason(&error))));
            }
            duplex::End::OtherGone(_) => {
                Box::pin(settle(&socket)).await;
                queue::note(&record, Side::Upstream);
            }
        }
        End::Aborted
    }
}

/// Dials, and notes how that went.
async fn connect(record: &Record, context: &Context, upstream: &Destination) -> Option<Socket> {
    let deadlines = context.deadlines.get();
    let options = Options { user_timeout: deadlines.stall, ..context.options };
    match dial(upstream, &options, deadlines.connect, &context.own).await {
        Ok(Dialled { socket, address, local, resolve, connect }) => {
            record.set_leg(Side::Upstream, socket.reading());
            record.set_dial(Dial { upstream: Some(address.clone()), local, resolve, connect: Some(connect) });
            context.reporter.report_with(|| What::Connect {
                session: record.id,
                upstream: address,
                upstream_name: upstream.endpoint.to_string().into(),
                resolve,
                connect,
            });
            Some(socket)
        }
        Err(error) => {
            record.set_dial(Dial { upstream: None, local: None, resolve: error.resolve, connect: None });
            record.end(error.kind.into(), Some(error.text));
            None
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

/// The size of the actor's future, for the test of its ceiling.
#[cfg(test)]
pub(super) fn future_bytes() -> usize {
    fn size<A, B, C, D, E, F: Future>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
    size(run)
}
