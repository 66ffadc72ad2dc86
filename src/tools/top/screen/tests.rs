//! What is drawn of a state.

use super::*;
use crate::{
    control::protocol::Sort,
    tools::top::{
        keys::Key,
        link::{Answer, Details, Look},
        tap::Told,
    },
};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};

const PAINT: Paint = Paint { colour: true };

/// The lines of a screen of this size.
fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, PAINT, frame.area(), frame.buffer_mut())).unwrap();
    let cells = terminal.backend().buffer().content();
    let line = |line: &[ratatui::buffer::Cell]| line.iter().map(|cell| cell.symbol()).collect::<String>();
    cells.chunks(width.into()).map(|cells| line(cells).trim_end().to_owned()).collect()
}

fn row(session: u64) -> Value {
    json!({"session": session, "mode": "proxy", "client": format!("192.168.100.200:{session}"),
        "upstream": "142.250.69.196:80", "phase": "open", "age_ms": 5120, "idle_ms": 40, "client_bytes": 78,
        "upstream_bytes": 19663, "client_rate": 0, "upstream_rate": 4100, "client_waiting": 0, "upstream_waiting": 512})
}

/// A proxy with so many sessions, as a screen of this size shows it.
fn state(sessions: u64, width: u16, height: u16) -> State {
    let greeting = json!({"mode": "proxy", "pid": 4711, "listeners": ["127.0.0.1:8002"]});
    let mut state = State::new(greeting, Sort::Rate, None);
    state.page.resize(room(Rect::new(0, 0, width, height)));
    for second in 0..5_u64 {
        let stats = json!({"uptime_ms": 1000 * second, "live": sessions, "max_sessions": 20_000, "ended": 7,
            "client_bytes": 1024 * second, "upstream_bytes": 2048 * second * second});
        let rows = (1..=sessions).take(state.page.room).map(row).collect();
        let choice = state.wanted();
        let matching = usize::try_from(sessions).unwrap();
        state.answer(Answer::Look(Box::new(Look { stats, rows, matching, choice, session: None })));
    }
    state
}

fn with_details(mut state: State) -> State {
    state.key(Key::Enter);
    let mut facts = row(1);
    let kernel = json!({"state": "established", "rtt_us": 41, "congestion_window": 10, "receive_queue": 0,
        "send_queue": 1448, "lost_segments": 0, "retransmits": 3});
    for (key, value) in [
        ("local", json!("127.0.0.1:8002")),
        ("upstream_local", json!("127.0.0.1:40012")),
        ("connect_ms", json!(11.04)),
        ("taps", json!(1)),
        ("client_tcp", kernel.clone()),
        ("upstream_tcp", kernel),
    ] {
        facts[key] = value;
    }
    let look = Look { choice: state.wanted(), session: Some((1, Details::Alive(facts))), ..Look::default() };
    state.answer(Answer::Look(Box::new(look)));
    state
}

#[test]
fn a_table_fits_80_by_24() {
    let lines = drawn(&state(40, 80, 24), 80, 24);
    assert_eq!(lines[0], "switchboard proxy on 127.0.0.1:8002, pid 4711, up 4 s");
    assert_eq!(lines[1], "40 of 20000 sessions, 7 ended; up 1 KiB/s, down 14 KiB/s");
    assert_eq!(lines[2], format!("{:41}{}", "throughput, at most 15 KiB/s", "open sessions, at most 40"));
    assert!(lines[5].starts_with("▄███") && lines[5].contains(" ████"), "{lines:#?}");
    assert_eq!(lines[6], "     ID CLIENT            UPSTREAM             AGE   IDLE      ▼UP/s    ▼DOWN/s");
    assert_eq!(lines[7], "      1 192.168.100.200:1 142.250.69.196:80 5.12 s  40 ms          -      4 KiB");
    assert!(lines[21].starts_with("     15 192.168.…0.200:15 142."), "{lines:#?}");
    assert_eq!(lines[22], "1-15 of 40, fastest first");
    assert!(lines[23].starts_with("q quit") && lines[23].ends_with("space hold"), "{}", lines[23]);
}

#[test]
fn a_wide_screen_shows_all_columns_and_whole_addresses() {
    let lines = drawn(&state(3, 160, 24), 160, 24);
    for word in ["PHASE", "▼DOWN/s", "  DOWN ", "WAITING"] {
        assert!(lines[6].contains(word), "{}", lines[6]);
    }
    assert!(lines[7].contains("192.168.100.200:1 ") && lines[7].contains("19.2 KiB"), "{}", lines[7]);
}

#[test]
fn an_echo_has_no_upstreams_and_a_dial_says_so() {
    let mut echo = state(3, 80, 24);
    echo.greeting["mode"] = "echo".into();
    assert!(!drawn(&echo, 80, 24)[6].contains("UPSTREAM"));
    let mut dialling = state(1, 80, 24);
    (dialling.page.rows[0]["upstream"], dialling.page.rows[0]["phase"]) = (Value::Null, "dialling".into());
    assert!(drawn(&dialling, 80, 24)[7].contains("(dialling)"));
}

#[test]
fn details_show_both_connections_and_the_tap() {
    let mut state = with_details(state(3, 80, 24));
    let piece = json!({"ts": "2026-11-21T20:26:21.123456Z", "from": "upstream", "offset": 0, "bytes": 4, "hex": "1b5b324a"});
    state.tapped(Told::Item(piece));
    let lines = drawn(&state, 80, 24);
    for (line, text) in [
        (2, "session 1: open, age 5.12 s, idle 40 ms, taps 1"),
        (4, "upstream  127.0.0.1:40012 to 142.250.69.196:80"),
        (5, "dialled   resolved in -, connected in 11 ms, first byte after -"),
        (7, "from upstream    19.2 KiB,      4 KiB/s, 512 B waiting"),
        (9, "client    established       41 µs      10        0 B   1.41 KiB      0       3"),
        (11, "tap on, as text"),
        (12, r"20:26:21.123 upstream < offset 0, 4 B: \x1b[2J"),
        (23, "q quit  esc back  c cut  t tap on/off  h hex/text"),
    ] {
        assert!(lines[line].contains(text), "{line} {text}: {lines:#?}");
    }
}

#[test]
fn how_a_session_ended_is_told_whole_where_it_takes_more_than_a_line() {
    let verdict =
        "upstream reset 1.2 s after the client's FIN; at least 812 bytes from the client were not delivered";
    let mut state = with_details(state(3, 80, 24));
    let look = Look {
        choice: state.wanted(),
        session: Some((1, Details::Ended(verdict.to_owned()))),
        ..Look::default()
    };
    state.answer(Answer::Look(Box::new(look)));
    let lines = drawn(&state, 80, 24);
    assert_eq!(lines[2..4].concat(), format!("session 1: ended: {verdict}"));
    assert!(lines[4].starts_with("client    "), "{lines:#?}");
}

#[test]
fn what_is_asked_stands_above_the_keys_that_answer_it() {
    let mut state = state(3, 80, 24);
    state.key(Key::Char('c'));
    let lines = drawn(&state, 80, 24);
    assert_eq!(lines[22], "cut session 1 of 192.168.100.200:1?");
    assert!(lines[23].starts_with("y cut by reset"));
    state.key(Key::Escape);
    for c in "/\u{202e}80".chars() {
        state.key(Key::Char(c));
    }
    assert_eq!(drawn(&state, 80, 24)[22], r"filter: \u{202e}80_  (3 sessions)");
}

#[test]
fn no_screen_is_too_small_and_a_small_one_keeps_the_table_and_how_to_leave() {
    let lines = drawn(&state(9, 20, 5), 20, 5);
    assert!(lines[2].starts_with("      1 ") && lines[4].starts_with("q quit"), "{lines:#?}");
    for width in 1..40 {
        for height in 1..20 {
            for state in [state(9, width, height), with_details(state(9, width, height))] {
                drawn(&state, width, height);
            }
        }
    }
}

#[test]
fn without_colours_what_is_chosen_still_stands_out() {
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    draw(&state(3, 80, 24), Paint { colour: false }, area, &mut buffer);
    assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
    assert!(buffer[(10, 7)].modifier.contains(ratatui::style::Modifier::REVERSED));
}
