//! The admin server: answers scrapers and health checks over HTTP on the listener of `--metrics`.
//!
//! However many come and however slow they are, traffic does not feel them: they are few at once, each is served for a
//! limited time, and the metrics are made at a limited share of the executor. If its listener fails, traffic goes on
//! without it.

mod host;
pub mod pages;

use crate::{net::listener::Listener, server::side_door::SideDoor};
use pages::{Condition, Pages, Sources};
use std::sync::Arc;

/// Connections at once: a descriptor and some 40 KiB each.
pub const CONNECTIONS_MAX: usize = 16;
/// Of the listening socket: who comes to a longer queue tries again.
pub const BACKLOG: i32 = 64;

/// A running admin server. Dropping it closes its listener and its connections.
pub struct Admin {
    pages: Arc<Pages>,
    _connections: SideDoor,
}

impl Admin {
    /// Starts answering on `listener`. Besides IP addresses and `localhost`, `host` is what a request may be for.
    pub fn start(listener: Listener, host: Option<String>, sources: Sources) -> Self {
        let reporter = sources.reporter.clone();
        let pages = Arc::new(Pages::new(host, sources));
        let shared = pages.clone();
        let serve = move |socket| shared.clone().serve(socket);
        let connections = SideDoor::start(listener, CONNECTIONS_MAX, "metrics", reporter, serve);
        Admin { pages, _connections: connections }
    }

    /// What `/readyz` says from now on.
    pub fn tell(&self, condition: Condition) {
        self.pages.tell(condition);
    }
}
