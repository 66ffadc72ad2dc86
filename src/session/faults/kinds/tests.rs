//! The kinds, on a clock that the test steps: when, how much, in what order, and how it ends.

use crate::{
    net::buffer::{BUFFER_BYTES, Buffer},
    relay::chunk::Chunk,
    runtime::random::Lot,
    session::faults::{
        fault::{Fault, FaultPlan, Values},
        held::{Held, HeldBytes, HeldPart, HeldQueue},
        kind::{FaultKind, FaultPlace, MILLISECONDS_MAX},
        stage::{Asks, FaultEnd, Flow, STAGE_ROOM, Stage, sooner},
    },
};
use proptest::prelude::*;
use std::sync::{Arc, atomic::Ordering::Relaxed};
use strum::VariantArray;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// When the clock begins.
const BEGIN: u64 = 77 * SECOND + 7;

/// A stage, with its fault.
struct Seat {
    fault: Arc<Fault>,
    stage: Box<dyn Stage>,
    input: HeldQueue,
    lot: Lot,
}

/// Stages one behind the other, between a sender and a receiver.
struct Bench {
    seats: Vec<Seat>,
    output: HeldQueue,
    now: u64,
    /// How late a wake comes.
    late: u64,
    /// The receiver takes nothing.
    is_blocked: bool,
    /// When something is due.
    wake: Option<u64>,
    stops_intake: bool,
    /// The stage that has ended the session, and how.
    ended: Option<(usize, FaultEnd, u64)>,
    /// What came out, and when since the begin.
    got: Vec<(u64, Vec<u8>)>,
    end: Option<(u64, &'static str)>,
}

impl Seat {
    fn new(fault: Arc<Fault>) -> Self {
        let plan = fault.plan();
        let FaultPlace::Direction(stage) = plan.kind.page().place else { panic!("{:?}", plan.kind) };
        let stage = stage(plan.values);
        Seat {
            input: HeldQueue::with_room(stage.room()),
            stage,
            lot: Lot::of(&[plan.name.as_bytes()]),
            fault,
        }
    }
}

fn fault(kind: FaultKind, values: Values) -> Arc<Fault> {
    let plan = FaultPlan::sample(kind, values);
    assert_eq!(plan.check(), Ok(()));
    Arc::new(Fault::new(plan, false))
}

impl Bench {
    fn of(kinds: &[(FaultKind, Values)]) -> Self {
        Self::over(kinds.iter().map(|(kind, values)| fault(*kind, *values)).collect())
    }

    fn over(faults: Vec<Arc<Fault>>) -> Self {
        Bench {
            seats: faults.into_iter().map(Seat::new).collect(),
            output: HeldQueue::with_room(STAGE_ROOM),
            now: BEGIN,
            late: 0,
            is_blocked: false,
            wake: None,
            stops_intake: false,
            ended: None,
            got: Vec::new(),
            end: None,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        for run in bytes.chunks(BUFFER_BYTES) {
            let held = HeldBytes::of(Chunk::Bytes(Buffer::holding(run)));
            self.push(HeldPart::Bytes(held.unwrap_or_else(|_| panic!("it is memory"))));
        }
        self.step();
    }

    fn finish(&mut self, part: HeldPart) {
        self.push(part);
        self.step();
    }

    fn push(&mut self, part: HeldPart) {
        let input = self.seats.first_mut().map_or(&mut self.output, |seat| &mut seat.input);
        input.push(Held::new(self.now, part));
    }

    /// Whether the sender may send more.
    fn takes(&self) -> bool {
        !self.stops_intake && !self.seats[0].input.is_full()
    }

    /// All stages move what they can now.
    fn step(&mut self) {
        while self.ended.is_none() {
            (self.wake, self.stops_intake) = (None, false);
            let mut moved = false;
            for at in 0..self.seats.len() {
                let (before, after) = self.seats.split_at_mut(at + 1);
                let output = after.first_mut().map_or(&mut self.output, |next| &mut next.input);
                let Seat { fault, stage, input, lot } = &mut before[at];
                let waited = (input.bytes(), input.runs().len());
                let asks = Asks::default();
                let mut flow = Flow { now_ns: self.now, since_ns: BEGIN, input, output, lot, fault, asks };
                stage.advance(&mut flow);
                let Asks { wake_ns, stops_intake, end, .. } = flow.asks;
                moved |= waited != (input.bytes(), input.runs().len());
                self.wake = sooner(self.wake, wake_ns);
                self.stops_intake |= stops_intake;
                if let Some(end) = end {
                    self.ended = Some((at, end, self.now - BEGIN));
                    break;
                }
            }
            self.receive();
            if !moved {
                break;
            }
        }
        self.receive();
    }

    fn receive(&mut self) {
        while !self.is_blocked
            && let Some(held) = self.output.pop()
        {
            assert_eq!(self.end, None, "nothing comes after an end");
            assert!(held.came_ns <= self.now, "as of the future");
            let since = self.now - BEGIN;
            match held.part {
                HeldPart::Bytes(bytes) => self.got.push((since, bytes.bytes().to_vec())),
                HeldPart::Fin => self.end = Some((since, "fin")),
                HeldPart::Abort => self.end = Some((since, "abort")),
            }
        }
    }

    /// Steps the clock to `ns` after its begin, by way of all that is due before.
    fn run_to(&mut self, ns: u64) {
        let until = BEGIN + ns;
        while let Some(wake) = self.wake
            && wake + self.late <= until
            && self.ended.is_none()
        {
            assert!(wake > self.now, "it asks for what is over");
            self.now = wake + self.late;
            self.step();
        }
        self.now = until;
        self.step();
    }

    /// Has the first stage be told other values.
    fn update(&mut self, values: Values) {
        self.seats[0].stage.update(values);
        self.step();
    }

    fn received(&self) -> usize {
        self.got.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn bytes(&self) -> Vec<u8> {
        self.got.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// When each piece came, and its length.
    fn pieces(&self) -> Vec<(u64, usize)> {
        self.got.iter().map(|(ns, bytes)| (*ns, bytes.len())).collect()
    }
}

/// Bytes of which no two near each other are the same.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

#[test]
fn latency_is_exact_and_never_early_and_delays_the_end() {
    let mut bench = Bench::of(&[(FaultKind::Latency, [100, 0, 0])]);
    bench.send(b"one");
    bench.run_to(30 * MS);
    bench.send(b"two");
    bench.run_to(100 * MS - 1);
    assert_eq!(bench.received(), 0);
    bench.finish(HeldPart::Fin);
    bench.run_to(SECOND);
    assert_eq!(bench.pieces(), [(100 * MS, 3), (130 * MS, 3)]);
    assert_eq!(bench.end, Some((200 * MS - 1, "fin")));
}

#[test]
fn jitter_stays_within_its_bounds_and_keeps_the_order() {
    let mut bench = Bench::of(&[(FaultKind::Latency, [100, 60, 0])]);
    let sent = pattern(100);
    for (number, byte) in sent.iter().enumerate() {
        bench.send(&[*byte]);
        bench.run_to(number as u64 * 10 * MS);
    }
    bench.run_to(9 * SECOND);
    assert!(bench.bytes() == sent);
    for (number, (ns, _)) in bench.got.iter().enumerate() {
        let delay = ns - (number as u64).saturating_sub(1) * 10 * MS;
        assert!((40 * MS..=170 * MS).contains(&delay), "{number}: {delay}");
    }
    let mut negative = Bench::of(&[(FaultKind::Latency, [0, 0, 0])]);
    negative.send(b"x");
    assert_eq!(negative.pieces(), [(0, 1)]);
}

#[test]
fn latencies_add_up_even_where_wakes_are_late() {
    let mut bench = Bench::of(&[(FaultKind::Latency, [200, 0, 0]); 5]);
    bench.late = 3 * MS;
    bench.send(b"x");
    bench.run_to(2 * SECOND);
    assert_eq!(bench.pieces(), [(1003 * MS, 1)]);
}

#[test]
fn a_latency_that_has_paused_knows_nothing_of_what_went_meanwhile() {
    let mut bench = Bench::of(&[(FaultKind::Latency, [100, 0, 0])]);
    bench.send(b"x");
    bench.seats[0].stage.leave();
    let now = bench.now;
    bench.seats[0].input.drain_into(&mut bench.output, now);
    bench.step();
    bench.run_to(50 * MS);
    bench.send(b"y");
    bench.run_to(SECOND);
    assert_eq!(bench.pieces(), [(0, 1), (150 * MS, 1)]);
}

#[test]
fn latency_keeps_the_rate() {
    let mut bench = Bench::of(&[(FaultKind::Latency, [100, 0, 0])]);
    let sent = pattern(1_200_000);
    for piece in sent.chunks(BUFFER_BYTES) {
        assert!(bench.takes());
        bench.send(piece);
    }
    bench.run_to(100 * MS);
    assert!(bench.bytes() == sent);
}

/// Sends as fast as it is taken, for as long.
fn flood(bench: &mut Bench, ns: u64) {
    let (piece, end) = (pattern(BUFFER_BYTES), bench.now + ns);
    loop {
        while bench.takes() {
            bench.send(&piece);
        }
        match bench.wake {
            Some(wake) if wake + bench.late <= end => {
                let until = (wake + bench.late).max(bench.now + 1);
                (bench.now, bench.wake) = (until, None);
                bench.step();
            }
            _ => break,
        }
    }
    bench.run_to(end - BEGIN);
}

#[test]
fn bandwidth_is_within_a_hundredth_of_its_rate() {
    for (rate, late) in [(1, 0), (3, 0), (100, 0), (1000, 4 * MS), (10_000, MS / 2), (50_000, 20 * MS)] {
        let mut bench = Bench::of(&[(FaultKind::Bandwidth, [rate, 0, 0])]);
        bench.late = late;
        flood(&mut bench, SECOND);
        let (first, exact) = (bench.received() as u64, rate * 1000);
        // At first it has its burst, and what is late is not there yet.
        let (most, least) = (exact + exact / 100, exact - exact / 100 - exact * late / SECOND);
        assert!((least..=most).contains(&first), "{rate}: {first}");
        flood(&mut bench, 4 * SECOND);
        let rest = bench.received() as u64 - first;
        assert!(rest.abs_diff(4 * exact) <= exact / 50, "{rate}: {rest}");
    }
}

#[test]
fn bandwidth_never_passes_more_than_burst_and_rate_allow() {
    for burst in [0, 1, 100, 7000] {
        let mut bench = Bench::of(&[(FaultKind::Bandwidth, [7, burst, 0])]);
        let allowed = if burst == 0 { 70 } else { burst };
        // It was idle for long: it holds its burst, and no more.
        bench.run_to(600 * SECOND);
        let begin = 600 * SECOND;
        flood(&mut bench, 20 * SECOND);
        let mut sum = 0;
        for (ns, bytes) in &bench.got {
            sum += bytes.len() as u64;
            assert!(bytes.len() <= 70, "a slice of {}", bytes.len());
            assert!(sum * MS <= allowed * MS + 7 * (ns - begin), "{burst}: {sum} after {ns}");
        }
        assert!(sum >= 7 * 20_000 + allowed - 70, "{burst}: {sum}");
    }
}

#[test]
fn bandwidth_takes_as_long_as_toxiproxys() {
    let mut bench = Bench::of(&[(FaultKind::Bandwidth, [1000, 0, 0])]);
    let sent = pattern(480_000);
    sent.chunks(BUFFER_BYTES).for_each(|piece| bench.send(piece));
    bench.finish(HeldPart::Fin);
    bench.run_to(SECOND);
    assert!(bench.bytes() == sent);
    assert_eq!(bench.end, Some((470 * MS, "fin")));
}

#[test]
fn rate_0_passes_nothing_and_loses_nothing() {
    for end in ["fin", "abort"] {
        let mut bench = Bench::of(&[(FaultKind::Bandwidth, [0, 0, 0])]);
        bench.send(b"kept");
        bench.finish(if end == "fin" { HeldPart::Fin } else { HeldPart::Abort });
        bench.run_to(3600 * SECOND);
        assert_eq!((bench.received(), bench.end, bench.wake), (0, None, None));
        bench.update([1, 0, 0]);
        bench.run_to(3601 * SECOND);
        assert_eq!(bench.bytes(), b"kept");
        assert_eq!(bench.end.map(|(_, end)| end), Some(end));
    }
    let mut bench = Bench::of(&[(FaultKind::Bandwidth, [0, 0, 0])]);
    while bench.takes() {
        bench.send(&pattern(BUFFER_BYTES));
    }
    assert!(bench.seats[0].input.cost() <= STAGE_ROOM + 2 * BUFFER_BYTES, "the sender waits");
}

#[test]
fn a_rate_that_changes_counts_from_then_on() {
    let mut bench = Bench::of(&[(FaultKind::Bandwidth, [1, 1, 0])]);
    bench.send(&pattern(BUFFER_BYTES));
    // At the old rate, that would be 16 s.
    for number in 1..=100 {
        bench.run_to(number * MS);
        bench.update([if number % 2 == 0 { 1 } else { 3 }, 1, 0]);
    }
    assert!((180..=201).contains(&bench.received()), "{}", bench.received());
    bench.update([1_000_000, 0, 0]);
    bench.run_to(101 * MS);
    assert_eq!(bench.received(), BUFFER_BYTES);
}

#[test]
fn a_shared_bucket_is_one_for_all_sessions_and_a_slice_that_does_not_leave_is_given_back() {
    let shared = fault(FaultKind::Bandwidth, [100, 0, 1]);
    let mut benches = [0; 3].map(|_| Bench::over(vec![shared.clone()]));
    for _ in 0..1000 {
        for bench in &mut benches {
            if bench.takes() {
                bench.send(&pattern(BUFFER_BYTES));
            }
            let next = bench.now - BEGIN + MS;
            bench.run_to(next);
        }
    }
    let got = benches.each_ref().map(|bench| bench.received());
    assert!(got.iter().sum::<usize>().abs_diff(100_000) <= 1000, "{got:?}");
    assert!(got.iter().all(|one| one.abs_diff(33_333) <= 2000), "each has its part: {got:?}");
    let [mut last, ..] = benches;
    let mut gone: Vec<_> = (0..500).map(|_| Bench::over(vec![shared.clone()])).collect();
    gone.iter_mut().for_each(|bench| {
        bench.now = last.now;
        bench.send(&pattern(1000));
    });
    drop(gone);
    let before = last.received();
    flood(&mut last, SECOND);
    assert!(last.received() - before >= 98_000, "{}", last.received() - before);
}

#[test]
fn slow_close_holds_fin_alone() {
    let mut bench = Bench::of(&[(FaultKind::SlowClose, [300, 0, 0])]);
    bench.send(b"x");
    bench.finish(HeldPart::Fin);
    bench.run_to(SECOND);
    assert_eq!((bench.pieces(), bench.end), (vec![(0, 1)], Some((300 * MS, "fin"))));
    let mut bench = Bench::of(&[(FaultKind::SlowClose, [300, 0, 0])]);
    bench.finish(HeldPart::Abort);
    assert_eq!(bench.end, Some((0, "abort")));
}

#[test]
fn timeout_ends_the_session_on_time_whatever_comes() {
    let mut bench = Bench::of(&[(FaultKind::Timeout, [100, 0, 0])]);
    for number in 0..99 {
        bench.run_to(number * MS);
        bench.send(b"x");
    }
    bench.run_to(100 * MS - 1);
    assert_eq!(bench.ended, None);
    bench.run_to(SECOND);
    assert_eq!((bench.received(), bench.ended), (0, Some((0, FaultEnd::Fin, 100 * MS))));
    assert_eq!(bench.seats[0].fault.counts.swallowed.load(Relaxed), 99);
    let mut never = Bench::of(&[(FaultKind::Timeout, [0, 0, 0])]);
    never.send(b"x");
    never.run_to(3600 * SECOND);
    assert_eq!((never.ended, never.wake, never.end), (None, None, None));
    never.finish(HeldPart::Fin);
    assert_eq!((never.received(), never.end), (0, Some((3600 * SECOND, "fin"))));
    assert_eq!(never.seats[0].stage.leave(), Some(FaultEnd::Fin));
}

#[test]
fn reset_peer_waits_for_the_first_bytes_or_the_end() {
    let mut bench = Bench::of(&[(FaultKind::ResetPeer, [100, 0, 0])]);
    bench.run_to(SECOND);
    assert_eq!(bench.seats[0].stage.leave(), None);
    bench.send(b"x");
    bench.run_to(SECOND + 99 * MS);
    bench.send(b"y");
    assert_eq!(bench.seats[0].stage.leave(), Some(FaultEnd::Reset), "bytes are missing");
    bench.run_to(2 * SECOND);
    assert_eq!((bench.received(), bench.ended), (0, Some((0, FaultEnd::Reset, SECOND + 100 * MS))));
    let mut bench = Bench::of(&[(FaultKind::ResetPeer, [0, 0, 0])]);
    bench.finish(HeldPart::Fin);
    assert_eq!((bench.end, bench.ended), (None, Some((0, FaultEnd::Reset, 0))));
    let mut bench = Bench::of(&[(FaultKind::ResetPeer, [0, 0, 0])]);
    bench.finish(HeldPart::Abort);
    assert_eq!((bench.end, bench.ended), (Some((0, "abort")), None));
}

#[test]
fn slices_have_about_the_size_that_is_asked_for() {
    let sent = pattern(480_000);
    let mut bench = Bench::of(&[(FaultKind::Slicer, [1024, 512, 10])]);
    sent.chunks(BUFFER_BYTES).for_each(|piece| bench.push_bytes(piece));
    bench.step();
    bench.run_to(20 * SECOND);
    assert!(bench.bytes() == sent);
    assert!((240..=720).contains(&bench.got.len()), "{}", bench.got.len());
    assert!(bench.got.iter().all(|(_, bytes)| bytes.len() <= 1536));
    // Without variation it halves: 1,000 at 100 gives 62 and 63.
    let mut bench = Bench::of(&[(FaultKind::Slicer, [100, 0, 0])]);
    bench.send(&pattern(1000));
    assert_eq!(bench.got.len(), 16);
    assert!(bench.got.iter().all(|(_, bytes)| [62, 63].contains(&bytes.len())));
}

#[test]
fn a_pause_is_behind_each_slice() {
    let mut bench = Bench::of(&[(FaultKind::Slicer, [1, 0, 10_000])]);
    bench.send(&pattern(24));
    bench.finish(HeldPart::Fin);
    bench.run_to(SECOND);
    let expected: Vec<_> = (0..24).map(|number| (number * 10 * MS, 1)).collect();
    assert_eq!((bench.pieces(), bench.bytes()), (expected, pattern(24)));
    assert_eq!(bench.end, Some((240 * MS, "fin")));
    let mut whole = Bench::of(&[(FaultKind::Slicer, [0, 9, 10])]);
    whole.send(&pattern(5000));
    assert_eq!(whole.pieces(), [(0, 5000)]);
}

#[test]
fn slices_of_a_byte_take_no_more_memory_than_there_is_room() {
    let mut bench = Bench::of(&[(FaultKind::Slicer, [1, 0, 0]), (FaultKind::Bandwidth, [0, 0, 0])]);
    bench.send(&pattern(BUFFER_BYTES));
    assert!(bench.seats[1].input.cost() < STAGE_ROOM + 100, "{}", bench.seats[1].input.cost());
    bench.seats[1].stage.update([1_000_000_000, 0, 0]);
    bench.run_to(SECOND);
    assert!(bench.bytes() == pattern(BUFFER_BYTES));
    for values in [[5, 5, 0], [5, 6, 0], [1, 1, 0]] {
        assert!(FaultKind::Slicer.check(&values).is_err(), "{values:?}");
    }
}

#[test]
fn a_limit_is_exact_and_counts_over_changes() {
    for (limit, pieces, passed) in [
        (100, vec![50], 50),
        (100, vec![100], 100),
        (100, vec![150], 100),
        (100, vec![25; 4], 100),
        (100, vec![90, 20], 100),
        (0, vec![1], 0),
        (1, vec![1], 1),
        (0, vec![], 0),
    ] {
        let mut bench = Bench::of(&[(FaultKind::LimitData, [limit, 0, 0])]);
        let sent = pattern(pieces.iter().sum());
        let mut rest = &sent[..];
        for count in pieces {
            let (piece, after) = rest.split_at(count);
            bench.send(piece);
            rest = after;
        }
        assert_eq!(bench.bytes(), sent[..passed]);
        let ends = (passed as u64 == limit && !sent.is_empty()).then_some((0, FaultEnd::Fin, 0));
        assert_eq!(bench.ended, ends, "{limit} {}", sent.len());
    }
    let mut bench = Bench::of(&[(FaultKind::LimitData, [100, 0, 0])]);
    bench.send(&pattern(90));
    bench.update([100, 0, 0]);
    bench.send(&pattern(20));
    assert_eq!((bench.received(), bench.ended.is_some()), (100, true));
    let mut bench = Bench::of(&[(FaultKind::LimitData, [100, 0, 0])]);
    bench.send(&pattern(99));
    bench.finish(HeldPart::Fin);
    assert_eq!((bench.end, bench.ended), (Some((0, "fin")), None), "it ended by itself");
}

#[test]
fn stall_reads_nothing_more_at_its_byte_and_loses_nothing() {
    let mut bench = Bench::of(&[(FaultKind::Stall, [10, 500, 0])]);
    bench.send(&pattern(4));
    assert!(bench.takes());
    bench.run_to(100 * MS);
    bench.send(&pattern(20));
    bench.finish(HeldPart::Fin);
    assert!(!bench.takes());
    assert_eq!(bench.pieces(), [(0, 4), (100 * MS, 6)]);
    bench.run_to(SECOND);
    assert_eq!((bench.pieces()[2], bench.end), ((600 * MS, 14), Some((600 * MS, "fin"))));
    assert!(bench.takes());
    let mut for_ever = Bench::of(&[(FaultKind::Stall, [0, 0, 0])]);
    for_ever.step();
    assert!(!for_ever.takes(), "before its first byte");
    for_ever.run_to(3600 * SECOND);
    assert_eq!((for_ever.takes(), for_ever.wake), (false, None));
    for_ever.update([5, 0, 0]);
    for_ever.send(b"x");
    assert_eq!((for_ever.takes(), for_ever.received()), (true, 1));
}

#[test]
fn cut_ends_at_bytes_or_time_which_comes_first() {
    for (values, ended) in [
        ([10, 0, 0], (FaultEnd::Fin, 0)),
        ([10, 0, 1], (FaultEnd::Abort, 0)),
        ([11, 50, 0], (FaultEnd::Fin, 50 * MS)),
        ([0, 50, 1], (FaultEnd::Reset, 50 * MS)),
        ([10, 50, 1], (FaultEnd::Abort, 0)),
    ] {
        let mut bench = Bench::of(&[(FaultKind::Cut, values)]);
        bench.send(&pattern(10));
        bench.run_to(49 * MS);
        bench.run_to(SECOND);
        assert_eq!(bench.received(), 10);
        assert_eq!(bench.ended, Some((0, ended.0, ended.1)), "{values:?}");
    }
    let mut bench = Bench::of(&[(FaultKind::Cut, [10, 0, 0])]);
    bench.send(&pattern(13));
    assert_eq!(bench.bytes(), pattern(10));
    assert!(FaultKind::Cut.check(&[0, 0, 1]).is_err());
}

#[test]
fn corrupt_flips_as_many_bits_as_it_says_where_it_says() {
    let sent = [0; 100];
    for (values, places, bits) in [
        ([0, 0, 0], vec![0], 1),
        ([7, 0, 3], vec![7], 3),
        ([5, 40, 8], vec![5, 45, 85], 8),
        ([98, 1, 2], vec![98, 99], 2),
        ([100, 1, 1], vec![], 1),
        ([i64::MAX as u64, i64::MAX as u64, 1], vec![], 1),
    ] {
        // What it does is the same however the stream comes.
        let mut results = Vec::new();
        for size in [1, 7, 100] {
            let mut bench = Bench::of(&[(FaultKind::Corrupt, values)]);
            sent.chunks(size).for_each(|piece| bench.send(piece));
            let bytes = bench.bytes();
            let changed: Vec<_> = (0..100).filter(|place| bytes[*place] != 0).collect();
            assert_eq!(changed, places, "{values:?}");
            assert!(places.iter().all(|place| bytes[*place].count_ones() == bits));
            results.push(bytes);
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn hiccup_holds_what_is_behind_and_doubles_while_it_repeats() {
    let mut bench = Bench::of(&[(FaultKind::Hiccup, [100, 10, 0])]);
    (0..10).for_each(|_| bench.send(b"x"));
    bench.finish(HeldPart::Fin);
    bench.run_to(10 * SECOND);
    let pauses = [10, 20, 40, 80, 160, 320, 640, 640, 640, 640];
    let dues: Vec<_> = pauses.iter().scan(0, |sum, pause| Some((*sum += pause * MS, *sum).1)).collect();
    assert_eq!(bench.pieces(), dues.iter().map(|due| (*due, 1)).collect::<Vec<_>>());
    assert_eq!(bench.end, Some((dues[9], "fin")));
    let mut never = Bench::of(&[(FaultKind::Hiccup, [0, 10, 0])]);
    (0..100).for_each(|_| never.send(b"x"));
    assert_eq!(never.received(), 100);
    let mut some = Bench::of(&[(FaultKind::Hiccup, [20, 10, 0])]);
    let mut held = 0;
    for number in 0..1000 {
        some.run_to(number * SECOND);
        some.send(b"x");
        held += u32::from(some.received() as u64 != number + 1);
    }
    assert!((150..250).contains(&held), "{held}");
}

#[test]
fn a_receiver_that_takes_nothing_holds_up_the_sender_and_loses_nothing() {
    for kind in FaultKind::VARIANTS.iter().filter(|kind| is_stage(**kind)) {
        let values = match kind {
            FaultKind::Timeout | FaultKind::ResetPeer => continue,
            FaultKind::Latency => [10, 0, 0],
            FaultKind::Bandwidth => [1_000_000_000, 0, 0],
            FaultKind::Slicer => [1000, 10, 0],
            FaultKind::LimitData | FaultKind::Stall | FaultKind::Cut | FaultKind::Corrupt => {
                [i64::MAX as u64, 0, 0]
            }
            _ => [0, 0, 0],
        };
        let mut bench = Bench::of(&[(*kind, values)]);
        bench.is_blocked = true;
        let mut sent = Vec::new();
        while bench.takes() {
            sent.extend(pattern(BUFFER_BYTES));
            bench.send(&pattern(BUFFER_BYTES));
            let next = bench.now - BEGIN + 20 * MS;
            bench.run_to(next);
        }
        let room = bench.seats[0].stage.room() + STAGE_ROOM + 3 * BUFFER_BYTES;
        assert!(sent.len() <= room, "{kind:?}: {}", sent.len());
        bench.is_blocked = false;
        for _ in 0..2000 {
            let next = bench.now - BEGIN + 20 * MS;
            bench.run_to(next);
        }
        assert!(bench.bytes() == sent, "{kind:?}");
    }
}

impl Bench {
    fn push_bytes(&mut self, bytes: &[u8]) {
        let held = HeldBytes::of(Chunk::Bytes(Buffer::holding(bytes)));
        self.push(HeldPart::Bytes(held.unwrap_or_else(|_| panic!("it is memory"))));
    }

    /// What waits before a stage goes on, unless that takes bytes away; how much that was.
    fn pause(&mut self, at: usize) -> usize {
        let seat = &mut self.seats[at];
        if matches!(seat.fault.plan().kind, FaultKind::Timeout | FaultKind::ResetPeer) {
            return 0;
        }
        seat.stage.leave();
        let mut waits = std::mem::replace(&mut seat.input, HeldQueue::with_room(seat.stage.room()));
        let cost = waits.cost();
        let next = self.seats.get_mut(at + 1).map_or(&mut self.output, |next| &mut next.input);
        waits.drain_into(next, self.now);
        self.step();
        cost
    }

    /// All stages go; what they held comes out.
    fn clear(&mut self) {
        self.is_blocked = false;
        self.receive();
        while let Some(mut seat) = self.seats.pop() {
            seat.stage.leave();
            seat.input.drain_into(&mut self.output, self.now);
            self.receive();
        }
    }
}

fn is_stage(kind: FaultKind) -> bool {
    matches!(kind.page().place, FaultPlace::Direction(_))
}

/// A kind with values that its page allows, the extremes among them.
fn any_fault() -> impl Strategy<Value = (FaultKind, Values)> {
    let kinds: Vec<_> = FaultKind::VARIANTS.iter().copied().filter(|kind| is_stage(*kind)).collect();
    let value =
        prop_oneof![3 => Just(0_u64), 3 => Just(1), 2 => Just(u64::MAX), 5 => 0..2000_u64, 1 => any::<u64>()];
    (proptest::sample::select(kinds), [value.clone(), value.clone(), value])
        .prop_map(|(kind, mut values)| {
            let maxima = kind.page().attributes.iter().map(|one| one.max).chain([0; 3]);
            values.iter_mut().zip(maxima).for_each(|(value, max)| *value = (*value).min(max));
            (kind, values)
        })
        .prop_filter("its page allows it", |(kind, values)| kind.check(values).is_ok())
}

#[derive(Clone, Debug)]
enum Act {
    Send(usize),
    Pass(u64),
    Block(bool),
    Update(usize, Values),
    Pause(usize),
}

fn any_act() -> impl Strategy<Value = Act> {
    let time = prop_oneof![0..3 * MS, 0..SECOND, Just(MILLISECONDS_MAX * 1000)];
    let value = prop_oneof![Just(0_u64), Just(1), 0..5000_u64, Just(u64::MAX)];
    prop_oneof![
        4 => (1..2 * BUFFER_BYTES).prop_map(Act::Send),
        4 => time.prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::Block),
        1 => (0..4_usize, [value.clone(), value.clone(), value]).prop_map(|(at, values)| Act::Update(at, values)),
        1 => (0..4_usize).prop_map(Act::Pause),
    ]
}

/// Steps through at most so much of what is due in `ns`.
fn pass_time(bench: &mut Bench, ns: u64) {
    let until = bench.now.saturating_add(ns);
    for _ in 0..300 {
        let Some(wake) = bench.wake.filter(|wake| *wake <= until && bench.ended.is_none()) else { break };
        assert!(wake > bench.now, "it asks for what is over");
        bench.now = wake;
        bench.step();
    }
    bench.now = until;
    bench.step();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_chain_invents_or_reorders_bytes_or_holds_more_than_it_may(
        faults in proptest::collection::vec(any_fault(), 1..5),
        acts in proptest::collection::vec(any_act(), 0..20),
        ends_by_fin in any::<bool>(),
    ) {
        let mut bench = Bench::of(&faults);
        let mut sent = Vec::<u8>::new();
        // What a stage that went handed on is beside the next one's room.
        let mut handed_on = vec![0; faults.len() + 1];
        let mut rooms: Vec<usize> = bench.seats.iter().map(|seat| seat.stage.room()).collect();
        for act in acts {
            match act {
                Act::Send(count) if bench.takes() => {
                    let bytes = pattern(sent.len() + count)[sent.len()..].to_vec();
                    sent.extend(&bytes);
                    bench.send(&bytes);
                }
                Act::Send(_) => {}
                Act::Pass(ns) => pass_time(&mut bench, ns),
                Act::Block(is_blocked) => {
                    bench.is_blocked = is_blocked;
                    bench.step();
                }
                Act::Update(at, values) => {
                    let at = at % bench.seats.len();
                    let seat = &mut bench.seats[at];
                    let kind = seat.fault.plan().kind;
                    if kind.check(&values).is_ok() {
                        seat.stage.update(values);
                        // What waits already may be more than there is room for now.
                        let room = seat.stage.room();
                        seat.input.set_room(room);
                        rooms[at] = rooms[at].max(room);
                        bench.step();
                    }
                }
                Act::Pause(at) => {
                    let at = at % bench.seats.len();
                    handed_on[at + 1] += bench.pause(at);
                }
            }
            for ((seat, handed_on), room) in bench.seats.iter().zip(&handed_on).zip(&rooms) {
                // A run that finds room may be larger than that; the sender's is two.
                let most = room + 2 * (BUFFER_BYTES + 64) + handed_on;
                prop_assert!(seat.input.cost() <= most, "{}", seat.input.cost());
            }
        }
        bench.finish(if ends_by_fin { HeldPart::Fin } else { HeldPart::Abort });
        let (ended, is_whole) = (bench.ended, !faults.iter().any(|(kind, _)| {
            matches!(kind, FaultKind::Timeout | FaultKind::ResetPeer)
        }));
        bench.clear();
        let got = bench.bytes();
        let is_exact = !faults.iter().any(|(kind, _)| *kind == FaultKind::Corrupt);
        if is_whole {
            prop_assert!(got.len() <= sent.len() && (!is_exact || got == sent[..got.len()]));
        }
        if is_whole && ended.is_none() {
            prop_assert_eq!(got.len(), sent.len());
            prop_assert_eq!(bench.end.map(|(_, end)| end), Some(if ends_by_fin { "fin" } else { "abort" }));
        }
    }
}
