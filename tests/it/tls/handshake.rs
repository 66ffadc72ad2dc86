//! Handshakes that fail: each is told in words, the peer gets an alert, and nothing is relayed.

use super::Between;
use crate::support::{
    fake::{Fake, peer},
    operator::Operated,
    scrape,
    stream::{End, Received, await_acknowledged, connect, exchange, read_to_end, reset},
    tls::{Authority, Wire, WireStream, certificate, echo, hello_of},
    wait::{LIMIT, within},
};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const ALERT: u8 = 21;

/// A listener that ends TLS with the certificate `a`, and the upstream `db`, whose table is given.
fn ends_here(authority: &Authority, tls: &str, upstream: &str) -> String {
    format!(
        "[listener.test]\nlisten = \"127.0.0.1:0\"\n[[listener.test.route]]\ntls = \"x\"\nupstream = \"db\"\n\
         [tls.x]\ncert = {:?}\nkey = {:?}\n{tls}\n[upstream.db]\n{upstream}\n",
        authority.file("a.pem"),
        authority.file("a.key"),
    )
}

/// A listener and the upstream `db` with these servers, which speak TLS.
fn to_tls(authority: &Authority, servers: &[SocketAddr], more: &str) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!(
        "[listener.test]\nlisten = \"127.0.0.1:0\"\nupstream = \"db\"\n[upstream.db]\nservers = {servers:?}\n\
         tls = {{ ca = {:?}, name = \"a.test\" }}\neject = \"off\"\n{more}\n",
        authority.file("ca.pem")
    )
}

fn assert_error(close: &Value, cause: &str, words: &str) {
    assert_eq!(close["cause"], cause, "{close}");
    assert!(close["error"].as_str().is_some_and(|error| error.contains(words)), "no \"{words}\": {close}");
}

#[test]
fn what_is_no_tls_gets_an_alert_and_the_end_and_no_upstream() {
    let authority = Authority::new();
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    let long = [b"GET / HTTP/1.1\r\nCookie: ".to_vec(), vec![b'c'; 100_000], b"\r\n\r\n".to_vec()].concat();
    for sent in
        [&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], &[0xff; 3000], &[22, 3, 1, 0, 4, 1, 0, 0, 0], &long]
    {
        let mut client = between.operated.server.connect();
        let _ = client.write_all(sent);
        let Received { bytes, end } = read_to_end(&mut client);
        assert_eq!((bytes.first(), end), (Some(&ALERT), End::Fin), "{} bytes: {bytes:?}", sent.len());
        let close = between.operated.server.await_close(client.local_addr().unwrap());
        assert_error(&close, "tls_client", "B had come)");
        if sent.len() < 100 {
            assert_error(&close, "tls_client", &format!(" ({} B had come)", sent.len()));
        }
    }
    let events = between.operated.server.events();
    assert!(events.iter().all(|event| event["event"] != "connect"), "{events:?}");
}

#[test]
fn a_hello_that_is_announced_too_long_gets_decode_error_and_is_told_with_its_length() {
    const DECODE_ERROR: u8 = 50;
    let authority = Authority::new();
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    // A handshake of 16 MiB, and one of 64 KiB, whose header comes in records of a byte each.
    let long = [&[22, 3, 1, 16, 0, 1, 0xff, 0xff, 0xff][..], &[7; 4093]].concat();
    let apart: Vec<u8> = [1, 1, 0, 0].into_iter().flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    for (sent, words) in [(long, "is to have 16 MiB"), (apart, "is to have 64 KiB")] {
        let mut client = between.operated.server.connect();
        client.write_all(&sent).unwrap();
        let received = read_to_end(&mut client);
        let alert = vec![ALERT, 3, 3, 0, 2, 2, DECODE_ERROR];
        assert_eq!(received, Received { bytes: alert, end: End::Fin }, "{words}");
        let close = between.operated.server.await_close(client.local_addr().unwrap());
        assert_error(&close, "tls_client", words);
    }
}

#[test]
fn a_client_that_ends_or_resets_in_its_handshake_is_told() {
    let authority = Authority::new();
    let upstream = peer::echoes();
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    for (sent, resets, cause) in [
        (&b""[..], false, "tls_client"),
        (&[22, 3], false, "tls_client"),
        (&b""[..], true, "client_reset"),
        (&[22, 3, 1], true, "client_reset"),
    ] {
        let mut client = between.operated.server.connect();
        let address = client.local_addr().unwrap();
        between.operated.server.await_event("open", |event| event["client"] == *address.to_string());
        client.write_all(sent).unwrap();
        if resets {
            await_acknowledged(&client);
            reset(client);
        } else {
            client.shutdown(Shutdown::Write).unwrap();
            read_to_end(&mut client);
        }
        between.await_cause(address, cause);
    }
}

#[test]
fn a_client_of_an_old_version_is_told_why() {
    let authority = Authority::new();
    let upstream = peer::echoes();
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    // A hello of TLS 1.0, without extensions.
    let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let mut client = between.operated.server.connect();
    client.write_all(&hello).unwrap();
    assert_eq!(read_to_end(&mut client).bytes.first(), Some(&ALERT));
    let close = between.operated.server.await_close(client.local_addr().unwrap());
    assert_error(&close, "tls_client", "the peer's TLS lacks what is needed");
}

/// Upstreams that fail, each in its own way, and what is said of it.
fn bad_servers(authority: &Authority) -> Vec<(&'static str, Fake)> {
    let mut expired = certificate(&["a.test"]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 1, 31));
    authority.sign("expired", expired);
    authority.sign("other", certificate(&["b.test"]));
    authority.self_sign("own", certificate(&["a.test"]));
    let of = |name: &str| {
        let config = Arc::new(authority.server(Wire::Tls13, name));
        Fake::start(move |stream, _| {
            let error = WireStream::accept(stream, Some(config.clone())).err().map(|error| error.to_string());
            Received { bytes: error.unwrap_or_default().into_bytes(), end: End::Reset }
        })
    };
    vec![
        ("the certificate expired on 2020-01-31", of("expired")),
        ("wrong name: the certificate has b.test, not a.test", of("other")),
        ("the certificate is self-signed", of("own")),
        ("no TLS", peer::speaks_first(b"220 ready\r\n".to_vec())),
        ("no TLS", peer::speaks_and_closes(Vec::new())),
    ]
}

#[test]
fn a_server_that_fails_its_handshake_resets_the_client_and_is_told_in_words() {
    let authority = Authority::new();
    for (words, bad) in bad_servers(&authority) {
        let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), bad.address, &[]);
        let mut client = between.operated.server.connect();
        client.write_all(b"secret").unwrap();
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset }, "{words}");
        let close = between.operated.server.await_close(client.local_addr().unwrap());
        assert_error(&close, "tls_upstream", words);
        let received = bad.await_received().bytes;
        assert!(!received.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[test]
fn after_a_server_that_fails_its_handshake_the_next_is_tried() {
    let authority = Authority::new();
    for (words, bad) in bad_servers(&authority) {
        let good = authority.fake(Wire::Tls13, |stream, _| echo(stream));
        let operated = Operated::run(&to_tls(&authority, &[bad.address, good.address], ""), 1);
        let mut tried = 0;
        for _ in 0..2 {
            let mut client = operated.server.connect();
            exchange(&mut client, b"hello");
            let address = client.local_addr().unwrap();
            drop(client);
            let close = operated.server.await_close(address);
            assert_eq!(close["server"], *good.address.to_string(), "{words}: {close}");
            let first = &close["tried"][0];
            if !first.is_null() {
                let bad = bad.address.to_string();
                assert_eq!((&first["server"], &first["error"]), (&bad.into(), &"tls_upstream".into()));
                tried += 1;
            }
        }
        assert!(tried > 0, "{words}");
    }
}

#[test]
fn a_server_that_accepts_and_stays_silent_costs_its_connect_timeout() {
    let authority = Authority::new();
    let (silent, good) = (peer::takes_all(), authority.fake(Wire::Tls12, |stream, _| echo(stream)));
    let text = |servers: &[SocketAddr]| to_tls(&authority, servers, "connect-timeout = \"300ms\"");
    let operated = Operated::run(&text(&[silent.address]), 1);
    let begin = Instant::now();
    let mut client = operated.server.connect();
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(300) && elapsed < LIMIT / 3, "{elapsed:?}");
    let close = operated.server.await_close(client.local_addr().unwrap());
    assert_error(&close, "connect_timeout", "TLS handshake within 300 ms");
    assert_eq!(silent.await_received().end, End::Reset);
    let operated = Operated::run(&text(&[silent.address, good.address]), 1);
    for _ in 0..2 {
        exchange(&mut operated.server.connect(), b"hello");
    }
    operated.server.await_event("connect", |event| event["tried"][0]["error"] == "connect_timeout");
}

#[test]
fn a_client_that_goes_while_its_upstream_makes_the_handshake_leaves_nothing() {
    let authority = Authority::new();
    let silent = peer::takes_all();
    let between = Between::start(&authority, (Wire::Tcp, Wire::Tls13), silent.address, &[]);
    let client = between.operated.server.connect();
    silent.await_reached();
    let address = client.local_addr().unwrap();
    reset(client);
    between.await_cause(address, "client_reset");
    assert_eq!(silent.await_received().end, End::Reset);
}

#[test]
fn a_client_that_is_slow_with_its_handshake_is_reset() {
    let authority = Authority::new();
    let upstream = peer::echoes();
    let flags = ["--handshake-timeout", "500ms"];
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &flags);
    let hello = hello_of(&authority.client(Wire::Tls13, None));
    for trickles in [false, true] {
        let begin = Instant::now();
        let mut client = between.operated.server.connect();
        if trickles {
            let mut writer = client.try_clone().unwrap();
            let hello = hello.clone();
            thread::spawn(move || {
                for byte in hello {
                    if writer.write_all(&[byte]).is_err() {
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
        assert!(elapsed >= Duration::from_millis(500) && elapsed < LIMIT / 3, "{elapsed:?}");
        let close = between.await_cause(client.local_addr().unwrap(), "handshake_timeout");
        let came = if trickles { " B had come)" } else { " (nothing had come)" };
        assert_error(&close, "handshake_timeout", "no whole ClientHello came within 500 ms (");
        assert_error(&close, "handshake_timeout", came);
    }
    // It says no more after its hello.
    let mut client = between.operated.server.connect();
    client.write_all(&hello).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    let close = between.await_cause(client.local_addr().unwrap(), "handshake_timeout");
    let came = format!("no handshake after its ClientHello came within 500 ms ({} had come)", amount(&hello));
    assert_error(&close, "handshake_timeout", &came);
}

/// As the program tells it.
fn amount(bytes: &[u8]) -> String {
    switchboard::text::units::bytes(bytes.len() as u64)
}

#[test]
fn a_file_says_at_its_top_how_tls_is_spoken_on_both_legs_of_all_listeners() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |stream, _| echo(stream));
    let [cert, key, ca] = ["a.pem", "a.key", "ca.pem"].map(|name| authority.file(name));
    let text = format!(
        "tls-cert = {cert:?}\ntls-key = {key:?}\nupstream-tls = true\nupstream-ca = {ca:?}\nupstream-name = \"a.test\"\n\
         [listener.one]\nlisten = \"127.0.0.1:0\"\nupstream = \"{0}\"\n\
         [listener.two]\nlisten = \"127.0.0.1:0\"\nupstream = \"{0}\"\ntls-cert = \"off\"\n",
        upstream.address
    );
    let operated = Operated::run(&text, 2);
    let [one, two] = [0, 1].map(|at| operated.server.addresses[at].parse().unwrap());
    let mut secured = WireStream::connect(one, Some(authority.client(Wire::Tls13, None))).unwrap();
    exchange(&mut secured, b"hello");
    let mut plain = WireStream::connect(two, None).unwrap();
    exchange(&mut plain, b"hello");
    let shown = operated.json(&["show", "1"]).remove(0);
    assert_eq!(shown["upstream_tls"]["peer"], "a.test", "{shown}");
    assert!(operated.json(&["show", "2"])[0]["client_tls"].is_null());
}

#[test]
fn what_came_of_handshakes_is_counted_for_programs_and_people() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |stream, _| echo(stream));
    let flags = ["--metrics", "0"];
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tls13), upstream.address, &flags);
    let operated = &between.operated;
    assert!(operated.json(&["stats"])[0]["tls_handshakes"].is_null());
    let config = Arc::new(authority.client(Wire::Tls13, None));
    for _ in 0..3 {
        // The second and the third go on with the ticket of the one before.
        let stream = connect(operated.server.address());
        exchange(&mut WireStream::over(stream, Some(config.clone()), "a.test").unwrap(), b"hello");
    }
    operated.server.connect().write_all(b"no TLS").unwrap();
    operated.server.await_closes(4);
    assert_eq!(operated.ctl(&["set", "handshake-timeout", "50ms"]).code, 0);
    read_to_end(&mut operated.server.connect());
    operated.server.await_closes(5);
    let stats = operated.json(&["stats"]).remove(0)["tls_handshakes"].take();
    assert_eq!(stats["client"], json!({"full": 1, "resumed": 2, "failed": 1, "late": 1}), "{stats}");
    assert_eq!(stats["upstream"], json!({"full": 1, "resumed": 2, "failed": 0, "late": 0}), "{stats}");
    let metrics = scrape::scrape(scrape::address(&operated.server));
    for side in ["client", "upstream"] {
        for result in ["full", "resumed", "failed", "late"] {
            let labels = [("side", side), ("result", result)];
            let count = metrics.value("switchboard_tls_handshakes_total", &labels);
            assert_eq!(Some(count), stats[side][result].as_f64(), "{side} {result}");
        }
    }
    let told = operated.ctl(&["stats"]).stdout;
    let row = "\nwith clients                1        2        1        1\n";
    assert!(told.contains(row), "{told}");
}

#[test]
fn a_client_that_still_has_to_make_its_handshake_is_shown_so() {
    let authority = Authority::new();
    let upstream = peer::echoes();
    let wires = (Wire::Tls13, Wire::Tcp);
    let between = Between::start(&authority, wires, upstream.address, &["--metrics", "0"]);
    let operated = &between.operated;
    let clients = [(); 2].map(|()| operated.server.connect());
    let opening = || operated.json(&["list", "--health", "opening"]);
    within(LIMIT, "they wait", || (opening().len() == 2).then_some(()));
    assert!(opening().iter().all(|one| one["phase"] == "opening"), "{:?}", opening());
    let shown = operated.json(&["show", &opening()[0]["session"].to_string()]).remove(0);
    assert_eq!(
        (&shown["spliced"], &shown["splice_off"]),
        (&false.into(), &"its stream has not begun".into())
    );
    assert!(operated.ctl(&["stats"]).stdout.contains("2 open · 2 opening · 0 ended"));
    let metrics = scrape::scrape(scrape::address(&operated.server));
    assert_eq!(
        metrics.value("switchboard_sessions_health", &[("mode", "proxy"), ("health", "opening")]),
        2.0
    );
    let config = Arc::new(authority.client(Wire::Tls13, None));
    for stream in clients {
        let client = stream.local_addr().unwrap().to_string();
        let mut stream = WireStream::over(stream, Some(config.clone()), "a.test").unwrap();
        exchange(&mut stream, b"hello");
        let own = operated.json(&["list"]).into_iter().find(|one| one["client"] == client).unwrap();
        assert_eq!((&own["phase"], &own["health"]), (&"open".into(), &"live".into()));
    }
}

#[test]
fn a_client_shows_a_certificate_where_one_is_wanted() {
    let authority = Authority::new();
    authority.sign("person", certificate(&["person.test"]));
    let stranger = Authority::new();
    for ending in ["pem", "key"] {
        let text = fs::read_to_string(stranger.path(&format!("a.{ending}"))).unwrap();
        authority.write(&format!("stranger.{ending}"), &text);
    }
    for (setting, pair, is_served) in [
        ("", None, false),
        ("", Some("person"), true),
        ("", Some("stranger"), false),
        ("client-cert = \"optional\"", None, true),
        ("client-cert = \"optional\"", Some("person"), true),
        ("client-cert = \"optional\"", Some("stranger"), false),
    ] {
        for wire in [Wire::Tls12, Wire::Tls13] {
            let upstream = peer::echoes();
            let tls = format!("client-ca = {:?}\n{setting}", authority.file("ca.pem"));
            let servers = format!("servers = [\"{}\"]", upstream.address);
            let operated = Operated::run(&ends_here(&authority, &tls, &servers), 1);
            let address = operated.server.address();
            let client = WireStream::connect(address, Some(authority.client(wire, pair)));
            if is_served {
                exchange(&mut client.unwrap(), b"hello");
                continue;
            }
            // In TLS 1.3 the client is through before the server has judged it.
            let error = client.and_then(|mut client| client.read(&mut [0])).unwrap_err();
            assert!(error.to_string().contains("alert"), "{setting} {pair:?} {wire:?}: {error}");
            let closes = operated.server.await_closes(1);
            assert_eq!(closes[0]["cause"], "tls_client", "{}", closes[0]);
            let events = operated.server.events();
            assert!(events.iter().all(|event| event["event"] != "connect"), "it is dialled after that");
        }
    }
}
