//! Proxy mode while the connection lives: bytes exact both ways, backpressure end to end, memory bounded.

use crate::support::{
    data_path::{EACH, THROUGH, Way},
    fake::{peer, unreachable},
    pattern::{Pattern, pattern},
    server::Server,
    stream::{
        self, End, Received, bounded, connect, exchange, read_each, read_exactly, read_to_end, reset,
        write_until_blocked,
    },
    wait::{LIMIT, within},
};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

const MIB: usize = 1 << 20;
/// More than the kernels' socket buffers at both ends and in between can hold (`tcp_rmem`, `tcp_wmem`).
const MORE_THAN_BUFFERS: usize = 128 * MIB;

#[test]
fn thirty_two_mib_cross_both_ways_at_once_unchanged() {
    for way in THROUGH {
        let upstream = peer::echoes();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let address = client.local_addr().unwrap();
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let mut sequence = Pattern::new(11);
            (0..128).for_each(|_| writer.write_all(&sequence.take(MIB / 4)).unwrap());
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let (mut sequence, mut received) = (Pattern::new(11), 0);
        let end = read_each(&mut client, |piece| {
            assert!(piece == sequence.take(piece.len()), "other bytes after {received}");
            received += piece.len();
        });
        writing.join().unwrap();
        assert_eq!((received, end), (32 * MIB, End::Fin));
        let close = route.await_cause(address, "done").unwrap();
        assert_eq!(close["client_bytes"], 32 * MIB);
        assert_eq!(close["upstream_bytes"], 32 * MIB);
    }
}

#[test]
fn small_messages_are_not_held_back() {
    for way in THROUGH {
        let upstream = peer::echoes();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        for length in (1..200).chain([1000, 5000, 70_000, 1]) {
            exchange(&mut client, &pattern(length as u64, length));
        }
    }
}

#[test]
fn an_upstream_that_speaks_first_is_heard() {
    for way in EACH {
        let upstream = peer::speaks_first(b"220 ready\r\n".to_vec());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        assert_eq!(read_exactly(&mut client, 11), b"220 ready\r\n");
        client.write_all(b"QUIT\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(route.read_to_end(&mut client, "done"), Received { bytes: Vec::new(), end: End::Fin });
        assert_eq!(upstream.await_received().bytes, b"QUIT\r\n");
    }
}

#[test]
fn bytes_sent_before_the_upstream_stands_are_not_lost() {
    for way in THROUGH {
        let live = peer::takes_all();
        let port = live.address.port();
        // The first address answers nothing, so the upstream stands only after the next attempt's delay.
        let _dead = unreachable::never_accepts_on(([127, 0, 0, 2], port).into());
        let resolve = format!("upstream.test:{port}:127.0.0.2,127.0.0.1");
        let flags = ["--resolve", &resolve, way.flag()];
        let server = Server::proxy(format!("upstream.test:{port}"), &flags);
        let mut client = server.connect();
        let sent = pattern(5, 50_000);
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(live.await_received(), Received { bytes: sent, end: End::Fin });
    }
}

/// Fills the way from `client` to a peer that reads nothing, and returns how many bytes it took.
fn fill(client: &mut TcpStream) -> usize {
    let total = write_until_blocked(client, Duration::from_millis(500));
    assert!(total < MORE_THAN_BUFFERS, "{total} bytes were taken for a peer that reads nothing");
    total
}

/// Reads zero bytes to the end and counts them.
fn count(stream: &mut impl Read) -> (usize, End) {
    let mut total = 0;
    let end = read_each(stream, |piece| total += piece.len());
    (total, end)
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client_and_loses_nothing() {
    for way in THROUGH {
        let upstream = peer::reads_nothing_until_told();
        let route = way.to(upstream.address, &[]);
        let process = route.server().unwrap().process();
        let before = process.resident_kib();
        let mut client = route.connect();
        upstream.await_reached();
        let total = fill(&mut client);
        let grown = process.resident_kib().saturating_sub(before);
        assert!(grown < 4 * 1024, "{grown} KiB more memory for one session");
        client.shutdown(Shutdown::Write).unwrap();
        upstream.go();
        let received = upstream.await_received();
        assert_eq!((received.bytes.len(), received.end), (total, End::Fin));
    }
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    for way in THROUGH {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let route = way.to(listener.local_addr().unwrap(), &[]);
        let mut client = route.connect();
        let mut upstream = stream::bounded(listener.accept().unwrap().0);
        let total = fill(&mut upstream);
        upstream.shutdown(Shutdown::Write).unwrap();
        // Only this direction waits: the other goes on.
        client.write_all(b"still heard").unwrap();
        assert_eq!(read_exactly(&mut upstream, 11), b"still heard");
        assert_eq!(count(&mut client), (total, End::Fin));
    }
}

#[test]
fn echo_stops_reading_from_a_client_that_does_not_read() {
    for way in THROUGH {
        let route = way.echo(&[]);
        let mut client = route.connect();
        let total = fill(&mut client);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(count(&mut client), (total, End::Fin));
    }
}

#[test]
fn sessions_with_a_slow_reader_cost_bounded_memory() {
    const SESSIONS: usize = 100;
    /// DESIGN §4: a chunk a link, in both directions, with room to spare.
    const KIB_A_SESSION: u64 = 256;
    for way in THROUGH {
        let upstream = peer::pushes_without_end();
        let route = way.to(upstream.address, &[]);
        let server = route.server().unwrap();
        let process = server.process();
        let before = process.resident_kib();
        let clients: Vec<TcpStream> = (0..SESSIONS).map(|_| route.connect()).collect();
        // The flow has stopped once a look at the counters of all sockets, twice, shows the same.
        await_standstill(process);
        let grown = process.resident_kib().saturating_sub(before);
        assert!(grown < KIB_A_SESSION * SESSIONS as u64, "{grown} KiB more for {SESSIONS} sessions");
        clients.into_iter().for_each(reset);
        for close in server.await_closes(SESSIONS) {
            assert_eq!(close["cause"], "client_reset", "{close}");
        }
    }
}

/// Waits until the process has used no processor time for a while: nothing flows any more.
fn await_standstill(process: crate::support::proc::Process) {
    let mut last = process.processor_time();
    within(LIMIT, "the flow stops", || {
        thread::sleep(Duration::from_millis(250));
        let now = process.processor_time();
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
}

#[test]
fn an_idle_session_does_not_keep_others_waiting() {
    for way in THROUGH {
        let upstream = peer::echoes();
        let route = way.to(upstream.address, &[]);
        let idle: Vec<TcpStream> = (0..50).map(|_| route.connect()).collect();
        let mut active = route.connect();
        exchange(&mut active, b"served");
        drop(idle);
        exchange(&mut active, b"still served");
    }
}

#[test]
fn two_listeners_serve_the_same_upstream() {
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &["--listen", "127.0.0.1:0", "--listen=127.0.0.2:0"]);
    for address in &server.addresses {
        let mut client = connect(address.parse().unwrap());
        exchange(&mut client, b"here");
        let opened = server.await_event("open", |event| event["listener"] == address.as_str());
        assert_eq!(opened["client"], client.local_addr().unwrap().to_string());
    }
    assert_ne!(server.addresses[0], server.addresses[1]);
}

#[test]
fn the_data_path_is_chosen_by_its_flag() {
    // Whether bulk data crosses as pipes shows in the descriptors, which `--splice off` never needs.
    for (way, wanted) in [(Way::Spliced, true), (Way::Copied, false)] {
        let upstream = peer::pushes_without_end();
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        let process = route.server().unwrap().process();
        let idle_pipes = pipes(process);
        read_exactly(&mut client, 16 * MIB);
        assert_eq!(pipes(process) > idle_pipes, wanted, "{way:?}");
    }
}

fn pipes(process: crate::support::proc::Process) -> usize {
    process.descriptors().iter().filter(|link| link.starts_with("pipe:")).count()
}

#[test]
fn an_urgent_byte_is_missed_only_by_a_receiver_that_asks_for_it_in_line() {
    for (way, in_line) in EACH.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // An accepted socket inherits it.
        SockRef::from(&listener).set_out_of_band_inline(in_line).unwrap();
        let route = way.to(listener.local_addr().unwrap(), &[]);
        let mut client = route.connect();
        let mut upstream = bounded(listener.accept().unwrap().0);
        client.write_all(b"before").unwrap();
        SockRef::from(&client).send_out_of_band(b"!").unwrap();
        client.write_all(b"after").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let expected: &[u8] = if way == Way::Direct && in_line { b"before!after" } else { b"beforeafter" };
        assert_eq!(read_to_end(&mut upstream).bytes, expected, "{way:?}, in line: {in_line}");
    }
}
