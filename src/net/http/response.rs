//! Reads the response to a GET in any pieces (RFC 9112 §6, §7): bytes go in, and body, end or error come out. httparse reads
//! the lines; a response that comes in one piece costs no allocation.

use httparse::{Error, Status};
use std::mem::MaybeUninit;

/// What all heads of one exchange may take, and a chunked body's trailers with them: as much as browsers and curl take for
/// one head. Without a limit for all, a server could send interim responses for ever.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Header fields of one head: enough for a site with many cookies.
const FIELDS_MAX: usize = 1000;
/// Fields after a chunked body; servers send one or two.
const TRAILERS_MAX: usize = 64;

/// Why some bytes are not an HTTP/1.1 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("invalid HTTP version parsed")]
    Version,
    #[error("invalid HTTP status-code parsed")]
    Status,
    #[error("invalid HTTP header parsed")]
    Field,
    #[error("invalid content-length parsed")]
    Length,
    #[error("unexpected transfer-encoding parsed")]
    Coding,
    #[error("message head is too large")]
    TooLarge,
    #[error("invalid chunk parsed")]
    Chunk,
    /// 101, which answers only a request to switch.
    #[error("switched protocols, which it was not asked for")]
    Switched,
}

/// What some bytes brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Part,
    /// The response is whole; `surplus` of the bytes come after it.
    Whole { surplus: usize },
}

/// What is read next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// The number of bytes that are missing of the body.
    Body(u64),
    ChunkLine,
    /// The number of bytes that are missing of the chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailers,
    /// The stream's end is the body's.
    Rest,
}

/// A response on its way.
#[derive(Debug, Default)]
pub struct Response {
    state: State,
    /// The part that came of what is read as a whole: a head, a chunk's line, trailers.
    held: Vec<u8>,
    /// Bytes of heads so far, of interim responses as well.
    head_bytes: usize,
    /// The status code of the final response; 0 until its head is there.
    pub status: u16,
    /// Whether the server takes no other request on this connection.
    pub closes: bool,
}

impl Response {
    /// Goes on to the next response of the connection; keeps its memory.
    pub fn begin(&mut self) {
        self.held.clear();
        (self.state, self.head_bytes, self.status, self.closes) = (State::Head, 0, 0, false);
    }

    /// Reads what came, up to the response's end; `body` is given what belongs to the body.
    /// Errors: why it is not HTTP/1.1. What came of the body before that was given to `body`.
    pub fn push(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<Progress, Malformed> {
        while !bytes.is_empty() {
            let (taken, whole) = self.step(bytes, &mut body)?;
            bytes = &bytes[taken..];
            if whole {
                return Ok(Progress::Whole { surplus: bytes.len() });
            }
        }
        Ok(Progress::Part)
    }

    /// Whether the end of the stream ends the response, now that the stream has ended.
    pub fn ends_with_stream(&self) -> bool {
        self.state == State::Rest
    }

    /// Whether nothing that came is known to belong to the final response: all of it is interim, or may be.
    pub fn is_interim(&self) -> bool {
        const FIRST_DIGIT: usize = "HTTP/1.1 ".len();
        self.state == State::Head && self.held.get(FIRST_DIGIT).is_none_or(|digit| *digit == b'1')
    }

    /// The number of bytes that the next part of the response took, and whether it was the last.
    fn step(&mut self, bytes: &[u8], body: &mut impl FnMut(&[u8])) -> Result<(usize, bool), Malformed> {
        match self.state {
            State::Head => {
                let (taken, head) = self.read_whole(bytes, Head::read)?;
                Ok((taken, head.is_some_and(|head| self.follow(&head))))
            }
            State::Body(left) => {
                let taken = take_body(left, bytes, body);
                self.state = State::Body(left - taken as u64);
                Ok((taken, left == taken as u64))
            }
            State::ChunkLine => {
                let (taken, size) = self.read_whole(bytes, chunk_size)?;
                match size {
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Chunk(size),
                    None => {}
                }
                Ok((taken, false))
            }
            State::Chunk(left) => {
                let taken = take_body(left, bytes, body);
                let left = left - taken as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok((taken, false))
            }
            State::ChunkEnd => {
                let (taken, end) = self.read_whole(bytes, chunk_end)?;
                if end.is_some() {
                    self.state = State::ChunkLine;
                }
                Ok((taken, false))
            }
            State::Trailers => {
                let (taken, trailers) = self.read_whole(bytes, trailers)?;
                Ok((taken, trailers.is_some()))
            }
            State::Rest => {
                body(bytes);
                Ok((bytes.len(), false))
            }
        }
    }

    /// Reads what only makes sense as a whole, together with what came of it before; holds it while it is incomplete.
    fn read_whole<T>(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce(&[u8]) -> Result<Status<(usize, T)>, Malformed>,
    ) -> Result<(usize, Option<T>), Malformed> {
        let before = self.held.len();
        if before > 0 {
            self.held.extend_from_slice(bytes);
        }
        let (taken, value) = match read(if before > 0 { &self.held } else { bytes })? {
            Status::Complete((length, value)) => {
                self.held.clear();
                if matches!(self.state, State::Head | State::Trailers) {
                    self.head_bytes += length;
                }
                (length - before, Some(value))
            }
            Status::Partial => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                (bytes.len(), None)
            }
        };
        let fits = self.head_bytes + self.held.len() <= HEAD_BYTES_MAX;
        if fits { Ok((taken, value)) } else { Err(Malformed::TooLarge) }
    }

    /// Goes on behind a head; whether the response ends with it.
    fn follow(&mut self, head: &Head) -> bool {
        if head.next != State::Head {
            (self.status, self.closes) = (head.status, head.closes || head.next == State::Rest);
        }
        self.state = head.next;
        self.state == State::Body(0)
    }
}

/// What a head says of its response.
struct Head {
    status: u16,
    closes: bool,
    /// What comes after it; another head if it is interim (RFC 9110 §15.2).
    next: State,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Status<(usize, Head)>, Malformed> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut head,
            bytes,
            &mut fields,
        );
        let Status::Complete(length) = parsed.map_err(Malformed::of_head)? else {
            return Ok(Status::Partial);
        };
        let (status, is_old) = (head.code.unwrap_or(0), head.version == Some(0));
        let (mut size, mut is_coded, mut is_chunked) = (Ok(None), false, false);
        let (mut says_close, mut says_keep_alive) = (false, false);
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                size = words(field.value).fold(size, one_size);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                is_coded = true;
                is_chunked =
                    words(field.value).last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
            } else if field.name.eq_ignore_ascii_case("connection") {
                says_close |= words(field.value).any(|word| word.eq_ignore_ascii_case(b"close"));
                says_keep_alive |= words(field.value).any(|word| word.eq_ignore_ascii_case(b"keep-alive"));
            }
        }
        let next = match status {
            0..100 => return Err(Malformed::Status),
            101 => return Err(Malformed::Switched),
            100..200 => State::Head,
            204 | 304 => State::Body(0),
            // HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
            _ if is_coded && is_old => return Err(Malformed::Coding),
            _ if is_chunked => State::ChunkLine,
            _ if is_coded => State::Rest,
            _ => size?.map_or(State::Rest, State::Body),
        };
        let closes = says_close || (is_old && !says_keep_alive);
        Ok(Status::Complete((length, Head { status, closes, next })))
    }
}

impl Malformed {
    fn of_head(error: Error) -> Self {
        match error {
            Error::Version => Malformed::Version,
            Error::Status => Malformed::Status,
            Error::TooManyHeaders => Malformed::TooLarge,
            Error::HeaderName | Error::HeaderValue | Error::NewLine | Error::Token => Malformed::Field,
        }
    }
}

/// The words of a list in a field (RFC 9110 §5.6.1).
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The size that a further word of `Content-Length` leaves: digits and nothing else, and all words the same
/// (RFC 9110 §8.6).
fn one_size(so_far: Result<Option<u64>, Malformed>, word: &[u8]) -> Result<Option<u64>, Malformed> {
    let digits = str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let size = digits.and_then(|digits| digits.parse().ok()).ok_or(Malformed::Length)?;
    if so_far?.is_none_or(|before| before == size) { Ok(Some(size)) } else { Err(Malformed::Length) }
}

fn chunk_size(bytes: &[u8]) -> Result<Status<(usize, u64)>, Malformed> {
    // httparse takes a line without a digit for the last chunk.
    if !bytes.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(Malformed::Chunk);
    }
    httparse::parse_chunk_size(bytes).map_err(|_| Malformed::Chunk)
}

fn chunk_end(bytes: &[u8]) -> Result<Status<(usize, ())>, Malformed> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(Status::Complete((2, ()))),
        [b'\r'] => Ok(Status::Partial),
        _ => Err(Malformed::Chunk),
    }
}

fn trailers(bytes: &[u8]) -> Result<Status<(usize, ())>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    Ok(match httparse::parse_headers(bytes, &mut fields).map_err(Malformed::of_head)? {
        Status::Complete((length, _)) => Status::Complete((length, ())),
        Status::Partial => Status::Partial,
    })
}

/// Gives `body` what is its own of `bytes`, and says how much that was.
fn take_body(left: u64, bytes: &[u8], body: &mut impl FnMut(&[u8])) -> usize {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    body(&bytes[..taken]);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a response came to: status, whether it closes, and the surplus; none if it is cut short. And its body.
    type Outcome = (Result<Option<(u16, bool, usize)>, Malformed>, Vec<u8>);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let (mut response, mut body) = (Response::default(), Vec::new());
        let mut surplus = None;
        for piece in pieces {
            match (surplus.as_mut(), response.push(piece, |bytes| body.extend_from_slice(bytes))) {
                (Some(surplus), _) => *surplus += piece.len(),
                (None, Err(malformed)) => return (Err(malformed), body),
                (None, Ok(Progress::Whole { surplus: count })) => surplus = Some(count),
                (None, Ok(Progress::Part)) => {}
            }
        }
        let surplus = surplus.or(response.ends_with_stream().then_some(0));
        (Ok(surplus.map(|surplus| (response.status, response.closes, surplus))), body)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";

    /// Reads `text` whole, split in two at every place, and in steps.
    #[track_caller]
    fn assert_reads(text: &str, outcome: &Outcome) {
        let bytes = text.as_bytes();
        for at in 0..=bytes.len() {
            assert_eq!(&read([&bytes[..at], &bytes[at..]]), outcome, "{text:?} split at {at}");
        }
        for step in [1, 2, 7] {
            assert_eq!(&read(bytes.chunks(step)), outcome, "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn a_response_ends_where_its_framing_says() {
        let interim =
            format!("{INTERIM}HTTP/1.1 103 Hint\r\nContent-Length: 5\r\n\r\n{OK}Content-Length: 1\r\n\r\na");
        for (text, end, body) in [
            (format!("{OK}Content-Length: 3\r\n\r\nabc"), Some((200, false, 0)), "abc"),
            (format!("{OK}Content-Length: 3\r\n\r\nabcde"), Some((200, false, 2)), "abc"),
            (format!("{OK}Content-Length: 0\r\n\r\n"), Some((200, false, 0)), ""),
            (format!("{OK}Content-Length: 1, 1\r\nContent-Length: 1\r\n\r\na"), Some((200, false, 0)), "a"),
            (format!("{OK}Content-Length: 4\r\n\r\nabc"), None, "abc"),
            (
                "HTTP/1.1 404 No\r\nconnection: Close\r\ncontent-length: 1\r\n\r\na".into(),
                Some((404, true, 0)),
                "a",
            ),
            (format!("{OK}Connection: close\r\nConnection: keep-alive\r\n\r\n"), Some((200, true, 0)), ""),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na".into(), Some((200, true, 0)), "a"),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na".into(),
                Some((200, false, 0)),
                "a",
            ),
            ("HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n".into(), Some((204, false, 0)), ""),
            ("HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n".into(), Some((304, false, 0)), ""),
            (format!("{OK}\r\nabc"), Some((200, true, 0)), "abc"),
            (interim, Some((200, false, 0)), "a"),
            (
                format!("{CHUNKED}3\r\nabc\r\n2 ;x=y\r\nde\r\n0\r\nT: x\r\n\r\n!"),
                Some((200, false, 1)),
                "abcde",
            ),
            (format!("{CHUNKED}3\r\nabc\r\n0\r\n"), None, "abc"),
            (format!("{OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), Some((200, false, 0)), ""),
            (
                format!("{OK}Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nabc"),
                Some((200, true, 0)),
                "abc",
            ),
            (
                format!("{OK}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
                Some((200, false, 0)),
                "",
            ),
            ("HTTP/1.1 200".into(), None, ""),
            (String::new(), None, ""),
        ] {
            assert_reads(&text, &(Ok(end), body.into()));
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for (text, malformed, body) in [
            ("220 ready\r\n".into(), Malformed::Version, ""),
            ("HTTP/1.1 2x0 OK\r\n".into(), Malformed::Status, ""),
            ("HTTP/1.1 099 Low\r\n\r\n".into(), Malformed::Status, ""),
            ("HTTP/1.1 101 Switching\r\n\r\n".into(), Malformed::Switched, ""),
            (format!("{OK}a b\r\n\r\n"), Malformed::Field, ""),
            (format!("{OK}Content-Length: x\r\n\r\n"), Malformed::Length, ""),
            (format!("{OK}Content-Length: +1\r\n\r\n"), Malformed::Length, ""),
            (format!("{OK}Content-Length:\r\n\r\n"), Malformed::Length, ""),
            (format!("{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), Malformed::Length, ""),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Malformed::Coding, ""),
            (format!("{CHUNKED}xyz\r\n"), Malformed::Chunk, ""),
            (format!("{CHUNKED}\r\n\r\n"), Malformed::Chunk, ""),
            (format!("{CHUNKED}3\r\nabcd\r\n"), Malformed::Chunk, "abc"),
            (format!("{CHUNKED}1\r\na\r\n0\r\nno trailer\r\n\r\n"), Malformed::Field, "a"),
        ] {
            assert_reads(&text, &(Err(malformed), body.into()));
        }
    }

    #[test]
    fn all_heads_of_an_exchange_have_one_limit() {
        let field = format!("A: {}\r\n", "a".repeat(1000));
        for (begin, more) in [(OK, &*field), ("", INTERIM), (&format!("{CHUNKED}0\r\n"), &*field)] {
            let endless = [begin, &more.repeat(2 * HEAD_BYTES_MAX / more.len())].concat();
            for step in [1000, endless.len()] {
                assert_eq!(read(endless.as_bytes().chunks(step)).0, Err(Malformed::TooLarge), "{begin:?}");
            }
        }
        let most = [&INTERIM.repeat(1000), OK, &field.repeat(200), "Content-Length: 1\r\n\r\na"].concat();
        assert_eq!(read([most.as_bytes()]), (Ok(Some((200, false, 0))), b"a".into()));
    }

    #[test]
    fn a_response_is_interim_until_its_status_shows() {
        let mut response = Response::default();
        for (piece, is_interim) in [
            ("HTTP/1.1 ", true),
            ("103 Early Hints\r\nLink: ", true),
            ("a\r\n\r\nHTTP/1.1 ", true),
            ("2", false),
            ("00 OK\r\n\r\n", false),
            ("a", false),
        ] {
            response.push(piece.as_bytes(), |_| ()).unwrap();
            assert_eq!(response.is_interim(), is_interim, "{piece:?}");
        }
    }

    #[test]
    fn the_next_response_begins_anew() {
        let mut response = Response::default();
        for _ in 0..2 {
            response.begin();
            response.push(b"HTTP/1.0 20", |_| ()).unwrap();
            let end = response.push(b"3 Odd\r\nContent-Length: 1\r\n\r\na", |_| ());
            assert_eq!((end, response.status), (Ok(Progress::Whole { surplus: 0 }), 203));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_change_nothing(
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b"\r\n0123456789abcdef:; ".to_vec())], 0..60),
            head in prop::sample::select(vec!["HTTP/1.1 ", OK, CHUNKED, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]),
            step in 1_usize..9,
        ) {
            let bytes = [head.as_bytes(), &bytes].concat();
            let whole = read([&bytes[..]]);
            prop_assert_eq!(&read(bytes.chunks(step)), &whole);
            for at in 0..bytes.len() {
                prop_assert_eq!(&read([&bytes[..at], &bytes[at..]]), &whole);
            }
        }
    }
}
