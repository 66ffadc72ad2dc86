//! The screen: a pure function of the state. From top to bottom: the server, the charts, the table or one session, a line
//! for what is asked or told, and the keys.

use crate::{
    control::protocol::Named,
    session::event::Mode,
    text::{columns::fit, safe::SafeText, table::span, units::rate},
    tools::top::{
        detail,
        paint::{Paint, put},
        state::{Prompt, State},
        table,
    },
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Sparkline, Widget},
};
use std::collections::VecDeque;

/// Of the charts, with their titles.
const CHART_ROWS: u16 = 4;
/// With fewer rows than this, the table has the charts' place.
const CHARTS_FROM: u16 = 16;
/// With fewer than this, a session and its tap have it.
const CHARTS_WITH_DETAILS_FROM: u16 = 32;
/// With fewer, the table has that of the second line about the server.
const TOTALS_FROM: u16 = 8;
const GAP: u16 = 2;

/// Keys and what they do, the most needed first: a narrow screen cuts the rest off.
type Keys = &'static [(&'static str, &'static str)];
const TABLE_KEYS: Keys = &[
    ("q", "quit"),
    ("↑↓", "choose"),
    ("enter", "details"),
    ("c", "cut"),
    ("s", "sort"),
    ("r", "reverse"),
    ("/", "filter"),
    ("space", "hold"),
];
const DETAIL_KEYS: Keys =
    &[("q", "quit"), ("esc", "back"), ("c", "cut"), ("t", "tap on/off"), ("h", "hex/text")];
const FILTER_KEYS: Keys = &[("enter", "done"), ("esc", "as before"), ("ctrl-u", "clear")];
const CUT_KEYS: Keys =
    &[("y", "cut by RST"), ("f", "by FIN, after what is under way"), ("any other key", "no")];

struct Parts {
    about: Rect,
    totals: Rect,
    charts: Rect,
    body: Rect,
    status: Rect,
    keys: Rect,
}

/// How many sessions a screen of this size has room for.
pub fn room(area: Rect) -> usize {
    usize::from(parts(area, CHARTS_FROM).body.height.saturating_sub(table::HEAD_ROWS))
}

/// With fewer rows than `charts_from` there are no charts.
fn parts(area: Rect, charts_from: u16) -> Parts {
    let mut from = area.y;
    let mut left = area.height;
    let mut rows = |wanted: u16| {
        let height = wanted.min(left);
        let part = Rect { y: from, height, ..area };
        (from, left) = (from + height, left - height);
        part
    };
    let about = rows(1);
    let totals = rows(u16::from(area.height >= TOTALS_FROM));
    let charts = rows(if area.height >= charts_from { CHART_ROWS } else { 0 });
    const BELOW: u16 = 2; // The status and the keys.
    let body = rows(area.height.saturating_sub(about.height + totals.height + charts.height + BELOW));
    Parts { about, totals, charts, body, status: rows(1), keys: rows(1) }
}

pub fn draw(state: &State, paint: Paint, area: Rect, buffer: &mut Buffer) {
    let parts = parts(area, if state.detail.is_some() { CHARTS_WITH_DETAILS_FROM } else { CHARTS_FROM });
    put(buffer, parts.about, &about(state), paint.head());
    put(buffer, parts.totals, &totals(state), Style::new());
    charts(state, paint, parts.charts, buffer);
    match &state.detail {
        Some(one) => detail::draw(one, paint, parts.body, buffer),
        None => {
            let has_upstream = state.greeting.mode == Named::Known(Mode::Proxy);
            table::draw(&state.page, has_upstream, paint, parts.body, buffer);
        }
    }
    let (status, style) = status(state, paint);
    put(buffer, parts.status, &status, style);
    keys(state, paint, parts.keys, buffer);
}

fn about(state: &State) -> String {
    let greeting = &state.greeting;
    let listeners: Vec<&str> = greeting.listeners.iter().map(SafeText::as_str).collect();
    let mut line = format!("switchboard {} on {}, pid {}", greeting.mode, listeners.join(", "), greeting.pid);
    if let Some(stats) = &state.stats {
        line += &format!(", up {}", span(stats.uptime_ms));
        line += if stats.paused { ", PAUSED" } else { "" };
        line += if stats.draining { ", DRAINING" } else { "" };
    }
    line
}

fn totals(state: &State) -> String {
    let Some(stats) = &state.stats else { return "looking ...".to_owned() };
    let [client, upstream] = [state.history.client_rate, state.history.upstream_rate].map(rate);
    let (live, most, ended) = (stats.live, stats.max_sessions, stats.ended);
    format!("{live} of {most} sessions, {ended} ended; ↑ client {client}, ↓ upstream {upstream}")
}

fn charts(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let width = part.width.saturating_sub(GAP) / 2;
    let left = Rect { width, ..part };
    let right = Rect { x: part.x + width + GAP, width, ..part };
    let history = &state.history;
    let peak = |samples: &VecDeque<u64>| samples.iter().rev().take(width.into()).copied().max().unwrap_or(0);
    let title = format!("both directions, at most {}", rate(peak(&history.throughput)));
    chart(&title, &history.throughput, paint, left, buffer);
    let title = format!("live sessions, at most {}", peak(&history.sessions));
    chart(&title, &history.sessions, paint, right, buffer);
}

/// The newest samples, one a column.
fn chart(title: &str, samples: &VecDeque<u64>, paint: Paint, part: Rect, buffer: &mut Buffer) {
    if part.is_empty() {
        return;
    }
    put(buffer, part, &fit(title, part.width.into()), paint.dim());
    let bars = Rect { y: part.y + 1, height: part.height - 1, ..part };
    let shown = samples.iter().skip(samples.len().saturating_sub(bars.width.into()));
    Sparkline::default().data(shown.copied()).style(paint.busy()).render(bars, buffer);
}

fn status(state: &State, paint: Paint) -> (String, Style) {
    match (&state.prompt, &state.notice) {
        (Some(Prompt::Filter(_)), _) => (
            format!(
                "filter: {}_  ({} sessions)",
                SafeText::from(state.page.choice.matching.as_str()),
                state.page.matching
            ),
            paint.head(),
        ),
        (Some(Prompt::Cut { session, about }), _) => {
            (format!("cut session {session} of {about}?"), paint.alert())
        }
        (None, Some(notice)) => (notice.clone(), paint.alert()),
        (None, None) if state.detail.is_some() => (String::new(), Style::new()),
        (None, None) => (table::status(&state.page), paint.dim()),
    }
}

fn keys(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let keys = match (&state.prompt, &state.detail) {
        (Some(Prompt::Filter(_)), _) => FILTER_KEYS,
        (Some(Prompt::Cut { .. }), _) => CUT_KEYS,
        (None, Some(_)) => DETAIL_KEYS,
        (None, None) => TABLE_KEYS,
    };
    if part.is_empty() {
        return;
    }
    let mut x = part.x;
    for (key, meaning) in keys {
        for (word, style) in
            [(*key, paint.head()), (" ", Style::new()), (*meaning, Style::new()), ("  ", Style::new())]
        {
            let left = part.right().saturating_sub(x);
            (x, _) = buffer.set_stringn(x, part.y, word, left.into(), style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::protocol::{ListedSession, ServerStats, Sort},
        tools::top::{
            keyboard::Key,
            link::{Answer, Details, Look, Tapped},
        },
    };
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::{Value, from_value, json};

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

    /// A proxy with this number of sessions, as a screen of this size shows it.
    fn state(sessions: u64, width: u16, height: u16) -> State {
        let greeting =
            json!({"switchboard": 1, "mode": "proxy", "pid": 4711, "listeners": ["127.0.0.1:8002"]});
        let mut state = State::new(from_value(greeting).unwrap(), Sort::Rate, None);
        state.page.resize(room(Rect::new(0, 0, width, height)));
        for second in 0..5_u64 {
            let stats = Some(ServerStats {
                uptime_ms: 1000 * second,
                live: sessions,
                max_sessions: 20_000,
                ended: 7,
                client_bytes: 1024 * second,
                upstream_bytes: 2048 * second * second,
                ..ServerStats::default()
            });
            let listed = |number| from_value::<ListedSession>(row(number)).unwrap();
            let rows = (1..=sessions).take(state.page.room).map(listed).collect();
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
        let look = Look {
            choice: state.wanted(),
            session: Some((1, Details::Alive(from_value(facts).unwrap()))),
            ..Look::default()
        };
        state.answer(Answer::Look(Box::new(look)));
        state
    }

    #[test]
    fn a_table_fits_80_by_24() {
        let lines = drawn(&state(40, 80, 24), 80, 24);
        assert_eq!(lines[0], "switchboard proxy on 127.0.0.1:8002, pid 4711, up 4 s");
        assert_eq!(lines[1], "40 of 20000 sessions, 7 ended; ↑ client 1 KiB/s, ↓ upstream 14 KiB/s");
        assert_eq!(
            lines[2],
            format!("{:41}{}", "both directions, at most 15 KiB/s", "live sessions, at most 40")
        );
        assert!(lines[5].starts_with("▄███") && lines[5].contains(" ████"), "{lines:#?}");
        assert_eq!(
            lines[6],
            "     ID CLIENT          UPSTREAM           AGE   IDLE ▼↑ CLIENT/s ▼↓ UPSTREAM/s"
        );
        assert_eq!(
            lines[7],
            "      1 192.168…0.200:1 142.250….196:80 5.12 s  40 ms           -         4 KiB"
        );
        assert!(lines[21].starts_with("     15 192.168….200:15 142."), "{lines:#?}");
        assert_eq!(lines[22], "1-15 of 40, fastest first");
        assert!(lines[23].starts_with("q quit") && lines[23].ends_with("space hold"), "{}", lines[23]);
    }

    #[test]
    fn a_wide_screen_shows_all_columns_and_whole_addresses() {
        let lines = drawn(&state(3, 160, 24), 160, 24);
        for word in ["PHASE", "▼↓ UPSTREAM/s", " ↑ CLIENT ", "WAITING"] {
            assert!(lines[6].contains(word), "{}", lines[6]);
        }
        assert!(lines[7].contains("192.168.100.200:1 ") && lines[7].contains("19.2 KiB"), "{}", lines[7]);
    }

    #[test]
    fn an_echo_has_no_upstreams_and_a_dial_says_so() {
        let mut echo = state(3, 80, 24);
        echo.greeting.mode = Named::Known(Mode::Echo);
        assert!(!drawn(&echo, 80, 24)[6].contains(" UPSTREAM "));
        let mut dialling = state(1, 80, 24);
        dialling.page.rows[0].upstream = None;
        dialling.page.rows[0].phase = Named::of("dialling");
        assert!(drawn(&dialling, 80, 24)[7].contains("(dialling)"));
    }

    #[test]
    fn details_show_both_connections_and_the_tap() {
        let mut state = with_details(state(3, 80, 24));
        let piece = json!({"ts": "2026-11-21T20:26:21.123456Z", "from": "upstream", "offset": 0, "bytes": 4, "hex": "1b5b324a"});
        state.tapped(Tapped::Item(from_value(piece).unwrap()));
        let lines = drawn(&state, 80, 24);
        for (line, text) in [
            (2, "session 1: open, age 5.12 s, idle 40 ms, taps 1"),
            (4, "upstream  127.0.0.1:40012 to 142.250.69.196:80"),
            (5, "dialled   resolved in -, connected in 11 ms, first byte after -"),
            (7, "↓ upstream   19.2 KiB,      4 KiB/s, 512 B waiting"),
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
        let verdict = "upstream reset 1.2 s after the client's FIN; at least 812 bytes from the client were not delivered";
        let mut state = with_details(state(3, 80, 24));
        let look = Look {
            choice: state.wanted(),
            session: Some((1, Details::Ended(verdict.into()))),
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
        assert!(lines[23].starts_with("y cut by RST"));
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
}
