//! What is known of one session: facts, both directions, and its end. Its actors write it; operators and the books read it.

use crate::{
    net::address::Address,
    relay::direction::Direction,
    runtime::clock::now_ns,
    session::{
        cause::Cause,
        delivery::{Queue, SeenQueue},
        event::{Close, Events, Mode, Side, What},
        faults::{fault::FaultStream, faulted::Faulted, stage::FaultEnd},
        group::{Group, Place},
        introduction::Introduction,
        listening::Listening,
        mark::{Mark, MarkKind},
        order::Orders,
        outcome::{Loss, Outcome},
        route::Facts,
        tap::Taps,
    },
    text::safe::SafeText,
};
use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

pub struct Record {
    /// Unique in this process, from 1.
    pub id: u64,
    pub listening: Arc<Listening>,
    pub local: Address,
    pub client: Address,
    /// When it began, in nanoseconds of [`now_ns`].
    began_ns: u64,
    /// Its number among those of its listener, from 0: what its faults are drawn by.
    ordinal: u64,
    pub from_client: Direction,
    /// The stream from the upstream, or from this program in its place; unused in echo mode.
    pub from_upstream: Direction,
    /// What the kernel held for each side at the last look.
    pub to_client_queue: SeenQueue,
    pub to_upstream_queue: SeenQueue,
    /// Boxed: a session of one address has none.
    choice: OnceBox<Selection>,
    /// Boxed: most sessions have none.
    introduction: OnceBox<Introduction>,
    /// And when it was over, in nanoseconds of [`now_ns`].
    dial: OnceLock<(Dial, u64)>,
    /// Boxed: nearly no session has any.
    faulted: OnceBox<Faulted>,
    /// Boxed: there is none for nearly all of its life.
    ending: OnceBox<Ending>,
    pub taps: Taps,
    pub orders: Orders,
}

/// Which way a session went, if there was a choice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Selection {
    /// `web#2 sni=www.example.com`; none if the listener has one way only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<SafeText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_group: Option<SafeText>,
    /// The one that was reached; none if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<SafeText>,
    /// Why that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<SafeText>,
    /// Servers that were tried before, and could not be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// A server that could not be reached.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Tried {
    pub server: SafeText,
    /// The cause that it would have been, if it were the only one.
    pub error: SafeText,
    /// How long it took.
    pub ms: f64,
}

/// How the upstream was reached.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The address that answered; none if none did.
    pub upstream: Option<Address>,
    /// Our address towards it.
    pub local: Option<Address>,
    /// How long the name took to resolve, if there was one.
    pub resolve: Option<Duration>,
    pub connect: Option<Duration>,
}

struct Ending {
    cause: Cause,
    /// The side whose stream had ended first by then.
    first_closer: Option<Side>,
    error: Option<String>,
    /// The name of the fault that ended it, if one did.
    fault: Option<Box<str>>,
}

impl Selection {
    /// By the `route` to a `place` of the group, if one was reached. None of a bare address, of which there is nothing to tell.
    pub fn of(group: &Group, route: Option<&str>, place: Option<&Place>, tried: Vec<Tried>) -> Option<Self> {
        if group.is_address && route.is_none() {
            return None;
        }
        Some(Selection {
            route: route.map(SafeText::from),
            upstream_group: (!group.is_address).then(|| group.name.as_str().into()),
            server: place.map(|place| SafeText::literal(&place.server.address())),
            why: place.filter(|_| !group.is_address).map(|place| SafeText::literal(&place.why)),
            tried,
        })
    }
}

impl Record {
    pub fn new(id: u64, listening: Arc<Listening>, local: Address, client: Address) -> Self {
        Record {
            id,
            ordinal: listening.faults.begin(),
            listening,
            local,
            client,
            began_ns: now_ns(),
            from_client: Direction::new(),
            from_upstream: Direction::new(),
            to_client_queue: SeenQueue::default(),
            to_upstream_queue: SeenQueue::default(),
            choice: OnceBox::new(),
            introduction: OnceBox::new(),
            dial: OnceLock::new(),
            faulted: OnceBox::new(),
            ending: OnceBox::new(),
            taps: Taps::default(),
            orders: Orders::default(),
        }
    }

    pub fn mode(&self) -> Mode {
        self.listening.target.mode()
    }

    /// When it began, in nanoseconds of [`now_ns`].
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// When it began, in milliseconds of [`crate::runtime::clock::coarse_ms`].
    pub fn began_ms(&self) -> u64 {
        self.began_ns / 1_000_000
    }

    pub fn age(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.began_ns))
    }

    /// The stream to the client: in echo mode what it sent itself.
    pub fn to_client(&self) -> &Direction {
        if self.listening.target.loops() { &self.from_client } else { &self.from_upstream }
    }

    /// The direction in which faults of `stream` act, and whether those of the other act there too.
    pub fn direction_of(&self, stream: FaultStream) -> (&Direction, bool) {
        match stream {
            _ if self.listening.target.loops() => (&self.from_client, true),
            FaultStream::Upstream => (&self.from_client, false),
            FaultStream::Downstream => (&self.from_upstream, false),
        }
    }

    /// Its number among the sessions of its listener, from 0.
    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// The faults that it has met, if there was any.
    pub fn faulted(&self) -> Option<&Faulted> {
        self.faulted.get()
    }

    /// The same; it is there from now on.
    pub(super) fn faulted_or(&self, make: impl FnOnce() -> Faulted) -> &Faulted {
        self.faulted.get_or_init(|| Box::new(make()))
    }

    /// Both directions, each with the side that sends.
    pub fn sides(&self) -> [(&Direction, Side); 2] {
        [(&self.from_client, Side::Client), (&self.from_upstream, Side::Upstream)]
    }

    /// Ends the streams of both peers after what has come of them. Their half-loops must be woken to see it.
    pub fn finish(&self) {
        for (direction, _) in self.sides() {
            direction.gate.finish();
        }
    }

    /// When a byte or an end last moved, in milliseconds of the coarse clock.
    pub fn moved_ms(&self) -> u64 {
        self.from_client.moved_ms().max(self.from_upstream.moved_ms())
    }

    /// The kernel's queues towards the client and towards the upstream, as they were last seen.
    pub fn queues(&self) -> [Queue; 2] {
        [
            self.to_client_queue.get(self.to_client().moved_ms()),
            self.to_upstream_queue.get(self.from_client.moved_ms()),
        ]
    }

    /// Since when bytes wait for a side that takes none of them, here or in the kernel, by the coarse clock.
    pub fn stalled_since_ms(&self) -> Option<u64> {
        let [to_client, to_upstream] = self.queues();
        let client_takes = if self.listening.target.loops() { &to_client } else { &to_upstream };
        // While the queue shrinks its receiver takes some, though nothing passes here.
        let waits = |flow: &Direction, queue: &Queue| Some(flow.waiting_since_ms()?.max(queue.moved_ms()));
        let here = [waits(&self.from_client, client_takes), waits(&self.from_upstream, &to_client)];
        let there = [to_client.waiting_since_ms(), to_upstream.waiting_since_ms()];
        here.into_iter().chain(there).flatten().min()
    }

    /// Bytes from the client, and from the upstream, that never reached the other's kernel, as far as that is known, once the
    /// session has ended.
    pub fn undelivered(&self) -> [u64; 2] {
        let (to_client, to_upstream) = (self.to_client_queue.lost(), self.to_upstream_queue.lost());
        let lost = if self.listening.target.loops() { [to_client, 0] } else { [to_upstream, to_client] };
        [self.from_client.waiting() + lost[0], self.from_upstream.waiting() + lost[1]]
    }

    pub fn set_choice(&self, choice: Selection) {
        let _ = self.choice.set(Box::new(choice));
    }

    /// Which way it went, once that is decided, if there was a choice.
    pub fn choice(&self) -> Option<&Selection> {
        self.choice.get()
    }

    /// What the client says before its stream, as far as it is known. It is there from now on.
    pub fn introduction(&self) -> &Introduction {
        self.introduction.get_or_init(Box::default)
    }

    /// The same, if it was asked for.
    pub fn introduced(&self) -> Option<&Introduction> {
        self.introduction.get()
    }

    /// Who the client is: the address that its PROXY header names, else its own.
    pub fn source(&self) -> &Address {
        self.introduced().and_then(Introduction::source).unwrap_or(&self.client)
    }

    /// Asks whether it may begin, as a session of its source, for which it then counts until it ends.
    /// Errors: the cause, and the reason in words.
    pub fn admit(&self) -> Result<(), (Cause, Box<str>)> {
        let counted = self.listening.admit(self.source())?;
        if !counted.is_empty() {
            self.introduction().count(counted);
        }
        Ok(())
    }

    /// As [`Record::admit`], as it begins. One whose client has to send a PROXY header is admitted once that is there: before
    /// that it is asked who may send one.
    pub fn admit_at_first(&self) -> Result<(), (Cause, Box<str>)> {
        if !self.awaits_header() {
            return self.admit();
        }
        self.listening.judge(&self.client)?;
        if !self.listening.opening.trust(&self.client) {
            let why = format!("{} may not connect: accept-proxy does not have it", self.client);
            return Err((Cause::RefusedAccess, why.into()));
        }
        Ok(())
    }

    /// What decides its route.
    pub fn facts(&self) -> Facts<'_> {
        let hello = self.introduced().and_then(|introduction| introduction.hello.get());
        Facts {
            source: self.source().ip(),
            sni: hello.and_then(|hello| hello.sni.as_deref()),
            alpn: hello.map(|hello| hello.alpn.iter().map(String::as_str).collect()).unwrap_or_default(),
        }
    }

    /// Whether bulk may cross as pipes: TLS cannot.
    pub fn may_splice(&self) -> bool {
        let ends_tls = self.introduced().is_some_and(|introduction| introduction.client_tls.get().is_some());
        self.listening.settings.splice && !ends_tls && !self.listening.target.speaks_tls(self)
    }

    /// Whether its begin is told only when the PROXY header is there, or will not come.
    pub fn awaits_header(&self) -> bool {
        !self.listening.opening.accept_proxy.is_empty()
    }

    /// Tells the begin, once, with what is known by now.
    pub fn tell_open(&self, events: &Events) {
        if self.awaits_header() && !self.introduction().begins() {
            return;
        }
        events.tell_with(|| What::Open {
            session: self.id,
            mode: self.mode(),
            listener: self.listening.address.clone(),
            client: self.client.clone(),
            name: self.listening.given_name.clone(),
            source: self.introduced().and_then(Introduction::source).cloned(),
        });
    }

    /// The session has ended, perhaps before its begin was told.
    pub fn end_introduction(&self, events: &Events) {
        if let Some(introduction) = self.introduced() {
            // One that is refused has no begin, whenever that is.
            let is_refused = matches!(self.cause(), Cause::RefusedAccess | Cause::RefusedLimit);
            if self.awaits_header() && !is_refused {
                self.tell_open(events);
            }
            introduction.uncount();
        }
    }

    pub fn set_dial(&self, dial: Dial) {
        // First: a tap that comes now finds it there.
        let (dial, at_ns) = self.dial.get_or_init(|| (dial, now_ns()));
        self.taps.mark(|| Mark::dial(dial, self.began_ns, *at_ns));
    }

    /// Notes that a side has reset its connection or vanished, for the taps; how the session ends is judged later.
    pub fn note_gone(&self, side: Side, error: &std::io::Error) {
        let mark = || Mark::now(MarkKind::Reset, Some(side), self.began_ns);
        self.taps.mark(|| mark().about(crate::error::reason(error)));
    }

    /// How dialling went, once it is over.
    pub fn dial(&self) -> Option<&Dial> {
        self.dial.get().map(|(dial, _)| dial)
    }

    /// When dialling was over, in nanoseconds of [`now_ns`].
    pub fn dialled_ns(&self) -> Option<u64> {
        self.dial.get().map(|(_, at_ns)| *at_ns)
    }

    /// Whether the client still has to say something before its stream.
    pub fn opening(&self) -> bool {
        let Listening { opening, target, .. } = &*self.listening;
        !opening.are_empty(target) && !self.introduced().is_some_and(Introduction::is_over)
    }

    /// Whether the upstream is still to be reached.
    pub fn dialling(&self) -> bool {
        self.listening.target.dials() && self.dial().is_none()
    }

    /// Whether there is a far end that takes what the client sends.
    pub fn connected(&self) -> bool {
        match self.dial() {
            Some(dial) => dial.upstream.is_some(),
            None => !self.listening.target.dials(),
        }
    }

    /// Notes how the session ended. Only the first outcome counts: what follows from it is not another.
    pub fn conclude(&self, outcome: Outcome) {
        let lost = |side: Side, loss: Loss| {
            (loss.cause(side), Some(format!("{}: {}", side.name(), crate::error::reason(&loss.error))))
        };
        let fault = match &outcome {
            Outcome::Fault { plan, .. } => Some(plan.name.as_str().into()),
            _ => None,
        };
        let (cause, error) = match outcome {
            // The ends of both streams say it; a session that merely stopped is a fault.
            Outcome::Clean | Outcome::Aborted => return,
            Outcome::ClientGone(loss) => lost(Side::Client, loss),
            Outcome::UpstreamGone(loss) => lost(Side::Upstream, loss),
            Outcome::NotReached(error) => (error.kind.into(), Some(error.text)),
            Outcome::Due(cause) => (cause, None),
            Outcome::Cut | Outcome::CutByFin => (Cause::Cut, None),
            Outcome::Drained => (Cause::Drain, None),
            Outcome::Refused(cause, reason) => (cause, Some(reason.into())),
            Outcome::NoServer(reason) => (Cause::NoServer, Some(reason.into())),
            Outcome::NoResources(error) => (Cause::Resources, Some(crate::error::reason(&error).to_string())),
            Outcome::Panicked(panicked) => (Cause::Internal, Some(panicked.to_string())),
            Outcome::Fault { plan, end } => {
                let how = match end {
                    FaultEnd::Fin => "ended both streams",
                    FaultEnd::Abort | FaultEnd::Reset => "reset both peers",
                };
                (Cause::Fault, Some(format!("{} ({}) {how}", plan.name, plan.kind.name())))
            }
        };
        let first_closer = self.first_to_end();
        let _ = self.ending.set(Box::new(Ending { cause, first_closer, error, fault }));
    }

    /// Why the session ended. If nothing was noted, both streams must have finished.
    pub fn cause(&self) -> Cause {
        let finished = self.from_client.ended() && self.to_client().ended();
        let unnoted = if finished { Cause::Done } else { Cause::Internal };
        self.ending.get().map_or(unnoted, |ending| ending.cause)
    }

    /// The side whose stream ended first, if one did by itself: a cut by FIN ends both.
    pub fn first_closer(&self) -> Option<Side> {
        match self.ending.get() {
            Some(Ending { cause: Cause::Cut | Cause::Fault, first_closer, .. }) => *first_closer,
            _ => self.first_to_end(),
        }
    }

    fn first_to_end(&self) -> Option<Side> {
        let ends = self.sides().map(|(direction, side)| direction.end_ns().map(|ns| (ns, side)));
        ends.into_iter().flatten().min_by_key(|(ns, _)| *ns).map(|(_, side)| side)
    }

    /// How long after the start the first byte from the upstream came, if one did.
    pub fn first_byte(&self) -> Option<Duration> {
        let first_ns = self.from_upstream.first_ns()?;
        Some(Duration::from_nanos(first_ns.saturating_sub(self.began_ns)))
    }

    pub fn client_bytes(&self) -> u64 {
        self.from_client.received()
    }

    /// Bytes received from the upstream; in echo mode, bytes sent back.
    pub fn upstream_bytes(&self) -> u64 {
        if self.listening.target.loops() {
            self.from_client.delivered()
        } else {
            self.from_upstream.received()
        }
    }

    pub fn close(&self) -> Close {
        let dial = self.dial();
        Close {
            session: self.id,
            mode: self.mode(),
            client: self.client.clone(),
            upstream: dial.and_then(|dial| dial.upstream.clone()),
            cause: self.cause(),
            first_closer: self.first_closer(),
            client_bytes: self.client_bytes(),
            upstream_bytes: self.upstream_bytes(),
            duration: self.age(),
            resolve: dial.and_then(|dial| dial.resolve),
            connect: dial.and_then(|dial| dial.connect),
            first_byte: self.first_byte(),
            error: self.ending.get().and_then(|ending| ending.error.clone()),
            fault: self.ending.get().and_then(|ending| ending.fault.clone()),
            choice: self.choice().cloned().map(Box::new),
            introduced: self.introduced().and_then(Introduction::told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    fn record() -> Arc<Record> {
        Record::sample(1, Target::Origin)
    }

    fn loss() -> Loss {
        Loss { error: std::io::ErrorKind::ConnectionReset.into(), waiting: false }
    }

    #[test]
    fn the_first_cause_counts() {
        let record = record();
        record.conclude(Outcome::UpstreamGone(loss()));
        record.conclude(Outcome::ClientGone(loss()));
        assert_eq!(record.cause(), Cause::UpstreamReset);
        assert_eq!(record.close().error.as_deref(), Some("upstream: connection reset"));
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
        cut.conclude(Outcome::CutByFin);
        cut.from_client.set_ended();
        assert_eq!(cut.first_closer(), None);
        let half_closed = record();
        half_closed.from_upstream.set_ended();
        half_closed.conclude(Outcome::CutByFin);
        half_closed.from_client.set_ended();
        assert_eq!(half_closed.first_closer(), Some(Side::Upstream));
    }
}
