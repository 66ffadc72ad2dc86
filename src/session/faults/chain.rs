//! The chain of faults at the gate of one direction of one session: its stages in their order, and what waits before each.
//!
//! It stands between a link and the half-loop that writes. Fin and abort pass it in their places behind the bytes, so that ends
//! stay ends. What waits is bounded ([`HELD_MAX`]); beyond that, the chain takes
//! nothing, and the sender waits. A stage that goes hands on what waits before it.

use crate::{
    relay::{chunk::Chunk, direction::Direction, gate::Chain, link::Parcel, pump::LAST_DELIVERY},
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
            stage::{Asks, FaultEnd, Flow, STAGE_ROOM, Stage, sooner},
        },
        order::Order,
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

/// For how long what may pass can wait for the receiver before less is taken: a receiver that is busy for a moment leaves no
/// gap in the stream.
const BEHIND_NS: u64 = 50_000_000;

pub struct FaultChain {
    record: Arc<Record>,
    stream: Option<FaultStream>,
    /// Which of the session's meetings it knows of.
    meeting: Option<u64>,
    links: Vec<ChainLink>,
    /// What may pass.
    out: HeldQueue,
    /// Since when what the receiver is busy with might pass; none while it asks for more.
    given_ns: Option<u64>,
    /// Since when a stage would pass on what the next has no room for.
    late_since_ns: Option<u64>,
    /// How many bytes may be taken while it is behind: half of those that have passed. Nothing for nothing; but all or nothing
    /// would have the stream swing between a burst and a gap.
    credit: isize,
    /// The sender's stream has ended, one way or another.
    has_end: bool,
    /// Bytes that the receiver will never get: it is not to blame that they wait.
    has_swallowed: bool,
    stops_intake: bool,
    /// A stage has ended the session: nothing passes the one at that place any more.
    ending: Option<(usize, FaultEnd)>,
    ended_ns: u64,
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
            given_ns: None,
            late_since_ns: None,
            credit: 0,
            has_end: false,
            has_swallowed: false,
            stops_intake: false,
            ending: None,
            ended_ns: 0,
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
        for (place, met) in wanted.into_iter().enumerate() {
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
        link.input.drain_into(self.queue(at), now_ns);
        link.tell_held();
    }

    /// Lets every stage move what it can; says when one is to be called again.
    fn advance(&mut self, now_ns: u64) -> Option<u64> {
        loop {
            let (mut wake_ns, mut has_moved) = (None::<u64>, false);
            (self.stops_intake, self.late_since_ns) = (false, None);
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
                wake_ns = sooner(wake_ns, asks.wake_ns);
                self.late_since_ns = sooner(self.late_since_ns, asks.late_since_ns);
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
        fault.end(&self.record, end);
        self.faulted().tell(&self.links[at].met, &self.record);
        (self.ending, self.ended_ns) = (Some((at, end)), now_ns());
        for link in &mut self.links[..=at] {
            self.has_swallowed |= swallow(&link.met.fault, mem::take(&mut link.input));
        }
        match end {
            FaultEnd::Fin => {
                // Else the sender's stream is ended by the order, and its end becomes this one's; one that is dialled has none.
                if self.has_end || self.record.dialling() {
                    self.push_after(at, HeldPart::Fin);
                }
                self.record.orders.give(Order::Finish);
            }
            FaultEnd::Abort => self.push_after(at, HeldPart::Abort),
            FaultEnd::Reset if self.record.orders.give(Order::Reset) => {}
            FaultEnd::Reset => self.push_after(at, HeldPart::Abort),
        }
    }

    /// Resets both peers if the receiver, which is to be reset after what has passed, takes none of that; or says when.
    fn reset_late(&self, now_ns: u64) -> Option<u64> {
        self.ending.filter(|(_, end)| *end == FaultEnd::Abort)?;
        let moved_ns = self.direction().moved_ms().saturating_mul(1_000_000);
        let due_ns = self.ended_ns.max(moved_ns).saturating_add(LAST_DELIVERY.as_nanos() as u64);
        if due_ns <= now_ns {
            self.record.orders.give(Order::Reset);
        }
        Some(due_ns).filter(|due_ns| *due_ns > now_ns)
    }

    fn push_after(&mut self, at: usize, part: HeldPart) {
        self.queue(at + 1).push(Held::new(now_ns(), part));
    }

    /// What waits before the stage at that place, or behind the last one.
    fn queue(&mut self, at: usize) -> &mut HeldQueue {
        self.links.get_mut(at).map_or(&mut self.out, |link| &mut link.input)
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
        self.queue(0).push(held);
    }

    fn take_chunk(&mut self, mut chunk: Chunk, now_ns: u64) {
        loop {
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
                    Err(_) => return self.take_end(HeldPart::Abort, now_ns),
                },
                Err(Chunk::Bytes(_)) => return,
            }
        }
    }

    fn take_end(&mut self, end: HeldPart, now_ns: u64) {
        self.has_end = true;
        self.take_part(end, now_ns);
    }

    /// Says what it holds, to those who ask.
    fn account(&mut self) {
        self.links.iter_mut().for_each(ChainLink::tell_held);
        let cost = self.cost();
        self.record.listening.faults.held().change(self.told_cost, cost);
        self.told_cost = cost;
        let bytes = self.links.iter().map(|link| link.input.bytes()).sum::<usize>() + self.out.bytes();
        self.faulted().set_held(self.stream.unwrap_or(FaultStream::Upstream), bytes as u64);
    }

    /// Whether the receiver gets nothing for a reason that is not its own.
    fn holds(&self) -> bool {
        self.stops_intake
            || self.has_swallowed
            || self.ending.is_some()
            || self.links.iter().any(|link| !link.input.is_empty())
    }

    /// Whether the receiver takes so little that its sender is to be slower still: the room is for what is delayed.
    fn is_behind(&self) -> bool {
        let waits_ns = self.given_ns.or_else(|| Some(self.out.front()?.came_ns));
        sooner(waits_ns, self.late_since_ns)
            .is_some_and(|since_ns| now_ns().saturating_sub(since_ns) > BEHIND_NS)
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
        !first.is_full()
            && !self.stops_intake
            && (self.credit > 0 || !self.is_behind())
            && self.record.listening.faults.held().has_room(self.cost())
    }

    fn take(&mut self, parcel: Option<Parcel>) {
        let now_ns = now_ns();
        self.follow(now_ns);
        match parcel {
            Some(Parcel::Data(chunk)) => {
                self.credit = if self.is_behind() { self.credit - chunk.len() as isize } else { 0 };
                self.take_chunk(chunk, now_ns);
            }
            Some(Parcel::Fin) => self.take_end(HeldPart::Fin, now_ns),
            None => self.take_end(HeldPart::Abort, now_ns),
        }
        self.account();
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Parcel>> {
        let was_behind = self.is_behind();
        self.given_ns = None;
        loop {
            let now_ns = now_ns();
            self.follow(now_ns);
            let due_ns = if self.out.is_empty() { self.advance(now_ns) } else { None };
            let next = self.out.pop();
            self.account();
            if let Some(Held { came_ns, part }) = next {
                self.given_ns = Some(came_ns);
                self.direction().set_held(false);
                return Poll::Ready(match part {
                    HeldPart::Bytes(bytes) => {
                        let chunk = bytes.into_chunk();
                        if was_behind {
                            self.credit = (self.credit + chunk.len() as isize / 2).min(STAGE_ROOM as isize);
                        }
                        Some(Parcel::Data(chunk))
                    }
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

    fn keep_time(&mut self, context: &mut Context<'_>) {
        loop {
            let now_ns = now_ns();
            self.follow(now_ns);
            let due_ns = sooner(self.advance(now_ns), self.reset_late(now_ns));
            self.account();
            if self.poll_due(due_ns, now_ns, context).is_pending() {
                return;
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
            self.input.set_room(self.stage.room());
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
        } else if left.is_none() {
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
        // A difference below 0 wraps around, and so does the sum.
        gauge.fetch_add(now.wrapping_sub(self.told_held), Relaxed);
        self.told_held = now;
    }
}

/// Says whether that were any bytes.
fn swallow(fault: &Fault, taken: HeldQueue) -> bool {
    fault.counts.swallowed.fetch_add(taken.bytes() as u64, Relaxed);
    taken.bytes() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{
            buffer::Buffer,
            pipe::{self, Pipe},
        },
        runtime::{
            clock::{sleep, within},
            shard,
        },
        session::{
            cause::Cause,
            event::Events,
            faults::{
                fault::{FaultPlan, Schedule, Toxicity, Values},
                kind::FaultKind,
                set::FaultChange,
            },
            target::Target,
        },
    };
    use futures::FutureExt;
    use std::future::poll_fn;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(20));
    const HOUR_MS: u64 = 3_600_000;

    /// A session with a chain in its downstream.
    struct Bench {
        record: Arc<Record>,
        events: Events,
        chain: FaultChain,
    }

    impl Bench {
        fn new(faults: &[(FaultKind, Values)]) -> Self {
            let record = Record::sample(1, Target::Origin);
            for (number, (kind, values)) in faults.iter().enumerate() {
                let name = number.to_string();
                let plan = FaultPlan { name, ..FaultPlan::sample(*kind, *values) };
                record.listening.faults.add(plan, false).unwrap();
            }
            Self::of(record)
        }

        fn of(record: Arc<Record>) -> Self {
            let events = Events::new(None, Arc::default());
            record.begin_faults(&events);
            let chain = FaultChain::new(record.clone(), Some(FaultStream::Downstream));
            Bench { record, events, chain }
        }

        fn send(&mut self, bytes: &[u8]) {
            assert!(self.chain.takes());
            self.chain.take(Some(Parcel::Data(Chunk::Bytes(Buffer::holding(bytes)))));
        }

        /// What comes through until nothing does.
        fn now(&mut self) -> Vec<String> {
            let mut got = Vec::new();
            while let Some(next) = poll_fn(|context| self.chain.poll_next(context)).now_or_never() {
                got.push(shown(next));
            }
            got
        }

        async fn next(&mut self) -> String {
            let next = within(LIMIT, poll_fn(|context| self.chain.poll_next(context))).await;
            shown(next.expect("it comes in time"))
        }

        fn remove(&mut self, name: &str) {
            self.record.listening.faults.remove(name).unwrap();
            self.record.begin_faults(&self.events);
        }

        fn held(&self) -> usize {
            self.record.listening.faults.held().get()
        }
    }

    fn shown(parcel: Option<Parcel>) -> String {
        match parcel {
            Some(Parcel::Data(chunk)) => String::from_utf8_lossy(chunk.bytes().unwrap()).into_owned(),
            Some(Parcel::Fin) => "fin".to_owned(),
            None => "abort".to_owned(),
        }
    }

    #[test]
    fn nothing_more_is_taken_for_a_receiver_that_has_not_come_for_long_for_what_may_pass() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Latency, [1, 0, 0])]);
            bench.send(b"one");
            bench.send(b"two");
            assert_eq!(bench.next().await, "one");
            sleep(Duration::from_nanos(BEHIND_NS) + Duration::from_millis(5)).await;
            assert!(!bench.chain.takes(), "it is busy with the first since long ago");
            assert_eq!(bench.now(), ["two"]);
            assert!(bench.chain.takes());
            bench.send(b"three");
            assert_eq!(bench.next().await, "three");
            sleep(Duration::from_nanos(BEHIND_NS) + Duration::from_millis(5)).await;
            assert!(!bench.chain.takes(), "it is busy with the last");
        })
        .unwrap();
    }

    #[test]
    fn for_a_receiver_that_is_slow_half_as_much_is_taken_as_it_takes() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Latency, [1, 0, 0])]);
            (0..20).for_each(|_| bench.send(&[b'a'; 100]));
            sleep(Duration::from_millis(5)).await;
            let mut taken = 0;
            for _ in 0..20 {
                bench.next().await;
                sleep(Duration::from_nanos(BEHIND_NS) + Duration::from_millis(1)).await;
                while bench.chain.takes() {
                    bench.send(&[b'b'; 10]);
                    taken += 10;
                }
            }
            assert!((900..=1000).contains(&taken), "{taken} of 1900 bytes");
        })
        .unwrap();
    }

    #[test]
    fn a_fault_that_goes_hands_on_what_waits_and_ends_stay_behind_the_bytes() {
        shard::run(async {
            for end in ["fin", "abort"] {
                let mut bench =
                    Bench::new(&[(FaultKind::Latency, [HOUR_MS, 0, 0]), (FaultKind::Slicer, [2, 0, 0])]);
                bench.send(b"one");
                bench.send(b"two");
                bench.chain.take((end == "fin").then_some(Parcel::Fin));
                assert!(!bench.chain.takes(), "nothing is behind an end");
                assert!(bench.now().is_empty());
                assert!(bench.record.from_upstream.gate.is_held() && bench.held() > 0);
                bench.remove("0");
                assert_eq!(bench.now(), ["o", "ne", "t", "wo", end]);
                assert_eq!(bench.held(), 0);
            }
        })
        .unwrap();
    }

    #[test]
    fn a_chain_of_which_nothing_is_left_is_over() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Noop, [0; 3]), (FaultKind::Latency, [HOUR_MS, 0, 0])]);
            assert!(bench.now().is_empty() && !bench.chain.is_over());
            assert!(!bench.record.from_upstream.gate.is_held(), "it holds nothing");
            bench.send(b"x");
            bench.remove("0");
            bench.remove("1");
            assert_eq!(bench.now(), ["x"]);
            assert!(bench.chain.is_over());
        })
        .unwrap();
    }

    #[test]
    fn what_a_chain_held_is_given_back_when_it_goes() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Bandwidth, [0; 3])]);
            bench.send(&[0; 9000]);
            bench.send(b"small");
            assert!(bench.now().is_empty());
            let fault = bench.record.listening.faults.find("0").unwrap();
            assert_eq!(fault.counts.held.load(Relaxed), 9005);
            assert!(bench.held() > 9005);
            let record = bench.record.clone();
            drop(bench);
            assert_eq!(fault.counts.held.load(Relaxed), 0);
            assert_eq!(record.listening.faults.held().get(), 0);
            assert!(!record.from_upstream.gate.is_held());
        })
        .unwrap();
    }

    #[test]
    fn what_was_on_its_way_in_a_pipe_passes_too() {
        shard::run(async {
            pipe::set_limit(8);
            let mut bench = Bench::new(&[(FaultKind::Noop, [0; 3])]);
            let mut pipe = Pipe::take(true).unwrap();
            let count = rustix::io::write(pipe.write_end(), &[b'x'; 40_000]).unwrap();
            pipe.filled(count);
            bench.chain.take(Some(Parcel::Data(Chunk::Piped(pipe))));
            bench.send(b"then");
            let got = bench.now().concat();
            assert_eq!(got, "x".repeat(40_000) + "then");
        })
        .unwrap();
    }

    #[test]
    fn latency_is_real_and_never_early() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Latency, [20, 0, 0]), (FaultKind::Latency, [30, 0, 0])]);
            let begin = Instant::now();
            bench.send(b"x");
            bench.chain.take(Some(Parcel::Fin));
            assert_eq!(bench.next().await, "x");
            assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
            assert_eq!(bench.next().await, "fin");
        })
        .unwrap();
    }

    #[test]
    fn a_fault_that_ends_the_session_says_so_and_lets_pass_what_was_before() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::LimitData, [3, 0, 0]), (FaultKind::Noop, [0; 3])]);
            bench.send(b"12345");
            assert_eq!(bench.now(), ["123"]);
            assert_eq!(bench.record.cause(), Cause::Fault);
            assert_eq!(bench.record.close().fault.as_deref(), Some("0"));
            let order = poll_fn(|context| bench.record.orders.poll_next(&mut None, context));
            assert_eq!(order.now_or_never(), Some(Order::Finish));
            // The sender is told by then; what it sent before is gone, and its end is this one's.
            bench.send(b"67");
            assert!(bench.now().is_empty());
            bench.chain.take(Some(Parcel::Fin));
            assert_eq!(bench.now(), ["fin"]);
            let fault = bench.record.listening.faults.find("0").unwrap();
            assert_eq!(fault.counts.swallowed.load(Relaxed), 4);
            assert_eq!(fault.counts.cuts.load(Relaxed), 1);
        })
        .unwrap();
    }

    #[test]
    fn a_cut_by_reset_aborts_behind_the_bytes() {
        shard::run(async {
            let mut bench = Bench::new(&[(FaultKind::Cut, [3, 0, 1]), (FaultKind::Latency, [20, 0, 0])]);
            bench.send(b"12345");
            assert_eq!(bench.next().await, "123");
            assert_eq!(bench.next().await, "abort");
        })
        .unwrap();
    }

    #[test]
    fn a_timeout_that_has_not_begun_ends_nothing_when_it_goes() {
        shard::run(async {
            let schedule = Schedule { after_ms: HOUR_MS, ..Schedule::default() };
            let record = Record::sample(1, Target::Origin);
            let plan = FaultPlan { schedule, ..FaultPlan::sample(FaultKind::Timeout, [0; 3]) };
            record.listening.faults.add(plan, false).unwrap();
            let mut bench = Bench::of(record);
            bench.send(b"x");
            assert_eq!(bench.now(), ["x"]);
            bench.remove("timeout_downstream");
            bench.send(b"y");
            assert_eq!(bench.now(), ["y"]);
            assert_eq!(bench.record.close().fault, None);
            let mut bench = Bench::new(&[(FaultKind::Timeout, [0; 3])]);
            assert!(bench.now().is_empty());
            bench.remove("0");
            assert!(bench.now().is_empty());
            assert_eq!(bench.record.close().fault.as_deref(), Some("0"));
        })
        .unwrap();
    }

    #[test]
    fn nothing_passes_a_stage_that_ends_the_session_because_it_pauses() {
        shard::run(async {
            for (kind, wrong) in [(FaultKind::Timeout, "abort"), (FaultKind::ResetPeer, "fin")] {
                let schedule = Schedule { on_ms: 20, off_ms: HOUR_MS, ..Schedule::default() };
                let record = Record::sample(1, Target::Origin);
                let plan = FaultPlan { schedule, ..FaultPlan::sample(kind, [HOUR_MS, 0, 0]) };
                let fault = record.listening.faults.add(plan, false).unwrap();
                let mut bench = Bench::of(record);
                bench.send(b"swallowed");
                assert!(bench.now().is_empty());
                while fault.acts(now_ns()).0 {
                    sleep(Duration::from_millis(1)).await;
                }
                bench.send(b"after a hole");
                bench.chain.take(Some(Parcel::Fin));
                let passed = bench.now();
                assert!(!passed.iter().any(|part| part == "after a hole" || part == wrong), "{passed:?}");
            }
        })
        .unwrap();
    }

    #[test]
    fn a_latency_that_pauses_acts_again_as_before() {
        shard::run(async {
            let schedule = Schedule { on_ms: 300, off_ms: 100, ..Schedule::default() };
            let record = Record::sample(1, Target::Origin);
            let plan = FaultPlan { schedule, ..FaultPlan::sample(FaultKind::Latency, [HOUR_MS, 0, 0]) };
            let fault = record.listening.faults.add(plan, false).unwrap();
            let mut bench = Bench::of(record);
            let until = async |is_on| {
                while fault.acts(now_ns()).0 != is_on {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            for number in 0..2 {
                until(true).await;
                bench.send(&[b'a' + number]);
                bench.send(&[b'A' + number]);
                let began = Instant::now();
                assert_eq!(bench.next().await.as_bytes(), [b'a' + number]);
                assert!(began.elapsed() > Duration::from_millis(2), "it was held");
                assert_eq!(bench.next().await.as_bytes(), [b'A' + number]);
                assert!(bench.now().is_empty());
                until(false).await;
            }
        })
        .unwrap();
    }

    #[test]
    fn a_fault_that_comes_to_hit_has_its_place_in_the_order_of_the_set() {
        shard::run(async {
            let record = Record::sample(1, Target::Origin);
            let toxicity = Toxicity::new(0.0).unwrap();
            let slicer = FaultPlan { toxicity, ..FaultPlan::sample(FaultKind::Slicer, [2, 0, 0]) };
            let hit = FaultPlan { name: "stall".to_owned(), ..FaultPlan::sample(FaultKind::Stall, [0; 3]) };
            record.listening.faults.add(slicer, false).unwrap();
            record.listening.faults.add(hit, false).unwrap();
            let mut bench = Bench::of(record);
            bench.send(b"whole");
            assert!(bench.now().is_empty());
            let always = FaultChange { toxicity: Some(Toxicity::ALWAYS), ..FaultChange::default() };
            bench.record.listening.faults.update("slicer_downstream", &always).unwrap();
            bench.record.begin_faults(&bench.events);
            assert!(bench.now().is_empty());
            let names = bench.chain.links.iter().map(|link| link.met.fault.plan().kind);
            assert_eq!(names.collect::<Vec<_>>(), [FaultKind::Slicer, FaultKind::Stall]);
            bench.remove("stall");
            assert_eq!(bench.now(), ["whole"], "it was behind the slicer's place");
        })
        .unwrap();
    }
}
