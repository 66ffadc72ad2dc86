//! Looking into a running server: `ctl list`, `show`, `stats` and `closed`, and who may look.

use crate::{
    harness::{Lines, within},
    operator::{Operated, Talk, run},
    peer,
    stream::{LIMIT, exchange, read_to_end},
};
use std::{
    fs,
    io::Write,
    net::Shutdown,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

#[test]
fn a_list_names_every_live_session_with_what_it_moved() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    assert!(operated.json(&["list"]).is_empty());
    let mut clients: Vec<_> = (0..3).map(|_| operated.server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"hello"));
    let sessions = operated.json(&["list"]);
    assert_eq!(sessions.len(), 3);
    for (session, client) in sessions.iter().zip(&clients) {
        assert_eq!(session["client"], client.local_addr().unwrap().to_string());
        assert_eq!(session["upstream"], upstream.address.to_string());
        assert_eq!((&session["mode"], &session["phase"]), (&"proxy".into(), &"open".into()));
        for (key, value) in [("client_bytes", 5), ("upstream_bytes", 5), ("client_waiting", 0)] {
            assert_eq!(session[key], value, "{key} of {session}");
        }
    }
    exchange(&mut clients[1], b"more than the others");
    assert_eq!(operated.json(&["list", "--sort", "bytes"])[0]["session"], 2);
    assert_eq!(operated.json(&["list", "--from", "127.0.0.0/8"]).len(), 3);
    assert!(operated.json(&["list", "--from", "10.0.0.0/8"]).is_empty());
    let table = operated.ctl(&["list"]).stdout;
    assert!(table.starts_with("ID  MODE") && table.lines().count() == 4, "{table}");
}

#[test]
fn a_list_follows_a_session_through_its_phases() {
    let upstream = peer::never_replies();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    client.write_all(b"x").unwrap();
    within(LIMIT, "the session is open", || {
        operated.json(&["list"]).iter().any(|session| session["phase"] == "open").then_some(())
    });
    client.shutdown(Shutdown::Write).unwrap();
    upstream.await_reached();
    assert_eq!(operated.only_session()["phase"], "client-closed");
}

#[test]
fn a_flow_has_a_rate() {
    let upstream = peer::pushes_without_end();
    let operated = Operated::proxy(upstream.address, &[]);
    let client = operated.server.connect();
    let mut reader = client.try_clone().unwrap();
    let reading = std::thread::spawn(move || read_to_end(&mut reader));
    within(LIMIT, "a rate", || {
        operated
            .json(&["list", "--sort", "rate"])
            .iter()
            .find_map(|session| session["upstream_rate"].as_u64().filter(|rate| *rate > 0))
    });
    client.shutdown(Shutdown::Both).unwrap();
    drop(reading);
}

#[test]
fn show_holds_the_kernels_view_of_both_legs() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let shown = operated.json(&["show", "1"]).remove(0);
    assert_eq!((&shown["client_bytes"], &shown["phase"]), (&5.into(), &"open".into()), "{shown}");
    for leg in ["client_tcp", "upstream_tcp"] {
        assert_eq!(shown[leg]["state"], "established", "{shown}");
        assert!(shown[leg]["rtt_us"].as_u64().unwrap() > 0, "{shown}");
        assert!(shown[leg]["congestion_window"].as_u64().unwrap() > 0, "{shown}");
    }
    assert!(operated.ctl(&["show", "1"]).stdout.contains("congestion window"));
}

#[test]
fn a_wrong_session_is_named() {
    let operated = Operated::start("echo", &[]);
    operated.assert_fails(&["show", "77"], "there is no session 77");
    operated.assert_fails(&["closed", "77"], "there is no session 77");
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    operated.assert_fails(&["closed", "1"], "session 1 is alive");
    drop(client);
    operated.server.await_closes(1);
    operated.assert_fails(&["show", "1"], "session 1 has ended");
    assert_eq!(operated.ctl(&["show", "first"]).code, 2);
    assert_eq!(operated.ctl(&["show"]).code, 2);
    assert_eq!(operated.ctl(&["stats", "--sort", "age"]).code, 2);
}

#[test]
fn closed_sessions_are_remembered_with_a_verdict_and_only_so_many() {
    let upstream = peer::resets_in_mid_reply(b"part".to_vec());
    let operated = Operated::proxy(upstream.address, &["--remember", "2"]);
    for _ in 0..3 {
        let mut client = operated.server.connect();
        client.write_all(b"x").unwrap();
        upstream.await_reached();
        client.shutdown(Shutdown::Write).unwrap();
        within(LIMIT, "the client's end is seen", || {
            operated.json(&["list"]).iter().any(|session| session["phase"] == "client-closed").then_some(())
        });
        upstream.go();
        upstream.await_reached();
        read_to_end(&mut client);
    }
    operated.server.await_closes(3);
    let closed = operated.json(&["closed"]);
    assert_eq!(closed.iter().map(|one| one["session"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    for one in &closed {
        assert_eq!(one["cause"], "upstream_reset", "{one}");
        let verdict = one["verdict"].as_str().unwrap();
        assert!(
            verdict.starts_with("upstream reset ") && verdict.contains("after the client's FIN"),
            "{verdict}"
        );
    }
    assert_eq!(operated.json(&["closed", "3"]), closed[1..]);
    assert_eq!(operated.json(&["closed", "-n", "1"]), closed[1..]);
    operated.assert_fails(&["closed", "1"], "there is no session 1");
    assert!(operated.ctl(&["closed"]).stdout.contains("VERDICT"));
}

#[test]
fn stats_agree_with_what_was_done() {
    let operated = Operated::start("echo", &["--max-sessions", "50"]);
    for _ in 0..4 {
        let mut client = operated.server.connect();
        exchange(&mut client, b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut client);
    }
    operated.server.await_closes(4);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hi");
    let stats = operated.json(&["stats"]).remove(0);
    for (key, value) in [
        ("live", 1),
        ("opened", 5),
        ("ended", 4),
        ("max_sessions", 50),
        ("client_bytes", 22),
        ("upstream_bytes", 22),
    ] {
        assert_eq!(stats[key], value, "{key} of {stats}");
    }
    assert_eq!(stats["causes"], serde_json::json!({ "done": 4 }));
    assert!(operated.ctl(&["stats"]).stdout.contains("opened"));
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let mut operated = Operated::start("echo", &[]);
    assert_eq!(fs::metadata(&operated.socket).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(operated.server.stop(), 0);
    assert!(!operated.socket.exists());
    operated.assert_fails(&["list"], "no server answers at");
}

#[test]
fn a_greeting_names_the_server() {
    let operated = Operated::start("echo", &[]);
    let greeting = operated.talk().greeting;
    assert_eq!((&greeting["switchboard"], &greeting["mode"]), (&1.into(), &"echo".into()));
    assert_eq!(greeting["pid"], operated.server.process().0);
    assert_eq!(greeting["listeners"][0], operated.server.addresses[0]);
}

#[test]
fn garbage_is_answered_and_a_line_without_end_is_given_up() {
    let operated = Operated::start("echo", &[]);
    let mut talk = operated.talk();
    for line in
        ["", "garbage", "{}", r#"{"command":"explode"}"#, r#"{"command":"show","session":-1}"#, "\u{1}"]
    {
        talk.say(line);
        assert!(talk.line().unwrap()["error"].as_str().unwrap().contains("not a request"), "{line:?}");
    }
    talk.say(r#"{"command":"stats"}"#);
    assert_eq!(talk.last()["ok"], true, "the connection is as good as before");
    let mut flood = operated.talk();
    flood.stream.get_mut().write_all(&[b'x'; 64 * 1024]).unwrap();
    assert!(flood.line().unwrap()["error"].as_str().unwrap().contains("at most"));
    assert_eq!(operated.ctl(&["stats"]).code, 0);
}

#[test]
fn operators_who_never_read_keep_nobody_from_the_server() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let mut silent: Vec<Talk> = (0..8).map(|_| operated.talk()).collect();
    for talk in &mut silent {
        talk.stream.get_ref().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // Until the server does not read on: its answers wait for us.
        while talk.stream.get_mut().write_all(b"{\"command\":\"stats\"}\n").is_ok() {}
    }
    exchange(&mut client, b"still served");
    assert_eq!(operated.ctl(&["stats"]).code, 0);
}

/// A server with the user's folder for control sockets below `runtime`.
fn server_in(runtime: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["echo", "--listen", "127.0.0.1:0", "--log", "off"]).env("XDG_RUNTIME_DIR", runtime);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn ctl_in(runtime: &Path, words: &[&str]) -> crate::operator::Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("ctl").args(words).env("XDG_RUNTIME_DIR", runtime);
    run(command)
}

#[test]
fn one_server_is_found_by_itself_and_of_two_the_choices_are_listed() {
    let runtime = TempDir::new().unwrap();
    let none = ctl_in(runtime.path(), &["stats"]);
    assert!(none.code == 1 && none.stderr.contains("no server"), "{}", none.stderr);
    let mut first = server_in(runtime.path());
    within(LIMIT, "the server is found", || (ctl_in(runtime.path(), &["stats"]).code == 0).then_some(()));
    let folder = runtime.path().join("switchboard");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    let mut second = server_in(runtime.path());
    let path = |child: &Child| folder.join(format!("{}.sock", child.id()));
    within(LIMIT, "both are listed", || {
        let two = ctl_in(runtime.path(), &["stats"]);
        let listed = [&first, &second].iter().all(|child| two.stderr.contains(path(child).to_str().unwrap()));
        (two.code == 1 && listed && two.stderr.contains("echo on 127.0.0.1:")).then_some(())
    });
    // A killed server leaves its socket, which hinders nobody, and which the next one removes.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(path(&first).exists());
    assert_eq!(ctl_in(runtime.path(), &["stats"]).code, 0);
    let mut third = server_in(runtime.path());
    within(LIMIT, "the stale socket is removed", || (!path(&first).exists()).then_some(()));
    for child in [&mut second, &mut third] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_folder_that_is_open_to_others_is_a_warning_and_a_path_that_fails_an_error() {
    let runtime = TempDir::new().unwrap();
    let folder = runtime.path().join("switchboard");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let nowhere = runtime.path().join("no/such/folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["echo", "--listen", "127.0.0.1:0", "--log", "off"]).env("XDG_RUNTIME_DIR", runtime.path());
    let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
    let errors = Lines::of(server.stderr.take().unwrap());
    for expected in ["its mode is 777", "listening on"] {
        within(LIMIT, expected, || errors.all().iter().any(|line| line.contains(expected)).then_some(()));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["echo", "--listen", "127.0.0.1:0", "--control"]).arg(&nowhere);
    let failed = run(command);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("cannot make the control socket"), "{}", failed.stderr);
}
