//! A reload: what it changes for new connections, and that it changes nothing for live ones (SIGHUP, `ctl reload`).

use crate::support::{
    fake::{peer, unreachable},
    operator::run,
    port,
    program::binary,
    server::Server,
    stream::{End, connect, connect_from, exchange, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    io::Write,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use tempfile::TempDir;

/// A server with a file that changes.
struct Reloaded {
    server: Server,
    folder: TempDir,
    applied: usize,
}

impl Reloaded {
    /// `text` follows what every file begins with.
    fn start(text: &str, listeners: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let head = Self::head(&folder);
        let server = Server::run(&folder.path().join("a.toml"), &format!("{head}{text}"), listeners);
        Reloaded { server, folder, applied: 0 }
    }

    fn head(folder: &TempDir) -> String {
        format!("control = {:?}\nlog = \"json\"\nthreads = 2\n", folder.path().join("c").to_str().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("a.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), format!("{}{text}", Self::head(&self.folder))).unwrap();
    }

    fn ctl(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = binary();
        command.arg("ctl").arg("--control").arg(self.folder.path().join("c")).args(words);
        let run = run(command);
        (run.code, run.stdout, run.stderr)
    }

    /// Reloads by `ctl` with this text; what it says that has changed.
    fn reload(&mut self, text: &str) -> Vec<String> {
        self.write(text);
        let (code, told, wrong) = self.ctl(&["reload"]);
        assert_eq!((code, wrong.as_str()), (0, ""), "{told}");
        self.applied += 1;
        told.lines().map(str::to_owned).collect()
    }

    /// The `config` events so far.
    fn configs(&self) -> Vec<Value> {
        self.server.events().into_iter().filter(|event| event["event"] == "config").collect()
    }
}

/// A listener with a name, at an address of its own.
fn listener(name: &str, listen: SocketAddr, upstream: impl ToString) -> String {
    format!("[listener.{name}]\nlisten = \"{listen}\"\nupstream = \"{}\"\n", upstream.to_string())
}

/// Whether a connection is refused.
fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn a_file_that_says_the_same_changes_nothing() {
    let (web, peer) = (port::unused(), peer::echoes());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    let same = format!("# a comment\n{}idle-timeout = \"60m\"\n", listener("web", web, peer.address));
    assert_eq!(server.reload(&same), ["nothing has changed"]);
    assert_eq!(server.ctl(&["diff"]), (0, "nothing has changed\n".into(), String::new()));
    exchange(&mut connect(web), b"still");
}

#[test]
fn what_the_server_of_an_address_is_sent_otherwise_is_told() {
    let (web, peer) = (port::unused(), peer::echoes());
    let text = |version: &str| listener("web", web, peer.address) + &format!("send-proxy = {version:?}\n");
    let mut server = Reloaded::start(&text("v1"), 1);
    let wanted = "listener web: send-proxy: v1 to v2";
    server.write(&text("v2"));
    assert_eq!(server.ctl(&["diff"]).1, format!("{wanted}\n"));
    assert_eq!(server.reload(&text("v2")), [wanted]);
    let applied = within(LIMIT, "the reload", || server.configs().first().cloned());
    assert_eq!(applied["changes"], serde_json::json!([wanted]));
    assert_eq!(server.reload(&text("off")), ["listener web: send-proxy: v2 to off"]);
}

#[test]
fn a_listener_comes_and_goes_and_its_sessions_live_on() {
    let (web, more, peer) = (port::unused(), port::unused(), peer::echoes());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    let mut before = connect(web);
    exchange(&mut before, b"before");
    let both = listener("web", web, peer.address) + &listener("more", more, peer.address);
    assert_eq!(server.reload(&both), [format!("listener more: added, on {more}")]);
    exchange(&mut connect(more), b"new");
    exchange(&mut before, b"goes on");
    let told = server.reload(&listener("more", more, peer.address));
    assert_eq!(told, [format!("listener web: removed, from {web}")]);
    assert!(refuses(web), "it is not listened on any more");
    exchange(&mut before, b"lives on");
    exchange(&mut connect(more), b"is there");
}

#[test]
fn a_listener_that_is_renamed_keeps_its_socket() {
    let (web, peer) = (port::unused(), peer::echoes());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    exchange(&mut connect(web), b"in");
    let told = server.reload(&listener("site", web, peer.address));
    assert_eq!(told, ["listener web: renamed to site"]);
    exchange(&mut connect(web), b"in");
    server.server.await_closes(2);
    let names: Vec<Value> = server
        .server
        .events()
        .iter()
        .filter(|one| one["event"] == "open")
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, ["web", "site"]);
}

#[test]
fn new_connections_follow_new_rules_and_live_ones_keep_theirs() {
    let (web, one, other) = (port::unused(), peer::echoes(), peer::half_closes_first(b"other".to_vec()));
    let mut server = Reloaded::start(&listener("web", web, one.address), 1);
    let mut before = connect(web);
    exchange(&mut before, b"one");
    let told = server.reload(&listener("web", web, other.address));
    assert_eq!(told, [format!("listener web: upstream {} to {}", one.address, other.address)]);
    let mut after = connect(web);
    assert_eq!(read_to_end(&mut after).bytes, b"other");
    exchange(&mut before, b"still one");
    let denies = listener("web", web, other.address) + "deny = \"127.0.0.2\"\n";
    assert_eq!(server.reload(&denies), ["listener web: deny: none to 127.0.0.2"]);
    let mut denied = connect_from([127, 0, 0, 2].into(), web);
    assert_eq!(read_to_end(&mut denied).end, End::Reset);
    exchange(&mut before, b"not asked again");
}

#[test]
fn a_fault_anywhere_changes_nothing_and_says_where() {
    let (web, more, peer) = (port::unused(), port::unused(), peer::echoes());
    let good = listener("web", web, peer.address);
    let mut server = Reloaded::start(&good, 1);
    let mut before = connect(web);
    exchange(&mut before, b"before");
    server.write(&(listener("more", more, peer.address) + "idle-timeout = \"soon\"\n"));
    let (code, told, wrong) = server.ctl(&["reload"]);
    assert_eq!((code, told.as_str()), (1, ""));
    let place = format!("{}:7:16: error: ", server.file().display());
    assert!(wrong.contains(&place) && wrong.contains("soon"), "{wrong}");
    assert!(refuses(more));
    exchange(&mut connect(web), b"as before");
    // An address that is taken refuses everything, also what could have been bound.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = good.clone()
        + &listener("more", more, peer.address)
        + &listener("taken", taken.local_addr().unwrap(), peer.address);
    server.write(&text);
    let (code, _, wrong) = server.ctl(&["reload"]);
    assert!(code == 1 && wrong.contains(&taken.local_addr().unwrap().to_string()), "{wrong}");
    assert!(refuses(more));
    // A file that vanishes.
    fs::remove_file(server.file()).unwrap();
    assert_eq!(server.ctl(&["reload"]).0, 1);
    exchange(&mut before, b"before and after");
    let states = || server.configs().iter().map(|one| one["state"].clone()).collect::<Vec<_>>();
    within(LIMIT, "each refusal is told", || (states().len() == 3).then_some(()));
    let states = states();
    assert_eq!(states, ["refused"; 3]);
    assert_eq!(server.reload(&good), ["nothing has changed"]);
}

#[test]
fn a_hangup_reloads_and_tells_it() {
    let (web, more, peer) = (port::unused(), port::unused(), peer::echoes());
    let server = Reloaded::start(&listener("web", web, peer.address), 1);
    server.write(&(listener("web", web, peer.address) + &listener("more", more, peer.address)));
    server.server.signal(Signal::HUP);
    let applied = within(LIMIT, "the reload", || server.configs().first().cloned());
    assert_eq!(applied["state"], "applied");
    assert_eq!(applied["changes"], serde_json::json!([format!("listener more: added, on {more}")]));
    exchange(&mut connect(more), b"new");
}

#[test]
fn what_an_operator_said_of_a_server_outlives_a_reload_and_another_name() {
    let (web, one, other) = (port::unused(), peer::echoes(), peer::echoes());
    let group = |name: &str, weight: u32| {
        let servers =
            format!("[\"{}\", {{ address = \"{}\", weight = {weight} }}]", one.address, other.address);
        listener("web", web, name) + &format!("[upstream.{name}]\nservers = {servers}\n")
    };
    let mut server = Reloaded::start(&group("db", 1), 1);
    assert_eq!(server.ctl(&["server", &format!("db/{}", other.address), "drain"]).0, 0);
    let told = server.reload(&group("db", 5));
    assert_eq!(told, [format!("upstream db: server {} weight: 1 to 5", other.address)]);
    let told = server.reload(&group("pg", 5));
    assert!(
        told.contains(&"upstream db: renamed to pg".to_owned())
            || told.iter().any(|line| line.starts_with("upstream pg")),
        "{told:?}"
    );
    let (_, listed, _) = server.ctl(&["server", "pg", "--json"]);
    let states: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone()).collect();
    assert_eq!(states, ["up", "draining"]);
    for _ in 0..4 {
        exchange(&mut connect(web), b"in");
    }
    let closes = server.server.await_closes(4);
    assert!(closes.iter().all(|close| close["server"] == one.address.to_string()), "{closes:?}");
}

#[test]
fn a_server_that_is_removed_keeps_its_sessions_and_is_shown_until_they_end() {
    let (web, one, other) = (port::unused(), peer::echoes(), peer::echoes());
    let group = |servers: &[SocketAddr]| {
        let servers: Vec<String> = servers.iter().map(|one| format!("\"{one}\"")).collect();
        listener("web", web, "db") + &format!("[upstream.db]\nservers = [{}]\n", servers.join(", "))
    };
    let mut server = Reloaded::start(&group(&[one.address]), 1);
    let mut before = connect(web);
    exchange(&mut before, b"one");
    let told = server.reload(&group(&[other.address]));
    assert_eq!(
        told,
        [
            format!("upstream db: server {} added", other.address),
            format!("upstream db: server {} removed", one.address)
        ]
    );
    let leaving = |server: &Reloaded| {
        let (_, listed, _) = server.ctl(&["server", "--json"]);
        listed.lines().any(|line| line.contains("\"leaving\"") && line.contains(&one.address.to_string()))
    };
    assert!(leaving(&server));
    exchange(&mut before, b"goes on");
    before.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut before);
    server.server.await_closes(1);
    within(LIMIT, "the last session has left", || (!leaving(&server)).then_some(()));
}

#[test]
fn limits_of_the_program_follow_a_reload() {
    let (web, peer) = (port::unused(), peer::echoes());
    let text = |max: &str| {
        format!("max-sessions = {max}\nmax-per-source = 10\n") + &listener("web", web, peer.address)
    };
    let mut server = Reloaded::start(&text("100"), 1);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = connect(web);
            exchange(&mut client, b"in");
            client
        })
        .collect();
    assert_eq!(server.reload(&text("2")), ["max-sessions: 100 to 2"]);
    // One more waits until there is room.
    let mut waiting = connect(web);
    waiting.write_all(b"x").unwrap();
    let less = text("2").replace("max-per-source = 10", "max-per-source = 4");
    assert_eq!(server.reload(&less), ["max-per-source: 10 to 4"]);
    drop(clients);
    let mut answer = [0];
    std::io::Read::read_exact(&mut waiting, &mut answer).unwrap();
}

#[test]
fn reloads_under_load_lose_no_connection_and_change_no_transfer() {
    const RELOADS: usize = 20;
    let (web, more, one, other) = (port::unused(), port::unused(), peer::echoes(), peer::echoes());
    let (_refusing, _kept) = unreachable::refuses();
    let text = |turn: usize| {
        let to = if turn.is_multiple_of(2) { one.address } else { other.address };
        let second = if turn.is_multiple_of(3) { listener("more", more, to) } else { String::new() };
        listener("web", web, to) + &second + &format!("idle-timeout = \"{}m\"\n", turn + 1)
    };
    let mut server = Reloaded::start(&text(1), 1);
    let mut transfers: Vec<TcpStream> = (0..50).map(|_| connect(web)).collect();
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, made) = (over.clone(), made.clone());
            thread::spawn(move || {
                while !over.load(Relaxed) {
                    let mut client = connect(web);
                    exchange(&mut client, b"short");
                    made.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for turn in 2..2 + RELOADS {
        assert!(!server.reload(&text(turn)).is_empty());
        transfers.iter_mut().for_each(|client| exchange(client, &[turn as u8; 4096]));
    }
    over.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(made.load(Relaxed) > RELOADS);
    drop(transfers);
    let closes = server.server.await_closes(made.load(Relaxed) + 50);
    let wrong: Vec<_> = closes
        .iter()
        .filter(|close| !["done", "client_reset"].contains(&close["cause"].as_str().unwrap()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn threads_come_and_go_and_no_connection_is_lost() {
    let (web, peer) = (port::unused(), peer::echoes());
    let text = |threads: usize| listener("web", web, peer.address).replacen("", &format!("# {threads}\n"), 1);
    let server = Reloaded::start(&text(2), 1);
    let count = |server: &Reloaded| {
        fs::read_dir(format!("/proc/{}/task", server.server.process().0))
            .unwrap()
            .filter(|task| {
                let name = fs::read_to_string(task.as_ref().unwrap().path().join("comm")).unwrap_or_default();
                name.starts_with("shard ")
            })
            .count()
    };
    let mut before: Vec<_> = (0..8).map(|_| connect(web)).collect();
    before.iter_mut().for_each(|client| exchange(client, b"before"));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Relaxed) {
                    exchange(&mut connect(web), b"short");
                }
            })
        })
        .collect();
    let mut now = 2;
    for (threads, more) in [(4, 3), (1, 3), (3, 3), (2, 3), (5, 4)] {
        let file = fs::read_to_string(server.file()).unwrap();
        let file = file.replace(&format!("threads = {now}\n"), &format!("threads = {threads}\n"));
        fs::write(server.file(), file).unwrap();
        let (code, told, wrong) = server.ctl(&["reload"]);
        assert_eq!((code, told, wrong), (0, format!("threads: {now} to {threads}\n"), String::new()));
        // A shard that takes no new sessions stays for those that it has.
        assert_eq!(count(&server), more, "{threads}");
        before.iter_mut().for_each(|client| exchange(client, b"lives on"));
        now = threads;
    }
    over.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_refused_reload_changes_no_limit_and_no_state_of_a_server() {
    let (web, one) = (port::unused(), peer::echoes());
    let (down, _kept) = unreachable::refuses();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let group = |check: &str| {
        let servers = format!("servers = [\"{}\", \"{down}\"]\n", one.address);
        format!("[upstream.db]\n{servers}{check}eject = {{ failures = 1000 }}\n")
    };
    let check = "check = { every = \"100ms\", fall = 1 }\n";
    let mut server = Reloaded::start(
        &(String::from("max-per-source = 50\n") + &listener("web", web, "db") + &group(check)),
        1,
    );
    let states = |server: &Reloaded| {
        let (_, listed, _) = server.ctl(&["server", "--json"]);
        let state = |line: &str| serde_json::from_str::<Value>(line).unwrap()["state"].clone();
        listed.lines().map(state).collect::<Vec<_>>()
    };
    within(LIMIT, "a check finds it", || (states(&server) == ["up", "down"]).then_some(()));
    let refused = String::from("max-per-source = 1\nmax-sessions = 1\n")
        + &listener("web", web, "db")
        + &listener("taken", taken.local_addr().unwrap(), "db")
        + &group("");
    server.write(&refused);
    assert_eq!(server.ctl(&["reload"]).0, 1);
    assert_eq!(states(&server), ["up", "down"]);
    let mut clients: Vec<_> = (0..3).map(|_| connect(web)).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"no other limit"));
    drop(taken);
    assert!(!server.reload(&refused.replace("max-sessions = 1\n", "")).is_empty());
    assert_eq!(states(&server), ["up"; 2], "it is not checked any more");
    assert_eq!(read_to_end(&mut connect(web)).end, End::Reset, "the new limit counts those that are there");
}

#[test]
fn a_group_may_have_servers_of_several_families_and_a_reload_may_go_from_one_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let (web, one) = (port::unused(), peer::echoes());
    let Ok(six) = TcpListener::bind("[::1]:0") else { return };
    let six_address = six.local_addr().unwrap();
    thread::spawn(move || {
        for client in six.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
        }
    });
    let path = folder.path().join("peer");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for client in unix.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
        }
    });
    let all = format!("[\"{}\", \"{six_address}\", \"unix:{}\"]", one.address, path.display());
    let group = |servers: &str| listener("web", web, "db") + &format!("[upstream.db]\nservers = {servers}\n");
    let mut server = Reloaded::start(&group(&all), 1);
    for _ in 0..9 {
        exchange(&mut connect(web), b"by turns");
    }
    let closes = server.server.await_closes(9);
    let of = |address: &str| closes.iter().filter(|close| close["server"] == address).count();
    assert_eq!([of(&one.address.to_string()), of(&six_address.to_string())], [3, 3], "{closes:?}");
    for servers in [format!("[\"{}\"]", one.address), format!("[\"{six_address}\"]"), all] {
        server.reload(&group(&servers));
        for _ in 0..3 {
            exchange(&mut connect(web), b"after a reload");
        }
    }
}

#[test]
fn a_file_that_does_not_end_keeps_no_server_from_stopping() {
    let (web, peer) = (port::unused(), peer::echoes());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    fs::remove_file(server.file()).unwrap();
    let mkfifo = std::process::Command::new("mkfifo").arg(server.file()).status().unwrap();
    assert!(mkfifo.success());
    server.server.signal(Signal::HUP);
    exchange(&mut connect(web), b"it serves meanwhile");
    assert_eq!(server.server.stop(), 0);
}

#[test]
fn the_control_socket_moves_after_the_answer_and_metrics_move_without_a_gap() {
    let (web, peer, metrics) = (port::unused(), peer::echoes(), port::unused());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    let file = fs::read_to_string(server.file()).unwrap();
    let moved = server.folder.path().join("moved");
    let file = file.replace(server.folder.path().join("c").to_str().unwrap(), moved.to_str().unwrap());
    fs::write(server.file(), format!("metrics = \"{metrics}\"\n{file}")).unwrap();
    let (code, told, wrong) = server.ctl(&["reload"]);
    assert_eq!((code, wrong.as_str()), (0, ""), "{told}");
    assert!(
        told.contains("control: another one") && told.contains(&format!("metrics: off to {metrics}")),
        "{told}"
    );
    let mut command = binary();
    command.arg("ctl").arg("--control").arg(&moved).arg("ready");
    let answer = run(command);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "accepting\n"));
    assert!(TcpStream::connect(metrics).is_ok());
    server.applied += 1;
}

#[test]
fn the_queue_of_a_listener_that_goes_is_served_once_there_is_room() {
    let (web, peer) = (port::unused(), peer::echoes());
    let mut server = Reloaded::start(&listener("web", web, peer.address), 1);
    assert_eq!(server.ctl(&["pause"]).0, 0);
    let mut waiting: Vec<_> = (0..10).map(|_| connect(web)).collect();
    waiting.iter_mut().for_each(|client| client.write_all(b"waits").unwrap());
    let other = port::unused();
    server.reload(&listener("web", other, peer.address));
    assert_eq!(server.ctl(&["resume"]).0, 0);
    for client in &mut waiting {
        let mut answer = [0; 5];
        std::io::Read::read_exact(client, &mut answer).unwrap();
        assert_eq!(&answer, b"waits");
    }
    within(LIMIT, "then it is closed", || refuses(web).then_some(()));
    exchange(&mut connect(other), b"here");
}

#[test]
fn those_who_may_not_connect_have_a_line_a_second_and_each_is_counted() {
    const COUNT: usize = 40;
    let (web, peer) = (port::unused(), peer::echoes());
    let text = listener("web", web, peer.address) + "deny = \"127.0.0.2\"\n";
    let server = Reloaded::start(&text, 1);
    for _ in 0..COUNT {
        let mut client = connect_from([127, 0, 0, 2].into(), web);
        assert_eq!(read_to_end(&mut client).end, End::Reset);
    }
    let (_, stats, _) = server.ctl(&["stats", "--json"]);
    let stats: Value = serde_json::from_str(stats.trim()).unwrap();
    assert_eq!(stats["causes"]["refused_access"], COUNT);
    let lines = server.server.events().iter().filter(|event| event["event"] == "close").count();
    assert!(lines < COUNT / 2, "{lines}");
}
