//! Both half-loops around one connection, and what their ends mean together.
//!
//! | reading | writing | what it means |
//! |---|---|---|
//! | ended | ended | clean: close |
//! | failed | any | the peer is gone |
//! | any | told of an abort | the other side is gone: reset this peer after what is under way |
//! | going on | failed | the peer takes no more, but what it sent before may still come: read on |
//! | ended | failed | the peer ended its stream and then reset: it is gone |
//! | refused | ended | the other side takes no more: what it sent is written, now reset this peer |

use crate::{
    io::socket::Socket,
    observe::cause::Cause,
    relay::{
        ends::{SocketSink, SocketSource},
        flow::Flow,
        half::{Observer, ReadEnd, Sink, Source, WriteEnd, read_into, write_from},
        link::{LinkReceiver, LinkSender},
    },
    runtime::clock::{Sleep, sleep},
};
use futures::{
    FutureExt,
    future::{Fuse, FusedFuture},
    pin_mut, select_biased,
};
use std::{io, time::Duration};

/// How long a step of the last delivery may take once a connection is known to be lost.
pub const LAST_DELIVERY: Duration = Duration::from_secs(5);

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// Both streams ended.
    Clean,
    /// The peer reset the connection, or vanished.
    PeerGone(io::Error),
    /// The other side of the session was cut off, or takes no more; this peer must be reset.
    OtherGone(Cause),
}

/// The two directions, as seen from the connection: what its peer sends, and what its peer is sent.
#[derive(Clone, Copy)]
pub struct Flows<'a> {
    /// From the peer.
    pub incoming: &'a Flow,
    /// To the peer.
    pub outgoing: &'a Flow,
}

/// Relays `socket` into `out` and `inbound` into `socket`, until the connection's end is known.
///
/// The links are gone when it returns. The socket is still open: the owner closes it, or resets it by dropping it.
pub async fn relay(
    socket: &Socket,
    splice: bool,
    out: LinkSender,
    inbound: LinkReceiver,
    flows: Flows<'_>,
    observer: &impl Observer,
) -> End {
    let source = SocketSource::new(socket, splice);
    duplex(source, SocketSink::new(socket), socket.aborted(), out, inbound, flows, observer).await
}

/// As [`relay`], over any source and sink; `aborted` ends when the connection is known to be lost.
pub async fn duplex(
    source: impl Source,
    sink: impl Sink,
    aborted: impl Future<Output = ()>,
    out: LinkSender,
    inbound: LinkReceiver,
    flows: Flows<'_>,
    observer: &impl Observer,
) -> End {
    let read = read_into(source, out, flows.incoming, observer).fuse();
    let write = write_from(inbound, sink, flows.outgoing).fuse();
    let aborted = aborted.fuse();
    pin_mut!(read, write, aborted);
    let mut ends = Ends::default();
    // What a lost connection left in our receive queue is still read, for as long as it moves.
    let mut limit: Fuse<Sleep> = Fuse::terminated();
    let mut seen = 0;
    loop {
        select_biased! {
            end = read => ends.read = Some(end),
            end = write => ends.write = Some(end),
            () = aborted => {
                if read.is_terminated() {
                    return End::PeerGone(ends.take_error());
                }
                seen = flows.incoming.received();
                limit = sleep(LAST_DELIVERY).fuse();
            }
            () = limit => {
                if flows.incoming.received() == seen {
                    return End::PeerGone(ends.take_error());
                }
                seen = flows.incoming.received();
                limit = sleep(LAST_DELIVERY).fuse();
            }
        }
        if let Some(end) = ends.judge() {
            return end;
        }
    }
}

#[derive(Default)]
struct Ends {
    read: Option<ReadEnd>,
    write: Option<WriteEnd>,
}

impl Ends {
    /// What the ends mean together; none while the connection goes on.
    fn judge(&mut self) -> Option<End> {
        match (&self.read, &self.write) {
            (_, Some(WriteEnd::Aborted(cause))) => Some(End::OtherGone(*cause)),
            (Some(ReadEnd::Failed(_)), _) | (Some(_), Some(WriteEnd::Failed(_))) => {
                Some(End::PeerGone(self.take_error()))
            }
            (Some(ReadEnd::Finished), Some(WriteEnd::Finished)) => Some(End::Clean),
            (Some(ReadEnd::Refused), Some(WriteEnd::Finished)) => Some(End::OtherGone(Cause::Internal)),
            (None, _) | (_, None) => None,
        }
    }

    /// The connection's error, where a half met one.
    fn take_error(&mut self) -> io::Error {
        match (self.read.take(), self.write.take()) {
            (Some(ReadEnd::Failed(error)), _) | (_, Some(WriteEnd::Failed(error))) => error,
            _ => io::ErrorKind::ConnectionReset.into(),
        }
    }
}
