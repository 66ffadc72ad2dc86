//! TLS that passes as it is: where it goes is read from its first message, in whatever pieces that comes.

use super::Between;
use crate::support::{
    fake::{Fake, peer},
    operator::Operated,
    pattern::pattern,
    scrape,
    stream::{End, Received, await_acknowledged, connect, exchange, read_exactly, read_to_end, reset},
    tls::{Authority, Wire, WireEnd, WireStream, echo, hello_of},
    wait::{LIMIT, within},
};
use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A ClientHello (RFC 8446 §4.1.2) with a padding extension (RFC 7685), not yet in records.
fn hello(sni: Option<&str>, alpn: &[&str], padding: usize) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = sni {
        let name = vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat());
        extensions.extend([&[0, 0][..], &vector(2, &name)].concat());
    }
    if !alpn.is_empty() {
        let names: Vec<u8> = alpn.iter().flat_map(|name| vector(1, name.as_bytes())).collect();
        extensions.extend([&[0, 16][..], &vector(2, &vector(2, &names))].concat());
    }
    extensions.extend([&[0, 21][..], &vector(2, &vec![0; padding])].concat());
    let body =
        [&[3, 3][..], &[7; 32], &[0], &vector(2, &[0x13, 1]), &[1, 0], &vector(2, &extensions)].concat();
    [&[1][..], &vector(3, &body)].concat()
}

/// With its length before it, in a number of bytes.
fn vector(size: usize, bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[4 - size..], bytes].concat()
}

/// The message in records of `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|piece| [&[22, 3, 1][..], &vector(2, piece)].concat()).collect()
}

/// By the name `a.test` to the first upstream, by the protocol `h2` to the second, anything else to the third.
fn routes(upstreams: [SocketAddr; 3], more: &str) -> String {
    let [by_name, by_protocol, others] = upstreams;
    let route = |text: &str, to| format!("[[listener.test.route]]\n{text}upstream = \"{to}\"\n");
    format!("metrics = \"127.0.0.1:0\"\n{more}\n[listener.test]\nlisten = \"127.0.0.1:0\"\n")
        + &route("sni = \"a.test\"\n", by_name)
        + &route("alpn = \"h2\"\n", by_protocol)
        + &route("", others)
}

/// Three that take all, and the program before them.
fn three() -> ([Fake; 3], Operated) {
    let fakes = [(); 3].map(|()| peer::takes_all());
    let text = routes([0, 1, 2].map(|at| fakes[at].address), "");
    (fakes, Operated::run(&text, 1))
}

#[test]
fn a_hello_in_any_pieces_finds_its_route_and_arrives_as_it_was_sent() {
    let (fakes, operated) = three();
    let named = hello(Some("a.test"), &[], 100);
    let long = hello(Some("A.TEST"), &["h2"], 40_000);
    let by_protocol = hello(Some("b.test"), &["x", "h2"], 300);
    let unnamed = hello(None, &["http/1.1"], 10);
    let one_byte_records = records(&named, 1);
    for (to, sent, piece) in [
        (0, records(&named, 16_384), 1),
        (0, one_byte_records.clone(), 1_000_000),
        (0, one_byte_records, 3),
        (0, records(&long, 16_384), 1_000_000),
        (0, records(&long, 16_384), 1500),
        (0, records(&long, 100), 16_000),
        (1, records(&by_protocol, 50), 7),
        (2, records(&unnamed, 16_384), 1),
        (2, b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1),
        (2, vec![22, 3, 1, 0, 5, 2, 0, 0, 1, 0], 1),
        // More than a hello may have.
        (2, records(&hello(Some("a.test"), &[], 65_500), 16_384), 1_000_000),
    ] {
        let mut client = operated.server.connect();
        // The stream goes on at once.
        let sent = [sent, pattern(3, 5000)].concat();
        for piece in sent.chunks(piece) {
            client.write_all(piece).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let received = fakes[to].await_received();
        assert!(received.bytes == sent && received.end == End::Fin, "to {to}: {}", received.bytes.len());
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Fin });
    }
    let events = operated.server.await_closes(11);
    assert!(events.iter().all(|event| event["cause"] == "done"), "{events:?}");
    let connects = operated.server.events().into_iter().filter(|event| event["event"] == "connect");
    let told: Vec<_> = connects.map(|event| (event["sni"].clone(), event["alpn"].clone())).collect();
    assert_eq!((&told[0].0, &told[3].0, &told[3].1), (&"a.test".into(), &"a.test".into(), &"h2".into()));
    assert_eq!((&told[6].0, &told[6].1), (&"b.test".into(), &"x,h2".into()));
}

#[test]
fn a_hello_that_is_cut_short_by_fin_or_reset() {
    let (fakes, operated) = three();
    let whole = records(&hello(Some("a.test"), &[], 100), 16_384);
    for length in [0, 1, 4, 5, 60, whole.len() - 1] {
        let mut client = operated.server.connect();
        client.write_all(&whole[..length]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let received = Received { bytes: whole[..length].to_vec(), end: End::Fin };
        assert_eq!(fakes[2].await_received(), received, "of {length}");
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Fin });
        assert_eq!(operated.server.await_close(client.local_addr().unwrap())["cause"], "done");
    }
    let mut client = operated.server.connect();
    client.write_all(&whole[..60]).unwrap();
    let address = client.local_addr().unwrap();
    operated.server.await_event("open", |event| event["client"] == *address.to_string());
    await_acknowledged(&client);
    reset(client);
    assert_eq!(operated.server.await_close(address)["cause"], "client_reset");
}

#[test]
fn a_silent_client_reaches_a_server_that_speaks_first_after_a_second() {
    let others = peer::speaks_first(b"220 ready\r\n".to_vec());
    let fakes = [(); 2].map(|()| peer::takes_all());
    // It is waited for once, whatever it could say.
    let addresses = [fakes[0].address, fakes[1].address, others.address];
    let operated = Operated::run(&routes(addresses, "handshake-timeout = \"1900ms\"\n"), 1);
    let begin = Instant::now();
    let mut client = operated.server.connect();
    assert_eq!(read_exactly(&mut client, 11), b"220 ready\r\n");
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(1) && elapsed < Duration::from_secs(5), "{elapsed:?}");
    client.write_all(b"QUIT\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(others.await_received(), Received { bytes: b"QUIT\r\n".to_vec(), end: End::Fin });
    // One that has begun to speak TLS is waited for.
    let mut client = operated.server.connect();
    let whole = records(&hello(Some("a.test"), &[], 100), 16_384);
    client.write_all(&whole[..1]).unwrap();
    thread::sleep(Duration::from_millis(1300));
    client.write_all(&whole[1..]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(fakes[0].await_received().bytes, whole);
}

#[test]
fn half_a_hello_is_reset_after_the_handshake_timeout() {
    let fakes = [(); 3].map(|()| peer::takes_all());
    let text = routes([0, 1, 2].map(|at| fakes[at].address), "handshake-timeout = \"400ms\"");
    let operated = Operated::run(&text, 1);
    let mut client = operated.server.connect();
    client.write_all(&records(&hello(Some("a.test"), &[], 100), 16_384)[..50]).unwrap();
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    let close = operated.server.await_close(client.local_addr().unwrap());
    let error = "no whole ClientHello came within 400 ms (50 B had come)";
    assert_eq!((&close["cause"], &close["error"]), (&"handshake_timeout".into(), &error.into()));
    let verdict = operated.json(&["closed", "1"])[0]["verdict"].clone();
    assert_eq!(verdict, format!("{error}; there was nothing to deliver"));
}

#[test]
fn what_passes_is_spliced_and_its_handshake_is_the_servers_own() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |stream, _| echo(stream));
    let operated = Operated::run(&routes([upstream.address; 3], ""), 1);
    let mut client =
        WireStream::connect(operated.server.address(), Some(authority.client(Wire::Tls13, None))).unwrap();
    exchange(&mut client, b"hello");
    let metrics = scrape::address(&operated.server);
    let spliced = || scrape::scrape(metrics).value("switchboard_spliced_bytes_total", &[]);
    let before = spliced();
    let mut writer = client.try_clone();
    let writing = thread::spawn(move || {
        writer.write_all(&pattern(1, 8_000_000)).unwrap();
        writer.finish();
    });
    let (bytes, end) = client.read_to_end();
    assert!(bytes == pattern(1, 8_000_000) && end == WireEnd::Clean, "{} bytes, {end:?}", bytes.len());
    writing.join().unwrap();
    within(LIMIT, "it is spliced", || (spliced() > before + 1_000_000.0).then_some(()));
    assert_eq!(operated.server.await_close(client.address())["cause"], "done");
}

/// A client whose hello is in records of one byte.
fn connect_in_small_records(address: SocketAddr, authority: &Authority, wire: Wire) -> WireStream {
    let stream: TcpStream = connect(address);
    let config = authority.client(wire, None);
    WireStream::over_with(stream, Arc::new(config), |hello| records(&hello[5..], 1)).unwrap()
}

#[test]
fn a_hello_in_records_of_one_byte_is_taken_where_tls_ends() {
    let (authority, upstream) = (Authority::new(), peer::echoes());
    for wire in [Wire::Tls12, Wire::Tls13] {
        assert!(hello_of(&authority.client(wire, None)).len() > 100);
        let between = Between::start(&authority, (wire, Wire::Tcp), upstream.address, &[]);
        let mut client = connect_in_small_records(between.operated.server.address(), &authority, wire);
        exchange(&mut client, b"hello");
    }
}
