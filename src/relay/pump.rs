//! The pump around one leg: two half-loops, and what their ends mean together.
//!
//! | reading | writing | what it means |
//! |---|---|---|
//! | ended | ended | clean: close |
//! | failed | any | the peer is gone |
//! | any | the link was aborted | the other side is gone: reset this peer after what is under way |
//! | going on | failed | the peer takes no more, but what it sent before may still come: read on |
//! | ended | failed | the peer ended its stream and then reset: it is gone |
//! | refused | ended | the other side takes no more: what it sent is written, now reset this peer |
//! | any | any | the kernel says that the connection is lost: the peer is gone, once nothing more comes of it |

use crate::{
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::{Direction, Ways},
        leg::Leg,
        link::{LinkReceiver, LinkSender, Parcel, Waiting},
    },
    runtime::{clock::standstill, task::yield_now},
};
use futures::{
    FutureExt,
    future::{LocalBoxFuture, MaybeDone, maybe_done},
};
use pin_project_lite::pin_project;
use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long a step of the last delivery may take once a connection is known to be lost.
pub const LAST_DELIVERY: Duration = Duration::from_secs(5);

/// Chunks that a half-loop passes on before other tasks have their turn.
const TURN: u8 = 16;

/// How a leg ended.
#[derive(Debug)]
pub enum LegEnd {
    /// Both streams ended.
    Clean,
    /// The peer reset the connection, or vanished.
    PeerGone(io::Error),
    /// The other side of the session was cut off, or takes no more; this peer must be reset.
    OtherGone,
}

#[derive(Debug)]
pub enum ReadEnd {
    /// The stream ended, and the link was told.
    Finished,
    /// The link's receiver is gone.
    Refused,
    Failed(io::Error),
}

#[derive(Debug)]
pub enum WriteEnd {
    /// The stream was written to its end, and the sink was told.
    Finished,
    /// The stream was cut off; all that came before is written.
    Aborted,
    Failed(io::Error),
}

/// Relays `source` into `to_link` and `from_link` into `sink`, which are both of one leg, until the leg's end is known.
///
/// The links are gone when it ends. The leg is still open: the owner closes it, or resets it by dropping it. After a clean
/// end it closes it at once: our FIN may go with that ([`Socket::closes_next`](crate::net::socket::Socket::closes_next)).
pub fn pump<'a>(
    source: impl ChunkSource + 'a,
    sink: impl ChunkSink + 'a,
    to_link: LinkSender,
    from_link: LinkReceiver,
    ways: Ways<'a>,
) -> impl Future<Output = LegEnd> {
    Pump {
        leg: sink.leg(),
        read: maybe_done(read_into(source, to_link, ways.incoming)),
        write: maybe_done(write_from(from_link, sink, ways.outgoing)),
        incoming: ways.incoming,
        standstill: None,
    }
}

// Plain functions that return an async block: an async function stores each argument twice, as passed and as used. What is
// matched stands in functions of its own: an async block keeps it through every wait in an arm.

/// Moves `source` into `link` until one of them ends. A failed source drops the link, which aborts it.
pub fn read_into<'a>(
    mut source: impl ChunkSource + 'a,
    link: LinkSender,
    direction: &'a Direction,
) -> impl Future<Output = ReadEnd> + 'a {
    async move {
        let mut passed: u8 = 0;
        loop {
            let (waits, is_last) = match passed_on(source.read(direction), &link, direction).await {
                Read::Passed { waits, is_last } => (waits, is_last),
                Read::Refused => return ReadEnd::Refused,
                Read::Failed(error) => return ReadEnd::Failed(error),
            };
            if link.send_waiting(waits).await.is_err() {
                return ReadEnd::Refused;
            }
            if is_last {
                source.ended();
                return ReadEnd::Finished;
            }
            passed = passed.wrapping_add(1);
            if passed.is_multiple_of(TURN) {
                yield_now().await;
            }
        }
    }
}

/// What became of what was read.
enum Read {
    /// It is written, in the receiver's place, or sent, or it waits for room; the last is the end of the stream.
    Passed {
        waits: Waiting,
        is_last: bool,
    },
    Refused,
    Failed(io::Error),
}

fn passed_on<'a>(
    mut read: impl Future<Output = io::Result<Option<Chunk>>> + Unpin + 'a,
    link: &'a LinkSender,
    direction: &'a Direction,
) -> impl Future<Output = Read> + 'a {
    poll_fn(move |context| match read.poll_unpin(context) {
        Poll::Pending => link.poll_closed(context).map(|()| Read::Refused),
        Poll::Ready(read) => Poll::Ready(pass_on(read, link, direction)),
    })
}

fn pass_on(read: io::Result<Option<Chunk>>, link: &LinkSender, direction: &Direction) -> Read {
    match read {
        Ok(Some(mut chunk)) => {
            match chunk.bytes() {
                Some(bytes) => direction.note_received(bytes),
                None => direction.add_received(chunk.len()),
            }
            let is_written = link.deliver(&mut chunk, direction);
            let waits = if is_written { None } else { link.try_send(chunk) };
            Read::Passed { waits, is_last: false }
        }
        Ok(None) => {
            direction.set_ended();
            link.end();
            Read::Passed { waits: None, is_last: true }
        }
        Err(error) => Read::Failed(error),
    }
}

/// Moves `link` into `sink` until one of them ends.
pub fn write_from<'a>(
    link: LinkReceiver,
    mut sink: impl ChunkSink + 'a,
    direction: &'a Direction,
) -> impl Future<Output = WriteEnd> + 'a {
    async move {
        if let Some(leg) = sink.leg() {
            link.offer(leg);
        }
        let mut written: u8 = 0;
        loop {
            let mut chunk = match next_chunk(link.receive(direction).await) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(end) => return end,
            };
            while !chunk.is_empty() {
                let (mut write, link) = (sink.write(&mut chunk), &link);
                match poll_fn(move |context| link.meanwhile(&mut write, direction, context)).await {
                    Ok(0) => return WriteEnd::Failed(io::ErrorKind::WriteZero.into()),
                    Ok(count) => direction.add_delivered(count),
                    Err(error) => return WriteEnd::Failed(error),
                }
            }
            written = written.wrapping_add(1);
            if written.is_multiple_of(TURN) {
                yield_now().await;
            }
        }
        let finished = poll_fn(|context| sink.poll_finish(context)).await;
        finished.map_or_else(WriteEnd::Failed, |()| WriteEnd::Finished)
    }
}

/// The chunk that is next, none after the last one; or the end that the writing has come to.
fn next_chunk(next: io::Result<Option<Parcel>>) -> Result<Option<Chunk>, WriteEnd> {
    match next {
        Ok(Some(Parcel::Data(chunk))) => Ok(Some(chunk)),
        Ok(Some(Parcel::Fin)) => Ok(None),
        Ok(None) => Err(WriteEnd::Aborted),
        Err(error) => Err(WriteEnd::Failed(error)),
    }
}

pin_project! {
    /// Both half-loops in one place. An async block would keep each of them twice: as made, and as pinned.
    struct Pump<'a, R: Future, W: Future> {
        #[pin]
        read: MaybeDone<R>,
        #[pin]
        write: MaybeDone<W>,
        leg: Option<Rc<Leg>>,
        incoming: &'a Direction,
        standstill: Option<LocalBoxFuture<'a, ()>>,
    }
}

impl<R: Future<Output = ReadEnd>, W: Future<Output = WriteEnd>> Future for Pump<'_, R, W> {
    type Output = LegEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LegEnd> {
        let mut this = self.project();
        let has_read = this.read.as_mut().poll(context).is_ready();
        let _ = this.write.as_mut().poll(context);
        if let Some(end) = judge(this.read.as_mut().output_mut(), this.write.as_mut().output_mut()) {
            return Poll::Ready(end);
        }
        ready!(this.leg.as_ref().map_or(Poll::Pending, |leg| leg.socket().poll_aborted(context)));
        if !has_read {
            // What a lost connection left in our receive queue is still read, as long as more comes.
            let incoming = *this.incoming;
            let standstill = this
                .standstill
                .get_or_insert_with(|| Box::pin(standstill(LAST_DELIVERY, || incoming.motion())));
            ready!(standstill.as_mut().poll(context));
        }
        Poll::Ready(LegEnd::PeerGone(match this.write.output_mut() {
            Some(WriteEnd::Failed(error)) => take(error),
            _ => io::ErrorKind::ConnectionReset.into(),
        }))
    }
}

/// What the ends mean together; none while the leg goes on.
fn judge(read: Option<&mut ReadEnd>, write: Option<&mut WriteEnd>) -> Option<LegEnd> {
    match (read, write) {
        // First, because in echo mode it is what aborts the writing.
        (Some(ReadEnd::Failed(error)), _) | (Some(_), Some(WriteEnd::Failed(error))) => {
            Some(LegEnd::PeerGone(take(error)))
        }
        (_, Some(WriteEnd::Aborted)) | (Some(ReadEnd::Refused), Some(WriteEnd::Finished)) => {
            Some(LegEnd::OtherGone)
        }
        (Some(ReadEnd::Finished), Some(WriteEnd::Finished)) => Some(LegEnd::Clean),
        (None, _) | (_, None) => None,
    }
}

fn take(error: &mut io::Error) -> io::Error {
    mem::replace(error, io::ErrorKind::ConnectionReset.into())
}
