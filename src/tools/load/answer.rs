//! Where an HTTP answer ends (RFC 9112 §6, §7): the head by httparse, bodies by length, by chunks, or up to the stream's end.

use crate::tools::load::{
    failure::Failure,
    head::{Body, Head},
};
use httparse::Status;

#[cfg(test)]
mod tests;

/// What a head, or all trailers of a chunked body, may take; servers send a tenth of it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A chunk's size in 16 digits, and some extensions.
const CHUNK_LINE_BYTES_MAX: usize = 4096;

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So much of the body is missing.
    Body(u64),
    ChunkLine,
    Chunk(u64),
    /// The line end after a chunk: so much of it is missing.
    ChunkEnd(u8),
    /// Lines after the last chunk; whether the current one is empty so far.
    Trailer {
        empty: bool,
    },
    /// The stream's end is the body's.
    Rest,
}

/// What some bytes brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Part,
    /// The answer is whole, and so many of the bytes come after it.
    Whole {
        /// What is left.
        surplus: usize,
    },
}

/// One answer on its way.
#[derive(Debug)]
pub struct Answer {
    state: State,
    /// A head or a chunk's line that came in part.
    held: Vec<u8>,
    trailer_bytes: usize,
    /// The status code, once the head is there.
    pub status: u16,
    /// The server takes no other request on this connection.
    pub closes: bool,
}

impl Answer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Answer { state: State::Head, held: Vec::new(), trailer_bytes: 0, status: 0, closes: false }
    }

    /// Goes on to the next answer; keeps its room.
    pub fn begin(&mut self) {
        self.held.clear();
        (self.state, self.trailer_bytes, self.status, self.closes) = (State::Head, 0, 0, false);
    }

    /// Reads what came.
    ///
    /// # Errors
    /// Where it is not HTTP.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Progress, Failure> {
        while !bytes.is_empty() {
            let (taken, whole) = self.step(bytes)?;
            bytes = &bytes[taken..];
            if whole {
                return Ok(Progress::Whole { surplus: bytes.len() });
            }
        }
        Ok(Progress::Part)
    }

    /// The stream has ended: whether the answer is whole.
    #[must_use]
    pub fn ends_with_stream(&self) -> bool {
        self.state == State::Rest
    }

    /// How many bytes the next part of the answer took, and whether it was the last.
    fn step(&mut self, bytes: &[u8]) -> Result<(usize, bool), Failure> {
        match self.state {
            State::Head => self.head(bytes),
            State::Body(left) => {
                let taken = taken(left, bytes);
                self.state = State::Body(left - taken as u64);
                Ok((taken, left == taken as u64))
            }
            State::ChunkLine => self.chunk_line(bytes).map(|taken| (taken, false)),
            State::Chunk(left) => {
                let taken = taken(left, bytes);
                let left = left - taken as u64;
                self.state = if left == 0 { State::ChunkEnd(2) } else { State::Chunk(left) };
                Ok((taken, false))
            }
            State::ChunkEnd(left) => {
                let right = if left == 2 { b'\r' } else { b'\n' };
                if bytes[0] != right {
                    return Err(Failure::NotHttp);
                }
                self.state = if left == 2 { State::ChunkEnd(1) } else { State::ChunkLine };
                Ok((1, false))
            }
            State::Trailer { empty } => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > HEAD_BYTES_MAX {
                    return Err(Failure::NotHttp);
                }
                let ends_line = bytes[0] == b'\n';
                self.state = State::Trailer { empty: ends_line || (empty && bytes[0] == b'\r') };
                Ok((1, ends_line && empty))
            }
            State::Rest => Ok((bytes.len(), false)),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(usize, bool), Failure> {
        if self.held.is_empty() {
            let Some(head) = Head::read(bytes)? else {
                self.held.extend_from_slice(bytes);
                return self.limit(HEAD_BYTES_MAX).map(|()| (bytes.len(), false));
            };
            return Ok((head.bytes, self.took(&head)));
        }
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        match Head::read(&self.held)? {
            None => self.limit(HEAD_BYTES_MAX).map(|()| (bytes.len(), false)),
            Some(head) => {
                self.held.clear();
                Ok((head.bytes - before, self.took(&head)))
            }
        }
    }

    /// Goes on behind a head; whether the answer ends with it.
    fn took(&mut self, head: &Head) -> bool {
        if head.status < 200 {
            return false; // An interim answer (RFC 9110 §15.2): the true one follows.
        }
        (self.status, self.closes) = (head.status, head.closes);
        self.closes |= head.body == Body::Rest;
        self.state = match head.body {
            Body::Bytes(count) => State::Body(count),
            Body::Chunks => State::ChunkLine,
            Body::Rest => State::Rest,
        };
        self.state == State::Body(0)
    }

    fn chunk_line(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let before = self.held.len();
        let parsed = if before == 0 {
            httparse::parse_chunk_size(bytes)
        } else {
            self.held.extend_from_slice(bytes);
            httparse::parse_chunk_size(&self.held)
        };
        match parsed {
            Ok(Status::Complete((line, size))) => {
                self.held.clear();
                self.state = if size == 0 { State::Trailer { empty: true } } else { State::Chunk(size) };
                Ok(line - before)
            }
            Ok(Status::Partial) => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                self.limit(CHUNK_LINE_BYTES_MAX).map(|()| bytes.len())
            }
            Err(_) => Err(Failure::NotHttp),
        }
    }

    fn limit(&self, most: usize) -> Result<(), Failure> {
        if self.held.len() > most { Err(Failure::NotHttp) } else { Ok(()) }
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

fn taken(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}
