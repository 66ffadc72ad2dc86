//! The supervisor actor: starts the sessions of a shard and sees them end. Each shard has one; together they are
//! [`crate::server::supervisors`].
//!
//! It ends once a drain was asked for and no session lives.

use crate::{
    runtime::{
        clock::{Sleep, sleep},
        mailbox::{Mailbox, Sender, mailbox},
    },
    server::{acceptor::Connection, books::Books, live::LiveSessions, supervisors::Common},
    session::{outcome::Outcome, record::Record, session},
};
use futures::{FutureExt, future::Fuse, select_biased};
use std::{
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
    Ask(Box<dyn FnOnce(&mut LiveSessions) + Send>),
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
    address: Sender<Message>,
    live: LiveSessions,
    drain: Fuse<Sleep>,
    outcome: ServerOutcome,
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

    /// Asks about the live sessions, and waits for the answer; none if the supervisor has ended.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LiveSessions) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, mut answer) = mailbox(1);
        let ask = move |live: &mut LiveSessions| {
            // An asker that is gone gets nothing.
            let _ = reply.try_send(question(live));
        };
        self.address.send(Message::Ask(Box::new(ask))).await.ok()?;
        answer.next().await
    }
}

impl IdleSupervisor {
    /// Begins, on this thread's shard; ends with its last session, after a drain.
    pub fn run(self) -> impl Future<Output = ServerOutcome> {
        let IdleSupervisor { mailbox, handle, common, books } = self;
        let live = LiveSessions::new(books, common.context.events.clone(), handle.live);
        let (address, drain) = (handle.address, Fuse::terminated());
        Actor { common, mailbox, address, live, drain, outcome: ServerOutcome::Drained }.run()
    }
}

impl Actor {
    async fn run(mut self) -> ServerOutcome {
        while !(self.live.draining && self.live.is_empty()) {
            match self.next_event().await {
                Event::Message(Message::Admit(connection)) => self.admit(*connection),
                Event::Message(Message::Finished(id)) => self.live.finished(id),
                Event::Message(Message::Drain(limit)) => {
                    self.live.draining = true;
                    if limit == Some(Duration::ZERO) {
                        // Nothing was to be waited for: that is no cut.
                        self.live.end_all(|| Outcome::Drained);
                    }
                    self.drain = limit.map_or_else(Fuse::terminated, |limit| sleep(limit).fuse());
                }
                Event::Message(Message::Cut) | Event::DrainOver => {
                    self.live.draining = true;
                    if !self.live.is_empty() {
                        self.outcome = ServerOutcome::Cut;
                    }
                    self.live.end_all(|| Outcome::Drained);
                }
                Event::Message(Message::Ask(question)) => question(&mut self.live),
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
        self.live.open(&record);
        if let Err((cause, why)) = record.admit_at_first() {
            // Dropping what was accepted resets the client.
            return self.live.refuse(&record, cause, why);
        }
        let address = self.address.clone();
        let finished = move || async move {
            let _ = address.send(Message::Finished(id)).await;
        };
        let context = self.common.context.clone();
        let task = session::start((accepted, reserved), record.clone(), context, finished);
        self.live.insert(record, task, slot);
    }
}
