//! The report as one JSON object. Its keys are stable; times are in milliseconds, unless a key says otherwise.

use super::outcome::{Outcome, PERCENTILES};
use crate::tools::load::{report::part, timeline::Second};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Serialize)]
struct Document<'a> {
    target: &'a str,
    address: &'a str,
    mode: &'a str,
    open_loop: bool,
    rate_asked: Option<usize>,
    threads: usize,
    request_bytes: u64,
    duration_s: f64,
    interrupted: bool,
    connections: Connections<'a>,
    requests: u64,
    requests_late: u64,
    requests_unsent: u64,
    requests_given_up: u64,
    rate: f64,
    sent_bytes: u64,
    received_bytes: u64,
    status: Map<String, Value>,
    errors: u64,
    errors_by_cause: Map<String, Value>,
    service_ms: Option<Map<String, Value>>,
    response_ms: Option<Map<String, Value>>,
    seconds: Vec<Row>,
}

#[derive(Serialize)]
struct Connections<'a> {
    asked: Option<usize>,
    at_once: usize,
    made: u64,
    limit: Option<&'a str>,
}

#[derive(Serialize)]
struct Row {
    second: u64,
    length_s: f64,
    requests: u64,
    errors: u64,
    sent_bytes: u64,
    received_bytes: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// The object, and a line end.
pub fn json(outcome: &Outcome<'_>) -> String {
    let report = &outcome.report;
    let statuses = report.statuses.iter().map(|(status, count)| (status.to_string(), (*count).into()));
    let errors = outcome.errors().into_iter();
    let document = Document {
        target: &outcome.target,
        address: &outcome.address,
        mode: outcome.config.mode.name(),
        open_loop: outcome.config.rate.is_some(),
        rate_asked: outcome.config.rate,
        threads: outcome.threads,
        request_bytes: outcome.request_bytes,
        duration_s: report.window.as_secs_f64(),
        interrupted: outcome.interrupted,
        connections: Connections {
            asked: outcome.asked,
            at_once: report.ready,
            made: outcome.made,
            limit: outcome.limit.as_deref(),
        },
        requests: outcome.requests(),
        requests_late: report.late,
        requests_unsent: report.unsent,
        requests_given_up: report.given_up,
        rate: report.rate(),
        sent_bytes: report.sent,
        received_bytes: report.received,
        status: statuses.collect(),
        errors: report.errors(),
        errors_by_cause: errors.map(|(cause, count)| (key(&cause), count.into())).collect(),
        service_ms: latencies(&report.service_ns),
        response_ms: report.response_ns.as_ref().and_then(latencies),
        seconds: outcome.seconds.iter().map(row).collect(),
    };
    let text = serde_json::to_string(&document).expect("all keys are strings, and no number is infinite");
    text + "\n"
}

fn key(cause: &str) -> String {
    cause.replace(' ', "_").to_lowercase()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Percentiles by name, least, mean and standard deviation; none if nothing was counted.
fn latencies(latency_ns: &Histogram<u64>) -> Option<Map<String, Value>> {
    if latency_ns.is_empty() {
        return None;
    }
    let least = Duration::from_nanos(latency_ns.min());
    let mut map = Map::new();
    map.insert("min".to_owned(), ms(least).into());
    for (name, quantile) in PERCENTILES {
        map.insert(name.to_owned(), ms(part(latency_ns, quantile)).into());
    }
    map.insert("mean".to_owned(), (latency_ns.mean() / 1e6).into());
    map.insert("stdev".to_owned(), (latency_ns.stdev() / 1e6).into());
    Some(map)
}

fn row(second: &Second) -> Row {
    Row {
        second: second.number,
        length_s: second.length.as_secs_f64(),
        requests: second.operations,
        errors: second.failures,
        sent_bytes: second.sent,
        received_bytes: second.received,
        p50_ms: ms(second.p50),
        p99_ms: ms(second.p99),
        max_ms: ms(second.max),
    }
}
