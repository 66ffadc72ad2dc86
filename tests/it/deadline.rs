//! Every wait on a peer ends: not before its deadline, and soon after it, with a RST and the deadline's own cause.

use crate::support::{
    data_path::{Destination, THROUGH, Way},
    fake::{peer, unreachable},
    operator::Operated,
    pattern::pattern,
    server::Server,
    stream::{End, Received, exchange, is_silent, read_to_end, write_until_blocked, write_until_refused},
    wait::LIMIT,
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
        "--handshake-timeout=off",
        "--idle-timeout=off",
        "--half-close-timeout=off",
        "--stall-timeout=off",
        "--max-lifetime=off",
        "--drain-timeout=off",
        "--busy-poll=off",
    ];
    let upstream = peer::echoes();
    let mut server = Server::proxy(upstream.address, &flags);
    let mut client = server.connect();
    assert!(is_silent(&mut client, DEADLINE));
    exchange(&mut client, b"served");
    drop(client);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_deadline_of_a_few_milliseconds_freezes_nothing() {
    for value in ["1ms", "3ms", "7ms"] {
        let mut operated = Operated::start("echo", &["--stall-timeout", value]);
        let mut sleeping = operated.server.connect();
        let address = sleeping.local_addr().unwrap();
        assert_eq!(write_until_refused(&mut sleeping), ErrorKind::ConnectionReset, "{value}");
        assert_eq!(operated.server.await_close(address)["cause"], "stall_timeout");
        let mut other = operated.server.connect();
        exchange(&mut other, b"served");
        assert_eq!(operated.only_session()["phase"], "open");
        drop(other);
        assert_eq!(operated.server.stop(), 0);
    }
}

const TIMEOUTS: [&str; 6] = [
    "connect-timeout",
    "idle-timeout",
    "half-close-timeout",
    "stall-timeout",
    "max-lifetime",
    "drain-timeout",
];

#[test]
fn the_shortest_and_the_longest_deadlines_freeze_nothing_as_flags_and_when_they_are_set() {
    let upstream = peer::echoes();
    let flags = TIMEOUTS.map(|name| format!("--{name}=100years"));
    let mut operated = Operated::proxy(upstream.address, &flags.each_ref().map(String::as_str));
    exchange(&mut operated.server.connect(), b"served");
    for name in TIMEOUTS {
        let beyond = format!(r#"{{"command":"set","setting":"{name}","value":{}}}"#, u64::MAX);
        let mut talk = operated.talk();
        talk.say(&beyond);
        assert!(talk.last()["error"].as_str().unwrap().contains("milliseconds"), "{name}");
        assert_eq!(operated.ctl(&["set", name, "1ms"]).code, 0, "{name}");
        let mut client = operated.server.connect();
        // It may be reset by now.
        let _ = client.write_all(b"for a millisecond");
        for value in ["100years", "off"] {
            assert_eq!(operated.ctl(&["set", name, value]).code, 0, "{name}");
            exchange(&mut operated.server.connect(), b"served");
        }
    }
    assert_eq!(operated.server.stop(), 0);
}

#[test]
fn what_lies_in_the_kernel_for_a_client_that_takes_nothing_stalls_only_so_long() {
    // More than the client's buffer holds, and less than the program's kernel takes.
    const REPLY: usize = 200_000;
    // Before a look that came too late could have begun it anew, twice.
    const SOONER: Duration = Duration::from_millis(1900);
    for way in THROUGH {
        let upstream = peer::half_closes_first(pattern(91, REPLY));
        let route = way.to(upstream.address, &["--stall-timeout", VALUE]);
        let begin = Instant::now();
        let client = route.connect();
        SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
        let close = route.await_cause(client.local_addr().unwrap(), "stall_timeout").unwrap();
        let elapsed = begin.elapsed();
        assert_eq!(close["upstream_bytes"], REPLY, "{close}");
        assert!(elapsed >= DEADLINE && elapsed < DEADLINE + SOONER, "{elapsed:?}");
    }
}

#[test]
fn a_client_that_only_listens_and_takes_nothing_stalls_only_so_long_after_the_session_rested() {
    const STALL: Duration = Duration::from_secs(2);
    for way in THROUGH {
        let upstream = peer::replies_after_a_rest(pattern(94, 200_000), Duration::from_secs(1));
        let route = way.to(upstream.address, &["--stall-timeout", "2s"]);
        let client = route.connect();
        SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
        let close = route.await_cause(client.local_addr().unwrap(), "stall_timeout").unwrap();
        let lived = Duration::from_secs_f64(close["duration_ms"].as_f64().unwrap() / 1000.0);
        assert!(lived >= STALL && lived < STALL + SLACK, "{close}");
    }
}

#[test]
fn a_client_that_takes_nothing_stalls_only_so_long_also_while_it_sends() {
    const STALL: Duration = Duration::from_secs(2);
    // What it does not take lies in the kernel alone; or here as well.
    for upstream in [peer::speaks_first(pattern(93, 200_000)), peer::pushes_without_end()] {
        let route = Way::Spliced.to(upstream.address, &["--stall-timeout", "2s"]);
        let begin = Instant::now();
        let mut client = route.connect();
        SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
        let address = client.local_addr().unwrap();
        while client.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
            assert!(begin.elapsed() < LIMIT, "it goes on");
        }
        let close = route.await_cause(address, "stall_timeout").unwrap();
        let lived = Duration::from_secs_f64(close["duration_ms"].as_f64().unwrap() / 1000.0);
        // A look that came too late would begin it anew.
        assert!(lived >= STALL && lived < STALL * 2, "{close}");
    }
}

#[test]
fn a_second_cut_by_fin_gives_the_last_delivery_no_more_time() {
    /// How long it may take (README).
    const GRACE: Duration = Duration::from_secs(5);
    const AGAIN_AFTER: Duration = Duration::from_secs(3);
    let upstream = peer::reads_nothing_until_told();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    write_until_blocked(&mut client, Duration::from_millis(300));
    let begin = Instant::now();
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    thread::sleep(AGAIN_AFTER);
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    assert_eq!(operated.server.await_close(client.local_addr().unwrap())["cause"], "cut");
    let elapsed = begin.elapsed();
    assert!(elapsed >= GRACE && elapsed < GRACE + AGAIN_AFTER, "{elapsed:?}");
    upstream.go();
    assert_eq!(upstream.await_received().end, End::Reset);
}
