//! Servers that a name server tells: they come and go while sessions live, and what is no good answer changes nothing.

use crate::support::{
    fake::{
        Fake,
        name_server::{NameServer, Says},
        peer, unreachable,
    },
    server::Server,
    stream::{End, Received, exchange, read_to_end},
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

/// Echoes on one port of several addresses of this machine.
fn echoes_on(addresses: &[u8]) -> u16 {
    'free: loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        drop(first);
        let mut listeners = Vec::new();
        for last in addresses {
            match TcpListener::bind((Ipv4Addr::new(127, 0, 0, *last), port)) {
                Ok(listener) => listeners.push(listener),
                Err(_) => continue 'free,
            }
        }
        for listener in listeners {
            thread::spawn(move || {
                for mut stream in listener.incoming().map_while(Result::ok) {
                    thread::spawn(move || {
                        let mut writer = stream.try_clone().unwrap();
                        let _ = std::io::copy(&mut stream, &mut writer);
                        let _ = writer.shutdown(Shutdown::Write);
                    });
                }
            });
        }
        return port;
    }
}

fn local(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

fn addresses(all: &[u8]) -> Says {
    Says::Addresses(all.iter().map(|last| local(*last)).collect())
}

fn server(name_server: &NameServer, discover: &str, more: &str) -> (Server, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    let resolver = format!("resolver = \"{}\"\nrefresh = \"1s\"", name_server.address);
    let upstream = format!("discover = \"{discover}\"\n{resolver}\n{more}");
    (Server::of_upstream(file.path(), &upstream), file)
}

/// The servers of a number of sessions, one after the other.
fn reached(server: &Server, count: usize) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for _ in 0..count {
        let mut client = server.connect();
        exchange(&mut client, b"hello");
        let local = client.local_addr().unwrap().to_string();
        let open = server.await_event("open", |event| event["client"] == *local);
        let connect = server.await_event("connect", |event| event["session"] == open["session"]);
        all.insert(connect["server"].as_str().unwrap().to_owned());
    }
    all
}

fn names(all: &[u8], port: u16) -> BTreeSet<String> {
    all.iter().map(|last| SocketAddr::from((local(*last), port)).to_string()).collect()
}

fn warnings(server: &Server, text: &str) -> usize {
    server.errors.all().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn addresses_of_a_name_come_and_go_while_sessions_live() {
    let (name_server, port) = (NameServer::start(), echoes_on(&[1, 2, 3]));
    name_server.says("web.test", addresses(&[1, 2]));
    let (server, _file) = server(&name_server, &format!("dns:web.test:{port}"), "");
    assert_eq!(reached(&server, 4), names(&[1, 2], port), "they are known when it says that it listens");
    let mut clients: Vec<_> = server.greeted(4);
    name_server.says("web.test", addresses(&[2, 3]));
    server.await_warning(&format!("upstream db: 127.0.0.3:{port} joined; 127.0.0.1:{port} left"));
    assert_eq!(reached(&server, 4), names(&[2, 3], port));
    clients.iter_mut().for_each(|client| exchange(client, b"still"));
}

#[test]
fn no_good_answer_changes_anything_and_it_is_told_once() {
    let (name_server, port) = (NameServer::start(), echoes_on(&[1, 2]));
    name_server.says("web.test", addresses(&[1, 2]));
    let (server, _file) = server(&name_server, &format!("dns:web.test:{port}"), "");
    name_server.says("web.test", Says::Fails(3));
    server.await_warning("dns:web.test:");
    let told = server.await_warning("the name does not exist");
    assert!(told.ends_with("its 2 servers stay"), "{told}");
    for failure in [Says::Fails(2), Says::Addresses(Vec::new())] {
        name_server.says("web.test", failure);
        let (begin, mut all) = (Instant::now(), BTreeSet::new());
        while begin.elapsed() < Duration::from_millis(1200) {
            all.extend(reached(&server, 2));
        }
        assert_eq!(all, names(&[1, 2], port));
    }
    name_server.says("web.test", addresses(&[2]));
    server.await_warning("answers again");
    server.await_warning(&format!("127.0.0.1:{port} left"));
    assert_eq!(warnings(&server, "stay"), 1, "{:?}", server.errors.all());
}

#[test]
fn the_start_waits_no_longer_for_a_silent_name_server_than_a_session_would_and_then_has_no_server() {
    let (name_server, port) = (NameServer::start(), echoes_on(&[1]));
    name_server.says("web.test", Says::Nothing);
    let (server, _file) =
        server(&name_server, &format!("dns:web.test:{port}"), "connect-timeout = \"300ms\"");
    let mut client = server.connect();
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    assert_eq!(server.await_close(client.local_addr().unwrap())["cause"], "no_server");
    name_server.says("web.test", addresses(&[1]));
    server.await_warning(&format!("127.0.0.1:{port} joined"));
    exchange(&mut server.connect(), b"hello");
}

#[test]
fn services_have_ports_and_weights_and_higher_priorities_are_backups() {
    let name_server = NameServer::start();
    let fakes: Vec<Fake> = (0..3).map(|_| peer::echoes()).collect();
    let port = |at: usize| fakes[at].address.port();
    let (closed, _reserved) = unreachable::refuses();
    let closed = closed.port();
    name_server.says("one.test", addresses(&[1]));
    let services = [(1, 1, port(0), "one.test"), (1, 3, port(1), "one.test"), (2, 1, port(2), "one.test")];
    name_server.says("_db._tcp.test", Says::Services(services.into()));
    let (server, _file) = server(&name_server, "srv:_db._tcp.test", "");
    let mut counts = [0; 3];
    for _ in 0..20 {
        let server = reached(&server, 1).pop_first().unwrap();
        counts[(0..3).find(|at| fakes[*at].address.to_string() == server).unwrap()] += 1;
    }
    assert_eq!(counts, [5, 15, 0]);
    // The serving priority is dead: the backup takes over at once.
    let services = [(1, 1, closed, "one.test"), (2, 1, port(2), "one.test")];
    name_server.says("_db._tcp.test", Says::Services(services.into()));
    server.await_warning(&format!("127.0.0.1:{closed} joined"));
    assert_eq!(reached(&server, 3), BTreeSet::from([fakes[2].address.to_string()]));
}

#[test]
fn what_is_discovered_is_checked_before_it_is_used() {
    let (name_server, port) = (NameServer::start(), echoes_on(&[1]));
    name_server.says("web.test", addresses(&[1]));
    let check = "check = { every = \"50ms\", fall = 1 }";
    let (server, _file) = server(&name_server, &format!("dns:web.test:{port}"), check);
    server.await_event("server", |event| event["state"] == "up");
    // Nothing listens at the new one.
    name_server.says("web.test", addresses(&[1, 77]));
    let down = server.await_event("server", |event| event["state"] == "down");
    assert_eq!(down["server"], format!("127.0.0.77:{port}"));
    assert_eq!(reached(&server, 4), names(&[1], port));
    let tried = server.events().into_iter().filter(|event| event["tried"].is_array()).count();
    assert_eq!(tried, 0, "no session met it");
}
