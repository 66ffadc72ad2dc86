//! The deadlines of one session: one sleeper, re-armed only when something falls due sooner than it will fire.

use crate::{
    relay::direction::Direction,
    runtime::clock::{Sleep, TICK, coarse_ms, sleep},
    session::{cause::Cause, delivery::Delivery, record::Record},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Long enough for three SYN retransmissions (1 s, 2 s and 4 s after the first, RFC 6298 §5).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Interactive sessions pause for minutes; an hour of silence is what HAProxy's and NAT boxes' users expect to survive.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A peer that has had its answer's request for a minute and moves nothing is gone.
pub const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A peer with a closed window for five minutes is stuck (RFC 9293 §3.8.3 calls for a user timeout of five minutes).
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What service supervisors wait before they kill.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Every wait on a peer; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolve and connect, all addresses together.
    pub connect: Option<Duration>,
    /// No byte moved in either direction.
    pub idle: Option<Duration>,
    /// One direction ended, no byte since.
    pub half_close: Option<Duration>,
    /// Bytes are waiting for a peer that does not take any.
    pub stall: Option<Duration>,
    /// Whatever happens.
    pub lifetime: Option<Duration>,
    /// From the begin of a drain to the cut.
    pub drain: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            connect: Some(CONNECT_TIMEOUT),
            idle: Some(IDLE_TIMEOUT),
            half_close: Some(HALF_CLOSE_TIMEOUT),
            stall: Some(STALL_TIMEOUT),
            lifetime: None,
            drain: Some(DRAIN_TIMEOUT),
        }
    }
}

/// A client that ended its stream without a byte, while its upstream has still not answered, is taken to have left: a
/// direct client that ends before it is connected ends the attempt too (RFC 9293 §3.10.4, SYN-SENT).
const LEFT_DURING_DIAL: Duration = Duration::from_millis(500);

/// How long a session that is to end by FIN may take to deliver what is under way; then it ends by RST.
const FIN_GRACE: Duration = Duration::from_secs(5);
/// How long a session is quiet before its queues are looked at, and between looks; deadlines are late by at most this.
const LOOK_AFTER: Duration = Duration::from_millis(250);
/// A shorter deadline is looked after more often: this many times in its course.
const LOOKS: u32 = 8;

/// Watches the deadlines of a session.
pub struct Watch<'a> {
    record: &'a Record,
    deadlines: Arc<Deadlines>,
    began_ms: u64,
    delivery: Delivery,
    /// When the queues were last looked at; what had moved before then.
    looked_ms: u64,
    /// Since when the session ends by FIN, if an operator said so.
    cut_ms: Option<u64>,
    /// The queues were empty at the last look.
    settled: bool,
    /// When the sleeper fires, and the sleeper.
    armed: Option<(u64, Sleep)>,
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A look at the kernel's queues.
    Look,
    /// The end of the session.
    End(Cause),
}

impl<'a> Watch<'a> {
    /// Watches the session of `record`, which begins now.
    #[must_use]
    pub fn new(record: &'a Record, deadlines: Arc<Deadlines>) -> Self {
        let (began_ms, delivery) = (coarse_ms(), Delivery::default());
        Watch {
            record,
            deadlines,
            began_ms,
            delivery,
            looked_ms: 0,
            cut_ms: None,
            settled: false,
            armed: None,
        }
    }

    /// From now on what is under way has [`FIN_GRACE`] to be delivered.
    pub fn limit_last_delivery(&mut self) {
        self.cut_ms.get_or_insert_with(coarse_ms);
    }

    /// Ready when a deadline has passed; says which.
    pub fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<Cause> {
        loop {
            let Some((due_ms, due)) = self.earliest() else { return Poll::Pending };
            if self.armed.as_ref().is_none_or(|(armed_ms, _)| due_ms < *armed_ms) {
                let now = coarse_ms();
                if due_ms <= now {
                    match due {
                        Due::Look => self.look(now),
                        Due::End(cause) => return Poll::Ready(cause),
                    }
                    continue;
                }
                // The coarse clock may lag by a tick; a deadline never comes early.
                self.armed = Some((due_ms, sleep(Duration::from_millis(due_ms - now) + TICK)));
            }
            let Some((_, sleeper)) = &mut self.armed else { return Poll::Pending };
            ready!(Pin::new(sleeper).poll(context));
            self.armed = None;
        }
    }

    fn look(&mut self, now_ms: u64) {
        self.settled = !self.delivery.look(self.record, now_ms);
        self.looked_ms = now_ms;
    }

    /// What falls due first, as things are now, in milliseconds of the coarse clock.
    fn earliest(&self) -> Option<(u64, Due)> {
        let Deadlines { idle, half_close, stall, lifetime, .. } = *self.deadlines;
        let (client, upstream) = (&self.record.from_client, &self.record.from_upstream);
        let (to_client, to_upstream) =
            (self.delivery.to_client.moved_ms(), self.delivery.to_upstream.moved_ms());
        let flowed_ms = client.moved_ms().max(upstream.moved_ms());
        let moved_ms = flowed_ms.max(to_client.max(to_upstream).unwrap_or(0));
        let half_closed = client.ended() || upstream.ended();
        let dialling = self.record.dialling();
        let left = dialling && client.ended() && client.received() == 0;
        // In echo mode what the client sends is delivered to the client.
        let client_takes = if self.record.listening.target.loops() { to_client } else { to_upstream };
        let waits = |flow: &Direction, taken_ms: Option<u64>| {
            flow.waiting_since_ms().map(|since| since.max(taken_ms.unwrap_or(0)))
        };
        let waiting = [waits(client, client_takes), waits(upstream, to_client)].into_iter().flatten().min();
        let shortest = [idle, half_close, stall].into_iter().flatten().min();
        let unsettled = !self.settled || flowed_ms > self.looked_ms;
        let look_after = shortest.map(|limit| LOOK_AFTER.min(limit / LOOKS));
        [
            due(Some(moved_ms), idle, Due::End(Cause::IdleTimeout)),
            due(half_closed.then_some(moved_ms), half_close, Due::End(Cause::HalfCloseTimeout)),
            // Nobody can take anything before the upstream is there; that wait has its own limit.
            due(waiting.filter(|_| !dialling), stall, Due::End(Cause::StallTimeout)),
            due(Some(self.began_ms), lifetime, Due::End(Cause::Lifetime)),
            due(self.cut_ms, Some(FIN_GRACE), Due::End(Cause::Cut)),
            due(left.then_some(moved_ms), Some(LEFT_DURING_DIAL), Due::End(Cause::ClientReset)),
            due(unsettled.then_some(flowed_ms.max(self.looked_ms)), look_after, Due::Look),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(due_ms, _)| *due_ms)
    }
}

fn due(since_ms: Option<u64>, limit: Option<Duration>, what: Due) -> Option<(u64, Due)> {
    let limit_ms = u64::try_from(limit?.as_millis()).unwrap_or(u64::MAX);
    Some((since_ms?.saturating_add(limit_ms), what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{record::Dial, target::Target};

    const DEADLINES: Deadlines = Deadlines {
        connect: None,
        idle: Some(Duration::from_secs(100)),
        half_close: Some(Duration::from_secs(50)),
        stall: Some(Duration::from_secs(20)),
        lifetime: None,
        drain: None,
    };

    /// What ends the session first, once its queues were found empty.
    fn earliest(record: &Record) -> Option<Cause> {
        let mut watch = Watch::new(record, Arc::new(DEADLINES));
        watch.look(coarse_ms());
        watch.earliest().map(|(_, due)| match due {
            Due::End(cause) => cause,
            Due::Look => unreachable!("the queues are empty"),
        })
    }

    #[test]
    fn a_session_that_went_quiet_is_looked_at_before_it_ends() {
        let record = Record::sample(1, Target::Echo);
        assert_eq!(Watch::new(&record, Arc::new(DEADLINES)).earliest().map(|(_, due)| due), Some(Due::Look));
    }

    #[test]
    fn what_falls_due_first_follows_the_session() {
        let record = Record::sample(1, Target::upstream("127.0.0.1:1"));
        record.set_dial(Dial { upstream: None, local: None, resolve: None, connect: None });
        assert_eq!(earliest(&record), Some(Cause::IdleTimeout));
        record.from_client.add_received(1);
        assert_eq!(earliest(&record), Some(Cause::StallTimeout));
        record.from_client.add_delivered(1);
        record.from_client.set_ended();
        assert_eq!(earliest(&record), Some(Cause::HalfCloseTimeout));
    }

    #[test]
    fn a_client_that_leaves_without_a_byte_ends_the_dial() {
        let record = Record::sample(1, Target::upstream("127.0.0.1:1"));
        record.from_client.set_ended();
        assert_eq!(earliest(&record), Some(Cause::ClientReset));
        record.from_client.add_received(1);
        assert_eq!(earliest(&record), Some(Cause::HalfCloseTimeout));
    }

    #[test]
    fn without_deadlines_nothing_falls_due() {
        let off = Deadlines { idle: None, half_close: None, stall: None, ..DEADLINES };
        assert!(Watch::new(&Record::sample(1, Target::Echo), Arc::new(off)).earliest().is_none());
    }
}
