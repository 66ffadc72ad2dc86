//! The other pages of `top`: what ended, causes, events; several servers; the mouse, and all keys.

use super::{DOWN, ESCAPE, clients, name, rows};
use crate::support::{
    fake::peer,
    operator::Operated,
    program::{Program, binary},
    screen::Screen,
    stream::{exchange, read_to_end, reset, write_until_blocked},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{fs, net::Shutdown, process::Stdio, time::Duration};
use tempfile::TempDir;

#[test]
fn what_is_not_well_comes_first_and_is_what_a_filter_by_health_shows() {
    let upstream = peer::reads_nothing_until_told();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut clients: Vec<_> = (0..3).map(|_| operated.server.connect()).collect();
    clients.iter().for_each(|_| upstream.await_reached());
    write_until_blocked(&mut clients[2], Duration::from_millis(100));
    let mut top = Screen::top(&operated, &[]);
    let text = top.await_text(&["3 open · 1 stalled", "✖ stalled", "1-3 of 3, problems first"]);
    assert!(rows(&text)[0].contains(&name(&clients[2])), "{text}");
    top.keys("f");
    top.await_text(&["only sessions that are:", "h half-closed"]);
    top.keys("p");
    let text = top.await_text(&["1-1 of 1", "only stalled and held and half-closed"]);
    assert_eq!(rows(&text).len(), 1, "{text}");
    top.keys(ESCAPE);
    top.await_text(&["1-3 of 3"]);
}

#[test]
fn tabs_show_what_ended_with_its_verdict_the_causes_and_events_as_they_come() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut all = clients(&operated, 3);
    all[0].shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut all[0]);
    operated.server.await_closes(1);
    reset(all.remove(1));
    operated.server.await_closes(2);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["1 open · 2 ended (1 failed)", " 1 Live  2 Ended  3 Causes  4 Events"]);
    top.keys("\t");
    let text = top.await_text(&["client_reset", "client finished first", "of the last 2, newest first"]);
    let newest = text.lines().find(|line| line.contains("just now")).unwrap();
    assert!(newest.contains("client_reset"), "{text}");
    top.keys(&format!("{DOWN}\r"));
    top.await_text(&["session 1 ended: client finished first", "cause      done", "UNDELIVERED"]);
    top.keys(&format!("{ESCAPE}3"));
    top.await_text(&["CAUSE", "50.0 % ██"]);
    top.keys("4");
    top.await_text(&["from now on"]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    within(LIMIT, "events are followed", || {
        // What opened before they were is not told.
        drop(operated.server.connect());
        top.text().contains("close ").then_some(())
    });
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
    let close = format!("close done, client first: {} -> ", name(&client));
    top.await_text(&[&close]);
    top.keys(&format!("/{}\r", name(&client)));
    top.await_screen("it is found", |text| text.contains("back by ") || text.contains(&close));
}

#[test]
fn one_table_shows_all_servers_also_those_that_come_and_go() {
    let runtime = TempDir::new().unwrap();
    let start = |mode: &str| {
        let mut command = binary();
        command.args([mode, "--listen", "127.0.0.1:0", "--log", "off"]);
        command.env("XDG_RUNTIME_DIR", runtime.path());
        let server = Program::start(command.stderr(Stdio::null()));
        let socket = runtime.path().join(format!("switchboard/{}.sock", server.id()));
        within(LIMIT, "its socket", || socket.exists().then_some(()));
        server
    };
    let first = start("echo");
    let mut command = binary();
    command.arg("top").env("XDG_RUNTIME_DIR", runtime.path());
    let mut top = Screen::start(command);
    let text = top.await_text(&["echo on 127.0.0.1:", "no sessions"]);
    assert!(!text.contains("SERVER"), "{text}");
    let second = start("origin");
    top.await_text(&["2 servers: :", "SERVER"]);
    drop(first);
    top.await_text(&["has gone", "origin on 127.0.0.1:"]);
    drop(second);
    assert_eq!(top.await_exit(), 1);
}

#[test]
fn a_mouse_chooses_sorts_and_turns_pages_and_is_given_back() {
    let operated = Operated::start("echo", &[]);
    let clients = clients(&operated, 3);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["1-3 of 3"]);
    assert!(top.written().contains("\x1b[?1000h\x1b[?1006h"));
    // The second row of the table, from 1: twice is all about it.
    top.keys("\x1b[<0;20;6M\x1b[<0;20;6m");
    top.keys("\x1b[<0;20;6M\x1b[<0;20;6m");
    top.await_text(&["session 2: ", &name(&clients[1])]);
    top.keys(ESCAPE);
    top.await_text(&["1-3 of 3"]);
    top.keys("\x1b[<0;1;3M");
    top.keys("\x1b[<0;50;4M");
    top.await_text(&["longest idle first"]);
    top.keys("\x1b[<0;12;3M");
    top.await_text(&["VERDICT"]);
    top.signal(Signal::TERM);
    assert_eq!(top.await_exit(), 0);
    top.assert_given_back();
    assert!(top.written().contains("\x1b[?1006l\x1b[?1000l"));
}

#[test]
fn what_was_tapped_is_searched_and_saved_to_a_file_that_is_not_there_yet() {
    let operated = Operated::start("echo", &[]);
    let mut clients = clients(&operated, 1);
    let folder = TempDir::new().unwrap();
    let mut command = binary();
    command.arg("top").arg("--control").arg(&operated.socket).current_dir(folder.path());
    let mut top = Screen::start(command);
    top.await_text(&["1-1 of 1"]);
    top.keys("\rt");
    top.await_text(&["tap on, as text", "first byte"]);
    for word in ["alpha", "beta", "gamma"] {
        exchange(&mut clients[0], word.as_bytes());
        top.await_text(&[&format!(": {word}")]);
    }
    top.keys("/alpha\r");
    top.await_screen("back at it", |text| text.contains("back by 2") && !text.contains(": gamma"));
    top.keys("/nowhere\r");
    top.await_text(&["'nowhere' is not in what was kept"]);
    top.keys("w");
    top.await_text(&["save as: session-1.txt_"]);
    top.keys("\r");
    top.await_text(&["lines are in session-1.txt"]);
    let saved = fs::read_to_string(folder.path().join("session-1.txt")).unwrap();
    for part in ["session 1: ● live", "opened by 127.0.0.1:", ": alpha\n", ": gamma\n"] {
        assert!(saved.contains(part), "{part}: {saved}");
    }
    top.keys("w\r");
    top.await_text(&["cannot write session-1.txt"]);
    assert_eq!(fs::read_to_string(folder.path().join("session-1.txt")).unwrap(), saved);
}

#[test]
fn all_keys_are_shown_over_the_screen_and_any_leads_back() {
    let operated = Operated::start("echo", &[]);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["no sessions"]);
    top.keys("?");
    top.await_text(&["everywhere", "save what is kept to a file", "any key: back"]);
    top.keys("q");
    top.await_text(&["no sessions", "q quit"]);
    top.keys("q");
    assert_eq!(top.await_exit(), 0);
}
