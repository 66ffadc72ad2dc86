//! The supervisor actor: starts the sessions of a shard, and holds the set of live ones. Each shard has one; together they are
//! [`crate::server::supervisors`].
//!
//! It ends once a drain was asked for and the set is empty.

use crate::{
    report::{tally::Tally, verdict::Ended},
    runtime::{
        clock::{Sleep, sleep},
        limit::Slot,
        mailbox::{Mailbox, Sender, mailbox},
        task::Task,
    },
    server::{acceptor::Connection, books::Books, supervisors::Common},
    session::{cause::Cause, delivery, event::What, order::Order, outcome::Outcome, record::Record, session},
};
use futures::{FutureExt, future::Fuse, select_biased};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Connections that may wait to become sessions: an acceptor that is ahead waits, and the kernel's backlog holds the rest.
const CONNECTIONS: usize = 64;

#[derive(Clone)]
pub struct Supervisor {
    address: Sender<Message>,
    live: Arc<AtomicUsize>,
    /// Whether new sessions may come.
    takes: Arc<AtomicBool>,
}

enum Message {
    Admit(Box<Connection>),
    Finished(u64),
    Drain(Option<Duration>),
    Cut,
    /// An operator's question, which answers itself.
    Ask(Box<dyn FnOnce(&mut Actor) + Send>),
}

/// A supervisor that has not begun: it may go to the thread of its shard.
pub struct IdleSupervisor {
    mailbox: Mailbox<Message>,
    handle: Supervisor,
    common: Arc<Common>,
    books: Books,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOutcome {
    Drained,
    Cut,
}

enum Event {
    Message(Message),
    DrainOver,
}

struct Actor {
    common: Arc<Common>,
    mailbox: Mailbox<Message>,
    /// Where sessions say that they have finished.
    handle: Supervisor,
    live: HashMap<u64, Entry>,
    books: Books,
    drain: Fuse<Sleep>,
    draining: bool,
    outcome: ServerOutcome,
}

/// A live session. Dropping it resets its peers and gives its slot back.
struct Entry {
    record: Arc<Record>,
    _task: Task<()>,
    _slot: Slot,
}

impl Supervisor {
    /// A supervisor for one shard.
    pub fn new(common: Arc<Common>, books: Books) -> (Self, IdleSupervisor) {
        let (address, mailbox) = mailbox(CONNECTIONS);
        let handle = Supervisor { address, live: Arc::default(), takes: Arc::new(AtomicBool::new(true)) };
        (handle.clone(), IdleSupervisor { mailbox, handle, common, books })
    }

    /// Makes a session of the connection. Waits while the supervisor is behind; resets the client if the supervisor is gone.
    pub async fn admit(&self, connection: Connection) {
        self.live.fetch_add(1, Relaxed);
        if self.address.send(Message::Admit(Box::new(connection))).await.is_err() {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    /// Whether new sessions may come; those that are here stay in any case.
    pub fn takes(&self) -> bool {
        self.takes.load(Relaxed)
    }

    pub fn set_takes(&self, takes: bool) {
        self.takes.store(takes, Relaxed);
    }

    /// How many sessions live, or are about to.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// Lets live sessions finish for at most `limit`, then cuts the rest; the supervisor ends with the last.
    pub async fn drain(&self, limit: Option<Duration>) {
        let _ = self.address.send(Message::Drain(limit)).await;
    }

    pub async fn cut(&self) {
        let _ = self.address.send(Message::Cut).await;
    }

    /// The records of all live sessions; none if the supervisor has ended.
    pub async fn list(&self) -> Option<Vec<Arc<Record>>> {
        self.ask(|actor| actor.live.values().map(|entry| entry.record.clone()).collect()).await
    }

    pub async fn find(&self, id: u64) -> Option<Arc<Record>> {
        self.ask(move |actor| actor.live.get(&id).map(|entry| entry.record.clone())).await.flatten()
    }

    /// Whether it drains; none if it has ended.
    pub async fn draining(&self) -> Option<bool> {
        self.ask(|actor| actor.draining).await
    }

    /// The sums of all sessions, live ones included; none if the supervisor has ended.
    pub async fn tally(&self) -> Option<Tally> {
        self.ask(|actor| actor.books.tally(actor.live.values().map(|entry| &*entry.record))).await
    }

    /// Ends those of the sessions that are here, by RST or by `fin` after what is under way; says which are not.
    pub async fn cut_some(&self, ids: Vec<u64>, fin: bool) -> Vec<u64> {
        let all = ids.clone();
        let cut = move |actor: &mut Actor| ids.into_iter().filter(|id| !actor.cut_one(*id, fin)).collect();
        self.ask(cut).await.unwrap_or(all)
    }

    /// Asks, and waits for the answer; none if the supervisor has ended.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Actor) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, mut answer) = mailbox(1);
        let ask = move |actor: &mut Actor| {
            // An asker that is gone gets nothing.
            let _ = reply.try_send(question(actor));
        };
        self.address.send(Message::Ask(Box::new(ask))).await.ok()?;
        answer.next().await
    }
}

impl IdleSupervisor {
    /// Begins, on this thread's shard; ends with its last session, after a drain.
    pub fn run(self) -> impl Future<Output = ServerOutcome> {
        let IdleSupervisor { mailbox, handle, common, books } = self;
        let (live, drain, outcome) = (HashMap::new(), Fuse::terminated(), ServerOutcome::Drained);
        Actor { common, mailbox, handle, live, books, drain, draining: false, outcome }.run()
    }
}

impl Actor {
    async fn run(mut self) -> ServerOutcome {
        while !(self.draining && self.live.is_empty()) {
            match self.next_event().await {
                Event::Message(Message::Admit(connection)) => self.admit(*connection),
                Event::Message(Message::Finished(id)) => self.finished(id),
                Event::Message(Message::Drain(limit)) => {
                    self.draining = true;
                    if limit == Some(Duration::ZERO) {
                        // Nothing was to be waited for: that is no cut.
                        self.end_all(|| Outcome::Drained);
                    }
                    self.drain = limit.map_or_else(Fuse::terminated, |limit| sleep(limit).fuse());
                }
                Event::Message(Message::Cut) | Event::DrainOver => self.cut(),
                Event::Message(Message::Ask(question)) => question(&mut self),
            }
        }
        self.outcome
    }

    async fn next_event(&mut self) -> Event {
        let mut drain = &mut self.drain;
        select_biased! {
            message = self.mailbox.next().fuse() => {
                Event::Message(message.expect("the actor holds an address of its own"))
            }
            () = drain => Event::DrainOver,
        }
    }

    fn admit(&mut self, connection: Connection) {
        let Connection { accepted, reserved, client, listening, local, slot } = connection;
        let id = self.common.last_id.fetch_add(1, Relaxed) + 1;
        let record = Arc::new(Record::new(id, listening, local, client));
        self.books.open(&record);
        if let Err((cause, why)) = judge(&record) {
            return self.refuse(&record, cause, why);
        }
        let address = self.handle.address.clone();
        let finished = move || async move {
            let _ = address.send(Message::Finished(id)).await;
        };
        let task =
            session::start((accepted, reserved), record.clone(), self.common.context.clone(), finished);
        self.live.insert(id, Entry { record, _task: task, _slot: slot });
    }

    /// Ends a session that has not begun; dropping what was accepted resets the client.
    fn refuse(&mut self, record: &Record, cause: Cause, mut why: Box<str>) {
        let untold = match cause {
            Cause::RefusedAccess => record.listening.refusals.tell(),
            _ => Some(0),
        };
        if let Some(more @ 1..) = untold {
            why = format!("{why}, as {more} before it").into();
        }
        record.conclude(Outcome::Refused(cause, why));
        self.close(record, untold.is_some());
    }

    /// Ends one session, by `fin` after what is under way or else by force; false if it is not there.
    fn cut_one(&mut self, id: u64, fin: bool) -> bool {
        let Some(entry) = self.live.get(&id) else { return false };
        if !(fin && entry.record.orders.give(Order::Finish)) {
            entry.record.conclude(Outcome::Cut);
            delivery::note_lost(&entry.record);
            self.finished(id);
        }
        true
    }

    fn finished(&mut self, id: u64) {
        // A session that finished while it was being cut is not in the set any more.
        let Some(entry) = self.live.remove(&id) else { return };
        let is_denied = entry.record.cause() == Cause::RefusedAccess;
        self.close(&entry.record, !is_denied || entry.record.listening.refusals.tell().is_some());
    }

    fn cut(&mut self) {
        self.draining = true;
        if !self.live.is_empty() {
            self.outcome = ServerOutcome::Cut;
        }
        self.end_all(|| Outcome::Drained);
    }

    /// Books the end of a session that is not in the set any more, tells it unless too many are, and remembers it.
    fn close(&mut self, record: &Record, is_told: bool) {
        self.handle.live.fetch_sub(1, Relaxed);
        record.end_introduction(&self.common.context.events);
        let ended = Ended::now(record);
        record.taps.end(|| ended.verdict());
        if is_told {
            self.common.context.events.tell_with(|| What::Close(Box::new(ended.close.clone())));
        }
        self.books.close(record, ended);
    }

    fn end_all(&mut self, outcome: impl Fn() -> Outcome) {
        for entry in std::mem::take(&mut self.live).into_values() {
            entry.record.conclude(outcome());
            delivery::note_lost(&entry.record);
            self.close(&entry.record, true);
        }
    }
}

/// Whether the session may begin; it then counts for its source. One whose client has to send a PROXY header is admitted once
/// that is there.
/// Errors: the cause, and the reason in words.
fn judge(record: &Record) -> Result<(), (Cause, Box<str>)> {
    let (client, listening) = (&record.client, &record.listening);
    if listening.opening.accept_proxy.is_empty() {
        return record.admit();
    }
    listening.judge(client)?;
    if !listening.opening.trust(client) {
        let why = format!("{client} may not connect: accept-proxy does not have it");
        return Err((Cause::RefusedAccess, why.into()));
    }
    Ok(())
}

/// If the supervisor is dropped before its sessions, by a fault of its shard, each still gets its close line.
impl Drop for Actor {
    fn drop(&mut self) {
        self.end_all(|| Outcome::Aborted);
    }
}
