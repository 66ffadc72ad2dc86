//! Fakes that answer HTTP, well or badly. Each reads a request's head and reports it.

use crate::support::{
    fake::Fake,
    stream::{End, Received, await_acknowledged, await_hangup, reset},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// What a fake does after its answer.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// Ends its stream.
    Fin,
    /// Resets the connection, after the other end's kernel has the answer.
    Reset,
    /// Leaves the connection open until the other end closes it.
    Stay,
}

/// Answers each connection's first request so.
pub fn answers(answer: impl Into<Vec<u8>>, then: Then) -> Fake {
    answers_in_pieces(vec![answer.into()], then)
}

/// Long enough for the other end to read a piece before the next one comes; nothing depends on it.
const PAUSE: Duration = Duration::from_millis(1);

/// Answers in pieces, with a short pause after each.
pub fn answers_in_pieces(pieces: Vec<Vec<u8>>, then: Then) -> Fake {
    Fake::start(move |mut stream, _| {
        let bytes = read_head(&mut stream).expect("a request's head");
        for piece in &pieces {
            let _ = stream.write_all(piece);
            thread::sleep(PAUSE);
        }
        match then {
            Then::Fin => {}
            Then::Reset => {
                await_acknowledged(&stream);
                reset(stream);
            }
            Then::Stay => await_hangup(&stream),
        }
        Received { bytes, end: End::Fin }
    })
}

/// Answers the requests of a connection in turn, each with the next of these, over and over; ends after `count`.
/// Reports the requests.
pub fn answers_in_turn(replies: &'static [&'static str], count: usize) -> Fake {
    Fake::start(move |mut stream, _| {
        let mut requests = Vec::new();
        for reply in replies.iter().cycle().take(count) {
            let Some(head) = read_head(&mut stream) else { break };
            requests.extend(head);
            if stream.write_all(reply.as_bytes()).is_err() {
                break;
            }
        }
        Received { bytes: requests, end: End::Fin }
    })
}

/// A request's head with its empty line; none where the stream has ended.
fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}
