//! The report for people: a line a check, and beneath one that is not the same what it does and what is seen directly.

use crate::tools::audit::{
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
        put(
            &mut text,
            format_args!("{count} more came to the origin than were caused here: health checks, or others\n"),
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::address::Address,
        tools::audit::{
            check::ALL,
            observation::{End, Observation, Seen},
        },
    };

    fn report() -> Report {
        let address = "127.0.0.1:1".parse().unwrap();
        let mut report = Report::new(address, Address::Tcp(address));
        let of = |end| Observation {
            client: Seen { received: 9, sent: 9, wrong_at: None, end },
            ..Observation::default()
        };
        report.add(Row::new(&ALL[10], of(End::Reset), of(End::Fin)));
        report.add(Row::new(&ALL[0], of(End::Fin), of(End::Fin)));
        report
    }

    #[test]
    fn a_check_that_is_not_the_same_is_explained_and_all_are_in_order() {
        let mut report = report();
        report.finish(false, 2);
        report.took = std::time::Duration::from_millis(1250);
        assert_eq!(
            table(&report, false),
            "CHECK               VERDICT    SEEN THROUGH THE PROXY\n\
             half-close-0s       same       client 9 B, FIN\n\
             reset-before-reply  lies       client 9 B, FIN\n\
             \x20                   directly   client 9 B, RST\n\
             \x20                              (the origin resets instead of a reply)\n\
             \n\
             2 checks in 1.2 s: 1 same, 1 lies\n\
             2 more came to the origin than were caused here: health checks, or others\n\
             interrupted before the last check\n"
        );
        assert!(!report.is_good());
    }

    #[test]
    fn names_and_verdicts_fit_their_columns() {
        assert!(ALL.iter().all(|check| check.name.len() < NAME_COLUMNS));
        assert!(Verdict::ALL.iter().all(|verdict| verdict.name().len() < VERDICT_COLUMNS));
    }
}
