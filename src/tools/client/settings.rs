//! What `switchboard client` is told: which server to ask, with what, how often.

use crate::{
    net::{dial::Override, endpoint::Endpoint, proxy_header::ProxyVersion},
    tools::tls::TargetTls,
};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// A person waits for a client's answer: a minute of silence is an answer too.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, until it ends.
    Stdin,
    Text(Vec<u8>),
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub target: Target,
    /// Of a target that speaks it.
    pub tls: Option<TargetTls>,
    /// Connect here in place of the target's host.
    pub via: Option<Endpoint>,
    /// Send a PROXY header first.
    pub send_proxy: Option<ProxyVersion>,
    /// Tell of the connection.
    pub verbose: bool,
    /// Print the body alone.
    pub body: bool,
    pub input: Input,
    /// Clients at once.
    pub parallel: usize,
    /// Times that each client runs.
    pub repeat: usize,
    /// To resolve and connect.
    pub connect_timeout: Option<Duration>,
    /// Without a byte in either direction.
    pub idle_timeout: Option<Duration>,
    /// Addresses to use in place of the resolver's.
    pub overrides: Arc<[Override]>,
}

/// The target of the lab that this program grew from.
pub const TARGET: &str = "http://www.google.com/";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Http {
        /// Where the host's server is.
        endpoint: Endpoint,
        /// The `Host` field (RFC 9110 §7.2): host, and port unless it is the scheme's own.
        host: String,
        /// Path and query, at least `/`.
        path: String,
        /// `https://`.
        over_tls: bool,
    },
    Tcp(Endpoint),
    /// TCP, and TLS from its first byte.
    Tls(Endpoint),
}

impl Target {
    /// Where its server is.
    pub fn endpoint(&self) -> &Endpoint {
        let (Target::Http { endpoint, .. } | Target::Tcp(endpoint) | Target::Tls(endpoint)) = self;
        endpoint
    }

    pub fn is_http(&self) -> bool {
        matches!(self, Target::Http { .. })
    }

    pub fn speaks_tls(&self) -> bool {
        matches!(self, Target::Http { over_tls: true, .. } | Target::Tls(_))
    }
}

impl fmt::Display for Target {
    /// As a user types it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Http { host, path, over_tls: false, .. } => write!(f, "http://{host}{path}"),
            Target::Http { host, path, over_tls: true, .. } => write!(f, "https://{host}{path}"),
            Target::Tcp(endpoint @ Endpoint::Unix(_)) => write!(f, "{endpoint}"),
            Target::Tcp(endpoint) => write!(f, "tcp://{endpoint}"),
            Target::Tls(endpoint) => write!(f, "tls://{endpoint}"),
        }
    }
}

/// A request for `path`, with `fields` (each with its line end) after those of all our requests.
pub fn get(host: &str, path: &str, fields: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: switchboard/{version}\r\n{fields}\r\n")
}
