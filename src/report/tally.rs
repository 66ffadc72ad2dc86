//! The sums over all sessions of a server at one instant.

use crate::{report::histogram::Histogram, session::cause::Cause};

/// What was counted of the sessions that ended and of those that live.
#[derive(Clone, Debug)]
pub struct Tally {
    pub active: u64,
    /// Sessions that ever began, refused ones included.
    pub opened: u64,
    /// Sessions that ended, by cause, in the order of [`Cause::ALL`].
    pub closed: [u64; Cause::ALL.len()],
    pub client_bytes: u64,
    /// Bytes from upstreams; without an upstream, those sent back instead.
    pub upstream_bytes: u64,
    /// How long it took to reach an upstream, with resolving; only of upstreams that were reached.
    pub dials: Histogram,
    pub lives: Histogram,
}

impl Tally {
    pub fn closed(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.closed)
    }
}
