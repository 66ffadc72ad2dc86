//! What crosses a control socket: requests as they are read, and the lines of answers as they are written.

use crate::{
    net::{kernel::TcpInfo, network::Network},
    session::event::{Mode, Side},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of the protocol; it changes when a client of before would misread an answer.
pub const VERSION: u32 = 1;

/// The first line of a server.
#[derive(Serialize)]
pub struct Greeting<'a> {
    /// The protocol's version.
    pub switchboard: u32,
    /// The program's version.
    pub version: &'a str,
    /// The server's process.
    pub pid: u32,
    /// Its mode.
    pub mode: Mode,
    /// Where it listens.
    pub listeners: Vec<String>,
}

/// A line of a client.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Live sessions.
    List(Choice),
    /// Everything about one.
    Show {
        /// Its number.
        session: u64,
    },
    /// Sessions that ended.
    Closed {
        /// This one alone.
        session: Option<u64>,
        /// At most so many, the newest.
        last: Option<usize>,
    },
    /// Totals.
    Stats,
    /// End sessions.
    Cut {
        /// Their numbers.
        sessions: Vec<u64>,
        /// By FIN after what is under way, and not by RST.
        #[serde(default)]
        fin: bool,
    },
    /// Show the bytes of a session as they flow.
    Tap {
        /// Its number.
        session: u64,
        /// Whose bytes; none: both sides'.
        from: Option<Side>,
        /// Show only the first bytes of each piece; none: all.
        limit: Option<usize>,
    },
    /// Accept no more connections.
    Pause,
    /// Accept again.
    Resume,
    /// As SIGTERM.
    Drain,
    /// Change a limit; sessions to come follow it.
    Set {
        /// The option's name without its dashes.
        setting: String,
        /// The number of sessions, or milliseconds; null for off, which nobody is to ask for by leaving it out.
        #[serde(deserialize_with = "Option::deserialize")]
        value: Option<u64>,
    },
}

/// Which live sessions, and in what order. Whoever shows a page of many asks for that page alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Choice {
    /// The order.
    pub sort: Sort,
    /// The same from its end.
    pub reverse: bool,
    /// Only clients of these addresses.
    pub from: Option<Network>,
    /// Only sessions with this text in their number, an address or the phase; empty: all.
    pub matching: String,
    /// Leave out so many at the begin.
    pub skip: usize,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A line of an answer before the last.
#[derive(Serialize)]
pub struct Item<T> {
    /// What was asked for.
    pub item: T,
}

/// The last line of an answer.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Last {
    /// It is complete.
    Done {
        /// Always true.
        ok: bool,
        /// Of a list: how many sessions there are to choose from.
        #[serde(skip_serializing_if = "Option::is_none")]
        matching: Option<usize>,
    },
    /// The request was not followed.
    Failed {
        /// Why, as a sentence.
        error: String,
    },
}

impl Last {
    /// The request was followed.
    pub const OK: Last = Last::Done { ok: true, matching: None };
}

/// A live session, as `list` tells it.
#[derive(Serialize)]
pub struct Session {
    /// Its number.
    pub session: u64,
    /// What it does.
    pub mode: Mode,
    /// Where the client connected to.
    pub listener: String,
    /// The client's address.
    pub client: String,
    /// The upstream's address, where it was reached.
    pub upstream: Option<String>,
    /// `dialling`, `open`, `client-closed`, `upstream-closed`, `draining`.
    pub phase: &'static str,
    /// Since its begin.
    pub age_ms: u64,
    /// Since the last byte or end moved.
    pub idle_ms: u64,
    /// Bytes from the client.
    pub client_bytes: u64,
    /// Bytes from the upstream; in echo mode, sent back.
    pub upstream_bytes: u64,
    /// Bytes a second from the client.
    pub client_rate: u64,
    /// Bytes a second from the upstream; in echo mode, sent back.
    pub upstream_rate: u64,
    /// Bytes from the client that are here and not delivered.
    pub client_waiting: u64,
    /// The same from the upstream.
    pub upstream_waiting: u64,
}

/// A live session, as `show` tells it.
#[derive(Serialize)]
pub struct Detail {
    /// What `list` tells.
    #[serde(flatten)]
    pub session: Session,
    /// Our address towards the client.
    pub local: String,
    /// Our address towards the upstream.
    pub upstream_local: Option<String>,
    /// How long the upstream's name took to resolve.
    pub resolve_ms: Option<f64>,
    /// How long connecting took.
    pub connect_ms: Option<f64>,
    /// How long after the begin the first byte from the upstream came.
    pub first_byte_ms: Option<f64>,
    /// Whose stream ended first.
    pub first_closer: Option<Side>,
    /// Taps that watch it.
    pub taps: usize,
    /// The kernel's view of the client's connection; none of a UNIX socket.
    pub client_tcp: Option<TcpInfo>,
    /// The same of the upstream's.
    pub upstream_tcp: Option<TcpInfo>,
}

/// What `stats` tells.
#[derive(Serialize)]
pub struct Stats {
    /// Since the start of the server.
    pub uptime_ms: u64,
    /// Live sessions.
    pub live: u64,
    /// The limit of sessions at once.
    pub max_sessions: usize,
    /// No connections are accepted, because an operator said so.
    pub paused: bool,
    /// A drain has begun.
    pub draining: bool,
    /// Sessions that began.
    pub opened: u64,
    /// Sessions that ended.
    pub ended: u64,
    /// The same by cause; causes that did not occur are left out.
    pub causes: BTreeMap<&'static str, u64>,
    /// Bytes from clients.
    pub client_bytes: u64,
    /// Bytes from upstreams; in echo and origin mode, sent back.
    pub upstream_bytes: u64,
}

/// The order of a list: the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By number: the oldest first.
    #[default]
    Age,
    /// By bytes both ways.
    Bytes,
    /// By bytes a second both ways.
    Rate,
    /// By how long nothing moved.
    Idle,
}
