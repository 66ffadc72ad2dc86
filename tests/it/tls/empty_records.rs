//! Records with nothing in them: those of a stream are legal (RFC 8446 §5.1), those of handshakes and alerts are not, and a
//! flood of neither makes others suffer.

use super::{Between, CLOSE_NOTIFY, WIRES, upstream_of_records};
use crate::support::{
    fake::{Fake, peer},
    stream::{End, Received, connect, exchange, read_to_end},
    tls::{Authority, Wire, WireStream, hello_of},
    tls_records::RecordStream,
    wait::LIMIT,
};
use rustls::ContentType;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// As many as rustls takes in a row.
const FEW: usize = 32;
/// Some 6 MB of records.
const MANY: usize = 200_000;
const PIECE: usize = 1000;

/// A client of the program whose records are the test's.
fn client_of(between: &Between<'_>) -> RecordStream {
    let mut config = between.authority.client(between.near, None);
    config.enable_secret_extraction = true;
    let address = between.operated.server.address();
    RecordStream::new(WireStream::connect(address, Some(config)).unwrap())
}

/// Sends a stream in which empty records are scattered, and its end.
fn send_scattered(mut peer: RecordStream) -> TcpStream {
    for _ in 0..50 {
        let empty = peer.empty_records(ContentType::ApplicationData, FEW);
        peer.stream.write_all(&empty).unwrap();
        let words = peer.record(ContentType::ApplicationData, b"hello");
        peer.stream.write_all(&words).unwrap();
    }
    let end = peer.record(ContentType::Alert, &CLOSE_NOTIFY);
    peer.stream.write_all(&end).unwrap();
    peer.stream.shutdown(Shutdown::Write).unwrap();
    peer.stream
}

/// Sends many records with nothing in them, or as many as the program takes.
fn flood(peer: &mut RecordStream, kind: ContentType) {
    for _ in 0..MANY / PIECE {
        let piece = peer.empty_records(kind, PIECE);
        if peer.stream.write_all(&piece).is_err() {
            return;
        }
    }
}

/// Reads to the end of what comes, whatever it is.
fn await_end(stream: &mut TcpStream) {
    let mut room = [0; 4096];
    while stream.read(&mut room).is_ok_and(|count| count > 0) {}
}

/// Runs `attack`, while and after which another session on the same thread is served, and nothing is remembered.
fn beside_another(between: &Between<'_>, attack: impl FnOnce() -> Value + Send) -> Value {
    let process = between.operated.server.process();
    let mut other = between.connect();
    exchange(&mut other, b"before");
    let before = process.resident_kib();
    let begin = Instant::now();
    let close = std::thread::scope(|scope| {
        let attack = scope.spawn(attack);
        while !attack.is_finished() {
            let begin = Instant::now();
            exchange(&mut other, b"meanwhile");
            assert!(begin.elapsed() < LIMIT / 6, "{:?}", begin.elapsed());
        }
        attack.join().unwrap()
    });
    assert!(begin.elapsed() < LIMIT / 2, "{:?}", begin.elapsed());
    exchange(&mut other, b"after");
    let grown = process.resident_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
    close
}

fn assert_error(close: &Value, cause: &str, words: &str) {
    assert_eq!(close["cause"], cause, "{close}");
    assert!(close["error"].as_str().is_some_and(|error| error.contains(words)), "no \"{words}\": {close}");
}

#[test]
fn empty_records_between_others_change_nothing_on_either_leg() {
    let authority = Authority::new();
    let expected = Received { bytes: b"hello".repeat(50), end: End::Fin };
    for wires in WIRES {
        if wires.0.is_tls() {
            let fake = authority.fake(wires.1, |mut stream, _| {
                let received = stream.receive();
                stream.finish();
                received
            });
            let between = Between::start(&authority, wires, fake.address, &[]);
            let mut client = send_scattered(client_of(&between));
            assert_eq!(fake.await_received(), expected, "{wires:?}");
            await_end(&mut client);
            between.await_cause(client.local_addr().unwrap(), "done");
        }
        if wires.1.is_tls() {
            let fake = upstream_of_records(&authority, wires.1, |peer| {
                await_end(&mut send_scattered(peer));
                Received { bytes: Vec::new(), end: End::Fin }
            });
            let between = Between::start(&authority, wires, fake.address, &[]);
            let mut client = between.connect();
            client.finish();
            assert_eq!(client.receive(), expected, "{wires:?}");
            between.await_cause(client.address(), "done");
        }
    }
}

#[test]
fn empty_records_of_a_client_without_end_end_its_session_alone() {
    let authority = Authority::new();
    for near in [Wire::Tls12, Wire::Tls13] {
        for kind in [ContentType::ApplicationData, ContentType::Handshake] {
            let fake = peer::echoes();
            let between = Between::start(&authority, (near, Wire::Tcp), fake.address, &["--threads", "1"]);
            let close = beside_another(&between, || {
                let mut client = client_of(&between);
                flood(&mut client, kind);
                await_end(&mut client.stream);
                between.operated.server.await_close(client.stream.local_addr().unwrap())
            });
            assert_error(&close, "tls_client", "the peer sends empty records without end");
            assert_eq!(close["client_bytes"], 0, "{near:?} {kind:?}: {close}");
        }
    }
}

#[test]
fn empty_records_of_an_upstream_without_end_end_its_session_alone() {
    let authority = Authority::new();
    for far in [Wire::Tls12, Wire::Tls13] {
        for kind in [ContentType::ApplicationData, ContentType::Handshake] {
            let mut config = authority.server(far, "a");
            config.enable_secret_extraction = true;
            config.send_tls13_tickets = 0;
            let config = Arc::new(config);
            let fake = Fake::start(move |stream, _| {
                let mut stream = WireStream::accept(stream, Some(config.clone())).unwrap();
                let mut room = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut room) {
                    if &room[..count] == b"flood me" {
                        let mut peer = RecordStream::new(stream);
                        flood(&mut peer, kind);
                        await_end(&mut peer.stream);
                        break;
                    }
                    stream.write_all(&room[..count]).unwrap();
                }
                Received { bytes: Vec::new(), end: End::Reset }
            });
            let between = Between::start(&authority, (Wire::Tcp, far), fake.address, &["--threads", "1"]);
            let close = beside_another(&between, || {
                let mut client = between.connect();
                client.write_all(b"flood me").unwrap();
                assert_eq!(client.receive(), Received { bytes: Vec::new(), end: End::Reset });
                between.operated.server.await_close(client.address())
            });
            assert_error(&close, "tls_upstream", "the peer sends empty records without end");
            assert_eq!(close["upstream_bytes"], 0, "{far:?} {kind:?}: {close}");
        }
    }
}

#[test]
fn an_empty_alert_ends_the_session_on_either_leg() {
    let authority = Authority::new();
    for wires in WIRES {
        if wires.0.is_tls() {
            let fake = authority.fake(wires.1, |mut stream, checkpoint| {
                stream.read_exact(&mut [0; 5]).unwrap();
                checkpoint.reach();
                stream.receive()
            });
            let between = Between::start(&authority, wires, fake.address, &[]);
            let mut client = client_of(&between);
            let words = client.record(ContentType::ApplicationData, b"hello");
            client.stream.write_all(&words).unwrap();
            fake.await_reached();
            let records = client.empty_records(ContentType::Alert, PIECE);
            let _ = client.stream.write_all(&records);
            await_end(&mut client.stream);
            let close = between.operated.server.await_close(client.stream.local_addr().unwrap());
            assert_error(&close, "tls_client", "a message of the peer is damaged");
            assert_eq!(fake.await_received().end, End::Reset, "{wires:?}");
        }
        if wires.1.is_tls() {
            let fake = upstream_of_records(&authority, wires.1, |mut peer| {
                let records = peer.empty_records(ContentType::Alert, PIECE);
                let _ = peer.stream.write_all(&records);
                await_end(&mut peer.stream);
                Received { bytes: Vec::new(), end: End::Reset }
            });
            let between = Between::start(&authority, wires, fake.address, &[]);
            let mut client = between.connect();
            assert_eq!(client.receive(), Received { bytes: Vec::new(), end: End::Reset }, "{wires:?}");
            let close = between.operated.server.await_close(client.address());
            assert_error(&close, "tls_upstream", "a message of the peer is damaged");
        }
    }
}

#[test]
fn empty_records_in_the_clear_end_a_handshake_on_either_leg() {
    let authority = Authority::new();
    let hello = hello_of(&authority.client(Wire::Tls13, None));
    // Of changes of ciphers, alerts, handshakes and streams.
    for kind in [20, 21, 22, 23] {
        let records = [kind, 3, 3, 0, 0].repeat(MANY);
        let fake = peer::echoes();
        let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), fake.address, &["--threads", "1"]);
        for begin in [&b""[..], &hello] {
            let close = beside_another(&between, || {
                let mut client = connect(between.operated.server.address());
                client.write_all(begin).unwrap();
                let _ = client.write_all(&records);
                await_end(&mut client);
                between.operated.server.await_close(client.local_addr().unwrap())
            });
            assert_error(&close, "tls_client", "client: ");
        }
        let records = records.clone();
        let fake = Fake::start(move |mut stream, _| {
            let _ = stream.write_all(&records);
            await_end(&mut stream);
            Received { bytes: Vec::new(), end: End::Reset }
        });
        let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), fake.address, &[]);
        let begin = Instant::now();
        let mut client = between.operated.server.connect();
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        // Not by a deadline.
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        let close = between.operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "tls_upstream", "{kind}: {close}");
    }
}
