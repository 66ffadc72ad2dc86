//! SIGUSR2: this program is started anew on the same sockets, and this process drains once the new one is ready. If that
//! fails, or is not ready in time, this process goes on.
//!
//! The new process waits for the same sockets as this one, so no connection is refused, and what is in the kernel's queues
//! is taken by either. It is passed what a service manager would pass (sd_listen_fds(3)), and one end of a socket pair, at
//! which it says that it is ready. Its number can be said only by itself: it begins with a step that does so, and executes
//! itself, which keeps the number.

use crate::{
    control::place::Control,
    error::{Error, reason},
    net::{
        endpoint::Endpoint,
        listener::ListenSocket,
        options::Options,
        passed::{
            AGENT, API, CHANNEL, CONTROL, COUNT, Claimant, FILES, FIRST_NUMBER, METRICS, NAMES, PID,
            Passable, Passed, STATE, listener_name,
        },
        socket::Socket,
    },
    report::reporter::Reporter,
    runtime::{
        blocking::blocking,
        clock::{sleep, within},
        mailbox::{Mailbox, Sender, mailbox},
        signals::UpgradeSignals,
        task::{Task, spawn},
    },
    server::{
        handover::{Estate, Handover},
        notify::{WATCHDOG, WATCHDOG_PID},
        operator::Ending,
        plan::{Plan, PlannedListener},
    },
};
use command_fds::{CommandFdExt, FdMapping};
use futures::{
    FutureExt,
    future::{Either, pending, select},
    lock::Mutex,
    select_biased,
};
use rustix::{net::sockopt, process::test_kill_process};
use std::{
    collections::VecDeque,
    env,
    ffi::OsString,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    pin::pin,
    process::{self, Child, Command, ExitStatus},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// A start takes some milliseconds, and looking names up up to some seconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// What has closed its end has ended, or is about to.
const END_LIMIT: Duration = Duration::from_secs(1);
const END_STEP: Duration = Duration::from_millis(10);
/// Tells the new process that it is to do the first step.
const CHILD: &str = "SWITCHBOARD_UPGRADE_CHILD";
/// What the new process says when connections can be made.
const READY: u8 = b'r';

/// In a process that replaces another, at its first step: executes this program again, and returns only if that fails. In any
/// other process it returns none.
pub fn take_step() -> Option<io::Error> {
    env::var_os(CHILD)?;
    let mut words = env::args_os();
    let mut command = Command::new(words.next()?);
    let pid = process::id().to_string();
    command.args(words).env_remove(CHILD).env(PID, &pid);
    if env::var_os(WATCHDOG).is_some() {
        command.env(WATCHDOG_PID, &pid);
    }
    Some(command.exec())
}

/// What a server does not open itself, by the plan that it follows.
pub struct Inherited {
    /// For each endpoint of each listener that is open, in their order: the sockets of each address; none if it is to be opened.
    pub endpoints: VecDeque<Vec<Vec<ListenSocket>>>,
    pub metrics: Option<ListenSocket>,
    pub agent: Option<ListenSocket>,
    pub control: Option<ListenSocket>,
    pub api: Option<ListenSocket>,
    /// Names of sockets that no listener has any more.
    pub left: Vec<String>,
    pub former: Option<Former>,
}

impl Inherited {
    pub fn claim(passed: Passed, plan: &Plan) -> Result<Self, Error> {
        let control = match &plan.control {
            Control::At(path) => Some(Endpoint::Unix(path.clone())),
            Control::Default | Control::Off => None,
        };
        let api = plan.api.as_ref().map(|api| &api.endpoint);
        let beside = [
            (METRICS, plan.metrics.as_ref()),
            (AGENT, plan.agent.as_ref()),
            (CONTROL, control.as_ref()),
            (API, api),
        ];
        let open = || plan.listeners.iter().filter(|planned| planned.is_open());
        let named = |planned: &'_ PlannedListener, endpoint| listener_name(planned.name.as_deref(), endpoint);
        let listeners = open().flat_map(|planned| {
            planned
                .endpoints
                .iter()
                .map(move |endpoint| Claimant { name: named(planned, endpoint), endpoint })
        });
        let others = beside.into_iter().filter_map(|(name, endpoint)| {
            endpoint.map(|endpoint| Claimant { name: name.to_owned(), endpoint })
        });
        let wanted: Vec<_> = listeners.chain(others).collect();
        let count = open().map(|planned| planned.endpoints.len()).sum();
        // Each listener gives its sockets its own options afterwards.
        let claimed = passed.claim(&wanted, &Options::default())?;
        let mut endpoints = claimed.sockets;
        let mut beside = endpoints.split_off(count).into_iter();
        let mut next = |wanted: bool| {
            let sockets = if wanted { beside.next() } else { None };
            sockets.into_iter().flatten().flatten().next()
        };
        let (metrics, agent) = (next(plan.metrics.is_some()), next(plan.agent.is_some()));
        let (control, api) = (next(control.is_some()), next(api.is_some()));
        let (former, left) = (claimed.former.map(Former), claimed.left);
        Ok(Inherited { endpoints: endpoints.into(), metrics, agent, control, api, left, former })
    }
}

/// The process that this one replaces, which waits to hear of it.
pub struct Former(UnixStream);

impl Former {
    /// Says that this process is ready: the former one drains.
    /// Fails if that one has gone on without it.
    pub fn tell_ready(mut self) -> Result<(), Error> {
        let Err(error) = self.0.write_all(&[READY]) else { return Ok(()) };
        // One that has died needs a successor all the more.
        match sockopt::socket_peercred(&self.0).map(|is| test_kill_process(is.pid)) {
            Ok(Ok(())) => Err(Error::new("cannot replace the running process, which has gone on", error)),
            _ => Ok(()),
        }
    }
}

/// Waits for SIGUSR2. Dropping it ends a start that is under way.
pub struct Upgrade {
    passable: Passable,
    done: Mailbox<()>,
    /// It may be tried as long as this is there.
    may: Option<Sender<()>>,
    _task: Task<()>,
}

impl Upgrade {
    pub fn start(
        passable: &Passable,
        estate: &Estate,
        ending: &Arc<Ending>,
        reporter: &Reporter,
        turn: &Arc<Mutex<()>>,
    ) -> Result<Self, Error> {
        let (passable, estate, ending) = (passable.clone(), estate.clone(), ending.clone());
        let (reporter, turn) = (reporter.clone(), turn.clone());
        let signals = UpgradeSignals::new();
        let mut signals = signals.map_err(|error| Error::new("cannot take signals over", error))?;
        let (tell, done) = mailbox(1);
        let (may, mut over) = mailbox::<()>(1);
        let passed = passable.clone();
        let task = spawn(async move {
            let attempts = async {
                loop {
                    signals.next().await;
                    // A change of a proxy waits for the server, and not the other way round.
                    let _frozen = estate.freeze().await;
                    let _turn = turn.lock().await;
                    match replace(&passable, &estate.handover()).await {
                        Ok(pid) => {
                            ending.is_replaced.store(true, Relaxed);
                            return reporter.warn(format!("process {pid} has taken over"));
                        }
                        Err(why) => reporter.warn(format!("cannot start anew: {why}; this process goes on")),
                    }
                }
            };
            if let Either::Left(_) = select(pin!(attempts), pin!(over.next())).await {
                passable.leave_files();
                // The server that hears it is the owner of this task.
                let _ = tell.try_send(());
            }
            // It may come again, and must not end a process that drains.
            loop {
                signals.next().await;
            }
        });
        Ok(Upgrade { passable: passed, done, may: Some(may), _task: task })
    }

    /// Waits until another process has taken over. Cancel-safe.
    pub async fn done(&mut self) {
        self.done.next().await;
    }

    /// Whether a socket of this name goes to the process that takes over.
    pub fn has_passed(&self, name: &str) -> bool {
        self.passable.has(name)
    }

    /// From now on it is not tried any more.
    pub fn end(&mut self) {
        self.may = None;
    }
}

/// Starts this program anew, and says what it leaves; gives the number of the new process once that is ready, or else why
/// there is none.
async fn replace(passable: &Passable, handover: &Handover) -> Result<u32, String> {
    let passable = passable.clone();
    let begun = blocking(move || begin(&passable)).await;
    let (mut new, channel) =
        begun.map_err(|error| format!("{}: {}", error.operation, reason(&error.source)))?;
    let socket = Socket::new(channel.into(), true).map_err(|error| reason(&error))?;
    let state = handover.bytes();
    // One that does not read it needs none.
    let say = async {
        let _ = socket.write_all(&state, false).await;
        let _ = socket.finish();
        pending::<()>().await;
    };
    let said = async {
        let mut room = [0];
        loop {
            socket.readable().await;
            match socket.try_read(&mut room) {
                Ok(1) if room == [READY] => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return false,
            }
        }
    };
    let said = async {
        select_biased! {
            said = pin!(said.fuse()) => said,
            () = pin!(say.fuse()) => false,
        }
    };
    match within(Some(START_LIMIT), said).await {
        Some(true) => Ok(new.leave()),
        Some(false) => match within(Some(END_LIMIT), new.ended()).await {
            Some(status) => Err(format!("the new process ended before it was ready ({status})")),
            None => Err("the new process is not ready, and says no more; it is killed".into()),
        },
        None => Err(format!("the new process is not ready after {} s; it is killed", START_LIMIT.as_secs())),
    }
}

/// The new process. Dropping it kills it.
struct New(Option<Child>);

impl New {
    /// It stays; its number.
    fn leave(&mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }

    async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(Ok(Some(status))) = self.0.as_mut().map(Child::try_wait) {
                return status;
            }
            sleep(END_STEP).await;
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the new process; gives our end of the channel with it.
fn begin(passable: &Passable) -> Result<(New, UnixStream), Error> {
    let mut words = env::args_os();
    let program =
        words.next().filter(|name| !name.is_empty()).unwrap_or_else(|| OsString::from("switchboard"));
    let cannot = |error| Error::new(format!("cannot start {}", program.to_string_lossy()), error);
    let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
    ours.set_nonblocking(true).map_err(cannot)?;
    let mut sockets = passable.sockets().map_err(cannot)?;
    sockets.push((CHANNEL.to_owned(), theirs.into(), false));
    let count = i32::try_from(sockets.len()).expect("descriptors are numbered by i32");
    let held = hold_below(&sockets[0].1, FIRST_NUMBER + count).map_err(cannot)?;
    let names: Vec<&str> = sockets.iter().map(|(name, ..)| name.as_str()).collect();
    let numbered = || sockets.iter().zip(FIRST_NUMBER..);
    let files = numbered().filter(|((.., has_file), _)| *has_file).map(|(_, number)| number.to_string());
    let files: Vec<String> = files.collect();
    let mut command = Command::new(&program);
    command.args(words).env(CHILD, "1").env(COUNT, count.to_string()).env(NAMES, names.join(":"));
    command.env(FILES, files.join(":")).env(STATE, "1").env_remove(PID).env_remove(WATCHDOG_PID);
    if env::var(WATCHDOG_PID).is_ok_and(|pid| pid.parse() != Ok(process::id())) {
        command.env_remove(WATCHDOG);
    }
    let mappings = sockets.into_iter().zip(FIRST_NUMBER..);
    let mappings = mappings.map(|((_, parent_fd, _), child_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings).expect("each number is there once");
    let child = command.spawn().map_err(cannot)?;
    drop(held);
    Ok((New(Some(child)), ours))
}

/// Takes every free number below `limit`: the standard library tells of a failed start by a pipe, whose number must not be one
/// that the new process is to have for something else.
fn hold_below(any: &OwnedFd, limit: i32) -> io::Result<Vec<OwnedFd>> {
    let mut held = Vec::new();
    loop {
        let next = rustix::io::fcntl_dupfd_cloexec(any, FIRST_NUMBER)?;
        if next.as_raw_fd() >= limit {
            return Ok(held);
        }
        held.push(next);
    }
}
