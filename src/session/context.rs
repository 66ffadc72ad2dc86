//! What all sessions of a server share.

use crate::{
    net::{address::Address, options::Options},
    relay::gate::ChunkWatcher,
    runtime::{
        limit::{Slots, descriptors},
        lock::Lock,
        mailbox,
    },
    session::{
        deadline::Deadlines,
        event::{Events, Side, What},
        record::Record,
    },
};
use std::sync::Arc;

pub struct Context {
    pub own: Arc<OwnAddresses>,
    /// Of sessions.
    pub slots: Slots,
    pub events: Events,
    /// Never sent to: its mailbox ends when the last actor that holds this context is gone, and its socket with it.
    pub alive: mailbox::Sender<()>,
}

/// What a listener gives its sessions.
pub struct Settings {
    /// Every wait on a peer, of the sessions to come.
    pub deadlines: Arc<CurrentDeadlines>,
    /// Whether bulk may cross as pipes.
    pub splice: bool,
    /// Bytes of a chunk that a dump shows; none: no dump.
    pub dump_limit: Option<usize>,
    /// Of the far leg; the near leg has those of its listener.
    pub options: Options,
}

/// Where the program listens: an upstream there would be a loop.
pub struct OwnAddresses(Lock<(Arc<[Address]>, bool)>);

impl Default for OwnAddresses {
    fn default() -> Self {
        OwnAddresses(Lock::new(([].into(), false)))
    }
}

/// The deadlines of sessions to come: read once by each, changed by an operator.
pub struct CurrentDeadlines(Lock<Arc<Deadlines>>);

/// Shows the reporter what one side of a session sends.
struct Dump {
    events: Events,
    session: u64,
    from: Side,
    limit: usize,
}

impl OwnAddresses {
    pub fn get(&self) -> Arc<[Address]> {
        self.0.lock().0.clone()
    }

    /// Those that a session at `listener` must not dial: only that one, if listeners may lead to each other.
    pub fn of(&self, listener: &Address) -> Arc<[Address]> {
        let (all, may_chain) = self.0.lock().clone();
        if may_chain { [listener.clone()].into() } else { all }
    }

    /// With `may_chain`, listeners may lead to each other.
    pub fn set(&self, addresses: Vec<Address>, may_chain: bool) {
        *self.0.lock() = (addresses.into(), may_chain);
    }
}

impl CurrentDeadlines {
    pub fn new(deadlines: Deadlines) -> Self {
        CurrentDeadlines(Lock::new(Arc::new(deadlines)))
    }

    pub fn get(&self) -> Arc<Deadlines> {
        self.0.lock().clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Deadlines)) {
        change(Arc::make_mut(&mut self.0.lock()));
    }
}

impl Context {
    /// Whether another session waits for something that a dial holds: its slot, or a descriptor.
    pub fn has_shortage(&self) -> bool {
        self.slots.wanted() || descriptors().waiting() > 0
    }

    /// With `--dump`, has both directions of a session watched.
    pub fn dump(&self, record: &Record) {
        let Some(limit) = record.listening.settings.dump_limit else { return };
        for (direction, from) in record.sides() {
            let (events, session) = (self.events.clone(), record.id);
            direction.gate.watch(Arc::new(Dump { events, session, from, limit }));
        }
    }
}

impl ChunkWatcher for Dump {
    fn show(&self, offset: u64, bytes: &[u8]) {
        let shown = bytes[..bytes.len().min(self.limit)].into();
        let (session, from) = (self.session, self.from);
        self.events.tell(What::Data { session, from, offset, bytes: bytes.len(), shown });
    }
}
