//! The supervisor actor: starts sessions, holds the set of live ones and the limit per source address.
//!
//! It knows nothing of sockets. It ends when its last [`Supervisor`] is gone, or a drain was asked for, and the set is
//! empty.

use crate::{
    actors::{acceptor::Connection, context::Context, session::Session},
    mailbox::{Address, Mailbox, mailbox},
    observe::{cause::Cause, event::What, record::Record},
    runtime::{
        clock::{Sleep, sleep},
        slots::Slot,
        task::{Panicked, Task, spawn},
    },
};
use futures::{FutureExt, StreamExt, future::Fuse, select_biased, stream::FuturesUnordered};
use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

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
    Drain(Option<Duration>),
    Cut,
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
    Message(Option<Message>),
    Ended(u64, Result<(), Panicked>),
    DrainOver,
}

struct Actor {
    context: Arc<Context>,
    max_per_source: Option<usize>,
    mailbox: Mailbox<Message>,
    live: HashMap<u64, Entry>,
    ends: FuturesUnordered<Numbered>,
    per_source: HashMap<IpAddr, usize>,
    last_id: u64,
    /// Fires when the drain is over.
    drain: Fuse<Sleep>,
    draining: bool,
    outcome: Outcome,
}

/// A session's task; its end comes with the session's number.
struct Numbered {
    id: u64,
    task: Task<()>,
}

impl Future for Numbered {
    type Output = (u64, Result<(), Panicked>);

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let id = self.id;
        self.task.poll_unpin(context).map(|end| (id, end))
    }
}

/// A live session; dropping it gives its place back.
struct Entry {
    session: Session,
    _slot: Slot,
}

impl Supervisor {
    /// Starts a supervisor whose sessions are told `context`.
    pub fn start(context: Arc<Context>, max_per_source: Option<usize>) -> (Self, Task<Outcome>) {
        let (address, mailbox) = mailbox(CONNECTIONS);
        let actor = Actor {
            context,
            max_per_source,
            mailbox,
            live: HashMap::new(),
            ends: FuturesUnordered::new(),
            per_source: HashMap::new(),
            last_id: 0,
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
                Event::Message(Some(Message::Admit(connection))) => self.admit(*connection),
                Event::Message(Some(Message::Drain(limit))) => {
                    self.draining = true;
                    self.drain = limit.map_or_else(Fuse::terminated, |limit| sleep(limit).fuse());
                }
                Event::Message(None) => self.draining = true,
                Event::Message(Some(Message::Cut)) | Event::DrainOver => self.cut(),
                Event::Ended(id, end) => self.ended(id, end),
            }
        }
        self.outcome
    }

    async fn next_event(&mut self) -> Event {
        let mut drain = &mut self.drain;
        select_biased! {
            (id, end) = self.ends.select_next_some() => Event::Ended(id, end),
            message = self.mailbox.next().fuse() => Event::Message(message),
            () = drain => Event::DrainOver,
        }
    }

    fn admit(&mut self, connection: Connection) {
        let Connection { socket, client, listener, slot } = connection;
        self.last_id += 1;
        let id = self.last_id;
        let record = Record::new(id, self.context.mode(), listener, client);
        if let Some((ip, limit)) = record.client.ip().zip(self.max_per_source) {
            let count = self.per_source.entry(ip).or_default();
            if *count >= limit {
                record.end(Cause::RefusedLimit, Some(format!("{ip} has {limit} sessions already")));
                self.context.reporter.report_with(|| What::Close(Box::new(record.close())));
                // Dropping the socket resets the client.
                return;
            }
            *count += 1;
        }
        let (session, task) = Session::start(socket, record, self.context.clone());
        self.ends.push(Numbered { id, task });
        self.live.insert(id, Entry { session, _slot: slot });
    }

    fn ended(&mut self, id: u64, end: Result<(), Panicked>) {
        let Some(entry) = self.live.remove(&id) else { return };
        let record = &entry.session.record;
        if let Some(ip) = record.client.ip()
            && let Some(count) = self.per_source.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&ip);
            }
        }
        if let Err(panicked) = end {
            record.end(Cause::Internal, Some(panicked.to_string()));
            self.context.reporter.report_with(|| What::Close(Box::new(record.close())));
        }
    }

    fn cut(&mut self) {
        self.draining = true;
        if !self.live.is_empty() {
            self.outcome = Outcome::Cut;
        }
        for entry in self.live.values() {
            entry.session.cut(Cause::Drain);
        }
    }
}
