//! The screen: a pure function of the state. From top to bottom: a line of numbers, a row of chart, the tabs, the table or one
//! session, a line for what is asked or told, and the keys.

use crate::{
    control::protocol::{PastSecond, Sort},
    text::{
        columns::{cut, width},
        safe::SafeText,
        table::span,
        units::rate,
    },
    tools::{
        ctl::page::{self, Tone},
        top::{
            keys,
            paint::{Paint, put},
            state::{Prompt, State, Tab},
            table,
        },
    },
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Sparkline, Widget},
};

/// With fewer rows than this, the table has the chart's place.
const CHART_FROM: u16 = 10;
/// With fewer, that of the tabs too.
const TABS_FROM: u16 = 8;
/// With fewer columns, the chart has no room for its scale.
const SCALE_FROM: u16 = 100;

struct Parts {
    numbers: Rect,
    chart: Rect,
    tabs: Rect,
    body: Rect,
    status: Rect,
    keys: Rect,
}

/// What is at a place of the screen.
pub enum Hit {
    Tab(Tab),
    /// The head of a column, which stands for this order.
    Head(Sort),
    /// A row of the table, from 0.
    Row(usize),
}

/// How many sessions a screen of this size has room for.
pub fn room(area: Rect) -> usize {
    usize::from(parts(area).body.height.saturating_sub(table::HEAD_ROWS))
}

fn parts(area: Rect) -> Parts {
    let mut from = area.y;
    let mut left = area.height;
    let mut rows = |wanted: u16| {
        let height = wanted.min(left);
        let part = Rect { y: from, height, ..area };
        (from, left) = (from + height, left - height);
        part
    };
    let numbers = rows(1);
    let chart = rows(u16::from(area.height >= CHART_FROM));
    let tabs = rows(u16::from(area.height >= TABS_FROM));
    const BELOW: u16 = 2; // The status and the keys.
    let body = rows(area.height.saturating_sub(numbers.height + chart.height + tabs.height + BELOW));
    Parts { numbers, chart, tabs, body, status: rows(1), keys: rows(1) }
}

/// What a click at this place means.
pub fn hit(state: &State, area: Rect, column: u16, row: u16) -> Option<Hit> {
    let Parts { tabs, body, .. } = parts(area);
    if tabs.height > 0 && row == tabs.y {
        let mut end = 0;
        return Tab::ALL.into_iter().zip(1..).find_map(|(tab, number)| {
            end += u16::try_from(tab_text(tab, number).len()).unwrap_or(0);
            (column < end).then_some(Hit::Tab(tab))
        });
    }
    let inner = row.checked_sub(body.y).filter(|inner| *inner < body.height && state.detail.is_none())?;
    match inner.checked_sub(table::HEAD_ROWS) {
        Some(row) => Some(Hit::Row(row.into())),
        None if state.tab == Tab::Live => {
            table::order_at(&state.page, area.width, state.names().is_some(), column).map(Hit::Head)
        }
        None => None,
    }
}

pub fn draw(state: &State, paint: Paint, area: Rect, buffer: &mut Buffer) {
    let parts = parts(area);
    numbers(state, paint, parts.numbers, buffer);
    chart(state, paint, parts.chart, buffer);
    tabs(state, paint, parts.tabs, buffer);
    let names = state.names();
    match (&state.detail, state.tab) {
        (Some(one), _) => one.draw(paint, parts.body, buffer),
        (None, Tab::Live) => table::draw(&state.page, names.as_deref(), paint, parts.body, buffer),
        (None, Tab::Ended) => state.ended.draw(names.as_deref(), paint, parts.body, buffer),
        (None, Tab::Causes) => causes(state, paint, parts.body, buffer),
        (None, Tab::Events) => events(state, names.as_deref(), paint, parts.body, buffer),
    }
    let (status, style) = status(state, paint);
    put(buffer, parts.status, &cut(&status, parts.status.width.into()), style);
    keys::line(keys_of(state), paint, parts.keys, buffer);
    if state.help {
        keys::all(paint, area, buffer);
    }
    paint.finish(buffer);
}

/// The line of numbers; what is not well stands out.
fn numbers(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let Some(totals) = state.totals() else {
        return put(buffer, part, "looking ...", paint.head());
    };
    let mut x = part.x;
    for (number, word) in page::numbers(&totals).split(" · ").enumerate() {
        let alarming = ["stalled", "PAUSED", "DRAINING", "failed"].iter().any(|alarm| word.contains(alarm));
        let style = if alarming { paint.alert() } else { paint.head() };
        for (text, style) in [(if number > 0 { " · " } else { "" }, Style::new()), (word, style)] {
            let left = part.right().saturating_sub(x);
            (x, _) = buffer.set_stringn(x, part.y, text, left.into(), style);
        }
    }
}

/// The newest seconds of both directions, one a column, and how much that is now.
fn chart(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let Some(totals) = state.totals().filter(|_| !part.is_empty()) else { return };
    let both = |second: &PastSecond| second.client_rate.saturating_add(second.upstream_rate);
    let mut label = format!("↑ {} ↓ {}", rate(totals.client_rate), rate(totals.upstream_rate));
    if part.width >= SCALE_FROM {
        let most = totals.history.iter().map(both).max().unwrap_or(0);
        label = format!("most {} in 2 min · {label}", rate(most));
    }
    let label_width = u16::try_from(width(&label)).unwrap_or(0).min(part.width);
    let bars = Rect { width: part.width.saturating_sub(label_width + 1), ..part };
    let shown = totals.history.iter().skip(totals.history.len().saturating_sub(bars.width.into()));
    // What fits stands at the right, where it is newest.
    let missing = usize::from(bars.width).saturating_sub(totals.history.len());
    let bars_shown = vec![0; missing].into_iter().chain(shown.map(both));
    Sparkline::default().data(bars_shown).style(paint.busy()).render(bars, buffer);
    let at = Rect { x: part.right() - label_width, width: label_width, ..part };
    put(buffer, at, &label, Style::new());
}

fn tab_text(tab: Tab, number: u16) -> String {
    format!(" {number} {} ", tab.name())
}

fn tabs(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    if part.is_empty() {
        return;
    }
    let mut x = part.x;
    for (tab, number) in Tab::ALL.into_iter().zip(1..) {
        let style = if tab == state.tab { paint.chosen() } else { paint.head() };
        let left = part.right().saturating_sub(x);
        (x, _) = buffer.set_stringn(x, part.y, tab_text(tab, number), left.into(), style);
    }
    let room = usize::from(part.right().saturating_sub(x + 1));
    let about = cut(&about(state), room);
    let about_width = u16::try_from(width(&about)).unwrap_or(0);
    put(buffer, Rect { x: part.right() - about_width, width: about_width, ..part }, &about, paint.dim());
}

/// The server, or how many there are.
fn about(state: &State) -> String {
    let mut alive = state.alive();
    match (alive.next(), alive.count()) {
        (Some(one), 0) => {
            let up =
                one.stats.as_ref().map_or(String::new(), |stats| format!(", up {}", span(stats.uptime_ms)));
            format!("{}{up}", one.greeting.about())
        }
        (Some(first), more) => {
            let names: Vec<_> = state.alive().map(|server| server.name.as_str()).collect();
            let _ = first;
            format!("{} servers: {}", more + 1, names.join(" "))
        }
        (None, _) => String::new(),
    }
}

/// The causes, and what came of handshakes of TLS below them, if there is room.
fn causes(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    state.causes.draw(paint, part, buffer);
    let handshakes = state.totals().map(|totals| page::handshakes(&totals)).unwrap_or_default();
    let free =
        usize::from(part.height).saturating_sub(usize::from(table::HEAD_ROWS) + state.causes.rows.len());
    if free > handshakes.len() {
        let rows: Vec<_> = part.rows().rev().take(handshakes.len()).collect();
        for (row, line) in rows.into_iter().rev().zip(handshakes) {
            let style = if line.tone == Tone::Dim { paint.head() } else { Style::new() };
            put(buffer, row, &line.text, style);
        }
    }
}

fn events(state: &State, names: Option<&[String]>, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let shown: Vec<_> = state.events.shown().take(part.height.into()).collect();
    for (row, (server, told)) in part.rows().zip(shown.into_iter().rev()) {
        let name = names.and_then(|names| names.get(*server));
        let server = name.map_or(String::new(), |name| format!("{name} "));
        let (text, style) = match (&told.cause, told.lost) {
            (_, 1..) => (format!("… {} events were lost: too many to show", told.lost), paint.dim()),
            (Some(cause), _) if *cause == "done" => (format!("{server}{}", told.line), paint.dim()),
            (Some(_), _) => (format!("{server}{}", told.line), paint.alert()),
            (None, _) => (format!("{server}{}", told.line), Style::new()),
        };
        put(buffer, row, &cut(&text, part.width.into()), style);
    }
}

fn status(state: &State, paint: Paint) -> (String, Style) {
    let asked = |text: &str| SafeText::from(text).to_string();
    match (&state.prompt, &state.notice) {
        (Some(Prompt::Filter(_)), _) if state.tab == Tab::Ended => {
            let count = state.ended.shown().len();
            (format!("filter: {}_  ({count} sessions)", asked(&state.ended.matching)), paint.head())
        }
        (Some(Prompt::Filter(_)), _) => {
            let page = &state.page;
            let text = format!("filter: {}_  ({} sessions)", asked(&page.choice.matching), page.matching);
            (text, paint.head())
        }
        (Some(Prompt::Search(text)), _) => (format!("search: {}_", asked(text)), paint.head()),
        (Some(Prompt::Save(name)), _) => (format!("save as: {}_", asked(name)), paint.head()),
        (Some(Prompt::Health), _) => ("only sessions that are:".to_owned(), paint.head()),
        (Some(Prompt::Cut { session, about, .. }), _) => {
            (format!("cut session {session} of {about}?"), paint.alert())
        }
        (None, Some(notice)) => (SafeText::from(notice.as_str()).to_string(), paint.alert()),
        (None, None) if state.detail.is_some() => (String::new(), Style::new()),
        (None, None) => (tab_status(state), paint.dim()),
    }
}

fn tab_status(state: &State) -> String {
    match state.tab {
        Tab::Live => table::status(&state.page),
        Tab::Ended => state.ended.status(),
        Tab::Causes => "of all sessions that ended; enter shows those that are remembered".to_owned(),
        Tab::Events => match (state.events.len(), state.events.behind()) {
            (0, _) => "from now on; nothing has happened yet".to_owned(),
            (kept, 0) => format!("{kept} events, as they come"),
            (kept, behind) => format!("{kept} events, back by {behind}; G: the newest"),
        },
    }
}

fn keys_of(state: &State) -> keys::Keys {
    match (&state.prompt, &state.detail, state.tab) {
        (Some(Prompt::Filter(_)), ..) => keys::FILTER,
        (Some(Prompt::Search(_)), ..) => keys::SEARCH,
        (Some(Prompt::Save(_)), ..) => keys::SAVE,
        (Some(Prompt::Health), ..) => keys::HEALTH,
        (Some(Prompt::Cut { .. }), ..) => keys::CUT,
        (None, Some(_), _) => keys::DETAIL,
        (None, None, Tab::Live) => keys::LIVE,
        (None, None, Tab::Ended) => keys::ENDED,
        (None, None, Tab::Causes) => keys::CAUSES,
        (None, None, Tab::Events) => keys::EVENTS,
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::protocol::{ListedSession, Named, ServerStats},
        tools::top::{
            keyboard::Key,
            link::{Answer, Details, Look, Tapped, Told},
        },
    };
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::{Value, from_value, json};

    const PAINT: Paint = Paint { colour: true, plain: false };

    /// The lines of a screen of this size.
    fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
        drawn_with(PAINT, state, width, height)
    }

    fn drawn_with(paint: Paint, state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, paint, frame.area(), frame.buffer_mut())).unwrap();
        let cells = terminal.backend().buffer().content();
        let line = |line: &[ratatui::buffer::Cell]| line.iter().map(|cell| cell.symbol()).collect::<String>();
        cells.chunks(width.into()).map(|cells| line(cells).trim_end().to_owned()).collect()
    }

    fn row(session: u64) -> Value {
        let health = ["live", "stalled", "half-closed"][usize::try_from(session % 3).unwrap()];
        json!({"session": session, "mode": "proxy", "client": format!("192.168.100.200:{session}"),
            "upstream": "142.250.69.196:80", "phase": "open", "age_ms": 5120, "idle_ms": 40, "client_bytes": 78,
            "upstream_bytes": 19663, "client_rate": 0, "upstream_rate": 4100, "client_waiting": 0, "upstream_waiting": 512,
            "health": health, "name": "127.0.0.1:8002"})
    }

    /// A proxy with this number of sessions, as a screen of this size shows it.
    fn state(sessions: u64, width: u16, height: u16) -> State {
        let mut state = State::new(Sort::Problems, None);
        let greeting =
            json!({"switchboard": 1, "mode": "proxy", "pid": 4711, "listeners": ["127.0.0.1:8002"]});
        state.add_server(from_value(greeting).unwrap());
        state.resize(Rect::new(0, 0, width, height));
        let past = |second: u64| json!({"live": sessions, "client_rate": 1024, "upstream_rate": 2048 * (second % 8)});
        let stats: ServerStats =
            from_value(json!({"uptime_ms": 4000, "live": sessions, "ended": 909, "failed": 3,
            "client_rate": 1024, "upstream_rate": 14_336, "health": {"stalled": 2, "half-closed": 1},
            "causes": {"done": 906, "client_reset": 3}, "history": (0..120).map(past).collect::<Vec<_>>()}))
            .unwrap();
        let listed = |number| from_value::<ListedSession>(row(number)).unwrap();
        let rows = (1..=sessions).take(state.page.room).map(listed).collect();
        let (choice, matching) = (state.wanted_of(0).0, usize::try_from(sessions).unwrap());
        let look = Look { stats: Some(stats), rows, matching, choice, ..Look::default() };
        state.answer(0, Answer::Look(Box::new(look)));
        state
    }

    fn with_details(mut state: State, told: Details) -> State {
        state.key(Key::Enter);
        let look = Look { choice: state.wanted_of(0).0, session: Some((1, told)), ..Look::default() };
        state.answer(0, Answer::Look(Box::new(look)));
        state
    }

    fn alive() -> Details {
        let mut facts = row(1);
        let kernel = json!({"state": "established", "rtt_us": 41, "congestion_window": 10, "receive_queue": 0,
            "send_queue": 1448, "lost_segments": 0, "retransmits": 3});
        for (key, value) in [
            ("local", json!("127.0.0.1:8002")),
            ("upstream_local", json!("127.0.0.1:40012")),
            ("connect_ms", json!(11.04)),
            ("client_tcp", kernel.clone()),
            ("upstream_tcp", kernel),
        ] {
            facts[key] = value;
        }
        Details::Alive(from_value(facts).unwrap())
    }

    #[test]
    fn a_table_fits_80_by_24() {
        let lines = drawn(&state(40, 80, 24), 80, 24);
        assert_eq!(lines[0], "40 open · 2 stalled · 1 half-closed · 909 ended (3 failed)");
        assert!(lines[1].ends_with("█ ↑ 1 KiB/s ↓ 14 KiB/s") && lines[1].starts_with('▅'), "{}", lines[1]);
        assert_eq!(
            lines[2],
            " 1 Live  2 Ended  3 Causes  4 Events             proxy on 127.0.0.1:8002, up 4 s"
        );
        assert_eq!(
            lines[3],
            "▼STATE         ID CLIENT                   AGE   IDLE      ↑/s      ↓/s  WAITING"
        );
        assert_eq!(
            lines[4],
            "✖ stalled       1 192.168.100.200:1     5.12 s  40 ms        -    4 KiB    512 B"
        );
        assert!(lines[6].starts_with("● live          3 192.168.100.200:3 "), "{lines:#?}");
        assert!(lines[21].contains(" 18 192.168.100.200:18 "), "{lines:#?}");
        assert_eq!(lines[22], "1-18 of 40, problems first");
        assert!(
            lines[23].starts_with("q quit  ? keys") && lines[23].ends_with("space hold"),
            "{}",
            lines[23]
        );
    }

    #[test]
    fn a_wide_screen_shows_all_columns_and_the_scale() {
        let lines = drawn(&state(3, 160, 40), 160, 40);
        for word in ["PHASE", "↓ UPSTREAM", " ↑ CLIENT ", "WAITING"] {
            assert!(lines[3].contains(word), "{}", lines[3]);
        }
        assert!(lines[1].contains("most 15 KiB/s in 2 min · ↑ 1 KiB/s"), "{}", lines[1]);
        assert!(lines[4].contains("19.2 KiB"), "{}", lines[4]);
    }

    #[test]
    fn an_upstream_is_a_column_only_where_there_are_several() {
        let mut state = state(3, 80, 24);
        assert!(!drawn(&state, 80, 24)[3].contains("UPSTREAM"));
        let rows = [1, 2].map(|number| {
            let mut one = row(number);
            one["upstream"] = json!(format!("142.250.69.19{number}:80"));
            from_value(one).unwrap()
        });
        let look = Look { rows: rows.to_vec(), matching: 2, choice: state.wanted_of(0).0, ..Look::default() };
        state.answer(0, Answer::Look(Box::new(look)));
        let lines = drawn(&state, 80, 24);
        assert!(lines[3].contains("UPSTREAM") && lines[4].contains("191:80"), "{lines:#?}");
        assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
    }

    #[test]
    fn details_show_both_connections_and_the_tap_once_it_is_on() {
        let mut state = with_details(state(3, 80, 24), alive());
        let lines = drawn(&state, 80, 24);
        for (line, text) in [
            (3, "session 1: ✖ stalled, proxy on 127.0.0.1:8002"),
            (5, "upstream   127.0.0.1:40012 to 142.250.69.196:80"),
            (6, "dialled    resolved in -, connected in 11 ms, first byte after -"),
            (7, "life       open, age 5.12 s, idle 40 ms"),
            (10, "↓ upstream   19.2 KiB      4 KiB/s        512 B          0 B"),
            (12, "client     established      41 µs      10        0 B   1.41 KiB      0       3"),
            (14, "no tap; t shows its bytes as they flow"),
            (23, "q quit  ? keys  esc back  t tap on/off  h hex/text"),
        ] {
            assert!(lines[line].contains(text), "{line} {text}: {lines:#?}");
        }
        state.key(Key::Char('t'));
        let piece = json!({"ts": "2026-11-21T20:26:21.123456Z", "from": "upstream", "offset": 0, "bytes": 4, "hex": "1b5b324a"});
        state.tapped(Tapped::Item(from_value(piece).unwrap()));
        let lines = drawn(&state, 80, 24);
        assert!(lines[14].starts_with("tap on, as text"), "{lines:#?}");
        assert!(lines[15].contains(r"20:26:21.123 upstream < offset 0, 4 B: \x1b[2J"), "{lines:#?}");
    }

    #[test]
    fn how_a_session_ended_is_told_whole_where_it_takes_more_than_a_line() {
        let verdict = "upstream reset 1.2 s after the client's FIN; at least 812 bytes from the client were not delivered";
        let ended = json!({"session": 1, "verdict": verdict, "cause": "upstream_reset"});
        let state = with_details(state(3, 80, 24), Details::Ended(from_value(ended).unwrap()));
        let lines = drawn(&state, 80, 24);
        assert_eq!(lines[3..5].concat(), format!("session 1 ended: {verdict}"));
        assert!(lines[5].starts_with("cause      upstream_reset"), "{lines:#?}");
    }

    #[test]
    fn every_tab_has_its_page() {
        let mut state = state(3, 80, 24);
        state.key(Key::Char('2'));
        let ended: crate::control::protocol::EndedSession =
            from_value(json!({"session": 9, "cause": "client_reset",
            "client": "127.0.0.1:5", "verdict": "client reset after 1 s; all bytes were passed on"}))
            .unwrap();
        let look = Look { choice: state.wanted_of(0).0, ended: Some(vec![ended]), ..Look::default() };
        state.answer(0, Answer::Look(Box::new(look)));
        let lines = drawn(&state, 80, 24);
        assert!(
            lines[4].contains("127.0.0.1:5") && lines[4].contains("client_reset client reset"),
            "{lines:#?}"
        );
        state.key(Key::Char('3'));
        let lines = drawn(&state, 80, 24);
        assert!(lines[4].starts_with("done                       906  99.7 % █████"), "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains("TLS")), "{lines:#?}");
        let mut stats = state.totals().unwrap();
        stats.tls_handshakes = from_value(json!({"upstream": {"full": 7, "failed": 2}})).unwrap();
        let look = Look { stats: Some(stats), choice: state.wanted_of(0).0, ..Look::default() };
        state.answer(0, Answer::Look(Box::new(look)));
        let lines = drawn(&state, 80, 24);
        assert!(lines[20].starts_with("HANDSHAKES OF TLS        FULL  RESUMED   FAILED"), "{lines:#?}");
        assert!(lines[21].starts_with("with upstreams              7        0        2"), "{lines:#?}");
        state.key(Key::Char('4'));
        assert!(drawn(&state, 80, 24)[22].starts_with("from now on"));
        let told = json!({"line": "20:26:21.123 #1 open echo 127.0.0.1:5 -> 127.0.0.1:8001"});
        state.told(0, from_value::<Told>(told).unwrap());
        assert!(drawn(&state, 80, 24)[3].contains("#1 open echo"));
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
    fn all_keys_fit_over_80_by_24() {
        let mut state = state(3, 80, 24);
        state.key(Key::Char('?'));
        let lines = drawn(&state, 80, 24);
        assert!(lines[0].starts_with("everywhere") && lines[23] == "any key: back", "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("✖ stalled")), "{lines:#?}");
    }

    #[test]
    fn a_click_is_at_what_is_seen_there() {
        let mut state = state(9, 80, 24);
        let click = |state: &mut State, column, row| {
            state.key(Key::Click { column, row });
        };
        click(&mut state, 20, 6);
        assert_eq!(state.page.chosen().unwrap().session.session, 3);
        click(&mut state, 20, 6);
        assert_eq!(state.detail.as_ref().map(|detail| detail.session), Some(3));
        state.key(Key::Escape);
        click(&mut state, 50, 3);
        assert_eq!(state.page.choice.sort, Sort::Idle);
        click(&mut state, 10, 2);
        assert_eq!(state.tab, Tab::Ended);
        click(&mut state, 79, 23);
    }

    #[test]
    fn no_screen_is_too_small_and_a_small_one_keeps_the_table_and_how_to_leave() {
        let lines = drawn(&state(9, 20, 5), 20, 5);
        assert!(lines[2].starts_with("  1 ") && lines[4].starts_with("q quit"), "{lines:#?}");
        for width in 1..40 {
            for height in 1..20 {
                for tab in ['1', '2', '3', '4', '?'] {
                    let mut state = state(9, width, height);
                    state.key(Key::Char(tab));
                    drawn(&state, width, height);
                    drawn(&with_details(state, alive()), width, height);
                }
            }
        }
    }

    #[test]
    fn without_colours_what_is_chosen_still_stands_out() {
        let area = Rect::new(0, 0, 80, 24);
        let mut buffer = Buffer::empty(area);
        draw(&state(3, 80, 24), Paint { colour: false, plain: false }, area, &mut buffer);
        assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
        assert!(buffer[(10, 4)].modifier.contains(ratatui::style::Modifier::REVERSED));
    }

    #[test]
    fn a_plain_terminal_is_shown_plain_characters() {
        let plain = Paint { plain: true, ..PAINT };
        let mut state = state(3, 80, 24);
        for key in ['1', '2', '3', '4', '?'] {
            state.key(Key::Char(key));
            assert!(drawn_with(plain, &state, 80, 24).iter().all(|line| line.is_ascii()), "{key}");
        }
        state.key(Key::Escape);
        state.key(Key::Char('1'));
        assert!(drawn_with(plain, &state, 80, 24)[4].starts_with("! stalled"));
        assert!(matches!(state.page.rows[0].session.health, Named::Known(_)));
    }
}
