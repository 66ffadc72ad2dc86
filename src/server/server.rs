//! A server from its start to its end: binds, starts the actors, waits for a signal, drains.

use crate::{
    error::{Error, reason},
    net::{
        address::Address,
        dial::{Destination, is_loop},
        endpoint::Endpoint,
        limits::{self, TooManySessions},
        listener::{ListenSocket, Listener},
        options::Options,
        pipe,
    },
    report::{
        format::{Dump, Format, Log},
        reporter::{Finish, Reporter},
    },
    runtime::{
        clock::within,
        limit::Slots,
        lock::Lock,
        mailbox::{Mailbox, mailbox},
        signals::StopSignals,
    },
    server::{
        books::{Books, Remembered},
        control,
        drain::Drain,
        groups::{self, Groups, Shared},
        http,
        operator::{OperatedServer, Operator},
        plan::Plan,
        shards::{Listeners, Shards},
        side_door::SideDoor,
        supervisor::ServerOutcome,
        supervisors::{Common, Supervisors},
    },
    session::{
        context::{Context, OwnAddresses},
        onlookers::Onlookers,
        sources::SourceCounts,
    },
    text::{plain::takes_unicode, takes_colour},
};
use futures::{FutureExt, select_biased};
use std::{
    future::pending,
    io::{self, IsTerminal},
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// After a drain, how long the last lines may take: a reader that never reads must not hold up the end.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Closing a socket takes some 10 µs; this is enough for any number of them.
const LAST_SOCKETS: Duration = Duration::from_secs(2);
/// After a cut, the operator wants the end at once.
const LAST_LINES_AFTER_CUT: Duration = Duration::from_millis(100);

/// Runs a server until it is stopped. It says `notes` once it listens.
/// Fails if it cannot listen, or if every listener has failed.
pub async fn run(plan: Plan, notes: Vec<String>) -> Result<ServerOutcome, Error> {
    let threads = plan.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    limits::reserve(threads, plan.listeners.len());
    let share = limits::share(limits::raise_descriptor_limit());
    let splices = plan.listeners.iter().any(|listener| listener.splice);
    pipe::set_limit(if splices { share.pipes } else { 0 });
    let signals =
        StopSignals::with_hangup().map_err(|error| Error::new("cannot take signals over", error))?;
    let bound = Bound::new(&plan, threads)?;
    let (reporter, finish) =
        Reporter::start(format(&plan)).map_err(|error| Error::new("cannot start the reporter", error))?;
    if let Some(Err(shortage)) = plan.max_sessions.map(|sessions| bound.check(sessions)) {
        reporter.warn(format!("{shortage}: new connections may wait for descriptors"));
    }
    let control = control::bind(&plan.control, plan.group.as_deref(), |text| reporter.warn(text))?;
    let (alive, gone) = mailbox(1);
    let context = Context {
        own: OwnAddresses::default(),
        slots: Slots::new(plan.max_sessions.unwrap_or(share.sessions)),
        events: reporter.events().clone(),
        alive,
    };
    let exposed = bound.exposed();
    notes.iter().for_each(|note| reporter.warn(note));
    let running = Running::start(&plan, bound, context, control, &reporter).await?;
    exposed.iter().for_each(|line| reporter.warn(line));
    let outcome = running.until_stopped(signals, reporter).await;
    wind_up(gone, finish, outcome.as_ref().ok()).await;
    outcome
}

/// The sockets of a server that listens, before it accepts.
struct Bound {
    listeners: Listeners,
    metrics: Option<Listener>,
}

impl Bound {
    /// Each listener gets a socket for each of the `threads`, before any accepts.
    fn new(plan: &Plan, threads: usize) -> Result<Self, Error> {
        let groups = Groups::new(&plan.upstreams, &Groups::default());
        let mut listeners = Vec::new();
        for planned in &plan.listeners {
            let (options, congestion) = (groups::options(planned), &planned.congestion);
            congestion
                .check()
                .map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
            let shared = Shared::new(planned);
            for endpoint in &planned.endpoints {
                let mut sockets = vec![listen(endpoint, "--listen", planned.backlog, &options)?];
                for _ in 1..threads {
                    let another = sockets[0].another(planned.backlog, &options);
                    sockets.push(another.map_err(|error| cannot_listen(endpoint, "--listen", &error))?);
                }
                let address = sockets[0].address().clone();
                let listening = shared.clone().listening(plan, planned, &groups, address);
                listeners.push((Arc::new(listening), sockets));
            }
        }
        let metrics = plan.metrics.as_ref();
        let metrics = metrics
            .map(|endpoint| listen(endpoint, "--metrics", http::BACKLOG, &Options::default()))
            .transpose()?;
        let metrics = metrics.map(Listener::open).transpose();
        let metrics = metrics.map_err(|error| Error::new("cannot serve metrics", error))?;
        let bound = Bound { listeners, metrics };
        let own = bound.addresses();
        let servers = plan.upstreams.iter().flat_map(|upstream| &upstream.servers);
        servers.into_iter().try_for_each(|server| refuse_loop(&server.destination, &own))?;
        Ok(bound)
    }

    fn check(&self, sessions: usize) -> Result<(), TooManySessions> {
        let dial = self.listeners.iter().any(|(listening, _)| listening.target.dials());
        TooManySessions::check(sessions, dial)
    }

    fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|(listening, _)| listening.address.clone()).collect()
    }

    /// The line that says which listeners other machines reach; none if they reach none.
    fn exposed(&self) -> Option<String> {
        let listeners = self.listeners.iter().map(|(listening, _)| &listening.address);
        let beyond_loopback = |address: &&Address| address.ip().is_some_and(|ip| !ip.is_loopback());
        let metrics = self.metrics.as_ref().map(Listener::address);
        let found: Vec<String> =
            listeners.chain(metrics).filter(beyond_loopback).map(ToString::to_string).collect();
        let verb = if found.len() == 1 { "is" } else { "are" };
        (!found.is_empty()).then(|| format!("{} {verb} reachable from other machines", found.join(" and ")))
    }
}

/// The actors of a server that accepts.
struct Running {
    /// From the begin of a drain to the cut.
    drain_timeout: Arc<Lock<Option<Duration>>>,
    /// Where an operator asks for a drain.
    drain: Mailbox<()>,
    control: Option<SideDoor>,
    _metrics: Option<SideDoor>,
    supervisors: Supervisors,
    shards: Shards,
    onlookers: Arc<Onlookers>,
}

impl Running {
    async fn start(
        plan: &Plan,
        bound: Bound,
        context: Context,
        control: Option<Listener>,
        reporter: &Reporter,
    ) -> Result<Self, Error> {
        let slots = context.slots.clone();
        context.own.set(bound.addresses());
        let drain_timeout = Arc::new(Lock::new(plan.drain_timeout));
        let Bound { listeners, metrics, .. } = bound;
        let threads = listeners.iter().map(|(_, sockets)| sockets.len()).max().unwrap_or(1);
        let errors = listeners.iter().filter_map(|(_, sockets)| sockets.first()).map(ListenSocket::errors);
        let accept_errors = errors.collect();
        let listenings: Vec<_> = listeners.iter().map(|(listening, _)| listening.clone()).collect();
        let remembered = Arc::new(Remembered::new(plan.remember));
        let books = Books::new(&listenings, remembered.clone());
        let per_source = SourceCounts::new(plan.max_per_source);
        let common = Common { context: context.into(), per_source, last_id: AtomicU64::new(0) };
        let (supervisors, idle) = Supervisors::new(common, books, remembered, threads);
        let (ask_drain, drain) = mailbox(1);
        let onlookers = reporter.events().onlookers().clone();
        let operator = Operator::new(OperatedServer {
            listeners: listenings,
            accept_errors,
            began: Instant::now(),
            started: SystemTime::now(),
            slots: slots.clone(),
            drain_timeout: drain_timeout.clone(),
            supervisor: supervisors.clone(),
            events: reporter.events().clone(),
            drain: ask_drain,
        });
        let control = control.map(|listener| control::start(listener, operator.clone(), reporter.clone()));
        let metrics = metrics.map(|listener| {
            reporter.warn(format!("metrics on {}", listener.address()));
            let host = plan.metrics.as_ref().and_then(Endpoint::name);
            http::start(listener, host, operator, reporter.clone())
        });
        let lines = listeners
            .iter()
            .map(|(listening, _)| format!("listening on {}, {}", listening.address, listening.target));
        let lines: Vec<_> = lines.collect();
        let shards = Shards::start(listeners, &supervisors, idle, &slots, reporter, plan.busy_poll).await?;
        lines.iter().for_each(|line| reporter.warn(line));
        Ok(Running { drain_timeout, drain, control, _metrics: metrics, supervisors, shards, onlookers })
    }

    async fn until_stopped(
        mut self,
        mut signals: StopSignals,
        reporter: Reporter,
    ) -> Result<ServerOutcome, Error> {
        let failure = {
            let drain = async {
                // Without a control socket and metrics no operator is left, and the mailbox has ended.
                if self.drain.next().await.is_none() {
                    pending::<()>().await;
                }
            };
            select_biased! {
                () = signals.next().fuse() => None,
                () = pin!(drain.fuse()) => None,
                failure = pin!(self.shards.failed().fuse()) => Some(failure),
            }
        };
        self.shards.stop_accepting().await;
        let limit = *self.drain_timeout.lock();
        let mut drain = Drain::begin(self.supervisors, limit, reporter).await;
        let end = loop {
            let again = select_biased! {
                end = pin!(self.shards.ended().fuse()) => break end,
                () = signals.next_but_hangup().fuse() => true,
                () = pin!(drain.count_down().fuse()) => false,
            };
            if again {
                drain.cut().await;
            }
        };
        drain.end(end.as_ref());
        self.onlookers.end();
        if let Some(control) = self.control {
            control.stop(control::LAST_WORDS).await;
        }
        failure.map_or(end, |failure| Err(Error::new("cannot go on accepting", failure)))
    }
}

/// Waits until every socket is closed, because the end of the process resets no connection whose stream to the peer has
/// ended, and until every line is written.
async fn wind_up(mut gone: Mailbox<()>, finish: Finish, outcome: Option<&ServerOutcome>) {
    within(Some(LAST_SOCKETS), gone.next()).await;
    let limit = if outcome == Some(&ServerOutcome::Cut) { LAST_LINES_AFTER_CUT } else { LAST_LINES };
    finish.wait(limit).await;
}

/// Listens; `flag` is the option that names the address.
fn listen(endpoint: &Endpoint, flag: &str, backlog: i32, options: &Options) -> Result<ListenSocket, Error> {
    ListenSocket::bind(endpoint, backlog, options, None)
        .map_err(|error| cannot_listen(endpoint, flag, &error))
}

fn cannot_listen(endpoint: &Endpoint, flag: &str, error: &io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; stop the program that uses it or choose another {flag} address")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; choose a {flag} port from 1024 up, or run with the right to bind it")
        }
        io::ErrorKind::AddrNotAvailable => format!("; choose a {flag} address of this machine"),
        _ => String::new(),
    };
    let why = io::Error::new(error.kind(), format!("{}{advice}", reason(error)));
    Error::new(format!("cannot listen on {endpoint}"), why)
}

/// An upstream that is one of our own listeners would connect to itself for ever.
fn refuse_loop(upstream: &Destination, own: &[Address]) -> Result<(), Error> {
    if is_loop(upstream, own) {
        let reason = io::Error::other(
            "it is this proxy's own listener; choose another --upstream or --listen address",
        );
        return Err(Error::new(format!("cannot relay to {}", upstream.endpoint), reason));
    }
    Ok(())
}

fn format(plan: &Plan) -> Option<Format> {
    // One log for all listeners: what one of them shows is shown in its form.
    let dump = plan.listeners.iter().map(|listener| listener.dump).find(|dump| *dump != Dump::Off);
    let colour = io::stdout().is_terminal() && takes_colour();
    (plan.log != Log::Off).then_some(Format {
        log: plan.log,
        dump: dump.unwrap_or_default(),
        colour,
        ascii: !takes_unicode(),
    })
}
