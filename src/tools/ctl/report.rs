//! Answers for people.

use crate::{
    control::protocol::{EndedSession, ListedSession, TapItem},
    report::format::{Dump, Format, Log},
    session::event::{Event, What},
    text::{
        escape::Terminal,
        safe::SafeText,
        table::{
            Align::{Left, Right},
            span, table,
        },
        units::{bytes, rate},
    },
    tools::ctl::{Streams, settings::Show},
};
use serde_json::Value;
use std::{fmt::Write as _, io};

pub fn list(sessions: &[ListedSession]) -> String {
    let heads = [
        ("ID", Right),
        ("MODE", Left),
        ("NAME", Left),
        ("CLIENT", Left),
        ("UPSTREAM", Left),
        ("AGE", Right),
        ("IDLE", Right),
        ("PHASE", Left),
        ("↑ CLIENT", Right),
        ("↓ UPSTREAM", Right),
        ("RATES", Right),
        ("WAITING", Right),
    ];
    let row = |one: &ListedSession| {
        [
            one.session.to_string(),
            one.mode.to_string(),
            one.name.to_string(),
            one.client.to_string(),
            SafeText::or_dash(one.upstream.as_ref()).to_owned(),
            span(one.age_ms),
            span(one.idle_ms),
            one.phase.to_string(),
            bytes(one.client_bytes),
            bytes(one.upstream_bytes),
            format!("{} {}", rate(one.client_rate), rate(one.upstream_rate)),
            bytes(one.client_waiting.saturating_add(one.upstream_waiting)),
        ]
    };
    table(heads, &sessions.iter().map(row).collect::<Vec<_>>())
}

pub fn closed(sessions: &[EndedSession]) -> String {
    let heads = [
        ("ID", Right),
        ("ENDED", Left),
        ("CLIENT", Left),
        ("UPSTREAM", Left),
        ("↑ CLIENT", Right),
        ("↓ UPSTREAM", Right),
        ("CAUSE", Left),
        ("VERDICT", Left),
    ];
    let row = |one: &EndedSession| {
        [
            one.session.to_string(),
            one.ts.to_string(),
            one.client.to_string(),
            SafeText::or_dash(one.upstream.as_ref()).to_owned(),
            bytes(one.client_bytes),
            bytes(one.upstream_bytes),
            one.cause.to_string(),
            one.verdict.to_string(),
        ]
    };
    table(heads, &sessions.iter().map(row).collect::<Vec<_>>())
}

/// All that an item tells, those keys included that only a newer server knows: one a line, under its name. Facts of facts
/// stand further to the right.
pub fn facts(item: &Value, indent: &str) -> String {
    let mut lines = String::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        let label = SafeText::from(name.replace('_', " ").as_str());
        let _ = match value {
            Value::Object(_) => write!(lines, "{indent}{label}\n{}", facts(value, "  ")),
            _ => writeln!(lines, "{indent}{label:width$}  {}", text(value), width = 24 - indent.len()),
        };
    }
    lines
}

/// A value without quotes.
fn text(value: &Value) -> SafeText {
    match value {
        Value::Null => SafeText::default(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().as_str().into(),
    }
}

/// Prints what a tap of `session` tells.
pub fn tapped(
    item: TapItem,
    session: u64,
    show: Show,
    terminal: Option<&mut Terminal>,
    streams: &mut Streams,
) -> io::Result<()> {
    let (at, from, offset, shown) = match item {
        TapItem::Data { ts, from, offset, hex, .. } => (ts.0, from, offset, hex.0),
        TapItem::Lost { lost, .. } => {
            return writeln!(streams.notes, "{lost} pieces were lost: this tap was too slow");
        }
        TapItem::Ended { ended, .. } => {
            return writeln!(streams.notes, "session {session} has ended: {ended}");
        }
        TapItem::Attached { .. } | TapItem::Mark { .. } | TapItem::Missed { .. } | TapItem::Other(_) => {
            return Ok(());
        }
    };
    match (show, terminal) {
        (Show::Raw, None) => streams.out.write_all(&shown)?,
        (Show::Raw, Some(terminal)) => {
            // Nothing that a peer sends may control the terminal.
            let mut safe = String::new();
            terminal.push(&shown, &mut safe);
            streams.out.write_all(safe.as_bytes())?;
        }
        (Show::Text | Show::Hex, _) => {
            // The line that a server with `--dump` would have written.
            let what = What::Data { session, from, offset, bytes: shown.len(), shown: shown.into() };
            let dump = if show == Show::Hex { Dump::Hex } else { Dump::Text };
            let mut line = String::new();
            Format { log: Log::Text, dump, ..Format::default() }.line(&Event { at, what }, &mut line);
            streams.out.write_all(line.as_bytes())?;
        }
    }
    streams.out.flush()
}
