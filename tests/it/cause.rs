//! Every cause has a way to happen, and the close event tells it.

use crate::support::{
    fake::{
        peer,
        unreachable::{self, UNRESOLVABLE},
    },
    operator::Operated,
    proc::SYN_SENT,
    server::Server,
    stream::{End, connect_from, exchange, read_exactly, read_to_end, reset},
    tls::{Authority, Wire, WireStream},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};
use strum::VariantArray;
use switchboard::session::cause::Cause;

/// Waits for the close event, and checks what every close event tells.
fn close_of(server: &Server, client: &TcpStream) -> Value {
    let close = server.await_close(client.local_addr().unwrap());
    assert!(close["duration_ms"].as_f64().unwrap() >= 0.0, "{close}");
    assert!(close["session"].is_u64(), "{close}");
    close
}

/// The client meets a RST, and the close event says that no upstream was reached, why, and how long it took.
fn fails_to_connect(server: &Server) -> Value {
    is_not_connected(server, &mut server.connect())
}

/// As [`fails_to_connect`], of a client that is there already.
fn is_not_connected(server: &Server, client: &mut TcpStream) -> Value {
    let close = is_not_connected_after(server, client);
    assert!(!server.events().iter().any(|event| event["event"] == "connect"));
    close
}

/// As [`is_not_connected`], after sessions that were.
fn is_not_connected_after(server: &Server, client: &mut TcpStream) -> Value {
    let received = read_to_end(client);
    assert_eq!((received.bytes.len(), received.end), (0, End::Reset));
    let close = close_of(server, client);
    assert_eq!(close["upstream"], Value::Null, "{close}");
    assert_eq!(close["first_closer"], Value::Null, "{close}");
    assert_eq!(close["connect_ms"], Value::Null, "{close}");
    assert!(close["error"].as_str().is_some_and(|error| !error.is_empty()), "{close}");
    close
}

/// The client meets a RST; the session had reached its upstream.
fn ends_with_reset(server: &Server, client: &mut TcpStream) -> Value {
    assert_eq!(read_to_end(client).end, End::Reset);
    let close = close_of(server, client);
    assert!(close["upstream"].is_string(), "{close}");
    close
}

fn done() -> Value {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &[]);
    let mut client = server.connect();
    exchange(&mut client, b"all of it");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    let close = close_of(&server, &client);
    assert_eq!(close["first_closer"], "client", "{close}");
    assert_eq!(close["error"], Value::Null, "{close}");
    assert_eq!(close["upstream"], upstream.address.to_string(), "{close}");
    close
}

fn client_reset() -> Value {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &[]);
    let mut client = server.connect();
    exchange(&mut client, b"some of it");
    let address = client.local_addr().unwrap();
    reset(client);
    let close = server.await_close(address);
    assert_eq!(close["client_bytes"], 10, "{close}");
    close
}

fn upstream_reset() -> Value {
    let upstream = peer::resets_in_mid_reply(b"some of it".to_vec());
    let server = Server::proxy(upstream.address, &[]);
    let mut client = server.connect();
    read_exactly(&mut client, 10);
    upstream.go();
    let close = ends_with_reset(&server, &mut client);
    assert_eq!(close["upstream_bytes"], 10, "{close}");
    close
}

fn resolve_failed() -> Value {
    fails_to_connect(&Server::proxy(UNRESOLVABLE, &[]))
}

fn connect_refused() -> Value {
    let (address, _reserved) = unreachable::refuses();
    fails_to_connect(&Server::proxy(address, &[]))
}

fn connect_unreachable() -> Value {
    // TCP to the broadcast address fails in the kernel with ENETUNREACH; nothing is sent.
    let resolve = "unreachable.test:80:255.255.255.255";
    fails_to_connect(&Server::proxy("unreachable.test:80", &["--resolve", resolve]))
}

fn connect_timeout() -> Value {
    let upstream = unreachable::never_accepts();
    fails_to_connect(&Server::proxy(upstream.address, &["--connect-timeout", "300ms"]))
}

fn resources() -> Value {
    let upstream = unreachable::never_accepts();
    let port = upstream.address.port();
    let resolve = format!("upstream.test:{port}:127.0.0.1") + &",127.0.0.1".repeat(4);
    let flags = ["--resolve", &resolve, "--connect-timeout", "3s"];
    let server = Server::proxy(format!("upstream.test:{port}"), &flags);
    let mut client = server.connect();
    within(LIMIT, "it dials", || (server.process().sockets_in(SYN_SENT) > 0).then_some(()));
    // The attempts under way give way to the next, and those get no descriptor.
    server.process().limit_descriptors(3);
    is_not_connected(&server, &mut client)
}

fn idle_timeout() -> Value {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--idle-timeout", "300ms"]);
    let mut client = server.connect();
    exchange(&mut client, b"one byte or two");
    ends_with_reset(&server, &mut client)
}

fn half_close_timeout() -> Value {
    let upstream = peer::never_replies();
    let server = Server::proxy(upstream.address, &["--half-close-timeout", "300ms"]);
    let mut client = server.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let close = ends_with_reset(&server, &mut client);
    assert_eq!(close["first_closer"], "client", "{close}");
    close
}

fn stall_timeout() -> Value {
    let upstream = peer::pushes_without_end();
    let server = Server::proxy(upstream.address, &["--stall-timeout", "500ms"]);
    let mut client = server.connect();
    let address = client.local_addr().unwrap();
    let close = server.await_close(address);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    close
}

fn lifetime() -> Value {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--max-lifetime", "300ms"]);
    ends_with_reset(&server, &mut server.connect())
}

fn cut() -> Value {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"alive");
    assert_eq!(operated.ctl(&["cut", "1"]).code, 0);
    let close = ends_with_reset(&operated.server, &mut client);
    assert_eq!(close["first_closer"], Value::Null, "{close}");
    close
}

fn drain() -> Value {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--drain-timeout", "300ms"]);
    let mut client = server.connect();
    exchange(&mut client, b"alive");
    server.signal(Signal::TERM);
    ends_with_reset(&server, &mut client)
}

fn refused_limit() -> Value {
    let server = Server::echo(&["--max-per-source", "1"]);
    let mut first = server.connect();
    exchange(&mut first, b"in");
    let mut second = server.connect();
    assert_eq!(read_to_end(&mut second).end, End::Reset);
    // Another source is not concerned.
    let mut other = connect_from([127, 0, 0, 2].into(), server.address());
    exchange(&mut other, b"in as well");
    exchange(&mut first, b"still in");
    close_of(&server, &second)
}

fn refused_access() -> Value {
    let server = Server::echo(&["--allow", "127.0.0.0/8", "--deny", "127.0.0.1,10.0.0.0/8"]);
    let mut denied = server.connect();
    let received = read_to_end(&mut denied);
    assert_eq!((received.bytes.len(), received.end), (0, End::Reset));
    exchange(&mut connect_from([127, 0, 0, 2].into(), server.address()), b"in");
    close_of(&server, &denied)
}

fn no_route() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let upstream = peer::echoes();
    let text = format!(
        "control = \"off\"\nlog = \"json\"\n[listener.web]\nlisten = \"127.0.0.1:0\"\n\
         [[listener.web.route]]\nfrom = \"127.0.0.2\"\nupstream = \"{0}\"\n\
         [[listener.web.route]]\nfrom = \"127.0.0.3\"\nrefuse = true\n\
         [[listener.web.route]]\nfrom = [\"127.0.0.3\", \"127.0.0.4\"]\nupstream = \"{0}\"\n",
        upstream.address
    );
    let server = Server::run(&folder.path().join("a.toml"), &text, 1);
    for (last, fits) in [(2, true), (3, false), (4, true), (1, false)] {
        let mut client = connect_from([127, 0, 0, last].into(), server.address());
        if fits {
            exchange(&mut client, b"in");
        } else {
            assert_eq!(read_to_end(&mut client).end, End::Reset, "127.0.0.{last}");
        }
    }
    let mut client = server.connect();
    is_not_connected_after(&server, &mut client)
}

fn no_server() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let ((first, _one), (second, _other)) = (unreachable::refuses(), unreachable::refuses());
    let upstream = format!("servers = [\"{first}\", \"{second}\"]\n");
    let server = Server::of_upstream(&folder.path().join("a.toml"), &upstream);
    let close = fails_to_connect(&server);
    let tried = close["tried"].as_array().unwrap();
    assert!(tried.len() == 2 && tried.iter().all(|one| one["error"] == "connect_refused"), "{close}");
    assert_eq!(close["upstream_group"], "db", "{close}");
    close
}

fn proxy_header() -> Value {
    let server = Server::proxy(peer::echoes().address, &["--accept-proxy", "127.0.0.1"]);
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.0\r\n").unwrap();
    is_not_connected(&server, &mut client)
}

fn handshake_timeout() -> Value {
    let flags = ["--tls-self-signed", "--handshake-timeout", "100ms"];
    fails_to_connect(&Server::proxy(peer::echoes().address, &flags))
}

fn tls_client() -> Value {
    let server = Server::proxy(peer::echoes().address, &["--tls-self-signed"]);
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    // An alert.
    assert_eq!(read_to_end(&mut client).bytes[0], 21);
    close_of(&server, &client)
}

fn tls_upstream() -> Value {
    let flags = ["--upstream-tls", "--upstream-name", "a.test"];
    fails_to_connect(&Server::proxy(peer::echoes().address, &flags))
}

fn client_truncated() -> Value {
    let authority = Authority::new();
    let [cert, key] = ["a.pem", "a.key"].map(|name| authority.file(name));
    let server = Server::proxy(peer::echoes().address, &["--tls-cert", &cert, "--tls-key", &key]);
    let mut client =
        WireStream::connect(server.address(), Some(authority.client(Wire::Tls13, None))).unwrap();
    client.write_all(b"half a wo").unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    close_of(&server, &client.stream)
}

fn upstream_truncated() -> Value {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tls13, |mut stream, _| {
        stream.write_all(b"half a wo").unwrap();
        stream.stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream.stream)
    });
    let ca = authority.file("ca.pem");
    let flags = ["--upstream-tls", "--upstream-ca", &ca, "--upstream-name", "a.test"];
    let server = Server::proxy(upstream.address, &flags);
    ends_with_reset(&server, &mut server.connect())
}

fn fault() -> Value {
    let operated = Operated::proxy(peer::echoes().address, &[]);
    assert_eq!(operated.ctl(&["fault", "add", "cut", "3B", "reset", "--name", "short"]).code, 0);
    let mut client = operated.server.connect();
    client.write_all(b"hello").unwrap();
    let close = ends_with_reset(&operated.server, &mut client);
    assert_eq!(close["fault"], "short", "{close}");
    close
}

/// Every cause that a peer, a user's flag, an operator or a signal can bring about, and a scenario that does.
const SCENARIOS: [(Cause, fn() -> Value); 25] = [
    (Cause::Done, done),
    (Cause::ClientReset, client_reset),
    (Cause::UpstreamReset, upstream_reset),
    (Cause::ResolveFailed, resolve_failed),
    (Cause::ConnectRefused, connect_refused),
    (Cause::ConnectUnreachable, connect_unreachable),
    (Cause::ConnectTimeout, connect_timeout),
    (Cause::Resources, resources),
    (Cause::IdleTimeout, idle_timeout),
    (Cause::HalfCloseTimeout, half_close_timeout),
    (Cause::StallTimeout, stall_timeout),
    (Cause::Lifetime, lifetime),
    (Cause::Cut, cut),
    (Cause::Drain, drain),
    (Cause::RefusedLimit, refused_limit),
    (Cause::RefusedAccess, refused_access),
    (Cause::NoRoute, no_route),
    (Cause::NoServer, no_server),
    (Cause::ProxyHeader, proxy_header),
    (Cause::HandshakeTimeout, handshake_timeout),
    (Cause::TlsClient, tls_client),
    (Cause::TlsUpstream, tls_upstream),
    (Cause::ClientTruncated, client_truncated),
    (Cause::UpstreamTruncated, upstream_truncated),
    (Cause::Fault, fault),
];
/// `internal` is a fault of the program itself: no peer, flag, operator or signal can bring it about.
const NOT_FROM_OUTSIDE: [Cause; 1] = [Cause::Internal];

#[test]
fn every_cause_has_a_scenario() {
    let covered = SCENARIOS.iter().map(|(cause, _)| *cause).chain(NOT_FROM_OUTSIDE);
    let covered: BTreeSet<&str> = covered.map(Cause::name).collect();
    assert_eq!(covered, Cause::VARIANTS.iter().map(|cause| cause.name()).collect());
}

#[test]
fn every_scenario_ends_with_its_cause() {
    for (cause, scenario) in SCENARIOS {
        let close = scenario();
        assert_eq!(close["cause"], cause.name(), "{close}");
    }
}

#[test]
fn the_side_that_ends_its_stream_first_is_named() {
    let upstream = peer::half_closes_first(b"reply".to_vec());
    let server = Server::proxy(upstream.address, &[]);
    let mut client = server.connect();
    assert_eq!(read_to_end(&mut client).bytes, b"reply");
    client.write_all(b"upload").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let close = close_of(&server, &client);
    assert_eq!((&close["cause"], &close["first_closer"]), (&"done".into(), &"upstream".into()), "{close}");
    assert_eq!((&close["client_bytes"], &close["upstream_bytes"]), (&6.into(), &5.into()), "{close}");
}

#[test]
fn a_refused_dial_is_passed_on_promptly_every_time() {
    let (refusing, _reserved) = unreachable::refuses();
    let server = Server::proxy(refusing, &["--connect-timeout", "20s"]);
    for _ in 0..50 {
        let begin = Instant::now();
        assert_eq!(read_to_end(&mut server.connect()).end, End::Reset);
        assert!(begin.elapsed() < Duration::from_secs(5), "only after {:?}", begin.elapsed());
    }
    let closes = server.await_closes(50);
    assert!(closes.iter().all(|close| close["cause"] == "connect_refused"), "{closes:?}");
}
