//! What a service manager is told (sd_notify(3)).

use crate::support::{
    manager::{Manager, deaf, start_passing},
    program,
    server::{Launch, Output, Server},
    stream::{self, exchange},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn it_is_told_when_connections_can_be_made_and_while_the_drain_lasts() {
    for manager in [Manager::start(), Manager::start_abstract()] {
        let mut server = manager.server(&["--drain-timeout", "60s"], &[]);
        let address = server.address();
        let ready = format!("READY=1\nSTATUS=accepting on {address}; 0 sessions");
        assert_eq!(manager.await_text("READY=1"), ready);
        let mut client = server.connect();
        exchange(&mut client, b"in");
        manager.await_text(&format!("STATUS=accepting on {address}; 1 session"));
        server.signal(Signal::TERM);
        let stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining; 1 session";
        assert_eq!(manager.await_text("STOPPING=1"), stopping);
        assert_eq!(manager.await_text("EXTEND_TIMEOUT_USEC"), stopping.strip_prefix("STOPPING=1\n").unwrap());
        drop(client);
        assert_eq!(server.await_exit(), 0);
    }
}

#[test]
fn a_sign_of_life_comes_twice_in_the_time_that_the_manager_names_if_it_is_meant_for_this_process() {
    const SIGN: &str = "WATCHDOG=1";
    let manager = Manager::start();
    let _other = manager.server(&[], &[("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")]);
    manager.await_text("READY=1");
    let (begin, alive) = (Instant::now(), Manager::start());
    let _server = alive.server(&[], &[("WATCHDOG_USEC", "400000")]);
    let signs = within(LIMIT, "five signs", || {
        let signs = alive.texts(None).iter().filter(|text| *text == SIGN).count();
        (signs >= 5).then_some(signs)
    });
    assert!(begin.elapsed() >= Duration::from_millis(200) * signs.try_into().unwrap(), "{signs} signs");
    assert!(!manager.texts(None).iter().any(|text| text == SIGN));
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let _deaf = deaf(&path);
    let flags = ["--drain-timeout", "60s"];
    let mut command = Launch { mode: "echo", flags: &flags, shell: None, output: Output::Read }.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000").env("FDSTORE", "9");
    let mut server = Server::of(command, 1, Output::Read);
    let mut client = server.connect();
    exchange(&mut client, b"served");
    server.signal(Signal::TERM);
    server.await_warning("draining: 1 session");
    exchange(&mut client, b"served still");
    drop(client);
    assert_eq!(server.await_exit(), 0);
}

#[test]
fn an_address_that_is_none_of_this_machine_or_not_there_is_passed_over() {
    for address in ["vsock:2:1234", "/nowhere/notify", "@switchboard-no-manager", "nonsense"] {
        let mut command = Launch { mode: "echo", flags: &[], shell: None, output: Output::Read }.command();
        let mut server = Server::of(
            {
                command.env("NOTIFY_SOCKET", address);
                command
            },
            1,
            Output::Read,
        );
        exchange(&mut server.connect(), b"served");
        assert_eq!(server.stop(), 0);
    }
}

#[test]
fn a_crash_loses_no_queue_if_the_manager_stores_the_sockets() {
    let manager = Manager::start();
    let flags = ["--threads", "2"];
    let mut server = manager.server(&flags, &[("FDSTORE", "64")]);
    let address = server.address();
    manager.await_text("READY=1");
    // It listens at 127.0.0.1:0: that is its name.
    let stored = "FDSTORE=1\nFDNAME=listener.127.0.0.1_0";
    let mut sockets = Vec::new();
    within(LIMIT, "a socket for each thread, after it is ready", || {
        sockets.extend(manager.take_descriptors(stored));
        (sockets.len() == 2).then_some(())
    });
    assert!(manager.texts(None)[0].starts_with("READY=1"));
    server.die_of(Signal::KILL);
    let mut waiting: Vec<_> = (0..20).map(|_| stream::connect(address)).collect();
    let names = "listener.127.0.0.1_0:listener.127.0.0.1_0";
    let again = start_passing(&flags, sockets, Some(names), 1);
    assert_eq!(again.addresses, [address.to_string()]);
    waiting.iter_mut().for_each(|client| exchange(client, b"waited"));
}

#[test]
fn what_is_stored_is_given_up_when_it_is_closed_on_purpose() {
    let manager = Manager::start();
    let mut server = manager.server(&[], &[("FDSTORE", "64")]);
    manager.await_text("READY=1");
    assert_eq!(server.stop(), 0);
    manager.await_text("FDSTOREREMOVE=1\nFDNAME=listener.127.0.0.1_0");
    // One of a listener that is not there any more is no error: it is closed.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let left = start_passing(&[], vec![socket.into()], Some("listener.gone"), 1);
    left.await_warning("no listener has the passed socket listener.gone any more");
}

/// The number of systemd's version, and the place of its check of units; none if it is not there.
fn systemd() -> Option<(u32, &'static str)> {
    const ANALYZE: &str = "/usr/bin/systemd-analyze";
    let told = Command::new(ANALYZE).arg("--version").output().ok()?;
    let text = String::from_utf8(told.stdout).unwrap();
    Some((text.split([' ', '\n']).nth(1)?.parse().ok()?, ANALYZE))
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    let Some((version, analyze)) = systemd() else {
        return eprintln!("skipped: systemd-analyze is not installed (package systemd)");
    };
    let folder = TempDir::new().unwrap();
    let verify = |words: &[&str]| {
        let mut print = program::binary();
        let unit = program::output({
            print.args(["print", "systemd"]).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
            print
        });
        let unit = String::from_utf8(unit.stdout).unwrap();
        let path = folder.path().join("switchboard.service");
        let here = unit.replace("/usr/local/bin/switchboard", env!("CARGO_BIN_EXE_switchboard"));
        assert_ne!(here, unit);
        fs::write(&path, here).unwrap();
        let run = Command::new(analyze).arg("verify").arg(&path).output().unwrap();
        String::from_utf8(run.stderr).unwrap()
    };
    assert_eq!(verify(&["--compat"]), "");
    let new = verify(&[]);
    // Before 253 it does not know the new type, which shows that it looks.
    assert_eq!(new.contains("notify-reload"), version < 253, "{new}");
}
