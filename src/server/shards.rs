//! What a server has on each of its shards: an acceptor for every socket of a listener, and a supervisor. The first part runs on the shard
//! of the server itself, each other one on a thread of its own.

use crate::{
    error::Error,
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
    session::target::CurrentListening,
};
use futures::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, join_all, select, select_all},
    stream::FuturesUnordered,
};
use std::{
    future::pending,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Orders that may wait for a part that is busy with one.
const ORDERS: usize = 4;
/// Ends of acceptors that may wait to be heard of: more than fit are heard of with these.
const FAILURES: usize = 4;

/// The parts of a server that run.
pub struct Shards {
    parts: FuturesUnordered<LocalBoxFuture<'static, Result<ServerOutcome, Panicked>>>,
    supervisors: Supervisors,
    /// One for each part, which accepts as long as it is there.
    orders: Vec<Sender<Order>>,
    /// Acceptors that run.
    accepting: Arc<AtomicUsize>,
    /// Woken when one of them fails; it ends when the last part has stopped accepting.
    failures: Mailbox<()>,
    /// A part that could not go on, and whether the others have been cut for it.
    failed: Option<(Panicked, bool)>,
    outcome: ServerOutcome,
}

/// What a part is told.
enum Order {
    /// Accept on another socket, for the listener of this address; the answer is whether the shard can wait for it.
    Accept(ListenSocket, Arc<CurrentListening>, Sender<io::Result<()>>),
    /// Serve the queues of the sockets of this listener, and close them; the address is dropped when that is done.
    Close(Arc<CurrentListening>, Sender<()>),
}

/// What one shard runs.
struct Part {
    number: usize,
    supervisor: IdleSupervisor,
    supervisors: Supervisors,
    slots: Slots,
    reporter: Reporter,
    orders: Mailbox<Order>,
    accepting: Arc<AtomicUsize>,
    failures: Sender<()>,
}

impl Shards {
    /// Starts a part for each of the supervisors. `look_for` is how long a shard looks for events before it sleeps.
    /// Fails if there is no thread to be had.
    pub fn start(
        supervisors: &Supervisors,
        idle: Vec<IdleSupervisor>,
        slots: &Slots,
        reporter: &Reporter,
        look_for: Option<Duration>,
    ) -> Result<Self, Error> {
        let (failures_address, failures) = mailbox(FAILURES);
        let accepting = Arc::new(AtomicUsize::new(0));
        let (parts, mut orders) = (FuturesUnordered::new(), Vec::new());
        for (number, supervisor) in idle.into_iter().enumerate() {
            let (address, inbox) = mailbox(ORDERS);
            orders.push(address);
            let part = Part {
                number,
                supervisor,
                supervisors: supervisors.clone(),
                slots: slots.clone(),
                reporter: reporter.clone(),
                orders: inbox,
                accepting: accepting.clone(),
                failures: failures_address.clone(),
            };
            parts.push(match number {
                0 => spawn(part.run()).boxed_local(),
                _ => shard::start(format!("shard {number}"), look_for, || part.run())
                    .map_err(|error| Error::new("cannot start a thread", error))?
                    .boxed_local(),
            });
        }
        let (supervisors, outcome) = (supervisors.clone(), ServerOutcome::Drained);
        Ok(Shards { parts, supervisors, orders, accepting, failures, failed: None, outcome })
    }

    /// Has the parts accept on these sockets, one or more for each; returns when they do.
    /// Fails if a shard cannot wait for one.
    pub async fn accept(
        &self,
        sockets: Vec<ListenSocket>,
        listening: &Arc<CurrentListening>,
    ) -> io::Result<()> {
        let mut answers = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            let (reply, answer) = mailbox(1);
            let order = Order::Accept(socket, listening.clone(), reply);
            if self.orders[index % self.orders.len()].send(order).await.is_ok() {
                answers.push(answer);
            }
        }
        for mut answer in answers {
            answer.next().await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Has the parts take the connections that wait at this listener's sockets, and close these.
    pub async fn close(&self, listening: &Arc<CurrentListening>) {
        let (done, mut all_done) = mailbox::<()>(1);
        for part in &self.orders {
            let _ = part.send(Order::Close(listening.clone(), done.clone())).await;
        }
        drop(done);
        all_done.next().await;
    }

    /// Waits until the server cannot go on: every listener failed, or a shard did. Cancel-safe.
    pub async fn failed(&mut self) -> io::Error {
        loop {
            match select(pin!(self.failures.next()), pin!(self.parts.next())).await {
                Either::Right((Some(Err(panicked)), _)) => {
                    let error = io::Error::other(panicked.to_string());
                    self.failed = Some((panicked, false));
                    return error;
                }
                _ if self.accepting.load(Relaxed) == 0 => return io::Error::other("every listener failed"),
                _ => {}
            }
        }
    }

    /// Has every part take the connections that are there, and close its listeners.
    pub async fn stop_accepting(&mut self) {
        self.orders.clear();
        while self.failures.next().await.is_some() {}
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

/// All that can wake a part.
enum PartEvent {
    Stop,
    Order(Order),
    /// An acceptor ended by itself.
    Failed(usize),
}

/// An acceptor of a part, and its listener.
type Accepting = (Arc<CurrentListening>, Acceptor);

impl Part {
    async fn run(self) -> ServerOutcome {
        let Part { number, supervisor, supervisors, slots, reporter, mut orders, accepting, failures } = self;
        kernel::open();
        let sessions = spawn(supervisor.run());
        let mut acceptors: Vec<Accepting> = Vec::new();
        loop {
            let event = match select(pin!(orders.next()), pin!(first_to_end(&mut acceptors))).await {
                Either::Left((order, _)) => order.map_or(PartEvent::Stop, PartEvent::Order),
                Either::Right((index, _)) => PartEvent::Failed(index),
            };
            match event {
                PartEvent::Stop => break,
                PartEvent::Failed(index) => {
                    acceptors.swap_remove(index);
                    accepting.fetch_sub(1, Relaxed);
                    let _ = failures.try_send(());
                }
                PartEvent::Order(Order::Accept(socket, listening, reply)) => {
                    let admission = supervisors.admission(number);
                    let started = Acceptor::start(
                        socket,
                        listening.clone(),
                        slots.clone(),
                        admission,
                        reporter.clone(),
                    );
                    let answer = started.map(|acceptor| {
                        acceptors.push((listening, acceptor));
                        accepting.fetch_add(1, Relaxed);
                    });
                    let _ = reply.try_send(answer);
                }
                PartEvent::Order(Order::Close(listening, _done)) => {
                    let is_it = |(of, _): &mut Accepting| Arc::ptr_eq(of, &listening);
                    let closing: Vec<_> = acceptors.extract_if(.., is_it).collect();
                    accepting.fetch_sub(closing.len(), Relaxed);
                    join_all(closing.into_iter().map(|(_, acceptor)| acceptor.stop())).await;
                }
            }
        }
        join_all(acceptors.into_iter().map(|(_, acceptor)| acceptor.stop())).await;
        drop(failures);
        // The panic goes on: a part whose supervisor ended cannot.
        sessions.await.unwrap_or_else(|panicked| panic!("{panicked}"))
    }
}

/// Waits until one of them ends, and says which. Cancel-safe.
async fn first_to_end(acceptors: &mut [Accepting]) -> usize {
    if acceptors.is_empty() {
        pending::<()>().await;
    }
    let ends = acceptors.iter_mut().map(|(_, acceptor)| Box::pin(acceptor.ended()));
    select_all(ends).await.1
}
