//! `switchboard top`, driven in a pseudo-terminal: what it shows, what its keys do, and how it leaves the terminal.

mod pages;
mod table;

use crate::support::{
    operator::{Operated, run},
    program::{binary, binary_in_shell},
    screen::Screen,
    wait::{LIMIT, within},
};
use rustix::{
    process::Signal,
    stdio::{stdin, stdout},
};
use std::{
    fs::{self, File},
    net::TcpStream,
    process::{Command, Stdio, exit},
    thread,
    time::Duration,
};
use switchboard::{
    runtime::{shard, task},
    tools::top::tty::Tty,
};

/// Where the cursor keys are.
const DOWN: &str = "\x1b[B";
const ESCAPE: &str = "\x1b";
const CTRL_C: &str = "\x03";
const CTRL_L: &str = "\x0c";
const CTRL_Z: &str = "\x1a";

fn name(client: &TcpStream) -> String {
    client.local_addr().unwrap().to_string()
}

/// `count` clients, each of which has said hello.
fn clients(operated: &Operated, count: usize) -> Vec<TcpStream> {
    operated.server.greeted(count)
}

/// The lines of the table.
fn rows(text: &str) -> Vec<&str> {
    let table = text.lines().skip_while(|line| !line.contains("ID CLIENT")).skip(1);
    // The line about them follows at once if there is no more room.
    table.take_while(|line| !line.trim().is_empty() && !line.contains(" of ")).collect()
}

#[test]
fn however_it_is_left_the_terminal_is_as_it_was() {
    let operated = Operated::start("echo", &[]);
    let keys = ["q", CTRL_C].map(|keys| (Some(keys), Signal::TERM));
    let signals = [Signal::TERM, Signal::HUP, Signal::INT].map(|signal| (None, signal));
    for (keys, signal) in keys.into_iter().chain(signals) {
        let mut top = Screen::top(&operated, &[]);
        top.await_text(&["no sessions"]);
        assert!(top.is_taken());
        match keys {
            Some(keys) => top.keys(keys),
            None => top.signal(signal),
        }
        assert_eq!(top.await_exit(), 0, "{keys:?} {signal:?}");
        top.assert_given_back();
        assert_eq!(top.text().trim(), "", "nothing is left behind: {keys:?} {signal:?}");
    }
}

#[test]
fn a_server_that_goes_away_is_told_on_the_shells_screen() {
    let operated = Operated::start("echo", &[]);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["no sessions"]);
    operated.server.signal(Signal::KILL);
    assert_eq!(top.await_exit(), 1);
    top.assert_given_back();
    top.await_text(&["switchboard: the server does not answer"]);
}

/// The test runs itself in a terminal, as the program that panics.
#[test]
fn a_panic_gives_the_terminal_back_before_its_message() {
    const PANICS: &str = "SWITCHBOARD_TEST_PANICS";
    if std::env::var_os(PANICS).is_some() {
        let [input, output] =
            [stdin(), stdout()].map(|stream| File::from(stream.try_clone_to_owned().unwrap()));
        let _taken = Tty::open(input, output).unwrap().take().unwrap();
        // As in the program, where it is contained in a task.
        let end: Result<(), _> =
            shard::run(async { task::spawn(async { panic!("on purpose") }).await }).unwrap();
        exit(if end.is_err() { 70 } else { 0 });
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "top::a_panic_gives_the_terminal_back_before_its_message";
    command.args(["--exact", name, "--nocapture"]).env(PANICS, "1").env("RUST_BACKTRACE", "0");
    let mut panics = Screen::start(command);
    assert_eq!(panics.await_exit(), 70);
    panics.assert_given_back();
    let text = panics.await_text(&["on purpose"]);
    assert!(text.contains("panicked at"), "{text}");
    let written = panics.written();
    let at = |text: &str| written.find(text).unwrap_or_else(|| panic!("{text:?} in {written:?}"));
    assert!(at("\x1b[?1049h") < at("\x1b[?1049l") && at("\x1b[?1049l") < at("on purpose"));
}

#[test]
fn a_shell_gets_the_terminal_while_it_is_stopped() {
    let operated = Operated::start("echo", &[]);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["no sessions"]);
    let stat = format!("/proc/{}/stat", top.process().0);
    let state = |wanted: &str| {
        within(LIMIT, wanted, || {
            let text = fs::read_to_string(&stat).unwrap();
            let (_, rest) = text.rsplit_once(") ").unwrap();
            rest.starts_with(wanted).then_some(())
        });
    };
    top.keys(CTRL_Z);
    state("T");
    top.assert_given_back();
    top.signal(Signal::CONT);
    state("S");
    within(LIMIT, "the screen is back", || top.is_taken().then_some(()));
    top.await_text(&["no sessions", "q quit"]);
    top.keys("q");
    assert_eq!(top.await_exit(), 0);
    top.assert_given_back();
}

#[test]
fn it_follows_the_size_of_the_terminal_down_to_a_tiny_one() {
    let operated = Operated::start("echo", &[]);
    let clients = clients(&operated, 3);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["1-3 of 3", "3 open", "1 Live"]);
    top.resize(20, 5);
    top.await_screen("a tiny screen", |text| {
        text.lines().count() == 5 && text.contains("q quit") && rows(text).len() == 1
    });
    top.keys("\r");
    top.await_text(&["session "]);
    top.keys(ESCAPE);
    top.resize(1, 1);
    top.await_screen("one character", |text| text.trim() == "3");
    top.resize(120, 40);
    top.await_text(&["1-3 of 3", "PHASE", &name(&clients[0])]);
    // Cells for all of that would take more memory than there is.
    top.claim_size(u16::MAX, u16::MAX);
    within(LIMIT, "the keys in the last row", || top.written().contains("\x1b[500;1H").then_some(()));
    top.keys("q");
    assert_eq!(top.await_exit(), 0);
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let operated = Operated::start("echo", &[]);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["no sessions"]);
    top.hang_up();
    assert!([0, 1].contains(&top.await_exit()));
}

#[test]
fn a_terminal_that_takes_nothing_keeps_it_from_nothing() {
    let operated = Operated::start("echo", &[]);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["no sessions"]);
    top.stop_reading();
    // Each is answered by a screen of a kilobyte, and a terminal holds less than a hundred.
    for _ in 0..2000 {
        top.keys(CTRL_L);
        thread::sleep(Duration::from_millis(1));
    }
    top.signal(Signal::TERM);
    assert_eq!(top.await_exit(), 0);
    assert_eq!(top.settings(), top.before);
    let unread = top.unread();
    assert!(unread.len() > 10_000 && !unread.contains("\x1b[?1049l"), "it took all: {} bytes", unread.len());
}

#[test]
fn without_a_terminal_or_a_server_it_says_so_and_takes_nothing_over() {
    let operated = Operated::start("echo", &[]);
    let mut command = binary();
    command.arg("top").arg("--control").arg(&operated.socket);
    let piped = run(command);
    assert_eq!((piped.code, piped.stdout.as_str()), (1, ""));
    assert!(piped.stderr.contains("needs a terminal, and standard input is none"), "{}", piped.stderr);
    let mut command = binary();
    command.args(["top", "--control", "/does/not/exist"]).stderr(Stdio::inherit());
    let mut top = Screen::start(command);
    assert_eq!(top.await_exit(), 1);
    top.await_text(&["no server answers at /does/not/exist: no such file"]);
    assert!(!top.written().contains("\x1b["));
    // A shell without a cursor, as inside an editor.
    let mut command = binary_in_shell("export TERM=dumb; exec \"$0\" \"$@\"");
    command.args(["top", "--control"]).arg(&operated.socket);
    let mut top = Screen::start(command);
    assert_eq!(top.await_exit(), 1);
    top.await_text(&["TERM=dumb"]);
    assert!(!top.written().contains("\x1b["));
    let mut command = binary();
    command.args(["top", "--interval", "1ms"]);
    assert_eq!(run(command).code, 2);
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let operated = Operated::start("echo", &[]);
    for (no_color, coloured) in [("1", false), ("", true)] {
        let mut command = binary();
        command.arg("top").arg("--control").arg(&operated.socket);
        let top = Screen::start_with(command, no_color);
        top.await_text(&["no sessions"]);
        // A foreground colour (ECMA-48 §8.3.117).
        assert_eq!(top.written().contains("\x1b[38;5;"), coloured, "{no_color:?}");
    }
}

#[test]
fn a_terminal_without_utf_8_gets_plain_characters_and_8_colours() {
    let operated = Operated::start("echo", &[]);
    let _clients = clients(&operated, 1);
    let mut command = binary();
    command.arg("top").arg("--control").arg(&operated.socket).env("LC_ALL", "C");
    let top = Screen::start(command);
    let text = top.await_text(&["1-1 of 1", "+ live"]);
    assert!(text.is_ascii(), "{text}");
    let written = top.written();
    assert!(written.contains("\x1b[36") && !written.contains("\x1b[38;5;"), "{written:?}");
}
