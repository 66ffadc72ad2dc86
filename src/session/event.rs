//! What sessions say. One event is one line of the log.

use crate::{
    net::address::Address,
    runtime::mailbox,
    session::{
        cause::Cause,
        faults::{
            fault::{FaultPlan, FaultStream},
            kind::FaultKind,
        },
        group::{Change, Group, Server},
        introduction::Introduced,
        onlookers::Onlookers,
        record::Selection,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

/// What a session does with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Sends them back (RFC 862).
    Echo,
    /// Relays them to an upstream and back.
    Proxy,
    /// Answers them as a small HTTP server.
    Origin,
}

impl Mode {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One of the two peers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The peer that connected to us.
    Client,
    /// The peer that we connected to; in echo and origin mode, this program itself.
    Upstream,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Upstream => "upstream",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: SystemTime,
    pub what: What,
}

/// Where sessions say what happens. Cheap to clone; it never waits.
#[derive(Clone)]
pub struct Events {
    to: Option<mailbox::Sender<Event>>,
    dropped: Arc<AtomicU64>,
    onlookers: Arc<Onlookers>,
}

impl Events {
    /// Events for this mailbox; without one only for those who look on. `dropped` counts those that it did not take.
    pub fn new(to: Option<mailbox::Sender<Event>>, dropped: Arc<AtomicU64>) -> Self {
        Events { to, dropped, onlookers: Arc::default() }
    }

    pub fn tell(&self, what: What) {
        let event = Event { at: SystemTime::now(), what };
        self.onlookers.tell(&event);
        if let Some(to) = &self.to
            && to.try_send(event).is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Tells an event that is made only if events are wanted.
    pub fn tell_with(&self, what: impl FnOnce() -> What) {
        if self.to.is_some() || self.onlookers.follow() {
            self.tell(what());
        }
    }

    /// Operators who look on.
    pub fn onlookers(&self) -> &Arc<Onlookers> {
        &self.onlookers
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

#[derive(Clone, Debug)]
pub enum What {
    /// A session began.
    Open {
        /// The session's number, unique in this process.
        session: u64,
        mode: Mode,
        listener: Address,
        client: Address,
        /// The listener's, where a file gives one.
        name: Option<Arc<str>>,
        /// The address that a PROXY header names.
        source: Option<Address>,
    },
    /// A session's upstream was reached.
    Connect {
        session: u64,
        upstream: Address,
        /// The upstream as configured.
        upstream_name: Arc<str>,
        /// How long the name took to resolve; none if there was no name.
        resolve: Option<Duration>,
        connect: Duration,
        /// None if there was no choice.
        choice: Option<Box<Selection>>,
        introduced: Option<Box<Introduced>>,
    },
    /// Bytes were received, with `--dump`.
    Data {
        session: u64,
        from: Side,
        /// How many bytes that side had sent before them.
        offset: u64,
        bytes: usize,
        /// The bytes, or their first `--dump-limit`.
        shown: Box<[u8]>,
    },
    /// A session ended.
    Close(Box<Close>),
    /// The state of a server of a group changed.
    Server { group: String, server: String, change: Change },
    /// A fault did something, or something was done about it.
    Fault(Box<FaultEvent>),
    /// A step of a scenario was done; its number, from 1.
    Step {
        step: usize,
        /// The listener's name; none: of all.
        listener: Option<String>,
        did: String,
        error: Option<String>,
    },
    /// A plan was applied or refused: what it changed, or what is wrong with it.
    Config { applied: bool, lines: Vec<String> },
    /// Lines could not be written.
    Dropped { lines: u64 },
}

impl What {
    pub fn server(group: &Group, server: &Server, change: Change) -> Self {
        What::Server { group: group.name.clone(), server: server.address(), change }
    }

    /// As [`FaultEvent`] has it.
    pub fn fault(session: Option<u64>, listener: String, plan: &FaultPlan, did: &'static str) -> Self {
        let (fault, kind, stream) = (plan.name.clone(), plan.kind, plan.stream);
        What::Fault(Box::new(FaultEvent { session, listener, fault, kind, stream, did }))
    }
}

#[derive(Clone, Debug)]
pub struct FaultEvent {
    /// The session that it hit; none if it is about the fault alone.
    pub session: Option<u64>,
    /// The listener's name.
    pub listener: String,
    /// Its name.
    pub fault: String,
    pub kind: FaultKind,
    pub stream: FaultStream,
    /// `hit`, `added`, `updated`, `removed` or `expired`.
    pub did: &'static str,
}

#[derive(Clone, Debug)]
pub struct Close {
    pub session: u64,
    pub mode: Mode,
    pub client: Address,
    pub upstream: Option<Address>,
    pub cause: Cause,
    pub first_closer: Option<Side>,
    pub client_bytes: u64,
    /// Bytes received from the upstream; in echo and origin mode, bytes sent back.
    pub upstream_bytes: u64,
    pub duration: Duration,
    pub resolve: Option<Duration>,
    pub connect: Option<Duration>,
    /// How long after its begin the session got the first byte from the upstream.
    pub first_byte: Option<Duration>,
    pub error: Option<String>,
    /// The name of the fault that ended it, if one did.
    pub fault: Option<Box<str>>,
    pub choice: Option<Box<Selection>>,
    pub introduced: Option<Box<Introduced>>,
}
