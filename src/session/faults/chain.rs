//! The chain of faults at the gate of one direction of one session: its stages in their order, and what waits before each.
//!
//! It stands between a link and the half-loop that writes. Fin and abort pass it in their places behind the bytes, so that ends
//! stay ends. What waits is bounded ([`HELD_MAX`](crate::session::faults::held::HELD_MAX)); beyond that, the chain takes
//! nothing, and the sender waits. A stage that goes hands on what waits before it.

use crate::{
    relay::{chunk::Chunk, direction::Direction, gate::Chain, link::Parcel},
    runtime::{
        clock::{Sleep, now_ns, sleep_until},
        random::Lot,
    },
    session::{
        faults::{
            fault::{Fault, FaultStream},
            faulted::{Faulted, Met},
            held::{HELD_MAX, Held, HeldBytes, HeldPart, HeldQueue},
            kind::FaultPlace,
            stage::{Asks, FaultEnd, Flow, STAGE_ROOM, Stage},
        },
        order::Order,
        outcome::Outcome,
        record::Record,
    },
};
use std::{
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

pub struct FaultChain {
    record: Arc<Record>,
    stream: Option<FaultStream>,
    /// Which of the session's meetings it knows of.
    meeting: Option<u64>,
    links: Vec<ChainLink>,
    /// What may pass.
    out: HeldQueue,
    /// The sender's stream has ended, one way or another.
    has_end: bool,
    /// Bytes that the receiver will never get: it is not to blame that they wait.
    has_swallowed: bool,
    stops_intake: bool,
    /// A stage has ended the session: nothing passes the one at that place any more.
    ending: Option<(usize, FaultEnd)>,
    /// When a stage is due, and what waits for that.
    armed: Option<(u64, Sleep)>,
    /// The memory that it was last said to hold.
    told_cost: usize,
}

/// A stage in its chain.
struct ChainLink {
    met: Arc<Met>,
    revision: u64,
    stage: Box<dyn Stage>,
    input: HeldQueue,
    lot: Lot,
    is_on: bool,
    /// What was last said to wait before it.
    told_held: u64,
}

impl FaultChain {
    /// The faults that hit the session in `stream`; none: in both, which are one.
    pub fn new(record: Arc<Record>, stream: Option<FaultStream>) -> Self {
        FaultChain {
            record,
            stream,
            meeting: None,
            links: Vec::new(),
            out: HeldQueue::with_room(STAGE_ROOM),
            has_end: false,
            has_swallowed: false,
            stops_intake: false,
            ending: None,
            armed: None,
            told_cost: 0,
        }
    }

    fn direction(&self) -> &Direction {
        self.record.direction_of(self.stream.unwrap_or(FaultStream::Upstream)).0
    }

    fn faulted(&self) -> &Faulted {
        self.record.faulted().expect("a chain is made of what a session has met")
    }

    /// Has the stages be those that hit the session now.
    fn follow(&mut self, now_ns: u64) {
        let meeting = self.faulted().meetings();
        if self.ending.is_some() || self.meeting == Some(meeting) {
            return;
        }
        self.meeting = Some(meeting);
        let wanted = self.faulted().stages(self.stream);
        let mut at = 0;
        while at < self.links.len() && self.ending.is_none() {
            if wanted.iter().any(|met| Arc::ptr_eq(met, &self.links[at].met)) {
                self.links[at].follow();
                at += 1;
            } else {
                self.take_out(at, now_ns);
            }
        }
        if self.ending.is_some() {
            return;
        }
        // What is left is in the order of the set, where another may come to hit the session at any place.
        for (place, met) in self.faulted().stages(self.stream).into_iter().enumerate() {
            if !self.links.get(place).is_some_and(|link| Arc::ptr_eq(&link.met, &met)) {
                self.links.insert(place, ChainLink::new(met, &self.record));
            }
        }
    }

    /// Takes a stage out; what waits before it goes on.
    fn take_out(&mut self, at: usize, now_ns: u64) {
        if let Some(end) = self.links[at].leave() {
            return self.end(at, end);
        }
        let mut link = self.links.remove(at);
        let output = self.links.get_mut(at).map_or(&mut self.out, |next| &mut next.input);
        link.input.drain_into(output, now_ns);
        link.tell_held();
    }

    /// Lets every stage move what it can; says when one is to be called again.
    fn advance(&mut self, now_ns: u64) -> Option<u64> {
        loop {
            let (mut wake_ns, mut has_moved) = (None::<u64>, false);
            self.stops_intake = false;
            let first = self.ending.map_or(0, |(at, _)| at + 1);
            let spare = HELD_MAX.saturating_sub(self.cost());
            for at in first..self.links.len() {
                let (before, after) = self.links.split_at_mut(at + 1);
                let output = after.first_mut().map_or(&mut self.out, |next| &mut next.input);
                let link = &mut before[at];
                output.limit(spare);
                let waited = (link.input.bytes(), link.input.runs().len());
                let (asks, left) = link.advance(output, now_ns);
                has_moved |= waited != (link.input.bytes(), link.input.runs().len());
                self.stops_intake |= asks.stops_intake;
                self.has_swallowed |= asks.swallows;
                wake_ns = [wake_ns, asks.wake_ns].into_iter().flatten().min();
                if asks.shows {
                    self.faulted().tell(&self.links[at].met, &self.record);
                }
                if let Some(end) = asks.end.or(left) {
                    self.end(at, end);
                    has_moved = true;
                    break;
                }
            }
            if !has_moved {
                return wake_ns;
            }
        }
    }

    /// The stage at that place ends the session.
    fn end(&mut self, at: usize, end: FaultEnd) {
        let fault = self.links[at].met.fault.clone();
        self.record.conclude(Outcome::Fault { plan: fault.plan(), end });
        let count = if end == FaultEnd::Fin { &fault.counts.cuts } else { &fault.counts.resets };
        count.fetch_add(1, Relaxed);
        self.faulted().tell(&self.links[at].met, &self.record);
        self.ending = Some((at, end));
        for link in &mut self.links[..=at] {
            self.has_swallowed |= swallow(&link.met.fault, mem::take(&mut link.input));
        }
        match end {
            FaultEnd::Fin => {
                // Else the sender's stream is ended by the order, and its end becomes this one's.
                if self.has_end {
                    self.push_after(at, HeldPart::Fin);
                }
                self.record.orders.give(Order::Finish);
            }
            FaultEnd::Abort => self.push_after(at, HeldPart::Abort),
            FaultEnd::Reset if self.record.orders.give(Order::Reset) => {}
            FaultEnd::Reset => self.push_after(at, HeldPart::Abort),
        }
    }

    fn push_after(&mut self, at: usize, part: HeldPart) {
        let output = self.links.get_mut(at + 1).map_or(&mut self.out, |next| &mut next.input);
        output.push(Held::new(now_ns(), part));
    }

    fn take_part(&mut self, part: HeldPart, now_ns: u64) {
        let held = Held::new(now_ns, part);
        if let Some((at, end)) = self.ending {
            let has_ended = !matches!(held.part, HeldPart::Bytes(_));
            let mut taken = HeldQueue::default();
            taken.push(held);
            self.has_swallowed |= swallow(&self.links[at].met.fault, taken);
            if has_ended && end == FaultEnd::Fin {
                self.push_after(at, HeldPart::Fin);
            }
            return;
        }
        let first = self.links.first_mut().map_or(&mut self.out, |first| &mut first.input);
        first.push(held);
    }

    /// Says what it holds, to those who ask.
    fn account(&mut self) {
        self.links.iter_mut().for_each(ChainLink::tell_held);
        let cost = self.cost();
        self.record.listening.faults.held().change(self.told_cost, cost);
        self.told_cost = cost;
    }

    /// Whether the receiver gets nothing for a reason that is not its own.
    fn holds(&self) -> bool {
        self.stops_intake
            || self.has_swallowed
            || self.ending.is_some()
            || self.links.iter().any(|link| !link.input.is_empty())
    }

    fn cost(&self) -> usize {
        self.links.iter().map(|link| link.input.cost()).sum::<usize>() + self.out.cost()
    }

    /// Ready once the stage is due that is first.
    fn poll_due(&mut self, due_ns: Option<u64>, now_ns: u64, context: &mut Context<'_>) -> Poll<()> {
        let Some(due_ns) = due_ns else {
            self.armed = None;
            return Poll::Pending;
        };
        if self.armed.as_ref().is_none_or(|(armed_ns, _)| *armed_ns != due_ns) {
            let left = Duration::from_nanos(due_ns.saturating_sub(now_ns));
            self.armed = Some((due_ns, sleep_until(Instant::now() + left)));
        }
        let Some((_, sleep)) = &mut self.armed else { return Poll::Pending };
        let due = Pin::new(sleep).poll(context);
        if due.is_ready() {
            self.armed = None;
        }
        due
    }
}

impl Chain for FaultChain {
    fn takes(&self) -> bool {
        if self.has_end {
            return false;
        }
        if self.ending.is_some() {
            return true;
        }
        let first = self.links.first().map_or(&self.out, |first| &first.input);
        !first.is_full() && !self.stops_intake && self.record.listening.faults.held().has_room(self.cost())
    }

    fn take(&mut self, parcel: Option<Parcel>) {
        let now_ns = now_ns();
        self.follow(now_ns);
        match parcel {
            Some(Parcel::Data(mut chunk)) => loop {
                match HeldBytes::of(chunk) {
                    Ok(bytes) => return self.take_part(HeldPart::Bytes(bytes), now_ns),
                    // It was on its way when the fault came.
                    Err(Chunk::Piped(mut pipe)) => match pipe.read_out() {
                        Ok(Some(buffer)) => {
                            if let Ok(bytes) = HeldBytes::of(Chunk::Bytes(buffer)) {
                                self.take_part(HeldPart::Bytes(bytes), now_ns);
                            }
                            chunk = Chunk::Piped(pipe);
                        }
                        Ok(None) => return,
                        Err(_) => {
                            self.has_end = true;
                            return self.take_part(HeldPart::Abort, now_ns);
                        }
                    },
                    Err(Chunk::Bytes(_)) => return,
                }
            },
            Some(Parcel::Fin) => {
                self.has_end = true;
                self.take_part(HeldPart::Fin, now_ns);
            }
            None => {
                self.has_end = true;
                self.take_part(HeldPart::Abort, now_ns);
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Parcel>> {
        loop {
            let now_ns = now_ns();
            self.follow(now_ns);
            let due_ns = if self.out.is_empty() { self.advance(now_ns) } else { None };
            let next = self.out.pop();
            self.account();
            if let Some(Held { part, .. }) = next {
                self.direction().set_held(false);
                return Poll::Ready(match part {
                    HeldPart::Bytes(bytes) => Some(Parcel::Data(bytes.into_chunk())),
                    HeldPart::Fin => Some(Parcel::Fin),
                    HeldPart::Abort => None,
                });
            }
            if self.poll_due(due_ns, now_ns, context).is_pending() {
                self.direction().set_held(self.holds());
                return Poll::Pending;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.links.is_empty() && self.out.is_empty() && self.ending.is_none() && !self.has_end
    }
}

impl Drop for FaultChain {
    fn drop(&mut self) {
        for link in &mut self.links {
            link.input = HeldQueue::default();
        }
        self.out = HeldQueue::default();
        self.account();
        self.direction().set_held(false);
    }
}

impl ChainLink {
    fn new(met: Arc<Met>, record: &Record) -> Self {
        let (plan, revision) = met.fault.revision();
        let FaultPlace::Direction(stage) = plan.kind.page().place else {
            unreachable!("only faults of a direction become stages")
        };
        let (stage, lot) = (stage(plan.values), met.further_lot(record));
        let input = HeldQueue::with_room(stage.room());
        ChainLink { met, revision, stage, input, lot, is_on: false, told_held: 0 }
    }

    /// Takes over what an operator changed.
    fn follow(&mut self) {
        let (plan, revision) = self.met.fault.revision();
        if revision != self.revision {
            self.revision = revision;
            self.stage.update(plan.values);
        }
    }

    /// Moves what may pass, as far as it is on; says what it asks for, and how the session is to end for its pause.
    fn advance(&mut self, output: &mut HeldQueue, now_ns: u64) -> (Asks, Option<FaultEnd>) {
        let (is_on, change_ns) = self.met.fault.acts(now_ns);
        let left = if is_on { None } else { self.leave() };
        self.is_on = is_on;
        let begin_ns = self.met.fault.acting_since_ns();
        let mut flow = Flow {
            now_ns,
            since_ns: self.met.hit_since_ns().max(begin_ns),
            input: &mut self.input,
            output,
            lot: &mut self.lot,
            fault: &self.met.fault,
            asks: Asks { wake_ns: change_ns, ..Asks::default() },
        };
        if is_on {
            self.stage.advance(&mut flow);
        } else {
            flow.pass_all();
        }
        (flow.asks, left)
    }

    /// The stage acts no more, if it does; how the session is to end for that.
    fn leave(&mut self) -> Option<FaultEnd> {
        if mem::take(&mut self.is_on) { self.stage.leave() } else { None }
    }

    fn tell_held(&mut self) {
        let (gauge, now) = (&self.met.fault.counts.held, self.input.bytes() as u64);
        if now >= self.told_held {
            gauge.fetch_add(now - self.told_held, Relaxed);
        } else {
            gauge.fetch_sub(self.told_held - now, Relaxed);
        }
        self.told_held = now;
    }
}

/// Says whether that were any bytes.
fn swallow(fault: &Fault, taken: HeldQueue) -> bool {
    fault.counts.swallowed.fetch_add(taken.bytes() as u64, Relaxed);
    taken.bytes() > 0
}
