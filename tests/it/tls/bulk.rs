//! Much in pieces of any size, both ways at once; peers that are slow; and what an operator sees of it.

use super::{Between, WIRES};
use crate::support::{
    fake::Fake,
    pattern::{Pattern, pattern},
    stream::{End, Received, exchange, read_exactly},
    tls::{Authority, Wire, WireEnd, WireStream, echo},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{io::Write, mem, sync::Arc, thread, time::Duration};

const BULK: usize = 64 << 20;

/// Writes the pattern of this seed in pieces of any size, and ends the stream.
fn write_bulk(mut stream: WireStream, seed: u64) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (mut sizes, mut sequence, mut left) = (Pattern::new(seed + 100), Pattern::new(seed), BULK);
        while left > 0 {
            let bound = [100, 20_000, 300_000][sizes.below(3)];
            let size = (1 + sizes.below(bound)).min(left);
            stream.write_all(&sequence.take(size)).unwrap();
            left -= size;
        }
        stream.finish();
    })
}

/// Reads it.
fn read_bulk(stream: &mut WireStream, seed: u64) {
    let (mut sequence, mut received) = (Pattern::new(seed), 0);
    let end = stream.read_each(|piece| {
        assert!(piece == sequence.take(piece.len()), "other bytes after {received}");
        received += piece.len();
    });
    assert_eq!((received, end), (BULK, WireEnd::Clean));
}

fn sixty_four_mib_cross_both_ways(wires: (Wire, Wire)) {
    let authority = Authority::new();
    let upstream = authority.fake(wires.1, |mut stream, _| {
        let writing = write_bulk(stream.try_clone(), 2);
        read_bulk(&mut stream, 1);
        writing.join().unwrap();
        Received { bytes: Vec::new(), end: End::Fin }
    });
    let between = Between::start(&authority, wires, upstream.address, &[]);
    let mut client = between.connect();
    let writing = write_bulk(client.try_clone(), 1);
    read_bulk(&mut client, 2);
    writing.join().unwrap();
    upstream.await_received();
    let close = between.await_cause(client.address(), "done");
    assert_eq!((&close["client_bytes"], &close["upstream_bytes"]), (&BULK.into(), &BULK.into()));
}

#[test]
fn sixty_four_mib_cross_both_ways_at_once_from_a_client_of_tls() {
    sixty_four_mib_cross_both_ways((Wire::Tls13, Wire::Tcp));
}

#[test]
fn sixty_four_mib_cross_both_ways_at_once_to_an_upstream_of_tls() {
    sixty_four_mib_cross_both_ways((Wire::Tcp, Wire::Tls12));
}

#[test]
fn sixty_four_mib_cross_both_ways_at_once_between_two_that_speak_tls() {
    sixty_four_mib_cross_both_ways((Wire::Tls12, Wire::Tls13));
}

#[test]
fn a_peer_that_reads_late_gets_every_byte_and_a_tap_that_comes_meanwhile_shows_them() {
    let authority = Authority::new();
    const SENT: usize = 12_000_000;
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |mut stream, checkpoint| {
            let mut writer = stream.try_clone();
            let writing = thread::spawn(move || {
                writer.write_all(&pattern(6, SENT)).unwrap();
                writer.finish();
            });
            checkpoint.wait();
            let received = stream.receive();
            writing.join().unwrap();
            received
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let process = between.operated.server.process();
        let before = process.resident_kib();
        let mut writer = client.try_clone();
        let writing = thread::spawn(move || {
            writer.write_all(&pattern(5, SENT)).unwrap();
            writer.finish();
        });
        // Nothing moves any more.
        let mut moved = None;
        within(LIMIT, "all buffers are full", || {
            thread::sleep(Duration::from_millis(200));
            let session = between.operated.only_session();
            let now = Some([session["client_bytes"].clone(), session["upstream_bytes"].clone()]);
            (mem::replace(&mut moved, now.clone()) == now).then_some(())
        });
        let grown = process.resident_kib().saturating_sub(before);
        assert!(grown < 4 * 1024, "{grown} KiB more memory for one session");
        let mut talk = between.operated.talk();
        talk.say(r#"{"command":"tap","session":1}"#);
        assert_eq!(talk.line().unwrap()["item"]["attached"], 1);
        upstream.go();
        let (bytes, end) = client.read_to_end();
        assert!(bytes == pattern(6, SENT), "{wires:?}: {} bytes", bytes.len());
        assert_eq!(end, WireEnd::Clean);
        let received = upstream.await_received();
        assert!(received.bytes == pattern(5, SENT) && received.end == End::Fin, "{wires:?}");
        writing.join().unwrap();
        between.await_cause(client.address(), "done");
        let piece = talk.line().unwrap()["item"].clone();
        let (seed, offset) =
            (if piece["from"] == "client" { 5 } else { 6 }, piece["offset"].as_u64().unwrap());
        let whole = pattern(seed, SENT);
        let shown: Vec<u8> = hex(piece["hex"].as_str().unwrap());
        let begin = usize::try_from(offset).unwrap();
        assert!(!shown.is_empty() && whole[begin..].starts_with(&shown), "{wires:?}: {piece}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_dump_shows_what_is_said_and_not_how_it_is_encrypted() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |stream, _| echo(stream));
        let between = Between::start(&authority, wires, upstream.address, &["--dump", "text"]);
        let mut client = between.connect();
        exchange(&mut client, b"plain words");
        client.finish();
        assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean));
        between.await_cause(client.address(), "done");
        let dumped: Vec<Value> = between.operated.server.events();
        let of = |side: &str| {
            dumped
                .iter()
                .filter(|event| event["event"] == "data" && event["from"] == side)
                .map(|event| event["text"].as_str().unwrap().to_owned())
                .collect::<String>()
        };
        assert_eq!((of("client"), of("upstream")), ("plain words".into(), "plain words".into()), "{wires:?}");
    }
}

#[test]
fn bytes_that_come_while_the_upstream_makes_its_handshake_are_not_lost() {
    let authority = Authority::new();
    let config = Arc::new(authority.server(Wire::Tls13, "a"));
    let upstream = Fake::start(move |stream, checkpoint| {
        checkpoint.wait();
        let mut stream = WireStream::accept(stream, Some(config.clone())).unwrap();
        let received = stream.receive();
        stream.finish();
        received
    });
    let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), upstream.address, &[]);
    let mut client = between.connect();
    let mut writer = client.try_clone();
    let upload = pattern(7, 5_000_000);
    let sent = upload.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.finish();
    });
    thread::sleep(Duration::from_millis(300));
    upstream.go();
    let received = upstream.await_received();
    assert!(received.bytes == upload && received.end == End::Fin, "{} bytes", received.bytes.len());
    writing.join().unwrap();
    assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean));
    between.await_cause(client.address(), "done");
}

/// Messages of every size near the limits of buffers and records, one at a time.
#[test]
fn small_messages_are_not_held_back() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |stream, _| echo(stream));
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        for length in (1..40).chain([1000, 16_383, 16_384, 16_385, 32_768, 70_000, 1]) {
            let mut writer = client.try_clone();
            let sent = pattern(length as u64, length);
            let copy = sent.clone();
            let writing = thread::spawn(move || writer.write_all(&copy).unwrap());
            assert_eq!(read_exactly(&mut client, length), sent);
            writing.join().unwrap();
        }
    }
}
