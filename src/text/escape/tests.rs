//! Every byte that a peer can send, in every place that shows it.

use super::{notation::is_plain, *};
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
fn what_is_almost_a_character_reads_as_bytes() {
    const EDGES: [u8; 8] = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0];
    for first in 0xc0..=0xff {
        for (second, third, fourth) in
            EDGES.iter().flat_map(|b| EDGES.iter().flat_map(move |c| EDGES.iter().map(move |d| (b, c, d))))
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
