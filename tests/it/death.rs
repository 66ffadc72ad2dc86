//! The process dies: what was cut off never looks complete, and what had ended whole stays whole. Each scenario runs
//! directly first, as the control of the test itself.

use crate::support::{
    data_path::{Destination, EACH, Way},
    pattern::pattern,
    proc::{self, FIN_WAIT_1},
    server::{Launch, Output, Server},
    stream::{End, Received, bounded, exchange, read_exactly, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Signals that the program leaves to the kernel (signal(7)). Out of memory, the kernel sends the first.
const DEADLY: [Signal; 4] = [Signal::KILL, Signal::QUIT, Signal::USR1, Signal::ALARM];

fn whole(bytes: &[u8]) -> Received {
    Received { bytes: bytes.to_vec(), end: End::Fin }
}

/// A connection to an upstream; its two ends.
struct Joined {
    route: Destination,
    client: TcpStream,
    upstream: TcpStream,
    upstream_address: SocketAddr,
}

fn join(way: Way) -> Joined {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream_address = listener.local_addr().unwrap();
    let route = way.to(upstream_address, &[]);
    let client = route.connect();
    let upstream = bounded(listener.accept().unwrap().0);
    Joined { route, client, upstream, upstream_address }
}

#[test]
fn a_death_in_the_middle_of_two_streams_resets_both_legs() {
    let (download, upload) = (pattern(80, 50_000), pattern(81, 30_000));
    for (way, signal) in EACH.into_iter().flat_map(|way| DEADLY.map(|signal| (way, signal))) {
        let Joined { mut route, mut client, mut upstream, .. } = join(way);
        upstream.write_all(&download).unwrap();
        client.write_all(&upload).unwrap();
        assert!(read_exactly(&mut client, download.len()) == download, "{way:?}: another download");
        assert!(read_exactly(&mut upstream, upload.len()) == upload, "{way:?}: another upload");
        route.die_of(signal);
        if way == Way::Direct {
            for stream in [&client, &upstream] {
                stream.shutdown(Shutdown::Write).unwrap();
            }
        }
        let end = if way == Way::Direct { End::Fin } else { End::Reset };
        let expected = Received { bytes: Vec::new(), end };
        assert_eq!(read_to_end(&mut client), expected, "{way:?}, {signal:?}: client");
        assert_eq!(read_to_end(&mut upstream), expected, "{way:?}, {signal:?}: upstream");
    }
}

#[test]
fn a_death_resets_the_clients_of_an_echo_and_of_an_origin() {
    for (signal, way) in DEADLY.into_iter().flat_map(|signal| EACH.map(|way| (signal, way))) {
        let mut route = way.echo(&[]);
        let mut client = route.connect();
        exchange(&mut client, &pattern(82, 20_000));
        route.die_of(signal);
        if way == Way::Direct {
            client.shutdown(Shutdown::Write).unwrap();
        }
        let end = if way == Way::Direct { End::Fin } else { End::Reset };
        assert_eq!(read_to_end(&mut client).end, end, "{way:?}, {signal:?}");
    }
    for (signal, length) in
        DEADLY.map(|signal| (Some(signal), 100_000_000)).into_iter().chain([(None, 10_000)])
    {
        let mut origin = Server::start("origin", &[]);
        let mut client = origin.connect();
        write!(client, "GET /bytes/{length} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        read_exactly(&mut client, 1000);
        signal.into_iter().for_each(|signal| origin.die_of(signal));
        let end = if signal.is_some() { End::Reset } else { End::Fin };
        assert_eq!(read_to_end(&mut client).end, end, "{signal:?}");
    }
}

/// Writes all of a stream and its end, without waiting for its reader.
fn send_whole(mut stream: TcpStream, bytes: Vec<u8>) {
    thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
}

/// Waits until the program has ended the stream of one of its sockets, of which a part is still unsent.
fn await_ended(wanted: impl Fn(&proc::Socket) -> bool) {
    within(LIMIT, "the program ends the stream", || {
        let ended = |socket: &proc::Socket| socket.state == FIN_WAIT_1 && socket.unsent > 0 && wanted(socket);
        proc::sockets().iter().any(ended).then_some(())
    });
}

/// Longer than what the other end's kernel takes of a stream that is not read.
const LONG: usize = 400_000;

#[test]
fn a_reply_that_had_ended_before_the_death_stays_whole_and_the_upload_is_cut() {
    let reply = pattern(83, LONG);
    for way in EACH {
        let Joined { mut route, mut client, mut upstream, .. } = join(way);
        send_whole(upstream.try_clone().unwrap(), reply.clone());
        if let Some(server) = route.server() {
            let address = client.local_addr().unwrap();
            await_ended(|socket| socket.joins(server.address(), address));
            route.die_of(Signal::KILL);
            assert_eq!(read_to_end(&mut upstream).end, End::Reset, "{way:?}");
        }
        let received = read_to_end(&mut client);
        assert!(received == whole(&reply), "{way:?}: {} bytes, {:?}", received.bytes.len(), received.end);
    }
}

#[test]
fn an_upload_that_had_ended_before_the_death_stays_whole_and_the_reply_is_cut() {
    let upload = pattern(84, LONG);
    for way in EACH {
        let Joined { mut route, mut client, mut upstream, upstream_address } = join(way);
        send_whole(client.try_clone().unwrap(), upload.clone());
        if way != Way::Direct {
            await_ended(|socket| socket.leads_to(upstream_address));
            route.die_of(Signal::KILL);
            assert_eq!(read_to_end(&mut client).end, End::Reset, "{way:?}");
        }
        let received = read_to_end(&mut upstream);
        assert!(received == whole(&upload), "{way:?}: {} bytes, {:?}", received.bytes.len(), received.end);
    }
}

#[test]
fn a_session_that_was_over_before_the_death_stays_whole_both_ways() {
    let (reply, upload) = (pattern(85, LONG), pattern(86, LONG));
    for way in EACH {
        let Joined { mut route, mut client, mut upstream, .. } = join(way);
        send_whole(upstream.try_clone().unwrap(), reply.clone());
        send_whole(client.try_clone().unwrap(), upload.clone());
        route.await_cause(client.local_addr().unwrap(), "done");
        route.die_of(Signal::KILL);
        assert!(read_to_end(&mut client) == whole(&reply), "{way:?}: another reply");
        assert!(read_to_end(&mut upstream) == whole(&upload), "{way:?}: another upload");
    }
}

fn await_drain(server: &Server) {
    within(LIMIT, "new connections are refused", || {
        let error = TcpStream::connect(server.address()).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

#[test]
fn a_hangup_drains_and_one_more_cuts_nothing() {
    let Joined { route, mut client, mut upstream, .. } = join(Way::Spliced);
    let (server, address) = (route.server().unwrap(), client.local_addr().unwrap());
    // A terminal that goes sends one itself, and its shell another.
    for part in [&b"first"[..], b"second"] {
        server.signal(Signal::HUP);
        await_drain(server);
        upstream.write_all(part).unwrap();
        assert_eq!(read_exactly(&mut client, part.len()), part);
    }
    for stream in [&client, &upstream] {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!((read_to_end(&mut client), read_to_end(&mut upstream)), (whole(b""), whole(b"")));
    let mut server = route.into_server().unwrap();
    assert_eq!(server.await_exit(), 0);
    assert_eq!(server.await_close(address)["cause"], "done");
}

#[test]
fn after_a_hangup_a_second_signal_to_end_cuts() {
    let mut server = Server::echo(&["--drain-timeout", "60s"]);
    let mut client = server.connect();
    exchange(&mut client, b"alive");
    server.signal(Signal::HUP);
    await_drain(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.await_exit(), 3);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
}

#[test]
fn a_server_under_nohup_outlives_the_terminal() {
    let shell = Some("trap '' HUP; exec \"$0\" \"$@\"");
    let mut server = Launch { mode: "echo", flags: &[], shell, output: Output::Read }.start();
    server.signal(Signal::HUP);
    for _ in 0..100 {
        exchange(&mut server.connect(), b"still here");
    }
    assert_eq!(server.stop(), 0);
}
