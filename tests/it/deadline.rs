//! Every wait on a peer ends: not before its deadline, and soon after it, with a RST and the deadline's own cause.

use crate::support::{
    data_path::{Destination, THROUGH, Way},
    fake::{peer, unreachable},
    server::Server,
    stream::{End, Received, exchange, is_silent, read_to_end, write_until_refused},
    wait::LIMIT,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

/// The deadline in the tests, and as its flag's value.
const DEADLINE: Duration = Duration::from_millis(600);
const VALUE: &str = "600ms";
/// DESIGN allows half a second; a busy machine may need more.
const SLACK: Duration = Duration::from_secs(4);

/// Fails unless the time since `begin` is the deadline's, or a little more.
fn assert_on_time(begin: Instant) {
    let elapsed = begin.elapsed();
    assert!(elapsed >= DEADLINE, "{:?} early", DEADLINE.saturating_sub(elapsed));
    assert!(elapsed < DEADLINE + SLACK, "{:?} late", elapsed.saturating_sub(DEADLINE));
}

/// Waits for the RST, checks when it comes, and why.
fn ends_on_time(route: &Destination, client: &mut TcpStream, begin: Instant, cause: &str) {
    let address = client.local_addr().unwrap();
    assert_eq!(read_to_end(client).end, End::Reset, "{cause}");
    assert_on_time(begin);
    let close = route.await_cause(address, cause).unwrap();
    let lived = Duration::from_secs_f64(close["duration_ms"].as_f64().unwrap() / 1000.0);
    assert!(lived >= DEADLINE && lived < DEADLINE + SLACK, "{close}");
}

#[test]
fn a_connect_timeout_counts_all_addresses_together() {
    let first = unreachable::never_accepts();
    let port = first.address.port();
    let _second = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let resolve = format!("upstream.test:{port}:127.0.0.1,127.0.0.2");
    let flags = ["--resolve", &resolve, "--connect-timeout", VALUE];
    let server = Server::proxy(format!("upstream.test:{port}"), &flags);
    let begin = Instant::now();
    let mut client = server.connect();
    let address = client.local_addr().unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    assert_on_time(begin);
    assert_eq!(server.await_close(address)["cause"], "connect_timeout");
}

#[test]
fn an_idle_session_ends_both_ways() {
    for way in THROUGH {
        let upstream = peer::takes_all();
        let route = way.to(upstream.address, &["--idle-timeout", VALUE]);
        let mut client = route.connect();
        upstream.await_reached();
        let begin = Instant::now();
        client.write_all(b"the last byte").unwrap();
        ends_on_time(&route, &mut client, begin, "idle_timeout");
        let received = Received { bytes: b"the last byte".to_vec(), end: End::Reset };
        assert_eq!(upstream.await_received(), received);

        let route = way.echo(&["--idle-timeout", VALUE]);
        let mut client = route.connect();
        let begin = Instant::now();
        exchange(&mut client, b"the last byte");
        ends_on_time(&route, &mut client, begin, "idle_timeout");
    }
}

#[test]
fn a_reply_that_never_comes_ends_a_half_closed_session_both_ways() {
    for way in THROUGH {
        let upstream = peer::never_replies();
        let route = way.to(upstream.address, &["--half-close-timeout", VALUE]);
        let mut client = route.connect();
        let begin = Instant::now();
        client.shutdown(Shutdown::Write).unwrap();
        ends_on_time(&route, &mut client, begin, "half_close_timeout");
        // The fake reports only once its connection is torn down.
        assert_eq!(upstream.await_received().end, End::Fin);
    }
}

#[test]
fn an_upload_that_never_ends_ends_after_the_upstream_has_ended() {
    for way in THROUGH {
        let upstream = peer::half_closes_first(b"reply".to_vec());
        let begin = Instant::now();
        let route = way.to(upstream.address, &["--half-close-timeout", VALUE]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        assert_eq!(read_to_end(&mut client).bytes, b"reply");
        assert_eq!(upstream.await_received().end, End::Reset);
        assert!(begin.elapsed() >= DEADLINE);
        let close = route.await_cause(address, "half_close_timeout").unwrap();
        assert_eq!(close["first_closer"], "upstream", "{close}");
    }
}

#[test]
fn a_session_without_a_half_close_is_not_bound_by_its_deadline() {
    let route = Way::Spliced.echo(&["--half-close-timeout", "100ms", "--stall-timeout", "100ms"]);
    let mut client = route.connect();
    assert!(is_silent(&mut client, DEADLINE));
    exchange(&mut client, b"still here");
}

#[test]
fn an_upstream_that_takes_nothing_stalls_only_so_long() {
    for way in THROUGH {
        let upstream = peer::reads_nothing_until_told();
        let begin = Instant::now();
        let route = way.to(upstream.address, &["--stall-timeout", VALUE]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        let error = write_until_refused(&mut client);
        assert_eq!(error, ErrorKind::ConnectionReset);
        assert!(begin.elapsed() >= DEADLINE, "refused after {:?}", begin.elapsed());
        route.await_cause(address, "stall_timeout");
        upstream.go();
        assert_eq!(upstream.await_received().end, End::Reset);
    }
}

#[test]
fn a_client_that_takes_nothing_stalls_only_so_long() {
    for way in THROUGH {
        let begin = Instant::now();
        let route = way.echo(&["--stall-timeout", VALUE]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        let error = write_until_refused(&mut client);
        assert_eq!(error, ErrorKind::ConnectionReset);
        assert!(begin.elapsed() >= DEADLINE, "refused after {:?}", begin.elapsed());
        route.await_cause(address, "stall_timeout");
    }
}

#[test]
fn a_lifetime_ends_a_session_whatever_it_does() {
    for way in THROUGH {
        let route = way.echo(&["--max-lifetime", VALUE]);
        let begin = Instant::now();
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        let mut buffer = [0; 4];
        let error = loop {
            let turn = client.write_all(b"turn").and_then(|()| client.read_exact(&mut buffer));
            if let Err(error) = turn {
                break error;
            }
            assert!(begin.elapsed() < LIMIT);
        };
        assert_on_time(begin);
        let close = route.await_cause(address, "lifetime").unwrap();
        assert!(close["client_bytes"].as_u64().unwrap() > 0, "{close}, {error}");
    }
}

#[test]
fn every_deadline_can_be_off() {
    let flags = [
        "--connect-timeout=off",
        "--idle-timeout=off",
        "--half-close-timeout=off",
        "--stall-timeout=off",
        "--max-lifetime=off",
        "--drain-timeout=off",
        "--busy-poll=off",
    ];
    let mut server = Server::echo(&flags);
    let mut client = server.connect();
    assert!(is_silent(&mut client, DEADLINE));
    exchange(&mut client, b"served");
    drop(client);
    assert_eq!(server.stop(), 0);
}
