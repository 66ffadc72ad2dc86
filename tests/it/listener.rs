//! A listener that fails ends alone: the server goes on with the others, and its sessions with it.

use crate::support::{
    server::Server,
    stream::{End, connect, exchange, read_to_end},
    wait::{LIMIT, within},
};
use rustix::{
    net::{Shutdown, getsockname, shutdown, sockopt::socket_acceptconn},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use std::{
    net::{Shutdown as Direction, SocketAddr},
    os::fd::OwnedFd,
};

/// Shuts the listening sockets of an address down under the server: their next accept(2) fails with EINVAL.
fn break_listener(server: &Server, address: SocketAddr) {
    let pid = i32::try_from(server.process().0).ok().and_then(Pid::from_raw).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let folder = std::fs::read_dir(format!("/proc/{}/fd", server.process().0)).unwrap();
    let numbers = folder.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let copies = numbers.filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
    let listeners = copies.filter(|copy| socket_acceptconn(copy) == Ok(true));
    let is_meant = |copy: &OwnedFd| getsockname(copy).unwrap().try_into() == Ok(address);
    let meant: Vec<OwnedFd> = listeners.filter(is_meant).collect();
    assert!(!meant.is_empty(), "the kernel gives us our child's descriptors");
    meant.iter().for_each(|listener| shutdown(listener, Shutdown::Read).unwrap());
}

#[test]
fn a_listener_that_fails_ends_alone_and_the_server_with_the_last_one_after_its_sessions() {
    let mut server = Server::echo(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let [first, second] = [0, 1].map(|number: usize| server.addresses[number].parse().unwrap());
    let mut clients = [first, second].map(connect);
    clients.iter_mut().for_each(|client| exchange(client, b"hello"));
    let told = |server: &Server, text: &str| {
        within(LIMIT, text, || server.errors.all().iter().any(|line| line == text).then_some(()));
    };

    break_listener(&server, first);
    told(&server, &format!("{first} stops accepting: invalid argument"));
    clients.iter_mut().for_each(|client| exchange(client, b"still served"));
    exchange(&mut connect(second), b"a new one");

    break_listener(&server, second);
    told(&server, &format!("{second} stops accepting: invalid argument"));
    for mut client in clients {
        exchange(&mut client, b"to the end");
        client.shutdown(Direction::Write).unwrap();
        assert_eq!(read_to_end(&mut client).end, End::Fin);
    }
    assert_eq!(server.await_exit(), 1);
    told(&server, "switchboard: cannot go on accepting: every listener failed");
    let closes = server.await_closes(3);
    assert!(closes.iter().all(|close| close["cause"] == "done"), "{closes:?}");
}
