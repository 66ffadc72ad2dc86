//! An `http://` run: sends a GET, prints what comes back, and knows whether it is the whole answer (RFC 9112 §6, §8).
//!
//! What is printed are the bytes as they came, or the body alone if that is asked for. The answer is whole when its framing
//! says so, whether or not the server then ends the connection.

use crate::{
    net::{
        buffer::Buffer,
        http::response::{Malformed, Progress, Response},
        socket::Socket,
    },
    runtime::clock::within,
    tools::{
        client::output::Output,
        failure::{Failure, Fault, bytes},
    },
};
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Our name and version, as the server is told.
const AGENT: &str = concat!("switchboard/", env!("CARGO_PKG_VERSION"));
/// Buffers read before what they held is printed: 64 KiB, so that few changes of threads print a large answer.
const READS: usize = 4;

/// What is asked.
pub struct Question<'a> {
    /// The server, for error texts.
    pub peer: &'a str,
    /// The `Host` field.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Whether the body alone is printed.
    pub body: bool,
}

/// A question and its answer on their way.
struct Exchange<'a> {
    socket: &'a Socket,
    peer: &'a str,
    request: Vec<u8>,
    sent: usize,
    response: Response,
    received: u64,
    /// When a byte last moved. Interim answers do not count: a server could send them for ever.
    moved: Instant,
    limit: Option<Duration>,
}

/// What is printed.
#[derive(Clone, Copy)]
enum Show {
    Nothing,
    Body,
    All,
}

/// Asks over `socket` and returns how many bytes came back.
pub async fn ask(
    socket: Socket,
    question: &Question<'_>,
    mut output: Option<&mut Output>,
    limit: Option<Duration>,
) -> Result<u64, Failure> {
    let show = match output {
        None => Show::Nothing,
        Some(_) if question.body => Show::Body,
        Some(_) => Show::All,
    };
    let mut exchange = Exchange::new(&socket, question, limit);
    loop {
        let mut shown = Vec::new();
        let whole = exchange.receive(show, &mut shown).await;
        if let Some(output) = &mut output
            && !shown.is_empty()
        {
            let begin = Instant::now();
            output.write(shown).await.map_err(|error| Failure::output(&error))?;
            // The time in which our output was waited for is not the server's.
            exchange.moved += begin.elapsed();
        }
        if whole? {
            break;
        }
    }
    let received = exchange.received;
    socket.close();
    Ok(received)
}

impl<'a> Exchange<'a> {
    fn new(socket: &'a Socket, question: &Question<'a>, limit: Option<Duration>) -> Self {
        let Question { peer, host, path, .. } = question;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        Exchange {
            socket,
            peer,
            request: request.into(),
            sent: 0,
            response: Response::new(),
            received: 0,
            moved: Instant::now(),
            limit,
        }
    }

    /// Reads what is there; what is to be printed goes to `shown`. Whether the answer is whole.
    async fn receive(&mut self, show: Show, shown: &mut Vec<u8>) -> Result<bool, Failure> {
        self.readable().await?;
        let mut buffer = Buffer::take();
        for _ in 0..READS {
            match self.socket.try_read(buffer.room()) {
                Ok(0) => return self.ended(),
                Ok(count) if self.take(&buffer.room()[..count], show, shown)? => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure::lost(self.peer, &error, self.received)),
            }
        }
        Ok(false)
    }

    /// Waits until something is there to read, and sends the rest of the question meanwhile.
    async fn readable(&mut self) -> Result<(), Failure> {
        loop {
            let left = self.limit.map(|limit| limit.saturating_sub(self.moved.elapsed()));
            if within(left, poll_fn(|context| self.poll_readable(context))).await.is_some() {
                return Ok(());
            }
            // Sending may have moved the deadline.
            if let Some(limit) = self.limit.filter(|limit| self.moved.elapsed() >= *limit) {
                return Err(Failure::idle(self.peer, limit, self.received));
            }
        }
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.sent < self.request.len() {
            let rest = &self.request[self.sent..];
            let Poll::Ready(written) = self.socket.poll_write(context, rest) else { break };
            // A server may answer without reading the question, and close. So an error of writing is left to the next
            // read, which gives what came before the loss and then tells of it.
            self.sent += written.unwrap_or(rest.len());
            self.moved = Instant::now();
        }
        self.socket.poll_readable(context)
    }

    /// Takes in a piece of the answer. Whether it is the last.
    fn take(&mut self, piece: &[u8], show: Show, shown: &mut Vec<u8>) -> Result<bool, Failure> {
        self.received += piece.len() as u64;
        if let Show::All = show {
            shown.extend_from_slice(piece);
        }
        let progress = self.response.push(piece, |body| {
            if let Show::Body = show {
                shown.extend_from_slice(body);
            }
        });
        if !self.response.is_interim() {
            self.moved = Instant::now();
        }
        let peer = self.peer;
        match progress {
            Ok(progress) => Ok(progress != Progress::Part),
            Err(Malformed::Switched) => {
                Err(Failure::new(Fault::Malformed, format!("{peer} {}", Malformed::Switched)))
            }
            Err(malformed) => Err(Failure::new(
                Fault::Malformed,
                format!("{peer} does not answer in HTTP/1.1: {malformed}"),
            )),
        }
    }

    /// What the end of the server's stream means: true if it ends the answer.
    fn ended(&self) -> Result<bool, Failure> {
        let (peer, received) = (self.peer, self.received);
        if self.response.ends_with_stream() {
            return Ok(true);
        }
        let text = match received {
            0 => format!("{peer} ended the connection without an answer"),
            _ => {
                format!("{peer} ended the connection in the middle of the answer, after {}", bytes(received))
            }
        };
        Err(Failure::new(Fault::Truncated, text))
    }
}
