//! The result of a run, from which the text, the JSON and the page are made.

use super::{End, plan::Prepared};
use crate::{
    net::address::EscapedAddress,
    text::{escape::Escaped, units},
    tools::{
        client::settings::Target,
        load::{
            failure::Failure,
            report::Report,
            settings::{Expect, Load, Mode},
            timeline::Second,
        },
    },
};

/// The percentiles that are told, by their names.
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
    /// The target as it can be typed, and fit for a terminal.
    pub target: String,
    pub address: String,
    pub report: Report,
    pub seconds: Vec<Second>,
    pub threads: usize,
    /// None: as many as there can be.
    pub asked: Option<usize>,
    /// Connections made, one after the other included.
    pub made: u64,
    /// What stopped the run from making more connections, in words.
    pub limit: Option<String>,
    pub interrupted: bool,
    pub request_bytes: u64,
}

impl<'a> Outcome<'a> {
    pub(super) fn new(config: &'a Load, prepared: &Prepared, end: End) -> Self {
        let target = match &config.target {
            Target::Http { host, path, .. } => format!("http://{host}{path}"),
            Target::Tcp(endpoint) => match endpoint.to_string() {
                path if path.starts_with("unix:") => path,
                address => format!("tcp://{address}"),
            },
        };
        Outcome {
            config,
            target: Escaped(target.as_bytes()).to_string(),
            address: EscapedAddress(&prepared.address).to_string(),
            limit: limit(prepared, &end.report),
            report: end.report,
            seconds: prepared.shared.timeline().seconds().to_vec(),
            threads: prepared.parts.len(),
            asked: config.connections,
            made: prepared.shared.made(),
            interrupted: end.interrupted,
            request_bytes: prepared.request_bytes,
        }
    }

    /// What was done, in a few words: `pingpong, 64 B sent, echo expected, closed loop`.
    pub fn about(&self) -> String {
        let config = self.config;
        let http = matches!(config.target, Target::Http { .. });
        let what = match (config.mode, http) {
            (Mode::Pingpong, true) => "GET with keep-alive".to_owned(),
            (Mode::Churn, true) => "GET, a connection each".to_owned(),
            (mode, _) => {
                let answer = match config.expect {
                    Expect::Echo => "the echo verified".to_owned(),
                    Expect::Bytes(count) => format!("{} expected", units::bytes(count)),
                    Expect::UntilClose => "any answer up to its end".to_owned(),
                };
                format!("{}, {} sent, {answer}", mode.name(), units::bytes(self.request_bytes))
            }
        };
        let pace = match config.rate {
            Some(rate) => format!("open loop at {}/s", units::count(rate as u64)),
            None => "closed loop".to_owned(),
        };
        let threads = if self.threads > 1 { format!(", {} threads", self.threads) } else { String::new() };
        format!("{what}; {pace}{threads}")
    }

    /// Every cause of an error with its count, answers of 400 and above included.
    pub fn errors(&self) -> Vec<(String, u64)> {
        let failures = self.report.failures.iter().map(|(kind, count)| (kind.name().to_owned(), count));
        let refusals = self.report.statuses.range(400..);
        failures.chain(refusals.map(|(status, count)| (format!("status {status}"), *count))).collect()
    }

    /// All operations that count, those that ended after the window included.
    pub fn requests(&self) -> u64 {
        self.report.operations + self.report.late
    }
}

/// Why there are fewer connections than asked for.
fn limit(prepared: &Prepared, report: &Report) -> Option<String> {
    match (report.limit, prepared.descriptor_limit) {
        (Some(Failure::NoDescriptor), _) => {
            Some("no descriptor is left: raise ulimit -n, or the system's fs.file-max".to_owned())
        }
        (Some(Failure::NoPort), _) => {
            Some("no local port is left: widen net.ipv4.ip_local_port_range".to_owned())
        }
        (Some(Failure::NoMemory), _) => {
            Some("the kernel has no memory or no watches left (fs.epoll.max_user_watches)".to_owned())
        }
        (Some(Failure::TimedOut), _) => {
            Some("the target takes no more: a connection request had no answer in time".to_owned())
        }
        (_, Some(limit)) => Some(format!("the descriptor limit of {limit}: raise ulimit -n for more")),
        _ => None,
    }
}
