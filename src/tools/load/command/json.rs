//! The report as one JSON object. Its keys are stable; times are in milliseconds, unless a key says otherwise.

use super::outcome::{Outcome, PERCENTILES};
use crate::{net::address::EscapedAddress, text::units::rounded, tools::latencies::Latencies};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

/// The object, and a line end.
pub fn json(outcome: &Outcome<'_>) -> String {
    serde_json::to_string(&Json(outcome)).expect("all keys are strings, and no number is infinite") + "\n"
}

struct Json<'a>(&'a Outcome<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outcome = self.0;
        let Outcome { config, prepared, report, .. } = outcome;
        let statuses = report.statuses.iter().map(|(status, count)| (status.to_string(), (*count).into()));
        let key = |cause: String| cause.replace(' ', "_").to_lowercase();
        let errors = outcome.errors().into_iter().map(|(cause, count)| (key(cause), count.into()));
        let connections = Connections {
            asked: config.connections,
            at_once: report.ready,
            made: prepared.shared.progress().made,
            limit: outcome.limit.as_deref(),
        };
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("target", &outcome.target)?;
        object.serialize_entry("address", &EscapedAddress(&prepared.address).to_string())?;
        object.serialize_entry("mode", config.mode.name())?;
        object.serialize_entry("open_loop", &config.rate.is_some())?;
        object.serialize_entry("rate_asked", &config.rate)?;
        object.serialize_entry("threads", &prepared.plans.len())?;
        object.serialize_entry("request_bytes", &prepared.request_bytes)?;
        object.serialize_entry("duration_s", &rounded(report.window.as_secs_f64(), 6))?;
        object.serialize_entry("interrupted", &outcome.interrupted)?;
        object.serialize_entry("connections", &connections)?;
        object.serialize_entry("requests", &(report.operations + report.late))?;
        object.serialize_entry("requests_late", &report.late)?;
        object.serialize_entry("requests_unsent", &report.unsent)?;
        object.serialize_entry("requests_given_up", &report.given_up)?;
        object.serialize_entry("rate", &rounded(report.rate(), 3))?;
        object.serialize_entry("sent_bytes", &report.sent)?;
        object.serialize_entry("received_bytes", &report.received)?;
        object.serialize_entry("status", &statuses.collect::<Map<String, Value>>())?;
        object.serialize_entry("errors", &report.errors())?;
        object.serialize_entry("errors_by_cause", &errors.collect::<Map<String, Value>>())?;
        object.serialize_entry("service_ms", &percentiles(&report.service))?;
        object.serialize_entry("response_ms", &report.response.as_ref().and_then(percentiles))?;
        object.serialize_entry("seconds", &outcome.seconds)?;
        object.serialize_entry("handshake_ms", &percentiles(&report.handshakes))?;
        object.serialize_entry("handshakes_resumed", &report.resumed)?;
        object.end()
    }
}

#[derive(Serialize)]
struct Connections<'a> {
    asked: Option<usize>,
    at_once: usize,
    made: u64,
    limit: Option<&'a str>,
}

/// Percentiles by name, least, mean and standard deviation; none if nothing was counted.
fn percentiles(latencies: &Latencies) -> Option<Map<String, Value>> {
    let percentiles =
        PERCENTILES.map(|(name, quantile)| (name, latencies.value_at_quantile(quantile) as f64));
    let (least, mean, deviation) = (latencies.min() as f64, latencies.mean(), latencies.stdev());
    let all = percentiles.into_iter().chain([("min", least), ("mean", mean), ("stdev", deviation)]);
    let map = all.map(|(name, ns)| (name.to_owned(), rounded(ns / 1e6, 3).into()));
    (!latencies.is_empty()).then(|| map.collect())
}
