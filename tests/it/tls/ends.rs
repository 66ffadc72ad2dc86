//! How streams end that speak TLS on a leg: as without it, and a close_notify that is missing is told.

use super::{Between, WIRES};
use crate::support::{
    fake::{Checkpoint, unreachable},
    pattern::pattern,
    stream::{End, Received, await_acknowledged, exchange, read_exactly, reset},
    tls::{Authority, Wire, WireEnd, WireStream},
};
use rustix::process::Signal;
use socket2::SockRef;
use std::{io::Write, net::Shutdown, thread, time::Duration};

/// Several records, and more than one buffer.
const SEVERAL_RECORDS: usize = 300_000;

#[test]
fn a_client_that_ends_first_still_gets_the_late_reply() {
    let authority = Authority::new();
    let reply = pattern(2, SEVERAL_RECORDS);
    for wires in WIRES {
        let sent = reply.clone();
        let upstream = authority.fake(wires.1, move |mut stream, _| {
            let received = stream.receive();
            thread::sleep(Duration::from_millis(100));
            stream.write_all(&sent).unwrap();
            stream.finish();
            received
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let question = pattern(1, SEVERAL_RECORDS);
        client.write_all(&question).unwrap();
        client.finish();
        assert_eq!(upstream.await_received(), Received { bytes: question, end: End::Fin }, "{wires:?}");
        let (bytes, end) = client.read_to_end();
        assert!(bytes == reply, "{wires:?}: {} bytes", bytes.len());
        assert_eq!(end, WireEnd::Clean, "{wires:?}");
        assert_eq!(between.await_cause(client.address(), "done")["first_closer"], "client");
    }
}

#[test]
fn an_upload_goes_on_after_the_upstream_has_ended() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            stream.write_all(b"enough").unwrap();
            stream.finish();
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        assert_eq!(client.read_to_end(), (b"enough".to_vec(), WireEnd::Clean), "{wires:?}");
        let upload = pattern(3, SEVERAL_RECORDS);
        client.write_all(&upload).unwrap();
        client.finish();
        assert_eq!(upstream.await_received(), Received { bytes: upload, end: End::Fin }, "{wires:?}");
        assert_eq!(between.await_cause(client.address(), "done")["first_closer"], "upstream");
    }
}

#[test]
fn an_upstream_that_has_closed_altogether_is_done_when_the_client_is() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            let question = read_exactly(&mut stream, 8);
            stream.write_all(b"answer").unwrap();
            stream.finish();
            Received { bytes: question, end: End::Fin }
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        for _ in 0..20 {
            let mut client = between.connect();
            client.write_all(b"question").unwrap();
            assert_eq!(client.read_to_end(), (b"answer".to_vec(), WireEnd::Clean), "{wires:?}");
            upstream.await_received();
            client.finish();
            let address = client.address();
            drop(client);
            assert_eq!(between.await_cause(address, "done")["first_closer"], "upstream");
        }
    }
}

#[test]
fn a_client_without_close_notify_is_truncated_and_the_upstream_is_reset_after_its_bytes() {
    let authority = Authority::new();
    for wires in WIRES.into_iter().filter(|(near, _)| near.is_tls()) {
        let upstream = authority.fake(wires.1, |mut stream, _| stream.receive());
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let upload = pattern(4, SEVERAL_RECORDS);
        client.write_all(&upload).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.await_received(), Received { bytes: upload, end: End::Reset }, "{wires:?}");
        between.await_cause(client.address(), "client_truncated");
    }
}

#[test]
fn an_upstream_without_close_notify_is_truncated_and_the_client_is_reset_after_its_bytes() {
    let authority = Authority::new();
    for wires in WIRES.into_iter().filter(|(_, far)| far.is_tls()) {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            stream.write_all(&pattern(5, SEVERAL_RECORDS)).unwrap();
            stream.stream.shutdown(Shutdown::Write).unwrap();
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let (bytes, end) = client.read_to_end();
        assert!(bytes == pattern(5, SEVERAL_RECORDS), "{wires:?}: {} bytes", bytes.len());
        assert_eq!(end, WireEnd::Reset, "{wires:?}");
        assert_eq!(upstream.await_received().end, End::Reset);
        between.await_cause(client.address(), "upstream_truncated");
    }
}

#[test]
fn the_reset_of_an_upstream_reaches_the_client_after_every_byte_and_without_close_notify() {
    let authority = Authority::new();
    for wires in WIRES {
        let part = pattern(6, 200_000);
        let sent = part.clone();
        let upstream = authority.fake(wires.1, move |mut stream, checkpoint| {
            stream.write_all(&sent).unwrap();
            await_acknowledged(&stream.stream);
            checkpoint.reach();
            reset(stream.stream);
            Received { bytes: Vec::new(), end: End::Reset }
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        upstream.await_reached();
        thread::sleep(Duration::from_millis(100));
        let (bytes, end) = client.read_to_end();
        assert!(bytes == part, "{wires:?}: {} bytes", bytes.len());
        assert_eq!(end, WireEnd::Reset, "{wires:?}");
        between.await_cause(client.address(), "upstream_reset");
    }
}

#[test]
fn the_reset_of_a_client_reaches_the_upstream_after_every_byte() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, |mut stream, checkpoint| {
            checkpoint.reach();
            checkpoint.wait();
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let upload = pattern(7, 200_000);
        client.write_all(&upload).unwrap();
        upstream.await_reached();
        await_acknowledged(&client.stream);
        let address = client.address();
        reset(client.stream);
        upstream.go();
        assert_eq!(upstream.await_received(), Received { bytes: upload, end: End::Reset }, "{wires:?}");
        between.await_cause(address, "client_reset");
    }
}

/// Reads to the end, and echoes nothing; its point: the connection stands.
fn takes_all(mut stream: WireStream, checkpoint: &Checkpoint) -> Received {
    stream.write_all(b"hello").unwrap();
    checkpoint.reach();
    stream.receive()
}

#[test]
fn a_deadline_and_a_cut_reset_both_peers() {
    let authority = &Authority::new();
    let causes = [
        ("idle_timeout", &["--idle-timeout", "2s"][..]),
        ("lifetime", &["--max-lifetime", "2s"]),
        ("cut", &[]),
    ];
    let is_reset = |cause: &str, flags: &[&str], wires: (Wire, Wire)| {
        let upstream = authority.fake(wires.1, takes_all);
        let between = Between::start(authority, wires, upstream.address, flags);
        let mut client = between.connect();
        client.write_all(b"there").unwrap();
        assert_eq!(read_exactly(&mut client, 5), b"hello");
        if cause == "cut" {
            upstream.await_reached();
            assert_eq!(between.operated.ctl(&["cut", "1"]).code, 0);
        }
        assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Reset), "{cause} {wires:?}");
        assert_eq!(upstream.await_received().end, End::Reset, "{cause} {wires:?}");
        between.await_cause(client.address(), cause);
    };
    for (cause, flags) in causes {
        thread::scope(|scope| {
            WIRES.iter().for_each(|wires| drop(scope.spawn(|| is_reset(cause, flags, *wires))))
        });
    }
}

#[test]
fn a_cut_by_fin_ends_both_streams_with_close_notify() {
    let authority = Authority::new();
    for wires in WIRES {
        let upstream = authority.fake(wires.1, takes_all);
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        client.write_all(b"there").unwrap();
        assert_eq!(read_exactly(&mut client, 5), b"hello");
        assert_eq!(between.operated.ctl(&["cut", "1", "--fin"]).code, 0);
        assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean), "{wires:?}");
        let there = Received { bytes: b"there".to_vec(), end: End::Fin };
        assert_eq!(upstream.await_received(), there, "{wires:?}");
        between.await_cause(client.address(), "cut");
    }
}

#[test]
fn a_cut_by_fin_ends_streams_whose_senders_go_on() {
    let authority = Authority::new();
    let send_on = |stream: &mut WireStream| {
        let mut writer = stream.try_clone();
        thread::spawn(move || while writer.write_all(&[b'm'; 16_000]).is_ok() {})
    };
    for wires in [(Wire::Tcp, Wire::Tcp), (Wire::Tls13, Wire::Tcp), (Wire::Tcp, Wire::Tls12)] {
        let upstream = authority.fake(wires.1, move |mut stream, checkpoint| {
            let writing = send_on(&mut stream);
            read_exactly(&mut stream, 1_000_000);
            checkpoint.reach();
            let received = stream.receive();
            writing.join().unwrap();
            received
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        let writing = send_on(&mut client);
        read_exactly(&mut client, 1_000_000);
        upstream.await_reached();
        assert_eq!(between.operated.ctl(&["cut", "1", "--fin"]).code, 0);
        let end = client.read_each(|_| {});
        assert!(matches!(end, WireEnd::Clean | WireEnd::CleanThenReset), "{wires:?}: {end:?}");
        assert_eq!(upstream.await_received().end, End::Fin, "{wires:?}");
        writing.join().unwrap();
        between.await_cause(client.address(), "cut");
    }
}

#[test]
fn a_drain_lets_sessions_go_on_and_resets_what_is_left() {
    let authority = Authority::new();
    for wires in [(Wire::Tls13, Wire::Tcp), (Wire::Tcp, Wire::Tls12)] {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            let received = read_exactly(&mut stream, 5);
            stream.write_all(&received).unwrap();
            stream.receive()
        });
        let mut between = Between::start(&authority, wires, upstream.address, &["--drain-timeout", "3s"]);
        let mut client = between.connect();
        between.operated.server.await_event("connect", |_| true);
        between.operated.server.signal(Signal::TERM);
        between.operated.server.await_warning("draining");
        exchange(&mut client, b"hello");
        assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Reset), "{wires:?}");
        assert_eq!(upstream.await_received().end, End::Reset);
        between.await_cause(client.address(), "drain");
        between.operated.server.await_exit();
    }
}

#[test]
fn a_peer_that_goes_on_after_its_close_notify_loses_nothing_of_what_it_is_sent() {
    /// More than the kernels hold while the receiver has little room.
    const SENT: usize = 4_000_000;
    /// RFC 8446 §6.1: what comes after close_notify is ignored.
    fn goes_on(stream: &mut WireStream) {
        // What it is sent waits in the program's kernel.
        SockRef::from(&stream.stream).set_recv_buffer_size(64 * 1024).unwrap();
        stream.with_tls(|tls| tls.send_close_notify()).unwrap();
        stream.stream.write_all(&[0; 5000]).unwrap();
        stream.stream.shutdown(Shutdown::Write).unwrap();
    }
    let authority = Authority::new();
    for wires in WIRES {
        let is_client = wires.0.is_tls();
        let upstream = authority.fake(wires.1, move |mut stream, _| {
            if is_client {
                stream.write_all(&pattern(9, SENT)).unwrap();
                stream.finish();
            } else {
                goes_on(&mut stream);
                thread::sleep(Duration::from_millis(300));
            }
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        if is_client {
            goes_on(&mut client);
            thread::sleep(Duration::from_millis(300));
        } else {
            client.write_all(&pattern(9, SENT)).unwrap();
            client.finish();
        }
        let (bytes, end) = client.read_to_end();
        assert!(matches!(end, WireEnd::Clean | WireEnd::CleanThenReset), "{wires:?}: {end:?}");
        let received = upstream.await_received();
        let sent = if is_client { bytes } else { received.bytes };
        assert!(sent == pattern(9, SENT), "{wires:?}: {} bytes", sent.len());
        assert_eq!(received.end, End::Fin, "{wires:?}");
        between.await_cause(client.address(), "done");
    }
}

#[test]
fn a_client_that_sends_again_after_its_close_notify_loses_nothing_of_what_it_is_sent() {
    /// More than the kernels hold while the client reads nothing.
    const SENT: usize = 12_000_000;
    /// What the program's kernel holds when it has written all, and more than the client's does.
    const LAST: usize = 400_000;
    const PAUSE: Duration = Duration::from_millis(300);
    let authority = Authority::new();
    for wires in [(Wire::Tls13, Wire::Tcp), (Wire::Tls12, Wire::Tcp)] {
        let upstream = authority.fake(wires.1, |mut stream, _| {
            stream.write_all(&pattern(9, SENT)).unwrap();
            stream.finish();
            stream.receive()
        });
        let between = Between::start(&authority, wires, upstream.address, &[]);
        let mut client = between.connect();
        SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
        client.with_tls(|tls| tls.send_close_notify()).unwrap();
        // Its stream goes on below TLS, where nothing reads any more.
        thread::sleep(PAUSE);
        client.stream.write_all(&[0; 5000]).unwrap();
        let mut bytes = read_exactly(&mut client, SENT - LAST);
        thread::sleep(PAUSE);
        // A socket that were closed by now would answer this by a RST.
        client.stream.write_all(&[0; 100]).unwrap();
        thread::sleep(PAUSE);
        let (rest, end) = client.read_to_end();
        bytes.extend(rest);
        assert!(matches!(end, WireEnd::Clean | WireEnd::CleanThenReset), "{wires:?}: {end:?}");
        assert!(bytes == pattern(9, SENT), "{wires:?}: {} bytes", bytes.len());
        assert_eq!(upstream.await_received().end, End::Fin, "{wires:?}");
        between.await_cause(client.address(), "done");
    }
}

#[test]
fn a_client_is_reset_without_close_notify_if_its_upstream_is_not_reached() {
    let authority = Authority::new();
    let (refuses, _reserved) = unreachable::refuses();
    for wires in [(Wire::Tls12, Wire::Tcp), (Wire::Tls13, Wire::Tls13)] {
        let between = Between::start(&authority, wires, refuses, &[]);
        let mut client = between.connect();
        assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Reset), "{wires:?}");
        between.await_cause(client.address(), "connect_refused");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_a_stall() {
    let authority = &Authority::new();
    let stalls = |wires: (Wire, Wire)| {
        let upstream = authority.fake(wires.1, |mut stream, checkpoint| {
            while stream.write_all(&[7; 10_000]).is_ok() {}
            checkpoint.reach();
            Received { bytes: Vec::new(), end: End::Reset }
        });
        let between = Between::start(authority, wires, upstream.address, &["--stall-timeout", "1s"]);
        let client = between.connect();
        between.await_cause(client.address(), "stall_timeout");
        upstream.await_reached();
    };
    thread::scope(|scope| WIRES.iter().for_each(|wires| drop(scope.spawn(|| stalls(*wires)))));
}

#[test]
fn half_a_record_is_lost_in_a_cut_by_fin_and_what_came_before_it_is_not() {
    let authority = Authority::new();
    let upstream = authority.fake(Wire::Tcp, takes_all);
    let between = Between::start(&authority, (Wire::Tls13, Wire::Tcp), upstream.address, &[]);
    let mut client = between.connect();
    assert_eq!(read_exactly(&mut client, 5), b"hello");
    client.write_all(b"whole").unwrap();
    client.stream.write_all(&[23, 3, 3, 0, 40, 1, 2, 3]).unwrap();
    await_acknowledged(&client.stream);
    assert_eq!(between.operated.ctl(&["cut", "1", "--fin"]).code, 0);
    assert_eq!(upstream.await_received(), Received { bytes: b"whole".to_vec(), end: End::Fin });
    assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean));
    between.await_cause(client.address(), "cut");
}
