//! What a server is to do: its listeners, what each leads to, and its limits. Each default is a named constant with its
//! reason.

use crate::{
    control::place::Control,
    error::Error,
    net::{
        dial::{Destination, Override},
        endpoint::Endpoint,
        limits::TooManySessions,
        network::{Access, Network},
        options::{Congestion, Keepalive},
        tls::{
            client::ClientTls,
            server::{ServerTls, ServerTlsFiles},
        },
    },
    report::format::{Dump, Log},
    server::{scenario::Scenario, toxiproxy::NewProxy},
    session::{
        deadline::Deadlines, faults::fault::FaultPlan, group::GroupSettings, route::Condition,
        sources::SourceLimit,
    },
};
use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

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

/// What service supervisors wait before they kill.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a check asks a server, how long it waits, and how many answers change the server's state: HAProxy's defaults.
pub const CHECK_EVERY: Duration = Duration::from_secs(2);
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
pub const CHECK_FALL: u32 = 3;
pub const CHECK_RISE: u32 = 2;

/// How often names are asked again if their answers live longer, and the least: a name server is no load balancer.
pub const REFRESH: Duration = Duration::from_secs(5);
pub const REFRESH_MIN: Duration = Duration::from_secs(1);

/// All that a server is told. Two plans that are equal make the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub listeners: Vec<PlannedListener>,
    /// What routes lead to; each has another name.
    pub upstreams: Vec<PlannedUpstream>,
    /// What ends TLS; each has another name.
    pub tls: Vec<PlannedTls>,
    /// Sessions at once; `None`: from the descriptor limit.
    pub max_sessions: Option<usize>,
    /// Sessions at once from one source, on all listeners together; `None`: no limit.
    pub max_per_source: Option<SourceLimit>,
    /// From the begin of a drain to the cut; `None`: no limit.
    pub drain_timeout: Option<Duration>,
    /// How long a server that is to stop still accepts, and says that it is not ready.
    pub drain_delay: Duration,
    pub log: Log,
    /// What the faults' draws follow from; `None`: a number that cannot be foretold.
    pub seed: Option<u64>,
    /// What is done to its listeners and their faults, and when.
    pub scenario: Option<Scenario>,
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
    /// Where to tell balancers how much this server can take; `None`: nowhere.
    pub agent: Option<Endpoint>,
    /// toxiproxy's API, by which listeners come and go; `None`: there is none.
    pub api: Option<PlannedApi>,
}

impl Plan {
    /// How many shards it wants.
    pub fn shards(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// The addresses that are listened on.
    pub fn endpoints(&self) -> usize {
        self.listeners.iter().map(|listener| listener.endpoints.len()).sum()
    }

    /// Fails if the sessions that it allows by itself may run out of descriptors.
    pub fn check_sessions(&self) -> Result<(), TooManySessions> {
        let dial = self.listeners.iter().any(|listener| listener.target.dials());
        let check = |sessions| TooManySessions::of_start(self.shards(), self.endpoints(), sessions, dial);
        self.max_sessions.map_or(Ok(()), check)
    }
}

/// Where toxiproxy's API is, and what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedApi {
    pub endpoint: Endpoint,
    /// What a listener of a proxy is, but for its name, its address and its upstream.
    pub template: PlannedListener,
    /// Those that are there from the start; they are listeners of the plan too.
    pub proxies: Vec<NewProxy>,
}

/// toxiproxy's.
pub const API_PORT: u16 = 8474;

/// Reads the plan again: that of the program's own file, or of another one.
pub type LoadPlan = Arc<dyn Fn(Option<&Path>) -> Result<Plan, Mistakes> + Send + Sync>;

/// What is wrong with a plan that was to be read, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// Every mistake, with what it stands on; several lines each.
    pub text: String,
    /// The first in a line: `FILE:LINE:COLUMN: error: …`.
    pub first: String,
}

impl Mistakes {
    /// Of a server that was started without one.
    pub fn no_file() -> Self {
        let first = "this server has no file; start it with 'switchboard run FILE'".to_owned();
        Mistakes { text: format!("{first}\n"), first }
    }
}

impl From<Error> for Mistakes {
    fn from(error: Error) -> Self {
        Mistakes { text: format!("{error}\n"), first: error.to_string() }
    }
}

/// One listener of a plan, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedListener {
    /// Its name; none: its address is its name.
    pub name: Option<String>,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// The permissions of its UNIX sockets; none: what the umask leaves.
    pub mode: Option<u32>,
    pub target: PlannedTarget,
    pub access: Access,
    /// Networks whose connections begin with a PROXY header; no other address may connect. Empty: none is read.
    pub accept_proxy: Vec<Network>,
    /// What ends TLS, by the name of one of the plan's [`PlannedTls`], where no route says it; `None`: plain TCP.
    pub tls: Option<String>,
    /// What breaks its sessions on purpose; each has another name.
    pub faults: Vec<FaultPlan>,
    /// Whether operators want it to be listened on. One that is not keeps its sources' counts and its faults.
    pub enabled: bool,
    /// A fault has closed it for a while; the flapper alone changes that.
    pub is_down: bool,
    /// Connections that it accepts in a second; `None`: no limit.
    pub accept_rate: Option<NonZeroU32>,
    /// Sessions at once from one source on this listener; `None`: no limit of its own.
    pub max_per_source: Option<SourceLimit>,
    pub backlog: i32,
    pub deadlines: Deadlines,
    /// Of both legs; `None`: off.
    pub keepalive: Option<Keepalive>,
    pub congestion: Congestion,
    /// Whether bulk data may cross as pipes.
    pub splice: bool,
    pub dump: Dump,
    pub dump_limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedTarget {
    Echo,
    Origin,
    /// The first route that fits a connection decides.
    Routes(Vec<PlannedRoute>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRoute {
    pub condition: Condition,
    /// What ends TLS, by the name of one of the plan's [`PlannedTls`]; `None`: what comes is passed on.
    pub tls: Option<String>,
    pub lead: Lead,
}

/// What a route does with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// By the name of one of the plan's upstreams.
    Upstream(String),
    Refuse,
}

/// What ends TLS of clients, by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTls {
    pub name: String,
    /// What it was read from; `None`: the program signs its own certificate.
    pub files: Option<ServerTlsFiles>,
    /// Another one also if other certificates are in the same files.
    pub tls: ServerTls,
}

/// A named group of servers, or one address in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedUpstream {
    /// Of a bare address, that address.
    pub name: String,
    /// No table gives it: it is a bare address.
    pub is_address: bool,
    /// Each address once. None if they are discovered.
    pub servers: Vec<PlannedServer>,
    pub discover: Option<Discover>,
    pub settings: GroupSettings,
    /// `None`: servers are not checked.
    pub check: Option<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedServer {
    pub destination: Destination,
    /// Its share of the sessions beside the other weights, from 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// It serves only while no other server does.
    pub backup: bool,
}

impl PlannedListener {
    /// Whether it is listened on.
    pub fn is_open(&self) -> bool {
        self.enabled && !self.is_down
    }
}

impl PlannedTarget {
    /// One route for every connection.
    pub fn to(upstream: String) -> Self {
        PlannedTarget::ending_tls(None, upstream)
    }

    /// The same, which ends TLS before it.
    pub fn ending_tls(tls: Option<String>, upstream: String) -> Self {
        let lead = Lead::Upstream(upstream);
        PlannedTarget::Routes(vec![PlannedRoute { condition: Condition::default(), tls, lead }])
    }

    /// Whether a far leg may have to be dialled.
    pub fn dials(&self) -> bool {
        matches!(self, PlannedTarget::Routes(_))
    }
}

impl PlannedUpstream {
    /// A bare address, to which plain TCP is spoken.
    pub fn address(endpoint: Endpoint, overrides: Arc<[Override]>) -> Self {
        let name = endpoint.to_string();
        let destination = Destination { endpoint, overrides };
        PlannedUpstream {
            name,
            is_address: true,
            servers: vec![PlannedServer { destination, weight: 1, backup: false }],
            discover: None,
            settings: GroupSettings::default(),
            check: None,
        }
    }

    /// The same bare address, to which TLS is spoken.
    pub fn over_tls(self, tls: ClientTls) -> Self {
        let settings = GroupSettings { tls: Some(tls), ..self.settings };
        PlannedUpstream { name: format!("tls://{}", self.name), settings, ..self }
    }
}

/// Beyond any use, and small enough for sums of many (HAProxy has 256, an SRV record 65,535; RFC 2782).
pub const WEIGHT_MAX: u32 = 65_535;

/// Where the servers of a group are learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    pub source: ServerSource,
    /// The longest time between two questions.
    pub refresh: Duration,
    /// The name server to ask; `None`: those of the system.
    pub resolver: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerSource {
    /// Every address of a name is a server.
    Dns { name: String, port: u16 },
    /// The SRV records of a name (RFC 2782).
    Srv { name: String },
}

impl ServerSource {
    /// The name that certificates of its servers have. An answer of a name server is no proof of whom a name belongs to, so
    /// it is the one that was asked for, without the service before it (RFC 6125 §6.2.1).
    pub fn certificate_name(&self) -> &str {
        match self {
            ServerSource::Dns { name, .. } => name,
            ServerSource::Srv { name } => {
                let is_of_service = |label: &&str| label.starts_with('_');
                let labels = name.split('.').take_while(is_of_service);
                let service: usize = labels.map(|label| label.len() + 1).sum();
                name.get(service..).filter(|rest| !rest.is_empty()).unwrap_or(name)
            }
        }
    }
}

impl fmt::Display for ServerSource {
    /// As a file writes it: `dns:NAME:PORT`, `srv:NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerSource::Dns { name, port } => write!(f, "dns:{name}:{port}"),
            ServerSource::Srv { name } => write!(f, "srv:{name}"),
        }
    }
}

/// How a server is asked whether it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// From the begin of one to the begin of the next.
    pub every: Duration,
    /// Of one check, with its connect.
    pub timeout: Duration,
    /// Failures in a row that take a server down.
    pub fall: u32,
    /// Successes in a row that take it up again.
    pub rise: u32,
    /// What is sent once connected; empty: nothing.
    pub send: Vec<u8>,
    /// What the answer must hold in its first 4 KiB; empty: a connection is enough.
    pub expect: Vec<u8>,
    /// How it makes a TLS handshake first; `None`: it makes none.
    pub tls: Option<ClientTls>,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            every: CHECK_EVERY,
            timeout: CHECK_TIMEOUT,
            fall: CHECK_FALL,
            rise: CHECK_RISE,
            send: Vec::new(),
            expect: Vec::new(),
            tls: None,
        }
    }
}

#[cfg(test)]
impl Plan {
    /// One listener that leads to an address, for tests.
    pub fn sample() -> Self {
        let listener = PlannedListener {
            name: Some("web".into()),
            endpoints: vec!["1".parse().unwrap()],
            mode: None,
            target: PlannedTarget::to("b:80".into()),
            access: Access::default(),
            accept_proxy: Vec::new(),
            tls: None,
            faults: Vec::new(),
            enabled: true,
            is_down: false,
            accept_rate: None,
            max_per_source: Some(SourceLimit { sessions: 2, prefix: 64 }),
            backlog: 1,
            deadlines: Deadlines::default(),
            keepalive: None,
            congestion: "cubic".parse().unwrap(),
            splice: true,
            dump: Dump::Off,
            dump_limit: 1,
        };
        Plan {
            listeners: vec![listener],
            upstreams: vec![PlannedUpstream::address("b:80".parse().unwrap(), [].into())],
            tls: Vec::new(),
            max_sessions: None,
            max_per_source: None,
            drain_timeout: None,
            drain_delay: Duration::ZERO,
            log: Log::Off,
            seed: None,
            scenario: None,
            threads: None,
            busy_poll: None,
            control: Control::Off,
            group: None,
            remember: 0,
            metrics: None,
            agent: None,
            api: None,
        }
    }

    /// The same listener at a number of free ports, which echoes.
    pub fn sample_echo(ports: usize) -> Self {
        let sample = Plan::sample();
        let listener = PlannedListener {
            endpoints: vec!["127.0.0.1:0".parse().unwrap(); ports],
            target: PlannedTarget::Echo,
            backlog: 8,
            ..sample.listeners[0].clone()
        };
        Plan { listeners: vec![listener], ..sample }
    }
}
