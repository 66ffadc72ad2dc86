//! Conditions under which a load fails (`--fail-if 'p99>5ms'`), and the comparison with an older run, both on the figures of
//! the JSON report.

use crate::text::units::{self, count};
use serde_json::Value;
use std::{str::FromStr, time::Duration};

/// What conditions and comparisons name: each with its place in the JSON report.
const LATENCIES: [&str; 9] = ["min", "mean", "p50", "p75", "p90", "p99", "p99.9", "p99.99", "max"];
const COUNTS: [&str; 3] = ["requests", "errors", "rate"];

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// As it was typed.
    text: String,
    figure: &'static str,
    operator: Operator,
    limit: Limit,
}

impl Eq for Condition {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    More,
    AtLeast,
    Less,
    AtMost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Milliseconds, or a number.
    Absolute(f64),
    /// A part of the same figure of the run that `--compare` names; of errors, of the requests.
    Part(f64),
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write a figure, a comparison and a limit, as in p99>5ms, errors>0 or rate<90%";
        let at = text.find(['<', '>']).ok_or(form)?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (operator, limit) = match rest.strip_prefix(">=").map(|limit| (Operator::AtLeast, limit)) {
            Some(found) => found,
            None => match rest.strip_prefix("<=") {
                Some(limit) => (Operator::AtMost, limit),
                None if rest.starts_with('>') => (Operator::More, &rest[1..]),
                None => (Operator::Less, &rest[1..]),
            },
        };
        let figure = LATENCIES.into_iter().chain(COUNTS).find(|known| *known == name).ok_or_else(|| {
            format!(
                "'{name}' is no figure; the figures are {}",
                [&LATENCIES[..], &COUNTS].concat().join(", ")
            )
        })?;
        let limit = limit.trim();
        let number = |text: &str| text.replace(',', "").parse::<f64>().ok().filter(|number| *number >= 0.0);
        let limit = if let Some(percent) = limit.strip_suffix('%') {
            Limit::Part(number(percent).ok_or(form)? / 100.0)
        } else if LATENCIES.contains(&figure) {
            let time = humantime::parse_duration(limit)
                .map_err(|_| format!("'{limit}' is no time; write it as 5ms, 250us or 1s"))?;
            Limit::Absolute(time.as_secs_f64() * 1e3)
        } else {
            Limit::Absolute(number(limit).ok_or_else(|| format!("'{limit}' is no number"))?)
        };
        Ok(Condition { text: text.to_owned(), figure, operator, limit })
    }
}

impl Condition {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it decides about errors, which otherwise fail a run.
    pub fn is_about_errors(&self) -> bool {
        self.figure == "errors"
    }

    pub fn needs_an_older_run(&self) -> bool {
        matches!(self.limit, Limit::Part(_)) && !self.is_about_errors()
    }

    /// Whether it holds for a run, and what it is about in words: `p99 is 7.2 ms`. A figure that is not there (no request
    /// was answered) counts as infinite.
    pub fn judge(&self, run: &Value, older: Option<&Value>) -> (bool, String) {
        let now = figure(run, self.figure);
        let limit = match self.limit {
            Limit::Absolute(limit) => limit,
            Limit::Part(part) if self.is_about_errors() => {
                part * (figure(run, "requests").unwrap_or(0.0) + figure(run, "errors").unwrap_or(0.0))
            }
            Limit::Part(part) => {
                older.and_then(|older| figure(older, self.figure)).map_or(0.0, |old| old * part)
            }
        };
        let value = now.unwrap_or(f64::INFINITY);
        let holds = match self.operator {
            Operator::More => value > limit,
            Operator::AtLeast => value >= limit,
            Operator::Less => value < limit,
            Operator::AtMost => value <= limit,
        };
        let shown = now.map_or_else(|| "not there".to_owned(), |now| show(self.figure, now));
        let of = match self.limit {
            Limit::Absolute(_) => String::new(),
            Limit::Part(_) => format!(" ({} here)", show(self.figure, limit)),
        };
        (holds, format!("{} is {shown}{of}", self.figure))
    }
}

/// A figure of a report: latencies are responses where requests were due by a schedule.
fn figure(run: &Value, name: &str) -> Option<f64> {
    if COUNTS.contains(&name) {
        return run[name].as_f64();
    }
    let latencies = if run["response_ms"].is_object() { &run["response_ms"] } else { &run["service_ms"] };
    latencies[name].as_f64()
}

fn show(name: &str, value: f64) -> String {
    if COUNTS.contains(&name) {
        let per = if name == "rate" { "/s" } else { "" };
        return format!("{}{per}", count(value.round() as u64));
    }
    units::duration(Duration::from_secs_f64((value / 1e3).min(1e9)))
}

fn line(name: &str, before: &str, now: &str, change: &str) -> String {
    let row = format!("{name:<8}{before:>12}{now:>12}{change:>11}");
    row.trim_end().to_owned() + "\n"
}

/// An older run and this one beside each other.
pub fn comparison(run: &Value, older: &Value) -> String {
    let names = ["rate", "errors", "p50", "p90", "p99", "p99.9", "max", "mean"];
    let mut text = line("", "before", "now", "change");
    for name in names {
        let (Some(now), Some(before)) = (figure(run, name), figure(older, name)) else { continue };
        let change = match before {
            before if before > 0.0 => format!("{:+.1} %", (now / before - 1.0) * 100.0),
            _ => String::new(),
        };
        text += &line(name, &show(name, before), &show(name, now), &change);
    }
    let differs = |key: &&str| run[*key] != older[*key];
    let different: Vec<&str> = ["target", "mode", "open_loop", "rate_asked", "request_bytes", "threads"]
        .into_iter()
        .filter(differs)
        .collect();
    if !different.is_empty() {
        text += &format!("the runs differ in what was asked: {}\n", different.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(p99: f64, errors: u64) -> Value {
        json!({"requests": 99, "errors": errors, "rate": 1000.0, "service_ms": {"p99": p99}, "response_ms": null})
    }

    fn holds(condition: &str, run: &Value, older: Option<&Value>) -> bool {
        condition.parse::<Condition>().unwrap().judge(run, older).0
    }

    #[test]
    fn a_condition_is_about_a_figure() {
        let run = run(7.2, 1);
        for (condition, expected) in [
            ("p99>5ms", true),
            ("p99 > 8ms", false),
            ("p99>=7200us", true),
            ("errors>0", true),
            ("errors>1%", false),
            ("errors>=1%", true),
            ("rate<1,001", true),
            ("rate<=999", false),
            // Nothing is known of it.
            ("p50>1h", true),
        ] {
            assert_eq!(holds(condition, &run, None), expected, "{condition}");
        }
        let words = "p99>5ms".parse::<Condition>().unwrap().judge(&run, None).1;
        assert_eq!(words, "p99 is 7.2 ms");
    }

    #[test]
    fn a_part_is_that_of_the_older_run() {
        let (now, before) = (run(11.0, 0), run(10.0, 0));
        assert!(holds("p99>105%", &now, Some(&before)) && !holds("p99>110%", &now, Some(&before)));
        assert!("p99>105%".parse::<Condition>().unwrap().needs_an_older_run());
        assert!(!"errors>1%".parse::<Condition>().unwrap().needs_an_older_run());
        let table = comparison(&now, &before);
        assert!(table.contains("p99            10 ms       11 ms    +10.0 %"), "{table}");
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "p99", "p98>1ms", ">5", "p99>5", "errors>x", "rate<-1", "p99>x%"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
