//! Answers for people.

use crate::{
    text::{
        escape::Terminal,
        table::{
            Align::{Left, Right},
            bytes, span, table,
        },
    },
    tools::ctl::settings::Command,
};
use serde_json::Value;
use std::fmt::Write;

/// A whole answer as text.
pub fn report(command: &Command, items: &[Value]) -> String {
    match command {
        Command::List { .. } => list(items),
        Command::Closed { .. } => closed(items),
        // The other commands have no items.
        _ => items.iter().map(|item| facts(item, "")).collect(),
    }
}

fn list(items: &[Value]) -> String {
    let heads = [
        ("ID", Right),
        ("MODE", Left),
        ("CLIENT", Left),
        ("UPSTREAM", Left),
        ("AGE", Right),
        ("IDLE", Right),
        ("PHASE", Left),
        ("FROM CLIENT", Right),
        ("FROM UPSTREAM", Right),
        ("RATES", Right),
        ("WAITING", Right),
    ];
    let row = |item: &Value| {
        let waits = [&item["client_waiting"], &item["upstream_waiting"]];
        let waiting: u64 = waits.iter().filter_map(|count| count.as_u64()).sum();
        [
            text(&item["session"]),
            text(&item["mode"]),
            text(&item["client"]),
            text(&item["upstream"]),
            span(&item["age_ms"]),
            span(&item["idle_ms"]),
            text(&item["phase"]),
            bytes(&item["client_bytes"]),
            bytes(&item["upstream_bytes"]),
            format!("{}/s {}/s", bytes(&item["client_rate"]), bytes(&item["upstream_rate"])),
            bytes(&waiting.into()),
        ]
    };
    table(heads, &items.iter().map(row).collect::<Vec<_>>())
}

fn closed(items: &[Value]) -> String {
    let heads = [
        ("ID", Right),
        ("ENDED", Left),
        ("CLIENT", Left),
        ("UPSTREAM", Left),
        ("FROM CLIENT", Right),
        ("FROM UPSTREAM", Right),
        ("CAUSE", Left),
        ("VERDICT", Left),
    ];
    let row = |item: &Value| {
        [
            text(&item["session"]),
            text(&item["ts"]),
            text(&item["client"]),
            text(&item["upstream"]),
            bytes(&item["client_bytes"]),
            bytes(&item["upstream_bytes"]),
            text(&item["cause"]),
            text(&item["verdict"]),
        ]
    };
    table(heads, &items.iter().map(row).collect::<Vec<_>>())
}

/// One fact a line, under its name; facts of facts stand further to the right.
fn facts(item: &Value, indent: &str) -> String {
    let mut lines = String::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        let label = text(&name.replace('_', " ").into());
        if value.is_object() {
            let _ = write!(lines, "{indent}{label}\n{}", facts(value, "  "));
        } else {
            let _ = writeln!(lines, "{indent}{label:width$}  {}", text(value), width = 24 - indent.len());
        }
    }
    lines
}

/// A value without quotes; nothing is a dash. Whatever answers at the socket, it cannot control a terminal.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => {
            let (mut terminal, mut safe) = (Terminal::default(), String::new());
            terminal.push(text.as_bytes(), &mut safe);
            terminal.finish(&mut safe);
            safe
        }
        other => other.to_string(),
    }
}
