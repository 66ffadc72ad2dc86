//! What every session of a server is told.

use crate::{
    actors::reporter::Reporter,
    config::{Deadlines, Role},
    io::{address::Address, options::Options},
    mailbox,
    observe::event::Mode,
};

/// Shared by the sessions of one server; nothing in it changes.
pub struct Context {
    /// What to do with connections.
    pub role: Role,
    /// Every wait on a peer.
    pub deadlines: Deadlines,
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
