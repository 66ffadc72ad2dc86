//! The deadlines of one session: one sleeper, re-armed only when something falls due sooner than it will fire.

use crate::{
    relay::direction::Direction,
    runtime::clock::{Sleep, TICK, coarse_ms, sleep},
    session::{
        cause::Cause,
        context::Context,
        delivery::{self, Queue},
        record::Record,
    },
};
use std::{
    num::NonZeroU64,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

/// Long enough for three SYN retransmissions (1 s, 2 s and 4 s after the first, RFC 6298 §5).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client has its first bytes ready; three lost segments are sent again within 7 s (1 s, 2 s and 4 s after the first, RFC
/// 6298 §5). The PROXY protocol asks for 3 s at least.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Interactive sessions pause for minutes; an hour of silence is what HAProxy's and NAT boxes' users expect to survive.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A peer that has had its answer's request for a minute and moves nothing is gone.
pub const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A peer with a closed window for five minutes is stuck (RFC 9293 §3.8.3 calls for a user timeout of five minutes).
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Every wait on a peer; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolve and connect, all addresses together.
    pub connect: Option<Duration>,
    /// A client's PROXY header, ClientHello and TLS handshake, all together.
    pub handshake: Option<Duration>,
    /// No byte moved in either direction.
    pub idle: Option<Duration>,
    /// One direction ended, no byte since.
    pub half_close: Option<Duration>,
    /// Bytes are waiting for a peer that does not take any.
    pub stall: Option<Duration>,
    /// Whatever happens.
    pub lifetime: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            connect: Some(CONNECT_TIMEOUT),
            handshake: Some(HANDSHAKE_TIMEOUT),
            idle: Some(IDLE_TIMEOUT),
            half_close: Some(HALF_CLOSE_TIMEOUT),
            stall: Some(STALL_TIMEOUT),
            lifetime: None,
        }
    }
}

/// A client that ended its stream without a byte, while its upstream is dialled, may listen or may have left: its kernel
/// says the same of both. Its dial goes on. If another session needs what it holds, it is given up, but not before two
/// lost requests can have been sent again (1 s, and 2 s after that, RFC 6298 §5) and answered.
const DIAL_KEPT_MS: u64 = 3500;
/// How often the session of such a dial asks whether another one needs what it holds.
const SHORTAGE_ASKED_EVERY_MS: u64 = 500;

/// How long a session that is to end by FIN may take to deliver what is under way; then it ends by RST.
const FIN_GRACE: Duration = Duration::from_secs(5);
/// How long a session is quiet before its queues are looked at; one that is not has them looked at for its stall timeout alone. A
/// look that finds nothing moved doubles the time to the next one.
const LOOK_AFTER_MS: u32 = 250;
/// But there are this many looks in the course of the shortest deadline that they serve: it is late by at most one of them.
const LOOKS: u32 = 8;
/// A peer that is well acknowledges within this (RFC 9293 §3.8.6.3), however short the deadline is.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(500);

/// Watches the deadlines of a session.
pub struct Watch<'a> {
    record: &'a Record,
    context: &'a Context,
    deadlines: Arc<Deadlines>,
    /// When the queues were last looked at, or the session began, and how long after that they are again if nothing flows.
    looked_ms: u64,
    look_after_ms: u32,
    /// How often the session asked whether another one needs what its dial holds.
    asked: u32,
    /// How long after it begins anything falls due at the soonest.
    soonest_ms: u64,
    /// Since when the session ends by FIN, if an operator said so.
    cut_ms: Option<NonZeroU64>,
    /// When the sleeper fires, and the sleeper.
    armed: Option<(u64, Sleep)>,
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A look at the kernel's queues.
    Look,
    /// The dial of a client that may have left, if another session needs what it holds.
    GiveUp,
    /// The end of the session.
    End(Cause),
}

impl<'a> Watch<'a> {
    /// Watches the session of `record`, which begins now.
    pub fn new(record: &'a Record, deadlines: Arc<Deadlines>, context: &'a Context) -> Self {
        Watch {
            record,
            context,
            soonest_ms: soonest_ms(&deadlines),
            deadlines,
            looked_ms: record.moved_ms(),
            look_after_ms: LOOK_AFTER_MS,
            asked: 0,
            cut_ms: None,
            armed: None,
        }
    }

    /// From now on the finish that an operator ordered may take `FIN_GRACE`. A second call gives it no more.
    pub fn limit_finish(&mut self) {
        self.cut_ms = self.cut_ms.or(NonZeroU64::new(coarse_ms()));
    }

    /// Ready when a deadline has passed; says which.
    pub fn poll_expired(&mut self, context: &mut task::Context<'_>) -> Poll<Cause> {
        loop {
            if !self.is_armed() {
                self.begin_anew();
                let now_ms = coarse_ms();
                let next = match self.advance(now_ms) {
                    ControlFlow::Break(cause) => return Poll::Ready(cause),
                    ControlFlow::Continue(next) => next,
                };
                // What the upstream's task writes to the client wakes this one only if it is told to.
                let rests = self.looks() && next.is_none_or(|due_ms| due_ms > self.soon_ms());
                self.record.to_client().gate.set_awaited(rests);
                let Some(due_ms) = next else { return Poll::Pending };
                // The coarse clock may lag by a tick; a deadline never comes early.
                self.armed = Some((due_ms, sleep(Duration::from_millis(due_ms - now_ms) + TICK)));
            }
            let Some((_, sleeper)) = &mut self.armed else { return Poll::Pending };
            ready!(Pin::new(sleeper).poll(context));
            self.armed = None;
        }
    }

    /// Whether the sleeper fires no later than anything falls due.
    fn is_armed(&self) -> bool {
        let Some((armed_ms, _)) = &self.armed else { return false };
        // While bytes flow that needs no more than a look at the clock of the last one.
        *armed_ms <= self.soon_ms() || self.earliest().is_none_or(|(due_ms, _)| due_ms >= *armed_ms)
    }

    /// Whether the queues are looked at once bytes have flowed.
    fn looks(&self) -> bool {
        self.deadlines.idle.or(self.deadlines.stall).is_some()
    }

    /// What begins from now on falls due no sooner.
    fn soon_ms(&self) -> u64 {
        self.flowed_ms() + self.soonest_ms
    }

    /// After a rest of the session: the queues were empty until the byte that ended it.
    fn begin_anew(&mut self) {
        let rested = self.armed.as_ref().is_some_and(|(armed_ms, _)| *armed_ms > self.soon_ms());
        if rested && self.queues().iter().all(|queue| queue.bytes() == 0) {
            self.looked_ms = self.looked_ms.max(self.flowed_ms());
        }
    }

    /// Does what is due at `now_ms`, and says when something is due next; none: never. It looks once at most, because the
    /// next look is due a tick later at the soonest.
    fn advance(&mut self, now_ms: u64) -> ControlFlow<Cause, Option<u64>> {
        loop {
            let Some((due_ms, due)) = self.earliest() else { return ControlFlow::Continue(None) };
            if due_ms > now_ms {
                return ControlFlow::Continue(Some(due_ms));
            }
            match due {
                Due::Look => self.look(now_ms),
                // Something may have moved since the last look.
                Due::End(_) if self.looked_ms < now_ms && self.is_unsettled() => self.look(now_ms),
                Due::End(cause) => return ControlFlow::Break(cause),
                Due::GiveUp if self.context.has_shortage() => return ControlFlow::Break(Cause::ClientReset),
                Due::GiveUp => self.asked += 1,
            }
        }
    }

    fn look(&mut self, now_ms: u64) {
        let flowed = self.flowed_ms() >= self.looked_ms;
        let moved = delivery::look(self.record, now_ms);
        self.look_after_ms =
            if flowed || moved { LOOK_AFTER_MS } else { self.look_after_ms.saturating_mul(2) };
        self.looked_ms = now_ms;
    }

    /// When a byte or an end last passed through this program.
    fn flowed_ms(&self) -> u64 {
        self.record.from_client.moved_ms().max(self.record.from_upstream.moved_ms())
    }

    /// The kernel's queues towards the client and towards the upstream, at the last look.
    fn queues(&self) -> [Queue; 2] {
        [self.record.to_client_queue.last(), self.record.to_upstream_queue.last()]
    }

    /// Whether the kernel's queues may hold something.
    fn is_unsettled(&self) -> bool {
        self.queues().iter().any(|queue| queue.bytes() > 0) || self.flowed_ms() >= self.looked_ms
    }

    /// Since when an end by FIN may take [`FIN_GRACE`]. One that a fault made takes as long as faults hold what goes before it.
    fn finish_since_ms(&self, is_held: bool, moved_ms: u64) -> Option<u64> {
        let cut_ms = self.cut_ms?.get();
        Some(match self.record.cause() {
            Cause::Fault if is_held => coarse_ms(),
            Cause::Fault => cut_ms.max(moved_ms),
            _ => cut_ms,
        })
    }

    /// What falls due first, as things are now, in milliseconds of the coarse clock.
    fn earliest(&self) -> Option<(u64, Due)> {
        let Deadlines { idle, half_close, stall, lifetime, .. } = *self.deadlines;
        let (client, upstream) = (&self.record.from_client, &self.record.from_upstream);
        let [to_client, to_upstream] = self.queues();
        let flowed_ms = self.flowed_ms();
        let moved_ms = flowed_ms.max(to_client.moved_ms()).max(to_upstream.moved_ms());
        let half_closed = client.ended() || upstream.ended();
        // What a fault holds is not the peer's to move.
        let is_held = self.record.is_held();
        let half_closed_ms = half_closed.then(|| if is_held { coarse_ms() } else { moved_ms });
        let dialling = self.record.dialling();
        let left = dialling && client.ended() && client.received() == 0;
        // In echo mode what the client sends is delivered to the client.
        let client_takes = if self.record.listening.target.loops() { to_client } else { to_upstream };
        let waits = |flow: &Direction, queue: Queue| Some(flow.waiting_since_ms()?.max(queue.moved_ms()));
        let waiting = [waits(client, client_takes), waits(upstream, to_client)].into_iter().flatten().min();
        let queued = [to_client, to_upstream].iter().filter_map(Queue::waiting_since_ms).min();
        // No peer can take anything before the upstream is there; that wait has its own limit.
        let stall = stall.filter(|_| !dialling);
        let served = [idle, half_close.filter(|_| half_closed), stall].into_iter().flatten().min();
        let quiet = if flowed_ms >= self.looked_ms { LOOK_AFTER_MS } else { self.look_after_ms };
        let look_after = served.map(|limit| Duration::from_millis(quiet.into()).min(limit / LOOKS).max(TICK));
        let (looked_ms, is_unsettled) = (self.looked_ms, self.is_unsettled());
        let give_up_ms = moved_ms + DIAL_KEPT_MS + u64::from(self.asked) * SHORTAGE_ASKED_EVERY_MS;
        [
            due(Some(moved_ms), idle, Due::End(Cause::IdleTimeout)),
            due(half_closed_ms, half_close, Due::End(Cause::HalfCloseTimeout)),
            due(waiting, stall, Due::End(Cause::StallTimeout)),
            due(queued, stall.map(|limit| limit.max(ACKNOWLEDGED_WITHIN)), Due::End(Cause::StallTimeout)),
            due(Some(self.record.began_ms()), lifetime, Due::End(Cause::Lifetime)),
            due(self.finish_since_ms(is_held, moved_ms), Some(FIN_GRACE), Due::End(Cause::Cut)),
            left.then_some((give_up_ms, Due::GiveUp)),
            due(is_unsettled.then_some(flowed_ms.max(looked_ms)), look_after, Due::Look),
            // One peer may take nothing while bytes of the other flow.
            due(is_unsettled.then_some(looked_ms), stall.map(|limit| (limit / LOOKS).max(TICK)), Due::Look),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(due_ms, _)| *due_ms)
    }
}

/// The least time from when anything begins until it falls due: a lifetime begins with the session, and is in sight from then on.
fn soonest_ms(Deadlines { idle, half_close, stall, .. }: &Deadlines) -> u64 {
    let looks =
        [idle, half_close, stall].into_iter().flatten().map(|limit| (*limit / LOOKS).max(TICK).min(*limit));
    let soonest = looks.min().unwrap_or(Duration::MAX).as_millis();
    u64::try_from(soonest.min(LOOK_AFTER_MS.into())).unwrap_or(0)
}

fn due(since_ms: Option<u64>, limit: Option<Duration>, what: Due) -> Option<(u64, Due)> {
    // Rounded up: a deadline never comes early.
    let limit_ms = u64::try_from(limit?.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Some((since_ms?.saturating_add(limit_ms), what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;
    use crate::{
        net::{
            address::Address,
            kernel::{SendQueue, unacknowledged},
        },
        session::{listening::Listening, record::Dial, target::Target},
    };
    use futures::{FutureExt, executor::block_on};
    use std::future::poll_fn;
    use std::{
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    const OFF: Deadlines = Deadlines {
        connect: None,
        handshake: None,
        idle: None,
        half_close: None,
        stall: None,
        lifetime: None,
    };
    const DEADLINES: Deadlines = Deadlines {
        idle: Some(Duration::from_secs(100)),
        half_close: Some(Duration::from_secs(50)),
        stall: Some(Duration::from_secs(20)),
        ..OFF
    };

    /// What ends the session first, once its queues were found empty.
    fn earliest(record: &Record) -> Option<Cause> {
        let context = Context::sample();
        let mut watch = Watch::new(record, DEADLINES.into(), &context);
        watch.look(coarse_ms() + 1);
        watch.earliest().and_then(|(_, due)| match due {
            Due::End(cause) => Some(cause),
            Due::GiveUp => None,
            Due::Look => unreachable!("the queues are empty"),
        })
    }

    /// A session whose client has taken nothing of what lies in the kernel, and the client.
    struct Sleeping {
        record: Record,
        client: TcpStream,
        _near: TcpStream,
    }

    impl Sleeping {
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut near, address) = listener.accept().unwrap();
            let local = Address::Tcp(listener.local_addr().unwrap());
            let listening = Listening::sample(local.clone(), Target::Origin);
            let record = Record::new(1, listening, local, Address::Tcp(address));
            near.set_nonblocking(true).unwrap();
            let written = std::iter::from_fn(|| match near.write(&[0; 64 << 10]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                count => Some(count.unwrap()),
            });
            let written = written.sum();
            record.from_upstream.add_received(written);
            record.from_upstream.add_delivered(written);
            Sleeping { record, client, _near: near }
        }

        /// The client takes all, and its kernel has said so.
        fn wake(&self) {
            let begin = Instant::now();
            self.client.set_nonblocking(true).unwrap();
            while unacknowledged(&self.record.local, &self.record.client) != SendQueue::Bytes(0) {
                assert!(begin.elapsed() < Duration::from_secs(20));
                let _ = (&self.client).read(&mut vec![0; 1 << 20]);
            }
        }
    }

    /// Goes from one thing that is due to the next, from `now_ms` on, until `steps` are done or the session ends; says when
    /// that is and what ends it.
    fn pass(watch: &mut Watch<'_>, mut now_ms: u64, steps: usize) -> (u64, Option<Cause>) {
        for _ in 0..steps {
            match watch.advance(now_ms) {
                ControlFlow::Break(cause) => return (now_ms, Some(cause)),
                ControlFlow::Continue(None) => return (now_ms, None),
                ControlFlow::Continue(Some(due_ms)) => now_ms = due_ms,
            }
        }
        (now_ms, None)
    }

    #[test]
    fn a_session_that_went_quiet_is_looked_at_before_it_ends() {
        let (record, context) = (Record::sample(1, Target::Echo), Context::sample());
        let watch = Watch::new(&record, DEADLINES.into(), &context);
        assert_eq!(watch.earliest().map(|(_, due)| due), Some(Due::Look));
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
    fn what_begins_while_bytes_flow_is_not_missed_by_the_sleeper() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let short = Deadlines { stall: ms(30), half_close: ms(9), ..DEADLINES };
        let life = Deadlines { lifetime: ms(20), ..DEADLINES };
        for deadlines in [DEADLINES, short, life, Deadlines { idle: ms(500), ..OFF }] {
            let (record, context) = (Record::sample(1, Target::upstream("127.0.0.1:1")), Context::sample());
            record.set_dial(Dial { upstream: None, local: None, resolve: None, connect: None });
            let mut watch = Watch::new(&record, deadlines.into(), &context);
            let flows: [&dyn Fn(); 6] = [
                &|| (),
                &|| record.from_client.add_received(2),
                &|| record.from_client.add_delivered(1),
                &|| record.from_upstream.add_received(1),
                &|| record.from_upstream.set_ended(),
                &|| record.from_client.set_ended(),
            ];
            let missed = run(poll_fn(|context| {
                assert!(watch.poll_expired(context).is_pending());
                let armed_ms = watch.armed.as_ref().unwrap().0;
                let is_missed = |flow: &&dyn Fn()| {
                    flow();
                    watch.is_armed() && watch.earliest().is_some_and(|(due_ms, _)| due_ms < armed_ms)
                };
                Poll::Ready(flows.iter().filter(|flow| is_missed(flow)).count())
            }));
            assert_eq!(missed.unwrap(), 0, "{deadlines:?}");
        }
    }

    #[test]
    fn without_deadlines_nothing_falls_due() {
        let (record, context) = (Record::sample(1, Target::Echo), Context::sample());
        assert!(Watch::new(&record, OFF.into(), &context).earliest().is_none());
    }

    #[test]
    fn the_dial_of_a_client_that_only_listens_goes_on_until_another_session_needs_its_place() {
        let (record, context) = (Record::sample(1, Target::upstream("127.0.0.1:1")), Context::sample());
        record.from_client.set_ended();
        let mut watch = Watch::new(&record, OFF.into(), &context);
        let _taken = block_on(context.slots.take());
        let (now_ms, end) = pass(&mut watch, coarse_ms(), 100);
        assert_eq!(end, None);
        assert!(now_ms >= coarse_ms() + 90 * SHORTAGE_ASKED_EVERY_MS);
        let mut waiter = Box::pin(context.slots.take());
        assert!((&mut waiter).now_or_never().is_none());
        assert_eq!(pass(&mut watch, now_ms, 2), (now_ms, Some(Cause::ClientReset)));
        let mut watch = Watch::new(&record, OFF.into(), &context);
        let (now_ms, end) = pass(&mut watch, coarse_ms(), 2);
        assert_eq!(end, Some(Cause::ClientReset));
        assert_eq!(now_ms, record.from_client.moved_ms() + DIAL_KEPT_MS);
        // It has sent something: it waits for an answer.
        record.from_client.add_received(1);
        assert!(Watch::new(&record, OFF.into(), &context).earliest().is_none());
    }

    #[test]
    fn looks_at_a_client_that_sleeps_get_rare() {
        const STALL: Duration = Duration::from_secs(300);
        let sleeping = Sleeping::new();
        let deadlines = Deadlines { stall: Some(STALL), ..DEADLINES };
        let context = Context::sample();
        let mut watch = Watch::new(
            &sleeping.record,
            (Deadlines { idle: Some(STALL * 12), ..deadlines }).into(),
            &context,
        );
        let (begin_ms, mut looked) = (coarse_ms(), Vec::new());
        let (mut now_ms, mut end) = (begin_ms, None);
        while end.is_none() {
            (now_ms, end) = pass(&mut watch, now_ms, 1);
            looked.push(watch.looked_ms);
            looked.dedup();
        }
        assert_eq!(end, Some(Cause::StallTimeout));
        // Doubling from a quarter of a second to an eighth of the deadline, eight of those, and the last.
        assert!(looked.len() <= 9 + LOOKS as usize + 1, "{looked:?}");
        let late_ms = now_ms - begin_ms - 300_000;
        assert!(late_ms <= 300, "{late_ms} ms late");
    }

    #[test]
    fn what_moved_after_the_last_look_puts_the_end_off() {
        let sleeping = Sleeping::new();
        let context = Context::sample();
        let mut watch = Watch::new(&sleeping.record, DEADLINES.into(), &context);
        let ends = |watch: &Watch<'_>| matches!(watch.earliest(), Some((_, Due::End(_))));
        let mut now_ms = coarse_ms();
        while !ends(&watch) {
            now_ms = pass(&mut watch, now_ms, 1).0;
        }
        sleeping.wake();
        let due_ms = watch.earliest().unwrap().0;
        let (_, end) = pass(&mut watch, due_ms, 1);
        assert_eq!(end, None);
        assert!(watch.earliest().unwrap().0 > due_ms);
    }

    #[test]
    fn the_shortest_deadlines_cost_one_look_a_tick() {
        for limit in (1..=10).map(Duration::from_millis).chain([Duration::from_nanos(1)]) {
            let (sleeping, context) = (Sleeping::new(), Context::sample());
            let mut watch =
                Watch::new(&sleeping.record, (Deadlines { stall: Some(limit), ..OFF }).into(), &context);
            let begin_ms = coarse_ms();
            let (now_ms, end) = pass(&mut watch, begin_ms, 3 + ACKNOWLEDGED_WITHIN.as_millis() as usize / 10);
            assert_eq!(end, Some(Cause::StallTimeout), "{limit:?}");
            assert!(now_ms - begin_ms >= ACKNOWLEDGED_WITHIN.as_millis() as u64, "{limit:?}");
        }
    }

    #[test]
    fn the_longest_deadlines_are_no_panic() {
        let record = Record::sample(1, Target::Echo);
        record.from_client.add_received(1);
        for limit in [Duration::from_secs(100 * 31_557_600), Duration::from_millis(u64::MAX), Duration::MAX] {
            let limit = Some(limit);
            let context = Context::sample();
            let mut watch = Watch::new(
                &record,
                (Deadlines { idle: limit, stall: limit, lifetime: limit, ..OFF }).into(),
                &context,
            );
            let polled = run(poll_fn(|context| Poll::Ready(watch.poll_expired(context).is_pending())));
            assert!(polled.unwrap());
        }
    }
}
