//! `--dump`: what flows can be seen, whole and in place, and cannot act on a terminal.

use crate::{
    harness::{Server, within},
    pattern::pattern,
    peer,
    route::THROUGH,
    stream::{End, LIMIT, exchange, read_to_end},
};
use std::{io::Write, net::Shutdown};

/// Escape sequences, C1 controls as a byte and as a character, a bidirectional override, line ends, and a backslash.
const HOSTILE: &[u8] =
    b"\x1b]0;owned\x07\x1b[2J|\x9b2J|\xc2\x9b2J|\xe2\x80\xaeabc|\r\n{\"event\":\"close\"}\n\x00\x7f\\end";
const HARMLESS: &str =
    r#"\x1b]0;owned\x07\x1b[2J|\x9b2J|\u{9b}2J|\u{202e}abc|\r\n{"event":"close"}\n\x00\x7f\\end"#;

fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{fffd}')
}

#[test]
fn what_a_peer_sends_is_escaped_in_json() {
    let server = Server::echo(&["--dump", "text"]);
    exchange(&mut server.connect(), HOSTILE);
    server.await_closes(1);
    for from in ["client", "upstream"] {
        let data = server.await_event("data", |event| event["from"] == from);
        assert_eq!((&data["text"], &data["bytes"]), (&HARMLESS.into(), &HOSTILE.len().into()), "{data}");
    }
    let lines = server.lines.all();
    assert_eq!(lines.len(), 4, "one event is one line: {lines:?}");
    assert!(!lines.concat().contains(acts_on_a_terminal), "{lines:?}");
}

#[test]
fn what_a_peer_sends_is_escaped_in_text() {
    let server = Server::echo(&["--dump", "text", "--log", "text"]);
    exchange(&mut server.connect(), HOSTILE);
    within(LIMIT, "the close line", || {
        server.lines.all().iter().any(|line| line.contains("close")).then_some(())
    });
    within(LIMIT, "the close line", || {
        server.lines.all().iter().any(|line| line.contains("done")).then_some(())
    });
    let lines = server.lines.all();
    assert_eq!(lines.len(), 4, "one event is one line: {lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains(HARMLESS)).count(), 2, "{lines:?}");
    assert!(!lines.concat().contains(acts_on_a_terminal), "{lines:?}");
}

#[test]
fn a_hex_dump_holds_the_bytes() {
    let server = Server::echo(&["--dump=hex"]);
    exchange(&mut server.connect(), &[0, 1, 0x7f, 0xff]);
    let data = server.await_event("data", |event| event["from"] == "client");
    assert_eq!(data["hex"], "00017fff", "{data}");
}

#[test]
fn dumped_offsets_and_sizes_cover_the_stream() {
    for way in THROUGH {
        let sent = pattern(53, 500_000);
        let server = Server::proxy(peer::takes_all().address, &["--dump", "text", way.flag()]);
        let mut client = server.connect();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut client).end, End::Fin);
        server.await_closes(1);
        let mut offset = 0;
        for event in server.events().iter().filter(|event| event["event"] == "data") {
            assert_eq!(event["offset"], offset, "{way:?}");
            offset += event["bytes"].as_u64().unwrap();
        }
        assert_eq!(offset, 500_000, "{way:?}");
    }
}
