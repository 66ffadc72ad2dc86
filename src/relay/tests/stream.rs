//! Both links of a session as a byte stream.

use crate::{
    net::buffer::{BUFFER_BYTES, Buffer},
    relay::{
        chunk::Chunk,
        direction::{Direction, Ways},
        link::{LinkReceiver, LinkSender, Parcel, link},
        stream::LinkStream,
    },
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, executor::block_on};
use std::io::ErrorKind;

/// The directions of a stream: what it reads, and what it writes.
struct Two {
    incoming: Direction,
    outgoing: Direction,
}

impl Two {
    /// The stream, and the far ends of both links.
    fn stream(&self) -> (LinkStream<'_>, LinkSender, LinkReceiver) {
        let ((sender, from_link), (to_link, receiver)) = (link(), link());
        let ways = Ways { incoming: &self.incoming, outgoing: &self.outgoing };
        (LinkStream::new(from_link, to_link, ways), sender, receiver)
    }

    fn bring(&self, sender: &LinkSender, bytes: &[u8]) {
        self.incoming.note_received(bytes);
        block_on(sender.send(Chunk::Bytes(Buffer::holding(bytes)))).unwrap();
    }
}

#[test]
fn what_comes_is_read_as_room_allows_and_counts_as_delivered_then() {
    let two = Two { incoming: Direction::new(), outgoing: Direction::new() };
    let (mut stream, sender, _receiver) = two.stream();
    assert!(!two.incoming.gate.is_open(), "what it reads must be in memory");
    two.bring(&sender, b"foobar");
    let mut room = [0; 4];
    assert_eq!(block_on(stream.read(&mut room)).unwrap(), 4);
    assert_eq!((&room, two.incoming.delivered()), (b"foob", 4));
    assert_eq!(block_on(stream.read(&mut room)).unwrap(), 2);
    assert_eq!((&room[..2], two.incoming.waiting()), (&b"ar"[..], 0));
    assert!(stream.read(&mut room).now_or_never().is_none());
    block_on(sender.finish()).unwrap();
    for _ in 0..2 {
        assert_eq!(block_on(stream.read(&mut room)).unwrap(), 0);
    }
}

#[test]
fn an_abort_is_read_after_what_came_before_it_and_is_no_end() {
    let two = Two { incoming: Direction::new(), outgoing: Direction::new() };
    let (mut stream, sender, _receiver) = two.stream();
    two.bring(&sender, b"foo");
    drop(sender);
    let mut received = Vec::new();
    let error = block_on(stream.read_to_end(&mut received)).unwrap_err();
    assert_eq!((received.as_slice(), error.kind()), (&b"foo"[..], ErrorKind::ConnectionAborted));
}

#[test]
fn what_is_written_waits_for_room_and_the_end_comes_after_all_of_it() {
    let two = Two { incoming: Direction::new(), outgoing: Direction::new() };
    let (mut stream, _sender, receiver) = two.stream();
    let direction = Direction::new();
    let next = || match block_on(receiver.receive(&direction)) {
        Ok(Some(Parcel::Data(chunk))) => chunk.len(),
        Ok(Some(Parcel::Fin)) => 0,
        Ok(None) | Err(_) => unreachable!("the stream is not aborted"),
    };
    assert_eq!(block_on(stream.write(&[])).unwrap(), 0);
    assert_eq!(block_on(stream.write(&[1; BUFFER_BYTES + 1])).unwrap(), BUFFER_BYTES);
    block_on(stream.flush()).unwrap();
    // The link is full: the second chunk waits with the stream, and then nothing more is taken.
    assert_eq!(block_on(stream.write(&[2; 2])).unwrap(), 2);
    assert!(stream.write(&[3; 3]).now_or_never().is_none());
    assert!(stream.flush().now_or_never().is_none());
    assert_eq!(two.outgoing.received(), BUFFER_BYTES as u64 + 2);
    assert_eq!(next(), BUFFER_BYTES);
    block_on(stream.flush()).unwrap();
    // The end needs no room.
    stream.close().now_or_never().unwrap().unwrap();
    assert!(two.outgoing.ended());
    assert_eq!(next(), 2);
    assert_eq!(next(), 0);
    block_on(stream.close()).unwrap();
}

#[test]
fn a_write_for_a_receiver_that_is_gone_fails() {
    let two = Two { incoming: Direction::new(), outgoing: Direction::new() };
    let (mut stream, _sender, receiver) = two.stream();
    block_on(stream.write(&[1])).unwrap();
    block_on(stream.write(&[2])).unwrap();
    drop(receiver);
    let error = block_on(stream.write(&[3])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}
