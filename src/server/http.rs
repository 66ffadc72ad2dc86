//! The admin actor: owns the listener of `--metrics` and answers scrapers and health checks over HTTP.
//!
//! However many come and however slow they are, traffic does not feel them: they are few at once, each is served for a
//! limited time, and the metrics are made at a limited share of the executor. It ends when its [`Admin`] is dropped, and
//! every connection with it; where its listener fails, traffic goes on without it.

mod host;
pub mod pages;

use crate::{
    net::listener::{AcceptError, Listener, classify},
    report::reporter::Reporter,
    runtime::{
        clock::sleep,
        task::{Panicked, Task, spawn},
    },
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use pages::{Condition, Pages, Sources};
use std::{future::pending, pin::pin, sync::Arc, time::Duration};

/// Connections at once: a descriptor and some 40 KiB each. More wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 16;
/// Of the listening socket: who comes to a longer queue tries again.
pub const BACKLOG: i32 = 64;
/// Out of descriptors or memory, how long to wait before accepting again.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(250);

/// A running admin server. Dropping it closes its listener and its connections.
pub struct Admin {
    pages: Arc<Pages>,
    _task: Task<()>,
}

enum Event {
    /// A connection may be there.
    Readable,
    /// One has ended.
    Ended(Result<(), Panicked>),
}

struct Actor {
    listener: Listener,
    pages: Arc<Pages>,
    reporter: Reporter,
    connections: FuturesUnordered<Task<()>>,
}

impl Admin {
    /// Starts answering on `listener`. Besides IP addresses and `localhost`, `host` is what a request may be for.
    pub fn start(listener: Listener, host: Option<String>, sources: Sources) -> Self {
        let reporter = sources.reporter.clone();
        let pages = Arc::new(Pages::new(host, sources));
        let actor = Actor { listener, pages: pages.clone(), reporter, connections: FuturesUnordered::new() };
        Admin { pages, _task: spawn(actor.run()) }
    }

    /// What `/readyz` says from now on.
    pub fn tell(&self, condition: Condition) {
        self.pages.tell(condition);
    }
}

impl Actor {
    async fn run(mut self) {
        loop {
            match self.next_event().await {
                Event::Readable => {
                    if !self.accept().await {
                        return;
                    }
                }
                Event::Ended(Err(panicked)) => {
                    self.reporter.warn(format!("a metrics connection: {panicked}"))
                }
                Event::Ended(Ok(())) => {}
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let Actor { listener, connections, .. } = self;
        let room = connections.len() < CONNECTIONS_MAX;
        let readable = async { if room { listener.readable().await } else { pending().await } };
        let mut readable = pin!(readable.fuse());
        futures::select_biased! {
            end = connections.select_next_some() => Event::Ended(end),
            () = readable => Event::Readable,
        }
    }

    /// Takes one connection, where one is there; false where the listener failed.
    async fn accept(&mut self) -> bool {
        match self.listener.try_accept() {
            Ok((socket, _)) => self.connections.push(spawn(self.pages.clone().serve(socket))),
            Err(error) => match classify(&error) {
                AcceptError::Connection => {}
                AcceptError::Resources => sleep(SHORTAGE_PAUSE).await,
                AcceptError::Fatal => {
                    self.reporter.warn(format!("{} stops accepting: {error}", self.listener.address()));
                    return false;
                }
            },
        }
        true
    }
}
