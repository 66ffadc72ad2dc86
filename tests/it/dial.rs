//! Reaching the upstream: a dead address costs little, a name is resolved for each session, and no other session waits.

use crate::support::{
    fake::{
        peer,
        unreachable::{self, UNRESOLVABLE},
    },
    proc,
    server::Server,
    stream::{End, exchange, read_to_end},
    wait::{LIMIT, within},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// RFC 8305 §8: the connection attempt delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Far below the connect timeout of these tests, far above a busy machine's delays.
const PROMPT: Duration = Duration::from_secs(5);

/// A proxy to a name that stands for these addresses, all at `port`.
fn proxy_to(addresses: &str, port: u16) -> Server {
    let resolve = format!("Upstream.Test:{port}:{addresses}");
    let name = format!("upstream.test:{port}");
    Server::proxy(name, &["--resolve", &resolve, "--connect-timeout", "20s"])
}

/// Runs one exchange and returns how long it took, with the connect event.
fn first_exchange(server: &Server) -> (Duration, serde_json::Value) {
    let begin = Instant::now();
    let mut client = server.connect();
    exchange(&mut client, b"hello");
    (begin.elapsed(), server.await_event("connect", |_| true))
}

#[test]
fn a_refusing_first_address_costs_next_to_nothing() {
    let live = peer::echoes();
    let server = proxy_to("127.0.0.2,127.0.0.1", live.address.port());
    let (elapsed, connect) = first_exchange(&server);
    assert!(elapsed < PROMPT, "{elapsed:?}");
    assert_eq!(connect["upstream"], live.address.to_string(), "{connect}");
    assert_eq!(connect["upstream_name"], format!("upstream.test:{}", live.address.port()), "{connect}");
}

#[test]
fn a_silent_first_address_costs_the_attempt_delay_and_not_the_timeout() {
    let live = peer::echoes();
    let port = live.address.port();
    let _dead = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let server = proxy_to("127.0.0.2,127.0.0.1", port);
    let (elapsed, connect) = first_exchange(&server);
    assert!(elapsed >= ATTEMPT_DELAY && elapsed < PROMPT, "{elapsed:?}");
    assert_eq!(connect["upstream"], live.address.to_string(), "{connect}");
    let connect_ms = connect["connect_ms"].as_f64().unwrap();
    assert!((250.0..5000.0).contains(&connect_ms), "{connect}");
}

#[test]
fn a_late_first_address_leaves_no_attempt_behind() {
    let live = peer::echoes();
    let port = live.address.port();
    let _dead = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let server = proxy_to("127.0.0.2,127.0.0.1", port);
    let mut client = server.connect();
    exchange(&mut client, b"hello");
    assert_eq!(server.process().sockets_in(proc::SYN_SENT), 0, "the losing attempt goes on");
}

/// Attempts under way in one dial.
const ATTEMPTS_MAX: usize = 3;

#[test]
fn many_silent_addresses_hold_three_descriptors_at_most() {
    let live = peer::echoes();
    let port = live.address.port();
    let _dead = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let server = proxy_to(&("127.0.0.2,".repeat(8) + "127.0.0.1"), port);
    let descriptors = || server.process().descriptors().len();
    let (before, mut most) = (descriptors(), 0);
    let _client = server.connect();
    within(LIMIT, "the live address has its turn", || {
        most = most.max(descriptors());
        server.events().into_iter().find(|event| event["event"] == "connect")
    });
    assert_eq!(most, before + 1 + ATTEMPTS_MAX, "the client's descriptor, and one an attempt");
}

#[test]
fn an_address_that_gave_way_is_tried_again() {
    let first = unreachable::never_accepts();
    let port = first.address.port();
    let _others = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let server = proxy_to(&("127.0.0.1".to_owned() + &",127.0.0.2".repeat(4)), port);
    let to_first = || proc::sockets().iter().filter(|socket| socket.leads_to(first.address)).count();
    // Its own clients of the full backlog are connected.
    let held = to_first();
    let _client = server.connect();
    within(LIMIT, "the first address is tried", || (to_first() > held).then_some(()));
    within(LIMIT, "the first address gives way", || (to_first() == held).then_some(()));
    first.makes_room();
    let connect = server.await_event("connect", |_| true);
    assert_eq!(connect["upstream"], first.address.to_string(), "{connect}");
}

#[test]
fn each_round_of_silent_addresses_gives_them_more_time() {
    const ADDRESSES: usize = 5;
    // To the end of the second round, less what a busy machine may be late to see the first attempt.
    const AT_LEAST: Duration = ATTEMPT_DELAY.saturating_mul(5 + 2 * 4 - 2);
    let dead = unreachable::never_accepts();
    let server = proxy_to(&["127.0.0.1"; ADDRESSES].join(","), dead.address.port());
    let _client = server.connect();
    let mut attempts = HashMap::new();
    within(LIMIT, "every address has its second attempt", || {
        let requests = proc::sockets().into_iter().filter(|socket| socket.state == proc::SYN_SENT);
        for request in requests.filter(|socket| socket.leads_to(dead.address)) {
            attempts.entry(request.local).or_insert_with(Instant::now);
        }
        (attempts.len() == 2 * ADDRESSES).then_some(())
    });
    let elapsed = attempts.values().min().unwrap().elapsed();
    assert!(elapsed >= AT_LEAST, "{elapsed:?}");
}

#[test]
fn families_are_interleaved() {
    // Two refused IPv4 addresses and a refused IPv6 one before the live address: all four have their turn.
    let live = peer::echoes();
    let server = proxy_to("127.0.0.2,127.0.0.3,[::1],127.0.0.1", live.address.port());
    let (elapsed, connect) = first_exchange(&server);
    assert!(elapsed < PROMPT, "{elapsed:?}");
    assert_eq!(connect["upstream"], live.address.to_string(), "{connect}");
}

#[test]
fn a_name_from_the_hosts_file_is_resolved() {
    let live = peer::echoes();
    let server = Server::proxy(format!("localhost:{}", live.address.port()), &[]);
    let (_, connect) = first_exchange(&server);
    assert!(connect["resolve_ms"].is_number(), "{connect}");
    assert!(connect["connect_ms"].is_number(), "{connect}");
}

/// Sessions that wait at the same time.
const WAITING: usize = 300;

#[test]
fn three_hundred_dials_without_an_answer_all_end_at_their_deadline() {
    let dead = unreachable::never_accepts();
    let server = Server::proxy(dead.address, &["--connect-timeout", "2s"]);
    let begin = Instant::now();
    let clients: Vec<_> = (0..WAITING).map(|_| server.connect()).collect();
    for mut client in clients {
        assert_eq!(read_to_end(&mut client).end, End::Reset);
    }
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?} for all", begin.elapsed());
    let closes = server.await_closes(WAITING);
    assert!(closes.iter().all(|close| close["cause"] == "connect_timeout"), "{closes:?}");
    assert_eq!(server.process().sockets_in(proc::SYN_SENT), 0);
}

#[test]
fn three_hundred_names_without_an_address_all_fail() {
    let server = Server::proxy(UNRESOLVABLE, &[]);
    let clients: Vec<_> = (0..WAITING).map(|_| server.connect()).collect();
    for mut client in clients {
        assert_eq!(read_to_end(&mut client).end, End::Reset);
    }
    let closes = server.await_closes(WAITING);
    assert!(closes.iter().all(|close| close["cause"] == "resolve_failed"), "{closes:?}");
    assert!(closes.iter().all(|close| close["upstream"].is_null()), "{closes:?}");
}
