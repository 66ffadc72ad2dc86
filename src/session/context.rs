//! What every session of a server is told.

use crate::{
    net::{address::Address, options::Options},
    report::reporter::Reporter,
    runtime::mailbox,
    session::{deadline::Deadlines, event::Mode, target::Role},
};
use std::sync::{Arc, PoisonError, RwLock};

/// Shared by the sessions of one server; nothing in it changes but the deadlines.
pub struct Context {
    /// What to do with connections.
    pub role: Role,
    /// Every wait on a peer, of the sessions to come.
    pub deadlines: Arc<CurrentDeadlines>,
    /// Whether bulk may cross as pipes.
    pub splice: bool,
    /// Bytes of a piece that a dump shows; none: no dump.
    pub dump_limit: Option<usize>,
    /// Of the upstream leg; the client's leg has those of its listener.
    pub options: Options,
    /// This server's own listening addresses.
    pub own: Vec<Address>,
    /// Where events go.
    pub reporter: Reporter,
    /// Never sent to: its mailbox ends when the last actor that was told this context is gone, and its socket with it.
    pub alive: mailbox::Address<()>,
}

/// The deadlines of sessions to come: read once by each, changed by an operator.
pub struct CurrentDeadlines(RwLock<Arc<Deadlines>>);

impl CurrentDeadlines {
    /// These, until they are changed.
    #[must_use]
    pub fn new(deadlines: Deadlines) -> Self {
        CurrentDeadlines(RwLock::new(Arc::new(deadlines)))
    }

    /// As they are now.
    #[must_use]
    pub fn get(&self) -> Arc<Deadlines> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them for the sessions to come.
    pub fn change(&self, change: impl FnOnce(&mut Deadlines)) {
        change(Arc::make_mut(&mut self.0.write().unwrap_or_else(PoisonError::into_inner)));
    }
}

impl Context {
    /// The mode of its sessions.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.role {
            Role::Echo => Mode::Echo,
            Role::Proxy(_) => Mode::Proxy,
            Role::Origin => Mode::Origin,
        }
    }
}
