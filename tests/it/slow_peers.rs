//! Slow is not stuck: as long as bytes move, however few, no deadline but the lifetime ends a session.

use crate::support::{
    data_path::{THROUGH, Way},
    fake::peer,
    pattern::pattern,
    stream::{End, Received, read_exactly, read_to_end},
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// The deadline in the tests, and as its flag's value.
const DEADLINE: Duration = Duration::from_millis(600);
const VALUE: &str = "600ms";
/// A reader's receive buffer, in bytes, smaller than two of its reads.
const SMALL_BUFFER: usize = 64 << 10;

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
fn a_slow_reader_whose_window_never_holds_a_whole_buffer_is_not_stalled() {
    const STALL: Duration = Duration::from_secs(5);
    let upstream = peer::pushes_without_end();
    let route = Way::Spliced.to(upstream.address, &["--stall-timeout", "5s"]);
    let address = route.server().unwrap().address();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Before it connects: the kernel offers a window of it, and no larger one after.
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut client = TcpStream::from(socket);
    let begin = Instant::now();
    while begin.elapsed() < STALL * 2 {
        read_exactly(&mut client, 2000);
        thread::sleep(Duration::from_millis(100));
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
fn a_slow_reader_gets_all_that_came_before_a_reset_as_long_as_it_takes_some() {
    // Together longer than the program waits for a client that takes nothing.
    const PAUSE: Duration = Duration::from_millis(800);
    let part = pattern(75, 600_000);
    let upstream = peer::resets_in_mid_reply(part.clone());
    let route = Way::Spliced.to(upstream.address, &[]);
    let mut client = route.connect();
    SockRef::from(&client).set_recv_buffer_size(SMALL_BUFFER).unwrap();
    upstream.await_reached();
    upstream.go();
    let mut received = Vec::new();
    while received.len() < part.len() {
        received.extend(read_exactly(&mut client, 60_000));
        thread::sleep(PAUSE);
    }
    assert!(received == part);
    assert_eq!(route.read_to_end(&mut client, "upstream_reset").end, End::Reset);
}
