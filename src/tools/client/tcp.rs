//! A `tcp://` or `tls://` run: sends the payload, ends the stream, and prints the answer until the server ends its own.
//!
//! These are the relay's half-loops: payload → link → socket, and socket → link → output.

use crate::{
    net::buffer::Buffer,
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::Direction,
        leg::{Leg, LegReader, LegWriter},
        link::link,
        pump::{ReadEnd, WriteEnd, read_into, write_from},
    },
    runtime::{
        clock::{TICK, coarse_ms, sleep},
        mailbox::{Mailbox, mailbox},
    },
    tools::{
        client::{input::Payload, output::Output},
        failure::{Failure, Fault, bytes},
    },
};
use futures::{
    FutureExt,
    future::{Either, select},
    pin_mut, select_biased,
};
use std::{
    io, mem,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// What the server is sent.
pub struct Words {
    /// Comes first, and with the payload's first bytes if they are there.
    pub header: Vec<u8>,
    pub payload: Payload,
}

/// Talks to `peer` over `leg` and returns how many bytes came back.
///
/// The server's end is the end of an `endless` payload: what was taken of it by then is still sent.
pub async fn talk(
    leg: Leg,
    peer: &str,
    words: Words,
    endless: bool,
    output: Option<&mut Output>,
    limit: Option<Duration>,
) -> Result<u64, Failure> {
    let leg = Rc::new(leg);
    let (outgoing, incoming) = (Direction::new(), Direction::new());
    let (to_socket, from_payload) = link();
    let (to_output, from_socket) = link();
    let (stop, stopped) = mailbox(1);
    let mut stop = Some(stop);
    let mut ends = Ends::default();
    {
        let feed = read_into(Feed { words, stop: stopped }, to_socket, &outgoing).fuse();
        let send = write_from(from_payload, LegWriter::new(&leg), &outgoing).fuse();
        let read = read_into(LegReader::new(&leg, false), to_output, &incoming).fuse();
        let print = write_from(from_socket, Printer { output }, &incoming).fuse();
        let last_moved = || (incoming.waiting() == 0).then(|| outgoing.moved_ms().max(incoming.moved_ms()));
        let idle = idle(limit, last_moved).fuse();
        pin_mut!(feed, send, read, print, idle);
        loop {
            select_biased! {
                end = print => ends.print = Some(end),
                end = read => {
                    if endless {
                        stop = None;
                    }
                    ends.read = Some(end);
                }
                end = send => ends.send = Some(end),
                end = feed => {
                    if let ReadEnd::Failed(error) = end {
                        let name = if endless { "standard input" } else { "the file to send" };
                        return Err(Failure::input(name, &error));
                    }
                }
                limit = idle => return Err(Failure::idle(peer, limit, incoming.received())),
            }
            if let Some(end) = ends.judge(peer, incoming.received()) {
                end?;
                break;
            }
        }
    }
    drop(stop);
    leg.close();
    Ok(incoming.received())
}

/// Ends when nothing has moved for `limit`. `last_moved` says when something last did, in milliseconds of [`coarse_ms`]; none
/// while our output is waited for. Never ends without a limit.
async fn idle(limit: Option<Duration>, last_moved: impl Fn() -> Option<u64>) -> Duration {
    let Some(limit) = limit else { return std::future::pending().await };
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    loop {
        let now = coarse_ms();
        let due = last_moved().unwrap_or(now).saturating_add(limit_ms);
        if due <= now {
            return limit;
        }
        // The coarse clock may lag by a tick; a deadline never comes early.
        sleep(Duration::from_millis(due - now) + TICK).await;
    }
}

#[derive(Default)]
struct Ends {
    print: Option<WriteEnd>,
    read: Option<ReadEnd>,
    send: Option<WriteEnd>,
}

impl Ends {
    /// What the ends mean together; none while the talk goes on.
    fn judge(&self, peer: &str, received: u64) -> Option<Result<(), Failure>> {
        match (&self.print, &self.read, &self.send) {
            (Some(WriteEnd::Failed(error)), ..) => Some(Err(Failure::output(error))),
            // All that came before the loss is printed.
            (Some(WriteEnd::Aborted), Some(ReadEnd::Failed(error)), _) => {
                Some(Err(Failure::lost(peer, error, received)))
            }
            // The answer is whole, but the server may act on a part of what it was told.
            (Some(WriteEnd::Finished), _, Some(WriteEnd::Failed(_))) => {
                let answer = bytes(received);
                let text =
                    format!("{peer} did not take all that was sent; its answer, {answer}, is complete");
                Some(Err(Failure::new(Fault::Reset, text)))
            }
            (Some(WriteEnd::Finished), _, Some(WriteEnd::Finished)) => Some(Ok(())),
            _ => None,
        }
    }
}

/// The words as the source of a half-loop. It ends with the payload, or when `stop`'s address is gone.
struct Feed {
    words: Words,
    stop: Mailbox<()>,
}

impl ChunkSource for Feed {
    fn read(&mut self, _: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
        Box::pin(self.next())
    }
}

impl Feed {
    async fn next(&mut self) -> io::Result<Option<Chunk>> {
        let Words { header, payload } = &mut self.words;
        let buffer = Buffer::holding(&mem::take(header));
        // What is read once may come late, and a server may wait for the header before it speaks.
        if !buffer.bytes().is_empty() && matches!(payload, Payload::Stream(_)) {
            return Ok(Some(Chunk::Bytes(buffer)));
        }
        let fill = pin!(payload.fill(buffer));
        let stop = pin!(self.stop.next());
        match select(stop, fill).await {
            Either::Left(_) => Ok(None),
            Either::Right((buffer, _)) => {
                let chunk = Chunk::Bytes(buffer?);
                Ok((!chunk.is_empty()).then_some(chunk))
            }
        }
    }
}

/// The output as the sink of a half-loop; without one the answer is dropped.
struct Printer<'a> {
    output: Option<&'a mut Output>,
}

struct Piece(Chunk);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

impl ChunkSink for Printer<'_> {
    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Unpin {
        let count = chunk.len();
        let whole = mem::replace(chunk, Chunk::Bytes(Buffer::holding(&[])));
        Box::pin(async move {
            if let Some(output) = &mut self.output {
                output.write(Piece(whole)).await?;
            }
            Ok(count)
        })
    }

    fn poll_finish(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_stopped_feed_ends_although_its_input_does_not() {
        let (stop, stopped) = mailbox(1);
        let (reader, _writer) = io::pipe().unwrap();
        let payload = Payload::Stream(Some(Box::new(reader)));
        let mut feed = Feed { words: Words { header: Vec::new(), payload }, stop: stopped };
        drop(stop);
        assert!(block_on(feed.read(&Direction::new())).unwrap().is_none());
    }
}
