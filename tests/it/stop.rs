//! Stopping: the listener closes first, the live finish, the deadline is kept, and the exit code tells which it was.

use crate::support::{
    fake::{peer, unreachable},
    pattern::pattern,
    proc,
    server::{Launch, Output, Server},
    stream::{End, Received, connect, exchange, read_exactly, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// What a busy machine may add to what is promised.
const SLACK: Duration = Duration::from_secs(3);

fn await_refused(address: SocketAddr) {
    within(Duration::from_secs(2), "new connections are refused", || {
        let error = TcpStream::connect(address).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

#[test]
fn without_sessions_either_signal_ends_it_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::echo(&[]);
        let begin = Instant::now();
        server.signal(signal);
        assert_eq!(server.await_exit(), 0);
        assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
    }
}

#[test]
fn a_drain_refuses_new_connections_and_lets_the_live_finish() {
    let upstream = peer::echoes();
    let mut server = Server::proxy(upstream.address, &[]);
    let mut client = server.connect();
    let address = client.local_addr().unwrap();
    exchange(&mut client, b"before");
    server.signal(Signal::TERM);
    await_refused(server.address());
    let sent = pattern(31, 4 << 20);
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn({
        let sent = sent.clone();
        move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        }
    });
    let received = read_to_end(&mut client);
    let finished = Instant::now();
    writing.join().unwrap();
    assert!(received == Received { bytes: sent, end: End::Fin }, "{} bytes", received.bytes.len());
    assert_eq!(server.await_exit(), 0);
    assert!(finished.elapsed() < SLACK, "it ended only {:?} after the last session", finished.elapsed());
    assert_eq!(server.await_close(address)["cause"], "done");
}

#[test]
fn what_the_kernel_accepted_before_the_signal_is_served() {
    // Which of the two the program sees first is left to the kernel: both have to happen.
    const ROUNDS: usize = 10;
    for round in 0..ROUNDS {
        let mut server = Server::echo(&[]);
        server.signal(Signal::STOP);
        let mut clients: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
        server.signal(Signal::TERM);
        server.signal(Signal::CONT);
        for client in &mut clients {
            client.write_all(b"in time").unwrap();
            assert_eq!(read_exactly(client, 7), b"in time", "round {round}");
        }
        drop(clients);
        assert_eq!(server.await_exit(), 0);
    }
}

#[test]
fn at_the_drain_deadline_the_rest_is_cut() {
    let upstream = peer::takes_all();
    let mut server = Server::proxy(upstream.address, &["--drain-timeout", "700ms"]);
    let mut client = server.connect();
    upstream.await_reached();
    let begin = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    assert!(begin.elapsed() >= Duration::from_millis(700), "cut after {:?}", begin.elapsed());
    assert_eq!(upstream.await_received().end, End::Reset);
    assert_eq!(server.await_exit(), 3);
    assert!(begin.elapsed() < Duration::from_millis(700) + SLACK, "{:?}", begin.elapsed());
    assert_eq!(server.await_closes(1)[0]["cause"], "drain");
}

#[test]
fn a_second_signal_cuts_at_once() {
    for (first, second) in
        [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)]
    {
        let mut server = Server::echo(&["--drain-timeout", "60s"]);
        let mut client = server.connect();
        let address = client.local_addr().unwrap();
        exchange(&mut client, b"alive");
        server.signal(first);
        await_refused(server.address());
        exchange(&mut client, b"still alive");
        let begin = Instant::now();
        server.signal(second);
        assert_eq!(read_to_end(&mut client).end, End::Reset);
        assert_eq!(server.await_exit(), 3);
        assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
        assert_eq!(server.await_close(address)["cause"], "drain");
    }
}

#[test]
fn a_drain_is_told_also_where_no_session_is_left() {
    let mut server = Server::echo(&[]);
    assert_eq!(server.stop(), 0);
    server.await_warning("drained");
    assert!(
        !server.errors.all().iter().any(|line| line.starts_with("draining")),
        "{:?}",
        server.errors.all()
    );
}

#[test]
fn a_drain_says_how_many_it_waits_for_and_how_long() {
    let mut server = Server::echo(&["--drain-timeout", "60s"]);
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    server.signal(Signal::TERM);
    server.await_warning("draining: 2 sessions, up to 1m00s; again to cut them");
    drop(clients);
    assert_eq!(server.await_exit(), 0);
    server.await_warning("drained");
}

#[test]
fn a_drain_is_counted_down() {
    let mut server = Server::echo(&["--drain-timeout", "6s"]);
    let mut client = server.connect();
    exchange(&mut client, b"in");
    server.signal(Signal::TERM);
    server.await_warning("draining: 1 session, up to 6 s; again to cut them");
    server.await_warning("draining: 1 session, 1 s left; again to cut them");
    assert_eq!(server.await_exit(), 3);
    let client = client.local_addr().unwrap();
    server.await_warning(&format!("cut 1 session at the drain deadline: #1 of {client}"));
}

#[test]
fn the_second_signal_says_what_it_cut() {
    let mut server = Server::echo(&["--drain-timeout", "off"]);
    let mut clients = server.greeted(7);
    server.signal(Signal::INT);
    server.await_warning("draining: 7 sessions, without a limit; again to cut them");
    // What finishes by itself is not cut.
    drop(clients.remove(0));
    server.await_closes(1);
    server.signal(Signal::INT);
    assert_eq!(server.await_exit(), 3);
    let line = server.await_warning("cut 6 sessions by the second signal: #2 of 127.0.0.1:");
    assert!(line.ends_with(", and 1 more"), "{line}");
}

#[test]
fn a_dial_that_gets_no_answer_does_not_outlive_the_drain() {
    let upstream = unreachable::never_accepts();
    let flags = ["--drain-timeout", "300ms", "--connect-timeout", "60s"];
    let mut server = Server::proxy(upstream.address, &flags);
    let mut client = server.connect();
    server.await_event("open", |_| true);
    assert_eq!(server.stop(), 3);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    assert_eq!(server.await_closes(1)[0]["cause"], "drain");
}

#[test]
fn a_thousand_sessions_are_cut_inside_the_bound() {
    const SESSIONS: usize = 1000;
    let mut server = Server::echo(&["--drain-timeout", "500ms"]);
    let mut clients: Vec<TcpStream> = (0..SESSIONS).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    let begin = Instant::now();
    assert_eq!(server.stop(), 3);
    assert!(begin.elapsed() < Duration::from_millis(500) + SLACK, "{:?}", begin.elapsed());
    assert!(clients.iter_mut().all(|client| read_to_end(client).end == End::Reset));
    assert!(server.await_closes(SESSIONS).iter().all(|close| close["cause"] == "drain"));
}

/// TCP state 6 in `/proc/net/tcp`: the side that ended first waits for stray segments.
const TIME_WAIT: u8 = 6;

#[test]
fn a_restart_binds_the_same_port_at_once() {
    let upstream = peer::speaks_and_closes(b"bye".to_vec());
    let mut server = Server::proxy(upstream.address, &[]);
    let address = server.address();
    // The program ends first, so the connection stays behind in TIME_WAIT at its port.
    let mut client = server.connect();
    let client_address = client.local_addr().unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    drop(client);
    server.await_close(client_address);
    assert_eq!(server.stop(), 0);
    let behind = |socket: &proc::Socket| socket.state == TIME_WAIT && socket.joins(address, client_address);
    assert!(proc::sockets().iter().any(behind), "nothing is left in TIME_WAIT: the test shows nothing");
    let again = Server::proxy(upstream.address, &["--listen", &address.to_string()]);
    assert_eq!(again.address(), address);
    assert_eq!(read_exactly(&mut again.connect(), 3), b"bye");
}

/// Serves more sessions than a pipe has room for event lines, then stops.
fn serves_and_stops(mut server: Server) {
    for _ in 0..20 {
        exchange(&mut server.connect(), &[b'x'; 20_000]);
    }
    let mut last = connect(server.address());
    exchange(&mut last, b"still serving");
    drop(last);
    let begin = Instant::now();
    assert_eq!(server.stop(), 0);
    assert!(begin.elapsed() < SLACK + SLACK, "{:?}", begin.elapsed());
}

#[test]
fn an_unread_standard_output_stops_nothing() {
    for output in [Output::Unread, Output::Broken] {
        for log in ["json", "text"] {
            let flags = ["--dump", "text", "--log", log];
            serves_and_stops(Launch { mode: "echo", flags: &flags, shell: None, output }.start());
        }
    }
}

#[test]
fn a_closed_standard_output_stops_nothing() {
    let shell = Some("exec \"$0\" \"$@\" >&-");
    serves_and_stops(Launch { mode: "echo", flags: &["--dump=text"], shell, output: Output::Broken }.start());
}

#[test]
fn the_last_events_are_written_before_the_end() {
    let mut server = Server::echo(&[]);
    let clients: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    clients.into_iter().for_each(|mut client| exchange(&mut client, b"in"));
    assert_eq!(server.stop(), 0);
    // The process is gone, so what the pipe holds is all there will be.
    within(LIMIT, "every session's open and close", || (server.lines.all().len() == 100).then_some(()));
}
