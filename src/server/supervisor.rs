//! The supervisor actor: starts sessions, holds the set of live ones and the limit per source.
//!
//! It knows nothing of sockets. It ends once a drain was asked for and the set is empty.

use crate::{
    report::{tally::Tally, verdict::Ended},
    runtime::{
        clock::{Sleep, sleep},
        limit::Slot,
        mailbox::{Mailbox, Sender, mailbox},
        task::{Task, spawn},
    },
    server::{
        acceptor::Connection,
        books::Books,
        sources::{SourceCounts, SourceLimit},
    },
    session::{
        context::Context, delivery, event::What, order::Order, outcome::Outcome, record::Record, session,
    },
};
use futures::{FutureExt, future::Fuse, select_biased};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Connections that may wait to become sessions: an acceptor that is ahead waits, and the kernel's backlog holds the rest.
const CONNECTIONS: usize = 64;

#[derive(Clone)]
pub struct Supervisor {
    address: Sender<Message>,
}

enum Message {
    Admit(Box<Connection>),
    Finished(u64),
    Drain(Option<Duration>),
    Cut,
    /// An operator's question, which answers itself.
    Ask(Box<dyn FnOnce(&mut Actor) + Send>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOutcome {
    Drained,
    Cut,
}

#[derive(Clone, Copy, Debug)]
pub struct SupervisorState {
    /// Sessions that ever began; they are numbered from 1.
    pub opened: u64,
    pub draining: bool,
}

enum Event {
    Message(Message),
    DrainOver,
}

struct Actor {
    context: Arc<Context>,
    mailbox: Mailbox<Message>,
    /// Where sessions say that they have finished.
    address: Sender<Message>,
    live: HashMap<u64, Entry>,
    per_source: SourceCounts,
    last_id: u64,
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
    /// Starts a supervisor whose sessions share `context`.
    pub fn start(
        context: Context,
        max_per_source: Option<SourceLimit>,
        books: Books,
    ) -> (Self, Task<ServerOutcome>) {
        let (address, mailbox) = mailbox(CONNECTIONS);
        let actor = Actor {
            context: Arc::new(context),
            mailbox,
            address: address.clone(),
            live: HashMap::new(),
            per_source: SourceCounts::new(max_per_source),
            last_id: 0,
            books,
            drain: Fuse::terminated(),
            draining: false,
            outcome: ServerOutcome::Drained,
        };
        (Supervisor { address }, spawn(actor.run()))
    }

    /// Makes a session of the connection. Waits while the supervisor is behind; resets the client if the supervisor is gone.
    pub async fn admit(&self, connection: Connection) {
        let _ = self.address.send(Message::Admit(Box::new(connection))).await;
    }

    /// Lets live sessions finish for at most `limit`, then cuts the rest; the supervisor ends with the last.
    pub async fn drain(&self, limit: Option<Duration>) {
        let _ = self.address.send(Message::Drain(limit)).await;
    }

    pub async fn cut(&self) {
        let _ = self.address.send(Message::Cut).await;
    }

    /// The records of all live sessions, in the order of their numbers; none if the supervisor has ended.
    pub async fn list(&self) -> Vec<Arc<Record>> {
        let live = |actor: &mut Actor| actor.live.values().map(|entry| entry.record.clone()).collect();
        let mut records: Vec<_> = self.ask(live).await.unwrap_or_default();
        records.sort_unstable_by_key(|record| record.id);
        records
    }

    pub async fn find(&self, id: u64) -> Option<Arc<Record>> {
        self.ask(move |actor| actor.live.get(&id).map(|entry| entry.record.clone())).await.flatten()
    }

    pub async fn closed(&self, count: usize) -> Vec<Arc<Ended>> {
        self.ask(move |actor| actor.books.newest(count)).await.unwrap_or_default()
    }

    pub async fn ended(&self, id: u64) -> Option<Arc<Ended>> {
        self.ask(move |actor| actor.books.find(id)).await.flatten()
    }

    /// How far it is, without a look at the sessions, of which there may be many; none if it has ended.
    pub async fn state(&self) -> Option<SupervisorState> {
        self.ask(|actor| SupervisorState { opened: actor.last_id, draining: actor.draining }).await
    }

    /// The sums of all sessions, live ones included; none if the supervisor has ended.
    pub async fn tally(&self) -> Option<Tally> {
        self.ask(|actor| actor.books.tally(actor.live.values().map(|entry| &*entry.record))).await
    }

    /// Ends sessions by RST, or by `fin` after what is under way; says which of them are not there.
    pub async fn cut_some(&self, mut ids: Vec<u64>, fin: bool) -> Vec<u64> {
        // One that is named twice is there the first time only.
        ids.sort_unstable();
        ids.dedup();
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

impl Actor {
    async fn run(mut self) -> ServerOutcome {
        while !(self.draining && self.live.is_empty()) {
            match self.next_event().await {
                Event::Message(Message::Admit(connection)) => self.admit(*connection),
                Event::Message(Message::Finished(id)) => self.finished(id),
                Event::Message(Message::Drain(limit)) => {
                    self.draining = true;
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
        let Connection { socket, reserved, client, listening, local, slot } = connection;
        self.last_id += 1;
        let id = self.last_id;
        let record = Arc::new(Record::new(id, listening, local, client));
        self.books.open(&record);
        if let Err(refusal) = self.per_source.enter(&record.client) {
            record.conclude(Outcome::Refused(refusal));
            self.close(&record);
            // Dropping the socket resets the client.
            return;
        }
        let address = self.address.clone();
        let finished = move || async move {
            let _ = address.send(Message::Finished(id)).await;
        };
        let task = session::start((socket, reserved), record.clone(), self.context.clone(), finished);
        self.live.insert(id, Entry { record, _task: task, _slot: slot });
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
        self.close(&entry.record);
        self.per_source.leave(&entry.record.client);
    }

    fn cut(&mut self) {
        self.draining = true;
        if !self.live.is_empty() {
            self.outcome = ServerOutcome::Cut;
        }
        for entry in std::mem::take(&mut self.live).into_values() {
            entry.record.conclude(Outcome::Drained);
            delivery::note_lost(&entry.record);
            self.close(&entry.record);
        }
    }

    /// Books the end of a session that is not in the set any more, tells it, and remembers it.
    fn close(&mut self, record: &Record) {
        let ended = Ended::now(record);
        record.taps.end(|| ended.verdict());
        self.context.events.tell_with(|| What::Close(Box::new(ended.close.clone())));
        self.books.close(record, ended);
    }
}
