//! A server from its start to its end: binds, starts the actors, waits for a signal, drains.

use crate::{
    error::{Error, reason},
    net::{
        address::Address,
        dial::is_loop,
        endpoint::Endpoint,
        kernel,
        limits::{raise_descriptor_limit, share},
        listener::Listener,
        options::Options,
        pipe,
    },
    report::{
        format::{Dump, Format, Log},
        reporter::{Finish, Reporter, start_line},
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
        control::{self, ControlServer},
        http::{
            self, Admin,
            pages::{Condition, Sources},
        },
        operator::{OperatedServer, Operator},
        plan::Plan,
        supervisor::{Outcome, Supervisor},
    },
    session::{
        context::{Context, CurrentDeadlines},
        event::Mode,
        target::{Listening, Target},
    },
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

/// Runs a server until it is stopped.
///
/// # Errors
/// If it cannot listen, or every listener has failed.
pub async fn run(plan: Plan) -> Result<Outcome, Error> {
    let started = SystemTime::now();
    let share = share(raise_descriptor_limit());
    kernel::open();
    pipe::set_limit(if plan.splice { share.pipes } else { 0 });
    let mut signals =
        StopSignals::with_hangup().map_err(|error| Error::new("cannot take signals over", error))?;
    let congestion = plan.congestion;
    congestion.check().map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
    let options = Options { keepalive: plan.keepalive, user_timeout: plan.deadlines.stall, congestion };
    let listeners: Vec<Listener> = plan
        .listeners
        .iter()
        .map(|planned| listen(&planned.endpoint, "--listen", plan.backlog, &options))
        .collect::<Result<_, _>>()?;
    let metrics = plan.metrics.as_ref();
    let admin_listener =
        metrics.map(|endpoint| listen(endpoint, "--metrics", http::BACKLOG, &options)).transpose()?;
    let admin_host = metrics.and_then(Endpoint::name);
    let own: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
    plan.listeners.iter().try_for_each(|planned| refuse_loop(&planned.target, &own))?;
    let exposed = exposed(own.iter().chain(admin_listener.as_ref().map(Listener::address)));
    let (reporter, finish) =
        Reporter::start(format(&plan)).map_err(|error| Error::new("cannot start the reporter", error))?;
    let control = control::bind(&plan.control, |text| reporter.warn(text))?;
    let slots = Slots::new(plan.max_sessions.unwrap_or(share.sessions));
    let (alive, gone) = mailbox(1);
    let (drain, drained) = mailbox(1);
    let deadlines = Arc::new(CurrentDeadlines::new(plan.deadlines));
    let context = Arc::new(Context {
        deadlines: deadlines.clone(),
        splice: plan.splice,
        dump_limit: (plan.dump != Dump::Off && plan.log != Log::Off).then_some(plan.dump_limit),
        options,
        own: own.clone(),
        events: reporter.events().clone(),
        alive,
    });
    let mode = plan.listeners.first().map_or(Mode::Echo, |planned| planned.target.mode());
    let (supervisor, sessions) = Supervisor::start(context, plan.max_per_source, plan.remember);
    let control = control.map(|listener| {
        let operator = Operator::new(OperatedServer {
            mode,
            listeners: own,
            began: Instant::now(),
            slots: slots.clone(),
            deadlines: deadlines.clone(),
            supervisor: supervisor.clone(),
            drain,
        });
        ControlServer::start(listener, operator, reporter.clone())
    });
    let admin = admin_listener.map(|listener| {
        let accept_errors = listeners.iter().map(Listener::errors).collect();
        let (supervisor, reporter) = (supervisor.clone(), reporter.clone());
        reporter.warn(format!("metrics on {}", listener.address()));
        let slots = slots.clone();
        Admin::start(
            listener,
            admin_host,
            Sources { mode, started, supervisor, reporter, slots, accept_errors },
        )
    });
    let acceptors = listeners
        .into_iter()
        .zip(&plan.listeners)
        .map(|(listener, planned)| {
            let address = listener.address().clone();
            reporter.warn(start_line(&address.to_string(), &planned.target.to_string()));
            let name = planned.name.clone().unwrap_or_else(|| address.to_string());
            let listening = Arc::new(Listening { name, address, target: planned.target.clone() });
            Acceptor::start(listener, listening, slots.clone(), supervisor.clone(), reporter.clone())
        })
        .collect();
    exposed.iter().for_each(|line| reporter.warn(line));
    let running = Running { signals: &mut signals, drain: drained, acceptors, admin, supervisor, sessions };
    let outcome = running.until_stopped(&deadlines).await;
    if let Some(control) = control {
        control.stop().await;
    }
    drop(reporter);
    wind_up(gone, finish, outcome.as_ref().ok()).await;
    outcome
}

struct Running<'a> {
    signals: &'a mut StopSignals,
    /// Where an operator asks for a drain.
    drain: Mailbox<()>,
    acceptors: Vec<Acceptor>,
    admin: Option<Admin>,
    supervisor: Supervisor,
    sessions: Task<Outcome>,
}

impl Running<'_> {
    async fn until_stopped(mut self, deadlines: &CurrentDeadlines) -> Result<Outcome, Error> {
        let failure = {
            let drain = async {
                // Without a control socket nobody asks.
                if self.drain.next().await.is_none() {
                    pending::<()>().await;
                }
            };
            // While one listener lives the server goes on.
            let failed = join_all(self.acceptors.iter_mut().map(Acceptor::ended));
            select_biased! {
                () = self.signals.next().fuse() => None,
                () = pin!(drain.fuse()) => None,
                _ = failed.fuse() => Some(io::Error::other("every listener failed")),
            }
        };
        if let Some(admin) = &self.admin {
            admin.tell(Condition::Draining);
        }
        for acceptor in self.acceptors {
            acceptor.stop().await;
        }
        self.supervisor.drain(deadlines.get().drain).await;
        let end = loop {
            select_biased! {
                end = (&mut self.sessions).fuse() => break end.map_err(fault)?,
                () = self.signals.next_but_hangup().fuse() => self.supervisor.cut().await,
            }
        };
        failure.map_or(Ok(end), |failure| Err(Error::new("cannot go on accepting", failure)))
    }
}

fn fault(panicked: Panicked) -> Error {
    Error::new("the supervisor ended", io::Error::other(panicked.to_string()))
}

/// Waits until every socket is closed, for the end of the process resets no connection whose stream to the peer has ended,
/// and every line is written.
async fn wind_up(mut gone: Mailbox<()>, finish: Finish, outcome: Option<&Outcome>) {
    within(Some(LAST_SOCKETS), gone.next()).await;
    let limit = if outcome == Some(&Outcome::Cut) { LAST_LINES_AFTER_CUT } else { LAST_LINES };
    finish.wait(limit).await;
}

/// Listens; `flag` is the option that says where.
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

/// The line that says which of the listeners other machines reach; none if none does.
fn exposed<'a>(listeners: impl Iterator<Item = &'a Address>) -> Option<String> {
    let beyond_loopback = |address: &&Address| address.ip().is_some_and(|ip| !ip.is_loopback());
    let found: Vec<String> = listeners.filter(beyond_loopback).map(ToString::to_string).collect();
    let verb = if found.len() == 1 { "is" } else { "are" };
    (!found.is_empty()).then(|| format!("{} {verb} reachable from other machines", found.join(" and ")))
}

fn format(plan: &Plan) -> Option<Format> {
    let colour =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    (plan.log != Log::Off).then_some(Format { log: plan.log, dump: plan.dump, colour })
}
