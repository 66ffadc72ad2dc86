//! The result of a run, from which the text, the JSON and the page are made.

use super::plan::Prepared;
use crate::{
    text::{escape::Escaped, units},
    tools::load::{
        failure::Failure,
        report::Report,
        settings::{Expect, Load, Mode},
        timeline::Second,
    },
};

pub const PERCENTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

pub struct Outcome<'a> {
    pub config: &'a Load,
    pub prepared: Prepared,
    pub report: Report,
    pub interrupted: bool,
    /// The target as it can be typed, and fit for a terminal.
    pub target: String,
    pub seconds: Vec<Second>,
    /// What stopped the run from making more connections, in words.
    pub limit: Option<String>,
}

impl<'a> Outcome<'a> {
    pub fn new(config: &'a Load, prepared: Prepared, report: Report, interrupted: bool) -> Self {
        let target = Escaped(config.target.to_string().as_bytes()).to_string();
        let seconds = prepared.shared.progress().timeline.seconds().to_vec();
        let limit = limit(&prepared, &report);
        Outcome { config, prepared, report, interrupted, target, seconds, limit }
    }

    /// What was done, in a few words: `pingpong, 64 B sent, echo expected, closed loop`.
    pub fn about(&self) -> String {
        let config = self.config;
        let http = config.target.is_http();
        let what = match (config.mode, http) {
            (Mode::Pingpong, true) => format!("{} with keep-alive", config.http.method()),
            (Mode::Churn, true) => format!("{}, a connection each", config.http.method()),
            (mode, _) => {
                let answer = match config.expect {
                    Expect::Echo => "the echo verified".to_owned(),
                    Expect::Bytes(count) => format!("{} expected", units::bytes(count)),
                    Expect::UntilClose => "any answer up to its end".to_owned(),
                };
                format!("{}, {} sent, {answer}", mode.name(), units::bytes(self.prepared.request_bytes))
            }
        };
        let pace = match config.rate {
            Some(rate) => format!("open loop at {}/s", units::count(rate as u64)),
            None => "closed loop".to_owned(),
        };
        let threads = match self.prepared.plans.len() {
            1 => String::new(),
            threads => format!(", {threads} threads"),
        };
        format!("{what}; {pace}{threads}")
    }

    /// The handshakes of TLS, in a line; none if it was not spoken.
    pub fn handshakes(&self) -> Option<String> {
        let (took, resumed) = (&self.report.handshakes, self.report.resumed);
        let [made, resumed] = [took.len(), resumed].map(units::count);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| units::duration(took.part(quantile)));
        let text = format!("{made} made, {resumed} resumed: p50 {p50}, p99 {p99}, max {max}");
        (!took.is_empty()).then_some(text)
    }

    /// Every cause of an error with its count, answers of 400 and above included.
    pub fn errors(&self) -> Vec<(String, u64)> {
        let failures = self.report.failures.iter().map(|(kind, count)| (kind.name().to_owned(), *count));
        let refusals = self.report.statuses.range(400..);
        failures.chain(refusals.map(|(status, count)| (format!("status {status}"), *count))).collect()
    }
}

/// Why there are fewer connections than asked for.
fn limit(prepared: &Prepared, report: &Report) -> Option<String> {
    let why = match (report.limit, prepared.descriptor_limit) {
        (Some(Failure::NoDescriptor), _) => {
            "no descriptor is left: raise ulimit -n, or the system's fs.file-max"
        }
        (Some(Failure::NoPort), _) => "no local port is left: widen net.ipv4.ip_local_port_range",
        (Some(Failure::NoMemory), _) => {
            "the kernel has no memory or no watches left (fs.epoll.max_user_watches)"
        }
        (Some(Failure::TimedOut), _) => {
            "the target takes no more: a connection request had no answer in time"
        }
        (_, limit) => {
            return limit.map(|limit| format!("the descriptor limit of {limit}: raise ulimit -n for more"));
        }
    };
    Some(why.to_owned())
}
