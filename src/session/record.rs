//! What is known of one session: facts, counters, and its end. Written by the session's actors, read by whoever looks.

use crate::{
    net::address::Address,
    relay::direction::Flow,
    runtime::reading::Reading,
    session::{
        cause::Cause,
        event::{Close, Mode, Side},
        tap::Taps,
    },
};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// One session, from its begin.
#[derive(Debug)]
pub struct Record {
    /// Unique in this process, from 1.
    pub id: u64,
    /// What the session does.
    pub mode: Mode,
    /// The listening address the client connected to.
    pub listener: Address,
    /// Our address towards the client.
    pub local: Address,
    /// The client's address.
    pub client: Address,
    /// When it began.
    pub began: Instant,
    /// Bytes from the client.
    pub from_client: Flow,
    /// Bytes from the upstream, or from this program in origin mode; unused in echo mode.
    pub from_upstream: Flow,
    dial: OnceLock<Dial>,
    first_byte: OnceLock<Duration>,
    /// Boxed: there is none for nearly all of its life.
    ending: OnceLock<Box<Ending>>,
    /// Who watches its bytes just now.
    pub taps: Taps,
    /// The readings of both connections as numbers from 1; 0 where there is none.
    legs: [AtomicU64; 2],
}

/// How the upstream was reached.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The address that answered; none where none did.
    pub upstream: Option<Address>,
    /// Our address towards it.
    pub local: Option<Address>,
    /// How long the name took to resolve, where there was one.
    pub resolve: Option<Duration>,
    /// How long connecting took.
    pub connect: Option<Duration>,
}

#[derive(Debug)]
struct Ending {
    cause: Cause,
    /// The side whose stream had ended first by then.
    first_closer: Option<Side>,
    error: Option<String>,
}

impl Record {
    /// A session that begins now.
    #[must_use]
    pub fn new(id: u64, mode: Mode, listener: Address, local: Address, client: Address) -> Self {
        Record {
            id,
            mode,
            listener,
            local,
            client,
            began: Instant::now(),
            from_client: Flow::new(),
            from_upstream: Flow::new(),
            dial: OnceLock::new(),
            first_byte: OnceLock::new(),
            ending: OnceLock::new(),
            taps: Taps::default(),
            legs: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// Notes the connection to one of the peers.
    pub fn set_leg(&self, side: Side, reading: Reading) {
        self.legs[side as usize].store(reading.token() + 1, Relaxed);
    }

    /// Ends the streams of both peers after what is there: the session then ends by FIN.
    pub fn end_reading(&self) {
        let tokens = self.legs.iter().filter_map(|leg| leg.load(Relaxed).checked_sub(1));
        tokens.for_each(|token| Reading::from_token(token).end());
    }

    /// Notes how dialling went.
    pub fn set_dial(&self, dial: Dial) {
        let _ = self.dial.set(dial);
    }

    /// How dialling went, once it is over.
    #[must_use]
    pub fn dial(&self) -> Option<&Dial> {
        self.dial.get()
    }

    /// Whether the upstream was reached.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.dial.get().is_some_and(|dial| dial.upstream.is_some())
    }

    /// Notes that the first byte from the upstream is here; only the first call counts.
    pub fn note_first_byte(&self) {
        let _ = self.first_byte.set(self.began.elapsed());
    }

    /// Notes why the session ends. Only the first cause counts: what follows from it is not another.
    pub fn end(&self, cause: Cause, error: Option<String>) {
        let _ = self.ending.set(Box::new(Ending { cause, first_closer: self.first_to_end(), error }));
    }

    /// Why the session ended. Where nothing was noted, both sides must have finished: what merely stopped is a fault.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let finished = self.from_client.ended() && (self.mode == Mode::Echo || self.from_upstream.ended());
        let unnoted = if finished { Cause::Done } else { Cause::Internal };
        self.ending.get().map_or(unnoted, |ending| ending.cause)
    }

    /// The side whose stream ended first, where one did by itself: a cut by FIN ends both.
    #[must_use]
    pub fn first_closer(&self) -> Option<Side> {
        match self.ending.get().map(|ending| &**ending) {
            Some(Ending { cause: Cause::Cut, first_closer, .. }) => *first_closer,
            _ => self.first_to_end(),
        }
    }

    fn first_to_end(&self) -> Option<Side> {
        match (self.from_client.end(), self.from_upstream.end()) {
            (None, None) => None,
            (Some(_), None) => Some(Side::Client),
            (None, Some(_)) => Some(Side::Upstream),
            (Some(client), Some(upstream)) => {
                Some(if client < upstream { Side::Client } else { Side::Upstream })
            }
        }
    }

    /// How long after its begin the first byte from the upstream came, where one did.
    #[must_use]
    pub fn first_byte(&self) -> Option<Duration> {
        self.first_byte.get().copied()
    }

    /// Bytes received from the client.
    #[must_use]
    pub fn client_bytes(&self) -> u64 {
        self.from_client.received()
    }

    /// Bytes received from the upstream; in echo and origin mode, bytes sent back.
    #[must_use]
    pub fn upstream_bytes(&self) -> u64 {
        match self.mode {
            Mode::Echo => self.from_client.delivered(),
            Mode::Proxy | Mode::Origin => self.from_upstream.received(),
        }
    }

    /// The session's close event.
    #[must_use]
    pub fn close(&self) -> Close {
        let dial = self.dial.get();
        Close {
            session: self.id,
            mode: self.mode,
            client: self.client.clone(),
            upstream: dial.and_then(|dial| dial.upstream.clone()),
            cause: self.cause(),
            first_closer: self.first_closer(),
            client_bytes: self.client_bytes(),
            upstream_bytes: self.upstream_bytes(),
            duration: self.began.elapsed(),
            resolve: dial.and_then(|dial| dial.resolve),
            connect: dial.and_then(|dial| dial.connect),
            first_byte: self.first_byte.get().copied(),
            error: self.ending.get().and_then(|ending| ending.error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        Record::new(1, Mode::Proxy, address.clone(), address.clone(), address)
    }

    #[test]
    fn the_first_cause_counts() {
        let record = record();
        record.end(Cause::UpstreamReset, Some("a".into()));
        record.end(Cause::ClientReset, Some("b".into()));
        assert_eq!((record.cause(), record.close().error), (Cause::UpstreamReset, Some("a".into())));
    }

    #[test]
    fn a_session_is_done_only_where_both_sides_finished() {
        let record = record();
        assert_eq!(record.cause(), Cause::Internal);
        record.from_client.set_ended();
        assert_eq!(record.cause(), Cause::Internal);
        record.from_upstream.set_ended();
        assert_eq!(record.cause(), Cause::Done);
    }

    #[test]
    fn the_first_closer_is_the_side_that_ended_first() {
        let record = record();
        assert_eq!(record.first_closer(), None);
        record.from_upstream.set_ended();
        assert_eq!(record.first_closer(), Some(Side::Upstream));
        record.from_client.set_ended();
        assert_eq!(record.first_closer(), Some(Side::Upstream));
    }

    #[test]
    fn what_a_cut_ends_was_not_closed_by_a_side() {
        let cut = record();
        cut.end(Cause::Cut, None);
        cut.from_client.set_ended();
        assert_eq!(cut.first_closer(), None);
        let half_closed = record();
        half_closed.from_upstream.set_ended();
        half_closed.end(Cause::Cut, None);
        half_closed.from_client.set_ended();
        assert_eq!(half_closed.first_closer(), Some(Side::Upstream));
    }
}
