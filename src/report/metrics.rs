//! The metrics of a server at one instant, in OpenMetrics 1.0 and in the text format of older scrapers.
//!
//! No label holds a peer's address or a session's number: the number of series never grows.

mod plain;

use crate::report::{histogram::Histogram, tally::Tally};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// All that is told to a scraper.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// When the server started.
    pub started: SystemTime,
    /// The sessions.
    pub tally: Tally,
    /// Connections that could not be accepted, by kind.
    pub accept_errors: Vec<(&'static str, u64)>,
    /// Event lines that could not be written.
    pub dropped_lines: u64,
    /// Bytes that were spliced and not copied.
    pub spliced_bytes: u64,
    /// Pipes that are open, and their limit.
    pub pipes: (usize, usize),
    /// Open pipes that are free.
    pub spare_pipes: usize,
    /// Free buffers that are kept for reuse.
    pub spare_buffers: usize,
}

impl Metrics {
    /// The type of [`Metrics::openmetrics`].
    pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    /// The type of [`Metrics::plain`].
    pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// In the text format of OpenMetrics 1.0, with its end mark.
    #[must_use]
    pub fn openmetrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut body = String::new();
        text::encode(&mut body, &registry).expect("a String takes all that is written to it");
        body
    }

    /// In the Prometheus text format 0.0.4.
    #[must_use]
    pub fn plain(self) -> String {
        plain::from_openmetrics(&self.openmetrics())
    }

    fn sessions(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tally = &self.tally;
        let (mut active, mut opened, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for listener in &tally.listeners {
            let labels = [("mode", listener.mode.name()), ("name", listener.name.as_str())];
            active.push((labels, ConstGauge::new(listener.active)));
            opened.push((labels, ConstCounter::new(listener.opened)));
            closed.extend(listener.closed().map(|(cause, count)| {
                ([labels[0], labels[1], ("cause", cause.name())], ConstCounter::new(count))
            }));
        }
        family(to, "switchboard_sessions_active", "Sessions that live", None, &active)?;
        let help = "Sessions that began, refused ones included";
        family(to, "switchboard_sessions_opened", help, None, &opened)?;
        family(to, "switchboard_sessions", "Sessions that ended, by cause", None, &closed)?;
        let bytes = [("client", tally.client_bytes), ("upstream", tally.upstream_bytes)]
            .map(|(direction, count)| ([("direction", direction)], ConstCounter::new(count)));
        let help = "Bytes received from clients and from upstreams; what is sent back without an upstream counts as its";
        family(to, "switchboard", help, Some(&Unit::Bytes), &bytes)?;
        let help = "Time to resolve and connect to the upstreams that were reached";
        histogram(to, "switchboard_dial_duration", help, &tally.dials)?;
        histogram(to, "switchboard_session_duration", "Life of the sessions that ended", &tally.lives)
    }

    fn process(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kinds = self.accept_errors.iter();
        let errors: Vec<_> =
            kinds.map(|(kind, count)| ([("kind", *kind)], ConstCounter::new(*count))).collect();
        family(to, "switchboard_accept_errors", "Connections that could not be accepted", None, &errors)?;
        let dropped = ConstCounter::new(self.dropped_lines);
        single(
            to,
            "switchboard_event_lines_dropped",
            "Event lines that could not be written",
            None,
            &dropped,
        )?;
        let spliced = ConstCounter::new(self.spliced_bytes);
        let help = "Bytes that crossed as pipes; the others were copied";
        single(to, "switchboard_spliced", help, Some(&Unit::Bytes), &spliced)?;
        let (open, limit) = self.pipes;
        single(
            to,
            "switchboard_pipes_open",
            "Kernel pipes of the pool, in use or spare",
            None,
            &gauge(open),
        )?;
        single(to, "switchboard_pipes_limit", "Kernel pipes that the pool may open", None, &gauge(limit))?;
        let spare = gauge(self.spare_pipes);
        single(to, "switchboard_pipes_spare", "Kernel pipes kept for reuse", None, &spare)?;
        let spare = gauge(self.spare_buffers);
        single(to, "switchboard_buffers_spare", "Buffers kept for reuse", None, &spare)?;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (name, help) =
            ("switchboard_process_start_time", "When the server started, since the Unix epoch");
        single(to, name, help, Some(&Unit::Seconds), &ConstGauge::new(started))?;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        single(to, "switchboard_build", "The program's version", None, &build)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.sessions(&mut encoder)?;
        self.process(&mut encoder)
    }
}

fn gauge(count: usize) -> ConstGauge<u64> {
    ConstGauge::new(count as u64)
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
    members: &[([(&str, &str); N], M)],
) -> fmt::Result {
    let kind = members.first().map_or(MetricType::Unknown, |(_, metric)| metric.metric_type());
    let mut encoder = to.encode_descriptor(name, help, unit, kind)?;
    for (labels, metric) in members {
        metric.encode(encoder.encode_family(labels)?)?;
    }
    Ok(())
}

fn histogram(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let (sum, count, buckets) = (histogram.sum(), histogram.count(), histogram.buckets());
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
