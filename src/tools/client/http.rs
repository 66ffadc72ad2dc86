//! An `http://` or `https://` run: sends a GET, prints what comes back, and knows whether it is the whole answer (RFC 9112 §6, §8).
//!
//! What is printed are the bytes as they came, or the body alone if that is asked for. The answer is whole when its framing
//! says so, whether or not the server then ends the connection.

use crate::{
    net::http::response::{Malformed, Progress, Response},
    relay::leg::Leg,
    runtime::{clock::within, task::yield_now},
    tools::{
        client::output::Output,
        failure::{Failure, Fault, bytes},
    },
};
use std::{
    future::poll_fn,
    mem,
    pin::pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// What one read takes at first, enough for a small answer, and what it grows to, for few changes of threads a MiB.
const ROOM_BYTES: usize = 16 * 1024;
const ROOM_BYTES_MAX: usize = 512 * 1024;
/// Reading waits while this much is not yet printed.
const HELD_BYTES: usize = 64 * 1024;

/// A question and its answer on their way.
struct Exchange<'a> {
    leg: &'a Leg,
    peer: &'a str,
    show: Show,
    request: Vec<u8>,
    sent: usize,
    response: Response,
    received: u64,
    room: Vec<u8>,
    held: Vec<u8>,
    /// How the answer ended; it is told after all that came before is printed.
    end: Option<Result<(), Failure>>,
    /// When a byte last moved. Interim answers do not count: a server could send them for ever.
    moved: Instant,
    limit: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Nothing,
    Body,
    All,
}

/// Asks over `leg` and returns how many bytes came back. With `body`, the body alone is printed.
pub async fn ask(
    leg: Leg,
    peer: &str,
    request: Vec<u8>,
    body: bool,
    mut output: Option<&mut Output>,
    limit: Option<Duration>,
) -> Result<u64, Failure> {
    let show = match output {
        None => Show::Nothing,
        Some(_) if body => Show::Body,
        Some(_) => Show::All,
    };
    let mut exchange = Exchange {
        leg: &leg,
        peer,
        show,
        request,
        sent: 0,
        response: Response::default(),
        received: 0,
        room: vec![0; ROOM_BYTES],
        held: Vec::new(),
        end: None,
        moved: Instant::now(),
        limit,
    };
    loop {
        if exchange.held.is_empty() && exchange.end.is_none() {
            exchange.read().await?;
        }
        match &mut output {
            Some(output) if !exchange.held.is_empty() => exchange.print(output).await?,
            _ => match exchange.end.take() {
                Some(end) => break end?,
                None => yield_now().await,
            },
        }
    }
    let received = exchange.received;
    leg.hang_up();
    Ok(received)
}

impl Exchange<'_> {
    /// Waits for a part of the answer, and sends the question meanwhile.
    async fn read(&mut self) -> Result<(), Failure> {
        loop {
            let left = self.limit.map(|limit| limit.saturating_sub(self.moved.elapsed()));
            if within(left, poll_fn(|context| self.poll_read(context))).await.is_some() {
                return Ok(());
            }
            // Sending may have moved the deadline.
            if let Some(limit) = self.limit.filter(|limit| self.moved.elapsed() >= *limit) {
                return Err(Failure::idle(self.peer, limit, self.received));
            }
        }
    }

    /// Prints what is held, and reads on meanwhile. The time that our output takes is not the server's silence.
    async fn print(&mut self, output: &mut Output) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut print = pin!(output.write(mem::take(&mut self.held)));
        let printed = poll_fn(|context| {
            while self.poll_read(context).is_ready() {}
            print.as_mut().poll(context)
        });
        printed.await.map_err(|error| Failure::output(&error))?;
        self.moved = if self.moved < begin { self.moved + begin.elapsed() } else { Instant::now() };
        Ok(())
    }

    /// Sends what is left of the question, and reads a part of the answer if it has not ended and there is room for it.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.sent < self.request.len() {
            let rest = &self.request[self.sent..];
            let Poll::Ready(written) = self.leg.poll_write(context, rest) else { break };
            // A server may answer without reading the question, and close. So an error of writing is left to the next
            // read, which gives what came before the loss and then tells of it.
            self.sent += written.unwrap_or(rest.len());
            self.moved = Instant::now();
        }
        if self.end.is_some() || self.held.len() >= HELD_BYTES {
            return Poll::Pending;
        }
        match ready!(self.leg.poll_read(context, &mut self.room)) {
            Ok(0) => self.end = Some(self.ended()),
            Ok(count) => self.take(count),
            Err(error) => self.end = Some(Err(Failure::lost(self.peer, &error, self.received))),
        }
        Poll::Ready(())
    }

    fn take(&mut self, count: usize) {
        let Exchange { room, held, response, show, .. } = self;
        let piece = &room[..count];
        if *show == Show::All {
            held.extend_from_slice(piece);
        }
        let progress = response.push(piece, |body| {
            if *show == Show::Body {
                held.extend_from_slice(body);
            }
        });
        if !response.is_interim() {
            self.moved = Instant::now();
        }
        if count == room.len() && count < ROOM_BYTES_MAX {
            room.resize(2 * count, 0);
        }
        self.received += count as u64;
        let peer = self.peer;
        let malformed = |text: String| Some(Err(Failure::new(Fault::Malformed, text)));
        self.end = match progress {
            Ok(Progress::Part) => None,
            Ok(Progress::Whole { .. }) => Some(Ok(())),
            Err(Malformed::Switched) => malformed(format!("{peer} {}", Malformed::Switched)),
            Err(error) => malformed(format!("{peer} does not answer in HTTP/1.1: {error}")),
        };
    }

    /// What the end of the server's stream is to the answer.
    fn ended(&self) -> Result<(), Failure> {
        if self.response.ends_with_stream() {
            return Ok(());
        }
        let how = match self.received {
            0 => "without an answer".to_owned(),
            received => format!("in the middle of the answer, after {}", bytes(received)),
        };
        Err(Failure::new(Fault::Truncated, format!("{} ended the connection {how}", self.peer)))
    }
}
