//! A server from its start to its end: binds, starts the actors, waits for a signal, drains.

use crate::{
    error::{Error, reason},
    net::{
        address::{Address, EscapedAddress},
        dial::is_loop,
        endpoint::Endpoint,
        kernel,
        limits::{TooManySessions, raise_descriptor_limit, share},
        listener::Listener,
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
        mailbox::{Mailbox, mailbox},
        signals::StopSignals,
        task::{Panicked, Task},
    },
    server::{
        acceptor::Acceptor,
        books::Books,
        control,
        drain::Drain,
        http,
        operator::{OperatedServer, Operator},
        plan::Plan,
        side_door::SideDoor,
        supervisor::{ServerOutcome, Supervisor},
    },
    session::{
        context::{Context, CurrentDeadlines},
        onlookers::Onlookers,
        target::{Listening, Target},
    },
    text::{plain::takes_unicode, takes_colour},
};
use futures::{FutureExt, future::join_all, select_biased};
use std::{
    future::pending,
    io::{self, IsTerminal},
    pin::pin,
    sync::Arc,
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
    let share = share(raise_descriptor_limit());
    kernel::open();
    pipe::set_limit(if plan.splice { share.pipes } else { 0 });
    let signals =
        StopSignals::with_hangup().map_err(|error| Error::new("cannot take signals over", error))?;
    let bound = Bound::new(&plan)?;
    let (reporter, finish) =
        Reporter::start(format(&plan)).map_err(|error| Error::new("cannot start the reporter", error))?;
    if let Some(Err(shortage)) = plan.max_sessions.map(|sessions| bound.check(sessions)) {
        reporter.warn(format!("{shortage}: new connections may wait for descriptors"));
    }
    let control = control::bind(&plan.control, plan.group.as_deref(), |text| reporter.warn(text))?;
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
    let running = Running::start(&plan, bound, context, control, &reporter);
    exposed.iter().for_each(|line| reporter.warn(line));
    let outcome = running.until_stopped(signals, reporter).await;
    wind_up(gone, finish, outcome.as_ref().ok()).await;
    outcome
}

/// The sockets of a server that listens, before it accepts.
struct Bound {
    options: Options,
    listeners: Vec<(Listener, Arc<Listening>)>,
    metrics: Option<Listener>,
}

impl Bound {
    fn new(plan: &Plan) -> Result<Self, Error> {
        let congestion = plan.congestion.clone();
        congestion
            .check()
            .map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
        let options = Options { keepalive: plan.keepalive, user_timeout: plan.deadlines.stall, congestion };
        let mut listeners = Vec::new();
        for planned in &plan.listeners {
            let listener = listen(&planned.endpoint, "--listen", plan.backlog, &options)?;
            let address = listener.address().clone();
            let name = planned.name.clone().unwrap_or_else(|| EscapedAddress(&address).to_string());
            let listening = Listening { name, address, target: planned.target.clone() };
            listeners.push((listener, Arc::new(listening)));
        }
        let metrics = plan.metrics.as_ref();
        let metrics =
            metrics.map(|endpoint| listen(endpoint, "--metrics", http::BACKLOG, &options)).transpose()?;
        let bound = Bound { options, listeners, metrics };
        let own = bound.addresses();
        plan.listeners.iter().try_for_each(|planned| refuse_loop(&planned.target, &own))?;
        Ok(bound)
    }

    fn check(&self, sessions: usize) -> Result<(), TooManySessions> {
        let dial = self.listeners.iter().any(|(_, listening)| listening.target.dials());
        TooManySessions::check(sessions, dial)
    }

    fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|(_, listening)| listening.address.clone()).collect()
    }

    /// The line that says which listeners other machines reach; none if they reach none.
    fn exposed(&self) -> Option<String> {
        let listeners = self.listeners.iter().map(|(listener, _)| listener).chain(&self.metrics);
        let beyond_loopback = |address: &&Address| address.ip().is_some_and(|ip| !ip.is_loopback());
        let found: Vec<String> =
            listeners.map(Listener::address).filter(beyond_loopback).map(ToString::to_string).collect();
        let verb = if found.len() == 1 { "is" } else { "are" };
        (!found.is_empty()).then(|| format!("{} {verb} reachable from other machines", found.join(" and ")))
    }
}

/// The actors of a server that accepts.
struct Running {
    deadlines: Arc<CurrentDeadlines>,
    acceptors: Vec<Acceptor>,
    /// Where an operator asks for a drain.
    drain: Mailbox<()>,
    control: Option<SideDoor>,
    _metrics: Option<SideDoor>,
    supervisor: Supervisor,
    sessions: Task<ServerOutcome>,
    onlookers: Arc<Onlookers>,
}

impl Running {
    fn start(
        plan: &Plan,
        bound: Bound,
        context: Context,
        control: Option<Listener>,
        reporter: &Reporter,
    ) -> Self {
        let (slots, deadlines) = (context.slots.clone(), context.deadlines.clone());
        let listenings: Vec<_> = bound.listeners.iter().map(|(_, listening)| listening.clone()).collect();
        let books = Books::new(&listenings, plan.remember);
        let (supervisor, sessions) = Supervisor::start(context, plan.max_per_source, books);
        let (ask_drain, drain) = mailbox(1);
        let onlookers = reporter.events().onlookers().clone();
        let operator = Operator::new(OperatedServer {
            listeners: listenings,
            accept_errors: bound.listeners.iter().map(|(listener, _)| listener.errors()).collect(),
            began: Instant::now(),
            started: SystemTime::now(),
            slots: slots.clone(),
            deadlines: deadlines.clone(),
            supervisor: supervisor.clone(),
            events: reporter.events().clone(),
            drain: ask_drain,
        });
        let control = control.map(|listener| control::start(listener, operator.clone(), reporter.clone()));
        let metrics = bound.metrics.map(|listener| {
            reporter.warn(format!("metrics on {}", listener.address()));
            let host = plan.metrics.as_ref().and_then(Endpoint::name);
            http::start(listener, host, operator, reporter.clone())
        });
        let accept = |(listener, listening): (Listener, Arc<Listening>)| {
            reporter.warn(format!("listening on {}, {}", listener.address(), listening.target));
            Acceptor::start(listener, listening, slots.clone(), supervisor.clone(), reporter.clone())
        };
        let acceptors = bound.listeners.into_iter().map(accept).collect();
        Running { deadlines, acceptors, drain, control, _metrics: metrics, supervisor, sessions, onlookers }
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
            // While one listener lives the server goes on.
            let failed = join_all(self.acceptors.iter_mut().map(Acceptor::ended));
            select_biased! {
                () = signals.next().fuse() => None,
                () = pin!(drain.fuse()) => None,
                _ = failed.fuse() => Some(io::Error::other("every listener failed")),
            }
        };
        for acceptor in self.acceptors {
            acceptor.stop().await;
        }
        let mut drain = Drain::begin(self.supervisor, self.deadlines.get().drain, reporter).await;
        let end = loop {
            let again = select_biased! {
                end = (&mut self.sessions).fuse() => break end.map_err(fault),
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

fn fault(panicked: Panicked) -> Error {
    Error::new("the supervisor ended", io::Error::other(panicked.to_string()))
}

/// Waits until every socket is closed, because the end of the process resets no connection whose stream to the peer has
/// ended, and until every line is written.
async fn wind_up(mut gone: Mailbox<()>, finish: Finish, outcome: Option<&ServerOutcome>) {
    within(Some(LAST_SOCKETS), gone.next()).await;
    let limit = if outcome == Some(&ServerOutcome::Cut) { LAST_LINES_AFTER_CUT } else { LAST_LINES };
    finish.wait(limit).await;
}

/// Listens; `flag` is the option that names the address.
fn listen(endpoint: &Endpoint, flag: &str, backlog: i32, options: &Options) -> Result<Listener, Error> {
    Listener::bind(endpoint, backlog, options).map_err(|error| {
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
        let why = io::Error::new(error.kind(), format!("{}{advice}", reason(&error)));
        Error::new(format!("cannot listen on {endpoint}"), why)
    })
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
