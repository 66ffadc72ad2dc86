//! Groups of servers: who gets which session, what becomes of clients while servers go and come, and what is told of it.

use crate::support::{
    fake::{Fake, peer, unreachable},
    server::{Launch, Output, Server},
    stream::{self, End, Received, exchange, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::{NamedTempFile, TempDir};

/// A server in front of an upstream; the file is gone with the test.
fn server(upstream: &str) -> (Server, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    (Server::of_upstream(file.path(), upstream), file)
}

/// `"127.0.0.1:80", "127.0.0.1:81"`.
fn quoted<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> String {
    addresses.into_iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
}

fn wait_changed(server: &Server, address: SocketAddr, state: &str) -> Value {
    let address = address.to_string();
    server.await_event("server", |event| event["server"] == *address && event["state"] == state)
}

/// Who serves a session of this client: the port that the server says.
fn port_of(server: &Server) -> u16 {
    let mut client = server.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let Received { bytes, end } = read_to_end(&mut client);
    assert_eq!(end, End::Fin, "{bytes:?}");
    String::from_utf8(bytes).unwrap().parse().unwrap()
}

#[test]
fn sessions_are_balanced_by_weight() {
    let fakes = [1, 2, 7].map(|weight| (weight, peer::says_its_port()));
    let tables =
        fakes.iter().map(|(weight, fake)| format!("{{ address = \"{}\", weight = {weight} }}", fake.address));
    let (server, _file) = server(&format!("servers = [{}]", tables.collect::<Vec<_>>().join(", ")));
    const SESSIONS: usize = 1000;
    let mut count = BTreeMap::<u16, usize>::new();
    (0..SESSIONS).for_each(|_| *count.entry(port_of(&server)).or_default() += 1);
    for (weight, fake) in &fakes {
        assert_eq!(count[&fake.address.port()], SESSIONS * weight / 10, "{count:?}");
    }
    let connect = server.await_event("connect", |_| true);
    assert_eq!(
        (&connect["upstream_group"], &connect["why"]),
        (&"db".into(), &"round robin: its turn".into())
    );
}

#[test]
fn a_source_stays_with_its_server_and_comes_back_to_it() {
    let fakes = [(); 3].map(|()| peer::says_its_port());
    let (server, _file) = server(&format!(
        "balance = \"source\"\nservers = [{}]",
        quoted(fakes.iter().map(|fake| &fake.address))
    ));
    let port = |last: u8| -> u16 {
        let mut client = stream::connect_from(Ipv4Addr::new(127, 0, 0, last).into(), server.address());
        client.shutdown(Shutdown::Write).unwrap();
        String::from_utf8(read_to_end(&mut client).bytes).unwrap().parse().unwrap()
    };
    let first: Vec<u16> = (1..=60).map(port).collect();
    assert_eq!((1..=60).map(port).collect::<Vec<_>>(), first);
    let used = fakes.iter().filter(|fake| first.contains(&fake.address.port())).count();
    assert_eq!(used, 3, "{first:?}");
}

/// What becomes of clients, of which one comes every so often.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<(Instant, Instant, bool)>>>,
}

impl Clients {
    /// `rate` clients a second: each exchanges a few bytes with an echo.
    fn start(address: SocketAddr, rate: u32) -> Clients {
        const THREADS: u32 = 10;
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * THREADS / rate;
        let run = |number: u32| {
            let stop = stop.clone();
            thread::spawn(move || {
                let (mut all, mut due) = (Vec::new(), Instant::now() + pause * number / THREADS);
                while !stop.load(SeqCst) {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += pause;
                    let begin = Instant::now();
                    let is_good = (|| {
                        let mut client = stream::connect(address);
                        let mut room = [0; 5];
                        client.write_all(b"hello").ok()?;
                        client.read_exact(&mut room).ok()?;
                        client.shutdown(Shutdown::Write).ok()?;
                        (client.read(&mut room).ok()? == 0).then_some(())
                    })();
                    all.push((begin, Instant::now(), is_good.is_some()));
                }
                all
            })
        };
        Clients { threads: (0..THREADS).map(run).collect(), stop }
    }

    /// Begin, end, and whether all went well, of each.
    fn stop(self) -> Vec<(Instant, Instant, bool)> {
        self.stop.store(true, SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Kills servers one after the other until the backup alone is left; sessions that were at a server when it died are its own.
fn no_client_is_lost(settings: &str) {
    let mut servers = [(); 3].map(|()| Server::echo(&[]));
    let backup = Server::echo(&[]);
    let addresses: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
    let (proxy, _file) = server(&format!(
        "{settings}\nservers = [{}, {{ address = \"{}\", backup = true }}]",
        quoted(&addresses),
        backup.address()
    ));
    let clients = Clients::start(proxy.address(), 250);
    thread::sleep(Duration::from_millis(300));
    let mut kills = Vec::new();
    for server in &mut servers {
        let begin = Instant::now();
        server.die_of(Signal::KILL);
        kills.push((begin, Instant::now()));
        thread::sleep(Duration::from_millis(300));
    }
    let all = clients.stop();
    assert!(all.len() > 200, "{} clients", all.len());
    let overlaps = |begin: Instant, end: Instant| kills.iter().any(|(from, to)| begin <= *to && end >= *from);
    let (owned, lost) = all
        .iter()
        .filter(|(.., is_good)| !is_good)
        .copied()
        .partition::<Vec<_>, _>(|(begin, end, _)| overlaps(*begin, *end));
    assert!(lost.is_empty(), "{} of {} clients are lost", lost.len(), all.len());
    assert!(owned.len() <= 30, "{} of {} had to do with a kill", owned.len(), all.len());
    exchange(&mut proxy.connect(), b"hello");
    let connect = proxy.await_event("connect", |event| event["server"] == *backup.address().to_string());
    assert!(connect["why"].as_str().unwrap().contains("a backup"), "{connect}");
}

#[test]
fn no_client_is_lost_while_a_backup_is_left() {
    no_client_is_lost("");
}

#[test]
fn no_client_is_lost_while_a_backup_is_left_though_checks_have_not_noticed() {
    no_client_is_lost("check = { every = \"60s\" }\neject = \"off\"");
}

#[test]
fn a_server_that_swallows_requests_costs_its_connect_timeout_and_is_set_aside() {
    let (good, silent) = (peer::echoes(), unreachable::never_accepts());
    let (server, _file) = server(&format!(
        "connect-timeout = \"200ms\"\neject = {{ failures = 2, for = \"60s\" }}\nservers = [{}]",
        quoted([&silent.address, &good.address])
    ));
    for _ in 0..10 {
        exchange(&mut server.connect(), b"hello");
    }
    let ejected = wait_changed(&server, silent.address, "ejected");
    assert!(ejected["why"].as_str().unwrap().contains("did not answer within 0.2 s"), "{ejected}");
    let waited = server
        .events()
        .into_iter()
        .filter(|event| event["event"] == "connect" && event["tried"][0]["error"] == "connect_timeout");
    assert_eq!(waited.count(), 2, "two clients waited for it");
}

#[test]
fn with_no_server_left_the_client_is_reset_and_each_was_tried_once() {
    let (one, _one) = unreachable::refuses();
    let (other, _other) = unreachable::refuses();
    let (server, _file) = server(&format!("retries = 5\nservers = [{}]", quoted([&one, &other])));
    let mut client = server.connect();
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    let close = server.await_close(client.local_addr().unwrap());
    assert_eq!(close["cause"], "no_server", "{close}");
    let mut tried: Vec<_> =
        close["tried"].as_array().unwrap().iter().map(|one| one["server"].to_string()).collect();
    tried.sort_unstable();
    let mut both = [one, other].map(|address| format!("\"{address}\""));
    both.sort_unstable();
    assert_eq!(tried, both, "{close}");
}

#[test]
fn a_check_takes_a_server_down_and_up_again_and_both_are_told_once() {
    let (refuses, reserved) = unreachable::refuses();
    let good = peer::says_its_port();
    let (server, _file) = server(&format!(
        "check = {{ every = \"50ms\", fall = 2, rise = 2 }}\nservers = [{}]",
        quoted([&refuses, &good.address])
    ));
    let down = wait_changed(&server, refuses, "down");
    assert_eq!((&down["upstream_group"], &down["why"]), (&"db".into(), &"connect refused".into()));
    wait_changed(&server, good.address, "up");
    for _ in 0..4 {
        assert_eq!(port_of(&server), good.address.port());
    }
    let connect = server.await_event("connect", |_| true);
    assert!(connect["why"].as_str().unwrap().contains(&format!("{refuses} down ")), "{connect}");
    reserved.listen(128).unwrap();
    wait_changed(&server, refuses, "up");
    thread::sleep(Duration::from_millis(300));
    let events = server.events();
    let of = |event: &&Value| event["event"] == "server" && event["server"] == *refuses.to_string();
    let states: Vec<_> = events.iter().filter(of).map(|event| event["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["down", "up"]);
}

#[test]
fn a_check_costs_a_server_one_connection_a_period_whatever_the_number_of_threads_and_upstreams() {
    const EVERY: Duration = Duration::from_millis(100);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let fake = Fake::start(move |mut stream, _| {
        counted.fetch_add(1, SeqCst);
        let _ = stream.write_all(b"220 ready\r\n");
        read_to_end(&mut stream)
    });
    let file = NamedTempFile::new().unwrap();
    let check = "check = { every = \"100ms\", expect = \"220\" }";
    let upstream = format!("{check}\nservers = [\"{}\"]", fake.address);
    let server = Server::of_upstream(file.path(), &format!("{upstream}\n[upstream.twin]\n{upstream}"));
    for _ in 0..2 {
        // Of each upstream.
        wait_changed(&server, fake.address, "up");
    }
    let (begin, before) = (Instant::now(), connections.load(SeqCst));
    thread::sleep(EVERY * 15);
    let count = connections.load(SeqCst) - before;
    let periods = begin.elapsed().as_secs_f64() / EVERY.as_secs_f64();
    // A period may be a tenth shorter.
    assert!(count as f64 <= periods / 0.9 + 1.0, "{count} connections in {periods} periods");
    assert!(count >= 5, "{count}");
    for _ in 0..count {
        assert_eq!(fake.await_received(), Received { bytes: Vec::new(), end: End::Fin }, "it ends politely");
    }
}

#[test]
fn sessions_of_a_server_that_goes_down_stay_or_are_cut_as_the_file_says() {
    for (setting, is_cut) in [("keep", false), ("cut", true)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("health");
        // It answers checks only while the file is there.
        let seen = path.clone();
        std::fs::write(&path, "").unwrap();
        let fake = Fake::start(move |mut stream, _| {
            let mut word = [0; 5];
            let end = loop {
                match stream.read_exact(&mut word) {
                    Ok(()) if word == *b"CHECK" && !seen.exists() => break End::Fin,
                    Ok(()) => drop(stream.write_all(&word)),
                    Err(_) => break End::Reset,
                }
            };
            Received { bytes: Vec::new(), end }
        });
        let (server, _file) = server(&format!(
            "on-down = \"{setting}\"\ncheck = {{ every = \"50ms\", fall = 1, send = \"CHECK\", expect = \"CHECK\" }}\n\
             servers = [\"{}\"]",
            fake.address
        ));
        let mut client = server.connect();
        exchange(&mut client, b"hello");
        std::fs::remove_file(&path).unwrap();
        let down = wait_changed(&server, fake.address, "down");
        assert_eq!(down["why"], "the answer does not hold \"CHECK\"");
        if is_cut {
            assert_eq!(read_to_end(&mut client).end, End::Reset);
            assert_eq!(server.await_close(client.local_addr().unwrap())["cause"], "cut");
        } else {
            exchange(&mut client, b"still");
        }
    }
}

#[test]
fn a_unix_server_is_a_member_and_is_checked() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let flags = ["--listen", &listen];
    let echo = Launch { mode: "echo", flags: &flags, shell: None, output: Output::Read }.start();
    let (server, _file) = server(&format!("check = {{ every = \"50ms\" }}\nservers = [\"{listen}\"]"));
    server.await_event("server", |event| event["server"] == *listen && event["state"] == "up");
    exchange(&mut server.connect(), b"hello");
    drop(echo);
    let down = server.await_event("server", |event| event["state"] == "down");
    assert_eq!(down["why"], "connect refused");
}

#[test]
fn a_reload_keeps_states_and_checks_go_on() {
    let (refuses, _reserved) = unreachable::refuses();
    let (good, new) = (peer::says_its_port(), peer::says_its_port());
    let upstream = |more: &[&SocketAddr]| {
        let servers = quoted([&refuses, &good.address].into_iter().chain(more.iter().copied()));
        format!("check = {{ every = \"50ms\", fall = 1 }}\nservers = [{servers}]")
    };
    let (server, file) = server(&upstream(&[]));
    wait_changed(&server, refuses, "down");
    let text = std::fs::read_to_string(file.path()).unwrap();
    std::fs::write(file.path(), text.replace(&upstream(&[]), &upstream(&[&new.address]))).unwrap();
    server.signal(Signal::HUP);
    wait_changed(&server, new.address, "up");
    within(LIMIT, "the new server has a session", || {
        let port = port_of(&server);
        assert_ne!(port, refuses.port());
        (port == new.address.port()).then_some(())
    });
    let count = server.events().iter().filter(|event| event["server"] == *refuses.to_string()).count();
    assert_eq!(count, 1, "that it is down is known already");
}
