//! What an audit found: as a table for people, as JSON for machines.

use crate::{
    net::address::Address,
    text::{
        units::duration,
        wrap::{WIDTH, wrap},
    },
    tools::audit::{
        advice::{advice, behaves_like, grade, note},
        checks::{ALL, Check},
        observation::Observation,
        verdict::{Verdict, judge},
    },
    tools::findings::{Case, Findings},
};
use serde_json::{Map, Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use strum::VariantArray;

/// Wider than every name.
const NAME_COLUMNS: usize = 20;
/// Wider than every verdict.
const VERDICT_COLUMNS: usize = 11;

pub struct Row {
    pub check: &'static Check,
    pub direct: Observation,
    pub through: Observation,
    pub verdict: Verdict,
}

impl Row {
    pub fn new(check: &'static Check, direct: Observation, through: Observation) -> Self {
        let verdict = judge(&direct, &through);
        Row { check, direct, through, verdict }
    }
}

pub struct Report {
    via: SocketAddr,
    origin: Address,
    tls: bool,
    begin: Instant,
    pub rows: Vec<Row>,
    took: Duration,
    complete: bool,
    /// Connections to the origin that no client of ours caused.
    strangers: u64,
}

impl Report {
    /// Of the proxy at `via`, to which the clients spoke TLS or not.
    pub fn new(via: SocketAddr, origin: Address, tls: bool) -> Self {
        let (begin, took) = (Instant::now(), Duration::ZERO);
        Report { via, origin, tls, begin, rows: Vec::new(), took, complete: false, strangers: 0 }
    }

    /// The audit has ended. The rows get the order of the list of checks.
    pub fn finish(&mut self, complete: bool, strangers: u64) {
        (self.complete, self.strangers, self.took) = (complete, strangers, self.begin.elapsed());
        self.rows.sort_by_key(|row| ALL.iter().position(|check| check.name == row.check.name));
    }

    pub fn is_good(&self) -> bool {
        self.complete && self.rows.iter().all(|row| row.verdict.is_good())
    }

    /// The count of each verdict that came, the best first.
    fn counts(&self) -> impl Iterator<Item = (Verdict, usize)> {
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        Verdict::VARIANTS
            .iter()
            .copied()
            .map(move |verdict| (verdict, count(verdict)))
            .filter(|(_, count)| *count > 0)
    }

    /// One JSON object and a line feed.
    pub fn json(&self) -> String {
        let counts: Map<String, Value> =
            self.counts().map(|(verdict, count)| (verdict.name().to_owned(), count.into())).collect();
        let check = |row: &Row| {
            json!({
                "name": row.check.name,
                "what": row.check.what,
                "verdict": row.verdict.name(),
                "note": note(row),
                "direct": row.direct,
                "through": row.through,
            })
        };
        let report = json!({
            "switchboard": env!("CARGO_PKG_VERSION"),
            "via": self.via.to_string(),
            "origin": self.origin.to_string(),
            "tls": self.tls,
            "complete": self.complete,
            "all_same": self.is_good(),
            "seconds": (self.took.as_secs_f64() * 1e3).round() / 1e3,
            "strangers": self.strangers,
            "verdicts": counts,
            "grade": grade(&self.rows),
            "behaves_like": behaves_like(&self.rows),
            "advice": advice(&self.rows),
            "checks": self.rows.iter().map(check).collect::<Vec<_>>(),
        });
        format!("{report}\n")
    }

    /// The same for other programs: a case a check.
    pub fn findings(&self) -> Findings {
        let advice = advice(&self.rows);
        let case = |row: &Row| {
            let advice = advice.iter().find(|advice| advice.checks.contains(&row.check.name));
            let direct = format!("directly: {}", row.direct);
            let problem = (!row.verdict.is_good()).then(|| match advice {
                Some(advice) => format!("{direct}\nbreaks: {}\nmend: {}", advice.breaks, advice.mend),
                None => direct,
            });
            Case {
                name: row.check.name.to_owned(),
                about: row.check.what.to_owned(),
                verdict: row.verdict.name().to_owned(),
                seen: row.through.to_string(),
                problem,
            }
        };
        Findings {
            tool: "audit",
            subject: self.via.to_string(),
            summary: format!("grade {}", grade(&self.rows)),
            took: self.took,
            cases: self.rows.iter().map(case).collect(),
            json: self.json(),
            page: None,
        }
    }

    /// The grade, and for each finding what breaks and what mends it.
    fn advice(&self) -> String {
        let mut text = format!("\ngrade {}\n", grade(&self.rows));
        text.extend(behaves_like(&self.rows).map(|like| format!("it behaves like {like}\n")));
        for finding in advice(&self.rows) {
            text += &format!("\n{}: {}\n", finding.verdict.name(), finding.checks.join(", "));
            text += &paragraph("  breaks", finding.breaks);
            text += &paragraph("  mend", finding.mend);
        }
        text
    }

    /// A line for each check; beneath one that is not the same, what the check does and what is seen directly.
    pub fn table(&self, colour: bool) -> String {
        let mut text = line("CHECK", "VERDICT", None, "SEEN THROUGH THE PROXY");
        for row in &self.rows {
            let paint = colour.then(|| paint(row.verdict));
            text += &line(row.check.name, row.verdict.name(), paint, &row.through.to_string());
            if !row.verdict.is_good() {
                text += &line("", "directly", None, &row.direct.to_string());
                text += &line("", "", None, &format!("({})", row.check.what));
            }
        }
        let counts: Vec<String> =
            self.counts().map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
        let (made, took, counts) = (self.rows.len(), duration(self.took), counts.join(", "));
        let plural = if made == 1 { "" } else { "s" };
        text += &format!("\n{made} check{plural} in {took}: {counts}\n");
        if self.strangers > 0 {
            text += &format!(
                "{} connections to the origin were not the audit's: health checks, or other clients\n",
                self.strangers
            );
        }
        if !self.complete {
            text += "interrupted before the last check\n";
        }
        text + &self.advice()
    }
}

/// A paragraph that hangs below its first word.
fn paragraph(head: &str, text: &str) -> String {
    const INDENT: usize = 10;
    wrap(text, WIDTH - INDENT, 0)
        .into_iter()
        .enumerate()
        .map(|(at, line)| format!("{:INDENT$}{line}\n", if at == 0 { head } else { "" }))
        .collect()
}

fn line(name: &str, verdict: &str, paint: Option<&str>, seen: &str) -> String {
    let (begin, end) = paint.map_or(("", ""), |begin| (begin, "\x1b[0m"));
    let space = " ".repeat(VERDICT_COLUMNS.saturating_sub(verdict.len()));
    let row = format!("{name:NAME_COLUMNS$}{begin}{verdict}{end}{space}{seen}");
    format!("{}\n", row.trim_end())
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
    use crate::tools::audit::observation::{End, Seen};

    fn report() -> Report {
        let address = "127.0.0.1:1".parse().unwrap();
        let mut report = Report::new(address, Address::Tcp(address), false);
        let of = |end| Observation {
            client: Seen { received: 9, sent: 9, wrong_at: None, end },
            ..Observation::default()
        };
        report.rows.push(Row::new(&ALL[10], of(End::Reset), of(End::Fin)));
        report.rows.push(Row::new(&ALL[0], of(End::Fin), of(End::Fin)));
        report
    }

    #[test]
    fn a_check_that_is_not_the_same_is_explained_and_all_are_in_order() {
        let mut report = report();
        report.finish(false, 2);
        report.took = std::time::Duration::from_millis(1250);
        assert_eq!(
            report.table(false),
            "CHECK               VERDICT    SEEN THROUGH THE PROXY\n\
             half-close-0s       same       client 9 B, FIN\n\
             reset-before-reply  lies       client 9 B, FIN\n\
             \x20                   directly   client 9 B, RST\n\
             \x20                              (the origin resets instead of a reply)\n\
             \n\
             2 checks in 1.25 s: 1 same, 1 lies\n\
             2 connections to the origin were not the audit's: health checks, or other clients\n\
             interrupted before the last check\n\
             \n\
             grade C: nothing is lost, and what was cut off looks complete in 1 of 2 checks\n\
             \n\
             lies: reset-before-reply\n\
             \x20 breaks  an answer that was cut off looks complete: half a download is taken\n\
             \x20         for a whole one\n\
             \x20 mend    a proxy that passes RST on\n"
        );
        assert!(!report.is_good());
    }

    #[test]
    fn names_and_verdicts_fit_their_columns() {
        assert!(ALL.iter().all(|check| check.name.len() < NAME_COLUMNS));
        assert!(Verdict::VARIANTS.iter().all(|verdict| verdict.name().len() < VERDICT_COLUMNS));
    }
}
