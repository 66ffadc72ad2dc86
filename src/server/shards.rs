//! What a server has on each of its shards: an acceptor for every listener, and a supervisor. The first part runs on the shard
//! of the server itself, each other one on a thread of its own.

use crate::{
    error::{Error, reason},
    net::{kernel, listener::ListenSocket},
    report::reporter::Reporter,
    runtime::{
        limit::Slots,
        mailbox::{Mailbox, Sender, mailbox},
        shard,
        task::{Panicked, spawn},
    },
    server::{
        acceptor::Acceptor,
        supervisor::{IdleSupervisor, ServerOutcome},
        supervisors::Supervisors,
    },
    session::target::Listening,
};
use futures::{
    FutureExt, StreamExt,
    future::{LocalBoxFuture, join_all, select},
    stream::FuturesUnordered,
};
use std::{io, pin::pin, sync::Arc, time::Duration};

/// A listener, with a socket for each shard, or more.
pub type Listeners = Vec<(Arc<Listening>, Vec<ListenSocket>)>;

/// The parts of a server that run.
pub struct Shards {
    parts: FuturesUnordered<LocalBoxFuture<'static, Result<ServerOutcome, Panicked>>>,
    supervisors: Supervisors,
    /// One for each part, which accepts as long as it is there.
    accept: Vec<Sender<()>>,
    /// Ends when no part accepts any more.
    accepting: Mailbox<()>,
    /// A part that could not go on, and whether the others have been cut for it.
    failed: Option<(Panicked, bool)>,
    outcome: ServerOutcome,
}

/// What one shard runs.
struct Part {
    number: usize,
    sockets: Vec<(ListenSocket, Arc<Listening>)>,
    supervisor: IdleSupervisor,
    supervisors: Supervisors,
    slots: Slots,
    reporter: Reporter,
    stop: Mailbox<()>,
    /// Dropped when the part accepts, and when it does not any more.
    begins: Sender<()>,
    accepting: Sender<()>,
}

impl Shards {
    /// Starts a part for each of the supervisors, with its socket of each listener, and waits until all of them accept.
    /// `look_for` is how long a shard looks for events before it sleeps.
    /// Fails if there is no thread to be had.
    pub async fn start(
        mut listeners: Listeners,
        supervisors: &Supervisors,
        idle: Vec<IdleSupervisor>,
        slots: &Slots,
        reporter: &Reporter,
        look_for: Option<Duration>,
    ) -> Result<Self, Error> {
        let (on, accepting) = mailbox(1);
        let (begins, mut beginning) = mailbox::<()>(1);
        let (parts, mut accept) = (FuturesUnordered::new(), Vec::new());
        let mut others = idle.len();
        for (number, supervisor) in idle.into_iter().enumerate() {
            others -= 1;
            // One each; the first part also takes those that were passed beyond the number of parts.
            let own = |(listening, sockets): &mut (Arc<Listening>, Vec<ListenSocket>)| {
                let own = sockets.split_off(others.min(sockets.len()));
                let listening = listening.clone();
                own.into_iter().map(move |socket| (socket, listening.clone()))
            };
            let (address, stop) = mailbox(1);
            accept.push(address);
            let part = Part {
                number,
                sockets: listeners.iter_mut().flat_map(own).collect(),
                supervisor,
                supervisors: supervisors.clone(),
                slots: slots.clone(),
                reporter: reporter.clone(),
                stop,
                begins: begins.clone(),
                accepting: on.clone(),
            };
            parts.push(match number {
                0 => spawn(part.run()).boxed_local(),
                _ => shard::start(format!("shard {number}"), look_for, || part.run())
                    .map_err(|error| Error::new("cannot start a thread", error))?
                    .boxed_local(),
            });
        }
        drop((on, begins));
        beginning.next().await;
        let (supervisors, outcome) = (supervisors.clone(), ServerOutcome::Drained);
        Ok(Shards { parts, supervisors, accept, accepting, failed: None, outcome })
    }

    /// Waits until the server cannot go on: every listener failed, or a shard did. Cancel-safe.
    pub async fn failed(&mut self) -> io::Error {
        let listeners = self.accepting.next().map(|_| ());
        match select(pin!(listeners), pin!(self.parts.next())).await {
            futures::future::Either::Right((Some(Err(panicked)), _)) => {
                let error = io::Error::other(panicked.to_string());
                self.failed = Some((panicked, false));
                error
            }
            _ => io::Error::other("every listener failed"),
        }
    }

    /// Has every part take the connections that are there, and close its listeners.
    pub async fn stop_accepting(&mut self) {
        self.accept.clear();
        self.accepting.next().await;
    }

    /// Waits until the last session of every part has ended, after a drain. If a part cannot go on, the others are cut.
    /// Cancel-safe.
    pub async fn ended(&mut self) -> Result<ServerOutcome, Error> {
        loop {
            if let Some((_, cut @ false)) = &mut self.failed {
                self.supervisors.cut().await;
                *cut = true;
            }
            match self.parts.next().await {
                Some(Ok(ServerOutcome::Cut)) => self.outcome = ServerOutcome::Cut,
                Some(Ok(ServerOutcome::Drained)) => {}
                Some(Err(panicked)) => self.failed = Some((panicked, false)),
                None => break,
            }
        }
        match &self.failed {
            Some((panicked, _)) => Err(Error::new("a shard ended", io::Error::other(panicked.to_string()))),
            None => Ok(self.outcome),
        }
    }
}

impl Part {
    async fn run(self) -> ServerOutcome {
        let Part { number, sockets, supervisor, supervisors, slots, reporter, mut stop, begins, accepting } =
            self;
        kernel::open();
        let sessions = spawn(supervisor.run());
        let mut acceptors = Vec::new();
        for (socket, listening) in sockets {
            let address = socket.address().clone();
            let admission = supervisors.admission(number);
            match Acceptor::start(socket, listening, slots.clone(), admission, reporter.clone()) {
                Ok(acceptor) => acceptors.push(acceptor),
                Err(error) => reporter.warn(format!("{address} stops accepting: {}", reason(&error))),
            }
        }
        drop(begins);
        // While one listener lives the part accepts.
        select(pin!(stop.next()), join_all(acceptors.iter_mut().map(Acceptor::ended))).await;
        join_all(acceptors.into_iter().map(Acceptor::stop)).await;
        drop(accepting);
        // The panic goes on: a part whose supervisor ended cannot.
        sessions.await.unwrap_or_else(|panicked| panic!("{panicked}"))
    }
}
