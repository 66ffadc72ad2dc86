//! The report as one page: facts, percentiles, the latency distribution, and what happened over time. It needs no network.

use super::{
    chart::{Chart, Line, Scale},
    json::json,
    outcome::{Outcome, PERCENTILES},
};
use crate::{
    text::units::{self, count},
    tools::{
        latencies::Latencies,
        load::{
            report::{Bar, a_second, bars},
            timeline::Second,
        },
        page::{BEGIN, STYLE, escape, foot},
    },
};
use std::{
    fmt::{self, Formatter},
    time::Duration,
};

/// More points than this are not told apart; longer runs show the worst of several seconds.
const POINTS_MAX: usize = 800;
/// How many nines the percentile axis has: 0 at its left end, 99.999 % at its right.
const NINES: f64 = 5.0;

pub struct Page<'a>(pub &'a Outcome<'a>);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        let target = escape(&outcome.target);
        write!(f, "{BEGIN}<title>{target}: switchboard load</title>\n{STYLE}</head>\n<body>\n")?;
        writeln!(f, "<h1>{target}</h1>\n<p>{}</p>", escape(&outcome.about()))?;
        facts(outcome, f)?;
        let report = &outcome.report;
        if !report.service.is_empty() {
            writeln!(f, "<h2>Latency</h2>")?;
            percentiles(outcome, f)?;
            let latencies = report.response.as_ref().unwrap_or(&report.service);
            write!(f, "{}{}", by_percentile(outcome), distribution(latencies))?;
        }
        if !outcome.seconds.is_empty() {
            writeln!(f, "<h2>Over time</h2>")?;
            over_time(&outcome.seconds).iter().try_for_each(|chart| write!(f, "{chart}"))?;
        }
        f.write_str(&foot("load", &json(outcome)))
    }
}

fn facts(outcome: &Outcome<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let report = &outcome.report;
    let moved = |amount: u64| {
        format!("{}, {}", units::bytes(amount), units::rate(a_second(amount, report.window) as u64))
    };
    let (at_once, made) = (count(report.ready as u64), count(outcome.prepared.shared.progress().made));
    let mut rows = vec![
        ("requests", format!("{} in {}", count(report.operations), units::duration(report.window))),
        ("rate", format!("{}/s", count(report.rate().round() as u64))),
        ("sent", moved(report.sent)),
        ("received", moved(report.received)),
        ("connections", format!("{at_once} at once, {made} made")),
    ];
    rows.extend(outcome.handshakes().map(|handshakes| ("handshakes", handshakes)));
    rows.extend(outcome.limit.clone().map(|limit| ("connections ended at", limit)));
    rows.extend((report.late > 0).then(|| ("ended after the window", count(report.late))));
    rows.extend((report.unsent > 0).then(|| ("due and never sent", count(report.unsent))));
    rows.extend((report.given_up > 0).then(|| ("given up under way", count(report.given_up))));
    rows.extend(outcome.interrupted.then(|| ("ended", "early, by a signal".to_owned())));
    rows.extend(
        report.statuses.iter().map(|(status, number)| ("status", format!("{status}: {}", count(*number)))),
    );
    writeln!(f, "<table>")?;
    for (name, value) in rows {
        writeln!(f, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value))?;
    }
    if outcome.errors().is_empty() {
        writeln!(f, "<tr><th>errors</th><td>none</td></tr>")?;
    }
    for (cause, number) in outcome.errors() {
        let (cause, number) = (escape(&cause), count(number));
        writeln!(f, "<tr><th>errors</th><td class=\"bad\">{number} {cause}</td></tr>")?;
    }
    writeln!(f, "</table>")
}

fn percentiles(outcome: &Outcome<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let report = &outcome.report;
    let response = if report.response.is_some() { "<th>response, since it was due</th>" } else { "" };
    writeln!(f, "<table>\n<tr><th></th><th>service</th>{response}</tr>")?;
    for (name, quantile) in PERCENTILES {
        write!(f, "<tr><th>{name}</th>")?;
        for latencies in [Some(&report.service), report.response.as_ref()].into_iter().flatten() {
            write!(f, "<td class=\"number\">{}</td>", units::duration(latencies.part(quantile)))?;
        }
        writeln!(f, "</tr>")?;
    }
    writeln!(f, "</table>")
}

fn show_ns(ns: f64) -> String {
    units::duration(Duration::from_nanos(ns as u64))
}

/// Latency by percentile, the axis stretched towards the end: each nine takes the same room.
fn by_percentile(outcome: &Outcome<'_>) -> Chart {
    let curve = |latencies: &Latencies| {
        let points = 0..=200;
        let at = |number: i32| f64::from(number) / 200.0;
        let value = |place: f64| latencies.value_at_quantile(1.0 - 10_f64.powf(-place * NINES)) as f64;
        points.map(|number| (at(number), value(at(number)))).collect()
    };
    let report = &outcome.report;
    let mut lines = vec![Line { name: "service", class: "one", points: curve(&report.service) }];
    let response = report.response.as_ref();
    lines.extend(response.map(|latencies| Line { name: "response", class: "two", points: curve(latencies) }));
    let mark = |percent: &str, part: f64| (-(1.0 - part).log10() / NINES, format!("{percent} %"));
    let marks = [("0", 0.0), ("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999), ("99.99", 0.9999)];
    Chart {
        title: "Latency by percentile",
        scale: Scale::Logarithmic,
        lines,
        bars: Vec::new(),
        marks: marks.into_iter().map(|(percent, part)| mark(percent, part)).collect(),
        show: show_ns,
    }
}

fn distribution(latencies: &Latencies) -> Chart {
    let rows = bars(latencies);
    let width = 1.0 / rows.len() as f64;
    let mark = |(at, row): (usize, &Bar)| ((at as f64 + 0.5) * width, units::duration(row.bound));
    Chart {
        title: "Requests by latency, up to",
        scale: Scale::Linear,
        lines: Vec::new(),
        bars: rows.iter().map(|row| row.count as f64).collect(),
        // Every other one: there is no room for all.
        marks: rows.iter().enumerate().map(mark).step_by(2).collect(),
        show: |value| count(value as u64),
    }
}

/// Rate and errors, bytes, and latencies of each second.
fn over_time(seconds: &[Second]) -> [Chart; 3] {
    let groups: Vec<&[Second]> = seconds.chunks(seconds.len().div_ceil(POINTS_MAX)).collect();
    let last = (groups.len().max(2) - 1) as f64;
    let line = |name, class, value: fn(&Second) -> f64| {
        let worst = |group: &[Second]| group.iter().map(value).fold(0.0, f64::max);
        let points = groups.iter().enumerate().map(|(at, group)| (at as f64 / last, worst(group)));
        Line { name, class, points: points.collect() }
    };
    let last_second = (seconds.len() - 1) as f64;
    let mut marked: Vec<f64> =
        (0..5).map(|quarter| (last_second * f64::from(quarter) / 4.0).round()).collect();
    marked.dedup();
    let mark = |at: f64| (at / last_second.max(1.0), units::duration(Duration::from_secs(at as u64 + 1)));
    let marks: Vec<(f64, String)> = marked.into_iter().map(mark).collect();
    let chart =
        |title, scale, lines, show| Chart { title, scale, lines, bars: vec![], marks: marks.clone(), show };
    let requests = vec![
        line("requests", "one", |second| a_second(second.operations, second.length)),
        line("errors", "two", |second| a_second(second.failures, second.length)),
    ];
    let bytes = vec![
        line("sent", "one", |second| a_second(second.sent, second.length)),
        line("received", "two", |second| a_second(second.received, second.length)),
    ];
    let latencies = vec![
        line("p50", "one", |second| second.p50.as_nanos() as f64),
        line("p99", "two", |second| second.p99.as_nanos() as f64),
        line("max", "three", |second| second.max.as_nanos() as f64),
    ];
    [
        chart("Requests a second", Scale::Linear, requests, |value| count(value as u64)),
        chart("Bytes a second", Scale::Bytes, bytes, |value| units::rate(value as u64)),
        chart("Latency over time", Scale::Logarithmic, latencies, show_ns),
    ]
}
