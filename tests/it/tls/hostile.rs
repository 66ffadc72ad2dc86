//! Peers that would have the program work or remember without end.

use super::{Between, CLOSE_NOTIFY, WIRES, upstream_of_records};
use crate::support::{
    fake::{Fake, peer},
    stream::{End, Received, connect, exchange, read_exactly, read_to_end},
    tls::{Authority, Wire, WireEnd, WireStream, echo, hello_of},
    tls_records::RecordStream,
    wait::{LIMIT, within},
};
use rustls::{ContentType, ServerConfig, pki_types::CertificateDer, server::ProducesTickets};
use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

#[test]
fn keys_that_are_renewed_on_either_side_change_nothing() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |mut stream, _| {
        let mut writer = stream.try_clone();
        let end = stream.read_each(|piece| {
            writer.with_tls(|tls| tls.refresh_traffic_keys().unwrap()).unwrap();
            writer.write_all(piece).unwrap();
        });
        writer.finish();
        assert_eq!(end, WireEnd::Clean);
        Received { bytes: Vec::new(), end: End::Fin }
    });
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tls13), upstream.address, &[]);
    let mut client = between.connect();
    for _ in 0..100 {
        client.with_tls(|tls| tls.refresh_traffic_keys().unwrap()).unwrap();
        exchange(&mut client, b"hello");
    }
    client.finish();
    assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean));
    between.await_cause(client.address(), "done");
}

#[test]
fn keys_that_are_renewed_without_end_end_the_session() {
    let authority = Authority::new();
    let upstream = peer::takes_all();
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    let mut client = between.connect();
    // Else they may come in the handshake, before the upstream is dialled.
    upstream.await_reached();
    let process = between.operated.server.process();
    let before = process.resident_kib();
    for _ in 0..100_000 {
        if client.with_tls(|tls| tls.refresh_traffic_keys().unwrap()).is_err() {
            break;
        }
    }
    assert_eq!(upstream.await_received(), Received { bytes: Vec::new(), end: End::Reset });
    let close = between.await_cause(client.address(), "tls_client");
    assert!(close["error"].as_str().unwrap().contains("TooManyKeyUpdateRequests"), "{close}");
    assert!(process.resident_kib().saturating_sub(before) < 2048);
}

#[test]
fn what_tls_answers_by_itself_goes_out_though_no_byte_of_the_stream_follows() {
    const RECORD_HEADER_BYTES: usize = 5;
    let authority = Authority::new();
    let upstream = peer::echoes();
    let between = Between::start(&authority, (Wire::Tls12, Wire::Tcp), upstream.address, &[]);
    let mut config = authority.client(Wire::Tls12, None);
    let hello = hello_of(&config).split_off(RECORD_HEADER_BYTES);
    config.enable_secret_extraction = true;
    let mut client = WireStream::connect(between.operated.server.address(), Some(config)).unwrap();
    exchange(&mut client, b"hello");
    // A client that begins another handshake gets the alert no_renegotiation (RFC 5246 §7.2.2), and goes on.
    let mut records = RecordStream::new(client);
    let record = records.record(ContentType::Handshake, &hello);
    records.stream.write_all(&record).unwrap();
    let answer = read_exactly(&mut records.stream, RECORD_HEADER_BYTES);
    assert_eq!(answer[0], u8::from(ContentType::Alert));
}

/// A server that does this much more than others.
fn fake_of(config: ServerConfig) -> Fake {
    let config = Arc::new(config);
    Fake::start(move |stream, checkpoint| {
        checkpoint.reach();
        match WireStream::accept(stream, Some(config.clone())) {
            Ok(stream) => echo(stream),
            Err(error) => Received { bytes: error.to_string().into_bytes(), end: End::Reset },
        }
    })
}

/// Makes the longest tickets, almost.
#[derive(Debug)]
struct LongTickets;

impl ProducesTickets for LongTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        1000
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        Some(vec![7; 60_000])
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn many_tickets_are_taken_and_tickets_without_end_are_refused_and_others_have_their_turn() {
    let authority = Authority::new();
    // Some 80 KB and 8 MB of short ones, and 120 KB and 6 MB of long ones.
    for (count, are_long, is_served) in
        [(1000, false, true), (100_000, false, false), (2, true, true), (100, true, false)]
    {
        let mut config = authority.server(Wire::Tls13, "a");
        config.send_tls13_tickets = count;
        if are_long {
            config.ticketer = Arc::new(LongTickets);
        }
        let upstream = fake_of(config);
        // One thread, so that what is asked meanwhile has to share it.
        let wires = (Wire::Tcp, Wire::Tls13);
        let between = Between::start(&authority, wires, upstream.address, &["--threads", "1"]);
        let process = between.operated.server.process();
        let before = process.resident_kib();
        let mut client = between.connect();
        client.write_all(b"hello").unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        let address = client.address();
        let reading = thread::spawn(move || client.read_to_end());
        let (mut slowest, mut most) = (Duration::ZERO, before);
        while !reading.is_finished() {
            let begin = Instant::now();
            assert_eq!(between.operated.ctl(&["ready"]).code, 0);
            slowest = slowest.max(begin.elapsed());
            most = most.max(process.resident_kib());
        }
        assert!(most < before + 8 * 1024, "{} KiB more", most - before);
        let expected = match is_served {
            true => (b"hello".to_vec(), WireEnd::Clean),
            false => (Vec::new(), WireEnd::Reset),
        };
        assert_eq!(reading.join().unwrap(), expected, "{count}");
        let close = between.await_cause(address, if is_served { "done" } else { "tls_upstream" });
        if !is_served {
            assert_eq!(close["error"], "upstream: the peer sends tickets without end");
        }
        let grown = process.resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB more");
        assert!(slowest < LIMIT / 6, "{slowest:?}");
    }
}

/// A ticket as a server sends it after its handshake (RFC 8446 §4.6.1).
fn ticket(length: u16) -> Vec<u8> {
    const NEW_SESSION_TICKET: [u8; 2] = [4, 0];
    const LIFETIME_AGE_AND_NONCE: [u8; 10] = [0, 0, 4, 0, 0, 0, 0, 0, 1, 7];
    let ticket = vec![7; length.into()];
    let body = [&LIFETIME_AGE_AND_NONCE, &length.to_be_bytes()[..], &ticket, &[0, 0]].concat();
    [&NEW_SESSION_TICKET, &u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

#[test]
fn bytes_of_the_stream_make_up_for_some_tickets_between_them_and_one_does_not_for_many() {
    const COUNT: usize = 2000;
    let authority = Authority::new();
    for (length, words, is_served) in [(100, &b"words"[..], true), (16_000, b"w", false)] {
        let upstream = upstream_of_records(&authority, Wire::Tls13, move |mut peer| {
            for _ in 0..COUNT {
                let ticket = peer.record(ContentType::Handshake, &ticket(length));
                let words = peer.record(ContentType::ApplicationData, words);
                if peer.stream.write_all(&[ticket, words].concat()).is_err() {
                    break;
                }
            }
            let end = peer.record(ContentType::Alert, &CLOSE_NOTIFY);
            let _ = peer.stream.write_all(&end);
            let _ = peer.stream.shutdown(Shutdown::Write);
            read_to_end(&mut peer.stream)
        });
        let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), upstream.address, &[]);
        let mut client = between.connect();
        client.finish();
        let received = client.receive();
        let close = between.operated.server.await_close(client.address());
        if is_served {
            assert_eq!(received, Received { bytes: words.repeat(COUNT), end: End::Fin });
            assert_eq!(close["cause"], "done", "{close}");
        } else {
            assert_eq!(received.end, End::Reset);
            assert!(received.bytes.len() < 20, "{} bytes", received.bytes.len());
            assert_eq!(close["error"], "upstream: the peer sends tickets without end", "{close}");
            assert_eq!(close["cause"], "tls_upstream", "{close}");
        }
    }
}

/// Leads to this server of TLS 1.2; each record of its handshake comes as records of one byte.
fn splitting(server: SocketAddr) -> Fake {
    const HANDSHAKE: u8 = 22;
    Fake::start(move |mut near, _| {
        let mut far = connect(server);
        let [mut from_near, mut to_far] = [&near, &far].map(|stream| stream.try_clone().unwrap());
        let up = thread::spawn(move || {
            let _ = io::copy(&mut from_near, &mut to_far);
            let _ = to_far.shutdown(Shutdown::Write);
        });
        loop {
            let head = read_exactly(&mut far, 5);
            let payload = read_exactly(&mut far, u16::from_be_bytes([head[3], head[4]]).into());
            if head[0] != HANDSHAKE {
                near.write_all(&[head, payload].concat()).unwrap();
                break;
            }
            let records: Vec<u8> = payload.iter().flat_map(|byte| [HANDSHAKE, 3, 3, 0, 1, *byte]).collect();
            near.write_all(&records).unwrap();
        }
        let _ = io::copy(&mut far, &mut near);
        let _ = near.shutdown(Shutdown::Write);
        up.join().unwrap();
        Received { bytes: Vec::new(), end: End::Fin }
    })
}

#[test]
fn a_long_handshake_in_small_records_counts_for_nothing_after_it() {
    let authority = Authority::new();
    let leaf = authority.leaf("a");
    let chain: Vec<CertificateDer<'static>> = vec![leaf.clone(); 50_000 / leaf.len()];
    let upstream = fake_of(authority.server_of_chain(Wire::Tls12, chain, "a"));
    let splitter = splitting(upstream.address);
    let between = Between::start(&authority, (Wire::Tcp, Wire::Tls12), splitter.address, &[]);
    let mut client = between.connect();
    exchange(&mut client, b"hello");
    client.finish();
    assert_eq!(client.receive(), Received { bytes: Vec::new(), end: End::Fin });
    between.await_cause(client.address(), "done");
}

#[test]
fn a_certificate_chain_without_end_is_refused() {
    let authority = Authority::new();
    let leaf = authority.leaf("a");
    let count = (1 << 20) / leaf.len();
    let chain: Vec<CertificateDer<'static>> = vec![leaf; count];
    let upstream = fake_of(authority.server_of_chain(Wire::Tls13, chain, "a"));
    let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), upstream.address, &[]);
    let before = between.operated.server.process().resident_kib();
    for _ in 0..5 {
        let mut client = between.operated.server.connect();
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        let close = between.operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "tls_upstream", "{close}");
    }
    let grown = between.operated.server.process().resident_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_the_session() {
    let authority = Authority::new();
    for wires in WIRES.into_iter().filter(|(near, _)| near.is_tls()) {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            stream.write_all(b"hello").unwrap();
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        assert_eq!(read_exactly(&mut client, 5), b"hello");
        client.write_all(b"before").unwrap();
        client.stream.write_all(&[&[23, 3, 3, 0, 40][..], &[9; 40]].concat()).unwrap();
        // Nothing that comes after it counts.
        let _ = client.stream.write_all(&[&[23, 3, 3, 0, 40][..], &[9; 40]].concat());
        assert_eq!(upstream.await_received(), Received { bytes: b"before".to_vec(), end: End::Reset });
        between.await_cause(client.address(), "tls_client");
    }
}

#[test]
fn a_record_that_was_changed_is_found_by_the_session_that_writes_meanwhile() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tcp, |mut stream, _| {
        while stream.write_all(&[7; 10_000]).is_ok() {}
        Received { bytes: Vec::new(), end: End::Reset }
    });
    for wire in [Wire::Tls12, Wire::Tls13] {
        let between = Between::start(&authority, (wire, Wire::Tcp), upstream.address, &[]);
        for _ in 0..20 {
            let mut client = between.connect();
            let mut reader = client.try_clone();
            let reading = thread::spawn(move || reader.read_each(|_| {}));
            let wrong = [&[23, 3, 3, 0, 40][..], &[9; 40]].concat();
            for _ in 0..5 {
                let _ = client.write_all(b"words");
                let _ = client.stream.write_all(&wrong);
            }
            reading.join().unwrap();
            between.await_cause(client.address(), "tls_client");
        }
    }
}

#[test]
fn clients_that_go_in_the_middle_of_a_handshake_leave_nothing() {
    let authority = Authority::new();
    let upstream = peer::echoes();
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    let hello = hello_of(&authority.client(Wire::Tls13, None));
    exchange(&mut between.connect(), b"hello");
    between.operated.server.await_closes(1);
    let process = between.operated.server.process();
    let before = process.descriptors().len();
    for at in 0..60 {
        let mut client = connect(between.operated.server.address());
        client.write_all(&hello[..at * hello.len() / 59]).unwrap();
    }
    let closes = between.operated.server.await_closes(61);
    let causes = ["tls_client", "client_reset"];
    assert!(closes[1..].iter().all(|close| causes.contains(&close["cause"].as_str().unwrap())), "{closes:?}");
    within(LIMIT, "no descriptor is left", || (process.descriptors().len() <= before).then_some(()));
}

#[test]
fn an_idle_session_holds_no_buffers() {
    const SESSIONS: usize = 200;
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |stream, _| echo(stream));
    let wires = (Wire::Tls13, Wire::Tls13);
    let between = Between::start(&authority, wires, upstream.address, &["--threads", "1"]);
    let process = between.operated.server.process();
    let serve = || {
        let mut client = between.connect();
        for _ in 0..3 {
            exchange(&mut client, &[7; 20_000]);
        }
        client
    };
    let mut clients: Vec<WireStream> = (0..20).map(|_| serve()).collect();
    let before = process.resident_kib();
    clients.extend((0..SESSIONS).map(|_| serve()));
    let each = process.resident_kib().saturating_sub(before) * 1024 / SESSIONS as u64;
    // Two connections of rustls, and the session itself.
    assert!(each < 24_000, "{each} bytes each");
}
