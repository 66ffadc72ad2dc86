//! Every wait on a peer ends: not before its deadline, and soon after it, with a RST and the deadline's own cause.

use crate::{
    dead,
    harness::Server,
    pattern::pattern,
    peer,
    route::{Route, THROUGH, Way},
    stream::{End, LIMIT, Received, exchange, is_silent, read_exactly, read_to_end, write_until_refused},
};
use socket2::SockRef;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
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
fn ends_on_time(route: &Route, client: &mut TcpStream, begin: Instant, cause: &str) {
    let address = client.local_addr().unwrap();
    assert_eq!(read_to_end(client).end, End::Reset, "{cause}");
    assert_on_time(begin);
    let close = route.await_cause(address, cause).unwrap();
    let lived = Duration::from_secs_f64(close["duration_ms"].as_f64().unwrap() / 1000.0);
    assert!(lived >= DEADLINE && lived < DEADLINE + SLACK, "{close}");
}

#[test]
fn a_connect_timeout_counts_all_addresses_together() {
    let first = dead::never_accepts();
    let port = first.address.port();
    let _second = dead::never_accepts_on(([127, 0, 0, 2], port).into());
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
fn a_trickle_in_either_direction_keeps_a_session_from_being_idle() {
    /// With this many bytes at this pace the session lives several deadlines long.
    const BYTES: usize = 15;
    const PACE: Duration = Duration::from_millis(150);
    for way in THROUGH {
        let upstream = peer::trickles(BYTES, PACE);
        let route = way.to(upstream.address, &["--idle-timeout", VALUE]);
        let mut client = route.connect();
        let received = read_to_end(&mut client);
        assert_eq!((received.bytes.len(), received.end), (BYTES, End::Fin), "from the upstream");

        let upstream = peer::takes_all();
        let route = way.to(upstream.address, &["--idle-timeout", VALUE]);
        let mut client = route.connect();
        for _ in 0..BYTES {
            thread::sleep(PACE);
            client.write_all(b"t").unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.await_received(), Received { bytes: vec![b't'; BYTES], end: End::Fin });
        assert_eq!(route.read_to_end(&mut client, "done").end, End::Fin, "from the client");
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
fn bytes_after_a_half_close_put_its_deadline_off() {
    const BYTES: usize = 15;
    for way in THROUGH {
        let upstream = peer::trickles(BYTES, Duration::from_millis(150));
        let route = way.to(upstream.address, &["--half-close-timeout", VALUE]);
        let mut client = route.connect();
        client.shutdown(Shutdown::Write).unwrap();
        let received = route.read_to_end(&mut client, "done");
        assert_eq!((received.bytes.len(), received.end), (BYTES, End::Fin));
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

/// A reader's receive buffer, in bytes, smaller than two of its reads.
const SMALL_BUFFER: usize = 64 << 10;

#[test]
fn a_slow_reader_that_takes_something_now_and_then_is_not_stalled() {
    // The large step is many of the program's pieces; the small one less than the kernel frees at a time.
    for (way, step) in THROUGH.into_iter().flat_map(|way| [(way, 2 << 20), (way, 64 << 10)]) {
        let upstream = peer::pushes_without_end();
        let route = way.to(upstream.address, &["--stall-timeout", VALUE]);
        let mut client = route.connect();
        // What lies in the reader's own kernel counts as taken; a small buffer there lets its reads be felt.
        SockRef::from(&client).set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < DEADLINE * 4 {
            read_exactly(&mut client, step);
            thread::sleep(DEADLINE / 6);
        }
        // It is alive: more comes than was in any buffer.
        read_exactly(&mut client, 64 << 20);
    }
}

#[test]
fn a_slow_reader_gets_the_whole_reply_of_an_upstream_that_has_ended() {
    // The program has handed it all to the kernel early on; the bytes still move.
    let reply = pattern(71, 3 << 20);
    for (way, flag) in
        THROUGH.into_iter().flat_map(|way| [(way, "--half-close-timeout"), (way, "--idle-timeout")])
    {
        let upstream = peer::half_closes_first(reply.clone());
        let route = way.to(upstream.address, &[flag, VALUE]);
        let mut client = route.connect();
        SockRef::from(&client).set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let mut received = Vec::new();
        while received.len() < reply.len() {
            received.extend(read_exactly(&mut client, 128 << 10));
            thread::sleep(DEADLINE / 8);
        }
        assert!(received == reply);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(route.read_to_end(&mut client, "done").end, End::Fin, "{flag}");
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
