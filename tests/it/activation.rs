//! Sockets that a service manager passes (sd_listen_fds(3)).

use crate::support::{
    manager::{passing, start_passing},
    port,
    program::{self, Program},
    server::{Launch, Output},
    stream::{self, exchange},
    wait::{LIMIT, within},
};
use socket2::{Domain, Socket, Type};
use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A listening socket, and where it is.
fn listening() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

fn serves(address: SocketAddr) {
    exchange(&mut stream::connect(address), b"served");
}

#[test]
fn a_socket_goes_to_the_listener_of_its_name_its_number_or_its_address() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let ((named, name), (numbered, number), (addressed, address)) = (listening(), listening(), listening());
    let own = address.to_string();
    let unix_address = format!("unix:{}", path.display());
    let flags = ["--listen", &own, "--listen", "fd:web", "--listen", "fd:4", "--listen", &unix_address];
    let sockets = vec![named, numbered, addressed, unix.into()];
    let mut server = start_passing(&flags, sockets, Some("web:other:third:fourth"), 4);
    let expected = [address.to_string(), name.to_string(), number.to_string(), unix_address];
    assert_eq!(server.addresses, expected);
    [name, number, address].into_iter().for_each(serves);
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    exchange(&mut client, b"served");
    drop(client);
    // Sessions of a passed socket end as those of any other do.
    assert!(server.await_closes(4).iter().all(|close| close["cause"] == "done"));
    assert_eq!(server.stop(), 0);
    assert!(path.exists(), "the file belongs to the manager");
}

#[test]
fn what_waits_in_the_queue_of_a_passed_socket_is_served() {
    let (socket, address) = listening();
    let mut early = stream::connect(address);
    let _server = start_passing(&["--listen", "fd:3"], vec![socket], None, 1);
    exchange(&mut early, b"early");
}

/// Sockets of one address, among which the kernel distributes connections.
fn of_one_address(count: usize) -> (Vec<OwnedFd>, SocketAddr) {
    let mut address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(64).unwrap();
        address = socket.local_addr().unwrap().as_socket().unwrap();
        OwnedFd::from(socket)
    };
    ((0..count).map(socket).collect(), address)
}

#[test]
fn all_sockets_of_a_name_are_accepted_from_whatever_the_number_of_threads() {
    for (count, threads) in [(1, "3"), (2, "3"), (3, "3"), (5, "2"), (4, "1")] {
        let (sockets, address) = of_one_address(count);
        let names = vec!["web"; count].join(":");
        let flags = ["--listen", "fd:web", "--threads", threads];
        let server = start_passing(&flags, sockets, Some(&names), 1);
        // All of these miss one of five sockets once in 10^9 runs.
        let clients: Vec<TcpStream> = (0..100).map(|_| stream::connect(address)).collect();
        clients.into_iter().for_each(|mut client| exchange(&mut client, b"served"));
        server.await_closes(100);
    }
}

#[test]
fn sockets_of_one_name_and_several_addresses_are_one_listener() {
    let ((one, first), (other, second)) = (listening(), listening());
    let server = start_passing(&["--listen", "fd:web"], vec![one, other], Some("web:web"), 2);
    assert_eq!(server.addresses, [first.to_string(), second.to_string()]);
    [first, second].into_iter().for_each(serves);
}

/// The server ends with code 1, and says each of `parts` in one line.
#[track_caller]
fn refused(flags: &[&str], sockets: Vec<OwnedFd>, names: Option<&str>, parts: &[&str]) {
    let output = program::output(passing("echo", flags, sockets, names));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), message.lines().count()), (Some(1), 1), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[test]
fn a_socket_that_cannot_be_listened_on_or_fits_no_listener_is_an_error_with_both_names() {
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let bound = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        OwnedFd::from(socket)
    };
    let file = || OwnedFd::from(tempfile::tempfile().unwrap());
    let tcp = || listening().0;
    let web = ["--listen", "fd:web"];
    refused(&web, vec![udp()], Some("web"), &["fd:web", "descriptor 3", "datagrams"]);
    refused(&web, vec![bound()], Some("web"), &["fd:web", "descriptor 3", "does not listen"]);
    refused(&web, vec![file()], Some("web"), &["fd:web", "descriptor 3", "no stream socket"]);
    refused(
        &web,
        vec![tcp()],
        Some("other"),
        &["fd:web", "no socket of this name", "descriptor 3 named other"],
    );
    refused(
        &["--listen", "fd:9"],
        vec![tcp()],
        None,
        &["fd:9", "descriptor 9 was not passed", "descriptor 3"],
    );
    let two = [&web[..], &web[..]].concat();
    refused(&two, vec![tcp()], Some("web"), &["fd:web", "another listener has it"]);
    let (socket, address) = listening();
    let parts = ["descriptor 3 named stray", &address.to_string(), "fits no listener, of 127.0.0.1:0"];
    refused(&[], vec![socket], Some("stray"), &parts);
    refused(&[], vec![udp()], None, &["descriptor 3", "fits no listener"]);
    refused(&web, vec![tcp()], Some("web:web"), &["LISTEN_FDNAMES", "2 names"]);
    refused(&web, vec![], None, &["fd:web", "none was passed at all"]);
}

#[test]
fn what_is_passed_to_another_process_is_left_alone() {
    for pid in [Some("1"), Some("x"), None] {
        let flags = ["--listen", "fd:web"];
        let mut command = Launch { mode: "echo", flags: &flags, shell: None, output: Output::Read }.command();
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
        pid.map(|pid| command.env("LISTEN_PID", pid));
        let message = String::from_utf8(program::output(command).stderr).unwrap();
        assert!(message.contains("none was passed at all"), "{message}");
    }
}

#[test]
fn a_server_is_started_by_systemd_at_the_first_connection() {
    const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
    if !Path::new(ACTIVATE).exists() {
        return eprintln!("skipped: {ACTIVATE} is not installed (package systemd)");
    }
    let address = port::unused();
    let mut activate = Command::new(ACTIVATE);
    activate.args(["-l", &address.to_string(), "--fdname=web", env!("CARGO_BIN_EXE_switchboard")]);
    activate.args(["echo", "--listen", "fd:web", "--control", "off"]);
    activate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Program::start(&mut activate);
    let mut client = within(LIMIT, "systemd listens", || TcpStream::connect(address).ok());
    client.set_read_timeout(Some(LIMIT)).unwrap();
    exchange(&mut client, b"served");
    drop(client);
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.await_exit(), 0);
}
