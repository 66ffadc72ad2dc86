//! SIGUSR2: the program is started anew on the same sockets.

mod faults;

use crate::support::{
    fake::peer,
    manager::Manager,
    operator::{Operated, Talk},
    pattern::pattern,
    proc::Process,
    program::binary_in_shell,
    scrape,
    server::{Launch, Output, Server},
    stream::{self, End, Received, exchange, read_to_end},
    wait::{LIMIT, within},
};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs::{self, Permissions},
    io::Write,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;

/// The process that has taken over. It is no child of the test: dropping it kills it.
struct Successor(u32);

impl Successor {
    /// Waits for the `count`th that `server` tells of, on the standard error that they share.
    fn of(server: &Server, count: usize) -> Successor {
        let pids = || {
            let lines = server.errors.all();
            let pid =
                |line: &String| line.strip_prefix("process ")?.strip_suffix(" has taken over")?.parse().ok();
            lines.iter().filter_map(pid).nth(count - 1)
        };
        Successor(within(LIMIT, "another process takes over", pids))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.cast_signed()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn await_end(&self) {
        let state = || fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        within(LIMIT, "the successor ends", || {
            let is_over = test_kill_process(self.pid()).is_err() || state().contains(") Z ");
            is_over.then_some(())
        });
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.pid(), Signal::KILL);
    }
}

/// Connects again and again, and has each connection echo something to its end; gives how many there were.
fn keep_connecting(address: SocketAddr, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let stop = stop.clone();
    thread::spawn(move || {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut client = stream::connect(address);
            client.write_all(b"one of many").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let received = read_to_end(&mut client);
            assert_eq!(received, Received { bytes: b"one of many".to_vec(), end: End::Fin }, "the {count}th");
            count += 1;
        }
        count
    })
}

/// The rest of a session: what it sends comes back whole, and so does its end.
fn finish(mut client: TcpStream, seed: u64) {
    let sent = pattern(seed, 300_000);
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn({
        let sent = sent.clone();
        move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        }
    });
    let received = read_to_end(&mut client);
    writing.join().unwrap();
    assert!(received == Received { bytes: sent, end: End::Fin }, "{} bytes", received.bytes.len());
}

#[test]
fn no_connection_is_lost_and_live_sessions_finish_whole() {
    for threads in ["1", "2"] {
        let mut server = Server::echo(&["--threads", threads, "--drain-timeout", "60s"]);
        let live = server.greeted(10);
        let stop = Arc::default();
        let streams: Vec<_> = (0..3).map(|_| keep_connecting(server.address(), &stop)).collect();
        server.await_closes(60);
        server.signal(Signal::USR2);
        let first = Successor::of(&server, 1);
        // The new one is replaced as well; its sockets were passed to it.
        server.await_closes(200);
        first.signal(Signal::USR2);
        let second = Successor::of(&server, 2);
        server.await_closes(400);
        stop.store(true, Ordering::Relaxed);
        let count: usize = streams.into_iter().map(|stream| stream.join().unwrap()).sum();
        assert!(count > 300, "only {count} connections");
        first.await_end();
        // A signal that is meant for the successor may reach the one that drains, too.
        server.signal(Signal::USR2);
        for (client, seed) in live.into_iter().zip(50..) {
            finish(client, seed);
        }
        assert_eq!(server.await_exit(), 0);
        exchange(&mut server.connect(), b"served by the last");
        second.signal(Signal::TERM);
        second.await_end();
        assert!(TcpStream::connect(server.address()).is_err(), "somebody listens");
        let causes = server.events().into_iter().filter(|event| event["event"] == "close");
        assert!(causes.map(|close| close["cause"].clone()).all(|cause| cause == "done"));
    }
}

#[test]
fn a_connection_that_waits_in_the_queue_is_served_by_either() {
    let mut server = Server::echo(&["--max-sessions", "1", "--threads", "1"]);
    let mut first = server.connect();
    exchange(&mut first, b"the only one");
    let mut waiting: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    for client in waiting.drain(..) {
        finish(client, 7);
    }
    finish(first, 8);
    assert_eq!(server.await_exit(), 0);
    drop(successor);
}

#[test]
fn control_metrics_agent_and_the_files_of_sockets_go_over() {
    let folder = TempDir::new().unwrap();
    let [socket, control] = ["socket", "control"].map(|name| folder.path().join(name));
    let listen = format!("unix:{}", socket.display());
    let flags = [
        ["--listen", &listen],
        ["--control", control.to_str().unwrap()],
        ["--metrics", "127.0.0.1:0"],
        ["--agent", "127.0.0.1:0"],
        ["--drain-timeout", "60s"],
    ];
    let mut server = Server::echo(&flags.concat());
    let metrics = server.await_warning("metrics on ");
    let agent = server.await_warning("agent on ");
    let connect = || {
        let client = UnixStream::connect(&socket).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client
    };
    let mut live = connect();
    exchange(&mut live, b"live");
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    server.await_warning("draining: 1 session");
    // The one that drains does not answer there any more.
    within(LIMIT, "the successor has the control socket", || {
        (Talk::connect(&control).greeting["pid"] == successor.0).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(Talk::connect(&control).greeting["pid"], successor.0);
    }
    let again = server.errors.all();
    for line in [&metrics, &agent] {
        assert_eq!(again.iter().filter(|other| *other == line).count(), 2, "the same address: {again:?}");
    }
    let at = metrics.strip_prefix("metrics on ").unwrap().parse().unwrap();
    let agent = agent.strip_prefix("agent on ").unwrap().parse().unwrap();
    for _ in 0..10 {
        assert_eq!(scrape::get(at, "/readyz").status, 200);
        assert_eq!(read_to_end(&mut stream::connect(agent)).bytes, b"up 100% ready\n");
    }
    exchange(&mut live, b"live still");
    drop(live);
    assert_eq!(server.await_exit(), 0);
    assert!(socket.exists() && control.exists(), "they belong to the successor now");
    exchange(&mut connect(), b"by the successor");
    successor.signal(Signal::TERM);
    successor.await_end();
    assert!(!socket.exists() && !control.exists());
}

#[test]
fn who_asked_just_before_is_not_told_that_its_address_drains() {
    let mut server = Server::echo(&["--metrics", "127.0.0.1:0", "--drain-timeout", "60s"]);
    let mut live = server.connect();
    exchange(&mut live, b"live");
    let at = scrape::address(&server);
    let mut early = stream::connect(at);
    early.write_all(b"GET /readyz HTTP/1.1\r\n").unwrap();
    // It came after the first one, which so has been accepted.
    assert_eq!(scrape::get(at, "/readyz").status, 200);
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    server.await_warning("draining: 1 session");
    early.write_all(b"Host: localhost\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_to_end(&mut early).bytes).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(live);
    assert_eq!(server.await_exit(), 0);
    drop(successor);
}

#[test]
fn the_manager_hears_of_the_new_process_and_nothing_of_the_end_of_the_old() {
    let manager = Manager::start();
    let variables = [("WATCHDOG_USEC", "1000000"), ("FDSTORE", "64")];
    let mut server = manager.server(&["--drain-timeout", "60s"], &variables);
    let mut live = server.connect();
    exchange(&mut live, b"live");
    manager.await_text("READY=1");
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    let ready = manager.await_text("READY=1\nMAINPID=");
    assert!(ready.starts_with(&format!("READY=1\nMAINPID={}\nSTATUS=accepting on ", successor.0)), "{ready}");
    assert!(manager.texts(Some(successor.0)).contains(&ready), "it says so itself");
    let stored = "FDSTORE=1\nFDNAME=listener.127.0.0.1_0";
    for text in [stored, "WATCHDOG=1"] {
        within(LIMIT, text, || {
            manager.texts(Some(successor.0)).iter().any(|told| told == text).then_some(())
        });
    }
    drop(live);
    let old = server.process().0;
    assert_eq!(server.await_exit(), 0);
    let wrong = |text: &String| text.contains("STOPPING") || text.contains("FDSTOREREMOVE");
    assert!(!manager.texts(Some(old)).iter().any(wrong), "{:?}", manager.texts(Some(old)));
}

/// A program of a test's own: a link to the real one, which something else can take the place of.
struct Replaceable {
    _folder: TempDir,
    path: PathBuf,
    real: PathBuf,
}

impl Replaceable {
    fn new() -> Replaceable {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("switchboard");
        let real = PathBuf::from(env!("CARGO_BIN_EXE_switchboard"));
        symlink(&real, &path).unwrap();
        Replaceable { _folder: folder, path, real }
    }

    fn start(&self, flags: &[&str]) -> Server {
        let words = self.words();
        Launch { mode: "echo", flags, shell: Some(&words), output: Output::Read }.start()
    }

    /// A shell's words that run it.
    fn words(&self) -> String {
        format!("exec '{}' \"$@\"", self.path.display())
    }

    /// From now on, what is started waits until the file is gone that this returns, and says there that it is there.
    fn hold(&self) -> PathBuf {
        let held = self.path.with_extension("held");
        let name = held.display();
        self.become_script(&format!(
            "echo >'{name}'; while [ -e '{name}' ]; do sleep 0.01; done; exec \"$REAL\" \"$@\""
        ));
        held
    }

    /// From now on its name runs these words of a shell, whose `$REAL` is the real one.
    fn become_script(&self, words: &str) {
        fs::remove_file(&self.path).unwrap();
        let script = format!("#!/bin/sh\nREAL='{}'\n{words}\n", self.real.display());
        let made = self.path.with_extension("new");
        fs::write(&made, script).unwrap();
        fs::set_permissions(&made, Permissions::from_mode(0o755)).unwrap();
        fs::rename(made, &self.path).unwrap();
    }
}

#[test]
fn if_the_new_process_fails_the_old_one_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = format!("exec \"$REAL\" \"$@\" --metrics {}", taken.local_addr().unwrap());
    let program = Replaceable::new();
    let folder = TempDir::new().unwrap();
    let files = ["unix", "control"].map(|name| folder.path().join(name));
    let unix = format!("unix:{}", files[0].display());
    let own = ["--listen", "127.0.0.1:0", "--listen", &unix, "--control", files[1].to_str().unwrap()];
    let mut server = program.start(&own);
    let mut live = server.connect();
    exchange(&mut live, b"live");
    for (words, told) in [
        ("exit 7", "cannot start anew: the new process ended before it was ready (exit status: 7)"),
        (&metrics, "cannot start anew: the new process ended before it was ready (exit status: 1)"),
        ("kill -9 $$", "cannot start anew: the new process ended before it was ready (signal: 9 (SIGKILL))"),
    ] {
        program.become_script(words);
        server.signal(Signal::USR2);
        server.await_warning(&format!("{told}; this process goes on"));
        exchange(&mut live, b"live still");
        exchange(&mut server.connect(), b"accepted still");
        for file in &files {
            assert!(UnixStream::connect(file).is_ok(), "{words}: {}", file.display());
        }
    }
    server.await_warning("already in use");
    fs::remove_file(&program.path).unwrap();
    server.signal(Signal::USR2);
    server.await_warning("cannot start anew: cannot start");
    exchange(&mut server.connect(), b"accepted still");
    symlink(&program.real, &program.path).unwrap();
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    drop(live);
    assert_eq!(server.await_exit(), 0);
    exchange(&mut server.connect(), b"by the successor");
    let name = fs::read_to_string(format!("/proc/{}/comm", successor.0)).unwrap();
    assert_eq!(name.trim(), "switchboard", "it is known by its name");
}

#[test]
fn a_passed_socket_whose_listener_has_another_name_now_is_passed_on() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.toml");
    let peer = peer::echoes();
    let write = |name: &str| {
        let program = "control = \"off\"\nlog = \"json\"\nthreads = 2\n";
        let listener = format!("[listener.{name}]\nlisten = \"fd:web\"\nupstream = \"{}\"\n", peer.address);
        fs::write(&file, format!("{program}{listener}")).unwrap();
    };
    write("before");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = binary_in_shell("export LISTEN_PID=$$; exec \"$0\" \"$@\"");
    command.arg("run").arg(&file).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.fd_mappings(vec![FdMapping { parent_fd: socket.into(), child_fd: 3 }]).unwrap();
    let mut server = Server::of(command, 1, Output::Read);
    write("after");
    server.signal(Signal::HUP);
    server.await_event("config", |_| true);
    server.signal(Signal::USR2);
    let successor = Successor::of(&server, 1);
    assert_eq!(server.await_exit(), 0);
    exchange(&mut server.connect(), b"by the successor");
    drop(successor);
}

#[test]
fn a_new_process_that_is_not_ready_in_time_is_killed() {
    let program = Replaceable::new();
    let server = program.start(&[]);
    let marker = program.path.with_extension("pid");
    program.become_script(&format!("echo $$ >'{}'; exec sleep 300", marker.display()));
    server.signal(Signal::USR2);
    let pid = within(LIMIT, "it runs", || {
        fs::read_to_string(&marker).ok()?.strip_suffix('\n')?.parse::<u32>().ok()
    });
    exchange(&mut server.connect(), b"meanwhile");
    server.await_warning("cannot start anew: the new process is not ready after 10 s; it is killed");
    within(LIMIT, "it is gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    exchange(&mut server.connect(), b"served still");
}

#[test]
fn a_stop_ends_a_start_that_is_under_way() {
    let program = Replaceable::new();
    let mut server = program.start(&[]);
    let marker = program.path.with_extension("pid");
    program.become_script(&format!("echo $$ >'{}'; exec sleep 300", marker.display()));
    server.signal(Signal::USR2);
    let pid = within(LIMIT, "it runs", || {
        fs::read_to_string(&marker).ok()?.strip_suffix('\n')?.parse::<u32>().ok()
    });
    assert_eq!(server.stop(), 0);
    within(LIMIT, "it is gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

/// Long enough for a change that comes at 500 ms to wait for its turn.
const CHANGE_WAITS: Duration = Duration::from_millis(1500);

#[test]
fn a_stop_ends_a_start_also_while_a_change_waits_for_it() {
    let (program, folder) = (Replaceable::new(), TempDir::new().unwrap());
    let control = folder.path().join("control");
    let server = program.start(&["--control", control.to_str().unwrap()]);
    let mut operated = Operated::of(server, control);
    let held = program.hold();
    operated.fault("add flap down=1h up=1h --after 500ms");
    operated.server.signal(Signal::USR2);
    within(LIMIT, "it is started", || held.exists().then_some(()));
    thread::sleep(CHANGE_WAITS);
    assert_eq!(operated.server.stop(), 0);
    let lines = operated.server.errors.all();
    assert!(!lines.iter().any(|line| line.contains("cannot start anew")), "{lines:?}");
    // What was to be started is gone, or ends.
    let _ = fs::remove_file(held);
}

#[test]
fn what_waits_for_a_start_is_left_to_the_new_process() {
    let (program, folder, peer) = (Replaceable::new(), TempDir::new().unwrap(), peer::echoes());
    let file = folder.path().join("a.toml");
    let write = |backlog: u32| {
        let head = "control = \"off\"\nlog = \"json\"\n[listener.a]\nlisten = \"127.0.0.1:0\"\n";
        fs::write(&file, format!("{head}backlog = {backlog}\nupstream = \"{}\"\n", peer.address)).unwrap();
    };
    write(10);
    let mut command = binary_in_shell(&program.words());
    command.arg("run").arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::of(command, 1, Output::Read);
    let held = program.hold();
    server.signal(Signal::USR2);
    within(LIMIT, "it is started", || held.exists().then_some(()));
    write(11);
    server.signal(Signal::HUP);
    thread::sleep(CHANGE_WAITS);
    fs::remove_file(held).unwrap();
    let successor = Successor::of(&server, 1);
    assert_eq!(server.await_exit(), 0);
    let lines = server.errors.all();
    assert!(!lines.iter().any(|line| line.starts_with("reload")), "{lines:?}");
    exchange(&mut server.connect(), b"by the successor");
    drop(successor);
}

#[test]
fn no_descriptor_is_left_behind_from_upgrade_to_upgrade() {
    let flags = ["--threads", "2", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let server = Server::echo(&flags);
    let sockets = |pid| {
        let all = Process(pid).descriptors();
        all.into_iter().filter(|link| link.starts_with("socket:")).count()
    };
    let before = sockets(server.process().0);
    server.signal(Signal::USR2);
    let mut successor = Successor::of(&server, 1);
    for count in 2..=4 {
        for address in &server.addresses {
            exchange(&mut stream::connect(address.parse().unwrap()), b"served");
        }
        successor.signal(Signal::USR2);
        successor = Successor::of(&server, count);
    }
    within(LIMIT, "the last has as many sockets as the first", || {
        (sockets(successor.0) == before).then_some(())
    });
}
