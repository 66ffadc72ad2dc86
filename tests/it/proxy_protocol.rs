//! The PROXY protocol, taken and sent: who the client is said to be counts everywhere, and nothing passes without.

use crate::support::{
    fake::{Fake, peer},
    operator::Operated,
    stream::{
        End, Received, await_acknowledged, connect, exchange, is_silent, read_exactly, read_to_end, reset,
    },
    tls::{Authority, Wire, WireEnd, WireStream, certificate},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n";
/// From 192.0.2.7:5000 to 198.51.100.1:443.
const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb];
const SOURCE: &str = "192.0.2.7:5000";
/// A peer that must send a header.
const ACCEPT: [&str; 2] = ["--accept-proxy", "127.0.0.0/8"];

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn proxied(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&ADDRESSES[..], tlvs].concat())
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// A line of version 1 for a client with this address.
fn from(ip: &str) -> Vec<u8> {
    format!("PROXY TCP4 {ip} 198.51.100.1 5000 443\r\n").into_bytes()
}

fn connect_with(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut client = connect(address);
    client.write_all(header).unwrap();
    client
}

/// What a session is told to be while it lives and after.
fn await_events(operated: &Operated, client: SocketAddr) -> [Value; 3] {
    let close = operated.server.await_close(client);
    let of = |kind: &str| operated.server.await_event(kind, |event| event["session"] == close["session"]);
    [of("open"), of("connect"), close]
}

#[test]
fn a_header_in_any_pieces_names_the_source_and_is_taken_out_of_the_stream() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &ACCEPT);
    for header in [V1.to_vec(), proxied(&[]), proxied(&tlv(4, &[0; 1500]))] {
        for piece in [1, 7, 10_000] {
            let mut client = operated.server.connect();
            let sent = [&header[..], b"early data"].concat();
            for piece in sent.chunks(piece) {
                client.write_all(piece).unwrap();
            }
            client.write_all(b", and late").unwrap();
            upstream.await_reached();
            let address = client.local_addr().unwrap();
            let shown = operated.only_session();
            assert_eq!((&shown["source"], &shown["client"]), (&SOURCE.into(), &address.to_string().into()));
            client.shutdown(Shutdown::Write).unwrap();
            let received = Received { bytes: b"early data, and late".to_vec(), end: End::Fin };
            assert_eq!(upstream.await_received(), received);
            assert_eq!(read_to_end(&mut client).end, End::Fin);
            for event in await_events(&operated, address) {
                assert_eq!(event["source"], SOURCE, "{event}");
                if event["event"] != "connect" {
                    assert_eq!(event["client"], address.to_string(), "{event}");
                }
            }
            assert_eq!(operated.server.await_close(address)["cause"], "done");
        }
    }
}

#[test]
fn a_header_that_is_malformed_missing_or_cut_short_is_reset_and_nothing_is_relayed() {
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let operated = Operated::proxy(upstream.address, &ACCEPT);
    let ends_early: [&[u8]; 4] = [b"", b"PROXY TCP4 192.0.2.7", SIGNATURE, &proxied(&[])[..20]];
    for sent in ends_early {
        let mut client = connect_with(operated.server.address(), sent);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "proxy_header", "{close}");
        let came = if sent.is_empty() { "nothing".to_owned() } else { format!("{} B", sent.len()) };
        assert_eq!(
            close["error"],
            format!("the stream ended before the whole PROXY header ({came} had come)")
        );
    }
    let malformed: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
        b"PROXY TCP4 192.0.2.07 198.51.100.1 5000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 65536\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 5000 443\r\n",
        &v2(0x22, 0x11, &ADDRESSES),
        &v2(0x21, 0x11, &ADDRESSES[..11]),
        &proxied(&tlv(3, &[0; 4])),
    ];
    for sent in malformed {
        let mut client = operated.server.connect();
        let _ = client.write_all(&[sent, b"secret"].concat());
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "proxy_header", "{close}");
        let error = close["error"].as_str().unwrap();
        let came = format!(" ({} B had come)", sent.len() + 6);
        assert!(error.starts_with("no PROXY header: ") && error.ends_with(&came), "{close}");
        let closed = operated.json(&["closed", &close["session"].to_string()]).remove(0);
        assert_eq!(closed["verdict"], format!("{error}; there was nothing to deliver"));
    }
    let opened = operated.server.events().into_iter().filter(|event| event["event"] == "open").count();
    assert_eq!(opened, ends_early.len() + malformed.len(), "each begin is told once");
}

#[test]
fn a_limit_of_time_that_an_operator_sets_is_that_of_clients_to_come() {
    let upstream = peer::echoes();
    let operated =
        Operated::proxy(upstream.address, &[&ACCEPT[..], &["--handshake-timeout", "100years"]].concat());
    let mut before = operated.server.connect();
    await_opening(&operated, 1);
    let set = operated.ctl(&["set", "handshake-timeout", "50ms"]).stdout;
    assert_eq!(set, "handshake-timeout: 100years -> 50ms, for new sessions\n");
    let mut late = operated.server.connect();
    assert_eq!(read_to_end(&mut late), Received { bytes: Vec::new(), end: End::Reset });
    let close = operated.server.await_close(late.local_addr().unwrap());
    assert_eq!(close["error"], "no whole PROXY header came within 50 ms (nothing had come)");
    assert_eq!(operated.ctl(&["set", "handshake-timeout", "off"]).code, 0);
    let mut after = operated.server.connect();
    for client in [&mut before, &mut after] {
        client.write_all(V1).unwrap();
        exchange(client, b"served");
    }
}

#[test]
fn a_cut_by_fin_of_a_session_that_has_no_header_yet_resets_its_client_at_once() {
    let operated = Operated::start("echo", &ACCEPT);
    let mut client = operated.server.connect();
    await_opening(&operated, 1);
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    assert!(operated.json(&["list"]).is_empty(), "it is gone with the answer");
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    assert_eq!(operated.json(&["closed", "1"])[0]["cause"], "cut");
}

/// Waits until this many sessions have not begun their streams.
fn await_opening(operated: &Operated, count: usize) {
    let is_opening = |one: &&Value| one["phase"] == "opening" && one["health"] == "opening";
    within(LIMIT, "they open", || {
        (operated.json(&["list"]).iter().filter(is_opening).count() == count).then_some(())
    });
}

#[test]
fn a_header_that_is_late_is_reset() {
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let operated =
        Operated::proxy(upstream.address, &[&ACCEPT[..], &["--handshake-timeout", "400ms"]].concat());
    for trickles in [false, true] {
        let begin = Instant::now();
        let mut client = operated.server.connect();
        if trickles {
            let mut writer = client.try_clone().unwrap();
            thread::spawn(move || {
                for byte in V1 {
                    if writer.write_all(&[*byte]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let Received { bytes, end } = read_to_end(&mut client);
        // The one that writes meanwhile may be told of the reset first.
        assert!(bytes.is_empty() && (trickles || end == End::Reset), "{end:?}");
        let elapsed = begin.elapsed();
        assert!(elapsed >= Duration::from_millis(400) && elapsed < LIMIT / 3, "{elapsed:?}");
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "proxy_header", "{close}");
        let error = close["error"].as_str().unwrap();
        let (what, came) = error.strip_suffix(" had come)").unwrap().split_once(" (").unwrap();
        assert_eq!(what, "no whole PROXY header came within 400 ms");
        assert!(if trickles { came.ends_with(" B") } else { came == "nothing" }, "{close}");
    }
}

#[test]
fn clients_that_are_killed_in_the_middle_of_their_header_leave_nothing() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &ACCEPT);
    let process = operated.server.process();
    let before = process.descriptors().len();
    let header = proxied(&tlv(0xe0, &[7; 300]));
    for length in [0, 1, 12, 16, 20, 28, 200] {
        let client = connect_with(operated.server.address(), &header[..length]);
        let address = client.local_addr().unwrap();
        await_acknowledged(&client);
        reset(client);
        let close = operated.server.await_close(address);
        assert_eq!(close["cause"], "client_reset", "{close}");
        operated.server.await_event("open", |event| event["session"] == close["session"]);
    }
    within(LIMIT, "no descriptor is left", || (process.descriptors().len() <= before).then_some(()));
}

#[test]
fn who_is_not_told_to_send_a_header_is_refused() {
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let operated = Operated::proxy(upstream.address, &["--accept-proxy", "192.0.2.0/24"]);
    let mut client = operated.server.connect();
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    let close = operated.server.await_close(client.local_addr().unwrap());
    assert_eq!(close["cause"], "refused_access", "{close}");
}

#[test]
fn the_announced_source_is_asked_again_whether_it_may_connect() {
    let upstream = peer::echoes();
    let flags = ["--deny", "192.0.2.0/24", "--allow", "127.0.0.1,198.51.100.0/24,192.0.2.0/24"];
    for (ip, is_served) in [("192.0.2.7", false), ("203.0.113.1", false), ("198.51.100.9", true)] {
        // Each has a program of its own: one refusal a second is told.
        let operated = Operated::proxy(upstream.address, &[&ACCEPT[..], &flags].concat());
        let mut client = connect_with(operated.server.address(), &from(ip));
        if is_served {
            exchange(&mut client, b"hello");
            continue;
        }
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(
            (&close["cause"], &close["source"]),
            (&"refused_access".into(), &format!("{ip}:5000").into())
        );
    }
}

#[test]
fn the_announced_source_counts_and_is_given_back() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[&ACCEPT[..], &["--max-per-source", "2"]].concat());
    let address = operated.server.address();
    let serves = |ip: &str| {
        let mut client = connect_with(address, &from(ip));
        exchange(&mut client, b"hello");
        client
    };
    for _ in 0..3 {
        let (one, other) = (serves("192.0.2.1"), serves("192.0.2.1"));
        let mut third = connect_with(address, &from("192.0.2.1"));
        assert_eq!(read_to_end(&mut third).end, End::Reset);
        let close = operated.server.await_close(third.local_addr().unwrap());
        assert_eq!(close["cause"], "refused_limit", "{close}");
        // Others, though of the same peer.
        serves("192.0.2.2");
        // One ends, one is cut off.
        let ends = [one.local_addr().unwrap(), other.local_addr().unwrap()];
        one.shutdown(Shutdown::Write).unwrap();
        reset(other);
        ends.iter().for_each(|address| drop(operated.server.await_close(*address)));
    }
    // One that was refused does not count, either.
    for _ in 0..5 {
        let client = serves("192.0.2.1");
        let address = client.local_addr().unwrap();
        drop(client);
        operated.server.await_close(address);
    }
}

#[test]
fn the_announced_source_decides_the_route_and_the_server() {
    let fakes = [(); 4].map(|()| peer::says_its_port());
    let [inside, servers @ ..] = &fakes;
    let servers: Vec<String> = servers.iter().map(|fake| fake.address.to_string()).collect();
    let text = format!(
        "[listener.test]\nlisten = \"127.0.0.1:0\"\naccept-proxy = \"127.0.0.0/8\"\n\
         [[listener.test.route]]\nfrom = \"10.0.0.0/8\"\nupstream = \"{}\"\n\
         [[listener.test.route]]\nupstream = \"db\"\n\
         [upstream.db]\nbalance = \"source\"\nservers = {servers:?}\n",
        inside.address
    );
    let operated = Operated::run(&text, 1);
    let port = |ip: &str| -> u16 {
        let mut client = connect_with(operated.server.address(), &from(ip));
        client.shutdown(Shutdown::Write).unwrap();
        String::from_utf8(read_to_end(&mut client).bytes).unwrap().parse().unwrap()
    };
    assert_eq!(port("10.1.2.3"), inside.address.port());
    let all = || (1..=30).map(|last| port(&format!("192.0.2.{last}"))).collect::<Vec<_>>();
    let first = all();
    assert_eq!(all(), first);
    let used = fakes.iter().filter(|fake| first.contains(&fake.address.port())).count();
    assert_eq!(used, 3, "{first:?}");
}

#[test]
fn a_header_without_an_address_leaves_the_peer_as_the_source() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[&ACCEPT[..], &["--send-proxy", "v1"]].concat());
    let of_no_address: [&[u8]; 5] = [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.1 5000 443\r\n",
        &v2(0x20, 0x11, &ADDRESSES),
        &v2(0x20, 0xff, &[1, 2, 3]),
        &v2(0x21, 0x00, &[]),
    ];
    for header in of_no_address {
        let client = connect_with(operated.server.address(), header);
        client.shutdown(Shutdown::Write).unwrap();
        let (address, local) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let sent = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", address.port(), local.port());
        let received = Received { bytes: sent.into_bytes(), end: End::Fin };
        assert_eq!(upstream.await_received(), received, "{header:?}");
        for event in await_events(&operated, address) {
            assert!(event["source"].is_null(), "{event}");
        }
    }
}

/// Tells what one read gives, once there is something; then reads on.
fn reads_once() -> Fake {
    Fake::start(|mut stream, _| {
        let mut room = [0; 10_000];
        let count = stream.read(&mut room).unwrap();
        read_to_end(&mut stream);
        Received { bytes: room[..count].to_vec(), end: End::Fin }
    })
}

#[test]
fn the_header_and_early_data_reach_the_server_in_one_segment() {
    let authority = Authority::new();
    let upstream = reads_once();
    for (version, header) in [("v1", V1.to_vec()), ("v2", proxied(&[]))] {
        let operated = Operated::proxy(upstream.address, &[&ACCEPT[..], &["--send-proxy", version]].concat());
        for came in [V1.to_vec(), proxied(&tlv(4, b"padding"))] {
            let client = connect_with(operated.server.address(), &[&came[..], b"early data"].concat());
            client.shutdown(Shutdown::Write).unwrap();
            let bytes = [&header[..], b"early data"].concat();
            assert_eq!(upstream.await_received(), Received { bytes, end: End::Fin }, "{version}");
        }
        // A handshake follows at once, too.
        let ca = authority.file("ca.pem");
        let tls = ["--send-proxy", version, "--upstream-tls", "--upstream-ca", &ca];
        let flags = [&ACCEPT[..], &tls].concat();
        let operated = Operated::proxy(upstream.address, &flags);
        let client = connect_with(operated.server.address(), V1);
        within(LIMIT, "the handshake begins", || operated.json(&["list"]).first().map(|_| ()));
        thread::sleep(Duration::from_millis(200));
        reset(client);
        let bytes = upstream.await_received().bytes;
        assert!(bytes.starts_with(&[&header[..], &[22, 3, 1]].concat()), "{version}: {bytes:?}");
    }
}

#[test]
fn a_header_is_sent_though_the_client_is_silent() {
    for (version, length) in [("v1", 0), ("v2", 28)] {
        let upstream = reads_once();
        let operated = Operated::proxy(upstream.address, &["--send-proxy", version]);
        let mut client = operated.server.connect();
        assert!(is_silent(&mut client, Duration::from_millis(300)));
        client.write_all(b"late").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let received = upstream.await_received().bytes;
        assert!(received.len() == length || received.ends_with(b"\r\n"), "{version}: {received:?}");
    }
}

#[test]
fn what_a_header_says_besides_goes_on() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[&ACCEPT[..], &["--send-proxy", "v2"]].concat());
    let ssl = [&[1, 0, 0, 0, 0][..], &tlv(0x21, b"TLSv1.3")].concat();
    let kept = [
        tlv(1, b"h2"),
        tlv(2, b"a.test"),
        tlv(5, b"an id"),
        tlv(0x20, &ssl),
        tlv(0xe0, b"ours"),
        tlv(0xef, b""),
    ]
    .concat();
    let came =
        [&tlv(4, b"padding"), &kept[..], &tlv(0x30, b"a name space"), &tlv(0xf0, b"experiment")].concat();
    let mut block = [&ADDRESSES[..], &tlv(3, &[0; 4]), &came].concat();
    let sum = crc32c::crc32c(&v2(0x21, 0x11, &block)).to_be_bytes();
    block[15..19].copy_from_slice(&sum);
    let client = connect_with(operated.server.address(), &v2(0x21, 0x11, &block));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(upstream.await_received(), Received { bytes: proxied(&kept), end: End::Fin });
}

#[test]
fn a_check_says_that_it_is_for_no_client() {
    for (version, said) in [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", v2(0x20, 0, &[]))] {
        let upstream = peer::takes_all();
        let text = format!(
            "[listener.test]\nlisten = \"127.0.0.1:0\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"{}\"]\n\
             send-proxy = \"{version}\"\ncheck = {{ every = \"100ms\", send = \"PING\", expect = \"\" }}\n",
            upstream.address
        );
        let text = text.replace(", expect = \"\"", "");
        let _operated = Operated::run(&text, 1);
        let received = upstream.await_received().bytes;
        assert_eq!(received, [&said[..], b"PING"].concat(), "{version}");
    }
}

#[test]
fn the_header_stands_before_tls_on_both_sides() {
    let authority = Authority::new();
    authority.sign("person", certificate(&["person.test"]));
    let config = Arc::new(authority.server(Wire::Tls13, "a"));
    let upstream = Fake::start(move |mut stream, _| {
        let mut header = read_exactly(&mut stream, 16);
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.extend(read_exactly(&mut stream, length));
        let mut stream = WireStream::accept(stream, Some(config.clone())).unwrap();
        assert_eq!(stream.read_to_end(), (b"question".to_vec(), WireEnd::Clean));
        stream.write_all(b"answer").unwrap();
        stream.finish();
        Received { bytes: header, end: End::Fin }
    });
    let [cert, key, ca] = ["a.pem", "a.key", "ca.pem"].map(|name| authority.file(name));
    let text = format!(
        "[listener.test]\nlisten = \"127.0.0.1:0\"\naccept-proxy = \"127.0.0.0/8\"\n\
         [[listener.test.route]]\ntls = \"x\"\nupstream = \"db\"\n\
         [tls.x]\ncert = {cert:?}\nkey = {key:?}\nclient-ca = {ca:?}\nalpn = [\"h2\", \"postgresql\"]\n\
         [upstream.db]\nservers = [\"{}\"]\nsend-proxy = \"v2\"\ntls = {{ ca = {ca:?}, name = \"a.test\" }}\n",
        upstream.address
    );
    let operated = Operated::run(&text, 1);
    let mut config = authority.client(Wire::Tls13, Some("person"));
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let config = Arc::new(config);
    let others = [tlv(2, b"other.test"), tlv(1, b"h2"), tlv(5, b"an id")].concat();
    let first = |hello: &[u8]| [&proxied(&others), hello].concat();
    let mut client = WireStream::over_with(connect(operated.server.address()), config, first).unwrap();
    client.write_all(b"question").unwrap();
    client.finish();
    assert_eq!(client.read_to_end(), (b"answer".to_vec(), WireEnd::Clean));
    let header = upstream.await_received().bytes;
    assert_eq!(
        &header[..28],
        &proxied(&[])[..14].iter().chain(&header[14..16]).chain(&ADDRESSES).copied().collect::<Vec<_>>()[..]
    );
    let holds = |part: &[u8]| header.windows(part.len()).any(|window| window == part);
    for part in [
        tlv(1, b"postgresql"),
        tlv(2, b"a.test"),
        tlv(5, b"an id"),
        tlv(0x21, b"TLSv1.3"),
        tlv(0x22, b"person.test"),
    ] {
        assert!(holds(&part), "{part:?}: {header:?}");
    }
    assert!(!holds(&tlv(2, b"other.test")) && !holds(&tlv(1, b"h2")), "our own TLS counts: {header:?}");
    for event in await_events(&operated, client.address()) {
        assert_eq!(event["source"], SOURCE, "{event}");
    }
}

#[test]
fn a_check_says_so_before_its_handshake_too() {
    let authority = Authority::new();
    let config = Arc::new(authority.server(Wire::Tls13, "a"));
    let upstream = Fake::start(move |mut stream, _| {
        let header = read_exactly(&mut stream, 16);
        let mut stream = WireStream::accept(stream, Some(config.clone())).unwrap();
        let question = read_exactly(&mut stream, 4);
        stream.write_all(b"PONG").unwrap();
        let (_, end) = stream.read_to_end();
        assert_eq!(end, WireEnd::Clean, "it ends politely");
        Received { bytes: [header, question].concat(), end: End::Fin }
    });
    let text = format!(
        "[listener.test]\nlisten = \"127.0.0.1:0\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"{}\"]\n\
         tls = {{ ca = {:?}, name = \"a.test\" }}\nsend-proxy = \"v2\"\n\
         check = {{ every = \"100ms\", send = \"PING\", expect = \"PONG\" }}\n",
        upstream.address,
        authority.file("ca.pem")
    );
    let operated = Operated::run(&text, 1);
    assert_eq!(upstream.await_received().bytes, [v2(0x20, 0, &[]), b"PING".to_vec()].concat());
    operated.server.await_event("server", |event| event["state"] == "up");
}

#[test]
fn a_server_that_wants_no_header_or_goes_in_the_middle_is_found_by_the_relay() {
    for version in ["v1", "v2"] {
        let upstream = peer::resets_at_once();
        let operated = Operated::proxy(upstream.address, &["--send-proxy", version]);
        let mut client = operated.server.connect();
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!(close["cause"], "upstream_reset", "{close}");
    }
}
