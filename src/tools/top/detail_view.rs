//! One session on the screen: what is known of it, the kernel's view of both connections, and its tap.

use crate::{
    text::{
        table::{bytes, span},
        units::duration,
    },
    tools::top::{
        detail::Detail,
        paint::Paint,
        screen::text,
        text::{safe, shown, wrapped},
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use serde_json::Value;
use std::time::Duration;

/// Draws the session into `part`.
pub fn draw(detail: &Detail, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let mut rows = part.rows();
    let head = format!("session {}: {}", detail.session, life(detail));
    let style = if detail.ended.is_some() { paint.alert() } else { paint.head() };
    // How it ended, and long addresses, are told whole.
    let told =
        [(head, style)].into_iter().chain(facts(&detail.facts).into_iter().map(|line| (line, Style::new())));
    let told = told.flat_map(|(line, style)| {
        wrapped(&line, part.width.into()).into_iter().map(move |line| (line, style))
    });
    for (line, style) in told.chain(legs(&detail.facts, paint)) {
        let Some(row) = rows.next() else { return };
        text(buffer, row, &line, style);
    }
    let Some(row) = rows.next() else { return };
    text(buffer, row, &tap_head(detail), paint.head());
    let left = usize::from(part.bottom().saturating_sub(row.bottom()));
    for (row, line) in rows.zip(detail.lines(part.width.into(), left)) {
        let style = if line.starts_with('…') { paint.dim() } else { Style::new() };
        text(buffer, row, &line, style);
    }
}

fn life(detail: &Detail) -> String {
    let facts = &detail.facts;
    match &detail.ended {
        Some(verdict) => format!("ended: {}", safe(verdict)),
        None if facts.is_null() => "looking ...".to_owned(),
        None => format!(
            "{}, age {}, idle {}, taps {}",
            shown(&facts["phase"]),
            span(&facts["age_ms"]),
            span(&facts["idle_ms"]),
            shown(&facts["taps"])
        ),
    }
}

fn facts(facts: &Value) -> Vec<String> {
    if facts.is_null() {
        return Vec::new();
    }
    let upstream_name = if facts["mode"] == "proxy" { "from upstream" } else { "sent back" };
    let mut lines = vec![
        format!("client    {} to {}", shown(&facts["client"]), shown(&facts["local"])),
        moved("from client", facts, "client"),
        moved(upstream_name, facts, "upstream"),
    ];
    if facts["mode"] == "proxy" {
        let path = format!("upstream  {} to {}", shown(&facts["upstream_local"]), shown(&facts["upstream"]));
        let times = format!(
            "dialled   resolved in {}, connected in {}, first byte after {}",
            milliseconds(&facts["resolve_ms"]),
            milliseconds(&facts["connect_ms"]),
            milliseconds(&facts["first_byte_ms"])
        );
        lines.splice(1..1, [path, times]);
    }
    lines
}

/// The kernel's view of each connection, as a table.
fn legs(facts: &Value, paint: Paint) -> Vec<(String, Style)> {
    let mut lines = Vec::new();
    let legs = ["client", "upstream"].map(|side| (side, &facts[format!("{side}_tcp")]));
    let legs: Vec<_> = legs.into_iter().filter(|(_, leg)| leg.is_object()).collect();
    if !legs.is_empty() {
        let heads =
            ["KERNEL", "STATE", "RTT", "WINDOW", "UNREAD", "UNSENT", "LOST", "RESENT"].map(str::to_owned);
        lines.push((kernel(heads), paint.dim()));
    }
    for (side, leg) in legs {
        let rtt = leg["rtt_us"].as_u64().map_or("-".to_owned(), |us| duration(Duration::from_micros(us)));
        let cells = [
            side.to_owned(),
            shown(&leg["state"]),
            rtt,
            shown(&leg["congestion_window"]),
            bytes(&leg["receive_queue"]),
            bytes(&leg["send_queue"]),
            shown(&leg["lost_segments"]),
            shown(&leg["retransmits"]),
        ];
        lines.push((kernel(cells), Style::new()));
    }
    lines
}

fn moved(name: &str, facts: &Value, side: &str) -> String {
    let value = |what: &str| bytes(&facts[format!("{side}_{what}")]);
    format!("{name:14} {:>10}, {:>10}/s, {} waiting", value("bytes"), value("rate"), value("waiting"))
}

/// A line of the kernel's view: 80 columns.
fn kernel([side, state, rtt, window, unread, unsent, lost, resent]: [String; 8]) -> String {
    format!("{side:9} {state:12} {rtt:>10} {window:>7} {unread:>10} {unsent:>10} {lost:>6} {resent:>7}")
}

fn milliseconds(value: &Value) -> String {
    let time = value.as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    time.map_or("-".to_owned(), duration)
}

fn tap_head(detail: &Detail) -> String {
    let form = if detail.hex { "hex" } else { "text" };
    match &detail.tap_over {
        _ if !detail.tapped => "tap off".to_owned(),
        Some(reason) => format!("tap over: {}", safe(reason)),
        None => format!("tap on, as {form}; while it is, the session is copied and not spliced"),
    }
}
