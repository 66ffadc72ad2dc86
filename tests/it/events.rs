//! The event lines (DESIGN §9): exact keys in their order, counts that agree with what the peers themselves counted,
//! and nothing of what a peer sends that could act on a terminal.

use crate::support::{
    data_path::THROUGH,
    fake::peer,
    lines::Lines,
    pattern::pattern,
    server::{Launch, Output, Server},
    stream::{End, Received, exchange, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::getpriority_process;
use serde_json::Value;
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

const OPEN: [&str; 6] = ["ts", "event", "session", "mode", "listener", "client"];
const CONNECT: [&str; 7] =
    ["ts", "event", "session", "upstream", "upstream_name", "resolve_ms", "connect_ms"];
const DATA: [&str; 7] = ["ts", "event", "session", "from", "offset", "bytes", "text"];
const CLOSE: [&str; 15] = [
    "ts",
    "event",
    "session",
    "mode",
    "client",
    "upstream",
    "cause",
    "first_closer",
    "client_bytes",
    "upstream_bytes",
    "duration_ms",
    "resolve_ms",
    "connect_ms",
    "first_byte_ms",
    "error",
];

/// The keys of a JSON object of plain values, in the order of the line.
fn keys(line: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')).expect("one object a line");
    while let Some(at) = rest.find(':') {
        keys.push(rest[..at].trim_matches([',', '"']).to_owned());
        let mut value = serde_json::Deserializer::from_str(&rest[at + 1..]).into_iter::<Value>();
        value.next().unwrap().unwrap();
        let used = value.byte_offset();
        rest = &rest[at + 1 + used..];
    }
    keys
}

/// Waits for the close of the only session, and returns every line.
fn lines_of_one_session(server: &Server) -> Vec<String> {
    server.await_closes(1);
    server.lines.all()
}

#[test]
fn the_lines_of_a_proxied_session_have_these_keys_in_this_order() {
    let upstream = peer::echoes();
    let name = format!("localhost:{}", upstream.address.port());
    let server = Server::proxy(&name, &["--dump", "text"]);
    let mut client = server.connect();
    server.await_event("connect", |_| true);
    exchange(&mut client, b"hello");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    let lines = lines_of_one_session(&server);
    let found: Vec<Vec<String>> = lines.iter().map(|line| keys(line)).collect();
    let wanted: [&[&str]; 5] = [&OPEN, &CONNECT, &DATA, &DATA, &CLOSE];
    assert_eq!(found, wanted);

    let events = server.events();
    let session = &events[0]["session"];
    assert!(events.iter().all(|event| event["session"] == *session), "{events:?}");
    let client = client.local_addr().unwrap().to_string();
    assert_eq!((&events[0]["mode"], &events[0]["client"]), (&"proxy".into(), &client.as_str().into()));
    assert_eq!(events[0]["listener"], server.addresses[0]);
    assert_eq!(
        (&events[1]["upstream"], &events[1]["upstream_name"]),
        (&upstream.address.to_string().into(), &name.into())
    );
    assert_eq!((&events[2]["from"], &events[2]["text"]), (&"client".into(), &"hello".into()));
    assert_eq!((&events[3]["from"], &events[3]["text"]), (&"upstream".into(), &"hello".into()));
    for number in ["duration_ms", "resolve_ms", "connect_ms", "first_byte_ms"] {
        assert!(events[4][number].as_f64().is_some_and(|number| number >= 0.0), "{number}: {}", events[4]);
    }
}

#[test]
fn the_lines_of_an_echo_session_have_the_same_keys() {
    let server = Server::echo(&[]);
    let mut client = server.connect();
    exchange(&mut client, b"hello");
    drop(client);
    let lines = lines_of_one_session(&server);
    let found: Vec<Vec<String>> = lines.iter().map(|line| keys(line)).collect();
    let wanted: [&[&str]; 2] = [&OPEN, &CLOSE];
    assert_eq!(found, wanted);
    let close = &server.events()[1];
    assert_eq!(close["mode"], "echo");
    for none in ["upstream", "resolve_ms", "connect_ms", "error"] {
        assert_eq!(close[none], Value::Null, "{none}: {close}");
    }
}

#[test]
fn a_time_stamp_is_utc_with_microseconds() {
    let server = Server::echo(&[]);
    drop(server.connect());
    server.await_closes(1);
    for event in server.events() {
        let stamp = event["ts"].as_str().unwrap();
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
}

#[test]
fn the_counts_are_those_of_the_peers() {
    let (request, reply) = (pattern(51, 2_345_678), pattern(52, 1_234_567));
    for way in THROUGH {
        let upstream = peer::replies_after_fin(reply.clone(), std::time::Duration::ZERO);
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        client.write_all(&request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&mut client) == Received { bytes: reply.clone(), end: End::Fin });
        assert_eq!(upstream.await_received().bytes.len(), request.len());
        let close = route.await_cause(address, "done").unwrap();
        assert_eq!(close["client_bytes"], request.len(), "{close}");
        assert_eq!(close["upstream_bytes"], reply.len(), "{close}");
    }
}

#[test]
fn sessions_have_numbers_of_their_own_and_open_before_they_close() {
    let server = Server::echo(&[]);
    let clients: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    drop(clients);
    server.await_closes(100);
    let mut opened = std::collections::HashSet::new();
    for event in server.events() {
        let session = event["session"].as_u64().unwrap();
        match event["event"].as_str().unwrap() {
            "open" => assert!(opened.insert(session), "two sessions {session}"),
            "close" => assert!(opened.remove(&session), "session {session} closes without being open"),
            other => panic!("{other}"),
        }
    }
    assert!(opened.is_empty());
}

#[test]
fn without_a_log_nothing_is_printed() {
    let mut server = Server::echo(&["--log", "off", "--dump", "text"]);
    exchange(&mut server.connect(), b"quiet");
    assert_eq!(server.stop(), 0);
    assert_eq!(server.lines.all(), Vec::<String>::new());
}

#[test]
fn the_reporter_gives_way_to_traffic() {
    /// There is no more (setpriority(2)); a thread that begins with it stays there.
    const NICEST: i32 = 19;
    let own = getpriority_process(None).unwrap();
    let server = Server::echo(&["--dump", "text", "--threads", "2"]);
    let niceness = |thread| within(LIMIT, thread, || server.process().niceness(thread));
    for thread in ["switchboard", "shard 1"] {
        assert_eq!(niceness(thread), own, "traffic is as nice as the process that started the server");
    }
    within(LIMIT, "the reporter is nicer", || {
        let reporter = niceness("reporter");
        (reporter > own || (reporter, own) == (NICEST, NICEST)).then_some(())
    });
    exchange(&mut server.connect(), b"and tells all the same");
    server.await_closes(1);
}

#[test]
fn every_line_of_an_unread_output_is_written_or_counted() {
    const PIECES: u64 = 12_000;
    // One line for each piece, the session's open and its close.
    const LINES: u64 = PIECES + 2;
    let flags = ["--dump", "text"];
    let mut server = Launch { mode: "echo", flags: &flags, shell: None, output: Output::Unread }.start();
    let mut client = server.connect();
    for _ in 0..PIECES {
        exchange(&mut client, b"x");
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    // Now the test reads: what waited comes out, and the number of lines that were dropped.
    let lines = Lines::of(server.unread.take().unwrap());
    let (written, dropped) = within(LIMIT, "every line is accounted for", || {
        let (counts, others): (Vec<String>, Vec<String>) =
            lines.all().into_iter().partition(|line| line.contains("\"dropped\""));
        let dropped: u64 = counts.iter().map(|line| dropped_lines(line)).sum();
        let written = others.len() as u64;
        (written + dropped >= LINES).then_some((written, dropped))
    });
    assert_eq!(written + dropped, LINES);
    assert!(dropped > 0, "{written} lines found room: the test shows nothing");
    assert_eq!(server.stop(), 0);
}

fn dropped_lines(line: &str) -> u64 {
    assert_eq!(keys(line), ["ts", "event", "lines"]);
    serde_json::from_str::<Value>(line).unwrap()["lines"].as_u64().unwrap()
}
