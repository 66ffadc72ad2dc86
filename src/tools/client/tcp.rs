//! A `tcp://` run: sends the payload, ends the stream, and prints the answer until the server ends its own.
//!
//! These are the relay's half-loops: payload → link → socket, and socket → link → output.

use crate::{
    net::{buffer::Buffer, socket::Socket},
    relay::{
        chunk::Chunk,
        direction::Direction,
        leg::{Leg, LegReader, LegWriter},
        link::link,
        pump::{ReadEnd, Sink, WriteEnd, read_into, write_from},
    },
    runtime::mailbox::mailbox,
    tools::{
        client::{failure::bytes, feed::Feed, idle::idle, input::Payload, output::Output},
        failure::{Failure, Fault},
    },
};
use futures::{FutureExt, pin_mut, select_biased};
use std::{io, time::Duration};

/// Talks to `peer` over `socket` and returns how many bytes came back.
///
/// The server's end is the end of an `endless` payload: what was taken of it by then is still sent.
pub async fn talk(
    socket: Socket,
    peer: &str,
    payload: Payload,
    endless: bool,
    output: Option<&mut Output>,
    limit: Option<Duration>,
) -> Result<u64, Failure> {
    let leg = Leg::Plain(socket);
    let (outgoing, incoming) = (Direction::new(), Direction::new());
    let (to_socket, from_payload) = link();
    let (to_output, from_socket) = link();
    let (stop, stopped) = mailbox(1);
    let mut stop = Some(stop);
    let mut ends = Ends::default();
    {
        let feed = read_into(Feed { payload, stop: stopped }, to_socket, &outgoing).fuse();
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

/// The output as the sink of a half-loop; without one the answer is dropped.
struct Printer<'a> {
    output: Option<&'a mut Output>,
}

/// A chunk as bytes.
struct Piece(Chunk);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

impl Sink for Printer<'_> {
    async fn write(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        let count = chunk.len();
        let whole = std::mem::replace(chunk, Chunk::Bytes(Buffer::holding(&[])));
        if let Some(output) = &mut self.output {
            output.write(Piece(whole)).await?;
        }
        Ok(count)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
