//! The report for people: a line a check, and beneath one that is not the same what it does and what is seen directly.

use crate::audit::{
    report::{Report, Row},
    verdict::Verdict,
};
use std::fmt::Write;

/// Wider than every name, and than every verdict.
const NAME_COLUMNS: usize = 20;
const VERDICT_COLUMNS: usize = 11;

/// The report as lines of text.
pub fn table(report: &Report, colour: bool) -> String {
    let mut text = String::new();
    line(&mut text, "CHECK", "VERDICT", None, "SEEN THROUGH THE PROXY");
    for row in &report.rows {
        let paint = colour.then(|| paint(row.verdict));
        line(&mut text, row.check.name, row.verdict.name(), paint, &row.through.to_string());
        if !row.verdict.is_good() {
            explain(&mut text, row);
        }
    }
    let counts: Vec<String> =
        report.counts().map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
    let (made, seconds) = (report.rows.len(), report.took.as_secs_f64());
    let plural = if made == 1 { "" } else { "s" };
    put(&mut text, format_args!("\n{made} check{plural} in {seconds:.1} s: {}\n", counts.join(", ")));
    if report.strangers > 0 {
        let count = report.strangers;
        put(&mut text, format_args!("{count} more came to the origin than were caused here: health checks, or others\n"));
    }
    if !report.complete {
        text.push_str("interrupted before the last check\n");
    }
    text
}

fn explain(text: &mut String, row: &Row) {
    line(text, "", "directly", None, &row.direct.to_string());
    line(text, "", "", None, &format!("({})", row.check.what));
}

fn line(text: &mut String, name: &str, verdict: &str, paint: Option<&str>, seen: &str) {
    let (begin, end) = paint.map_or(("", ""), |begin| (begin, "\x1b[0m"));
    let space = " ".repeat(VERDICT_COLUMNS.saturating_sub(verdict.len()));
    let row = format!("{name:NAME_COLUMNS$}{begin}{verdict}{end}{space}{seen}");
    put(text, format_args!("{}\n", row.trim_end()));
}

fn put(text: &mut String, content: std::fmt::Arguments<'_>) {
    text.write_fmt(content).expect("a String takes all that is written to it");
}

/// Green, yellow, red (ECMA-48 SGR).
fn paint(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same | Verdict::Noted => "\x1b[32m",
        Verdict::Unknown | Verdict::Differs => "\x1b[33m",
        Verdict::LostData | Verdict::Lies => "\x1b[31m",
    }
}
