//! The deadlines of one session: one sleeper, re-armed only when something falls due sooner than it will fire.

use crate::{
    config::Deadlines,
    observe::{cause::Cause, event::Mode, record::Record},
    runtime::clock::{Sleep, TICK, coarse_ms, sleep},
};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// A client that ended its stream without a byte, while its upstream has still not answered, is taken to have left: a
/// direct client that ends before it is connected ends the attempt too (RFC 9293 §3.10.4, SYN-SENT).
const LEFT_DURING_DIAL: Duration = Duration::from_millis(500);

/// Watches the deadlines of a session.
pub struct Watch<'a> {
    record: &'a Record,
    deadlines: &'a Deadlines,
    began_ms: u64,
    /// When the sleeper fires, and the sleeper.
    armed: Option<(u64, Sleep)>,
}

impl<'a> Watch<'a> {
    /// Watches the session of `record`, which begins now.
    #[must_use]
    pub fn new(record: &'a Record, deadlines: &'a Deadlines) -> Self {
        Watch { record, deadlines, began_ms: coarse_ms(), armed: None }
    }

    /// Ends when a deadline has passed, and says which. Cancel-safe.
    pub async fn expired(&mut self) -> Cause {
        poll_fn(|context| self.poll_expired(context)).await
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<Cause> {
        loop {
            let Some((due_ms, cause)) = self.earliest() else { return Poll::Pending };
            if self.armed.as_ref().is_none_or(|(armed_ms, _)| due_ms < *armed_ms) {
                let now = coarse_ms();
                if due_ms <= now {
                    return Poll::Ready(cause);
                }
                // The coarse clock may lag by a tick; a deadline never comes early.
                self.armed = Some((due_ms, sleep(Duration::from_millis(due_ms - now) + TICK)));
            }
            let Some((_, sleeper)) = &mut self.armed else { return Poll::Pending };
            ready!(Pin::new(sleeper).poll(context));
            self.armed = None;
        }
    }

    /// What falls due first, as things are now, in milliseconds of the coarse clock.
    fn earliest(&self) -> Option<(u64, Cause)> {
        let (client, upstream) = (&self.record.from_client, &self.record.from_upstream);
        let moved_ms = client.moved_ms().max(upstream.moved_ms());
        let half_closed = client.ended() || upstream.ended();
        let dialling = self.record.mode == Mode::Proxy && self.record.dial().is_none();
        let left = dialling && client.ended() && client.received() == 0;
        let waiting = [client.waiting_since_ms(), upstream.waiting_since_ms()].into_iter().flatten().min();
        let due = |since_ms: Option<u64>, limit: Option<Duration>, cause| {
            let limit_ms = u64::try_from(limit?.as_millis()).unwrap_or(u64::MAX);
            Some((since_ms?.saturating_add(limit_ms), cause))
        };
        [
            due(Some(moved_ms), self.deadlines.idle, Cause::IdleTimeout),
            due(half_closed.then_some(moved_ms), self.deadlines.half_close, Cause::HalfCloseTimeout),
            // Nobody can take anything before the upstream is there; that wait has its own limit.
            due(waiting.filter(|_| !dialling), self.deadlines.stall, Cause::StallTimeout),
            due(Some(self.began_ms), self.deadlines.lifetime, Cause::Lifetime),
            due(left.then_some(moved_ms), Some(LEFT_DURING_DIAL), Cause::ClientReset),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(due_ms, _)| *due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{io::address::Address, observe::record::Dial};

    const DEADLINES: Deadlines = Deadlines {
        connect: None,
        idle: Some(Duration::from_secs(100)),
        half_close: Some(Duration::from_secs(50)),
        stall: Some(Duration::from_secs(20)),
        lifetime: None,
        drain: None,
    };

    fn record(mode: Mode) -> Record {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        Record::new(1, mode, address.clone(), address)
    }

    fn earliest(record: &Record) -> Option<Cause> {
        Watch::new(record, &DEADLINES).earliest().map(|(_, cause)| cause)
    }

    #[test]
    fn what_falls_due_first_follows_the_session() {
        let record = record(Mode::Proxy);
        record.set_dial(Dial { upstream: None, resolve: None, connect: None });
        assert_eq!(earliest(&record), Some(Cause::IdleTimeout));
        record.from_client.add_received(1);
        assert_eq!(earliest(&record), Some(Cause::StallTimeout));
        record.from_client.add_delivered(1);
        record.from_client.set_ended();
        assert_eq!(earliest(&record), Some(Cause::HalfCloseTimeout));
    }

    #[test]
    fn a_client_that_leaves_without_a_byte_ends_the_dial() {
        let record = record(Mode::Proxy);
        record.from_client.set_ended();
        assert_eq!(earliest(&record), Some(Cause::ClientReset));
        record.from_client.add_received(1);
        assert_eq!(earliest(&record), Some(Cause::HalfCloseTimeout));
    }

    #[test]
    fn without_deadlines_nothing_falls_due() {
        let off = Deadlines { idle: None, half_close: None, stall: None, ..DEADLINES };
        assert!(Watch::new(&record(Mode::Echo), &off).earliest().is_none());
    }
}
