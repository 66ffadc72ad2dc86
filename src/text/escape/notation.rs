//! How bytes are noted that are not shown as themselves. A table holds what is written for each byte, and that is gathered
//! in blocks: a log has to keep up with traffic.

use std::fmt;

/// Where escaped text goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One line of a log.
    Line,
    /// One line of a log, between the quotes of a JSON string: a backslash is two there.
    Json,
    /// A screen of many lines.
    Terminal,
}

/// What is written for a byte that stands for itself.
#[derive(Clone, Copy)]
struct Note {
    /// Its text, and nothing behind it: all of it is copied, so that no length decides how.
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
pub fn write_escaped(bytes: &[u8], place: Place, out: &mut impl fmt::Write) -> fmt::Result {
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

/// The character of several bytes at the begin of `bytes`, and how many they are; none where they are not UTF-8.
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

/// Text on its way out.
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

    /// Makes room for the notation of one character.
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

/// The lower four bits as a digit.
const fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[(value & 0xf) as usize]
}

/// Whether a character is shown as itself on a screen.
#[cfg(test)]
pub fn is_plain(c: char) -> bool {
    if c.is_ascii() { TERMINAL[c as usize].length == 1 } else { is_harmless(c) }
}
