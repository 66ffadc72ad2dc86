//! The settings of `switchboard load`: its target, its messages, its pace and its length.

use crate::{
    net::{dial::Override, proxy_header::ProxyVersion},
    tools::{client::settings::Target, findings::Form, load::condition::Condition, tls::TargetTls},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Enough to keep a server busy, and few enough for any.
pub const CONNECTIONS: usize = 10;
/// Long enough for a median that another run repeats.
pub const DURATION: Duration = Duration::from_secs(10);
/// One small message, well within a segment.
pub const SIZE_BYTES: u64 = 64;
/// A piece of a bulk stream: large beside what a call moves, small beside what a second moves.
pub const BULK_SIZE_BYTES: u64 = 1024 * 1024;
/// A server that has not answered by then will not: users of a load look at milliseconds.
pub const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// A `tcp://` target may be a UNIX socket.
    pub target: Target,
    /// Of a target that speaks it.
    pub tls: Option<TargetTls>,
    /// Send a PROXY header first on each connection.
    pub send_proxy: Option<ProxyVersion>,
    pub mode: Mode,
    /// How a target of HTTP is asked.
    pub http: Http,
    /// What any other target is sent.
    pub message: Message,
    pub expect: Expect,
    /// End our stream after a connection's last request, and wait for the end of the peer's.
    pub half_close: bool,
    /// Connections at once; none: as many as the descriptor limit allows.
    pub connections: Option<usize>,
    pub threads: usize,
    /// How long operations count; none: until their number is reached, or Ctrl-C.
    pub duration: Option<Duration>,
    /// How many operations count; none: as many as there is time for.
    pub requests: Option<u64>,
    /// Operations a second by a schedule; none: each as soon as the one before it has ended.
    pub rate: Option<usize>,
    pub connect_rate: Option<usize>,
    /// How long the load runs before operations count.
    pub warm_up: Duration,
    /// The longest that an operation may take.
    pub timeout: Option<Duration>,
    pub json: bool,
    pub html: Option<PathBuf>,
    pub report: Vec<Form>,
    /// Each makes a run fail if it holds.
    pub fail_if: Vec<Condition>,
    /// The JSON report of an older run.
    pub compare: Option<PathBuf>,
    /// Addresses to use instead of the resolver's.
    pub overrides: Arc<[Override]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// Request, answer, again and again.
    #[default]
    Pingpong,
    /// A stream without pauses, each way.
    Bulk,
    /// One request, then it ends.
    Churn,
}

impl Mode {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A request's parts that a user may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// None: GET, or POST with a body.
    pub method: Option<String>,
    /// `Name: value`, each in place of ours of that name.
    pub fields: Vec<String>,
    pub body: Option<Body>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Http {
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or(if self.body.is_some() { "POST" } else { "GET" })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// This many bytes, which no other connection and no other place has.
    Pattern(u64),
    Text(Vec<u8>),
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    #[default]
    Echo,
    /// This many bytes of anything.
    Bytes(u64),
    /// Anything, until the peer ends its stream.
    UntilClose,
}
