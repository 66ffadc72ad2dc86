//! What `ctl` shows to people: tables that fit their terminal, pages, servers by what they are known by, and changes in words.

use crate::support::{
    fake::peer,
    lines::Lines,
    operator::{Operated, Run, run},
    program::{Program, binary},
    screen::Screen,
    stream::{exchange, read_to_end},
    wait::{LIMIT, within},
};
use std::{net::Shutdown, path::Path, process::Stdio};
use tempfile::TempDir;

#[test]
fn on_a_terminal_tables_fit_it_and_elsewhere_they_show_all() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut clients: Vec<_> = (0..2).map(|_| operated.server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"hello"));
    let list = Screen::start(operated.command(&["list"]));
    let text = list.await_screen("both sessions", |text| text.matches("● live").count() == 2);
    assert!(text.contains(&clients[0].local_addr().unwrap().to_string()) && !text.contains("MODE"), "{text}");
    // Nothing goes over the end of a line.
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    assert_eq!(lines, 3, "{text}");
    for words in [&["list"][..], &["list", "--wide"]] {
        let wide = operated.ctl(words).stdout;
        for head in ["MODE", "NAME", "PHASE", "RATES", "WAITING", "HEALTH"] {
            assert!(wide.lines().next().unwrap().contains(head), "{wide}");
        }
    }
    let wide = Screen::start(operated.command(&["list", "--wide"]));
    wide.await_text(&["MODE", "HEALTH"]);
    drop(clients.remove(0));
    operated.server.await_closes(1);
    let closed = Screen::start(operated.command(&["closed"]));
    closed.await_text(&["just now", "VERDICT"]);
    assert!(operated.ctl(&["closed"]).stdout.contains("Z  127.0.0.1:"));
}

#[test]
fn a_terminal_without_utf_8_gets_plain_characters() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    for (name, value) in [("LC_ALL", "C"), ("TERM", "vt100")] {
        let mut command = operated.command(&["show", "1"]);
        command.env(name, value);
        let shown = run(command).stdout;
        assert!(
            shown.is_ascii() && shown.contains("session 1: + live") && shown.contains("^ client"),
            "{shown}"
        );
    }
}

#[test]
fn a_session_and_the_totals_are_laid_out_as_pages() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let shown = operated.ctl(&["show", "1"]).stdout;
    for part in
        ["session 1: ● live, proxy on 127.0.0.1:", "life       open, age ", "↑ client", "congestion window"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
    operated.server.await_closes(1);
    let totals = operated.ctl(&["stats"]).stdout;
    for part in ["0 open · 1 ended", "1 opened", "done", "100.0 %", "↓ upstream        5 B"] {
        assert!(totals.contains(part), "{part}: {totals}");
    }
    let ended = operated.ctl(&["closed", "1"]).stdout;
    assert!(ended.starts_with("session 1 ended: client finished first"), "{ended}");
}

#[test]
fn a_setting_is_told_and_a_change_says_what_it_was_and_for_whom() {
    let operated = Operated::start("echo", &["--idle-timeout", "1h"]);
    let set = |words: &[&str]| operated.ctl(&[&["set"], words].concat()).stdout;
    assert_eq!(set(&["idle-timeout", "10m"]), "idle-timeout: 1h -> 10m, for new sessions\n");
    assert_eq!(set(&["idle-timeout", "600s"]), "idle-timeout: 10m, as before\n");
    assert_eq!(set(&["drain-timeout", "off"]), "drain-timeout: 30s -> off, for the next drain\n");
    let all = operated.ctl(&["get"]).stdout;
    assert!(all.contains("idle-timeout        10m    new sessions") && all.lines().count() == 9, "{all}");
    assert_eq!(operated.json(&["get", "idle-timeout"])[0]["value"], 600_000);
    assert_eq!(operated.ctl(&["get", "colour"]).code, 2);
    operated.assert_fails(
        &["set", "half-close-timeout", "1h"],
        "idle-timeout ends such a session sooner, after 10m",
    );
    operated.assert_fails(&["set", "connect-timeout", "1s"], "cannot work: no listener of this server dials");
    let waits = "cannot work: no listener of this server waits for a PROXY header, a ClientHello or TLS";
    operated.assert_fails(&["set", "handshake-timeout", "1s"], waits);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    assert_eq!(operated.ctl(&["drain"]).code, 0);
    within(LIMIT, "it drains", || (operated.json(&["stats"])[0]["draining"] == true).then_some(()));
    operated.assert_fails(&["set", "idle-timeout", "1s"], "cannot work: the server drains");
    operated.assert_fails(&["set", "drain-timeout", "1s"], "cannot work: the drain has begun");
}

/// Servers with the user's folder for control sockets below `runtime`.
fn server_in(runtime: &Path, mode: &str) -> Program {
    let mut command = binary();
    command.args([mode, "--listen", "127.0.0.1:0", "--log", "off"]).env("XDG_RUNTIME_DIR", runtime);
    Program::start(command.stderr(Stdio::null()))
}

fn ctl_in(runtime: &Path, words: &[&str]) -> Run {
    let mut command = binary();
    command.arg("ctl").args(words).env("XDG_RUNTIME_DIR", runtime);
    run(command)
}

#[test]
fn a_server_is_chosen_by_what_it_is_known_by() {
    let runtime = TempDir::new().unwrap();
    let servers = ["echo", "origin"].map(|mode| (mode, server_in(runtime.path(), mode)));
    let listed = within(LIMIT, "both servers", || {
        let listed = ctl_in(runtime.path(), &["servers", "--json"]).stdout;
        let listed: Vec<serde_json::Value> =
            listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (listed.len() == 2 && listed.iter().all(|one| one["mode"].is_string())).then_some(listed)
    });
    for (mode, server) in &servers {
        let one = listed.iter().find(|one| one["mode"] == *mode).unwrap();
        assert_eq!(one["pid"], server.id());
        let address = one["listeners"][0].as_str().unwrap();
        let port = format!(":{}", address.rsplit_once(':').unwrap().1);
        let path = one["control"].as_str().unwrap();
        for name in [address, &port, path, &server.id().to_string()] {
            let run = ctl_in(runtime.path(), &["-s", name, "stats"]);
            assert!(run.stdout.contains(&format!("{mode} on ")), "{name}: {}", run.stderr);
        }
        assert!(ctl_in(runtime.path(), &["servers"]).stdout.contains(&port));
    }
    let none = ctl_in(runtime.path(), &["-s", "web", "stats"]);
    assert!(none.code == 1 && none.stderr.contains("no server is 'web'"), "{}", none.stderr);
}

/// A command of `ctl` that goes on, and the lines that it prints.
fn follow(operated: &Operated, words: &[&str]) -> (Program, Lines) {
    let mut command = operated.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Program::start(&mut command);
    let lines = Lines::of(running.stdout.take().unwrap());
    (running, lines)
}

fn await_line(lines: &Lines, part: &str) {
    within(LIMIT, part, || lines.all().iter().any(|line| line.contains(part)).then_some(()));
}

#[test]
fn lists_events_and_taps_go_on_and_every_line_is_there_at_once() {
    let operated = Operated::start("echo", &[]);
    let (_list, list) = follow(&operated, &["list", "--watch"]);
    let (_events, events) = follow(&operated, &["events", "--follow"]);
    let (_json, json) = follow(&operated, &["events", "--json"]);
    let (_all, all) = follow(&operated, &["tap", "--all"]);
    let (_none, none) = follow(&operated, &["tap", "--next", "--from", "10.0.0.0/8"]);
    await_line(&list, "0 open · 0 ended");
    // They are there once the first of their sessions is shown to all.
    let mut clients = Vec::new();
    within(LIMIT, "all follow", || {
        clients.push(operated.server.connect());
        let client = clients.last_mut().unwrap();
        exchange(client, b"hello");
        let all = [&events, &json, &all].iter().all(|lines| !lines.all().is_empty());
        all.then_some(())
    });
    let mut next = operated.server.connect();
    let (port, session) = (next.local_addr().unwrap().port(), clients.len() + 1);
    exchange(&mut next, b"\x1b[2Jnew");
    await_line(&events, &format!("#{session} open echo 127.0.0.1:{port} -> "));
    await_line(&json, &format!(r#""client":"127.0.0.1:{port}""#));
    await_line(&all, &format!("#{session} opened by 127.0.0.1:{port}"));
    await_line(&all, &format!(r"#{session} client > offset 0, 7 B: \x1b[2Jnew"));
    next.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut next);
    await_line(&all, &format!("#{session} client > FIN after "));
    await_line(&events, &format!("#{session} close done"));
    await_line(&list, &format!("127.0.0.1:{}", clients[0].local_addr().unwrap().port()));
    assert!(none.all().is_empty(), "{:?}", none.all());
}
