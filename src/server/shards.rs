//! What a server has on each of its shards: an acceptor for every socket of a listener, and a supervisor. The first part runs on the shard
//! of the server itself, each other one on a thread of its own.

use crate::{
    error::{Error, reason},
    net::{kernel, listener::ListenSocket},
    report::reporter::Reporter,
    runtime::{
        clock::within,
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
    session::listening::CurrentListening,
};
use futures::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, join_all, select, select_all},
    select_biased,
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

/// A reload waits so long until the queue of a listener that goes is served; one that waits for room goes on beside it.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// The parts of a server that run.
pub struct Shards {
    parts: FuturesUnordered<LocalBoxFuture<'static, Result<ServerOutcome, Panicked>>>,
    supervisors: Supervisors,
    /// One for each part, which accepts as long as it is there.
    orders: Vec<Sender<Order>>,
    /// How many of the parts accept, the first ones; the others keep the sessions that they have.
    active: usize,
    slots: Slots,
    reporter: Reporter,
    /// How long a shard looks for events before it sleeps.
    look_for: Option<Duration>,
    /// Acceptors that run.
    accepting: Arc<AtomicUsize>,
    /// Woken when one of them fails; it ends when the last part has stopped accepting.
    failures: Mailbox<()>,
    /// For the parts to come; none when the server stops.
    failures_address: Option<Sender<()>>,
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
    /// Say which sockets it accepts at.
    Sockets(Sender<Vec<(Arc<CurrentListening>, ListenSocket)>>),
    /// Leave a socket to another part; the address is dropped when that is done.
    Leave(ListenSocket, Sender<()>),
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
        let mut shards = Shards {
            parts: FuturesUnordered::new(),
            supervisors: supervisors.clone(),
            orders: Vec::new(),
            active: idle.len(),
            slots: slots.clone(),
            reporter: reporter.clone(),
            look_for,
            accepting: Arc::default(),
            failures,
            failures_address: Some(failures_address),
            failed: None,
            outcome: ServerOutcome::Drained,
        };
        idle.into_iter().try_for_each(|supervisor| shards.add(supervisor))?;
        Ok(shards)
    }

    /// Starts another part.
    /// Fails if there is no thread to be had.
    fn add(&mut self, supervisor: IdleSupervisor) -> Result<(), Error> {
        let (address, orders) = mailbox(ORDERS);
        let number = self.orders.len();
        let Some(failures) = self.failures_address.clone() else { return Ok(()) };
        let part = Part {
            number,
            supervisor,
            supervisors: self.supervisors.clone(),
            slots: self.slots.clone(),
            reporter: self.reporter.clone(),
            orders,
            accepting: self.accepting.clone(),
            failures,
        };
        self.parts.push(match number {
            0 => spawn(part.run()).boxed_local(),
            _ => shard::start(format!("shard {number}"), self.look_for, || part.run())
                .map_err(|error| Error::new("cannot start a thread", error))?
                .boxed_local(),
        });
        self.orders.push(address);
        Ok(())
    }

    /// Starts parts until there are `count`; they accept nothing yet.
    /// Fails if there is no thread to be had.
    pub fn grow(&mut self, count: usize) -> Result<(), Error> {
        while self.orders.len() < count {
            let (supervisor, idle) = self.supervisors.make();
            self.add(idle)?;
            self.supervisors.publish(supervisor);
        }
        Ok(())
    }

    /// Has `count` of the parts that there are accept from now on, each at one socket of every listener at least. Sockets of
    /// those that are too many go to the others, with their queues; `another` makes one where there are too few. What cannot be
    /// made is told: the others go on accepting.
    pub async fn set_active(
        &mut self,
        count: usize,
        another: impl Fn(&Arc<CurrentListening>, &mut ListenSocket) -> io::Result<ListenSocket>,
    ) {
        self.active = count.clamp(1, self.orders.len());
        self.supervisors.set_taking(self.active);
        let mut all: Vec<(Arc<CurrentListening>, Vec<PartSocket>)> = Vec::new();
        for (number, part) in self.orders.iter().enumerate() {
            let (reply, mut answer) = mailbox(1);
            let _ = part.send(Order::Sockets(reply)).await;
            for (listening, socket) in answer.next().await.unwrap_or_default() {
                match all.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &listening)) {
                    Some((_, sockets)) => sockets.push((number, socket)),
                    None => all.push((listening, vec![(number, socket)])),
                }
            }
        }
        for (listening, sockets) in all {
            if let Err(error) = self.spread(&listening, sockets, &another).await {
                let address = &listening.get().address;
                self.reporter
                    .warn(format!("{address} is not accepted at by every thread: {}", reason(&error)));
            }
        }
    }

    /// How many parts accept.
    pub fn active(&self) -> usize {
        self.active
    }

    /// Gives each part that accepts a socket of this listener, of those that are there and their parts.
    async fn spread(
        &self,
        listening: &Arc<CurrentListening>,
        mut sockets: Vec<PartSocket>,
        another: impl Fn(&Arc<CurrentListening>, &mut ListenSocket) -> io::Result<ListenSocket>,
    ) -> io::Result<()> {
        let mut held = vec![0; self.active.max(self.orders.len())];
        sockets.iter().for_each(|(part, _)| held[*part] += 1);
        let lacking = |held: &[usize]| (0..self.active).find(|part| held[*part] == 0);
        // Surplus sockets first to the parts that have none, then to any.
        for (part, socket) in &sockets {
            let is_surplus = *part >= self.active || held[*part] > 1;
            let Some(to) = lacking(&held).or((*part >= self.active).then_some(part % self.active)) else {
                continue;
            };
            if is_surplus {
                held[*part] -= 1;
                held[to] += 1;
                // A socket that shards share may be there already.
                if !sockets.iter().any(|(part, other)| *part == to && other.is_same(socket)) {
                    self.accept_at(to, socket.clone(), listening).await?;
                }
                let (done, mut left) = mailbox::<()>(1);
                let _ = self.orders[*part].send(Order::Leave(socket.clone(), done)).await;
                left.next().await;
            }
        }
        while let Some(to) = lacking(&held) {
            let socket = another(listening, &mut sockets[0].1)?;
            held[to] += 1;
            self.accept_at(to, socket, listening).await?;
        }
        Ok(())
    }

    async fn accept_at(
        &self,
        part: usize,
        socket: ListenSocket,
        listening: &Arc<CurrentListening>,
    ) -> io::Result<()> {
        let (reply, mut answer) = mailbox(1);
        let _ = self.orders[part].send(Order::Accept(socket, listening.clone(), reply)).await;
        answer.next().await.unwrap_or(Ok(()))
    }

    /// Has the parts accept on these sockets, one or more for each; returns when they do.
    /// Fails if a shard cannot wait for one.
    pub async fn accept(
        &self,
        sockets: Vec<ListenSocket>,
        listening: &Arc<CurrentListening>,
    ) -> io::Result<()> {
        for (index, socket) in sockets.into_iter().enumerate() {
            self.accept_at(index % self.active, socket, listening).await?;
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
        self.failures_address = None;
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
    /// Its supervisor ended, before the server stops.
    Ended(Result<ServerOutcome, Panicked>),
}

/// The number of a part, and a socket at which it accepts.
type PartSocket = (usize, ListenSocket);

/// An acceptor of a part, its listener, and its socket.
type Accepting = (Arc<CurrentListening>, ListenSocket, Acceptor);

impl Part {
    async fn run(self) -> ServerOutcome {
        let Part { number, supervisor, supervisors, slots, reporter, mut orders, accepting, failures } = self;
        kernel::open();
        let mut sessions = spawn(supervisor.run());
        let mut acceptors: Vec<Accepting> = Vec::new();
        // Of listeners that are closed, and whose queues are served still.
        let mut finishing: Vec<Acceptor> = Vec::new();
        loop {
            let event = select_biased! {
                order = pin!(orders.next().fuse()) => order.map_or(PartEvent::Stop, PartEvent::Order),
                index = pin!(first_to_end(&mut acceptors).fuse()) => PartEvent::Failed(index),
                end = (&mut sessions).fuse() => PartEvent::Ended(end),
            };
            match event {
                PartEvent::Stop => break,
                // A part whose supervisor ended cannot go on: its panic goes on instead.
                PartEvent::Ended(end) => return end.unwrap_or_else(|panicked| panic!("{panicked}")),
                PartEvent::Failed(index) => {
                    acceptors.swap_remove(index);
                    accepting.fetch_sub(1, Relaxed);
                    let _ = failures.try_send(());
                }
                PartEvent::Order(Order::Accept(socket, listening, reply)) => {
                    let kept = socket.clone();
                    let admission = supervisors.admission(number);
                    let started = Acceptor::start(
                        socket,
                        listening.clone(),
                        slots.clone(),
                        admission,
                        reporter.clone(),
                    );
                    let answer = started.map(|acceptor| {
                        acceptors.push((listening, kept, acceptor));
                        accepting.fetch_add(1, Relaxed);
                    });
                    let _ = reply.try_send(answer);
                }
                PartEvent::Order(Order::Sockets(reply)) => {
                    let sockets = acceptors.iter().map(|(of, socket, _)| (of.clone(), socket.clone()));
                    let _ = reply.try_send(sockets.collect());
                }
                PartEvent::Order(Order::Leave(left, _done)) => {
                    let is_it = |(_, socket, _): &Accepting| socket.is_same(&left);
                    if let Some(index) = acceptors.iter().position(is_it) {
                        let (_, _socket, acceptor) = acceptors.swap_remove(index);
                        accepting.fetch_sub(1, Relaxed);
                        acceptor.stop().await;
                    }
                }
                PartEvent::Order(Order::Close(listening, _done)) => {
                    let is_it = |(of, ..): &mut Accepting| Arc::ptr_eq(of, &listening);
                    let closing: Vec<_> = acceptors.extract_if(.., is_it).collect();
                    accepting.fetch_sub(closing.len(), Relaxed);
                    let mut closing: Vec<Acceptor> =
                        closing.into_iter().map(|(.., acceptor)| acceptor).collect();
                    closing.iter().for_each(Acceptor::finish);
                    within(Some(CLOSE_WAIT), join_all(closing.iter_mut().map(Acceptor::ended))).await;
                    // Those that wait for room go on.
                    finishing.append(&mut closing);
                }
            }
        }
        let accepting = acceptors.into_iter().map(|(.., acceptor)| acceptor);
        join_all(accepting.chain(finishing).map(Acceptor::stop)).await;
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
    let ends = acceptors.iter_mut().map(|(.., acceptor)| Box::pin(acceptor.ended()));
    select_all(ends).await.1
}
