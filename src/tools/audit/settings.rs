//! What `switchboard audit` is told: which proxy, and what to look at.

use crate::{
    net::{endpoint::Endpoint, proxy_header::ProxyVersion},
    tools::{findings::Form, tls::TargetTls},
};
use std::time::Duration;

/// Longer than the shortest timeouts that people give a proxy; for a longer timeout there is `--idle`.
pub const IDLE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    pub subject: Subject,
    /// The proxy is spoken TLS to, which it ends.
    pub tls: Option<TargetTls>,
    /// The proxy gets a PROXY header first on each connection.
    pub send_proxy: Option<ProxyVersion>,
    /// How long the idle check is idle; `None`: it is left out.
    pub idle: Option<Duration>,
    pub json: bool,
    /// The names of the checks to run; none: all.
    pub checks: Vec<String>,
    pub report: Vec<Form>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This program's own, started for the audit.
    Own,
    Running {
        via: Endpoint,
        /// The proxy connects to it: the audit listens there.
        origin: Endpoint,
    },
}
