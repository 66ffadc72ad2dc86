//! The operator: the verbs that look into a running server and change it, each with typed arguments and a typed answer.
//!
//! Encoders, such as the control socket, tell the answers. They choose, sort and count nothing themselves.

use crate::{
    control::protocol::{
        AdminOrder, Choice, EndedSession, Greeting, GroupServer, ListedSession, MetFault, MetFaults, Named,
        Phase, ServerStats, SessionDetail, Setting, SettingValue, Sort, TapChoice, VERSION,
    },
    error::Error,
    net::{
        address::{Address, EscapedAddress},
        buffer,
        kernel::TcpInfo,
        limits::TooManySessions,
        pipe,
    },
    report::{
        metrics::{FaultMetrics, Metrics},
        tally::Handshakes,
    },
    runtime::{
        blocking::blocking,
        clock::{coarse_ms, now_ns},
        limit::Slots,
        lock::Lock,
        mailbox,
    },
    server::{
        breaker::{Breaker, FaultOrder},
        diff,
        explain::{self, Question},
        in_force::{InForce, PlanInForce},
        plan::{LoadPlan, Mistakes, Plan},
        rates::{Look, Rates},
        supervisors::Supervisors,
        taps::{Form, OperatorTaps},
    },
    session::{
        deadline::Deadlines,
        delivery::Queue,
        event::{Event, Events},
        faults::{
            fault::{Fault, FaultStream},
            faulted::Met,
            held::HELD_MAX,
            kind::MILLISECONDS_MAX,
            set::{FaultRefusal, FaultSet},
        },
        group::{self, Admin, Group, Standing},
        health::Health,
        introduction::Introduction,
        mark::Mark,
        onlookers::{Onlooker, Wanted},
        record::Record,
        tap::{View, Watcher},
    },
    text::{
        safe::SafeText,
        units::{duration, milliseconds},
    },
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};
use strum::VariantArray;

/// As on the command line: beyond any machine.
const SESSIONS_MAX: usize = 1_000_000_000;

pub struct OperatedServer {
    pub breaker: Breaker,
    pub in_force: PlanInForce,
    /// None if the server has no file.
    pub load: Option<LoadPlan>,
    pub began: Instant,
    pub started: SystemTime,
    /// The limit of sessions at once; none begins while it is paused.
    pub slots: Slots,
    /// From the begin of a drain to the cut.
    pub drain_timeout: Arc<Lock<Option<Duration>>>,
    pub supervisor: Supervisors,
    /// Knows the lines that were dropped.
    pub events: Events,
    pub ending: Arc<Ending>,
    /// What concerns the server as a whole.
    pub orders: mailbox::Sender<ServerOrder>,
}

/// What balancers are to know of a server that ends.
#[derive(Default)]
pub struct Ending {
    /// Whether it is to stop, though it may still accept.
    pub is_stopping: AtomicBool,
    /// Whether another process has taken over what this one listened on.
    pub is_replaced: AtomicBool,
}

/// What is said to who wants to change something of a process that another has replaced.
pub const REPLACED: &str = "another process has taken over; ask again";

/// What an operator asks of the server as a whole.
pub enum ServerOrder {
    /// As SIGTERM.
    Drain,
    /// Read the plan again.
    Reload(ReloadReply),
    /// Put the plan in force as this makes it.
    Change(PlanEdit, mailbox::Sender<Result<(), Error>>),
}

/// Makes the next plan of the one that is in force; its faults of files are as operators have left them.
/// Errors: why that cannot be; nothing changes then.
pub type PlanEdit = Box<dyn FnOnce(&mut Plan, &InForce) -> Result<(), Error> + Send>;

/// Takes what a reload changed, or what is wrong.
pub type ReloadReply = mailbox::Sender<Result<Vec<String>, Mistakes>>;

/// Asks for a plan that `edit` makes, and waits for the answer; none: the server is ending, and changes nothing any more.
pub async fn change_plan(orders: &mailbox::Sender<ServerOrder>, edit: PlanEdit) -> Option<Result<(), Error>> {
    let (reply, mut answer) = mailbox::mailbox(1);
    orders.send(ServerOrder::Change(edit, reply)).await.ok()?;
    answer.next().await
}

/// A handle of the operator.
#[derive(Clone)]
pub struct Operator {
    server: Arc<OperatedServer>,
    rates: Arc<Rates>,
    /// Reloads that were refused.
    refused_reloads: Arc<AtomicU64>,
}

/// Whether a server takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Accepting,
    Paused,
    /// It takes none any more; live sessions may finish.
    Draining,
    /// As draining, and another process takes those that come to its addresses.
    Replaced,
}

impl Readiness {
    pub fn name(self) -> &'static str {
        match self {
            Readiness::Accepting => "accepting",
            Readiness::Paused => "paused",
            Readiness::Draining | Readiness::Replaced => "draining",
        }
    }
}

/// Why a verb was not followed, as a sentence for the user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    WrongSessions(Vec<WrongSession>),
    #[error("which sessions are to be tapped is missing: session, sessions, next or all")]
    NoTap,
    #[error("session {0} has too many taps already")]
    TooManyTaps(u64),
    #[error("max-sessions is a number of at least 1 and at most {SESSIONS_MAX}")]
    MaxSessions,
    #[error(transparent)]
    TooManySessions(#[from] TooManySessions),
    #[error("{0} is from 1 to {MILLISECONDS_MAX} milliseconds, or off")]
    Milliseconds(Named<Setting>),
    #[error("there is no setting '{0}'")]
    NoSetting(SafeText),
    #[error("{0} cannot work: no listener of this server dials an upstream")]
    NothingDials(Named<Setting>),
    #[error("{0} cannot work: no listener of this server waits for a PROXY header, a ClientHello or TLS")]
    NothingOpens(Named<Setting>),
    #[error("{0} cannot work: the server drains, and no session begins any more")]
    Draining(Named<Setting>),
    #[error("{0} cannot work: the drain has begun")]
    DrainBegun(Named<Setting>),
    #[error("{0} cannot work: idle-timeout ends such a session sooner, after {time}", time = duration(*.1))]
    IdleSooner(Named<Setting>, Duration),
    #[error("{0}")]
    Question(String),
    #[error("there is no upstream '{0}'; 'ctl server' shows them")]
    NoUpstream(SafeText),
    #[error("upstream '{0}' has no server '{1}'; 'ctl server' shows them")]
    NoServer(SafeText, SafeText),
    #[error("a server cannot be set to '{0}'; it can be drain, ready or down")]
    NoOrder(SafeText),
    #[error("there is no listener '{0}'")]
    NoListener(SafeText),
    #[error("the sessions are of several listeners; name one")]
    SeveralListeners,
    #[error("{0}")]
    Fault(String),
    #[error("the server is ending")]
    Ending,
}

/// Why a session cannot be looked at, or cut.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongSession {
    #[error("session {0} is alive")]
    Alive(u64),
    #[error("session {0} has ended; 'ctl closed {0}' tells how")]
    Ended(u64),
    #[error("session {0} has ended and is not remembered any more")]
    Forgotten(u64),
    #[error("there is no session {0}")]
    Unknown(u64),
}

impl Operator {
    pub fn new(server: OperatedServer) -> Self {
        let rates = Arc::new(Rates::start(server.supervisor.clone()));
        Operator { server: Arc::new(server), rates, refused_reloads: Arc::default() }
    }

    pub fn greeting(&self) -> Greeting {
        let listeners = self.server.in_force.get().listenings();
        let first = listeners.first();
        Greeting {
            switchboard: VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            // Where they differ, that of the first.
            mode: first.map_or_else(Named::default, |first| Named::Known(first.target.mode())),
            listeners: listeners.iter().map(|one| shown(&one.address)).collect(),
            names: listeners.iter().map(|one| one.name.as_str().into()).collect(),
        }
    }

    /// The live sessions of `choice`, each as it is when it is taken; and how many there are without its `skip` and `limit`.
    pub async fn list(&self, choice: &Choice) -> (impl Iterator<Item = ListedSession> + use<>, usize) {
        let rates = self.rates.last();
        let draining = self.draining().await;
        let records = self.server.supervisor.list().await;
        let mut chosen = choose(choice, records, &rates, draining);
        let matching = chosen.len();
        chosen.drain(..choice.skip.min(matching));
        chosen.truncate(choice.limit.unwrap_or(usize::MAX));
        (chosen.into_iter().map(move |record| listed(&record, &rates, draining)), matching)
    }

    pub async fn show(&self, session: u64) -> Result<SessionDetail, Refusal> {
        let rates = self.rates.last();
        let draining = self.draining().await;
        match self.server.supervisor.find(session).await {
            Some(record) => Ok(detail(&record, &rates, draining)),
            None => Err(self.wrong(&[session]).await),
        }
    }

    /// The newest sessions that ended, at most `last`; the newest comes last.
    pub async fn closed(&self, last: Option<usize>) -> impl Iterator<Item = EndedSession> + use<> {
        let ended = self.server.supervisor.closed(last.unwrap_or(usize::MAX));
        ended.into_iter().map(|ended| (&*ended).into())
    }

    pub async fn ended(&self, session: u64) -> Result<EndedSession, Refusal> {
        match self.server.supervisor.ended(session) {
            Some(ended) => Ok((&*ended).into()),
            None => Err(self.wrong(&[session]).await),
        }
    }

    /// The totals; with `history` those of the last two minutes too.
    pub async fn stats(&self, history: bool) -> Result<ServerStats, Refusal> {
        let tally = self.server.supervisor.tally().await.ok_or(Refusal::Ending)?;
        let slots = &self.server.slots;
        let occurred = tally.closed().filter(|(_, count)| *count > 0);
        let health = tally.health().filter(|(_, count)| *count > 0);
        let look = self.rates.last();
        let (client_rate, upstream_rate) = look.of_all();
        Ok(ServerStats {
            uptime_ms: whole_milliseconds(self.server.began.elapsed()),
            live: tally.active(),
            max_sessions: slots.count().1,
            paused: slots.paused(),
            draining: self.draining().await,
            opened: tally.opened(),
            ended: tally.closed().map(|(_, count)| count).sum(),
            causes: occurred.map(|(cause, count)| (cause.name().into(), count)).collect(),
            client_bytes: tally.client_bytes,
            upstream_bytes: tally.upstream_bytes,
            failed: tally.closed().filter(|(cause, _)| cause.is_failure()).map(|(_, count)| count).sum(),
            health: health.map(|(health, count)| (health.name().into(), count)).collect(),
            client_rate,
            upstream_rate,
            tls_handshakes: Some(tally.handshakes).filter(|all| *all != Handshakes::default()),
            history: if history { look.past.iter().copied().collect() } else { Vec::new() },
        })
    }

    /// The metrics as they are now; none if the supervisor has ended.
    pub async fn metrics(&self) -> Option<Metrics> {
        let mut accept_errors: BTreeMap<&str, u64> = BTreeMap::new();
        let in_force = self.server.in_force.get();
        for (kind, count) in in_force.addresses.iter().flat_map(|one| one.errors.counts()) {
            *accept_errors.entry(kind.name()).or_default() += count;
        }
        let mut tally = self.server.supervisor.tally().await?;
        for listening in in_force.listenings() {
            // A new one has its row before its first session.
            tally.listener(&listening.name, listening.target.mode());
        }
        Some(Metrics {
            started: self.server.started,
            tally,
            accept_errors: accept_errors.into_iter().collect(),
            refused_reloads: self.refused_reloads.load(Relaxed),
            dropped_lines: self.server.events.dropped(),
            spliced_bytes: pipe::spliced(),
            pipes: pipe::count(),
            spare_pipes: pipe::spare(),
            spare_buffers: buffer::spare(),
            faults: in_force.all_faults().iter().flat_map(|(name, set)| fault_metrics(name, set)).collect(),
        })
    }

    /// How many sessions hold a slot, and how many may.
    pub fn slots(&self) -> (usize, usize) {
        self.server.slots.count()
    }

    pub async fn ready(&self) -> Readiness {
        match self.server.slots.paused() {
            _ if self.server.ending.is_replaced.load(Relaxed) => Readiness::Replaced,
            _ if self.server.ending.is_stopping.load(Relaxed) => Readiness::Draining,
            true => Readiness::Paused,
            false => Readiness::Accepting,
        }
    }

    /// Ends sessions by RST, or by FIN after what is under way.
    pub async fn cut(&self, sessions: Vec<u64>, fin: bool) -> Result<(), Refusal> {
        let missing = self.server.supervisor.cut_some(sessions, fin).await;
        if missing.is_empty() { Ok(()) } else { Err(self.wrong(&missing).await) }
    }

    /// Ends all sessions of a listener; one that is there no more may still have some.
    pub async fn cut_listener(&self, name: &str, fin: bool) -> Result<(), Refusal> {
        let sessions = self.server.supervisor.list().await;
        let own = sessions.iter().filter(|record| record.listening.name == name).map(|record| record.id);
        let own: Vec<u64> = own.collect();
        if own.is_empty() {
            self.server.in_force.get().listening(Some(name)).map_err(Refusal::Question)?;
        }
        // One that has ended meanwhile has ended.
        self.server.supervisor.cut_some(own, fin).await;
        Ok(())
    }

    /// Shows what sessions move: those that are named, all, or those to come.
    pub async fn tap(&self, choice: &TapChoice) -> Result<OperatorTaps, Refusal> {
        let named = choice.named();
        let of_many = choice.all || named.len() > 1;
        let view = View { from: choice.from, marks: choice.marks, of_many };
        let wanted = Wanted { clients: choice.clients, view, count: (!choice.all).then_some(1) };
        let comes = choice.all || choice.next;
        if named.is_empty() && !comes {
            return Err(Refusal::NoTap);
        }
        // Before those that are there: none is missed between.
        let arrivals = comes.then(|| self.server.events.onlookers().wait(wanted));
        let form = Form { limit: choice.limit.unwrap_or(usize::MAX), marks: choice.marks };
        let mut taps = OperatorTaps::new(form, arrivals);
        for session in named {
            let Some(record) = self.server.supervisor.find(session).await else {
                return Err(self.wrong(&[session]).await);
            };
            let watcher = Watcher::attach(&record, view).ok_or(Refusal::TooManyTaps(session))?;
            taps.add(session, watcher, Mark::past(&record));
        }
        if choice.all {
            let clients = Choice { from: choice.clients, ..Choice::default() };
            let there = self.server.supervisor.list().await;
            taps.arrive_after(there.last().map_or(0, |newest| newest.id));
            for record in choose(&clients, there, &self.rates.last(), false) {
                match Watcher::attach(&record, view) {
                    Some(watcher) => taps.add(record.id, watcher, Mark::past(&record)),
                    None => taps.miss(),
                }
            }
        }
        Ok(taps)
    }

    /// What sessions say from now on.
    pub fn events(&self) -> Onlooker<Event> {
        self.server.events.onlookers().follow_events()
    }

    pub fn pause(&self) {
        self.server.slots.set_paused(true);
    }

    pub fn resume(&self) {
        self.server.slots.set_paused(false);
    }

    /// As SIGTERM.
    pub async fn drain(&self) {
        // A server that has ended drains no more.
        let _ = self.server.orders.send(ServerOrder::Drain).await;
    }

    /// Has the plan read again and put in force; what that changed, or what is wrong with it.
    pub async fn reload(&self) -> Result<Result<Vec<String>, Mistakes>, Refusal> {
        let (reply, mut answer) = mailbox::mailbox(1);
        self.server.orders.send(ServerOrder::Reload(reply)).await.map_err(|_| Refusal::Ending)?;
        answer.next().await.ok_or(Refusal::Ending)
    }

    /// Puts the plan in force as `edit` makes it of the one before, as a reload does: what fails changes nothing.
    pub async fn change(
        &self,
        edit: impl FnOnce(&mut Plan, &InForce) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let ending = || Error::new("cannot change the plan", io::Error::other("the server is ending"));
        change_plan(&self.server.orders, Box::new(edit)).await.unwrap_or_else(|| Err(ending()))
    }

    /// Listens at a listener, or does not any more, and ends its sessions. It comes back to the ports that it had.
    /// Errors: it cannot listen, or there is no such listener.
    pub async fn set_enabled(&self, listener: &str, is_enabled: bool) -> Result<(), Error> {
        let name = listener.to_owned();
        self.change(move |plan, in_force| in_force.set_enabled(plan, &name, is_enabled)).await?;
        if !is_enabled {
            self.end_sessions(listener).await;
        }
        Ok(())
    }

    /// Ends all sessions of a listener, whether or not it is still there, by FIN where the peers take that, whatever faults
    /// hold.
    pub async fn end_sessions(&self, listener: &str) {
        self.server.supervisor.end_sessions_of(listener, None).await;
    }

    /// Whether a listener is to be listened on; none if there is none.
    pub fn is_enabled(&self, listener: &str) -> Option<bool> {
        self.server.in_force.get().is_enabled(listener)
    }

    /// The address at which a listener is bound, or comes back to after a fault; none if it is not to be listened on.
    pub fn bound(&self, listener: &str) -> Option<Address> {
        self.server.in_force.get().bound(listener).into_iter().next()
    }

    /// Whether another process has taken over.
    pub fn is_replaced(&self) -> bool {
        self.server.ending.is_replaced.load(Relaxed)
    }

    /// What a reload would change, of the server's own file or of another one.
    pub async fn diff(&self, file: Option<PathBuf>) -> Result<Vec<String>, Mistakes> {
        let load = self.server.load.clone().ok_or_else(Mistakes::no_file)?;
        let next = blocking(move || load(file.as_deref())).await?;
        let now = self.server.in_force.get().as_it_is();
        Ok(now.map(|plan| diff::changes(&plan, &next)).unwrap_or_default())
    }

    /// What would become of a connection, as things stand.
    pub fn explain(&self, question: &str) -> Result<Vec<String>, Refusal> {
        let question: Question = question.parse().map_err(Refusal::Question)?;
        let in_force = self.server.in_force.get();
        let listening = in_force.listening(question.listener.as_deref()).map_err(Refusal::Question)?;
        let facts = question.facts();
        Ok(explain::explain(&listening.access, &listening.target, &in_force.groups, &facts))
    }

    /// The faults of all listeners, by their names, or of one.
    pub fn faults(&self, listener: Option<&str>) -> Result<Vec<(String, Arc<FaultSet>)>, Refusal> {
        let in_force = self.server.in_force.get();
        let mut all = in_force.all_faults();
        if let Some(name) = listener {
            let own = in_force.faults(name).ok_or_else(|| Refusal::NoListener(name.into()))?;
            all.retain(|(_, set)| Arc::ptr_eq(set, &own));
        }
        Ok(all)
    }

    /// The faults of a listener.
    pub fn fault_set(&self, listener: &str) -> Option<Arc<FaultSet>> {
        self.server.in_force.get().faults(listener)
    }

    /// What the faults' draws follow from.
    pub fn seed(&self) -> Option<u64> {
        self.server.in_force.get().seed()
    }

    /// The name of the listener whose these sessions are.
    pub async fn listener_of(&self, sessions: &[u64]) -> Result<String, Refusal> {
        let mut sets: Vec<Arc<FaultSet>> = Vec::new();
        for &session in sessions {
            let Some(record) = self.server.supervisor.find(session).await else {
                return Err(self.wrong(&[session]).await);
            };
            if !sets.iter().any(|set| Arc::ptr_eq(set, &record.listening.faults)) {
                sets.push(record.listening.faults.clone());
            }
        }
        match &sets[..] {
            [only] => Ok(self.server.in_force.get().name_of(only)),
            _ => Err(Refusal::SeveralListeners),
        }
    }

    /// Adds, changes or removes faults of a listener, for its live sessions too.
    pub async fn order_fault(
        &self,
        listener: &str,
        order: FaultOrder,
    ) -> Result<Vec<Arc<Fault>>, FaultRefusal> {
        self.server.breaker.order(listener, order).await
    }

    /// The servers of an upstream, or of all, and how each stands.
    pub fn group_servers(&self, upstream: Option<&str>) -> Result<Vec<GroupServer>, Refusal> {
        let in_force = self.server.in_force.get();
        if let Some(name) = upstream.filter(|name| in_force.groups.find(name).is_none()) {
            return Err(Refusal::NoUpstream(name.into()));
        }
        let wanted = in_force.groups.all().filter(|group| upstream.is_none_or(|name| group.name == name));
        Ok(wanted.flat_map(|group| group_servers_of(group)).collect())
    }

    /// Says of a server of an upstream that it is to take sessions or not.
    pub fn set_server(&self, upstream: &str, address: &str, order: Named<AdminOrder>) -> Result<(), Refusal> {
        let in_force = self.server.in_force.get();
        let group = in_force.groups.find(upstream).ok_or_else(|| Refusal::NoUpstream(upstream.into()))?;
        let servers = group.servers();
        let found = servers.iter().find(|(server, _)| server.address() == address);
        let (server, _) = found.ok_or_else(|| Refusal::NoServer(upstream.into(), address.into()))?;
        server.set_admin(match order {
            Named::Known(AdminOrder::Drain) => Some(Admin::Draining),
            Named::Known(AdminOrder::Down) => Some(Admin::Maintenance),
            Named::Known(AdminOrder::Ready) => None,
            Named::Other(name) => return Err(Refusal::NoOrder(name)),
        });
        Ok(())
    }

    pub fn note_refused_reload(&self) {
        self.refused_reloads.fetch_add(1, Relaxed);
    }

    /// What can be changed, as it is: one setting, or all.
    pub fn get(&self, setting: Option<Named<Setting>>) -> Result<Vec<SettingValue>, Refusal> {
        let wanted = match setting {
            None => Setting::VARIANTS.to_vec(),
            Some(Named::Known(setting)) => vec![setting],
            Some(Named::Other(name)) => return Err(Refusal::NoSetting(name)),
        };
        let deadlines = self.deadlines();
        let value = |setting| {
            let limit = match setting {
                Setting::MaxSessions => return Some(self.server.slots.count().1 as u64),
                Setting::ConnectTimeout => deadlines.connect,
                Setting::HandshakeTimeout => deadlines.handshake,
                Setting::IdleTimeout => deadlines.idle,
                Setting::HalfCloseTimeout => deadlines.half_close,
                Setting::StallTimeout => deadlines.stall,
                Setting::MaxLifetime => deadlines.lifetime,
                Setting::DrainTimeout => *self.server.drain_timeout.lock(),
            };
            limit.map(whole_milliseconds)
        };
        let told = |setting| SettingValue { setting: Named::Known(setting), value: value(setting) };
        Ok(wanted.into_iter().map(told).collect())
    }

    /// The deadlines of sessions to come; where listeners differ, those of the first.
    fn deadlines(&self) -> Deadlines {
        let first = self.server.in_force.get().listenings().into_iter().next();
        first.map_or_else(Deadlines::default, |one| *one.settings.deadlines.get())
    }

    /// Changes a limit for sessions to come: a number of sessions, or milliseconds; none is off.
    pub async fn set(&self, setting: Named<Setting>, value: Option<u64>) -> Result<(), Refusal> {
        let known = match &setting {
            Named::Known(known) => *known,
            Named::Other(name) => return Err(Refusal::NoSetting(name.clone())),
        };
        if known != Setting::MaxSessions && value.is_some_and(|ms| ms == 0 || ms > MILLISECONDS_MAX) {
            return Err(Refusal::Milliseconds(setting));
        }
        let limit = value.map(Duration::from_millis);
        self.check(known, limit).await?;
        let change = |change: fn(&mut Deadlines) -> &mut Option<Duration>| {
            for listening in self.server.in_force.get().listenings() {
                listening.settings.deadlines.change(|deadlines| *change(deadlines) = limit);
            }
        };
        match known {
            Setting::MaxSessions => {
                let limit = value.and_then(|value| usize::try_from(value).ok());
                let limit = limit.filter(|limit| (1..=SESSIONS_MAX).contains(limit));
                let limit = limit.ok_or(Refusal::MaxSessions)?;
                let (_, before) = self.server.slots.count();
                if limit > before {
                    let dial = self.server.in_force.get().dials();
                    TooManySessions::check(limit, dial)?;
                }
                self.server.slots.set_limit(limit);
            }
            Setting::ConnectTimeout => change(|deadlines| &mut deadlines.connect),
            Setting::HandshakeTimeout => change(|deadlines| &mut deadlines.handshake),
            Setting::IdleTimeout => change(|deadlines| &mut deadlines.idle),
            Setting::HalfCloseTimeout => change(|deadlines| &mut deadlines.half_close),
            Setting::StallTimeout => change(|deadlines| &mut deadlines.stall),
            Setting::MaxLifetime => change(|deadlines| &mut deadlines.lifetime),
            Setting::DrainTimeout => *self.server.drain_timeout.lock() = limit,
        }
        Ok(())
    }

    /// Whether a change of this setting can have an effect.
    async fn check(&self, setting: Setting, limit: Option<Duration>) -> Result<(), Refusal> {
        let named = || Named::Known(setting);
        let in_force = self.server.in_force.get();
        let opens = || in_force.listenings().iter().any(|one| !one.opening.are_empty(&one.target));
        match setting {
            Setting::ConnectTimeout if !in_force.dials() => Err(Refusal::NothingDials(named())),
            Setting::HandshakeTimeout if !opens() => Err(Refusal::NothingOpens(named())),
            Setting::DrainTimeout if self.draining().await => Err(Refusal::DrainBegun(named())),
            _ if self.draining().await => Err(Refusal::Draining(named())),
            // Both count from the last byte that moved.
            Setting::HalfCloseTimeout => match (limit, self.deadlines().idle) {
                (Some(limit), Some(idle)) if limit > idle => Err(Refusal::IdleSooner(named(), idle)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn draining(&self) -> bool {
        self.server.supervisor.state().await.is_none_or(|state| state.draining)
    }

    /// What is wrong with the numbers of sessions.
    async fn wrong(&self, sessions: &[u64]) -> Refusal {
        let supervisor = &self.server.supervisor;
        let opened = supervisor.state().await.map_or(0, |state| state.opened);
        let mut wrong = Vec::new();
        for &session in sessions {
            wrong.push(if supervisor.find(session).await.is_some() {
                WrongSession::Alive(session)
            } else if supervisor.ended(session).is_some() {
                WrongSession::Ended(session)
            } else if (1..=opened).contains(&session) {
                WrongSession::Forgotten(session)
            } else {
                WrongSession::Unknown(session)
            });
        }
        Refusal::WrongSessions(wrong)
    }
}

/// The sessions that `choice` means, in its order; those that are equal in it in the order of their numbers, as they came.
fn choose(choice: &Choice, mut records: Vec<Arc<Record>>, rates: &Look, draining: bool) -> Vec<Arc<Record>> {
    records.retain(|record| {
        let from =
            choice.from.is_none_or(|network| record.source().ip().is_some_and(|ip| network.contains(ip)));
        let health = choice.health.is_empty() || choice.health.contains(&Named::Known(Health::of(record)));
        from && health && (choice.matching.is_empty() || matches(&choice.matching, record, draining))
    });
    match choice.sort {
        Sort::Age => {}
        Sort::Bytes => largest_first(&mut records, |record| (record.client_bytes(), record.upstream_bytes())),
        Sort::Rate => largest_first(&mut records, |record| rates.of(record)),
        Sort::Idle => records.sort_by_key(|record| record.moved_ms()),
        Sort::Problems => {
            records.sort_by_cached_key(|record| u8::MAX - Health::of(record).urgency());
        }
        Sort::Client => records.sort_by_cached_key(|record| place(Some(&record.client))),
        Sort::Upstream => records.sort_by_cached_key(|record| place(upstream(record))),
        Sort::ClientRate => largest_first(&mut records, |record| (rates.of(record).0, 0)),
        Sort::UpstreamRate => largest_first(&mut records, |record| (0, rates.of(record).1)),
        Sort::ClientBytes => largest_first(&mut records, |record| (record.client_bytes(), 0)),
        Sort::UpstreamBytes => largest_first(&mut records, |record| (0, record.upstream_bytes())),
        Sort::Phase => records.sort_by_cached_key(|record| phase(record, draining).to_string()),
        Sort::Name => records.sort_by_cached_key(|record| record.listening.name.clone()),
        Sort::Waiting => largest_first(&mut records, |record| (waiting(record), 0)),
    }
    if choice.reverse {
        records.reverse();
    }
    records
}

fn largest_first(records: &mut [Arc<Record>], both: impl Fn(&Record) -> (u64, u64)) {
    records.sort_by_cached_key(|record| {
        let (client, upstream) = both(record);
        u64::MAX - client.saturating_add(upstream)
    });
}

/// An address as a list is ordered by it: by number, names after numbers.
fn place(address: Option<&Address>) -> (Option<SocketAddr>, String) {
    match address {
        Some(Address::Tcp(address)) => (Some(*address), String::new()),
        Some(other) => (None, other.to_string()),
        None => (None, String::new()),
    }
}

/// All bytes on their way to a side, here and in the kernel.
fn waiting(record: &Record) -> u64 {
    let queued: u64 = record.queues().iter().map(Queue::bytes).sum();
    record.from_client.waiting() + record.from_upstream.waiting() + queued
}

/// Whether the text is in what a list shows of the session.
fn matches(text: &str, record: &Record, draining: bool) -> bool {
    let addresses =
        [Some(&record.client), Some(record.source()), upstream(record), Some(&record.listening.address)];
    record.id.to_string().contains(text)
        || phase(record, draining).to_string().contains(text)
        || Health::of(record).name().contains(text)
        || record.listening.name.contains(text)
        || addresses.into_iter().flatten().any(|address| shown(address).as_str().contains(text))
}

fn listed(record: &Record, rates: &Look, draining: bool) -> ListedSession {
    let (client_rate, upstream_rate) = rates.of(record);
    let [to_client, to_upstream] = record.queues();
    let client_takes = if record.listening.target.loops() { to_client } else { to_upstream };
    let age_ms = whole_milliseconds(record.age());
    ListedSession {
        session: record.id,
        mode: Named::Known(record.mode()),
        listener: shown(&record.listening.address),
        client: shown(&record.client),
        upstream: upstream(record).map(shown),
        phase: Named::Known(phase(record, draining)),
        age_ms,
        // The clocks of the two are not read in the same moment.
        idle_ms: coarse_ms().saturating_sub(record.moved_ms()).min(age_ms),
        client_bytes: record.client_bytes(),
        upstream_bytes: record.upstream_bytes(),
        client_rate,
        upstream_rate,
        client_waiting: record.from_client.waiting(),
        upstream_waiting: record.from_upstream.waiting(),
        name: record.listening.name.as_str().into(),
        health: Named::Known(Health::of(record)),
        client_queued: client_takes.bytes(),
        upstream_queued: if record.listening.target.loops() { 0 } else { to_client.bytes() },
        source: record.introduced().and_then(Introduction::source).map(shown),
        faults: record.hit_by().iter().map(|name| name.as_str().into()).collect(),
    }
}

/// The faults that a session has met; none: it has met none.
fn met_faults(record: &Record) -> Option<MetFaults> {
    let (faulted, now_ns) = (record.faulted()?, now_ns());
    let told = |met: &Arc<Met>| {
        let plan = met.fault.plan();
        MetFault {
            name: plan.name.as_str().into(),
            kind: plan.kind.name().into(),
            stream: plan.stream.name().into(),
            values: plan.kind.written(&plan.values).as_str().into(),
            hit: met.hits(),
            acts: met.fault.acts(now_ns).0,
        }
    };
    let met_faults: Vec<_> = faulted.all().iter().map(told).collect();
    let [client_held, upstream_held] =
        [FaultStream::Upstream, FaultStream::Downstream].map(|stream| faulted.held(stream));
    let is_of_none = met_faults.is_empty() && client_held + upstream_held == 0;
    (!is_of_none).then_some(MetFaults { met_faults, client_held, upstream_held, held_max: HELD_MAX as u64 })
}

/// What the faults of a listener have done.
fn fault_metrics(listener: &str, set: &FaultSet) -> Vec<FaultMetrics> {
    let told = |fault: Arc<Fault>| {
        let (plan, counts) = (fault.plan(), &fault.counts);
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        FaultMetrics {
            listener: listener.to_owned(),
            fault: SafeText::literal(&plan.name).to_string(),
            kind: plan.kind.name(),
            sessions: [("seen", count(&counts.seen)), ("hit", count(&counts.hit))],
            bytes: [("passed", count(&counts.passed)), ("swallowed", count(&counts.swallowed))],
            held_bytes: count(&counts.held),
            delay: Duration::from_nanos(count(&counts.delayed_ns)),
            ends: [("reset", count(&counts.resets)), ("fin", count(&counts.cuts))],
        }
    };
    set.all().into_iter().map(told).collect()
}

/// The servers of a group, and how each stands.
fn group_servers_of(group: &Group) -> Vec<GroupServer> {
    let (now, members) = (Instant::now(), group.members());
    let told = |(server, standing): (Arc<group::Server>, Standing)| {
        let member = members.iter().find(|member| Arc::ptr_eq(&member.server, &server));
        let (time, why) = match &standing {
            Standing::Down { since, why } => {
                (Some(now.saturating_duration_since(*since)), Some(why.as_str()))
            }
            Standing::Ejected { until, why } => {
                (Some(until.saturating_duration_since(now)), Some(why.as_str()))
            }
            Standing::Awaited => (None, Some("its first check has no answer yet")),
            _ => (None, None),
        };
        GroupServer {
            upstream: group.name.as_str().into(),
            server: server.address().as_str().into(),
            state: standing.name().into(),
            for_ms: time.map(whole_milliseconds),
            why: why.map(SafeText::from),
            live: server.live() as u64,
            sessions: server.sessions(),
            weight: member.map_or(0, |member| member.weight),
            backup: member.is_some_and(|member| member.backup),
        }
    };
    group.servers().into_iter().map(told).collect()
}

fn detail(record: &Record, rates: &Look, draining: bool) -> SessionDetail {
    let dial = record.dial();
    let (near, far) = (dial.and_then(|dial| dial.local.as_ref()), upstream(record));
    let introduction = record.introduced();
    let hello = introduction.and_then(|introduction| introduction.hello.get());
    let splice_off = splice_off(record);
    SessionDetail {
        listed: listed(record, rates, draining),
        local: shown(&record.local),
        upstream_local: near.map(shown),
        resolve_ms: dial.and_then(|dial| dial.resolve).map(milliseconds),
        connect_ms: dial.and_then(|dial| dial.connect).map(milliseconds),
        first_byte_ms: record.first_byte().map(milliseconds),
        first_closer: record.first_closer(),
        taps: record.taps.count(),
        client_tcp: TcpInfo::query(&record.local, &record.client).ok(),
        upstream_tcp: near.zip(far).and_then(|(near, far)| TcpInfo::query(near, far).ok()),
        choice: record.choice().cloned().unwrap_or_default(),
        sni: hello.and_then(|hello| hello.sni.as_deref()).map(SafeText::literal),
        alpn: hello
            .iter()
            .flat_map(|hello| &hello.alpn)
            .map(|protocol| SafeText::literal(protocol))
            .collect(),
        ech: hello.is_some_and(|hello| hello.has_ech),
        client_tls: introduction.and_then(|of| of.client_tls.get()).cloned(),
        upstream_tls: introduction.and_then(|of| of.upstream_tls.get()).cloned(),
        spliced: splice_off.is_none(),
        splice_off: splice_off.map(SafeText::from),
        met: met_faults(record),
    }
}

/// Why bulk of a session is copied; none: it is spliced.
fn splice_off(record: &Record) -> Option<&'static str> {
    let are_open = record.sides().iter().all(|(direction, _)| direction.gate.is_open());
    if !record.listening.settings.splice {
        Some("--splice off")
    } else if record.opening() {
        Some("its stream has not begun")
    } else if !record.may_splice() {
        Some("tls")
    } else if record.taps.count() > 0 {
        Some("it is tapped")
    } else if record.is_faulted() && !are_open {
        Some("a fault hits it")
    } else if !are_open {
        Some("it is watched, or copied in this program")
    } else {
        None
    }
}

/// A session of which both streams have ended delivers what is left, as every session of a server that drains does.
fn phase(record: &Record, draining: bool) -> Phase {
    match (record.from_client.ended(), record.from_upstream.ended()) {
        (true, true) => Phase::Draining,
        (true, false) => Phase::ClientClosed,
        (false, true) => Phase::UpstreamClosed,
        (false, false) if record.opening() => Phase::Opening,
        (false, false) if record.dialling() => Phase::Dialling,
        (false, false) if draining => Phase::Draining,
        (false, false) => Phase::Open,
    }
}

fn upstream(record: &Record) -> Option<&Address> {
    record.dial().and_then(|dial| dial.upstream.as_ref())
}

fn shown(address: &Address) -> SafeText {
    SafeText::escaped(EscapedAddress(address))
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    fn record(id: u64, client: &str, bytes: usize) -> Arc<Record> {
        let record = Record::sample_from(id, Target::Echo, client);
        record.from_client.add_received(bytes);
        record
    }

    fn chosen(choice: &Choice) -> Vec<u64> {
        let records =
            vec![record(1, "10.0.0.1:1", 5), record(2, "10.0.0.2:77", 9), record(3, "192.0.2.1:3", 5)];
        let rates = Look::default();
        choose(choice, records, &rates, false).iter().map(|record| record.id).collect()
    }

    #[test]
    fn sessions_are_ordered_and_equal_ones_stay_in_order() {
        assert_eq!(chosen(&Choice::default()), [1, 2, 3]);
        assert_eq!(chosen(&Choice { sort: Sort::Bytes, ..Choice::default() }), [2, 1, 3]);
        assert_eq!(chosen(&Choice { sort: Sort::ClientBytes, ..Choice::default() }), [2, 1, 3]);
        for sort in [Sort::Problems, Sort::Client, Sort::Phase, Sort::Name, Sort::Upstream] {
            assert_eq!(chosen(&Choice { sort, ..Choice::default() }), [1, 2, 3], "{sort:?}");
        }
        assert_eq!(chosen(&Choice { reverse: true, ..Choice::default() }), [3, 2, 1]);
    }

    #[test]
    fn sessions_are_chosen_by_network_and_by_text() {
        let from = |text: &str| Choice { from: Some(text.parse().unwrap()), ..Choice::default() };
        let matching = |text: &str| Choice { matching: text.into(), ..Choice::default() };
        assert_eq!(chosen(&from("10.0.0.0/8")), [1, 2]);
        assert_eq!(chosen(&matching(":77")), [2]);
        assert_eq!(chosen(&matching("open")), [1, 2, 3]);
        assert!(chosen(&matching("not there")).is_empty());
    }
}
