//! The metrics of a server at one instant, in OpenMetrics 1.0 and in the text format of older scrapers.
//!
//! No label holds a peer's address or a session's number: the number of series never grows.

use crate::report::{histogram::Histogram, tally::Tally};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// All that is told to a scraper.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// When the server started.
    pub started: SystemTime,
    pub tally: Tally,
    /// Connections that could not be accepted, by kind.
    pub accept_errors: Vec<(&'static str, u64)>,
    /// Reloads of the configuration that were refused.
    pub refused_reloads: u64,
    /// Event lines that could not be written.
    pub dropped_lines: u64,
    /// Bytes that were spliced and not copied.
    pub spliced_bytes: u64,
    /// Pipes that are open, and their limit.
    pub pipes: (usize, usize),
    /// Open pipes that are free.
    pub spare_pipes: usize,
    pub spare_buffers: usize,
    pub faults: Vec<FaultMetrics>,
}

/// What a fault has done so far.
#[derive(Clone, Debug)]
pub struct FaultMetrics {
    pub listener: String,
    /// Its name, as a label may have it.
    pub fault: String,
    pub kind: &'static str,
    /// That met it, and that it hit.
    pub sessions: [(&'static str, u64); 2],
    /// That passed it, and that it took away.
    pub bytes: [(&'static str, u64); 2],
    /// That wait before it now.
    pub held_bytes: u64,
    /// The time that runs of bytes waited, summed up.
    pub delay: Duration,
    /// Sessions that it ended, by how.
    pub ends: [(&'static str, u64); 2],
}

impl Metrics {
    /// The type of [`Metrics::openmetrics`].
    pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    /// The type of [`Metrics::plain`].
    pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// In the text format of OpenMetrics 1.0, with its end mark.
    pub fn openmetrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut body = String::new();
        text::encode(&mut body, &registry).expect("a string takes every write");
        body
    }

    /// In the Prometheus text format 0.0.4.
    pub fn plain(self) -> String {
        plain(&self.openmetrics())
    }

    fn sessions(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tally = &self.tally;
        let (mut active, mut health) = (Vec::new(), Vec::new());
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for listener in &tally.listeners {
            let labels = [("mode", listener.mode.name()), ("name", listener.name.as_str())];
            active.push((labels, ConstGauge::new(listener.active)));
            health.extend(listener.health().map(|(health, count)| {
                ([labels[0], labels[1], ("health", health.name())], ConstGauge::new(count))
            }));
            opened.push((labels, ConstCounter::new(listener.opened)));
            closed.extend(listener.closed().map(|(cause, count)| {
                ([labels[0], labels[1], ("cause", cause.name())], ConstCounter::new(count))
            }));
        }
        family(to, "switchboard_sessions_active", "Sessions that live", None, &active)?;
        family(to, "switchboard_sessions_health", "Sessions that live, by how they do", None, &health)?;
        let help = "Sessions that began, refused ones included";
        family(to, "switchboard_sessions_opened", help, None, &opened)?;
        family(to, "switchboard_sessions", "Sessions that ended, by cause", None, &closed)?;
        let bytes = [("client", tally.client_bytes), ("upstream", tally.upstream_bytes)]
            .map(|(direction, count)| ([("direction", direction)], ConstCounter::new(count)));
        let help = "Bytes received from clients and from upstreams; what is sent back without an upstream counts as its";
        family(to, "switchboard", help, Some(&Unit::Bytes), &bytes)?;
        let both = [("client", tally.handshakes.with_clients), ("upstream", tally.handshakes.with_upstreams)];
        let named = both.into_iter().flat_map(|(side, results)| {
            results
                .named()
                .map(|(result, count)| ([("side", side), ("result", result)], ConstCounter::new(count)))
        });
        let help = "Handshakes of TLS, by side and result";
        family(to, "switchboard_tls_handshakes", help, None, &named.collect::<Vec<_>>())?;
        let help = "Time to resolve and connect to the upstreams that were reached";
        histogram(to, "switchboard_dial_duration", help, &tally.dials)?;
        histogram(to, "switchboard_session_duration", "Life of the sessions that ended", &tally.lives)
    }

    fn faults(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let labels = |one: &'_ FaultMetrics| {
            [("listener", one.listener.clone()), ("fault", one.fault.clone()), ("type", one.kind.to_owned())]
        };
        let of_each = |key: &'static str, of: fn(&FaultMetrics) -> [(&'static str, u64); 2]| {
            let rows = self.faults.iter().flat_map(move |one| {
                let [listener, fault, kind] = labels(one);
                of(one).map(|(what, count)| {
                    let labels = [listener.clone(), fault.clone(), kind.clone(), (key, what.to_owned())];
                    (labels, ConstCounter::new(count))
                })
            });
            rows.collect::<Vec<_>>()
        };
        let sessions = of_each("result", |one| one.sessions);
        let help = "Sessions that met a fault, and those of them that it hit";
        family(to, "switchboard_fault_sessions", help, None, &sessions)?;
        let bytes = of_each("what", |one| one.bytes);
        let help = "Bytes that passed a fault, and that it took away";
        family(to, "switchboard_fault", help, Some(&Unit::Bytes), &bytes)?;
        let held = self.faults.iter().map(|one| (labels(one), ConstGauge::new(one.held_bytes)));
        let help = "Bytes that wait before a fault now";
        family(to, "switchboard_fault_held", help, Some(&Unit::Bytes), &held.collect::<Vec<_>>())?;
        let delay = self.faults.iter().map(|one| (labels(one), ConstCounter::new(one.delay.as_secs_f64())));
        let help = "The time that runs of bytes waited before a fault, summed up";
        family(to, "switchboard_fault_delay", help, Some(&Unit::Seconds), &delay.collect::<Vec<_>>())?;
        let ends = of_each("how", |one| one.ends);
        family(to, "switchboard_fault_ends", "Sessions that a fault ended, by how", None, &ends)
    }

    fn process(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let errors = self.accept_errors.iter();
        let errors: Vec<_> =
            errors.map(|(kind, count)| ([("kind", *kind)], ConstCounter::new(*count))).collect();
        family(to, "switchboard_accept_errors", "Connections that could not be accepted", None, &errors)?;
        let (help, refused) = ("Reloads that were refused", ConstCounter::new(self.refused_reloads));
        single(to, "switchboard_reload_failed", help, None, &refused)?;
        let (dropped, spliced) =
            (ConstCounter::new(self.dropped_lines), ConstCounter::new(self.spliced_bytes));
        let help = "Event lines that could not be written";
        single(to, "switchboard_event_lines_dropped", help, None, &dropped)?;
        let help = "Bytes that crossed as pipes; the others were copied";
        single(to, "switchboard_spliced", help, Some(&Unit::Bytes), &spliced)?;
        for (name, help, count) in [
            ("switchboard_pipes_open", "Kernel pipes of the pool, in use or spare", self.pipes.0),
            ("switchboard_pipes_limit", "Kernel pipes that the pool may open", self.pipes.1),
            ("switchboard_pipes_spare", "Kernel pipes kept for reuse", self.spare_pipes),
            ("switchboard_buffers_spare", "Buffers kept for reuse", self.spare_buffers),
        ] {
            single(to, name, help, None, &ConstGauge::new(count as u64))?;
        }
        let started =
            ConstGauge::new(self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let help = "When the server started, since the Unix epoch";
        single(to, "switchboard_process_start_time", help, Some(&Unit::Seconds), &started)?;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        single(to, "switchboard_build", "The program's version", None, &build)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.sessions(&mut encoder)?;
        if !self.faults.is_empty() {
            self.faults(&mut encoder)?;
        }
        self.process(&mut encoder)
    }
}

/// One metric without labels.
fn single(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(to.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// One metric for each set of labels; at least one.
fn family<const N: usize, M: EncodeMetric>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    members: &[([(&str, impl AsRef<str>); N], M)],
) -> fmt::Result {
    let kind = members.first().map_or(MetricType::Unknown, |(_, metric)| metric.metric_type());
    let mut encoder = to.encode_descriptor(name, help, unit, kind)?;
    for (labels, metric) in members {
        let labels = labels.each_ref().map(|(key, value)| (*key, value.as_ref()));
        metric.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn histogram(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let (sum, count, buckets) = (histogram.sum(), histogram.count(), histogram.buckets());
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

/// OpenMetrics as the Prometheus text format 0.0.4 says the same. There a counter and an info are named by their sample, an
/// info is a gauge, and neither units nor an end are known.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // It comes before the type, on which its name depends.
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let help = help.strip_prefix(name).unwrap_or_default();
            plain += &format!("# HELP {name}{suffix}{help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            plain += line;
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_the_samples_and_what_is_unknown_is_left_out() {
        let openmetrics = "# HELP a A.\n# TYPE a counter\n# UNIT a s\na_total{b=\"c # d\"} 1\n\
                           # HELP e E.\n# TYPE e info\ne_info{f=\"g\"} 1\n\
                           # HELP h H.\n# TYPE h gauge\nh 2\n# EOF\n";
        let plain = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c # d\"} 1\n\
                     # HELP e_info E.\n# TYPE e_info gauge\ne_info{f=\"g\"} 1\n\
                     # HELP h H.\n# TYPE h gauge\nh 2\n";
        assert_eq!(super::plain(openmetrics), plain);
    }
}
