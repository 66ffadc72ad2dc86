//! Makes what a peer sent safe to look at: nothing in it can end a line, move a cursor, or reorder the text around it.
//!
//! Two ways: [`Escaped`] for one line of a log, where the bytes can be told from the notation, and [`Terminal`]
//! for a whole answer on a screen, where line feeds, tabs and backslashes stay as they are.

mod notation;

use notation::{Place, write_escaped};
use std::{fmt, mem};

/// Bytes as one line of text. Invalid UTF-8 and ASCII controls read `\xNN` (`\t`, `\n`, `\r` where they have a name),
/// other controls `\u{NNNN}`, a backslash `\\`; all other text is itself. Nothing is lost: the bytes can be told from the line.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.0, Place::Line, f)
    }
}

/// What [`Escaped`] shows, as it stands between the quotes of a JSON string.
#[derive(Clone, Copy, Debug)]
pub struct EscapedInJson<'a>(pub &'a [u8]);

impl fmt::Display for EscapedInJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.0, Place::Json, f)
    }
}

/// A stream of bytes on its way to a terminal: line feeds, tabs and backslashes stay, `\r\n` becomes a line feed, and
/// every other control is escaped as in [`Escaped`]. A character split over two chunks comes out whole.
#[derive(Debug, Default)]
pub struct Terminal {
    /// The end of the last chunk, where it can only be read together with the next: at most three bytes.
    held: Vec<u8>,
}

impl Terminal {
    /// Appends what a chunk shows to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut String) {
        let joined;
        let bytes = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(chunk);
            joined = mem::take(&mut self.held);
            &joined
        };
        let (whole, rest) = bytes.split_at(bytes.len() - unfinished(bytes));
        append(whole, out);
        self.held.extend_from_slice(rest);
    }

    /// Appends what is left at the end of the stream to `out`: half a character, or a last carriage return.
    pub fn finish(self, out: &mut String) {
        append(&self.held, out);
    }
}

/// Appends bytes as a terminal may see them.
fn append(bytes: &[u8], out: &mut String) {
    write_escaped(bytes, Place::Terminal, out).expect("a string takes every write");
}

/// How many bytes at the end mean something else once more bytes follow: a carriage return, or the begin of a character.
fn unfinished(bytes: &[u8]) -> usize {
    const LONGEST_BEGIN_BYTES: usize = 3; // A character has at most four bytes (RFC 3629 §3).
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let begins_a_character = |&length: &usize| {
        let end = &bytes[bytes.len() - length..];
        str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=LONGEST_BEGIN_BYTES.min(bytes.len())).find(begins_a_character).unwrap_or(0)
}

#[cfg(test)]
mod tests;
