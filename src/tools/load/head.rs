//! The head of an HTTP answer, as far as it says where the answer ends (RFC 9112 §6).

use crate::tools::load::failure::Failure;
use httparse::Status;
use std::mem::MaybeUninit;

/// Header fields that an answer may have.
const HEADERS_MAX: usize = 128;

/// What a head says.
pub(super) struct Head {
    /// How long it is.
    pub bytes: usize,
    pub status: u16,
    /// The server takes no other request on this connection.
    pub closes: bool,
    pub body: Body,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// It has so many bytes.
    Bytes(u64),
    /// It comes in chunks.
    Chunks,
    /// It ends with the stream.
    Rest,
}

impl Head {
    /// The head that `bytes` begin with; none where they end before it does.
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, Failure> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut head,
            bytes,
            &mut fields,
        );
        let Status::Complete(count) = parsed.map_err(|_| Failure::NotHttp)? else { return Ok(None) };
        let (status, version) = (head.code.unwrap_or(0), head.version.unwrap_or(1));
        // 101 switches to a protocol that nobody asked for.
        if status < 100 || status == 101 {
            return Err(Failure::NotHttp);
        }
        let (mut length, mut chunked, mut coded) = (None, false, false);
        let mut closes = version == 0;
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let value = number(field.value).ok_or(Failure::NotHttp)?;
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(Failure::NotHttp);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                coded = true;
                chunked = words(field.value).last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
            } else if field.name.eq_ignore_ascii_case("connection") {
                let has = |word: &[u8]| words(field.value).any(|own| own.eq_ignore_ascii_case(word));
                closes = has(b"close") || (closes && !has(b"keep-alive"));
            }
        }
        let body = match length {
            _ if status == 204 || status == 304 => Body::Bytes(0),
            _ if chunked => Body::Chunks,
            Some(length) if !coded => Body::Bytes(length),
            _ => Body::Rest,
        };
        Ok(Some(Head { bytes: count, status, closes, body }))
    }
}

/// The words of a list in a field (RFC 9110 §5.6.1).
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits and nothing else: a sign is none (RFC 9110 §8.6).
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let all = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}
