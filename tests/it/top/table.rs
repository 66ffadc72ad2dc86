//! What the table and the details show, and what keys do to them.

use super::{DOWN, ESCAPE, clients, name, rows};
use crate::support::{
    fake::peer,
    operator::Operated,
    screen::Screen,
    stream::{End, exchange, read_to_end},
    wait::{LIMIT, within},
};

#[test]
fn sessions_are_shown_as_they_come_and_go() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let top = Screen::top(&operated, &[]);
    top.await_text(&["proxy on 127.0.0.1:", "0 open", "no sessions", "q quit", "space hold"]);
    let mut clients = clients(&operated, 3);
    let names: Vec<String> = clients.iter().map(name).collect();
    let text = top.await_text(&[&names[0], &names[1], &names[2], "1-3 of 3", "3 open", "● live"]);
    assert_eq!(text.lines().count(), 24, "{text}");
    drop(clients.remove(1));
    top.await_screen("two are left", |text| {
        text.contains("1-2 of 2") && text.contains("1 ended") && !text.contains(&names[1])
    });
}

#[test]
fn the_table_is_sorted_and_filtered_by_keys() {
    let operated = Operated::start("echo", &[]);
    let mut clients = clients(&operated, 3);
    exchange(&mut clients[1], b"more than the others");
    let mut top = Screen::top(&operated, &["--sort", "age"]);
    let text = top.await_text(&["1-3 of 3, oldest first"]);
    assert!(rows(&text)[0].contains(" 1 127.0.0.1:"), "{text}");
    // Through the columns between age and bytes.
    top.keys("sssssss");
    let first_is = |text: &str, number: &str| rows(text).first().is_some_and(|row| row.contains(number));
    top.await_screen("the largest first", |text| {
        text.contains("most bytes first") && first_is(text, " 2 127.0.0.1:")
    });
    top.keys("r");
    top.await_screen("the largest last", |text| {
        text.contains("fewest bytes first") && rows(text).last().is_some_and(|row| row.contains("25 B"))
    });
    let port = format!(":{}", clients[2].local_addr().unwrap().port());
    top.keys(&format!("/{port}"));
    top.await_text(&[&format!("filter: {port}_  (1 sessions)"), "esc as before"]);
    top.keys("\r");
    let text = top.await_text(&["1-1 of 1", "(esc: all)"]);
    assert!(rows(&text).len() == 1 && text.contains(&name(&clients[2])), "{text}");
    top.keys(ESCAPE);
    top.await_text(&["1-3 of 3", &name(&clients[0])]);
}

#[test]
fn a_session_is_cut_after_a_yes_and_no_other() {
    let operated = Operated::start("echo", &[]);
    let mut clients = clients(&operated, 3);
    let mut top = Screen::top(&operated, &["--sort", "age"]);
    top.await_text(&["1-3 of 3"]);
    let question = format!("cut session 2 of {}?", name(&clients[1]));
    top.keys(&format!("{DOWN}c"));
    top.await_text(&[&question, "y cut by RST"]);
    top.keys("n");
    top.await_text(&["1-3 of 3"]);
    exchange(&mut clients[1], b"still here");
    top.keys("c");
    top.await_text(&[&question]);
    top.keys("y");
    top.await_text(&["session 2 was cut"]);
    assert_eq!(read_to_end(&mut clients[1]).end, End::Reset);
    assert_eq!(operated.server.await_close(clients[1].local_addr().unwrap())["cause"], "cut");
    top.await_screen("two are left", |text| rows(text).len() == 2);
    top.keys("cf");
    top.await_screen("another was cut", |text| text.contains("was cut") && rows(text).len() == 1);
    assert_eq!(read_to_end(&mut clients[2]).end, End::Fin);
    exchange(&mut clients[0], b"alone");
}

#[test]
fn details_show_the_bytes_as_they_flow_and_none_of_them_control_the_terminal() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut clients = clients(&operated, 1);
    let mut top = Screen::top(&operated, &[]);
    top.await_text(&["1-1 of 1"]);
    top.keys("\r");
    top.await_text(&["session 1: ● live", "established", "no tap; t shows", "esc back"]);
    let taps = |count: u64| {
        within(LIMIT, "the taps", || (operated.json(&["show", "1"])[0]["taps"] == count).then_some(()));
    };
    taps(0);
    top.keys("t");
    top.await_text(&["tap on, as text", "opened by 127.0.0.1:"]);
    taps(1);
    exchange(&mut clients[0], b"a\x1b[2J\x1b[?1049l\r\nb");
    top.await_text(&[
        r"client > offset 5, 16 B: a\x1b[2J\x1b[?1049l\r\nb",
        r"upstream < offset 5, 16 B: a\x1b[2J",
    ]);
    assert!(top.is_taken());
    top.keys("h");
    top.await_text(&["  00000005: 611b 5b32 4a1b 5b3f 3130 3439 6c0d 0a62"]);
    top.keys("t");
    top.await_text(&["no tap"]);
    taps(0);
    top.keys("t");
    taps(1);
    top.keys(ESCAPE);
    top.await_text(&["1-1 of 1"]);
    taps(0);
    top.keys("\r");
    top.await_text(&["no tap"]);
    top.keys("t");
    top.await_text(&["tap on"]);
    drop(clients);
    top.await_text(&["session 1 ended: client", "tap over"]);
    top.keys("c");
    top.keys(ESCAPE);
    top.await_text(&["no sessions"]);
}
