//! `--dump`: what flows can be seen, whole and in place, and cannot act on a terminal.

use crate::support::{
    data_path::THROUGH,
    fake::peer,
    pattern::pattern,
    server::Server,
    stream::{End, exchange, read_to_end},
    wait::{LIMIT, within},
};
use serde_json::Value;
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

/// Sends the hostile bytes both ways through a proxy that logs like this, and returns its lines: open, connect, the
/// bytes from either side, close.
fn lines_of_a_hostile_session(log: &str) -> Vec<String> {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--dump", "text", "--log", log]);
    exchange(&mut server.connect(), HOSTILE);
    within(LIMIT, "the last line", || {
        let lines = server.lines.all();
        lines.last()?.contains("done").then_some(lines)
    })
}

#[test]
fn what_a_peer_sends_is_escaped_in_json() {
    let lines = lines_of_a_hostile_session("json");
    assert_eq!(lines.len(), 5, "one event is one line: {lines:?}");
    assert!(!lines.concat().contains(acts_on_a_terminal), "{lines:?}");
    for from in ["client", "upstream"] {
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let data = events.into_iter().find(|event| event["from"] == from).unwrap();
        assert_eq!((&data["text"], &data["bytes"]), (&HARMLESS.into(), &HOSTILE.len().into()), "{data}");
        // What the JSON string says, once read, is harmless too.
        assert!(!data["text"].as_str().unwrap().contains(acts_on_a_terminal), "{data}");
    }
}

#[test]
fn what_a_peer_sends_is_escaped_in_text() {
    let lines = lines_of_a_hostile_session("text");
    assert_eq!(lines.len(), 5, "one event is one line: {lines:?}");
    assert!(!lines.concat().contains(acts_on_a_terminal), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains(HARMLESS)).count(), 2, "{lines:?}");
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

#[test]
fn an_origin_shows_what_it_is_asked_and_what_it_answers() {
    let server = Server::start("origin", &["--dump", "text"]);
    let mut client = server.connect();
    client.write_all(b"GET /bytes/3 HTTP/1.0\r\n\r\n").unwrap();
    let answer = read_to_end(&mut client).bytes;
    drop(client);
    server.await_closes(1);
    let shown = |side: &str| {
        let mut text = String::new();
        for event in server.events().iter().filter(|event| event["event"] == "data" && event["from"] == side)
        {
            assert_eq!(event["offset"], text.replace("\\r", "\r").replace("\\n", "\n").len());
            text.push_str(event["text"].as_str().unwrap());
        }
        text
    };
    assert_eq!(shown("client"), r"GET /bytes/3 HTTP/1.0\r\n\r\n");
    let answered = shown("upstream").replace(r"\r\n", "\r\n");
    assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n") && answered.as_bytes() == answer, "{answered}");
}
