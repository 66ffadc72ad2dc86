//! The screen: a pure function of the state. From top to bottom: the server, the charts, the table or one session, a line
//! for what is asked or told, and the keys.

use crate::{
    text::table::{bytes, span},
    tools::top::{
        detail_view,
        paint::Paint,
        state::{Prompt, State},
        table,
        text::{fit, safe, shown},
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
/// Between the charts.
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
    &[("y", "cut by reset"), ("f", "by FIN, after what is under way"), ("any other key", "no")];

/// Where things are on a screen.
struct Parts {
    about: Rect,
    totals: Rect,
    charts: Rect,
    body: Rect,
    status: Rect,
    keys: Rect,
}

/// How many sessions a screen of this size has room for.
#[must_use]
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

/// Draws the whole of `area`.
pub fn draw(state: &State, paint: Paint, area: Rect, buffer: &mut Buffer) {
    let parts = parts(area, if state.detail.is_some() { CHARTS_WITH_DETAILS_FROM } else { CHARTS_FROM });
    text(buffer, parts.about, &about(state), paint.head());
    text(buffer, parts.totals, &totals(state), Style::new());
    charts(state, paint, parts.charts, buffer);
    match &state.detail {
        Some(detail) => detail_view::draw(detail, paint, parts.body, buffer),
        None => {
            let has_upstream = state.greeting["mode"] == "proxy";
            table::draw(&state.page, has_upstream, paint, parts.body, buffer);
        }
    }
    let (status, style) = status(state, paint);
    text(buffer, parts.status, &status, style);
    keys(state, paint, parts.keys, buffer);
}

/// Writes one line, cut off where the part ends.
pub fn text(buffer: &mut Buffer, part: Rect, text: &str, style: Style) {
    if !part.is_empty() {
        buffer.set_stringn(part.x, part.y, text, part.width.into(), style);
    }
}

fn about(state: &State) -> String {
    let listeners = state.greeting["listeners"].as_array().into_iter().flatten().map(shown);
    let listeners: Vec<String> = listeners.collect();
    let (mode, pid) = (shown(&state.greeting["mode"]), shown(&state.greeting["pid"]));
    let mut line = format!("switchboard {mode} on {}, pid {pid}", listeners.join(", "));
    if !state.stats.is_null() {
        line += &format!(", up {}", span(&state.stats["uptime_ms"]));
    }
    for (key, word) in [("paused", ", PAUSED"), ("draining", ", DRAINING")] {
        if state.stats[key] == true {
            line += word;
        }
    }
    line
}

fn totals(state: &State) -> String {
    if state.stats.is_null() {
        return "looking ...".to_owned();
    }
    let number = |key: &str| shown(&state.stats[key]);
    let rate = |rate: u64| bytes(&rate.into());
    format!(
        "{} of {} sessions, {} ended; up {}/s, down {}/s",
        number("live"),
        number("max_sessions"),
        number("ended"),
        rate(state.history.client_rate),
        rate(state.history.upstream_rate),
    )
}

fn charts(state: &State, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let width = part.width.saturating_sub(GAP) / 2;
    let left = Rect { width, ..part };
    let right = Rect { x: part.x + width + GAP, width, ..part };
    let history = &state.history;
    let peak = |samples: &VecDeque<u64>| samples.iter().rev().take(width.into()).copied().max().unwrap_or(0);
    let title = format!("throughput, at most {}/s", bytes(&peak(&history.throughput).into()));
    chart(&title, &history.throughput, paint, left, buffer);
    let title = format!("open sessions, at most {}", peak(&history.sessions));
    chart(&title, &history.sessions, paint, right, buffer);
}

/// The newest samples, one a column.
fn chart(title: &str, samples: &VecDeque<u64>, paint: Paint, part: Rect, buffer: &mut Buffer) {
    if part.is_empty() {
        return;
    }
    text(buffer, part, &fit(title, part.width.into()), paint.dim());
    let bars = Rect { y: part.y + 1, height: part.height - 1, ..part };
    let shown = samples.iter().skip(samples.len().saturating_sub(bars.width.into()));
    Sparkline::default().data(shown.copied()).style(paint.busy()).render(bars, buffer);
}

fn status(state: &State, paint: Paint) -> (String, Style) {
    match (&state.prompt, &state.notice) {
        (Some(Prompt::Filter(_)), _) => (
            format!("filter: {}_  ({} sessions)", safe(&state.page.choice.matching), state.page.matching),
            paint.head(),
        ),
        (Some(Prompt::Cut { session, about }), _) => {
            (format!("cut session {session} of {about}?"), paint.alert())
        }
        (None, Some(notice)) => (safe(notice), paint.alert()),
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
mod tests;
