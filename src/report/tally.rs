//! The sums over all sessions of a server at one instant.

use crate::{
    net::tls::facts::TlsFacts,
    report::histogram::Histogram,
    session::{cause::Cause, event::Mode, health::Health},
};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// What was counted of the sessions that ended and of those that live.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The sessions of each listener.
    pub listeners: Vec<ListenerTally>,
    /// Bytes from clients.
    pub client_bytes: u64,
    /// Bytes from upstreams; without an upstream, those sent back instead.
    pub upstream_bytes: u64,
    /// How long it took to reach an upstream, with resolving; only of upstreams that were reached.
    pub dials: Histogram,
    pub lives: Histogram,
    pub handshakes: Handshakes,
}

/// Handshakes of TLS, by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Handshakes {
    #[serde(rename = "client")]
    pub with_clients: HandshakeResults,
    #[serde(rename = "upstream")]
    pub with_upstreams: HandshakeResults,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct HandshakeResults {
    pub full: u64,
    /// Those that went on with a session of before.
    pub resumed: u64,
    pub failed: u64,
    /// Those that were not there in time.
    pub late: u64,
}

/// The sessions of one listener.
#[derive(Clone, Debug)]
pub struct ListenerTally {
    pub name: String,
    pub mode: Mode,
    /// Sessions that live.
    pub active: u64,
    /// The same by how they do, in the order of its variants.
    pub health: [u64; Health::VARIANTS.len()],
    /// Sessions that ever began, refused ones included.
    pub opened: u64,
    /// Sessions that ended, by cause, in the order of its variants.
    pub closed: [u64; Cause::VARIANTS.len()],
    pub moved: MovedBytes,
}

/// Bytes of a listener's sessions, by the side that sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovedBytes {
    pub from_client: DirectionBytes,
    pub from_upstream: DirectionBytes,
}

/// Bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionBytes {
    pub received: u64,
    /// Handed on to the kernel, for the other side.
    pub sent: u64,
}

impl DirectionBytes {
    pub fn add(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
    }
}

impl Tally {
    /// Adds the sums of other sessions.
    pub fn add(&mut self, other: &Self) {
        let Tally { listeners, client_bytes, upstream_bytes, dials, lives, handshakes } = other;
        listeners.iter().for_each(|more| self.listener(&more.name, more.mode).add(more));
        self.client_bytes += client_bytes;
        self.upstream_bytes += upstream_bytes;
        self.dials.add(dials);
        self.lives.add(lives);
        self.handshakes.add(handshakes);
    }

    /// The sums of a listener, which begin at nothing.
    pub fn listener(&mut self, name: &str, mode: Mode) -> &mut ListenerTally {
        let index = self.listeners.iter().position(|listener| listener.name == name);
        let index = index.unwrap_or_else(|| {
            self.listeners.push(ListenerTally::new(name.to_owned(), mode));
            self.listeners.len() - 1
        });
        &mut self.listeners[index]
    }

    pub fn active(&self) -> u64 {
        self.listeners.iter().map(|listener| listener.active).sum()
    }

    /// How many live sessions do well, and how the others do.
    pub fn health(&self) -> impl Iterator<Item = (Health, u64)> {
        let of_all = |health| self.listeners.iter().map(|listener| listener.health[health as usize]).sum();
        Health::VARIANTS.iter().copied().map(move |health| (health, of_all(health)))
    }

    pub fn opened(&self) -> u64 {
        self.listeners.iter().map(|listener| listener.opened).sum()
    }

    /// How many sessions ended by each cause.
    pub fn closed(&self) -> impl Iterator<Item = (Cause, u64)> {
        let of_all = |cause| self.listeners.iter().map(|listener| listener.closed[cause as usize]).sum();
        Cause::VARIANTS.iter().copied().map(move |cause| (cause, of_all(cause)))
    }
}

impl Handshakes {
    pub fn add(&mut self, other: &Self) {
        self.with_clients.add(&other.with_clients);
        self.with_upstreams.add(&other.with_upstreams);
    }
}

impl HandshakeResults {
    /// Counts one of which this is known.
    pub fn count(&mut self, facts: &TlsFacts) {
        if facts.resumed {
            self.resumed += 1;
        } else {
            self.full += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        let HandshakeResults { full, resumed, failed, late } = other;
        self.full += full;
        self.resumed += resumed;
        self.failed += failed;
        self.late += late;
    }

    /// Each count with its name.
    pub fn named(&self) -> [(&'static str, u64); 4] {
        [("full", self.full), ("resumed", self.resumed), ("failed", self.failed), ("late", self.late)]
    }
}

impl ListenerTally {
    pub fn new(name: String, mode: Mode) -> Self {
        ListenerTally {
            name,
            mode,
            active: 0,
            health: [0; Health::VARIANTS.len()],
            opened: 0,
            closed: [0; Cause::VARIANTS.len()],
            moved: MovedBytes::default(),
        }
    }

    fn add(&mut self, other: &Self) {
        let ListenerTally { name: _, mode: _, active, health, opened, closed, moved } = other;
        self.moved.from_client.add(moved.from_client);
        self.moved.from_upstream.add(moved.from_upstream);
        self.active += active;
        self.opened += opened;
        self.health.iter_mut().zip(health).for_each(|(count, more)| *count += more);
        self.closed.iter_mut().zip(closed).for_each(|(count, more)| *count += more);
    }

    /// How many live sessions do well, and how the others do.
    pub fn health(&self) -> impl Iterator<Item = (Health, u64)> {
        Health::VARIANTS.iter().copied().zip(self.health)
    }

    /// How many sessions ended by each cause.
    pub fn closed(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::VARIANTS.iter().copied().zip(self.closed)
    }
}
