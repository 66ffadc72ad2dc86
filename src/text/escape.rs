//! Makes what a peer sent safe to look at: nothing in it can end a line, move a cursor, or reorder the text around it.
//!
//! [`Escaped`] is for one line of a log: the bytes can be told from the notation. [`Terminal`] is for a whole answer on a
//! screen: line feeds, tabs and backslashes stay as they are.
//!
//! A log has to keep up with traffic: a table holds the notation of each byte, and text goes out in blocks.

use crate::text::hex::digit;
use std::{fmt, mem};

/// Bytes as one line of text. Invalid UTF-8 and ASCII controls read `\xNN` (`\t`, `\n`, `\r` if they have a name),
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
    /// The end of the last chunk, if only the next chunk tells what it means: at most three bytes.
    held: Vec<u8>,
}

impl Terminal {
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

/// Text as it reads in an element or an attribute of HTML and XML (HTML Living Standard §13.3, "escaping a string").
pub fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

fn append(bytes: &[u8], out: &mut String) {
    write_escaped(bytes, Place::Terminal, out).expect("a string takes every write");
}

/// The number of bytes at the end whose meaning the next bytes decide: a carriage return, or the begin of a character.
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

/// What escaped text is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One line of a log.
    Line,
    /// One line of a log, between the quotes of a JSON string: a backslash is two there.
    Json,
    /// A screen of many lines.
    Terminal,
}

#[derive(Clone, Copy)]
struct Note {
    /// The notation, filled up with zeros: all of it is copied, which is faster than a copy of `length`.
    text: [u8; BYTE_NOTE_BYTES_MAX],
    length: usize,
}

/// Two backslashes, `x` and two digits.
const BYTE_NOTE_BYTES_MAX: usize = 5;

static LINE: [Note; 256] = notes(Place::Line);
static JSON: [Note; 256] = notes(Place::Json);
static TERMINAL: [Note; 256] = notes(Place::Terminal);

const fn notes(place: Place) -> [Note; 256] {
    let mut notes = [Note { text: [0; BYTE_NOTE_BYTES_MAX], length: 0 }; 256];
    let mut byte: u8 = 0;
    loop {
        notes[byte as usize] = note(byte, place);
        if byte == u8::MAX {
            return notes;
        }
        byte += 1;
    }
}

const fn note(byte: u8, place: Place) -> Note {
    let (high, low) = (digit(byte >> 4), digit(byte));
    let (text, length) = match (place, byte) {
        (Place::Terminal, b'\\' | b'\t' | b'\n') => ([byte, 0, 0, 0, 0], 1),
        (Place::Json, b'"') => (*b"\\\"\0\0\0", 2),
        (Place::Json, b'\\') => (*b"\\\\\\\\\0", 4),
        (Place::Json, b'\t') => (*b"\\\\t\0\0", 3),
        (Place::Json, b'\n') => (*b"\\\\n\0\0", 3),
        (Place::Json, b'\r') => (*b"\\\\r\0\0", 3),
        (Place::Line, b'\\') => (*b"\\\\\0\0\0", 2),
        (Place::Line, b'\t') => (*b"\\t\0\0\0", 2),
        (Place::Line, b'\n') => (*b"\\n\0\0\0", 2),
        (_, b'\r') => (*b"\\r\0\0\0", 2),
        (_, b' '..=b'~') => ([byte, 0, 0, 0, 0], 1),
        (Place::Json, _) => ([b'\\', b'\\', b'x', high, low], 5),
        _ => ([b'\\', b'x', high, low, 0], 4),
    };
    Note { text, length }
}

/// Writes bytes with everything escaped that is not plain there.
fn write_escaped(bytes: &[u8], place: Place, out: &mut impl fmt::Write) -> fmt::Result {
    let notes = match place {
        Place::Line => &LINE,
        Place::Json => &JSON,
        Place::Terminal => &TERMINAL,
    };
    let mut block = Block { out, room: [0; BLOCK_BYTES], used: 0 };
    let mut rest = bytes;
    while let Some((&byte, next)) = rest.split_first() {
        block.reserve()?;
        if byte.is_ascii() {
            // A screen ends its lines itself.
            if !(place == Place::Terminal && rest.starts_with(b"\r\n")) {
                block.put_note(&notes[usize::from(byte)]);
            }
            rest = next;
        } else if let Some((c, length)) = first_character(rest) {
            let (character, next) = rest.split_at(length);
            if is_harmless(c) {
                block.put(character)
            } else {
                block.put_code(c, place)
            }
            rest = next;
        } else {
            block.put_note(&notes[usize::from(byte)]);
            rest = next;
        }
    }
    block.flush()
}

/// The character of several bytes at the begin of `bytes`, and their number; none if they are not UTF-8.
fn first_character(bytes: &[u8]) -> Option<(char, usize)> {
    /// The smallest characters of two, three and four bytes (RFC 3629 §3): what fewer bytes could say is not UTF-8.
    const SMALLEST: [u32; 5] = [0, 0, 0x80, 0x800, 0x1_0000];
    let length = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let (first, others) = bytes.get(..length)?.split_first()?;
    let mut code = u32::from(first & (0x7f >> length));
    for byte in others {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3f);
    }
    // Surrogates and what is beyond Unicode are no characters.
    char::from_u32(code).filter(|_| code >= SMALLEST[length]).map(|c| (c, length))
}

/// Whether a character of several bytes is shown as itself.
fn is_harmless(c: char) -> bool {
    match c {
        '\u{80}'..='\u{9f}' => false,                               // C1
        '\u{61c}' | '\u{200e}' | '\u{200f}' => false,               // bidirectional marks
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => false, // bidirectional and deprecated format controls
        '\u{2028}' | '\u{2029}' => false,                           // line and paragraph separator
        // Invisible, and not needed to write any language; the joiners U+200C and U+200D are.
        '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => false,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false, // annotations and tags: text in hiding
        _ => true,
    }
}

/// Small enough for the stack, and large enough that writing it costs little beside filling it.
const BLOCK_BYTES: usize = 512;
/// The longest notation: two backslashes, `u{`, six digits and `}`.
const NOTATION_BYTES_MAX: usize = 11;

struct Block<'a, W> {
    out: &'a mut W,
    room: [u8; BLOCK_BYTES],
    used: usize,
}

impl<W: fmt::Write> Block<'_, W> {
    fn flush(&mut self) -> fmt::Result {
        let text = str::from_utf8(&self.room[..self.used]).map_err(|_| fmt::Error)?;
        self.used = 0;
        self.out.write_str(text)
    }

    fn reserve(&mut self) -> fmt::Result {
        if BLOCK_BYTES - self.used < NOTATION_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Puts what [`Block::reserve`] made room for.
    fn put(&mut self, text: &[u8]) {
        self.room[self.used..self.used + text.len()].copy_from_slice(text);
        self.used += text.len();
    }

    fn put_note(&mut self, note: &Note) {
        self.room[self.used..self.used + BYTE_NOTE_BYTES_MAX].copy_from_slice(&note.text);
        self.used += note.length;
    }

    fn put_code(&mut self, c: char, place: Place) {
        const BITS: u32 = 4; // Of a digit.
        let code = u32::from(c);
        self.put(if place == Place::Json { b"\\\\u{" } else { b"\\u{" });
        for number in (0..=code.ilog2() / BITS).rev() {
            self.put(&[digit((code >> (number * BITS)) as u8)]);
        }
        self.put(b"}");
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

    /// Whether a character is shown as itself on a screen.
    fn is_plain(c: char) -> bool {
        if c.is_ascii() { TERMINAL[c as usize].length == 1 } else { is_harmless(c) }
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
    fn what_is_almost_a_character_reads_as_bytes() {
        const EDGES: [u8; 8] = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0];
        for first in 0xc0..=0xff {
            for (second, third, fourth) in EDGES
                .iter()
                .flat_map(|b| EDGES.iter().flat_map(move |c| EDGES.iter().map(move |d| (b, c, d))))
            {
                let bytes = [first, *second, *third, *fourth];
                for length in 1..=bytes.len() {
                    assert_eq!(line(&bytes[..length]), by_characters(&bytes[..length]), "{bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn a_terminal_keeps_lines_tabs_and_backslashes() {
        assert_eq!(terminal(&[b"a\tb\r\nc\nd\\n\x1b[31m\r!\r"]), "a\tb\nc\nd\\n\\x1b[31m\\r!\\r");
    }

    #[test]
    fn a_line_end_split_over_chunks_is_one() {
        assert_eq!(terminal(&[b"a\r", b"\nb\r", b"", b"c"]), "a\nb\\rc");
    }

    /// The line as the documentation says it, a character at a time.
    fn by_characters(bytes: &[u8]) -> String {
        let mut line = String::new();
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => line.push_str("\\\\"),
                    '\t' => line.push_str("\\t"),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    c if is_plain(c) => line.push(c),
                    c if c.is_ascii() => line.push_str(&format!("\\x{:02x}", u32::from(c))),
                    c => line.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                }
            }
            chunk.invalid().iter().for_each(|byte| line.push_str(&format!("\\x{byte:02x}")));
        }
        line
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
            prop_assert!(line.chars().all(|c| !c.is_control() && is_plain(c)), "{line:?}");
            prop_assert_eq!(unescape(&line), bytes);
        }

        #[test]
        fn a_json_string_holds_the_line(bytes in bytes()) {
            let quoted = format!("\"{}\"", EscapedInJson(&bytes));
            prop_assert_eq!(&quoted, &serde_json::to_string(&line(&bytes)).unwrap());
        }

        #[test]
        fn the_notation_is_that_of_the_characters(bytes in bytes()) {
            prop_assert_eq!(line(&bytes), by_characters(&bytes));
        }

        #[test]
        fn a_terminal_sees_the_same_however_the_stream_is_cut(bytes in bytes(), step in 1_usize..5) {
            let whole = terminal(&[&bytes]);
            prop_assert!(whole.chars().all(is_plain), "{whole:?}");
            prop_assert_eq!(terminal(&bytes.chunks(step).collect::<Vec<_>>()), whole);
        }
    }
}
