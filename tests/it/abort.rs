//! One direction fails while the other still delivers, and urgent bytes: neither loses, stalls or changes anything else.
//! Each scenario runs directly first, as the control of the test itself.

use crate::support::{
    data_path::{Destination, EACH, THROUGH},
    fake::peer,
    pattern::pattern,
    stream::{
        End, Received, await_acknowledged, bounded, read_to_end, reset, write_until_blocked,
        write_until_refused,
    },
};
use rustix::process::Signal;
use socket2::SockRef;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A session whose one peer is gone may stand still for so long, and once more if what that peer sent last stands still.
const LAST_DELIVERY: Duration = Duration::from_secs(5);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(8);

fn whole(bytes: &[u8]) -> Received {
    Received { bytes: bytes.to_vec(), end: End::Fin }
}

/// Uploads without end on a thread; its result is the error that ended the upload.
fn upload_without_end(client: &TcpStream) -> JoinHandle<ErrorKind> {
    let mut writer = client.try_clone().unwrap();
    thread::spawn(move || write_until_refused(&mut writer))
}

/// What the client saw of an upload and its early reply, over and done.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    reply: Vec<u8>,
    /// A RST came before the reply's end. The kernel tells it once, to the one of reader and writer that asks first;
    /// behind a FIN, the writer is told of a broken pipe instead (RFC 9293 §3.10.7.4, CLOSE-WAIT).
    cut_off: bool,
}

fn outcome(route: &Destination, client: &mut TcpStream, upload: JoinHandle<ErrorKind>) -> Outcome {
    let received = route.read_to_end(client, "upstream_reset");
    let error = upload.join().unwrap();
    assert!(
        matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "the upload ended with {error}"
    );
    let cut_off = received.end == End::Reset || error == ErrorKind::ConnectionReset;
    Outcome { reply: received.bytes, cut_off }
}

#[test]
fn an_early_reply_during_an_endless_upload_arrives_whole_and_then_the_reset() {
    let reply = pattern(8, 60_000);
    for way in EACH {
        let upstream = peer::replies_early_and_closes(reply.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let upload = upload_without_end(&client);
        upstream.await_reached();
        upstream.go();
        let outcome = outcome(&route, &mut client, upload);
        assert!(outcome.reply == reply, "{way:?}: {} of {} bytes", outcome.reply.len(), reply.len());
        assert!(outcome.cut_off, "{way:?}: it looks complete");
    }
}

#[test]
fn a_refused_upload_discards_nothing_of_a_reply_that_the_program_has_not_read_yet() {
    let reply = pattern(14, 60_000);
    for (way, half_close) in EACH.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let route = way.to(listener.local_addr().unwrap(), &[]);
        let mut client = route.connect();
        let upload = upload_without_end(&client);
        let mut upstream = bounded(listener.accept().unwrap().0);
        upstream.read_exact(&mut [0; 1000]).unwrap();
        // A stopped program finds it all at once when it goes on: the reply, its end, and a RST that refuses the upload.
        let tell = |signal| route.server().into_iter().for_each(|server| server.signal(signal));
        tell(Signal::STOP);
        upstream.write_all(&reply).unwrap();
        if half_close {
            upstream.shutdown(Shutdown::Write).unwrap();
        }
        await_acknowledged(&upstream);
        drop(upstream);
        tell(Signal::CONT);
        let outcome = outcome(&route, &mut client, upload);
        let wanted = Outcome { reply: reply.clone(), cut_off: !half_close };
        assert!(outcome == wanted, "{way:?}: {} bytes, cut off: {}", outcome.reply.len(), outcome.cut_off);
    }
}

#[test]
fn a_reset_that_meets_the_upload_first_is_still_no_clean_end() {
    // The kernel tells of the RST once: in the rounds where it tells the program's write, its read sees an end only.
    const ROUNDS: usize = 15;
    let reply = pattern(13, 5000);
    for way in EACH {
        let upstream = peer::resets_in_mid_upload(reply.clone(), 1_000_000);
        let route = way.to(upstream.address, &[]);
        for _ in 0..ROUNDS {
            let mut client = route.connect();
            let upload = upload_without_end(&client);
            let outcome = outcome(&route, &mut client, upload);
            assert_eq!(outcome, Outcome { reply: reply.clone(), cut_off: true }, "{way:?}");
        }
    }
}

#[test]
fn an_early_reply_that_ends_cleanly_does_so_although_the_upload_is_refused_then() {
    let reply = pattern(9, 60_000);
    for way in EACH {
        let upstream = peer::replies_early_and_half_closes(reply.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let upload = upload_without_end(&client);
        upstream.await_reached();
        upstream.go();
        let outcome = outcome(&route, &mut client, upload);
        assert_eq!(outcome, Outcome { reply: reply.clone(), cut_off: false }, "{way:?}");
    }
}

#[test]
fn bytes_for_an_upstream_that_has_closed_meet_a_reset_behind_its_clean_end() {
    for way in EACH {
        let upstream = peer::speaks_and_closes(b"bye".to_vec());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        assert_eq!(read_to_end(&mut client), whole(b"bye"), "{way:?}");
        assert_eq!(write_until_refused(&mut client), ErrorKind::BrokenPipe, "{way:?}");
        route.await_cause(address, "upstream_reset");
    }
}

#[test]
fn a_session_does_not_outlive_a_peer_for_long_if_the_other_takes_nothing() {
    const NO_MORE: Duration = Duration::from_millis(500);
    let mut left = Vec::new();
    for (way, client_leaves) in THROUGH.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let route = way.to(listener.local_addr().unwrap(), &[]);
        let (client, upstream) = (route.connect(), bounded(listener.accept().unwrap().0));
        let address = client.local_addr().unwrap();
        let (mut leaves, stays) = if client_leaves { (client, upstream) } else { (upstream, client) };
        write_until_blocked(&mut leaves, NO_MORE);
        reset(leaves);
        let cause = if client_leaves { "client_reset" } else { "upstream_reset" };
        left.push((route, address, cause, Instant::now(), stays));
    }
    for (route, address, cause, since, _stays) in left {
        route.await_cause(address, cause);
        let outlived = since.elapsed();
        assert!(outlived < 2 * LAST_DELIVERY + SLACK, "{cause}: {outlived:?}");
    }
}

/// Processor time that a session may use while nothing flows, of a window of a second.
const QUIET: Duration = Duration::from_millis(100);

fn assert_no_spin(route: &Destination) {
    if let Some(server) = route.server() {
        let before = server.process().processor_time();
        thread::sleep(Duration::from_secs(1));
        let used = server.process().processor_time().saturating_sub(before);
        assert!(used <= QUIET, "{used:?} of processor time in a second without traffic");
    }
}

#[test]
fn an_urgent_byte_from_the_upstream_neither_stalls_nor_spins_nor_changes_the_rest() {
    // Large enough that the program splices by the time the urgent byte comes.
    let (before, after) = (pattern(10, 3_000_000), pattern(11, 3_000_000));
    for way in EACH {
        let upstream = peer::sends_an_urgent_byte(before.clone(), after.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let received = read_to_end(&mut client);
        assert_eq!((received.bytes.len(), received.end), (before.len() + after.len(), End::Fin), "{way:?}");
        assert!(received.bytes == [&before[..], &after[..]].concat(), "{way:?}: other bytes");
        assert_no_spin(&route);
        client.write_all(b"on").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.await_received(), whole(b"on"), "{way:?}");
    }
}

#[test]
fn an_urgent_byte_that_comes_last_does_not_hide_what_follows() {
    for way in EACH {
        let upstream = peer::takes_all();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        client.write_all(b"before").unwrap();
        SockRef::from(&client).send_out_of_band(b"!").unwrap();
        assert_no_spin(&route);
        client.write_all(b"after").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.await_received(), whole(b"beforeafter"), "{way:?}");
    }
}
