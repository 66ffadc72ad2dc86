//! What a server is to do: its listeners, what each leads to, and its limits. Each default is a named constant with its
//! reason.

use crate::{
    control::place::Control,
    net::{
        endpoint::Endpoint,
        options::{Congestion, Keepalive},
    },
    report::format::{Dump, Log},
    server::sources::SourceLimit,
    session::{deadline::Deadlines, target::Target},
};
use std::{num::NonZeroUsize, time::Duration};

/// RFC 862's port is 7, which needs privileges; the lab that this program grew from used 8001 and up.
pub const ECHO_PORT: u16 = 8001;
/// The next port after echo's.
pub const PROXY_PORT: u16 = 8002;
/// The next port after the proxy's.
pub const ORIGIN_PORT: u16 = 8003;
/// The upstream of the lab that this program grew from.
pub const UPSTREAM: &str = "www.google.com:80";

/// Holds 2,000 connects at once; Linux's own default limit (`net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;
/// A day's worth of a quiet server; some 400 KiB.
pub const REMEMBER: usize = 1000;

/// Spans the gap between two messages of a busy peer; longer only burns a core that others could use.
pub const BUSY_POLL: Option<Duration> = Some(Duration::from_micros(200));

/// One listener of a plan, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedListener {
    /// Its name; none: its address is its name.
    pub name: Option<String>,
    pub endpoint: Endpoint,
    pub target: Target,
}

/// All that a server is told. Two plans that are equal make the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub listeners: Vec<PlannedListener>,
    /// Sessions at once; `None`: from the descriptor limit.
    pub max_sessions: Option<usize>,
    /// Sessions at once from one source; `None`: no limit.
    pub max_per_source: Option<SourceLimit>,
    pub backlog: i32,
    pub deadlines: Deadlines,
    /// Of both legs; `None`: off.
    pub keepalive: Option<Keepalive>,
    pub congestion: Congestion,
    pub log: Log,
    pub dump: Dump,
    pub dump_limit: usize,
    /// Whether bulk data may cross as pipes.
    pub splice: bool,
    /// Threads that run sessions, each with its own part of them; `None`: one for each processor that the process may use.
    pub threads: Option<NonZeroUsize>,
    /// How long to look for the next event before sleeping; `None`: not at all.
    pub busy_poll: Option<Duration>,
    pub control: Control,
    /// The group that may use the control socket besides its owner, by name or number.
    pub group: Option<String>,
    /// Sessions that are remembered after their end.
    pub remember: usize,
    /// Where to answer scrapers and health checks; `None`: nowhere.
    pub metrics: Option<Endpoint>,
}
