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
    net::socket::Socket,
    relay::{
        direction::Flow,
        half::{Observer, ReadEnd, Sink, Source, WriteEnd, read_into, write_from},
        leg::{SocketSink, SocketSource},
        link::{LinkReceiver, LinkSender},
    },
    runtime::clock::{Sleep, sleep},
    session::cause::Cause,
};
use pin_project_lite::pin_project;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

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
/// The links are gone when it ends. The socket is still open: the owner closes it, or resets it by dropping it.
pub fn relay<'a>(
    socket: &'a Socket,
    splice: bool,
    out: LinkSender,
    inbound: LinkReceiver,
    flows: Flows<'a>,
    observer: &'a impl Observer,
) -> impl Future<Output = End> + Send {
    let source = SocketSource::new(socket, splice);
    let aborted = |context: &Context<'_>| socket.poll_aborted(context);
    duplex(source, SocketSink::new(socket), aborted, out, inbound, flows, observer)
}

/// As [`relay`], over any source and sink; `aborted` is ready when the connection is known to be lost.
pub fn duplex<'a>(
    source: impl Source + 'a,
    sink: impl Sink + 'a,
    aborted: impl Fn(&Context<'_>) -> Poll<()> + Send,
    out: LinkSender,
    inbound: LinkReceiver,
    flows: Flows<'a>,
    observer: &'a impl Observer,
) -> impl Future<Output = End> + Send {
    Duplex {
        read: read_into(source, out, flows.incoming, observer),
        write: write_from(inbound, sink, flows.outgoing),
        aborted,
        incoming: flows.incoming,
        read_end: None,
        write_end: None,
        limit: None,
    }
}

pin_project! {
    /// Both half-loops in one place. An async block would keep each of them twice: as made, and as pinned.
    struct Duplex<'a, R, W, A> {
        #[pin]
        read: R,
        #[pin]
        write: W,
        aborted: A,
        incoming: &'a Flow,
        read_end: Option<ReadEnd>,
        write_end: Option<WriteEnd>,
        limit: Option<Box<Limit>>,
    }
}

/// What a lost connection left in our receive queue is still read, for as long as it moves.
struct Limit {
    sleep: Sleep,
    received: u64,
}

impl<R, W, A> Future for Duplex<'_, R, W, A>
where
    R: Future<Output = ReadEnd>,
    W: Future<Output = WriteEnd>,
    A: Fn(&Context<'_>) -> Poll<()>,
{
    type Output = End;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        let this = self.project();
        if this.read_end.is_none()
            && let Poll::Ready(end) = this.read.poll(context)
        {
            *this.read_end = Some(end);
        }
        if this.write_end.is_none()
            && let Poll::Ready(end) = this.write.poll(context)
        {
            *this.write_end = Some(end);
        }
        if let Some(end) = judge(this.read_end, this.write_end) {
            return Poll::Ready(end);
        }
        if (this.aborted)(context).is_pending() {
            return Poll::Pending;
        }
        let limit = this.limit.get_or_insert_with(|| Box::new(Limit::new(this.incoming)));
        if this.read_end.is_some() || limit.poll_standstill(this.incoming, context).is_ready() {
            return Poll::Ready(End::PeerGone(take_error(this.read_end, this.write_end)));
        }
        Poll::Pending
    }
}

impl Limit {
    fn new(flow: &Flow) -> Self {
        Limit { sleep: sleep(LAST_DELIVERY), received: flow.received() }
    }

    /// Ready when nothing came for [`LAST_DELIVERY`].
    fn poll_standstill(&mut self, flow: &Flow, context: &mut Context<'_>) -> Poll<()> {
        while Pin::new(&mut self.sleep).poll(context).is_ready() {
            if flow.received() == self.received {
                return Poll::Ready(());
            }
            *self = Limit::new(flow);
        }
        Poll::Pending
    }
}

/// What the ends mean together; none while the connection goes on.
fn judge(read: &mut Option<ReadEnd>, write: &mut Option<WriteEnd>) -> Option<End> {
    match (&read, &write) {
        // First, because in echo mode it is what aborts the writing.
        (Some(ReadEnd::Failed(_)), _) | (Some(_), Some(WriteEnd::Failed(_))) => {
            Some(End::PeerGone(take_error(read, write)))
        }
        (_, Some(WriteEnd::Aborted(cause))) => Some(End::OtherGone(*cause)),
        (Some(ReadEnd::Finished), Some(WriteEnd::Finished)) => Some(End::Clean),
        (Some(ReadEnd::Refused), Some(WriteEnd::Finished)) => Some(End::OtherGone(Cause::Internal)),
        (None, _) | (_, None) => None,
    }
}

/// The connection's error, where a half met one.
fn take_error(read: &mut Option<ReadEnd>, write: &mut Option<WriteEnd>) -> io::Error {
    match (read.take(), write.take()) {
        (Some(ReadEnd::Failed(error)), _) | (_, Some(WriteEnd::Failed(error))) => error,
        _ => io::ErrorKind::ConnectionReset.into(),
    }
}
