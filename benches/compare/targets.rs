//! The targets of the project, each with what this run measured.

use crate::{
    measure::{Outcome, Sample},
    start::Start,
    table::Table,
};

/// What the run measured, as far as it went.
#[derive(Default)]
pub struct Findings {
    pub outcomes: Vec<Outcome>,
    /// Private memory a session in KiB, by the case's name.
    pub idle_kib: Vec<(&'static str, f64)>,
    pub start: Option<Start>,
}

/// Which way a limit holds.
#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

const P50: fn(&Sample) -> f64 = |sample| sample.latency_us[0];
const P999: fn(&Sample) -> f64 = |sample| sample.latency_us[2];
const CPU: fn(&Sample) -> f64 = |sample| sample.cpu_us;
const RATE: fn(&Sample) -> f64 = |sample| sample.rate;

/// A ratio to the best peer: the case's name or its begin, what, its value, and the limit. Where at most so much may be
/// reached, the best peer is the one with the least.
type Target = (&'static str, &'static str, fn(&Sample) -> f64, Limit);

const RATIOS: [Target; 8] = [
    ("bulk", "CPU a MiB × best peer", CPU, Limit::AtMost(0.80)),
    ("bulk", "throughput × best peer", RATE, Limit::AtLeast(1.1)),
    ("pingpong 50", "CPU a round trip × best peer", CPU, Limit::AtMost(0.95)),
    ("pingpong 50", "rate × best peer", RATE, Limit::AtLeast(1.0)),
    ("pingpong 50", "p99.9 × best peer", P999, Limit::AtMost(1.0)),
    ("pingpong 1", "p50 × best peer", P50, Limit::AtMost(0.7)),
    ("pingpong 1", "CPU a round trip × best peer", CPU, Limit::AtMost(1.3)),
    ("churn", "CPU a connection × best peer", CPU, Limit::AtMost(1.0)),
];
const IDLE_KIB: f64 = 2.5;
const START_MS: f64 = 20.0;
const SIZE_MIB: f64 = 6.0;

impl Limit {
    fn is_met(self, value: f64) -> bool {
        match self {
            Limit::AtMost(limit) => value <= limit,
            Limit::AtLeast(limit) => value >= limit,
        }
    }

    fn is_least(self) -> bool {
        matches!(self, Limit::AtMost(_))
    }

    fn show(self) -> String {
        match self {
            Limit::AtMost(limit) => format!("≤ {limit}"),
            Limit::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

impl Findings {
    /// A row for each target that was measured.
    pub fn table(&self) -> Table {
        let mut table = Table::new("summary", &["case", "what", "target", "measured", "reached"]);
        let mut add = |case: &str, what: &str, limit: Limit, value: f64| {
            let reached = if limit.is_met(value) { "yes" } else { "NO" };
            let cells = [case, what, &limit.show(), &format!("{value:.2}"), reached];
            table.add(cells.map(str::to_owned).to_vec());
        };
        for (prefix, what, value, limit) in RATIOS {
            let exact = prefix.contains(' ');
            let fits = |name: &str| if exact { name == prefix } else { name.starts_with(prefix) };
            for outcome in self.outcomes.iter().filter(|outcome| fits(outcome.name)) {
                if let Some(ratio) = outcome.ratio(limit.is_least(), value) {
                    add(outcome.name, what, limit, ratio);
                }
            }
        }
        for (name, kib) in &self.idle_kib {
            add(name, "user memory KiB a session", Limit::AtMost(IDLE_KIB), *kib);
        }
        if let Some(start) = &self.start {
            add("start", "ms from exec to the first connection", Limit::AtMost(START_MS), start.accept_ms);
            add("start", "MiB of the release binary", Limit::AtMost(SIZE_MIB), start.size_mib);
        }
        for outcome in self.outcomes.iter().filter(|outcome| outcome.failures() > 0) {
            add(outcome.name, "connections that failed", Limit::AtMost(0.0), outcome.failures() as f64);
        }
        table
    }
}
