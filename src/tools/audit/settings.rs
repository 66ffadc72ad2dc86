//! What `switchboard audit` is told: which proxy, and what to look at.

use crate::net::endpoint::Endpoint;
use std::time::Duration;

/// Longer than the shortest timeouts that people give a proxy; whoever means a longer one asks for it.
pub const IDLE: Duration = Duration::from_secs(10);

/// One run of `switchboard audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The proxy under test.
    pub subject: Subject,
    /// How long the idle check is idle; `None`: it is left out.
    pub idle: Option<Duration>,
    /// Print one JSON object.
    pub json: bool,
    /// The names of the checks to run; none: all.
    pub checks: Vec<String>,
}

/// Which proxy is audited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This program's own, started for the audit.
    Own,
    /// One that runs already.
    Running {
        /// Where it listens.
        via: Endpoint,
        /// Where it connects to: the audit listens there.
        origin: Endpoint,
    },
}
