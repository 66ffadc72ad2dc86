//! The report as text: a summary, the percentiles, the distribution as bars.

use super::outcome::{Outcome, PERCENTILES};
use crate::{
    text::units::{self, count, duration},
    tools::load::report::{a_second, bars},
};
use std::{
    fmt::{self, Formatter},
    time::Duration,
};

const BAR_COLUMNS: f64 = 40.0;

pub struct Text<'a>(pub &'a Outcome<'a>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        facts(self.0, f)?;
        if self.0.report.service.is_empty() {
            return Ok(());
        }
        percentiles(self.0, f)?;
        distribution(self.0, f)
    }
}

fn facts(outcome: &Outcome<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let report = &outcome.report;
    let rate = count(report.rate().round() as u64);
    let requests = format!("{} in {}: {rate}/s", count(report.operations), duration(report.window));
    let mut rows = vec![("requests", requests)];
    let (late, unsent, given_up) = (count(report.late), count(report.unsent), count(report.given_up));
    rows.extend((report.late > 0).then(|| ("", format!("and {late} that ended after that"))));
    let unsent = format!("{unsent} more were due and never sent: the target is behind");
    rows.extend((report.unsent > 0).then_some(("", unsent)));
    rows.extend((report.given_up > 0).then(|| ("", format!("{given_up} more were under way"))));
    rows.extend(outcome.interrupted.then(|| ("", "ended early by a signal".to_owned())));
    for (what, amount) in [("sent", report.sent), ("received", report.received)] {
        let rate = units::rate(a_second(amount, report.window) as u64);
        rows.push((what, format!("{}: {rate}", units::bytes(amount))));
    }
    let made = count(outcome.prepared.shared.progress().made);
    let mut connections = format!("{} at once, {made} made", count(report.ready as u64));
    if let Some(limit) = &outcome.limit {
        let asked = outcome.config.connections.map(|asked| format!(" of {}", count(asked as u64)));
        connections += &format!("{}; what stopped it: {limit}", asked.unwrap_or_default());
    }
    rows.push(("connections", connections));
    rows.extend(outcome.handshakes().map(|handshakes| ("handshakes", handshakes)));
    let statuses = report.statuses.iter().map(|(status, number)| format!("{status}: {}", count(*number)));
    let errors = outcome.errors().into_iter().map(|(cause, number)| format!("{} {cause}", count(number)));
    let [statuses, errors] = [statuses.collect::<Vec<_>>(), errors.collect()].map(|each| each.join(", "));
    rows.extend((!statuses.is_empty()).then_some(("status", statuses)));
    rows.push(match report.errors() {
        0 => ("errors", "none".to_owned()),
        all => ("errors", format!("{}: {errors}", count(all))),
    });
    writeln!(f, "{}: {}\n", outcome.target, outcome.about())?;
    rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:<12} {value}"))
}

fn percentiles(outcome: &Outcome<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let report = &outcome.report;
    let ns = |ns: f64| duration(Duration::from_nanos(ns as u64));
    let Some(response) = &report.response else {
        writeln!(f, "\nlatency")?;
        for (name, quantile) in PERCENTILES {
            writeln!(f, "  {name:<8} {:>9}", duration(report.service.part(quantile)))?;
        }
        let (mean, deviation) = (ns(report.service.mean()), ns(report.service.stdev()));
        return writeln!(f, "  mean     {mean:>9} ± {deviation}");
    };
    writeln!(f, "\nlatency     service   response (since the request was due)")?;
    for (name, quantile) in PERCENTILES {
        let (service, response) =
            (duration(report.service.part(quantile)), duration(response.part(quantile)));
        writeln!(f, "  {name:<8} {service:>9}  {response:>9}")?;
    }
    writeln!(f, "  mean     {:>9}  {:>9}", ns(report.service.mean()), ns(response.mean()))
}

fn distribution(outcome: &Outcome<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let report = &outcome.report;
    let (name, histogram) = match &report.response {
        Some(response) => ("response", response),
        None => ("latency", &report.service),
    };
    let rows = bars(histogram);
    let most = rows.iter().map(|row| row.count).max().unwrap_or(1).max(1) as f64;
    writeln!(f, "\n{name} up to   part")?;
    for row in rows {
        let share = row.count as f64 / histogram.len() as f64 * 100.0;
        let columns = (row.count as f64 / most * BAR_COLUMNS).ceil() as usize;
        let line = format!("  {:>9}  {share:>7.3} % {}", duration(row.bound), "█".repeat(columns));
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
