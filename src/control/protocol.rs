//! What crosses a control socket, one JSON object a line. The server writes and its clients read the same types.
//!
//! A client may be older or newer than its server: it ignores keys that it does not know, takes a default for those that
//! are missing, and shows a name that it does not know as it came ([`Named`]). Every text is a [`SafeText`].

use crate::{
    control::toxic,
    net::{address::EscapedAddress, kernel::TcpInfo, network::Network, tls::facts::TlsFacts},
    report::{tally::Handshakes, verdict::Ended},
    session::{
        cause::Cause,
        event::{Mode, Side},
        faults::fault::Fault,
        health::Health,
        introduction::Introduced,
        mark::MarkKind,
        record::Selection,
    },
    text::{hex::HexBytes, moment::Moment, safe::SafeText, units::milliseconds},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, IntoDeserializer, value},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Of the protocol; it changes when a client of before would misread an answer.
pub const VERSION: u32 = 1;

/// A name out of a fixed set, or one that only the other program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Named<T> {
    Known(T),
    Other(SafeText),
}

impl<T: DeserializeOwned> Named<T> {
    /// The name as it is written on the wire.
    pub fn of(name: &str) -> Self {
        let known: Result<T, value::Error> = T::deserialize(name.into_deserializer());
        known.map_or_else(|_| Named::Other(name.into()), Named::Known)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Named::of(&name))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named::Other(SafeText::default())
    }
}

impl<T: Serialize> fmt::Display for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Named::Known(name) => name.serialize(f),
            Named::Other(name) => name.fmt(f),
        }
    }
}

/// The first line of a server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Greeting {
    pub switchboard: u32,
    #[serde(default)]
    pub version: SafeText,
    #[serde(default)]
    pub pid: u32,
    #[serde(default)]
    pub mode: Named<Mode>,
    #[serde(default)]
    pub listeners: Vec<SafeText>,
    /// The name of each of them; on the command line its address.
    #[serde(default)]
    pub names: Vec<SafeText>,
}

impl Greeting {
    /// Whether a user means this server by `text`: its pid, a name or an address of a listener, or a port.
    pub fn is_meant(&self, text: &str) -> bool {
        let port = if text.starts_with(':') { text.to_owned() } else { format!(":{text}") };
        let has_port = |address: &SafeText| address.as_str().ends_with(&port);
        self.pid.to_string() == text
            || self.names.iter().any(|name| name.as_str() == text)
            || self.listeners.iter().any(|address| address.as_str() == text || has_port(address))
    }

    /// What it is best known by: the name of its first listener, or the port of that, or the pid.
    pub fn short_name(&self) -> String {
        let first = self.listeners.first().map(SafeText::as_str);
        match (self.names.first(), first) {
            (Some(name), first) if first.is_none_or(|address| name.as_str() != address) => name.to_string(),
            (_, Some(address)) if !address.contains('/') => {
                let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
                format!(":{port}")
            }
            _ => self.pid.to_string(),
        }
    }

    /// The mode, and where it listens.
    pub fn about(&self) -> String {
        let listeners: Vec<_> = self.listeners.iter().map(SafeText::as_str).collect();
        format!("{} on {}", self.mode, listeners.join(", "))
    }
}

/// A line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    List(Choice),
    Show {
        session: u64,
    },
    Closed {
        /// This one alone.
        session: Option<u64>,
        /// The newest of them, at most this many.
        last: Option<usize>,
    },
    Stats {
        /// With what the last two minutes were like.
        #[serde(default)]
        history: bool,
    },
    /// What can be changed, as it is; one setting, or all.
    Get {
        #[serde(default)]
        setting: Option<Named<Setting>>,
    },
    Cut {
        #[serde(default)]
        sessions: Vec<u64>,
        /// All sessions of this listener.
        #[serde(default)]
        listener: Option<String>,
        /// By FIN after what is under way, and not by RST.
        #[serde(default)]
        fin: bool,
    },
    /// Show the bytes of sessions as they flow.
    Tap(TapChoice),
    /// Tell what sessions say, from now on.
    Events,
    /// Accept no more connections.
    Pause,
    Resume,
    /// As SIGTERM.
    Drain,
    /// Whether it takes connections.
    Ready,
    /// Read the file again and put it in force.
    Reload,
    /// What a reload would change.
    Diff {
        /// Another file than the server's own; an absolute path.
        #[serde(default)]
        file: Option<String>,
    },
    /// What would become of a connection: `listener=web from=192.0.2.7 sni=a.test alpn=h2`.
    Explain {
        question: String,
    },
    /// The servers of upstreams, and how each stands; or what an operator says of one.
    Server {
        /// Those of this upstream; none: of all.
        #[serde(default)]
        upstream: Option<String>,
        #[serde(default)]
        address: Option<String>,
        /// Sets it; none: tells it.
        #[serde(default)]
        state: Option<Named<AdminOrder>>,
    },
    /// The faults of a listener, or of all, and what each has done.
    FaultList {
        #[serde(default)]
        listener: Option<String>,
    },
    /// Adds a fault, which is as a toxic (`crate::control::toxic`).
    FaultAdd {
        /// None: that of the sessions that the fault names, or else the only one.
        #[serde(default)]
        listener: Option<String>,
        fault: Map<String, Value>,
    },
    /// Changes attributes of a fault, its toxicity, or both.
    FaultUpdate {
        listener: String,
        name: String,
        fault: Map<String, Value>,
    },
    FaultRemove {
        /// None: of all listeners.
        #[serde(default)]
        listener: Option<String>,
        #[serde(default)]
        name: Option<String>,
        /// In place of a name.
        #[serde(default)]
        all: bool,
    },
    /// Change a limit; sessions to come follow it.
    Set {
        setting: Named<Setting>,
        /// The number of sessions, or milliseconds. Off is an explicit null: a request that lacks the key is refused.
        #[serde(deserialize_with = "Option::deserialize")]
        value: Option<u64>,
    },
}

/// What an operator says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum AdminOrder {
    /// It takes no new sessions.
    Drain,
    /// It is as well as its checks say.
    Ready,
    /// It is under maintenance: it takes no new sessions, and is expected not to answer.
    Down,
}

/// How a reload went, or what it would change, or what became of a question: in lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PlanAnswer {
    pub ok: bool,
    /// What changes; or, if it is not ok, what is wrong.
    pub lines: Vec<SafeText>,
}

/// Whether a server takes connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ReadyAnswer {
    pub ready: bool,
    /// `accepting`, `paused` or `draining`.
    pub state: SafeText,
}

/// A server of an upstream, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct GroupServer {
    pub upstream: SafeText,
    pub server: SafeText,
    /// `up`, `down`, `ejected`, `draining`, `maintenance` or `leaving`.
    pub state: SafeText,
    /// How long it is down, or how long it stays ejected.
    pub for_ms: Option<u64>,
    /// Why it is down or ejected.
    pub why: Option<SafeText>,
    /// Sessions that it has.
    pub live: u64,
    /// Sessions that it ever had.
    pub sessions: u64,
    pub weight: u32,
    pub backup: bool,
}

/// A fault of a listener, and what it has done.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListedFault {
    pub listener: SafeText,
    pub stats: FaultStats,
    /// What it is: [`crate::control::toxic`] reads it.
    #[serde(flatten)]
    pub toxic: Map<String, Value>,
    /// What its draws follow from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a fault has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct FaultStats {
    /// Sessions that met it.
    pub seen: u64,
    /// Of these, those that it hit.
    pub hit: u64,
    pub passed_bytes: u64,
    /// Bytes that wait before it now.
    pub held_bytes: u64,
    pub swallowed_bytes: u64,
    /// Runs of bytes that passed.
    pub passed_runs: u64,
    /// The time that these waited, summed up.
    pub delayed_us: u64,
    pub resets: u64,
    pub cuts: u64,
}

impl ListedFault {
    /// A fault of a listener of this name, as it is now.
    pub fn of(listener: &str, fault: &Fault, seed: Option<u64>) -> Self {
        let mut listed: ListedFault =
            serde_json::from_value(toxic::encode_with_stats(fault)).unwrap_or_default();
        listed.listener = SafeText::from(listener);
        listed.seed = seed;
        listed
    }

    /// Its name, as it was given.
    pub fn name(&self) -> &str {
        self.toxic.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

impl FaultStats {
    /// How long a run of bytes waits, on the average.
    pub fn mean_delay(&self) -> Duration {
        Duration::from_micros(self.delayed_us / self.passed_runs.max(1))
    }
}

/// Which sessions are tapped, and what is shown of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TapChoice {
    pub session: Option<u64>,
    /// The side whose bytes are shown; none: both.
    pub from: Option<Side>,
    /// How many bytes of each piece are shown; none: all.
    pub limit: Option<usize>,
    /// More sessions.
    pub sessions: Vec<u64>,
    /// The next session that begins.
    pub next: bool,
    /// Every session that is there, and every one that comes.
    pub all: bool,
    /// Of those to come and of all, only the sessions of these clients.
    pub clients: Option<Network>,
    /// With what happens beside the bytes: dial, first byte, FIN and RST of each side.
    pub marks: bool,
}

impl TapChoice {
    /// The sessions that are named.
    pub fn named(&self) -> Vec<u64> {
        let mut named: Vec<u64> = self.session.iter().chain(&self.sessions).copied().collect();
        named.sort_unstable();
        named.dedup();
        named
    }
}

/// What an operator may change in a running server: options of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, strum::VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    MaxSessions,
    ConnectTimeout,
    HandshakeTimeout,
    IdleTimeout,
    HalfCloseTimeout,
    StallTimeout,
    MaxLifetime,
    DrainTimeout,
}

/// Which live sessions, and in what order. A client that shows a page of many asks for that page alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Choice {
    pub sort: Sort,
    /// The same order from its end.
    pub reverse: bool,
    /// Only clients of these addresses.
    pub from: Option<Network>,
    /// Only sessions with this text in their number, an address or the phase; empty: all.
    pub matching: String,
    /// How many to leave out at the begin.
    pub skip: usize,
    pub limit: Option<usize>,
    /// Only sessions that do so; empty: all.
    pub health: Vec<Named<Health>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By number: the oldest first.
    #[default]
    Age,
    Bytes,
    Rate,
    /// By how long nothing moved.
    Idle,
    /// What is not well first; equal ones by number, so that a list that is looked at often does not move.
    Problems,
    Client,
    Upstream,
    ClientRate,
    UpstreamRate,
    /// By the bytes that wait for a side.
    Waiting,
    ClientBytes,
    UpstreamBytes,
    Phase,
    /// By the listener's name.
    Name,
}

/// What an operator may change, and its value now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SettingValue {
    pub setting: Named<Setting>,
    /// The number of sessions, or milliseconds; null is off.
    pub value: Option<u64>,
}

/// A line of an answer: its items, then one of the two others, which is the last.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Line<T> {
    Failed {
        error: SafeText,
    },
    Item {
        item: T,
    },
    Done {
        ok: bool,
        /// Of a list: how many sessions there are to choose from.
        #[serde(skip_serializing_if = "Option::is_none")]
        matching: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Opening,
    Dialling,
    Open,
    ClientClosed,
    UpstreamClosed,
    /// Both streams have ended, or the server drains: what is left is delivered.
    Draining,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListedSession {
    pub session: u64,
    pub mode: Named<Mode>,
    /// Where the client connected to.
    pub listener: SafeText,
    pub client: SafeText,
    /// None before it was reached.
    pub upstream: Option<SafeText>,
    pub phase: Named<Phase>,
    pub age_ms: u64,
    /// Since the last byte or end moved.
    pub idle_ms: u64,
    pub client_bytes: u64,
    /// Bytes from the upstream; in echo mode, sent back.
    pub upstream_bytes: u64,
    pub client_rate: u64,
    /// Bytes a second from the upstream; in echo mode, sent back.
    pub upstream_rate: u64,
    /// Bytes from the client that are here and not delivered.
    pub client_waiting: u64,
    pub upstream_waiting: u64,
    /// The listener's name; on the command line its address.
    pub name: SafeText,
    pub health: Named<Health>,
    /// Bytes from the client that the upstream's kernel had not acknowledged when it was last asked; while bytes flow it is
    /// not asked.
    pub client_queued: u64,
    /// The same towards the client.
    pub upstream_queued: u64,
    /// The address that a PROXY header names; `client` stays the peer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SafeText>,
    /// The names of the faults that hit it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<SafeText>,
}

impl ListedSession {
    /// Who the client is: the address that its PROXY header names, else its own.
    pub fn source(&self) -> &SafeText {
        self.source.as_ref().unwrap_or(&self.client)
    }

    /// All bytes on their way to a side, here and in the kernel.
    pub fn waiting(&self) -> u64 {
        let here = self.client_waiting.saturating_add(self.upstream_waiting);
        here.saturating_add(self.client_queued).saturating_add(self.upstream_queued)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SessionDetail {
    #[serde(flatten)]
    pub listed: ListedSession,
    /// Our address towards the client.
    pub local: SafeText,
    /// Our address towards the upstream.
    pub upstream_local: Option<SafeText>,
    pub resolve_ms: Option<f64>,
    pub connect_ms: Option<f64>,
    /// From the begin to the upstream's first byte.
    pub first_byte_ms: Option<f64>,
    pub first_closer: Option<Side>,
    pub taps: usize,
    /// The kernel's view of the client's connection; none of a UNIX socket.
    pub client_tcp: Option<TcpInfo>,
    /// The same of the upstream's.
    pub upstream_tcp: Option<TcpInfo>,
    /// Which way it went; empty if there was no choice.
    #[serde(flatten)]
    pub choice: Selection,
    /// The server name in the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<SafeText>,
    /// The protocols that the ClientHello offers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<SafeText>,
    /// Whether the ClientHello has an encrypted one in it, or GREASE that looks the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ech: bool,
    /// What was agreed on with the client, if TLS ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<TlsFacts>,
    /// The same with the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_tls: Option<TlsFacts>,
    /// Whether bulk crosses without being copied; if not, `splice_off` says why not.
    pub spliced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splice_off: Option<SafeText>,
    /// The faults that it has met, and what they hold.
    #[serde(flatten)]
    pub met: Option<MetFaults>,
}

/// The faults that a session has met.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct MetFaults {
    pub met_faults: Vec<MetFault>,
    /// Bytes from the client that wait before them.
    #[serde(default)]
    pub client_held: u64,
    #[serde(default)]
    pub upstream_held: u64,
    /// The memory that those of one direction may take.
    #[serde(default)]
    pub held_max: u64,
}

/// A fault, as one session met it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct MetFault {
    pub name: SafeText,
    #[serde(rename = "type")]
    pub kind: SafeText,
    pub stream: SafeText,
    /// The values, with their units.
    pub values: SafeText,
    /// Whether it hits the session.
    pub hit: bool,
    /// Whether its schedule has it act now.
    pub acts: bool,
}

/// A session that ended, as `closed` tells it: its close event, what was not delivered, and what that means.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EndedSession {
    pub ts: Moment,
    event: CloseEvent,
    pub session: u64,
    pub mode: Named<Mode>,
    pub client: SafeText,
    pub upstream: Option<SafeText>,
    pub cause: Named<Cause>,
    pub first_closer: Option<Side>,
    pub client_bytes: u64,
    pub upstream_bytes: u64,
    pub duration_ms: f64,
    pub resolve_ms: Option<f64>,
    pub connect_ms: Option<f64>,
    pub first_byte_ms: Option<f64>,
    pub error: Option<SafeText>,
    /// Which way it went; empty if there was no choice.
    #[serde(flatten)]
    pub choice: Selection,
    /// What its client said before its stream; empty if it was not asked.
    #[serde(flatten)]
    pub introduced: Introduced,
    /// Bytes from the client that the upstream's kernel did not take; if the upstream reset, at least this many.
    pub client_undelivered: u64,
    pub upstream_undelivered: u64,
    pub verdict: SafeText,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum CloseEvent {
    #[default]
    Close,
}

impl From<&Ended> for EndedSession {
    fn from(ended: &Ended) -> Self {
        let close = &ended.close;
        EndedSession {
            ts: Moment(ended.at),
            event: CloseEvent::Close,
            session: close.session,
            mode: Named::Known(close.mode),
            client: SafeText::escaped(EscapedAddress(&close.client)),
            upstream: close.upstream.as_ref().map(|address| SafeText::escaped(EscapedAddress(address))),
            cause: Named::Known(close.cause),
            first_closer: close.first_closer,
            client_bytes: close.client_bytes,
            upstream_bytes: close.upstream_bytes,
            duration_ms: milliseconds(close.duration),
            resolve_ms: close.resolve.map(milliseconds),
            connect_ms: close.connect.map(milliseconds),
            first_byte_ms: close.first_byte.map(milliseconds),
            error: close.error.as_deref().map(SafeText::literal),
            choice: close.choice.as_deref().cloned().unwrap_or_default(),
            introduced: close.introduced.as_deref().cloned().unwrap_or_default(),
            client_undelivered: ended.client_undelivered,
            upstream_undelivered: ended.upstream_undelivered,
            verdict: SafeText::escaped(ended.verdict()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerStats {
    pub uptime_ms: u64,
    pub live: u64,
    pub max_sessions: usize,
    /// An operator has stopped it from accepting connections.
    pub paused: bool,
    pub draining: bool,
    pub opened: u64,
    pub ended: u64,
    /// Ended sessions by the name of their cause; causes that did not occur are left out.
    pub causes: BTreeMap<SafeText, u64>,
    pub client_bytes: u64,
    pub upstream_bytes: u64,
    /// Ended sessions that neither ended as both sides wished nor at an operator's word.
    pub failed: u64,
    /// Live sessions by how they do; what none does is left out.
    pub health: BTreeMap<SafeText, u64>,
    pub client_rate: u64,
    pub upstream_rate: u64,
    /// None before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_handshakes: Option<Handshakes>,
    /// The last two minutes, the newest last, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastSecond>,
}

impl ServerStats {
    /// How many live sessions do so.
    pub fn doing(&self, health: Health) -> u64 {
        self.health.get(&SafeText::from(health.name())).copied().unwrap_or(0)
    }
}

/// A second of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PastSecond {
    pub live: u64,
    pub client_rate: u64,
    pub upstream_rate: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum TapItem {
    /// The tap is on; the number is the session's.
    Attached { attached: u64 },
    /// A piece of a stream.
    Data {
        ts: Moment,
        from: Side,
        /// How many bytes this side had sent before.
        offset: u64,
        bytes: u64,
        /// The piece, or its begin.
        hex: HexBytes,
        #[serde(default)]
        session: u64,
    },
    /// What happened beside the bytes.
    Mark {
        mark: Named<MarkKind>,
        ts: Moment,
        from: Option<Side>,
        /// Since the session began.
        after_us: u64,
        about: Option<SafeText>,
        #[serde(default)]
        session: u64,
    },
    /// Pieces that the client was too slow for since the last such item.
    Lost {
        lost: u64,
        #[serde(default)]
        session: u64,
    },
    /// How the session ended.
    Ended {
        ended: SafeText,
        #[serde(default)]
        session: u64,
    },
    /// Sessions that could not be tapped: too many, or with too many taps.
    Missed { missed: u64 },
    /// What only a newer server tells.
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, json, to_string};

    #[test]
    fn a_request_names_what_it_wants_and_no_more() {
        assert_eq!(from_str::<Choice>("{}").unwrap(), Choice::default());
        let choice: Choice = from_str(r#"{"sort":"idle","from":"10.0.0.0/8","skip":5,"limit":2}"#).unwrap();
        assert_eq!((choice.sort, choice.skip, choice.limit), (Sort::Idle, 5, Some(2)));
        assert_eq!(from_str::<Choice>(&to_string(&choice).unwrap()).unwrap(), choice);
        let error = from_str::<Choice>(r#"{"from":"10.0.0.0/33"}"#).unwrap_err();
        assert!(error.to_string().contains("from 0 to 32"), "{error}");
    }

    #[test]
    fn a_session_is_read_as_it_was_written_with_its_keys_in_order() {
        let mut detail = SessionDetail { connect_ms: Some(11.04), ..SessionDetail::default() };
        detail.listed.phase = Named::Known(Phase::ClientClosed);
        let text = to_string(&detail).unwrap();
        assert!(text.starts_with(r#"{"session":0,"mode":"-","listener":"-","client":"-","upstream":null,"#));
        assert!(
            text.contains(r#""phase":"client-closed","age_ms":0,"#)
                && text.contains(r#""upstream_waiting":0,"name":"-","health":"-","client_queued":0,"#)
        );
        assert_eq!(from_str::<SessionDetail>(&text).unwrap(), detail);
        let ended = to_string(&EndedSession::default()).unwrap();
        assert!(
            ended.starts_with(r#"{"ts":"1970-01-01T00:00:00.000000Z","event":"close","session":0,"#),
            "{ended}"
        );
        assert_eq!(from_str::<EndedSession>(&ended).unwrap(), EndedSession::default());
    }

    #[test]
    fn a_client_understands_older_and_newer_servers() {
        let session: ListedSession =
            from_str(r#"{"session":7,"phase":"hel\u001bd","mode":"echo","colour":1}"#).unwrap();
        assert_eq!((session.session, session.mode), (7, Named::Known(Mode::Echo)));
        assert_eq!(session.phase.to_string(), r"hel\x1bd");
        assert!(matches!(from_str::<TapItem>(r#"{"message":"GET /"}"#).unwrap(), TapItem::Other(_)));
        let greeting: Greeting = from_str(r#"{"switchboard":1}"#).unwrap();
        assert_eq!(greeting.mode.to_string(), "-");
    }

    #[test]
    fn the_last_line_of_an_answer_is_told_from_its_items() {
        let done = |matching| to_string(&Line::<()>::Done { ok: true, matching }).unwrap();
        assert_eq!([done(None), done(Some(3))], [r#"{"ok":true}"#, r#"{"ok":true,"matching":3}"#]);
        assert!(matches!(
            from_str(&done(Some(3))).unwrap(),
            Line::<ListedSession>::Done { matching: Some(3), .. }
        ));
        let piece = json!({"ts": "2026-11-21T20:26:21.123456Z", "from": "client", "offset": 5, "bytes": 9, "hex": "00ff", "session": 2});
        let item: Line<TapItem> = serde_json::from_value(json!({"item": piece})).unwrap();
        assert_eq!(to_string(&item).unwrap().len(), json!({"item": piece}).to_string().len());
        assert!(
            matches!(item, Line::Item { item: TapItem::Data { hex: HexBytes(bytes), .. } } if bytes == [0, 0xff])
        );
    }
}
