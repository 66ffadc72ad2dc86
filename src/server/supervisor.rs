//! The supervisor actor: starts sessions, holds the set of live ones and the limit per source.
//!
//! It knows nothing of sockets. It ends when a drain was asked for and the set is empty.

pub mod question;

use crate::{
    report::verdict::Ended,
    runtime::{
        clock::{Sleep, sleep},
        limit::Slot,
        mailbox::{Address, Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{
        acceptor::Connection,
        books::Books,
        history::History,
        sources::{SourceCounts, SourceLimit},
    },
    session::{
        context::Context, delivery, event::What, order::Order, outcome::Outcome as SessionOutcome,
        record::Record, session,
    },
};
use futures::{FutureExt, future::Fuse, select_biased};
use question::Question;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Connections that may wait to become sessions: an acceptor that is ahead waits, and the kernel's backlog holds the rest.
const CONNECTIONS: usize = 64;

/// The supervisor's handle.
#[derive(Clone)]
pub struct Supervisor {
    address: Address<Message>,
}

/// What the supervisor is told.
enum Message {
    Admit(Box<Connection>),
    Finished(u64),
    Drain(Option<Duration>),
    Cut,
    Ask(Question),
}

/// How a server's sessions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every session ended by itself.
    Drained,
    /// Some were cut.
    Cut,
}

enum Event {
    Message(Message),
    DrainOver,
}

struct Actor {
    context: Arc<Context>,
    mailbox: Mailbox<Message>,
    /// Where sessions say that they have finished.
    address: Address<Message>,
    live: HashMap<u64, Entry>,
    per_source: SourceCounts,
    last_id: u64,
    history: History,
    books: Books,
    /// Fires when the drain is over.
    drain: Fuse<Sleep>,
    draining: bool,
    outcome: Outcome,
}

/// A live session. Dropping it resets its peers and gives its place back.
struct Entry {
    record: Arc<Record>,
    _task: Task<()>,
    _slot: Slot,
}

impl Supervisor {
    /// Starts a supervisor whose sessions are told `context`, and that remembers the last `remember` of them.
    pub fn start(
        context: Arc<Context>,
        max_per_source: Option<SourceLimit>,
        remember: usize,
    ) -> (Self, Task<Outcome>) {
        let (address, mailbox) = mailbox(CONNECTIONS);
        let actor = Actor {
            context,
            mailbox,
            address: address.clone(),
            live: HashMap::new(),
            per_source: SourceCounts::new(max_per_source),
            last_id: 0,
            history: History::new(remember),
            books: Books::new(),
            drain: Fuse::terminated(),
            draining: false,
            outcome: Outcome::Drained,
        };
        (Supervisor { address }, spawn(actor.run()))
    }

    /// Makes a session of the connection. Waits while the supervisor is behind; resets the client where it is gone.
    pub async fn admit(&self, connection: Connection) {
        let _ = self.address.send(Message::Admit(Box::new(connection))).await;
    }

    /// Lets live sessions finish for at most `limit`, then cuts the rest; the supervisor ends with the last.
    pub async fn drain(&self, limit: Option<Duration>) {
        let _ = self.address.send(Message::Drain(limit)).await;
    }

    /// Cuts every session now.
    pub async fn cut(&self) {
        let _ = self.address.send(Message::Cut).await;
    }
}

impl Actor {
    async fn run(mut self) -> Outcome {
        while !(self.draining && self.live.is_empty()) {
            match self.next_event().await {
                Event::Message(Message::Admit(connection)) => self.admit(*connection),
                Event::Message(Message::Finished(id)) => self.finished(id),
                Event::Message(Message::Drain(limit)) => {
                    self.draining = true;
                    self.drain = limit.map_or_else(Fuse::terminated, |limit| sleep(limit).fuse());
                }
                Event::Message(Message::Cut) | Event::DrainOver => self.cut(),
                Event::Message(Message::Ask(question)) => self.answer(question),
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
        let Connection { socket, client, listening, local, slot } = connection;
        self.books.open();
        self.last_id += 1;
        let id = self.last_id;
        let record = Arc::new(Record::new(id, listening, local, client));
        if let Err(refusal) = self.per_source.enter(&record.client) {
            record.conclude(SessionOutcome::Refused(refusal));
            self.close(&record);
            // Dropping the socket resets the client.
            return;
        }
        let address = self.address.clone();
        let finished = move || async move {
            let _ = address.send(Message::Finished(id)).await;
        };
        let task = session::start(socket, record.clone(), self.context.clone(), finished);
        self.live.insert(id, Entry { record, _task: task, _slot: slot });
    }

    /// Ends one session, by `fin` after what is under way or else by force; false if it is not there.
    fn cut_one(&mut self, id: u64, fin: bool) -> bool {
        let Some(entry) = self.live.get(&id) else { return false };
        if !(fin && entry.record.orders.give(Order::Finish)) {
            // What its peers have not got by now is lost.
            entry.record.conclude(SessionOutcome::Cut);
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
            self.outcome = Outcome::Cut;
        }
        for entry in std::mem::take(&mut self.live).into_values() {
            entry.record.conclude(SessionOutcome::Drained);
            self.close(&entry.record);
        }
    }

    /// Books the end of a session that is not in the set any more, tells it, and remembers it.
    fn close(&mut self, record: &Record) {
        self.books.close(record);
        let ended = Ended::now(record);
        record.taps.end(|| ended.verdict());
        self.context.events.tell_with(|| What::Close(Box::new(ended.close.clone())));
        self.history.note_end(ended);
    }
}
