//! Faults of a listener as a whole, on several threads: each has a socket of its own, and a queue.

use crate::support::{
    api::{self, Api},
    fake::peer,
    operator::Operated,
    stream::{End, bounded, connect, exchange, read_exactly, read_to_end},
    wait::{LIMIT, within},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType},
    process::Signal,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A SYN that was dropped comes again a second after it (RFC 6298 §2).
const TRY: Duration = Duration::from_millis(300);

const THREADS: [&str; 2] = ["--threads", "2"];

fn try_connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, ErrorKind> {
    TcpStream::connect_timeout(&address, limit).map_err(|error| error.kind())
}

#[test]
fn while_accept_stall_is_there_connects_time_out_and_live_sessions_go_on() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &THREADS);
    let address = operated.server.address();
    let mut live: Vec<TcpStream> = operated.server.greeted(4);
    operated.fault("add accept_stall");
    // The kernel chooses the thread by the ports: all of them are full.
    for _ in 0..12 {
        assert_eq!(try_connect(address, TRY).err(), Some(ErrorKind::TimedOut));
    }
    live.iter_mut().for_each(|client| exchange(client, b"on"));
    let waiting: Vec<_> = (0..4).map(|_| thread::spawn(move || connect(address))).collect();
    thread::sleep(TRY);
    assert!(!waiting.iter().any(|client| client.is_finished()));
    operated.fault("remove --all");
    // Who waits gets in with its next SYN, and who comes now at once.
    let begin = Instant::now();
    exchange(&mut connect(address), b"hello");
    assert!(begin.elapsed() < Duration::from_millis(900), "{:?}", begin.elapsed());
    for client in waiting {
        exchange(&mut client.join().unwrap(), b"late");
    }
    drop(live);
    let opened = operated.server.await_closes(9);
    assert_eq!(opened.len(), 9, "what filled the queues was no session: {opened:?}");
    operated.fault("add accept_stall");
    assert_eq!(try_connect(address, TRY).err(), Some(ErrorKind::TimedOut), "it works again and again");
}

#[test]
fn accept_stall_begins_and_ends_by_its_schedule() {
    let operated = Operated::start("echo", &THREADS);
    let address = operated.server.address();
    let begin = Instant::now();
    operated.fault("add accept_stall --for 500ms");
    let client = bounded(try_connect(address, LIMIT).unwrap());
    assert!(begin.elapsed() >= Duration::from_millis(450), "{:?}", begin.elapsed());
    drop(client);
    within(LIMIT, "it is gone", || operated.faults().is_empty().then_some(()));
    exchange(&mut connect(address), b"hello");
}

#[test]
fn accept_stall_is_refused_where_it_cannot_be() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = format!("unix:{}", folder.path().join("socket").display());
    let operated = Operated::start("echo", &["--listen", &path]);
    let why =
        "accept_stall is of TCP: a UNIX socket drops no requests, so that its clients would not time out";
    operated.assert_fails(&["fault", "add", "accept_stall"], why);
}

#[test]
fn a_listener_that_flaps_refuses_and_cuts_and_comes_back_to_its_port() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &THREADS);
    let address = operated.server.address();
    let mut live = operated.server.greeted(1).remove(0);
    operated.fault("add flap down=400ms up=800ms");
    let received = read_to_end(&mut live);
    assert!(received.bytes.is_empty() && received.end == End::Fin, "{:?}", received.end);
    let close = operated.server.await_closes(1).remove(0);
    assert_eq!((&close["cause"], &close["fault"]), (&json!("fault"), &json!("flap_downstream")));
    let is_refused = || try_connect(address, TRY).err() == Some(ErrorKind::ConnectionRefused);
    for _ in 0..2 {
        within(LIMIT, "it is closed", || is_refused().then_some(()));
        within(LIMIT, "it is open", || {
            let mut client = bounded(try_connect(address, TRY).ok()?);
            client.write_all(b"hello").ok()?;
            (read_exactly(&mut client, 5) == b"hello").then_some(())
        });
    }
    within(LIMIT, "it is closed", || is_refused().then_some(()));
    operated.fault("remove --all");
    within(LIMIT, "it is open for good", || (!is_refused()).then_some(()));
    thread::sleep(Duration::from_secs(1));
    exchange(&mut connect(address), b"hello");
}

#[test]
fn accept_stall_of_a_file_stays_over_a_reload_and_goes_with_one() {
    let upstream = peer::echoes();
    let listener = format!("[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n", upstream.address);
    let text = format!("{listener}[[listener.a.fault]]\ntype = \"accept_stall\"\n");
    let operated = Operated::run(&text, 1);
    let (address, file) = (operated.server.address(), operated.socket.with_file_name("file.toml"));
    let stalls = || try_connect(address, TRY).err() == Some(ErrorKind::TimedOut);
    within(LIMIT, "it stalls", || stalls().then_some(()));
    let written = fs::read_to_string(&file).unwrap();
    // The queues get their length anew, and the fault is still there; then it is not.
    fs::write(&file, written.replace("[[", "backlog = 99\n[[")).unwrap();
    assert_eq!(operated.ctl(&["reload"]).code, 0);
    within(LIMIT, "it stalls again", || stalls().then_some(()));
    assert!((0..8).all(|_| stalls()));
    fs::write(&file, written.split("[[").next().unwrap()).unwrap();
    assert_eq!(operated.ctl(&["reload"]).code, 0);
    exchange(&mut connect(address), b"hello");
}

/// A file with these listeners, each on a port that the kernel chooses; the keys of each stand after its name.
fn listeners(upstream: SocketAddr, all: &[(&str, &str)]) -> String {
    let one = |(name, keys): &(&str, &str)| {
        format!("[listener.{name}]\nlisten = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n{keys}")
    };
    all.iter().map(one).collect()
}

const STALL: &str = "[[listener.a.fault]]\ntype = \"accept_stall\"\n";
/// It begins with a down phase that no test sees the end of.
const DOWN: &str = "flap down=1h up=1h";

fn is_refused(address: SocketAddr) -> bool {
    try_connect(address, TRY).err() == Some(ErrorKind::ConnectionRefused)
}

/// The address in the line that says where this listener is.
fn address_of(operated: &Operated, place: usize) -> SocketAddr {
    operated.server.addresses[place].parse().unwrap()
}

#[test]
fn accept_stall_holds_while_plans_change_even_those_of_others() {
    let upstream = peer::echoes();
    let text = listeners(upstream.address, &[("a", STALL), ("b", "backlog = 10\n")]);
    let operated = Operated::run(&text, 2);
    let file = operated.socket.with_file_name("file.toml");
    let address = address_of(&operated, 0);
    within(LIMIT, "it stalls", || try_connect(address, TRY).is_err().then_some(()));
    let is_over = Arc::new(AtomicBool::new(false));
    let connects = |_| {
        let is_over = is_over.clone();
        thread::spawn(move || {
            let connected = || try_connect(address, Duration::from_millis(5)).is_ok();
            (0..).take_while(|_| !is_over.load(Relaxed)).filter(|_| connected()).count()
        })
    };
    let clients: Vec<_> = (0..2).map(connects).collect();
    let written = fs::read_to_string(&file).unwrap();
    for backlog in 11..31 {
        let next = written.replace("backlog = 10", &format!("backlog = {backlog}"));
        fs::write(&file, if backlog % 2 == 0 { next.replace("[[", "backlog = 9\n[[") } else { next })
            .unwrap();
        assert_eq!(operated.ctl(&["reload"]).code, 0);
    }
    is_over.store(true, Relaxed);
    let connected: Vec<usize> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(connected, [0, 0]);
    operated.fault("remove a --all");
    exchange(&mut connect(address), b"hello");
}

#[test]
fn orders_do_not_wait_for_listeners_that_are_stalled_already() {
    let upstream = peer::echoes();
    let text = listeners(upstream.address, &[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
    let operated = Operated::run(&text, 4);
    for name in ["a", "b", "c"] {
        operated.fault(&format!("add {name} accept_stall"));
    }
    let mut talk = operated.talk();
    let begin = Instant::now();
    for number in 0..60 {
        let fault = json!({"name": format!("l{number}"), "type": "noop"});
        talk.say(&json!({"command": "fault_add", "listener": "d", "fault": fault}).to_string());
        let last = talk.last();
        assert_eq!(last["error"], Value::Null, "{last}");
    }
    // Each waited 15 ms at least.
    assert!(begin.elapsed() < Duration::from_millis(600), "{:?}", begin.elapsed());
    (0..4).for_each(|_| assert!(try_connect(address_of(&operated, 0), TRY).is_err()));
}

#[test]
fn an_order_about_a_flap_is_answered_once_the_listener_is_closed_or_open() {
    let operated = Operated::start("echo", &THREADS);
    let address = operated.server.address();
    for _ in 0..10 {
        operated.fault(&format!("add {DOWN}"));
        assert!(is_refused(address));
        operated.fault("remove --all");
        exchange(&mut connect(address), b"hello");
    }
    let lines = operated.server.errors.all();
    let said = lines.iter().filter(|line| line.contains("listening on")).count();
    assert_eq!(said, 1, "a flap does not say it again: {lines:?}");
}

#[test]
fn a_flap_does_not_change_whether_operators_want_a_listener() {
    let (api, upstream) = (Api::start(&[]), peer::echoes());
    let address = api.proxy("a", upstream.address);
    let hour = 3_600_000;
    let flap = json!({"type": "flap", "name": "flap", "attributes": {"down": hour, "up": hour}});
    for _ in 0..2 {
        api.post("/proxies/a/toxics", flap.clone());
        within(LIMIT, "it is closed", || is_refused(address).then_some(()));
        assert_eq!(api.get("/proxies/a")["enabled"], true);
        assert_eq!(api.post("/proxies/a", json!({"enabled": false}))["enabled"], false);
        assert_eq!(api.call("DELETE", "/proxies/a/toxics/flap", "").status, 204);
        thread::sleep(TRY);
        assert!(is_refused(address), "it stays closed");
        assert_eq!(api.get("/proxies/a")["enabled"], false);
        assert_eq!(api.post("/proxies/a", json!({"enabled": true}))["enabled"], true);
        exchange(&mut connect(address), b"hello");
    }
    api.post("/proxies/a", json!({"enabled": false}));
    api.post("/proxies/a/toxics", flap);
    api.post("/proxies/a", json!({"enabled": true}));
    assert!(is_refused(address), "the flap still holds");
    assert_eq!(api.call("DELETE", "/proxies/a/toxics/flap", "").status, 204);
    exchange(&mut connect(address), b"hello");
}

#[test]
fn a_listener_that_is_down_stays_so_over_a_reload_and_comes_back_to_its_port() {
    let upstream = peer::echoes();
    let text = listeners(upstream.address, &[("a", ""), ("b", "backlog = 10\n")]);
    let operated = Operated::run(&text, 2);
    let file = operated.socket.with_file_name("file.toml");
    let address = address_of(&operated, 0);
    let reload = |from: &str, to: &str| {
        let written = fs::read_to_string(&file).unwrap();
        fs::write(&file, written.replace(from, to)).unwrap();
        assert_eq!(operated.ctl(&["reload"]).code, 0);
    };
    operated.fault(&format!("add a {DOWN}"));
    within(LIMIT, "it is closed", || is_refused(address).then_some(()));
    reload("backlog = 10", "backlog = 11");
    (0..5).for_each(|_| assert!(is_refused(address)));
    operated.fault("remove a --all");
    within(LIMIT, "it is open at its port", || try_connect(address, TRY).ok());
    reload("backlog = 11", "backlog = 12");
    exchange(&mut connect(address), b"hello");
}

#[test]
fn a_flap_that_cannot_open_a_listener_again_says_so_once_and_once_it_is_open() {
    let operated = Operated::start("echo", &THREADS);
    let address = operated.server.address();
    operated.fault(&format!("add {DOWN}"));
    let taken = within(LIMIT, "the port is free", || TcpListener::bind(address).ok());
    operated.fault("remove --all");
    let line = operated.server.await_warning("cannot open");
    assert!(line.contains(&address.to_string()) && line.contains("use"), "{line}");
    thread::sleep(Duration::from_millis(1500));
    drop(taken);
    operated.server.await_warning("is open again");
    exchange(&mut connect(address), b"hello");
    let lines = operated.server.errors.all();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count("cannot open"), count("is open again")), (1, 1), "{lines:?}");
}

#[test]
fn a_backlog_that_is_planned_during_accept_stall_is_taken_at_its_end() {
    let upstream = peer::echoes();
    let operated = Operated::run(&listeners(upstream.address, &[("a", STALL)]), 1);
    let file = operated.socket.with_file_name("file.toml");
    let address = address_of(&operated, 0);
    within(LIMIT, "it stalls", || try_connect(address, TRY).is_err().then_some(()));
    let written = fs::read_to_string(&file).unwrap();
    fs::write(&file, written.replace("[[", "backlog = 2\n[[")).unwrap();
    assert_eq!(operated.ctl(&["reload"]).code, 0);
    operated.fault("remove a --all");
    exchange(&mut connect(address), b"hello");
    // A queue holds one more than its length, and each thread has one; a few are accepted before the signal stops all threads.
    operated.server.signal(Signal::STOP);
    let clients: Vec<_> = (0..40).map(|_| thread::spawn(move || try_connect(address, TRY))).collect();
    let connected: Vec<_> = clients.into_iter().filter_map(|one| one.join().unwrap().ok()).collect();
    operated.server.signal(Signal::CONT);
    assert!((2 * 3..2 * 3 + 8).contains(&connected.len()), "{}", connected.len());
}

#[test]
fn a_listener_without_a_name_is_known_by_its_address_while_it_is_down() {
    let operated = Operated::start("echo", &THREADS);
    let name = operated.server.addresses[0].clone();
    operated.fault(&format!("add {name} {DOWN}"));
    assert!(is_refused(operated.server.address()));
    assert_eq!(operated.faults()[0]["listener"], *name);
    operated.fault(&format!("remove {name} flap_downstream"));
    exchange(&mut operated.server.connect(), b"hello");
}

/// Connects again and again, each time for 5 ms; says how many that began while `counts` was set were connected.
fn keep_trying(
    address: SocketAddr,
    counts: &Arc<AtomicBool>,
    is_over: &Arc<AtomicBool>,
) -> JoinHandle<usize> {
    let (counts, is_over) = (counts.clone(), is_over.clone());
    thread::spawn(move || {
        let mut connected = 0;
        while !is_over.load(Relaxed) {
            let is_late = counts.load(Relaxed);
            let client = try_connect(address, Duration::from_millis(5));
            connected += usize::from(is_late && client.is_ok());
        }
        connected
    })
}

#[test]
fn no_connection_gets_in_after_the_answer_to_accept_stall() {
    let operated = Operated::start("echo", &THREADS);
    let mut talk = operated.talk();
    let mut ask = |command: Value| {
        talk.say(&command.to_string());
        let last = talk.last();
        assert_eq!(last["error"], Value::Null, "{last}");
    };
    let name = operated.server.addresses[0].clone();
    for _ in 0..10 {
        let (counts, is_over) = (Arc::default(), Arc::default());
        let clients: Vec<_> =
            (0..3).map(|_| keep_trying(operated.server.address(), &counts, &is_over)).collect();
        thread::sleep(Duration::from_millis(20));
        ask(json!({"command": "fault_add", "listener": name, "fault": {"type": "accept_stall"}}));
        counts.store(true, Relaxed);
        thread::sleep(Duration::from_millis(30));
        is_over.store(true, Relaxed);
        let late: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(late, 0);
        ask(json!({"command": "fault_remove", "listener": name, "all": true}));
    }
}

#[test]
fn a_proxy_that_stalls_does_so_where_it_moves_to() {
    let (api, upstream) = (Api::start(&[]), peer::echoes());
    let former = api.proxy("a", upstream.address);
    api.post("/proxies/a/toxics", json!({"type": "accept_stall"}));
    for _ in 0..5 {
        let moved = api::listen(&api.post("/proxies/a", json!({"listen": "127.0.0.1:0"})));
        let connected = (0..8).filter(|_| try_connect(moved, Duration::from_millis(50)).is_ok()).count();
        assert_eq!(connected, 0);
        assert_ne!(moved, former);
    }
    api.call("DELETE", "/proxies/a/toxics/accept_stall_downstream", "");
    exchange(&mut connect(api::listen(&api.get("/proxies/a"))), b"hello");
}

#[test]
fn accept_stall_and_a_move_to_a_unix_socket_exclude_each_other() {
    let (api, folder) = (Api::start(&[]), tempfile::TempDir::new().unwrap());
    let path = format!("unix:{}", folder.path().join("socket").display());
    let (mut moved, mut stalled) = (0, 0);
    for _ in 0..30 {
        api.proxy("a", "127.0.0.1:9");
        let (add, update) = thread::scope(|scope| {
            let stall = json!({"type": "accept_stall"});
            let add = scope.spawn(|| api.call("POST", "/proxies/a/toxics", stall).status);
            let update = api.call("POST", "/proxies/a", json!({"listen": path})).status;
            (add.join().unwrap(), update)
        });
        moved += usize::from(update == 200);
        stalled += usize::from(add == 200);
        assert!([(200, 400), (400, 200)].contains(&(add, update)), "{add}, {update}");
        assert_eq!(api.call("DELETE", "/proxies/a", "").status, 204);
    }
    assert_eq!(moved + stalled, 30);
}

#[test]
fn a_proxy_that_is_made_while_it_is_down_has_its_port_at_once() {
    let (api, upstream) = (Api::start(&[]), peer::echoes());
    let flap = json!({"type": "flap", "attributes": {"down": 3_600_000, "up": 3_600_000}});
    let proxy = json!({"name": "a", "upstream": upstream.address.to_string(), "toxics": [flap]});
    let address = api::listen(&api.post("/proxies", proxy));
    assert_ne!(address.port(), 0);
    assert!(is_refused(address));
    assert_eq!(api::listen(&api.get("/proxies/a")), address);
    // Who asks the kernel for a port does not get this one; what operators do meanwhile keeps it.
    let others: Vec<_> = (0..200).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    assert!(others.iter().all(|other| other.local_addr().unwrap() != address));
    let other = peer::echoes();
    for change in [
        json!({"enabled": false}),
        json!({"enabled": true}),
        json!({"upstream": other.address.to_string()}),
        json!({"listen": address.to_string()}),
    ] {
        assert_eq!(api::listen(&api.post("/proxies/a", change.clone())), address, "{change}");
        assert!(is_refused(address), "{change}");
    }
    let said =
        || api.server.errors.all().iter().any(|line| line.contains(&format!("listening on {address}")));
    assert!(!said());
    assert_eq!(api.call("DELETE", "/proxies/a/toxics/flap_downstream", "").status, 204);
    exchange(&mut connect(address), b"hello");
    within(LIMIT, "it is told once it listens", || said().then_some(()));
}

#[test]
fn a_port_that_the_kernel_chose_is_held_while_a_flap_has_it_closed() {
    let operated = Operated::start("echo", &THREADS);
    let address = operated.server.address();
    for _ in 0..3 {
        operated.fault(&format!("add {DOWN}"));
        assert!(is_refused(address));
        let bound = fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(!bound.contains(&format!(":{:04X} 00000000:0000 0A", address.port())), "it listens");
        // As the kernel does for connect(): without SO_REUSEADDR a port that somebody holds is none to have.
        let own = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        assert_eq!(rustix::net::bind(&own, &address).unwrap_err(), Errno::ADDRINUSE);
        operated.fault("remove --all");
        exchange(&mut connect(address), b"hello");
    }
}

#[test]
fn a_flap_goes_on_until_the_drain_begins() {
    let mut operated = Operated::start("echo", &["--threads", "2", "--drain-delay", "1h"]);
    let address = operated.server.address();
    operated.fault("add flap down=100ms up=300ms");
    operated.server.signal(Signal::TERM);
    operated.server.await_warning("stopping: not ready any more");
    for _ in 0..3 {
        within(LIMIT, "it is closed", || is_refused(address).then_some(()));
        within(LIMIT, "it is open", || try_connect(address, TRY).ok());
    }
    assert!(!operated.server.errors.all().iter().any(|line| line.starts_with("drain")));
    operated.server.signal(Signal::TERM);
    assert_eq!(operated.server.await_exit(), 0);
}

#[test]
fn an_endpoint_that_stands_twice_has_two_ports_over_every_change() {
    let upstream = peer::echoes();
    let two = "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n";
    let text = format!(
        "[listener.a]\n{two}upstream = \"{0}\"\n[listener.b]\nlisten = \"127.0.0.1:0\"\n\
         upstream = \"{0}\"\nbacklog = 10\n",
        upstream.address
    );
    let operated = Operated::run(&text, 3);
    let file = operated.socket.with_file_name("file.toml");
    let (both, pid) = ([address_of(&operated, 0), address_of(&operated, 1)], operated.server.process());
    let listening = || pid.descriptors().iter().filter(|link| link.starts_with("socket:")).count();
    let before = listening();
    let written = fs::read_to_string(&file).unwrap();
    for backlog in 11..14 {
        fs::write(&file, written.replace("backlog = 10", &format!("backlog = {backlog}"))).unwrap();
        assert_eq!(operated.ctl(&["reload"]).code, 0);
        operated.fault(&format!("add a {DOWN}"));
        assert!(both.iter().all(|address| is_refused(*address)));
        operated.fault("remove a --all");
        both.iter().for_each(|address| exchange(&mut connect(*address), b"hello"));
    }
    within(LIMIT, "no socket is left", || (listening() == before).then_some(()));
    let lines = operated.server.errors.all();
    let said = lines.iter().filter(|line| line.starts_with("listening on")).count();
    assert_eq!(said, 3, "{lines:?}");
    fs::write(&file, written.replace(two, "listen = \"127.0.0.1:0\"\n")).unwrap();
    assert_eq!(operated.ctl(&["reload"]).code, 0);
    exchange(&mut connect(both[0]), b"hello");
    assert!(is_refused(both[1]), "the second is gone");
}
