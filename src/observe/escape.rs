//! Makes what a peer sent safe to look at: nothing in it can end a line, move a cursor, or reorder the text around it.
//!
//! Two ways: [`Escaped`] for one line of a log, where the bytes can be told from the notation, and [`Terminal`]
//! for a whole answer on a screen, where line feeds, tabs and backslashes stay as they are.

use crate::io::address::Address;
use std::{fmt, mem, os::unix::ffi::OsStrExt};

/// Bytes as one line of text. Invalid UTF-8 and ASCII controls read `\xNN` (`\t`, `\n`, `\r` where they have a name),
/// other controls `\u{NNNN}`, a backslash `\\`; all other text is itself. Nothing is lost: the bytes can be told from the line.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.0, For::Line, f)
    }
}

/// An address as one line of text: a peer may bind a UNIX socket to a path of any bytes.
#[derive(Clone, Copy, Debug)]
pub struct EscapedAddress<'a>(pub &'a Address);

impl fmt::Display for EscapedAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(_) => self.0.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", Escaped(path.as_os_str().as_bytes())),
        }
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

/// Where escaped text goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// One line of a log.
    Line,
    /// A screen of many lines.
    Terminal,
}

/// Appends bytes as a terminal may see them.
fn append(bytes: &[u8], out: &mut String) {
    write_escaped(bytes, For::Terminal, out).expect("a string takes every write");
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

/// Writes bytes with everything escaped that is not plain there, plain text in pieces as long as they come.
fn write_escaped(bytes: &[u8], place: For, out: &mut impl fmt::Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut plain_from = 0;
        for (at, c) in text.char_indices() {
            if is_plain(c, place) {
                continue;
            }
            out.write_str(&text[plain_from..at])?;
            plain_from = at + c.len_utf8();
            let ends_a_line = c == '\r' && text[plain_from..].starts_with('\n');
            if !(ends_a_line && place == For::Terminal) {
                write_char(c, out)?;
            }
        }
        out.write_str(&text[plain_from..])?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Writes the notation of a character that is not plain.
fn write_char(c: char, out: &mut impl fmt::Write) -> fmt::Result {
    match c {
        '\\' => out.write_str("\\\\"),
        '\t' => out.write_str("\\t"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Whether a character is shown as itself.
fn is_plain(c: char, place: For) -> bool {
    match c {
        ' '..='[' | ']'..='~' => true,
        '\\' | '\t' | '\n' => place == For::Terminal,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => false, // C0, DEL and C1
        '\u{61c}' | '\u{200e}' | '\u{200f}' => false, // bidirectional marks
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => false, // bidirectional and deprecated format controls
        '\u{2028}' | '\u{2029}' => false,                           // line and paragraph separator
        // Invisible, and not needed to write any language; the joiners U+200C and U+200D are.
        '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => false,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false, // annotations and tags: text in hiding
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(bytes: impl AsRef<[u8]>) -> String {
        Escaped(bytes.as_ref()).to_string()
    }

    fn terminal(chunks: &[&[u8]]) -> String {
        let (mut terminal, mut out) = (Terminal::default(), String::new());
        chunks.iter().for_each(|chunk| terminal.push(chunk, &mut out));
        terminal.finish(&mut out);
        out
    }

    /// The bytes that a line stands for.
    fn unescape(line: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), line);
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let (name, after) = rest[at + 1..].split_at(1);
            let digits = match name {
                "x" => 2,
                "u" => after.find('}').unwrap() + 1,
                _ => 0,
            };
            let (digits, after) = after.split_at(digits);
            rest = after;
            match name {
                "x" => bytes.push(u8::from_str_radix(digits, 16).unwrap()),
                "u" => {
                    let code = u32::from_str_radix(digits.trim_matches(['{', '}']), 16).unwrap();
                    bytes.extend_from_slice(char::from_u32(code).unwrap().to_string().as_bytes());
                }
                "t" => bytes.push(b'\t'),
                "n" => bytes.push(b'\n'),
                "r" => bytes.push(b'\r'),
                _ => bytes.push(b'\\'),
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    #[test]
    fn a_line_names_what_it_cannot_show() {
        assert_eq!(line("GET / HTTP/1.1\r\n\t\0"), r"GET / HTTP/1.1\r\n\t\x00");
        assert_eq!(line("\x1b[2J\x07\x7f"), r"\x1b[2J\x07\x7f");
        assert_eq!(line("\u{9b}2J\u{85}"), r"\u{9b}2J\u{85}");
        assert_eq!(line(b"\x9b2J\xff"), r"\x9b2J\xff");
        assert_eq!(line("C:\\new"), r"C:\\new");
        assert_eq!(line("a\u{202e}b\u{2066}c\u{200f}d\u{61c}e"), r"a\u{202e}b\u{2066}c\u{200f}d\u{61c}e");
        assert_eq!(line("a\u{2028}b\u{200b}c\u{feff}d\u{e0041}"), r"a\u{2028}b\u{200b}c\u{feff}d\u{e0041}");
    }

    #[test]
    fn printable_text_of_any_language_stays() {
        let text = "Grüße, 世界, שלום, مرحبا, नमस्ते, می\u{200c}خواهم, 👩\u{200d}🚀 ~[]\"";
        assert_eq!(line(text), text);
        assert_eq!(terminal(&[text.as_bytes()]), text);
    }

    #[test]
    fn half_a_character_reads_as_bytes() {
        assert_eq!(line(b"\xe4\xb8\x96\xe7\x95"), "世\\xe7\\x95");
        assert_eq!(terminal(&[b"\xe4\xb8\x96\xe7", b"\x95"]), "世\\xe7\\x95");
        assert_eq!(terminal(&[b"\xe7\x95", b"a"]), "\\xe7\\x95a");
    }

    #[test]
    fn a_terminal_keeps_lines_tabs_and_backslashes() {
        assert_eq!(terminal(&[b"a\tb\r\nc\nd\\n\x1b[31m\r!\r"]), "a\tb\nc\nd\\n\\x1b[31m\\r!\\r");
    }

    #[test]
    fn a_line_end_split_over_chunks_is_one() {
        assert_eq!(terminal(&[b"a\r", b"\nb\r", b"", b"c"]), "a\nb\\rc");
    }

    /// Bytes in which controls and characters of every length are common.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let text = any::<String>().prop_map(String::into_bytes);
        let control = prop::sample::select(vec!["\r", "\n", "\\", "\u{1b}", "\u{9b}", "\u{202e}", "世"]);
        let control = control.prop_map(|text| text.as_bytes().to_vec());
        let piece = prop_oneof![text, control, any::<Vec<u8>>()];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_line_holds_no_control_and_loses_nothing(bytes in bytes()) {
            let line = line(&bytes);
            prop_assert!(line.chars().all(|c| !c.is_control() && is_plain(c, For::Terminal)), "{line:?}");
            prop_assert_eq!(unescape(&line), bytes);
        }

        #[test]
        fn a_terminal_sees_the_same_however_the_stream_is_cut(bytes in bytes(), step in 1_usize..5) {
            let whole = terminal(&[&bytes]);
            prop_assert!(whole.chars().all(|c| is_plain(c, For::Terminal)), "{whole:?}");
            prop_assert_eq!(terminal(&bytes.chunks(step).collect::<Vec<_>>()), whole);
        }
    }
}
