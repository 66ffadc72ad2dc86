//! Limits hold. If one is reached, also one of the kernel, the sessions that are live go on.

use crate::support::{
    fake::{peer, unreachable},
    operator::Operated,
    pattern::pattern,
    scrape,
    server::{Launch, Output, Server},
    stream::{End, connect, connect_from, exchange, is_silent, read_exactly, read_to_end, reset},
    wait::{LIMIT, within},
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, Signal, getrlimit, setrlimit},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    thread,
    time::{Duration, Instant},
};
use switchboard::net::listener::{AcceptError, classify};
use tempfile::TempDir;

/// A server with at most 64 open descriptors.
fn start_poor(mode: &str, flags: &[&str]) -> Server {
    let shell = Some("ulimit -n 64; exec \"$0\" \"$@\"");
    Launch { mode, flags, shell, output: Output::Read }.start()
}

#[test]
fn over_the_session_limit_a_connection_waits_its_turn() {
    let server = Server::echo(&["--max-sessions", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    exchange(&mut first, b"1");
    exchange(&mut second, b"2");
    let mut third = server.connect();
    third.write_all(b"3").unwrap();
    assert!(is_silent(&mut third, Duration::from_millis(300)), "a third session is served");
    let opened = || server.events().iter().filter(|event| event["event"] == "open").count();
    within(LIMIT, "both are in the log", || (opened() >= 2).then_some(()));
    assert_eq!(opened(), 2);
    drop(first);
    assert_eq!(read_exactly(&mut third, 1), b"3");
    exchange(&mut second, b"still 2");
}

#[test]
fn the_session_limit_holds_under_a_crowd() {
    const LIMIT_OF_SESSIONS: usize = 5;
    let server = Server::echo(&["--max-sessions", "5"]);
    let address = server.address();
    let crowd: Vec<_> = (0..50)
        .map(|_| thread::spawn(move || (0..4).for_each(|_| exchange(&mut connect(address), b"in and out"))))
        .collect();
    for visitor in crowd {
        visitor.join().unwrap();
    }
    server.await_closes(200);
    let mut alive = 0_usize;
    for event in server.events() {
        match event["event"].as_str() {
            Some("open") => alive += 1,
            Some("close") => alive -= 1,
            _ => {}
        }
        assert!(alive <= LIMIT_OF_SESSIONS, "{alive} sessions at once");
    }
}

#[test]
fn a_source_over_its_limit_is_refused_and_let_in_again_later() {
    let server = Server::echo(&["--max-per-source", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    exchange(&mut first, b"1");
    exchange(&mut second, b"2");
    for _ in 0..5 {
        let received = read_to_end(&mut server.connect());
        assert_eq!((received.bytes.len(), received.end), (0, End::Reset));
    }
    exchange(&mut connect_from([127, 0, 0, 3].into(), server.address()), b"another source");
    let address = first.local_addr().unwrap();
    drop(first);
    server.await_close(address);
    exchange(&mut server.connect(), b"again");
    let refused = server.events().into_iter().filter(|event| event["cause"] == "refused_limit").count();
    assert_eq!(refused, 5);
}

/// The reason for which a server that takes one session a source refuses the second from the address `to`.
fn refusal_of_a_second_session(flags: &[&str], to: IpAddr) -> Value {
    let server = Server::echo(&[&["--listen", ":0", "--max-per-source", "1"], flags].concat());
    let (_, port) = server.addresses[0].rsplit_once(':').unwrap();
    let address = SocketAddr::new(to, port.parse().unwrap());
    let mut first = connect(address);
    exchange(&mut first, b"in");
    let mut second = connect(address);
    assert_eq!(read_to_end(&mut second).end, End::Reset);
    server.await_close(second.local_addr().unwrap())["error"].clone()
}

#[test]
fn a_refusal_names_the_source_which_is_a_prefix_of_ipv6_and_an_address_of_ipv4() {
    // A listener of every interface sees an IPv4 client as a mapped address.
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    assert_eq!(refusal_of_a_second_session(&[], v4), "127.0.0.1 has 1 session already");
    assert_eq!(refusal_of_a_second_session(&["--source-prefix", "8"], v4), "127.0.0.1 has 1 session already");
    // On a machine without IPv6 there is nothing more to show.
    if TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(refusal_of_a_second_session(&[], v6), "::/64 has 1 session already");
        assert_eq!(refusal_of_a_second_session(&["--source-prefix", "128"], v6), "::1 has 1 session already");
    }
}

#[test]
fn two_thousand_connects_at_once_lose_none() {
    const CLIENTS: usize = 2000;
    let wanted = CLIENTS as u64 + 500;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|hard| hard >= 2 * wanted),
        "this test needs {wanted} descriptors at each end"
    );
    let current = limit.current.map(|soft| soft.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }).unwrap();

    let server = Server::echo(&[]);
    // A stopped server accepts nothing: the kernel's backlog alone holds them all.
    server.signal(Signal::STOP);
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.connect()).collect();
    server.signal(Signal::CONT);
    for (number, client) in clients.iter_mut().enumerate() {
        exchange(client, number.to_string().as_bytes());
    }
    drop(clients);
    let closes = server.await_closes(CLIENTS);
    assert!(closes.iter().all(|close| close["cause"] == "done"), "not every session was done");
}

#[test]
fn connections_reset_in_the_backlog_cost_no_pause() {
    let server = Server::echo(&[]);
    server.signal(Signal::STOP);
    (0..500).for_each(|_| reset(server.connect()));
    let mut last = server.connect();
    server.signal(Signal::CONT);
    let begin = Instant::now();
    exchange(&mut last, b"next");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn the_default_session_limit_keeps_the_program_from_running_out_of_descriptors() {
    let server = start_poor("echo", &[]);
    let mut clients: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
    }
    clients.iter().for_each(|client| client.set_nonblocking(true).unwrap());
    // Each that is answered leaves its place to another.
    within(LIMIT, "all are answered", || {
        clients.retain_mut(|client| client.read(&mut [0]).is_err());
        clients.is_empty().then_some(())
    });
    let errors = server.errors.all();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("max-sessions is 1, because the limit is 64 descriptors"), "{errors:?}");
}

/// What the process may use of one processor while it can accept nothing.
const QUIET_SHARE: f64 = 0.1;

fn assert_quiet(server: &Server) {
    const WINDOW: Duration = Duration::from_secs(2);
    let before = server.process().processor_time();
    thread::sleep(WINDOW);
    let used = server.process().processor_time().saturating_sub(before);
    assert!(used <= WINDOW.mul_f64(QUIET_SHARE), "{used:?} of processor time in {WINDOW:?}");
}

#[test]
fn out_of_descriptors_at_accept_the_live_go_on_and_the_others_wait() {
    let server = start_poor("echo", &["--max-sessions", "1000"]);
    let mut clients = server.greeted(1);
    clients.extend((1..100).map(|_| server.connect()));
    server.await_warning("pauses accepting");
    assert_quiet(&server);
    assert!(server.errors.all().len() <= 6, "too many lines: {:?}", server.errors.all());
    // No pipe can be had either: bulk data still crosses.
    for _ in 0..64 {
        exchange(&mut clients[0], &[b'b'; 100_000]);
    }
    let mut waiting = clients.split_off(70);
    drop(clients);
    let relief = Instant::now();
    for client in &mut waiting {
        exchange(client, b"at last");
    }
    assert!(relief.elapsed() < Duration::from_secs(6), "service only {:?} after relief", relief.elapsed());
    exchange(&mut server.connect(), b"and new ones");
}

#[test]
fn out_of_descriptors_every_session_that_begins_is_served_and_the_others_wait() {
    // A session takes two descriptors, and operators have an eighth of all.
    const SESSIONS: usize = 20;
    const OF_OPERATORS: usize = 16;
    let upstream = peer::echoes();
    let port = upstream.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let server = Server::proxy(format!("{host}:{port}"), &["--max-sessions", "1000"]);
        let mut first = server.connect();
        exchange(&mut first, b"in");
        server.process().leave_descriptors(2 * SESSIONS + OF_OPERATORS);
        let mut crowd: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
        crowd.iter_mut().for_each(|client| client.write_all(b"?").unwrap());
        server.await_warning("pauses accepting");
        let answered = |crowd: &mut Vec<TcpStream>| {
            crowd.iter().filter(|client| client.peek(&mut [0]).is_ok_and(|count| count == 1)).count()
        };
        crowd.iter().for_each(|client| client.set_nonblocking(true).unwrap());
        within(LIMIT, host, || (answered(&mut crowd) >= SESSIONS).then_some(()));
        assert_quiet(&server);
        exchange(&mut first, b"still in");
        drop(crowd);
        let relief = Instant::now();
        exchange(&mut server.connect(), b"at last");
        assert!(
            relief.elapsed() < Duration::from_secs(5),
            "{host}: only {:?} after relief",
            relief.elapsed()
        );
        exchange(&mut first, b"and still");
        let close = server.events().into_iter().find(|event| {
            event["event"] == "close" && event["cause"] != "client_reset" && event["cause"] != "done"
        });
        assert_eq!(close, None, "{host}");
    }
}

/// A server with at least so many live sessions answers an operator, a health check and a scraper.
fn assert_operable(operated: &Operated, sessions: usize) {
    let listed = operated.json(&["list"]).len();
    assert!(listed >= sessions, "{listed} sessions");
    let admin = scrape::address(&operated.server);
    assert_eq!(scrape::get(admin, "/healthz").status, 200);
    scrape::scrape(admin);
}

#[test]
fn out_of_descriptors_operators_and_health_checks_are_served_and_sessions_move_bulk() {
    // More than the descriptors that are for operators: each of them is used again.
    const LOOKS: usize = 20;
    // One of 8 of 100.
    const OF_OPERATORS: Range<u32> = 88..100;
    let upstream = peer::echoes();
    for (mode, threads) in [("proxy", "1"), ("proxy", "2"), ("echo", "1"), ("echo", "2")] {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("control");
        let (upstream, control) = (upstream.address.to_string(), socket.to_str().unwrap());
        let beside = ["--control", control, "--metrics", "0", "--threads", threads];
        let to: &[&str] = if mode == "proxy" { &["--upstream", &upstream] } else { &[] };
        let flags = [&["--max-sessions", "5000"], to, &beside].concat();
        let shell = Some("ulimit -n 100; exec \"$0\" \"$@\"");
        let server = Launch { mode, flags: &flags, shell, output: Output::Read }.start();
        let operated = Operated::of(server, socket);
        let mut first = operated.server.connect();
        exchange(&mut first, b"in");
        let mut crowd: Vec<TcpStream> = (0..120).map(|_| operated.server.connect()).collect();
        operated.server.await_warning("pauses accepting");
        for look in 0..LOOKS {
            assert_operable(&operated, 20);
            exchange(&mut first, &pattern(look as u64, 1_000_000));
            // Another session takes its descriptors.
            drop(crowd.remove(look));
            crowd.push(operated.server.connect());
        }
        let process = operated.server.process();
        within(LIMIT, "sessions have none of them", || {
            OF_OPERATORS.into_iter().all(|number| process.descriptor(number).is_none()).then_some(())
        });
        drop(crowd);
        exchange(&mut operated.server.connect(), b"at last");
        exchange(&mut first, b"to the end");
    }
}

#[test]
fn out_of_descriptors_a_dial_goes_on_to_the_next_address_with_the_one_that_it_has() {
    let upstream = peer::echoes();
    let port = upstream.address.port();
    let _silent = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
    let resolve = format!("upstream.test:{port}:127.0.0.2,127.0.0.2,127.0.0.1");
    let server = Server::proxy(format!("upstream.test:{port}"), &["--resolve", &resolve]);
    // The listener has made the socket of the first attempt already.
    server.process().leave_descriptors(1);
    exchange(&mut server.connect(), b"hello");
}

#[test]
fn out_of_descriptors_spare_pipes_are_given_back() {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--max-sessions", "1000"]);
    let pipes = || server.process().descriptors().iter().filter(|link| link.starts_with("pipe:")).count();
    let fresh = pipes();
    let mut first = server.connect();
    exchange(&mut first, &pattern(1, 1_000_000));
    let with_spare = pipes();
    server.process().leave_descriptors(3);
    let _crowd: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    server.await_warning("pauses accepting");
    assert!(with_spare > fresh, "no pipe was used");
    // One that was in use at that moment is given back at the next try.
    within(LIMIT, "pipes are given back", || (pipes() == fresh).then_some(()));
}

#[test]
fn a_session_limit_beyond_the_descriptors_is_warned_of_at_start() {
    let server =
        start_poor("proxy", &["--max-sessions", "1000", "--upstream", "127.0.0.1:1", "--threads", "1"]);
    let warning = "max-sessions 1000 needs 2096 descriptors, but the limit is 64 (ulimit -n): new connections may wait for descriptors; \
                   it allows 1, raise it with 'ulimit -n 2096', or LimitNOFILE=2096 of a service";
    assert_eq!(server.errors.all()[0], warning);
    let server = Server::echo(&["--max-sessions", "1000"]);
    assert_eq!(server.errors.all().len(), 1, "{:?}", server.errors.all());
}

#[test]
fn out_of_descriptors_a_reset_still_waits_for_a_client_that_reads_later() {
    let part = pattern(72, 400_000);
    let upstream = peer::resets_in_mid_reply(part.clone());
    let flags = ["--max-sessions", "1000", "--upstream", &upstream.address.to_string()];
    let server = start_poor("proxy", &flags);
    let mut client = server.connect();
    upstream.await_reached();
    let _crowd: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    server.await_warning("pauses accepting");
    upstream.go();
    let mut received = read_exactly(&mut client, 1000);
    // Another connection takes the descriptor of the upstream's, and the kernel can be asked no more.
    thread::sleep(Duration::from_secs(2));
    let rest = read_to_end(&mut client);
    received.extend_from_slice(&rest.bytes);
    assert!(received == part, "{} of {} bytes", received.len(), part.len());
    assert_eq!(rest.end, End::Reset);
}

#[test]
fn every_shortage_pauses_accepting_and_no_error_of_one_connection_does() {
    use AcceptError::{Connection, Fatal, Resources};
    for (meaning, errors) in [
        (Resources, &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC][..]),
        (Connection, &[Errno::CONNABORTED, Errno::INTR, Errno::PERM, Errno::NETDOWN, Errno::HOSTUNREACH]),
        (Fatal, &[Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP]),
    ] {
        for error in errors {
            assert_eq!(classify(&(*error).into()), meaning, "{error:?}");
        }
    }
}
