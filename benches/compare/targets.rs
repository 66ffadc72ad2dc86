//! The targets of the project, each with what this run measured.

use crate::{
    faults::FaultFigures,
    hostile::Harm,
    idle::Cost,
    layout::{PINNED, UNPINNED},
    measure::{Outcome, Sample},
    scaling::Scaling,
    start::Start,
    table::Table,
};

/// What the run measured, as far as it went.
#[derive(Default)]
pub struct Findings {
    pub outcomes: Vec<Outcome>,
    /// By the case's name.
    pub idle: Vec<(&'static str, Cost)>,
    pub scaling: Option<Scaling>,
    /// System calls of a short connection.
    pub calls: Option<f64>,
    pub start: Option<Start>,
    pub faults: Option<FaultFigures>,
    pub hostile: Vec<Harm>,
}

/// What is to be reached, and what would be better still.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64, Option<f64>),
    AtLeast(f64, Option<f64>),
}
use Goal::{AtLeast, AtMost};

const P50: fn(&Sample) -> f64 = |sample| sample.latency_us[0];
const P999: fn(&Sample) -> f64 = |sample| sample.latency_us[2];
const CPU: fn(&Sample) -> f64 = |sample| sample.cpu_us;
const RATE: fn(&Sample) -> f64 = |sample| sample.rate;

/// A ratio to the best peer: the begin of the case's name, the layout, what, its value, and the goal. Where at most so much
/// is to be reached, the best peer is the one with the least.
type Target = (&'static str, &'static str, &'static str, fn(&Sample) -> f64, Goal);

const P50_RATIO: &str = "p50 × best peer";
const P999_RATIO: &str = "p99.9 × best peer";
const CPU_RATIO: &str = "CPU × best peer";
const RATE_RATIO: &str = "rate × best peer";
const RATIOS: [Target; 21] = [
    ("pingpong 1", PINNED, P50_RATIO, P50, AtMost(0.5, Some(0.4))),
    ("pingpong 1", PINNED, CPU_RATIO, CPU, AtMost(1.1, Some(1.0))),
    ("pingpong 5", PINNED, CPU_RATIO, CPU, AtMost(1.0, Some(0.95))),
    ("pingpong 5", UNPINNED, CPU_RATIO, CPU, AtMost(0.95, Some(0.90))),
    ("pingpong 5", PINNED, RATE_RATIO, RATE, AtLeast(0.97, Some(1.05))),
    ("pingpong 5", UNPINNED, RATE_RATIO, RATE, AtLeast(0.97, Some(1.05))),
    ("pingpong 5", PINNED, P999_RATIO, P999, AtMost(1.0, None)),
    ("pingpong 5", UNPINNED, P999_RATIO, P999, AtMost(1.0, None)),
    ("churn", PINNED, CPU_RATIO, CPU, AtMost(1.0, Some(0.95))),
    ("churn", UNPINNED, CPU_RATIO, CPU, AtMost(0.92, Some(0.87))),
    ("bulk 1", PINNED, CPU_RATIO, CPU, AtMost(0.80, Some(0.75))),
    ("bulk 8", PINNED, CPU_RATIO, CPU, AtMost(0.90, Some(0.80))),
    ("bulk 1", PINNED, RATE_RATIO, RATE, AtLeast(1.05, None)),
    ("bulk 8", PINNED, RATE_RATIO, RATE, AtLeast(1.0, None)),
    ("bulk 1", UNPINNED, CPU_RATIO, CPU, AtMost(1.05, Some(1.0))),
    ("bulk 8", UNPINNED, CPU_RATIO, CPU, AtMost(1.05, Some(1.0))),
    ("tls new 20", PINNED, CPU_RATIO, CPU, AtMost(1.05, None)),
    ("tls new 20", PINNED, RATE_RATIO, RATE, AtLeast(0.95, None)),
    ("tls resumed", PINNED, CPU_RATIO, CPU, AtMost(1.05, None)),
    ("tls bulk", PINNED, CPU_RATIO, CPU, AtMost(1.1, None)),
    ("tls pingpong", PINNED, CPU_RATIO, CPU, AtMost(1.05, None)),
];
const CALLS: Goal = AtMost(16.0, None);
const IDLE_KIB: Goal = AtMost(2.2, Some(1.2));
const IDLE_TLS: Goal = AtMost(0.5, None);
/// Of processor time, while nothing happens.
const IDLE_CPU_US: Goal = AtMost(0.0, None);
/// Of the case with as many as possible.
const HELD: Goal = AtLeast(9000.0, None);
const SCALING: Goal = AtMost(1.0, None);
const BUSIEST: Goal = AtMost(0.6, None);
const START_MS: Goal = AtMost(20.0, None);
const SIZE_MIB: Goal = AtMost(6.0, None);
/// Of the p95, when the machine is idle.
const LATE_MS: Goal = AtMost(1.0, None);
const EARLY: Goal = AtMost(0.0, None);
const RATE_ERROR: Goal = AtMost(1.0, None);
const LATENCY_RATE: Goal = AtLeast(0.8, None);
const API_CALL_MS: Goal = AtMost(50.0, None);
const HOSTILE: Goal = AtMost(2.0, None);
const FAILED: Goal = AtMost(0.0, None);

impl Goal {
    /// The case, what, both limits, the value, and whether it is within them.
    fn row(self, case: &str, what: &str, value: f64) -> Vec<String> {
        let (sign, goal, stretch) = match self {
            AtMost(goal, stretch) => ("≤", goal, stretch),
            AtLeast(goal, stretch) => ("≥", goal, stretch),
        };
        let is_within = |limit: f64| if self.is_least() { value <= limit } else { value >= limit };
        let reached = match stretch {
            Some(stretch) if is_within(stretch) => "stretch",
            _ if is_within(goal) => "yes",
            _ => "NO",
        };
        let stretch = stretch.map_or(String::new(), |stretch| format!("{sign} {stretch}"));
        let cells = [case, what, &format!("{sign} {goal}"), &stretch, &format!("{value:.2}"), reached];
        cells.map(str::to_owned).to_vec()
    }

    fn is_least(self) -> bool {
        matches!(self, AtMost(..))
    }
}

impl Findings {
    /// A row for each target that was measured.
    pub fn table(&self) -> Table {
        let mut table = Table::new("summary", &["case", "what", "goal", "stretch", "measured", "reached"]);
        self.ratios().into_iter().chain(self.others()).for_each(|row| table.add(row));
        table
    }

    fn ratios(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for (prefix, layout, what, value, goal) in RATIOS {
            let fits = |outcome: &&Outcome| outcome.layout == layout && outcome.name.starts_with(prefix);
            for outcome in self.outcomes.iter().filter(fits) {
                if let Some(ratio) = outcome.ratio(goal.is_least(), value) {
                    rows.push(goal.row(&format!("{}, {layout}", outcome.name), what, ratio));
                }
            }
        }
        rows
    }

    fn others(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        rows.extend(self.calls.map(|calls| CALLS.row("calls", "system calls a short connection", calls)));
        for (name, cost) in &self.idle {
            if *name == "idle tls" {
                let ratio = cost.private_kib / cost.best_peer_kib;
                rows.push(IDLE_TLS.row(name, "user memory × best peer", ratio));
            } else {
                rows.push(IDLE_KIB.row(name, "user memory KiB a session", cost.private_kib));
            }
            if cost.cpu_us.is_finite() {
                rows.push(IDLE_CPU_US.row(name, "CPU µs a second", cost.cpu_us));
            }
            if *name == "idle most" {
                rows.push(HELD.row(name, "sessions held", cost.held()));
            }
        }
        if let Some(scaling) = &self.scaling {
            if let (Some(own), Some(nginx)) = (scaling.own, scaling.nginx) {
                rows.push(SCALING.row("scaling", "CPU of 2 threads / 1, × nginx's own ratio", own / nginx));
            }
            for (connections, part) in &scaling.busiest {
                let what = format!("part of the busier thread, {connections} connections");
                rows.push(BUSIEST.row("scaling", &what, *part));
            }
        }
        if let Some(start) = &self.start {
            rows.push(START_MS.row("start", "ms from exec to the first connection", start.accept_ms));
            rows.push(SIZE_MIB.row("start", "MiB of the release binary", start.size_mib));
        }
        if let Some(faults) = &self.faults {
            rows.push(LATE_MS.row("faults", "ms late, p95 of the worst latency", faults.late_ms));
            rows.push(EARLY.row("faults", "round trips before the latency", faults.early as f64));
            rows.push(RATE_ERROR.row("faults", "% off, the worst bandwidth", faults.rate_error));
            rows.push(LATENCY_RATE.row("faults", "rate behind 50 ms × that of a noop", faults.latency_rate));
            rows.push(API_CALL_MS.row("faults", "ms of an API call, p99, sessions stalled", faults.call_ms));
        }
        for (to, is_to_elsewhere) in [("quiet", false), ("elsewhere", true)] {
            let harms = self.hostile.iter().filter(|harm| harm.is_to_elsewhere == is_to_elsewhere);
            let worst = harms.max_by(|one, other| one.ratio.total_cmp(&other.ratio));
            rows.extend(worst.map(|Harm { name, ratio, .. }| {
                HOSTILE.row("hostile", &format!("p99 × {to}, the worst: {name}"), *ratio)
            }));
        }
        for outcome in self.outcomes.iter().filter(|outcome| outcome.failures() > 0) {
            let case = format!("{}, {}", outcome.name, outcome.layout);
            rows.push(FAILED.row(&case, "connections that failed", outcome.failures() as f64));
        }
        rows
    }
}
