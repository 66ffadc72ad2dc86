//! DESIGN §8, row by row: what one side does to its connection is what the other side sees, exactly as it would
//! directly. Each scenario runs directly first, as the control of the test itself.

use crate::support::{
    data_path::{EACH, THROUGH, Way},
    fake::{peer, unreachable},
    pattern::pattern,
    proc::SYN_SENT,
    server::Server,
    stream::{End, Received, await_acknowledged, exchange, read_exactly, read_to_end, reset},
    wait::{LIMIT, within},
};
use std::{
    io::Write,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

fn whole(bytes: &[u8]) -> Received {
    Received { bytes: bytes.to_vec(), end: End::Fin }
}

fn cut_off(bytes: &[u8]) -> Received {
    Received { bytes: bytes.to_vec(), end: End::Reset }
}

#[test]
fn a_client_fin_reaches_the_upstream_after_all_bytes_and_the_late_reply_still_arrives() {
    let (request, reply) = (pattern(1, 300_000), pattern(2, 700_000));
    for way in EACH {
        let upstream = peer::replies_after_fin(reply.clone(), Duration::from_secs(1));
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        client.write_all(&request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(route.read_to_end(&mut client, "done") == whole(&reply), "{way:?}: another reply");
        assert!(upstream.await_received() == whole(&request), "{way:?}: another request");
    }
}

#[test]
fn an_upstream_fin_reaches_the_client_after_all_bytes_and_the_upload_goes_on() {
    let (upload, reply) = (pattern(3, 2_000_000), pattern(4, 300_000));
    for way in EACH {
        let upstream = peer::half_closes_first(reply.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        // The client has read the other stream's end before it sends anything.
        assert!(read_to_end(&mut client) == whole(&reply), "{way:?}: another reply");
        client.write_all(&upload).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(upstream.await_received() == whole(&upload), "{way:?}: another upload");
        if let Some(close) = route.await_cause(address, "done") {
            assert_eq!(close["first_closer"], "upstream", "{close}");
        }
    }
}

#[test]
fn an_upstream_reset_in_mid_reply_reaches_the_client_after_the_part_that_came() {
    let part = pattern(5, 200_000);
    for way in EACH {
        let upstream = peer::resets_in_mid_reply(part.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        assert!(read_exactly(&mut client, part.len()) == part, "{way:?}: another reply");
        upstream.go();
        assert_eq!(route.read_to_end(&mut client, "upstream_reset"), cut_off(&[]), "{way:?}");
    }
}

#[test]
fn what_came_before_an_upstream_reset_waits_for_a_client_that_reads_later() {
    for (way, length) in [
        // Directly the client's kernel alone holds what is not read yet; the program's kernel holds more.
        (Way::Direct, 40_000),
        (Way::Spliced, 400_000),
        (Way::Copied, 400_000),
    ] {
        let part = pattern(6, length);
        let upstream = peer::resets_in_mid_reply(part.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        upstream.await_reached();
        upstream.go();
        upstream.await_reached();
        // It reads at first slowly: the program holds the RST back until the bytes are out.
        let mut received = read_exactly(&mut client, 1000);
        thread::sleep(Duration::from_millis(300));
        let rest = route.read_to_end(&mut client, "upstream_reset");
        received.extend_from_slice(&rest.bytes);
        assert!(received == part, "{way:?}: {} of {} bytes", received.len(), part.len());
        assert_eq!(rest.end, End::Reset, "{way:?}");
    }
}

#[test]
fn a_client_reset_reaches_the_upstream_after_the_bytes_that_came() {
    let part = pattern(7, 100_000);
    for way in EACH {
        let upstream = peer::takes_all();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        upstream.await_reached();
        client.write_all(&part).unwrap();
        await_acknowledged(&client);
        reset(client);
        assert!(upstream.await_received() == cut_off(&part), "{way:?}");
        route.await_cause(address, "client_reset");
    }
}

#[test]
fn what_came_before_a_client_reset_waits_for_an_upstream_that_reads_later() {
    for (way, length) in [(Way::Direct, 40_000), (Way::Spliced, 400_000), (Way::Copied, 400_000)] {
        let part = pattern(12, length);
        let upstream = peer::reads_nothing_until_told();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        upstream.await_reached();
        client.write_all(&part).unwrap();
        await_acknowledged(&client);
        reset(client);
        // The upstream pauses: the program holds the RST back until the bytes are out.
        thread::sleep(Duration::from_millis(300));
        upstream.go();
        let received = upstream.await_received();
        assert!(received == cut_off(&part), "{way:?}: {} of {} bytes", received.bytes.len(), part.len());
        route.await_cause(address, "client_reset");
    }
}

#[test]
fn a_client_reset_after_its_fin_reaches_an_upstream_that_is_still_replying() {
    for way in EACH {
        let upstream = peer::pushes_without_end();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        read_exactly(&mut client, 100_000);
        reset(client);
        upstream.await_reached();
        route.await_cause(address, "client_reset");
    }
}

#[test]
fn a_client_reset_ends_an_echo_session_and_leaves_the_others() {
    for way in THROUGH {
        let route = way.echo(&[]);
        let (mut leaving, mut staying) = (route.connect(), route.connect());
        exchange(&mut leaving, b"here");
        let address = leaving.local_addr().unwrap();
        reset(leaving);
        route.await_cause(address, "client_reset");
        exchange(&mut staying, b"still here");
    }
}

#[test]
fn a_reset_as_soon_as_the_upstream_is_reached_is_no_clean_end() {
    for way in EACH {
        let upstream = peer::resets_at_once();
        let route = way.to(upstream.address, &[]);
        for _ in 0..20 {
            let mut client = route.connect();
            assert_eq!(route.read_to_end(&mut client, "upstream_reset"), cut_off(&[]), "{way:?}");
        }
    }
}

#[test]
fn a_word_before_a_reset_at_once_is_heard() {
    // The word and the RST may both be there before the dialler has looked.
    const ROUNDS: usize = 50;
    for way in EACH {
        let upstream = peer::resets_after(vec![b"busy".to_vec(); ROUNDS]);
        let route = way.to(upstream.address, &[]);
        for _ in 0..ROUNDS {
            let mut client = route.connect();
            assert_eq!(route.read_to_end(&mut client, "upstream_reset"), cut_off(b"busy"), "{way:?}");
        }
    }
}

#[test]
fn a_client_that_leaves_during_the_dial_ends_the_dial_at_once() {
    for way in THROUGH {
        let upstream = unreachable::never_accepts();
        let route = way.to(upstream.address, &["--connect-timeout", "20s"]);
        let process = route.server().unwrap().process();
        for sent in [&b""[..], b"a request"] {
            let mut client = route.connect();
            let address = client.local_addr().unwrap();
            within(LIMIT, "the dial begins", || (process.sockets_in(SYN_SENT) == 1).then_some(()));
            client.write_all(sent).unwrap();
            await_acknowledged(&client);
            reset(client);
            let left = Instant::now();
            within(LIMIT, "the dial ends", || (process.sockets_in(SYN_SENT) == 0).then_some(()));
            assert!(left.elapsed() < Duration::from_secs(3), "only after {:?}", left.elapsed());
            route.await_cause(address, "client_reset");
        }
    }
}

#[test]
fn a_client_that_ends_its_stream_during_the_dial_keeps_it_until_the_connect_timeout() {
    // A close looks like the end of one direction, and a client that only listens ends its own at once.
    let upstream = unreachable::never_accepts();
    let server = Server::proxy(upstream.address, &["--connect-timeout", "1500ms"]);
    let began = Instant::now();
    let client = server.connect();
    let address = client.local_addr().unwrap();
    drop(client);
    assert_eq!(server.await_close(address)["cause"], "connect_timeout");
    assert!(began.elapsed() >= Duration::from_millis(1200), "after {:?}", began.elapsed());
}

#[test]
fn a_request_that_ends_during_the_dial_still_gets_its_reply() {
    // Three silent addresses come before the live one, so the dial takes three quarters of a second.
    let live = peer::replies_after_fin(b"reply".to_vec(), Duration::ZERO);
    let port = live.address.port();
    let silent: Vec<_> =
        [2, 3, 4].map(|last| unreachable::never_accepts_on(([127, 0, 0, last], port).into())).into();
    let resolve = format!("upstream.test:{port}:127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.1");
    let server = Server::proxy(format!("upstream.test:{port}"), &["--resolve", &resolve]);
    let mut client = server.connect();
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), whole(b"reply"));
    assert_eq!(live.await_received(), whole(b"request"));
    drop(silent);
}
