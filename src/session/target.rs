//! What a session is joined to. A mode is one target; nothing else in the program asks which it is.

use crate::{
    net::{address::Address, dial::Reserved, network::Access},
    relay::link::{LinkReceiver, LinkSender, Nudge, link},
    runtime::{
        limit::Rate,
        lock::Lock,
        task::{Task, spawn},
    },
    session::{
        cause::Cause,
        context::{Context, Settings},
        event::Mode,
        faults::set::FaultSet,
        opening::OpeningRules,
        origin,
        outcome::Outcome,
        record::Record,
        route::Routes,
        sources::{Counted, SourceCounts},
        upstream,
    },
};
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Those who are not let in may come in any number, and each is counted in any case.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub enum Target {
    /// The session itself: what comes goes back (RFC 862).
    Echo,
    /// A small HTTP server in this program.
    Origin,
    /// Another program, as the routes say.
    Upstream(Arc<Routes>),
}

/// A listener as its sessions know it. It does not change: after a reload, sessions to come know another one.
pub struct Listening {
    /// On the command line, its address.
    pub name: String,
    /// The same, if a file gives it.
    pub given_name: Option<Arc<str>>,
    pub address: Address,
    pub target: Target,
    pub access: Access,
    /// What clients say before their streams begin.
    pub opening: OpeningRules,
    /// Of connections that it does not let in.
    pub refusals: Refusals,
    /// Connections that it accepts in a second.
    pub accept_rate: Option<Arc<Rate>>,
    /// The limits for each source: the program's, and its own.
    pub per_source: Vec<Arc<SourceCounts>>,
    /// What breaks its sessions on purpose.
    pub faults: Arc<FaultSet>,
    pub settings: Settings,
}

impl Listening {
    /// Whether a session from `source` may begin; what it then counts for.
    /// Errors: the cause, and the reason in words.
    pub fn admit(&self, source: &Address) -> Result<Vec<Counted>, (Cause, Box<str>)> {
        self.judge(source)?;
        let counted = self.per_source.iter().filter_map(|counts| counts.enter(source).transpose());
        counted.collect::<Result<_, _>>().map_err(|why| (Cause::RefusedLimit, why))
    }

    /// Whether `allow` and `deny` let it in.
    /// Errors: as [`Listening::admit`].
    pub fn judge(&self, source: &Address) -> Result<(), (Cause, Box<str>)> {
        let refused = |denied| (Cause::RefusedAccess, format!("{source} may not connect: {denied}").into());
        self.access.judge(source.ip()).map_err(refused)
    }
}

/// Which of many refusals are told: one a second, with the number of those before it that were not.
#[derive(Default)]
pub struct Refusals(Lock<(Option<Instant>, u64)>);

impl Refusals {
    /// Whether the next one is to be told, and how many were not.
    pub fn tell(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let (last, untold) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < REFUSALS_TOLD_EVERY) {
            *untold += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(untold))
    }
}

/// The other end of a session, once it is joined.
pub struct Joined {
    /// What the client is sent.
    pub down_receiver: LinkReceiver,
    /// The actor at the far end; none if the session is joined to itself.
    pub far: Option<Task<Outcome>>,
    /// Wakes the half-loop that reads for the client.
    pub nudge: Nudge,
}

/// The listener of an address as sessions to come know it; a reload puts another in its place.
pub struct CurrentListening(Lock<Arc<Listening>>);

impl CurrentListening {
    pub fn new(listening: Arc<Listening>) -> Self {
        CurrentListening(Lock::new(listening))
    }

    pub fn get(&self) -> Arc<Listening> {
        self.0.lock().clone()
    }

    pub fn set(&self, listening: Arc<Listening>) {
        *self.0.lock() = listening;
    }
}

impl Target {
    pub fn mode(&self) -> Mode {
        match self {
            Target::Echo => Mode::Echo,
            Target::Origin => Mode::Origin,
            Target::Upstream(_) => Mode::Proxy,
        }
    }

    /// Whether the client is sent what it sends: then there is one direction.
    pub fn loops(&self) -> bool {
        matches!(self, Target::Echo)
    }

    /// Whether the first words of a client decide what becomes of it.
    pub fn hears(&self) -> bool {
        match self {
            Target::Echo | Target::Origin => false,
            Target::Upstream(routes) => routes.hear(),
        }
    }

    /// Whether TLS is spoken to where a session leads.
    pub fn speaks_tls(&self, record: &Record) -> bool {
        match self {
            Target::Echo | Target::Origin => false,
            Target::Upstream(routes) => routes.speak_tls(record),
        }
    }

    /// Whether the far leg is to be dialled.
    pub fn dials(&self) -> bool {
        matches!(self, Target::Upstream(_))
    }

    /// A socket for the far leg of a session to come; none if there is none to dial.
    pub fn reserve(&self) -> io::Result<Option<Reserved>> {
        match self {
            Target::Echo | Target::Origin => Ok(None),
            Target::Upstream(routes) => routes.reserve(),
        }
    }

    /// Opens the far end of the session of `record`, with the socket that is reserved for it.
    pub fn join(
        &self,
        reserved: Option<Reserved>,
        record: &Arc<Record>,
        context: &Arc<Context>,
        up_receiver: LinkReceiver,
    ) -> Joined {
        match self {
            Target::Echo => Joined { nudge: up_receiver.nudge(), down_receiver: up_receiver, far: None },
            Target::Origin => Joined::to(|down_sender| origin::start(record, up_receiver, down_sender)),
            Target::Upstream(routes) => Joined::to(|down_sender| {
                let (record, context, routes) = (record.clone(), context.clone(), routes.clone());
                spawn(upstream::run(reserved, record, context, routes, up_receiver, down_sender))
            }),
        }
    }
}

impl Joined {
    fn to(start: impl FnOnce(LinkSender) -> Task<Outcome>) -> Self {
        let (down_sender, down_receiver) = link();
        Joined { nudge: down_receiver.nudge(), down_receiver, far: Some(start(down_sender)) }
    }
}

impl fmt::Display for Target {
    /// What the start line says after the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Echo => f.write_str("echoing"),
            Target::Origin => f.write_str("serving HTTP"),
            Target::Upstream(routes) => write!(f, "proxying {routes}"),
        }
    }
}
