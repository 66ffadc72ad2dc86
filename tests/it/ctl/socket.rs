//! The control socket itself: where it is, who may use it, and what it stands.

use crate::support::{
    lines::Lines,
    operator::{Operated, Talk, run},
    program::{Program, binary},
    stream::exchange,
    wait::{LIMIT, within},
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let mut operated = Operated::start("echo", &[]);
    assert_eq!(fs::metadata(&operated.socket).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(operated.server.stop(), 0);
    assert!(!operated.socket.exists());
    operated.assert_fails(&["list"], "no server answers at");
}

#[test]
fn a_group_may_use_the_socket_where_it_can_reach_it() {
    let own = rustix::process::getgid().as_raw();
    let operated = Operated::start("echo", &["--group", &own.to_string()]);
    let is = fs::metadata(&operated.socket).unwrap();
    assert_eq!((is.permissions().mode() & 0o7777, is.gid()), (0o660, own));
    assert_eq!(operated.ctl(&["stats"]).code, 0);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("control");
    let at = ["--control", path.to_str().unwrap()];
    for (flags, why) in [
        (&[][..], "cannot use --group: it needs a --control PATH"),
        (&at, "cannot let group of-none use it: no group of this name is in /etc/group"),
    ] {
        let mut command = binary();
        command.args(["echo", "--listen", "127.0.0.1:0", "--group", "of-none"]).args(flags);
        let failed = run(command);
        assert!(failed.code == 1 && failed.stderr.contains(why), "{}", failed.stderr);
    }
    assert!(!path.exists());
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
fn the_last_line_may_lack_its_end() {
    let operated = Operated::start("echo", &[]);
    let mut talk = operated.talk();
    talk.stream.get_mut().write_all(br#"{"command":"stats"}"#).unwrap();
    talk.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(talk.last()["ok"], true);
    assert!(talk.line().is_none());
}

#[test]
fn operators_who_never_read_hold_up_no_client_and_no_other_operator() {
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

/// Connects without waiting for room in the backlog; none where there is none.
fn knock(path: &Path) -> Option<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&SockAddr::unix(path).unwrap()).ok().map(|()| OwnedFd::from(socket).into())
}

#[test]
fn a_crowd_of_operators_keeps_to_itself_and_the_next_gets_in() {
    const CROWD: usize = 500;
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let before = operated.server.process().descriptors().len();
    let _crowd: Vec<UnixStream> = (0..CROWD).filter_map(|_| knock(&operated.socket)).collect();
    exchange(&mut client, b"still served");
    assert!(operated.server.process().descriptors().len() <= before + 24);
    assert_eq!(operated.ctl(&["stats"]).code, 0);
    exchange(&mut operated.server.connect(), b"new ones too");
}

#[test]
fn the_operator_that_was_silent_longest_gives_way_and_a_tap_does_not() {
    // More than the 16 that are served at once.
    const SILENT: usize = 40;
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let mut tap = operated.talk();
    tap.say(r#"{"command":"tap","session":1}"#);
    assert_eq!(tap.line().unwrap()["item"]["attached"], 1);
    let begin = Instant::now();
    let mut silent: Vec<Talk> = (0..SILENT).map(|_| operated.talk()).collect();
    assert_eq!(operated.ctl(&["stats"]).code, 0);
    assert!(begin.elapsed() < Duration::from_secs(5), "only after {:?}", begin.elapsed());
    assert!(silent[0].line().is_none(), "the first gave way");
    let mut last = silent.pop().unwrap();
    last.say(r#"{"command":"stats"}"#);
    assert_eq!(last.last()["ok"], true);
    exchange(&mut client, b"tapped");
    assert_eq!(tap.line().unwrap()["item"]["bytes"], 6);
}

/// A server with the user's folder for control sockets below `runtime`.
fn server_in(runtime: &Path) -> Program {
    let mut command = binary();
    command.args(["echo", "--listen", "127.0.0.1:0", "--log", "off"]).env("XDG_RUNTIME_DIR", runtime);
    Program::start(command.stderr(Stdio::null()))
}

fn ctl_in(runtime: &Path, words: &[&str]) -> crate::support::operator::Run {
    let mut command = binary();
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
    let second = server_in(runtime.path());
    let path = |server: &Program| folder.join(format!("{}.sock", server.id()));
    within(LIMIT, "both are listed", || {
        let two = ctl_in(runtime.path(), &["stats"]);
        let listed =
            [&first, &second].iter().all(|server| two.stderr.contains(path(server).to_str().unwrap()));
        (two.code == 1 && listed && two.stderr.contains("echo on 127.0.0.1:")).then_some(())
    });
    // A killed server leaves its socket, which hinders no client, and which the next one removes.
    first.kill();
    assert!(path(&first).exists());
    assert_eq!(ctl_in(runtime.path(), &["stats"]).code, 0);
    let _third = server_in(runtime.path());
    within(LIMIT, "the stale socket is removed", || (!path(&first).exists()).then_some(()));
}

#[test]
fn a_folder_that_is_open_to_others_is_a_warning_and_a_path_that_fails_an_error() {
    let runtime = TempDir::new().unwrap();
    let folder = runtime.path().join("switchboard");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let nowhere = runtime.path().join("no/such/folder");
    let mut command = binary();
    command.args(["echo", "--listen", "127.0.0.1:0", "--log", "off"]).env("XDG_RUNTIME_DIR", runtime.path());
    let mut server = Program::start(command.stderr(Stdio::piped()));
    let errors = Lines::of(server.stderr.take().unwrap());
    for expected in ["its mode is 777", "listening on"] {
        within(LIMIT, expected, || errors.all().iter().any(|line| line.contains(expected)).then_some(()));
    }
    drop(server);
    let mut command = binary();
    command.args(["echo", "--listen", "127.0.0.1:0", "--control"]).arg(&nowhere);
    let failed = run(command);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("cannot make the control socket"), "{}", failed.stderr);
}

#[test]
fn what_a_server_says_cannot_control_a_terminal() {
    const GREETING: &str = r#"{"switchboard":1}"#;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let answers = [
        r#"{"item":{"session":1,"mode":"\u001b[2J","client":"\u009b2J","phase":"\u202eopen"}}"#,
        r#"{"item":{"cli\u001bent":"\u001b]0;x\u0007"}}"#,
        r#"{"error":"\u001b[2J"}"#,
        "\u{1b}[2J",
    ];
    thread::spawn(move || {
        for answer in answers {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            writeln!(stream.get_mut(), "{GREETING}").unwrap();
            stream.read_line(&mut String::new()).unwrap();
            writeln!(stream.get_mut(), "{answer}\n{{\"ok\":true}}").unwrap();
        }
    });
    for (words, code) in [(&["list"][..], 0), (&["show", "1"], 0), (&["stats"], 1), (&["stats"], 1)] {
        let mut command = binary();
        command.arg("ctl").args(words).arg("--control").arg(&path);
        let run = run(command);
        let shown = run.stdout + &run.stderr;
        assert_eq!(run.code, code, "{shown:?}");
        let harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(!shown.is_empty() && shown.chars().all(harmless), "{shown:?}");
    }
}
