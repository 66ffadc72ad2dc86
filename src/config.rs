//! Validated settings. Each default is a named constant with its reason.

pub mod audit;
pub mod client;
pub mod ctl;
pub mod load;
pub mod top;

use crate::io::{congestion::Congestion, endpoint::Endpoint};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// RFC 862's port is 7, which needs privileges; the lab that this program grew from used 8001 and up.
pub const ECHO_PORT: u16 = 8001;
/// The next port after echo's.
pub const PROXY_PORT: u16 = 8002;
/// The next port after the proxy's.
pub const ORIGIN_PORT: u16 = 8003;
/// The upstream of the lab that this program grew from.
pub const UPSTREAM: &str = "www.google.com:80";
/// The target of the lab that this program grew from.
pub const TARGET: &str = "http://www.google.com/";

/// Long enough for three SYN retransmissions (1 s, 2 s and 4 s after the first, RFC 6298 §5).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Interactive sessions pause for minutes; an hour of silence is what HAProxy's and NAT boxes' users expect to survive.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// A peer that has had its answer's request for a minute and moves nothing is gone.
pub const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// A peer with a closed window for five minutes is stuck (RFC 9293 §3.8.3 calls for a user timeout of five minutes).
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// What service supervisors wait before they kill.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Holds 2,000 connects at once; Linux's own default limit (`net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;
/// A day's worth of a quiet server; some 400 KiB.
pub const REMEMBER: usize = 1000;
/// Enough to read a request's head; what is longer is cut with a note.
pub const DUMP_LIMIT_BYTES: usize = 4096;

/// Spans the gap between two messages of a busy peer; longer only burns a core that others could use.
pub const BUSY_POLL: Option<Duration> = Some(Duration::from_micros(50));

/// TCP keepalive of both legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes until the peer counts as gone.
    pub probes: u32,
}

/// A vanished peer is found after two minutes.
pub const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 6 };

/// Every wait on a peer; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolve and connect, all addresses together.
    pub connect: Option<Duration>,
    /// No byte moved in either direction.
    pub idle: Option<Duration>,
    /// One direction ended, no byte since.
    pub half_close: Option<Duration>,
    /// Bytes are waiting for a peer that does not take any.
    pub stall: Option<Duration>,
    /// Whatever happens.
    pub lifetime: Option<Duration>,
    /// From the begin of a drain to the cut.
    pub drain: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            connect: Some(CONNECT_TIMEOUT),
            idle: Some(IDLE_TIMEOUT),
            half_close: Some(HALF_CLOSE_TIMEOUT),
            stall: Some(STALL_TIMEOUT),
            lifetime: None,
            drain: Some(DRAIN_TIMEOUT),
        }
    }
}

/// The format of the event lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// The format of payload in the event lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dump {
    /// No payload.
    #[default]
    Off,
    /// Escaped text.
    Text,
    /// As `xxd` shows it.
    Hex,
}

/// What a server does with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Send back what comes.
    Echo,
    /// Relay to an upstream.
    Proxy(Arc<Upstream>),
    /// Answer HTTP.
    Origin,
}

/// Where a proxy connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As typed; a name is resolved for each connection.
    pub endpoint: Endpoint,
    /// `--resolve`: addresses to use in place of the resolver's.
    pub overrides: Arc<[Override]>,
}

/// `--resolve host:port:addr[,addr…]`, as in curl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name that is not looked up, compared without case.
    pub host: String,
    /// The port it holds for.
    pub port: u16,
    /// What it resolves to, in this order.
    pub addresses: Vec<IpAddr>,
}

/// All that a server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where to listen; at least one.
    pub listen: Vec<Endpoint>,
    /// What to do with connections.
    pub role: Role,
    /// Sessions at once; `None`: from the descriptor limit.
    pub max_sessions: Option<usize>,
    /// Sessions at once from one source address; `None`: no limit.
    pub max_per_source: Option<usize>,
    /// Of the listening socket.
    pub backlog: i32,
    /// Every wait on a peer.
    pub deadlines: Deadlines,
    /// Of both legs; `None`: off.
    pub keepalive: Option<Keepalive>,
    /// Of both legs.
    pub congestion: Congestion,
    /// The format of event lines.
    pub log: Log,
    /// The format of payload in event lines.
    pub dump: Dump,
    /// Bytes of a piece that a dump shows.
    pub dump_limit: usize,
    /// Whether bulk data may cross as pipes.
    pub splice: bool,
    /// How long to look for the next event before sleeping; `None`: not at all.
    pub busy_poll: Option<Duration>,
    /// Where operators connect.
    pub control: ctl::Control,
    /// Sessions that are remembered after their end.
    pub remember: usize,
    /// Where to answer scrapers and health checks; `None`: nowhere.
    pub metrics: Option<Endpoint>,
}

/// The protocol of a client's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://host[:port]/path`.
    Http {
        /// Where the host's server is.
        endpoint: Endpoint,
        /// The `Host` field (RFC 9110 §7.2): host, and port unless it is 80.
        host: String,
        /// Path and query, at least `/`.
        path: String,
    },
    /// `tcp://host:port`.
    Tcp(Endpoint),
}

/// One run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// `echo`, `proxy` or `origin`.
    Server(Box<Server>),
    /// `client`.
    Client(Box<client::Client>),
    /// `ctl`.
    Ctl(Box<ctl::Ctl>),
    /// `top`.
    Top(Box<top::Top>),
    /// `audit`.
    Audit(Box<audit::Audit>),
    /// `load`.
    Load(Box<load::Load>),
}
