//! What an audit found, and the report as JSON.

use crate::{
    net::address::Address,
    tools::audit::{
        check::{ALL, Check},
        observation::Observation,
        verdict::{Verdict, judge},
    },
};
use serde_json::{Map, Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// One check's result.
pub struct Row {
    /// Which check.
    pub check: &'static Check,
    /// What the ends saw without the proxy.
    pub direct: Observation,
    /// What they saw through it.
    pub through: Observation,
    /// What that comes to.
    pub verdict: Verdict,
}

impl Row {
    /// Compares two observations of one check.
    pub fn new(check: &'static Check, direct: Observation, through: Observation) -> Self {
        let verdict = judge(&direct, &through);
        Row { check, direct, through, verdict }
    }

    fn place(&self) -> Option<usize> {
        ALL.iter().position(|check| check.name == self.check.name)
    }
}

/// What an audit found.
pub struct Report {
    via: SocketAddr,
    origin: Address,
    begin: Instant,
    /// The results, in the order of the list of checks.
    pub rows: Vec<Row>,
    /// How long it took.
    pub took: Duration,
    /// Whether all checks were made.
    pub complete: bool,
    /// Connections to the origin that no client of ours caused.
    pub strangers: u64,
}

impl Report {
    /// An audit that begins.
    pub fn new(via: SocketAddr, origin: Address) -> Self {
        let took = Duration::ZERO;
        Report { via, origin, begin: Instant::now(), rows: Vec::new(), took, complete: false, strangers: 0 }
    }

    /// Adds a result.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The audit has ended.
    pub fn finish(&mut self, complete: bool, strangers: u64) {
        (self.complete, self.strangers, self.took) = (complete, strangers, self.begin.elapsed());
        self.rows.sort_by_key(Row::place);
    }

    /// Whether all checks were made and nothing speaks against the proxy.
    pub fn is_good(&self) -> bool {
        self.complete && self.rows.iter().all(|row| row.verdict.is_good())
    }

    /// How often each verdict came, the best first; only those that came.
    pub fn counts(&self) -> impl Iterator<Item = (Verdict, usize)> {
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        Verdict::ALL.into_iter().map(move |verdict| (verdict, count(verdict))).filter(|(_, count)| *count > 0)
    }

    /// One JSON object and a line feed.
    pub fn json(&self) -> String {
        let counts: Map<String, Value> =
            self.counts().map(|(verdict, count)| (verdict.name().to_owned(), count.into())).collect();
        let check = |row: &Row| {
            json!({
                "name": row.check.name,
                "what": row.check.what,
                "verdict": row.verdict,
                "direct": row.direct,
                "through": row.through,
            })
        };
        let report = json!({
            "switchboard": env!("CARGO_PKG_VERSION"),
            "via": self.via.to_string(),
            "origin": self.origin.to_string(),
            "complete": self.complete,
            "all_same": self.is_good(),
            "seconds": (self.took.as_secs_f64() * 1e3).round() / 1e3,
            "strangers": self.strangers,
            "verdicts": counts,
            "checks": self.rows.iter().map(check).collect::<Vec<_>>(),
        });
        format!("{report}\n")
    }
}
