//! What the program asks of the kernel for its sockets: keepalive on both legs, and no delay for small writes, and congestion control.

use crate::support::{
    data_path::EACH,
    fake::{Fake, peer},
    operator::Operated,
    proc::{self, Socket},
    server::Server,
    stream::{exchange, read_exactly},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// By when a session has set what a short one does without: twice the time to its first look at its deadlines.
const SETTLED: Duration = Duration::from_millis(500);

/// The program's own two sockets of the only session, once it is idle, and no short one any more.
fn both_legs(server: &Server, client: &TcpStream, upstream: &Fake) -> [Socket; 2] {
    let client = client.local_addr().unwrap();
    let find = |wanted: &dyn Fn(&Socket) -> bool| proc::sockets().into_iter().find(wanted).unwrap();
    let begin = Instant::now();
    within(LIMIT, "both sockets have sent everything", || {
        let legs = [
            find(&|socket| socket.joins(server.address(), client)),
            find(&|socket| socket.leads_to(upstream.address) && socket.is_open()),
        ];
        let is_idle = legs.iter().all(|leg| leg.unsent == 0) && begin.elapsed() >= SETTLED;
        is_idle.then_some(legs)
    })
}

#[test]
fn both_legs_are_kept_alive() {
    for (flags, idle) in [(&[][..], 60), (&["--keepalive", "7s/2s/3"], 7)] {
        let upstream = peer::echoes();
        let server = Server::proxy(upstream.address, flags);
        let mut client = server.connect();
        exchange(&mut client, b"then silence");
        for leg in both_legs(&server, &client, &upstream) {
            let left = leg.keepalive_in.expect("the keepalive timer runs");
            // The kernel counts from the last byte, which was a moment ago.
            assert!(left <= Duration::from_secs(idle) && left > Duration::from_secs(idle / 2), "{left:?}");
        }
    }
}

#[test]
fn keepalive_can_be_off() {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--keepalive=off"]);
    let mut client = server.connect();
    exchange(&mut client, b"then silence");
    for leg in both_legs(&server, &client, &upstream) {
        assert_eq!(leg.keepalive_in, None);
    }
}

#[test]
fn two_small_writes_before_a_read_are_not_delayed() {
    // Held back for the acknowledgement of the first (RFC 896), each second write would cost 40 ms (TCP_DELACK_MIN).
    const ROUNDS: u32 = 100;
    for way in EACH {
        let upstream = peer::replies_to_pairs();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            client.write_all(b"a").unwrap();
            upstream.await_reached();
            client.write_all(b"b").unwrap();
            assert_eq!(read_exactly(&mut client, 1), b"!");
        }
        assert!(begin.elapsed() < Duration::from_millis(30) * ROUNDS, "{way:?}: {:?}", begin.elapsed());
    }
}

#[test]
fn both_legs_have_the_congestion_control_that_was_asked_for() {
    // Everyone may use reno, and where the system's paces, it is what auto chooses on loopback.
    let system = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    let system = system.trim();
    let auto = if system.starts_with("bbr") { "reno" } else { system };
    for (flags, expected) in
        [(&[][..], system), (&["--congestion=auto"], auto), (&["--congestion", "reno"], "reno")]
    {
        let upstream = peer::echoes();
        let operated = Operated::proxy(upstream.address, flags);
        let mut client = operated.server.connect();
        exchange(&mut client, b"there and back");
        let shown = operated.json(&["show", "1"]).remove(0);
        for leg in ["client_tcp", "upstream_tcp"] {
            assert_eq!(shown[leg]["congestion_control"], expected, "{flags:?}: {shown}");
        }
    }
}

#[test]
fn the_longest_durations_end_nothing_and_the_shortest_end_it_at_once() {
    const OPTIONS: [&str; 7] = [
        "--connect-timeout",
        "--idle-timeout",
        "--half-close-timeout",
        "--stall-timeout",
        "--max-lifetime",
        "--drain-timeout",
        "--busy-poll",
    ];
    let flags = |time| OPTIONS.iter().flat_map(move |option| [*option, time]).collect::<Vec<_>>();
    let upstream = peer::echoes();
    let mut server = Server::proxy(upstream.address, &flags("100years"));
    let mut client = server.connect();
    exchange(&mut client, b"for a hundred years");
    server.signal(Signal::TERM);
    exchange(&mut client, b"and while it drains");
    drop(client);
    assert_eq!(server.await_exit(), 0);

    let server = Server::proxy(upstream.address, &flags("1ms"));
    let mut client = server.connect();
    let end = client.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn a_stall_timeout_beyond_what_the_kernel_counts_fails_no_connection() {
    // The kernel counts such times in an int of milliseconds: 24.8 days.
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--stall-timeout", "25d"]);
    exchange(&mut server.connect(), b"there and back");
}
