//! A server from its start to its end: binds, starts the actors, waits for a signal, drains.

use crate::{
    control::place::Control,
    error::{Error, reason},
    net::{
        address::{Address, EscapedAddress},
        dial::is_loop,
        endpoint::Endpoint,
        limits::{self, TooManySessions},
        listener::{ListenSocket, Listener},
        options::Options,
        passed::{CONTROL, METRICS, Passable, Passed, listener_name},
        pipe,
    },
    report::{
        format::{Dump, Format, Log},
        reporter::{Finish, Reporter},
    },
    runtime::{
        clock::within,
        limit::Slots,
        mailbox::{Mailbox, mailbox},
        signals::StopSignals,
    },
    server::{
        books::{Books, Remembered},
        control,
        drain::Drain,
        http,
        notify::Notify,
        operator::{OperatedServer, Operator},
        plan::{Plan, PlannedListener},
        shards::{Listeners, Shards},
        side_door::SideDoor,
        sources::SourceCounts,
        supervisor::ServerOutcome,
        supervisors::{Common, Supervisors},
        upgrade::{Former, Inherited, Upgrade},
    },
    session::{
        context::{Context, CurrentDeadlines},
        onlookers::Onlookers,
        target::{Listening, Target},
    },
    text::{plain::takes_unicode, takes_colour},
};
use futures::{FutureExt, select_biased};
use std::{
    future::pending,
    io::{self, IsTerminal},
    mem,
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
/// Sockets that are `passed` are those of its listeners.
/// Fails if it cannot listen, or if every listener has failed.
pub async fn run(plan: Plan, notes: Vec<String>, passed: Passed) -> Result<ServerOutcome, Error> {
    let threads = plan.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    limits::reserve(threads, plan.listeners.len());
    let share = limits::share(limits::raise_descriptor_limit());
    pipe::set_limit(if plan.splice { share.pipes } else { 0 });
    let signals =
        StopSignals::with_hangup().map_err(|error| Error::new("cannot take signals over", error))?;
    let mut bound = Bound::new(&plan, threads, passed)?;
    let (reporter, finish) =
        Reporter::start(format(&plan)).map_err(|error| Error::new("cannot start the reporter", error))?;
    if let Some(Err(shortage)) = plan.max_sessions.map(|sessions| bound.check(sessions)) {
        reporter.warn(format!("{shortage}: new connections may wait for descriptors"));
    }
    let passed = bound.inherited.control.take();
    let control = control::bind(&plan.control, plan.group.as_deref(), passed, |text| reporter.warn(text))?;
    let (alive, gone) = mailbox(1);
    let context = Context {
        deadlines: Arc::new(CurrentDeadlines::new(plan.deadlines)),
        splice: plan.splice,
        dump_limit: (plan.dump != Dump::Off && plan.log != Log::Off).then_some(plan.dump_limit),
        options: bound.options.clone(),
        own: bound.addresses(),
        slots: Slots::new(plan.max_sessions.unwrap_or(share.sessions)),
        events: reporter.events().clone(),
        alive,
    };
    let exposed = bound.exposed();
    notes.iter().for_each(|note| reporter.warn(note));
    let left = mem::take(&mut bound.inherited.left);
    left.iter().for_each(|name| reporter.warn(format!("no listener has the passed socket {name} any more")));
    let former = bound.inherited.former.take();
    let running = Running::start(&plan, bound, context, control, &reporter).await?;
    left.iter().for_each(|name| running.notify.forget(name));
    running.notify.started(former.is_some());
    former.map_or(Ok(()), Former::tell_ready)?;
    exposed.iter().for_each(|line| reporter.warn(line));
    let outcome = running.until_stopped(signals, reporter).await;
    wind_up(gone, finish, outcome.as_ref().ok()).await;
    outcome
}

/// The sockets of a server that listens, before it accepts.
struct Bound {
    options: Options,
    listeners: Listeners,
    /// How many sockets a listener has at least.
    threads: usize,
    metrics: Option<Listener>,
    inherited: Inherited,
    /// What can be passed on.
    passable: Passable,
}

impl Bound {
    /// Each listener gets a socket for each of the `threads`, before any accepts.
    fn new(plan: &Plan, threads: usize, passed: Passed) -> Result<Self, Error> {
        let congestion = plan.congestion.clone();
        congestion
            .check()
            .map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
        let options = Options { keepalive: plan.keepalive, user_timeout: plan.deadlines.stall, congestion };
        let (mut listeners, passable) = (Vec::new(), Passable::default());
        let mut inherited = Inherited::claim(passed, plan, &options)?;
        for (planned, passed) in plan.listeners.iter().zip(mem::take(&mut inherited.listeners)) {
            let name = listener_name(planned.name.as_deref(), &planned.endpoint);
            for sockets in open(planned, passed, threads, plan.backlog, &options)? {
                sockets.iter().for_each(|socket| passable.add(&name, socket.handle()));
                let address = sockets[0].address().clone();
                let name = planned.name.clone().unwrap_or_else(|| EscapedAddress(&address).to_string());
                let listening = Listening { name, address, target: planned.target.clone() };
                listeners.push((Arc::new(listening), sockets));
            }
        }
        let metrics = match (&plan.metrics, inherited.metrics.take()) {
            (Some(endpoint), None) => Some(listen(endpoint, "--metrics", http::BACKLOG, &options)?),
            (_, passed) => passed,
        };
        let metrics = metrics.map(Listener::open).transpose();
        let metrics = metrics.map_err(|error| Error::new("cannot serve metrics", error))?;
        metrics.iter().for_each(|metrics| passable.add(METRICS, metrics.handle()));
        let bound = Bound { options, listeners, threads, metrics, inherited, passable };
        let own = bound.addresses();
        plan.listeners.iter().try_for_each(|planned| refuse_loop(&planned.target, &own))?;
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
    deadlines: Arc<CurrentDeadlines>,
    /// Where an operator asks for a drain.
    drain: Mailbox<()>,
    control: Option<SideDoor>,
    metrics: Option<SideDoor>,
    notify: Notify,
    upgrade: Upgrade,
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
        let (slots, deadlines) = (context.slots.clone(), context.deadlines.clone());
        let Bound { listeners, threads, metrics, passable, .. } = bound;
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
            deadlines: deadlines.clone(),
            supervisor: supervisors.clone(),
            events: reporter.events().clone(),
            drain: ask_drain,
        });
        if let (Some(control), Control::At(_)) = (&control, &plan.control) {
            passable.add(CONTROL, control.handle());
        }
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
        let addresses: Vec<_> =
            listeners.iter().map(|(listening, _)| listening.address.to_string()).collect();
        let notify = Notify::start(supervisors.clone(), &addresses, passable.clone());
        let upgrade = Upgrade::start(passable, reporter.clone())
            .map_err(|error| Error::new("cannot take signals over", error))?;
        let shards = Shards::start(listeners, &supervisors, idle, &slots, reporter, plan.busy_poll).await?;
        lines.iter().for_each(|line| reporter.warn(line));
        Ok(Running { deadlines, drain, control, metrics, notify, upgrade, supervisors, shards, onlookers })
    }

    async fn until_stopped(
        mut self,
        mut signals: StopSignals,
        reporter: Reporter,
    ) -> Result<ServerOutcome, Error> {
        let mut is_replaced = false;
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
                () = pin!(self.upgrade.done().fuse()) => {
                    is_replaced = true;
                    None
                }
                failure = pin!(self.shards.failed().fuse()) => Some(failure),
            }
        };
        self.begin_end(is_replaced);
        self.shards.stop_accepting().await;
        let mut drain = Drain::begin(self.supervisors, self.deadlines.get().drain, reporter).await;
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

    /// Before the drain: tells the manager, or leaves that and the listeners beside the traffic to the process that has
    /// taken over.
    fn begin_end(&mut self, is_replaced: bool) {
        self.upgrade.end();
        if !is_replaced {
            return self.notify.stopping();
        }
        self.notify.fall_silent();
        // A control socket in the user's folder is named by its process, and stays.
        let control = self.control.as_mut().filter(|_| self.upgrade.has_passed(CONTROL));
        self.metrics.iter_mut().chain(control).for_each(SideDoor::leave);
    }
}

/// Waits until every socket is closed, because the end of the process resets no connection whose stream to the peer has
/// ended, and until every line is written.
async fn wind_up(mut gone: Mailbox<()>, finish: Finish, outcome: Option<&ServerOutcome>) {
    within(Some(LAST_SOCKETS), gone.next()).await;
    let limit = if outcome == Some(&ServerOutcome::Cut) { LAST_LINES_AFTER_CUT } else { LAST_LINES };
    finish.wait(limit).await;
}

/// The sockets of a listener, by their addresses: those that were passed, else its own. Each address has one for each of the
/// `threads`, or more.
fn open(
    planned: &PlannedListener,
    passed: Vec<Vec<ListenSocket>>,
    threads: usize,
    backlog: i32,
    options: &Options,
) -> Result<Vec<Vec<ListenSocket>>, Error> {
    let endpoint = &planned.endpoint;
    let mut all = passed;
    if all.is_empty() {
        all.push(vec![listen(endpoint, "--listen", backlog, options)?]);
    }
    for sockets in &mut all {
        let first = sockets.len();
        for number in first..threads {
            let another = sockets[number % first].another(backlog, options);
            sockets.push(another.map_err(|error| cannot_listen(endpoint, "--listen", &error))?);
        }
    }
    Ok(all)
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
fn refuse_loop(target: &Target, own: &[Address]) -> Result<(), Error> {
    let Target::Upstream(upstream) = target else { return Ok(()) };
    if is_loop(upstream, own) {
        let reason = io::Error::other(
            "it is this proxy's own listener; choose another --upstream or --listen address",
        );
        return Err(Error::new(format!("cannot relay to {}", upstream.endpoint), reason));
    }
    Ok(())
}

fn format(plan: &Plan) -> Option<Format> {
    let colour = io::stdout().is_terminal() && takes_colour();
    (plan.log != Log::Off).then_some(Format {
        log: plan.log,
        dump: plan.dump,
        colour,
        ascii: !takes_unicode(),
    })
}
