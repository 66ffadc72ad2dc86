//! `ctl tap`: the bytes of a running session as they flow, and a session that never waits for who watches it.

mod coming;
mod splice;

use crate::support::{
    fake::peer,
    lines::Lines,
    operator::{Operated, Talk},
    pattern::pattern,
    program::Program,
    stream::{End, Received, exchange, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::Shutdown,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// A tap that is on.
fn tap(operated: &Operated, request: &str) -> Talk {
    let mut talk = operated.talk();
    talk.say(request);
    assert_eq!(talk.line().unwrap()["item"]["attached"], 1);
    talk
}

const BOTH: &str = r#"{"command":"tap","session":1}"#;

/// The next item of a tap.
fn item(talk: &mut Talk) -> Value {
    talk.line().expect("the tap goes on")["item"].take()
}

#[test]
fn a_tap_on_an_idle_session_shows_the_next_byte_at_once() {
    let upstream = peer::echoes();
    for flags in [&[][..], &["--splice", "off"]] {
        let operated = Operated::proxy(upstream.address, flags);
        let mut client = operated.server.connect();
        exchange(&mut client, b"before");
        // Bulk first, so that the next piece would be a pipe.
        exchange(&mut client, &vec![b'b'; 100_000]);
        let mut talk = tap(&operated, BOTH);
        let begin = Instant::now();
        client.write_all(b"\x1b[2J").unwrap();
        let first = item(&mut talk);
        assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
        assert_eq!(
            (&first["from"], &first["hex"], &first["offset"]),
            (&"client".into(), &"1b5b324a".into(), &100_006.into())
        );
        let second = item(&mut talk);
        assert_eq!((&second["from"], &second["hex"]), (&"upstream".into(), &"1b5b324a".into()));
        assert_eq!(operated.json(&["show", "1"])[0]["taps"], 1);
    }
}

#[test]
fn a_tap_may_show_only_the_begin_of_each_piece() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let mut talk = tap(&operated, r#"{"command":"tap","session":1,"limit":2}"#);
    exchange(&mut client, b"abcdef");
    let piece = item(&mut talk);
    assert_eq!((&piece["hex"], &piece["bytes"]), (&"6162".into(), &6.into()));
}

#[test]
fn two_taps_watch_one_session_and_one_goes_without_the_other() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let mut all = tap(&operated, BOTH);
    let mut half = tap(&operated, r#"{"command":"tap","session":1,"from":"upstream"}"#);
    exchange(&mut client, b"x");
    assert_eq!([item(&mut all), item(&mut all)].map(|one| one["from"].clone()), ["client", "upstream"]);
    assert_eq!(item(&mut half)["from"], "upstream");
    drop(all);
    within(LIMIT, "the tap is off", || (operated.json(&["show", "1"])[0]["taps"] == 1).then_some(()));
    exchange(&mut client, b"y");
    assert_eq!(item(&mut half)["hex"], "79");
    // A line ends a tap, and the connection is as good as before.
    half.say("");
    assert_eq!(half.line().unwrap()["ok"], true);
    within(LIMIT, "both are off", || (operated.json(&["show", "1"])[0]["taps"] == 0).then_some(()));
}

#[test]
fn a_tap_tells_how_its_session_ended() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let mut talk = tap(&operated, BOTH);
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
    assert!(item(&mut talk)["ended"].as_str().unwrap().contains("client finished"));
    assert_eq!(talk.line().unwrap()["ok"], true);
    operated.assert_fails(&["tap", "1"], "session 1 has ended");
    operated.assert_fails(&["tap", "9"], "there is no session 9");
}

#[test]
fn a_tap_shows_the_end_of_a_servers_last_session_also_where_none_is_remembered() {
    for (ends, verdict) in [(true, "client finished"), (false, "at the end of the drain")] {
        let mut operated = Operated::start("echo", &["--remember", "off"]);
        let mut client = operated.server.connect();
        exchange(&mut client, b"hello");
        let mut talk = tap(&operated, BOTH);
        assert_eq!(operated.ctl(&["set", "drain-timeout", if ends { "off" } else { "1ms" }]).code, 0);
        exchange(&mut client, b"the last");
        assert_eq!(operated.ctl(&["drain"]).code, 0);
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
        }
        read_to_end(&mut client);
        assert_eq!(item(&mut talk)["bytes"], 8);
        let ended = item(&mut talk)["ended"].take();
        assert!(ended.as_str().unwrap().contains(verdict), "{ended}");
        assert_eq!(talk.line().unwrap()["ok"], true);
        assert_eq!(operated.server.await_exit(), if ends { 0 } else { 3 });
    }
}

#[test]
fn the_verdict_at_the_end_of_a_drain_counts_what_the_kernel_held() {
    let upstream = peer::reads_nothing_until_told();
    let mut operated = Operated::proxy(upstream.address, &["--drain-timeout", "1ms"]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    write_until_blocked(&mut client, Duration::from_millis(100));
    let shown = operated.only_session();
    let queued = operated.json(&["show", "1"])[0]["upstream_tcp"]["send_queue"].as_u64().expect("a queue");
    let waiting = shown["client_waiting"].as_u64().unwrap();
    assert!(queued > 0, "{shown}");
    let mut talk = tap(&operated, BOTH);
    assert_eq!(operated.ctl(&["drain"]).code, 0);
    let ended = item(&mut talk)["ended"].take();
    let sentence = ended.as_str().unwrap().strip_suffix(" bytes from the client were not delivered");
    let undelivered: u64 = sentence.and_then(|text| text.rsplit(' ').next()).unwrap().parse().unwrap();
    // The upstream's kernel may have taken a little more since.
    assert!(
        ((queued + waiting) / 2..=queued + waiting).contains(&undelivered),
        "{queued} + {waiting}: {ended}"
    );
    assert!(undelivered > waiting, "{waiting} waited in the program: {ended}");
    assert_eq!(operated.server.await_exit(), 3);
    upstream.go();
    upstream.await_received();
}

#[test]
fn a_tap_that_never_reads_slows_nothing_and_is_told_what_it_lost() {
    const SENT: usize = 50_000_000;
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    let mut talk = tap(&operated, BOTH);
    let sent = pattern(51, SENT);
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let received = upstream.await_received();
    assert!(received == Received { bytes: sent, end: End::Fin }, "{} bytes", received.bytes.len());
    let mut lost = 0;
    let mut shown = 0;
    loop {
        let item = item(&mut talk);
        lost += item["lost"].as_u64().unwrap_or(0);
        shown += item["bytes"].as_u64().unwrap_or(0);
        if !item["ended"].is_null() {
            break;
        }
    }
    assert!(lost > 0 && shown < SENT as u64, "{lost} lost, {shown} bytes shown");
}

#[test]
fn a_session_in_the_middle_of_bulk_is_shown_soon() {
    let upstream = peer::pushes_without_end();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    within(LIMIT, "bulk", || {
        operated.json(&["list"]).first()?["upstream_bytes"].as_u64().filter(|bytes| *bytes > 10_000_000)
    });
    let mut talk = tap(&operated, BOTH);
    let begin = Instant::now();
    assert_eq!(item(&mut talk)["from"], "upstream");
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    drop(talk);
    assert_eq!(operated.ctl(&["cut", "1"]).code, 0);
    reading.join().unwrap();
}

#[test]
fn the_command_prints_lines_and_exact_bytes() {
    let upstream = peer::echoes();
    for (words, expected) in [
        (&["tap", "1"][..], "#1 client > offset 0, 7 B: a\\x1b[2J\\n"),
        (&["tap", "1", "--dump", "hex"], "#1 client > 00000000: 611b 5b32 4a0a 62"),
        (&["tap", "1", "--json"], r#""hex":"611b5b324a0a62""#),
        (&["tap", "1", "--dump", "raw", "--from", "client"], "a\u{1b}[2J"),
    ] {
        let operated = Operated::proxy(upstream.address, &[]);
        let mut client = operated.server.connect();
        within(LIMIT, "the session", || (operated.json(&["list"]).len() == 1).then_some(()));
        let mut command = operated.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Program::start(&mut command);
        let (lines, notes) =
            (Lines::of(running.stdout.take().unwrap()), Lines::of(running.stderr.take().unwrap()));
        within(LIMIT, "the tap is on", || (operated.json(&["show", "1"])[0]["taps"] == 1).then_some(()));
        exchange(&mut client, b"a\x1b[2J\nb");
        within(LIMIT, expected, || lines.all().iter().any(|line| line.contains(expected)).then_some(()));
        client.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut client);
        assert!(running.await_end().success());
        let printed = if words.contains(&"--json") { &lines } else { &notes };
        within(LIMIT, "the verdict", || {
            printed.all().iter().any(|line| line.contains("finished first")).then_some(())
        });
    }
}

#[test]
fn an_origin_can_be_tapped() {
    let operated = Operated::start("origin", &[]);
    let mut client = operated.server.connect();
    within(LIMIT, "the session", || (operated.json(&["list"]).len() == 1).then_some(()));
    let mut talk = tap(&operated, BOTH);
    client.write_all(b"GET /bytes/3 HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(item(&mut talk)["from"], "client");
    assert_eq!(item(&mut talk)["from"], "upstream");
    read_to_end(&mut client);
}
