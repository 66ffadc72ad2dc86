//! A client that only listens ends its stream at once. Its dial goes on as for any other, for as long as there is room.

use crate::support::{
    fake::unreachable,
    proc::SYN_SENT,
    server::Server,
    stream::{End, read_to_end, reset},
    wait::{LIMIT, within},
};
use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How long the dial of a client that may have left is kept, whatever other sessions need.
const DIAL_KEPT: Duration = Duration::from_millis(3500);

/// A client that ended its stream as soon as its dial had begun.
fn listener_of(server: &Server) -> (TcpStream, SocketAddr) {
    let client = server.connect();
    client.shutdown(Shutdown::Write).unwrap();
    within(LIMIT, "the dial begins", || (server.process().sockets_in(SYN_SENT) == 1).then_some(()));
    let address = client.local_addr().unwrap();
    (client, address)
}

#[test]
fn a_client_that_only_listens_hears_an_upstream_that_answers_the_third_request() {
    // The requests at 0 s and 1 s find no room; the one at 3 s does.
    let upstream = unreachable::never_accepts();
    let server = Server::proxy(upstream.address, &[]);
    let (mut client, _) = listener_of(&server);
    thread::sleep(Duration::from_millis(1500));
    upstream.makes_room();
    let mut far = upstream.accepts();
    // Its banner takes a second.
    thread::sleep(Duration::from_secs(1));
    far.write_all(b"banner").unwrap();
    assert_eq!(read_to_end(&mut far).end, End::Fin);
    drop(far);
    let received = read_to_end(&mut client);
    assert_eq!((&received.bytes[..], received.end), (&b"banner"[..], End::Fin));
}

#[test]
fn with_room_for_others_the_dial_goes_on_to_its_own_deadline() {
    let upstream = unreachable::never_accepts();
    let server = Server::proxy(upstream.address, &["--connect-timeout", "5s"]);
    let begin = Instant::now();
    let (mut client, address) = listener_of(&server);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    assert!(begin.elapsed() >= Duration::from_secs(5), "after {:?}", begin.elapsed());
    assert_eq!(server.await_close(address)["cause"], "connect_timeout");
}

#[test]
fn without_a_place_for_another_session_the_dial_is_given_up_after_a_while() {
    let upstream = unreachable::never_accepts();
    let server = Server::proxy(upstream.address, &["--connect-timeout", "20s", "--max-sessions", "1"]);
    let begin = Instant::now();
    let (mut client, address) = listener_of(&server);
    let waiting = server.connect();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    let elapsed = begin.elapsed();
    assert!(elapsed >= DIAL_KEPT && elapsed < Duration::from_secs(10), "after {elapsed:?}");
    assert_eq!(server.await_close(address)["cause"], "client_reset");
    server.await_event("open", |open| open["client"] == waiting.local_addr().unwrap().to_string());
}

#[test]
fn a_client_that_listened_and_resets_ends_its_dial_at_once() {
    let upstream = unreachable::never_accepts();
    let server = Server::proxy(upstream.address, &["--connect-timeout", "20s"]);
    let (client, address) = listener_of(&server);
    reset(client);
    let left = Instant::now();
    assert_eq!(server.await_close(address)["cause"], "client_reset");
    assert!(left.elapsed() < DIAL_KEPT, "only after {:?}", left.elapsed());
}
