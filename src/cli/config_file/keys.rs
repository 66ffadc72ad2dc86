//! The keys of a file: which tables it has, which keys each of them, and what a key takes. The reader, the schema and the
//! test of the documentation use this one list. Options of the command line are taken from the parser's declarations.

use crate::{
    cli::{
        commands,
        config_file::form::{KeyForm, Value},
    },
    session::faults::kind::MILLISECONDS_MAX,
};
use argh::{FlagInfo, FlagInfoKind, Optionality};

/// The largest whole number of a file (TOML 1.1, Integer).
const WHOLE_MAX: u64 = i64::MAX.unsigned_abs();

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Top,
    Defaults,
    Listener,
    Route,
    Fault,
    Upstream,
    Server,
    Check,
    Eject,
    UpstreamTls,
    Tls,
    Certificate,
}

/// What the file may say in a table.
pub struct Key {
    pub name: &'static str,
    pub form: KeyForm,
    pub about: &'static str,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Top,
        Kind::Defaults,
        Kind::Listener,
        Kind::Route,
        Kind::Fault,
        Kind::Upstream,
        Kind::Server,
        Kind::Check,
        Kind::Eject,
        Kind::UpstreamTls,
        Kind::Tls,
        Kind::Certificate,
    ];

    /// As a person names it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Top => "the top of the file",
            Kind::Defaults => "[defaults]",
            Kind::Listener => "[listener.NAME]",
            Kind::Route => "[[listener.NAME.route]]",
            Kind::Fault => "[[listener.NAME.fault]]",
            Kind::Upstream => "[upstream.NAME]",
            Kind::Server => "a server of an upstream",
            Kind::Check => "check of an upstream",
            Kind::Eject => "eject of an upstream",
            Kind::UpstreamTls => "tls of an upstream",
            Kind::Tls => "[tls.NAME]",
            Kind::Certificate => "certs of [tls.NAME]",
        }
    }

    /// Its own keys; options of the command line are not among them.
    pub fn own(self) -> Vec<Key> {
        match self {
            Kind::Top => [top(), of_proxy()].into_iter().flatten().collect(),
            Kind::Defaults => of_proxy(),
            Kind::Listener => [listener(), of_proxy()].into_iter().flatten().collect(),
            Kind::Route => route(),
            Kind::Fault => fault(),
            Kind::Upstream => upstream(),
            Kind::Server => server(),
            Kind::Check => check(),
            Kind::Eject => eject(),
            Kind::UpstreamTls => upstream_tls(),
            Kind::Tls => tls(),
            Kind::Certificate => certificate(),
        }
    }

    /// Whether options of the command line are keys of it.
    pub fn takes(self, option: &'static str) -> bool {
        match self {
            Kind::Top | Kind::Defaults => true,
            Kind::Listener => !OF_THE_PROGRAM.contains(&option),
            _ => false,
        }
    }
}

/// Options of the whole program: a listener has none of its own.
pub const OF_THE_PROGRAM: [&str; 12] = [
    "threads",
    "control",
    "group",
    "metrics",
    "agent",
    "log",
    "max-sessions",
    "drain-timeout",
    "drain-delay",
    "remember",
    "busy-poll",
    "resolve",
];

fn key(name: &'static str, form: KeyForm, about: &'static str) -> Key {
    Key { name, form, about }
}

fn top() -> Vec<Key> {
    vec![
        key("defaults", KeyForm::Table(Kind::Defaults), "options of all listeners"),
        key("listener", KeyForm::Named(Kind::Listener), "the listeners, each by its name"),
        key("upstream", KeyForm::Named(Kind::Upstream), "the upstreams, each by its name"),
        key("tls", KeyForm::Named(Kind::Tls), "what ends TLS, each by its name"),
        key("seed", KeyForm::Number(0..=WHOLE_MAX), "what the draws of faults follow from"),
    ]
}

/// Options of `proxy` for which there are tables, too.
fn of_proxy() -> Vec<Key> {
    vec![
        key("tls-cert", KeyForm::One(Value::File), "ends TLS where no route says it, with this certificate"),
        key("tls-key", KeyForm::One(Value::File), "the key of that certificate, in PEM"),
        key("client-ca", KeyForm::One(Value::File), "the authorities whose certificates clients must have"),
        key("send-proxy", KeyForm::One(Value::SendProxy), "the PROXY header that servers are sent"),
        key("upstream-tls", KeyForm::Truth, "speaks TLS to servers, as tls://ADDR does"),
        key("upstream-ca", KeyForm::One(Value::File), "the authorities of their certificates, in PEM"),
        key("upstream-name", KeyForm::One(Value::HostName), "the name that their certificates must have"),
    ]
}

fn listener() -> Vec<Key> {
    vec![
        key("listen", KeyForm::Many(Value::Listen), "the addresses that it listens on"),
        key("upstream", KeyForm::One(Value::Upstream), "where it leads; after all routes"),
        key("route", KeyForm::Tables(Kind::Route), "the routes: the first that fits a connection"),
        key("mode", KeyForm::One(Value::Mode), "the permissions of its UNIX sockets"),
        key("fault", KeyForm::Tables(Kind::Fault), "what breaks its sessions on purpose"),
    ]
}

fn fault() -> Vec<Key> {
    let count = || KeyForm::Number(0..=WHOLE_MAX);
    let time = || KeyForm::Number(0..=MILLISECONDS_MAX);
    vec![
        key("name", KeyForm::One(Value::FaultName), "its name, by default TYPE_STREAM"),
        key("type", KeyForm::One(Value::FaultKind), "what it does"),
        key("stream", KeyForm::One(Value::FaultStream), "where it acts: towards the upstream, or the client"),
        key("toxicity", KeyForm::Share, "the share of sessions that it hits"),
        key("attributes", KeyForm::Attributes, "how much: whole numbers, by the kind's attributes"),
        key("clients", KeyForm::Many(Value::Network), "networks, of which one has the source"),
        key("sessions", KeyForm::Numbers(1..=WHOLE_MAX), "the numbers of the sessions that it may hit"),
        key("skip", count(), "sessions that are spared first"),
        key("count", count(), "sessions that it hits at most; 0: no limit"),
        key("every", count(), "it hits one of as many; 0: each"),
        key("after_ms", time(), "when it begins to act, in ms after it was made"),
        key("expires_ms", time(), "when it removes itself, in ms after it was made; 0: never"),
        key("on_ms", time(), "how long it acts in each turn, in ms"),
        key("off_ms", time(), "how long it pauses in each turn, in ms"),
    ]
}

fn route() -> Vec<Key> {
    vec![
        key("from", KeyForm::Many(Value::Network), "networks, of which one has the source"),
        key("sni", KeyForm::Many(Value::ServerName), "server names, of which one is the ClientHello's"),
        key("alpn", KeyForm::Many(Value::Protocol), "protocols, of which the ClientHello offers one"),
        key("tls", KeyForm::One(Value::Name), "ends TLS here, as a [tls.NAME] says"),
        key("upstream", KeyForm::One(Value::Upstream), "where it leads"),
        key("refuse", KeyForm::Truth, "whether it refuses, by RST"),
    ]
}

fn upstream() -> Vec<Key> {
    vec![
        key("servers", KeyForm::Servers, "the servers: addresses, or tables"),
        key("discover", KeyForm::One(Value::Discover), "where the servers are learnt"),
        key("refresh", KeyForm::One(Value::Time), "the longest time between two questions"),
        key("resolver", KeyForm::One(Value::Resolver), "the name server to ask"),
        key("balance", KeyForm::One(Value::Balance), "how a server is chosen"),
        key("connect-timeout", KeyForm::One(Value::TimeOrOff), "to resolve and connect, for one server"),
        key("retries", KeyForm::Number(0..=1000), "further servers, before anybody has had a byte"),
        key("check", KeyForm::TableOrTruth(Kind::Check), "how servers are checked"),
        key("eject", KeyForm::TableOrOff(Kind::Eject), "when a server is set aside whose connects fail"),
        key(
            "slow-start",
            KeyForm::One(Value::TimeOrOff),
            "how long a server that recovers takes to its weight",
        ),
        key(
            "on-down",
            KeyForm::One(Value::OnDown),
            "what becomes of the sessions of a server that goes down",
        ),
        key("send-proxy", KeyForm::One(Value::SendProxy), "the version of the PROXY header that it is sent"),
        key("tls", KeyForm::TableOrTruth(Kind::UpstreamTls), "speaks TLS to its servers"),
    ]
}

fn server() -> Vec<Key> {
    vec![
        key("address", KeyForm::One(Value::Address), "where it is"),
        key(
            "weight",
            KeyForm::Number(1..=crate::server::plan::WEIGHT_MAX.into()),
            "its share beside the other weights",
        ),
        key("backup", KeyForm::Truth, "whether it serves only while no other does"),
    ]
}

fn check() -> Vec<Key> {
    vec![
        key("every", KeyForm::One(Value::Time), "from the begin of one check to the begin of the next"),
        key("timeout", KeyForm::One(Value::Time), "of one check, with its connect"),
        key("fall", KeyForm::Number(1..=1000), "failures in a row that take a server down"),
        key("rise", KeyForm::Number(1..=1000), "successes in a row that take it up again"),
        key("send", KeyForm::One(Value::Bytes), "what is sent once connected"),
        key("expect", KeyForm::One(Value::Bytes), "what the first 4 KiB of the answer must hold"),
        key("tls", KeyForm::Truth, "whether it makes a TLS handshake"),
    ]
}

fn eject() -> Vec<Key> {
    vec![
        key("failures", KeyForm::Number(1..=1000), "connects in a row that fail"),
        key("for", KeyForm::One(Value::Time), "how long, the first time; it doubles, up to 5m"),
    ]
}

fn upstream_tls() -> Vec<Key> {
    vec![
        key("ca", KeyForm::One(Value::File), "the authorities that are believed; none: the system's"),
        key("name", KeyForm::One(Value::HostName), "the name that the certificate must have"),
        key("cert", KeyForm::One(Value::File), "the certificate that is shown"),
        key("key", KeyForm::One(Value::File), "its key"),
        key("verify", KeyForm::Truth, "whether the certificate is verified"),
    ]
}

fn tls() -> Vec<Key> {
    vec![
        key("cert", KeyForm::One(Value::File), "the certificate with its chain, in PEM"),
        key("key", KeyForm::One(Value::File), "its key, in PEM"),
        key("certs", KeyForm::Tables(Kind::Certificate), "several, in place of cert and key"),
        key("client-ca", KeyForm::One(Value::File), "the authorities whose certificates clients must have"),
        key("client-cert", KeyForm::One(Value::ClientCert), "whether clients must have one"),
        key("alpn", KeyForm::Many(Value::Protocol), "the protocols that are spoken, the best first"),
    ]
}

fn certificate() -> Vec<Key> {
    vec![
        key("cert", KeyForm::One(Value::File), "a certificate with its chain, in PEM"),
        key("key", KeyForm::One(Value::File), "its key, in PEM"),
    ]
}

/// The options of the command line that may stand in a file.
pub struct FileOptions(Vec<&'static FlagInfo<'static>>);

impl FileOptions {
    pub fn new() -> Self {
        let run = commands::commands().into_iter().find(|command| command.name == "run");
        let flags = run.into_iter().flat_map(|run| run.flags);
        FileOptions(flags.filter(|flag| flag.long != "--help").collect())
    }

    /// Without the dashes.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|flag| name(flag))
    }

    pub fn find(&self, key: &str) -> Option<&'static FlagInfo<'static>> {
        self.0.iter().copied().find(|flag| name(flag) == key)
    }
}

fn name(flag: &FlagInfo<'static>) -> &'static str {
    flag.long.trim_start_matches('-')
}

/// Whether an option may be given several times: in a file it takes a list.
pub fn repeats(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.optionality, Optionality::Repeating)
}

/// What an option takes, as the help says it.
pub fn value_of(flag: &FlagInfo<'static>) -> &'static str {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => arg_name,
        FlagInfoKind::Switch => "",
    }
}
