//! The report as text: a summary, the percentiles, the distribution as bars.

use super::outcome::{Outcome, PERCENTILES};
use crate::{
    text::units::{self, count, duration},
    tools::load::report::{a_second, bars, part},
};
use hdrhistogram::Histogram;
use std::{
    fmt::{self, Write},
    time::Duration,
};

/// The width of the longest bar.
const BAR_COLUMNS: f64 = 40.0;
const TAKES_EVERY_WRITE: &str = "a string takes every write";

/// The whole report.
pub fn summary(outcome: &Outcome<'_>) -> String {
    let mut out = String::new();
    facts(outcome, &mut out).expect(TAKES_EVERY_WRITE);
    if !outcome.report.service_ns.is_empty() {
        percentiles(outcome, &mut out).expect(TAKES_EVERY_WRITE);
        distribution(outcome, &mut out).expect(TAKES_EVERY_WRITE);
    }
    out
}

fn facts(outcome: &Outcome<'_>, out: &mut String) -> fmt::Result {
    let report = &outcome.report;
    writeln!(out, "{}: {}\n", outcome.target, outcome.about())?;
    write!(out, "requests     {} in {}: ", count(report.operations), duration(report.window))?;
    writeln!(out, "{}/s", count(report.rate().round() as u64))?;
    if report.late > 0 {
        writeln!(out, "             and {} that ended after that", count(report.late))?;
    }
    if report.unsent > 0 {
        writeln!(
            out,
            "             {} more were due and never sent: the target is behind",
            count(report.unsent)
        )?;
    }
    if report.given_up > 0 {
        writeln!(out, "             {} more were under way", count(report.given_up))?;
    }
    if outcome.interrupted {
        writeln!(out, "             ended early by a signal")?;
    }
    for (what, amount) in [("sent", report.sent), ("received", report.received)] {
        let rate = units::rate(a_second(amount, report.window) as u64);
        writeln!(out, "{what:<12} {}: {rate}", units::bytes(amount))?;
    }
    write!(out, "connections  {} at once, {} made", count(report.ready as u64), count(outcome.made))?;
    match (&outcome.limit, outcome.asked) {
        (Some(limit), Some(asked)) => writeln!(out, " of {}; what stopped it: {limit}", count(asked as u64))?,
        (Some(limit), None) => writeln!(out, "; what stopped it: {limit}")?,
        (None, _) => writeln!(out)?,
    }
    if !report.statuses.is_empty() {
        let each: Vec<String> =
            report.statuses.iter().map(|(status, number)| format!("{status}: {}", count(*number))).collect();
        writeln!(out, "status       {}", each.join(", "))?;
    }
    let errors = outcome.errors();
    if errors.is_empty() {
        return writeln!(out, "errors       none");
    }
    let each: Vec<String> =
        errors.iter().map(|(cause, number)| format!("{} {cause}", count(*number))).collect();
    writeln!(out, "errors       {}: {}", count(report.errors()), each.join(", "))
}

fn percentiles(outcome: &Outcome<'_>, out: &mut String) -> fmt::Result {
    let report = &outcome.report;
    let mean = |histogram: &Histogram<u64>| duration(Duration::from_nanos(histogram.mean() as u64));
    let deviation = |histogram: &Histogram<u64>| duration(Duration::from_nanos(histogram.stdev() as u64));
    let Some(response_ns) = &report.response_ns else {
        writeln!(out, "\nlatency")?;
        for (name, quantile) in PERCENTILES {
            writeln!(out, "  {name:<8} {:>9}", duration(report.latency(quantile)))?;
        }
        let (mean, deviation) = (mean(&report.service_ns), deviation(&report.service_ns));
        return writeln!(out, "  mean     {mean:>9} ± {deviation}");
    };
    writeln!(out, "\nlatency     service   response (since the request was due)")?;
    for (name, quantile) in PERCENTILES {
        let (service, response) = (duration(report.latency(quantile)), duration(part(response_ns, quantile)));
        writeln!(out, "  {name:<8} {service:>9}  {response:>9}")?;
    }
    writeln!(out, "  mean     {:>9}  {:>9}", mean(&report.service_ns), mean(response_ns))
}

fn distribution(outcome: &Outcome<'_>, out: &mut String) -> fmt::Result {
    let report = &outcome.report;
    let (name, histogram) = match &report.response_ns {
        Some(response_ns) => ("response", response_ns),
        None => ("latency", &report.service_ns),
    };
    let rows = bars(histogram);
    let most = rows.iter().map(|row| row.count).max().unwrap_or(1).max(1) as f64;
    writeln!(out, "\n{name} up to   part")?;
    for row in rows {
        let share = row.count as f64 / histogram.len() as f64 * 100.0;
        let columns = (row.count as f64 / most * BAR_COLUMNS).ceil() as usize;
        let line = format!("  {:>9}  {share:>7.3} % {}", duration(row.bound), "█".repeat(columns));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
