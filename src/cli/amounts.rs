//! The values of a load's options, from the text typed to what the settings hold. Each error is the reason alone.

use super::values::{self, choice, up_to};
use crate::tools::load::settings::{Expect, Mode};
use std::time::Duration;

/// One message of a load: more is a stream, for which there is `--mode bulk`.
const SIZE_MAX: u64 = 1 << 30;
/// What one answer may have.
const ANSWER_MAX: u64 = 1 << 40;
/// As many descriptors as Linux grants one process (`fs.nr_open`).
const CONNECTIONS_MAX: usize = 1 << 20;
/// More than any machine has processors.
const THREADS_MAX: usize = 256;

/// A number of connections, or `max`, which is `None`.
pub fn connections(text: &str) -> Result<Option<usize>, String> {
    if text == "max" { Ok(None) } else { up_to(CONNECTIONS_MAX, text).map(Some) }
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    up_to(THREADS_MAX, text)
}

/// `pingpong`, `bulk` or `churn`.
pub fn mode(text: &str) -> Result<Option<Mode>, String> {
    let choices = [Mode::Pingpong, Mode::Bulk, Mode::Churn].map(|mode| (mode.name(), Some(mode)));
    choice(text, &choices)
}

/// A duration that was given: `off` is one too.
pub fn maybe_duration(text: &str) -> Result<Option<Duration>, String> {
    values::duration(text)
}

/// `64`, `16k`, `1m`, `1g`: in steps of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    amount(text, SIZE_MAX)
}

fn amount(text: &str, most: u64) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it is not a number of bytes; write 64, 16k or 1m".into());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|bytes| *bytes <= most).ok_or_else(|| format!("it must be at most {}g", most >> 30))
}

/// `echo`, `until-close`, or a number of bytes.
pub fn expect(text: &str) -> Result<Expect, String> {
    match text {
        "echo" => Ok(Expect::Echo),
        "until-close" => Ok(Expect::UntilClose),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => amount(text, ANSWER_MAX).map(Expect::Bytes),
        _ => Err("it is no answer; write echo, until-close, or a number of bytes".into()),
    }
}

/// Text whose escapes stand for single bytes.
pub fn escaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut chars = after.chars();
        match chars.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits =
                    after.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(byte.ok_or("two hexadecimal digits follow \\x, as in \\x0a")?);
                chars = after[3..].chars();
            }
            _ => return Err("a backslash begins \\r \\n \\t \\0 \\xNN or \\\\; write \\\\ for itself".into()),
        }
        rest = chars.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_steps_of_1024() {
        for (text, bytes) in [("0", 0), ("64", 64), ("16k", 16_384), ("1m", 1 << 20), ("1G", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "1.5k",
            "1kb",
            "64 ",
            "2g",
            "99999999999999999999",
            "18446744073709551615k",
            "ä",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_single_bytes() {
        assert_eq!(escaped(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(escaped(r"\\r\x00\xfFä\0\t").unwrap(), b"\\r\0\xff\xc3\xa4\0\t");
        for text in [r"\", r"\q", r"\x", r"\x1", r"\xg0", r"\x+1", r"\xä0"] {
            assert!(escaped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_a_word_or_a_number() {
        assert_eq!(expect("7"), Ok(Expect::Bytes(7)));
        assert_eq!(expect("until-close"), Ok(Expect::UntilClose));
        assert!(expect("all").is_err() && expect("").is_err());
    }
}
