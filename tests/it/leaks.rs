//! Trouble leaves nothing behind: no descriptor, no half-closed socket, no thread, no memory.

use crate::support::{
    data_path::{THROUGH, Way},
    fake::{Fake, peer, unreachable},
    pattern::{Pattern, pattern},
    proc::{CLOSE_WAIT, Process, SYN_SENT},
    program::Program,
    server::{Launch, Output, Server},
    stream::{self, exchange, read_each, reset},
    wait::{LIMIT, within},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    process::Stdio,
    thread,
    time::Duration,
};

/// What a client may do to its connection, by number.
fn misbehave(mut client: TcpStream, choice: usize, seed: u64) {
    // Any of these may meet a reset; what matters is what the program keeps.
    let sent = pattern(seed, 1 + choice * 3000);
    match choice % 6 {
        0 => reset(client),
        1 => drop(client),
        2 => {
            let _ = client.write_all(&sent);
            reset(client);
        }
        3 => {
            let _ = client.write_all(&sent);
            let _ = client.shutdown(Shutdown::Write);
            read_each_quietly(&mut client);
        }
        4 => {
            let _ = client.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = client.write_all(&sent);
            let _ = client.read(&mut [0; 100]);
        }
        _ => {
            let _ = client.write_all(&sent);
            let _ = client.shutdown(Shutdown::Read);
            let _ = client.shutdown(Shutdown::Write);
        }
    }
}

fn read_each_quietly(client: &mut TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while client.read(&mut buffer).is_ok_and(|length| length > 0) {}
}

/// Runs `count` sessions of clients that misbehave, several at once, and waits until all have ended.
fn run_sessions(server: &Server, count: usize, before: usize) {
    const AT_ONCE: usize = 4;
    let address = server.address();
    let threads: Vec<_> = (0..AT_ONCE)
        .map(|thread| {
            thread::spawn(move || {
                let mut choices = Pattern::new(thread as u64);
                for session in 0..count / AT_ONCE {
                    misbehave(stream::connect(address), choices.below(12), session as u64);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    server.await_closes(before + count);
}

fn sockets(process: Process) -> usize {
    process.descriptors().iter().filter(|link| link.starts_with("socket:")).count()
}

/// Faults of an upstream, each with its name.
fn faults() -> Vec<(&'static str, Option<Fake>)> {
    vec![
        ("echoes", Some(peer::echoes())),
        ("resets at once", Some(peer::resets_at_once())),
        ("speaks and closes", Some(peer::speaks_and_closes(vec![b's'; 50_000]))),
        ("trickles", Some(peer::trickles(3, Duration::from_millis(20)))),
        ("takes all", Some(peer::takes_all())),
        ("refuses", None),
    ]
}

#[test]
fn sessions_with_random_faults_leave_nothing_behind() {
    const SESSIONS: usize = 120;
    let (refusing, _reserved) = unreachable::refuses();
    for (way, (fault, upstream)) in
        THROUGH.into_iter().flat_map(|way| faults().into_iter().map(move |fault| (way, fault)))
    {
        let address: SocketAddr = upstream.as_ref().map_or(refusing, |upstream| upstream.address);
        let server =
            Server::proxy(address, &[way.flag(), "--half-close-timeout", "5s", "--idle-timeout", "5s"]);
        let process = server.process();
        let fresh = sockets(process);
        // The first round fills the pools, the second shows whether anything grows.
        run_sessions(&server, SESSIONS, 0);
        let (descriptors, memory) = (process.descriptors().len(), process.resident_kib());
        run_sessions(&server, SESSIONS, SESSIONS);
        within(LIMIT, &format!("{fault}: every session's sockets are closed"), || {
            (sockets(process) == fresh).then_some(())
        });
        assert_eq!(process.sockets_in(CLOSE_WAIT), 0, "{fault}");
        assert_eq!(process.sockets_in(SYN_SENT), 0, "{fault}");
        assert!(process.descriptors().len() <= descriptors + 16, "{fault}: {:?}", process.descriptors());
        let grown = process.resident_kib().saturating_sub(memory);
        assert!(grown < 4 * 1024, "{fault}: {grown} KiB more after the second round");
    }
}

#[test]
fn an_echo_server_keeps_nothing_of_clients_that_leave_in_every_way() {
    const SESSIONS: usize = 400;
    for way in THROUGH {
        let server = Server::echo(&[way.flag()]);
        let process = server.process();
        let fresh = sockets(process);
        run_sessions(&server, SESSIONS, 0);
        let (descriptors, threads) = (process.descriptors().len(), process.threads());
        run_sessions(&server, SESSIONS, SESSIONS);
        within(LIMIT, "every session's socket is closed", || (sockets(process) == fresh).then_some(()));
        assert_eq!(process.sockets_in(CLOSE_WAIT), 0);
        assert!(process.descriptors().len() <= descriptors + 16, "{:?}", process.descriptors());
        assert_eq!(process.threads(), threads);
    }
}

#[test]
fn threads_do_not_grow_with_sessions() {
    let server = Server::echo(&[]);
    exchange(&mut server.connect(), b"first");
    let before = server.process().threads();
    let mut clients: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    assert!(server.process().threads() <= before + 1, "{} threads", server.process().threads());
    assert!(before <= 8, "{before} threads for one session");
}

#[test]
fn the_threads_that_look_up_names_go_when_there_is_none_to_look_up() {
    const AT_ONCE: usize = 20;
    let upstream = peer::echoes();
    let server = Server::proxy(format!("localhost:{}", upstream.address.port()), &[]);
    let mut clients: Vec<TcpStream> = (0..AT_ONCE).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    // Each would be woken twice a second, as long as the program lives.
    let pool = |number: usize| server.process().niceness(&format!("blocking-{number}"));
    within(LIMIT, "they go", || (1..=AT_ONCE).all(|number| pool(number).is_none()).then_some(()));
}

#[test]
fn an_idle_server_is_idle() {
    let server = Server::echo(&[]);
    let mut clients: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    let before = server.process().processor_time();
    thread::sleep(Duration::from_secs(2));
    let used = server.process().processor_time().saturating_sub(before);
    assert!(used <= Duration::from_millis(60), "{used:?} of processor time in two seconds of silence");
}

#[test]
fn descriptors_closed_at_start_never_become_sockets() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("echo");
    let listen = format!("unix:{}", path.display());
    let shell = Some("exec \"$0\" \"$@\" <&- >&- 2>&-");
    let flags = ["--listen", &listen, "--dump", "text"];
    let launch = Launch { mode: "echo", flags: &flags, shell, output: Output::Broken };
    let server = Program::start(launch.command().stdout(Stdio::null()).stderr(Stdio::null()));
    // No start line can be read, but the socket appears.
    let mut client = within(LIMIT, "the server listens", || UnixStream::connect(&path).ok());
    client.set_read_timeout(Some(LIMIT)).unwrap();
    exchange(&mut client, b"hello");
    let process = server.process();
    for number in 0..3 {
        let link = process.descriptor(number).unwrap_or_default();
        assert!(link == "/dev/null" || link.is_empty(), "descriptor {number} is {link}");
    }
}

#[test]
fn a_client_that_ends_its_stream_in_the_middle_of_bulk_data_is_still_served_to_the_end() {
    // The other direction is full when the FIN comes.
    for way in [Way::Spliced, Way::Copied] {
        let sent = pattern(61, 8 << 20);
        let upstream = peer::speaks_first(sent.clone());
        let route = way.to(upstream.address, &[]);
        let mut client = route.connect();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        let end = read_each(&mut client, |piece| received.extend_from_slice(piece));
        assert!(received == sent, "{} bytes, {end:?}", received.len());
    }
}
