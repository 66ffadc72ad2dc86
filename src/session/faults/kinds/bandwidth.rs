//! `bandwidth`: bytes leave at a rate, in slices of at most 10 ms' worth, each once it is paid for.
//!
//! A token bucket, in whole numbers: income and spending are counted from one instant on, so that nothing drifts. What a late
//! wake missed is made up for. An idle bucket holds its burst at most. Rate 0 passes nothing, not even an end, and loses
//! nothing: what was held goes on once the rate is another or the fault is removed.
//!
//! On TCP: the sender meets a window that opens slowly, as before a slow link; the link's queue is ours, of 50 ms' worth, from 64 KiB
//! to 4 MiB.

use crate::{
    runtime::lock::Lock,
    session::faults::{
        fault::Values,
        kind::{Attribute, FaultPlace, KindPage},
        stage::{FaultEnd, Flow, STAGE_ROOM, Stage},
    },
};
use std::sync::Arc;

pub static PAGE: KindPage = KindPage {
    about: "passes bytes at a rate, and nothing at rate 0",
    attributes: &[
        Attribute::kilobytes_per_second("rate"),
        Attribute::bytes("burst"),
        Attribute::flag("shared"),
    ],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| {
        Box::new(Bandwidth { values, bucket: None, slice: None, left_ns: 0 })
    }),
};

/// A slice is at most what the rate passes in this time, and so is a burst that is not stated.
const SLICE_MS: u64 = 10;
/// What a late wake missed is made up for as far as this: beyond it, the receiver was what the bytes waited for.
const LATE_NS: u64 = 50_000_000;
/// What waits before a fast link at most: a late wake of one of 80 MB/s.
const ROOM_MAX: usize = 4 << 20;
/// What a byte costs. A rate of 1 KB/s earns 1 a nanosecond: 1,000 bytes a second are 1 byte a millisecond.
const BYTE_COST: u128 = 1_000_000;

/// What was earned and what was spent since one instant. No sum reaches 2^120: a rate is below 2^40, and time below 2^64 ns.
#[derive(Default)]
pub struct Bucket {
    rate: u64,
    /// When `earned` was right. It changes with the rate only.
    as_of_ns: u64,
    earned: u128,
    spent: u128,
    has_begun: bool,
}

struct Bandwidth {
    values: Values,
    /// Its own, or the fault's; none before its first byte.
    bucket: Option<Arc<Lock<Bucket>>>,
    slice: Option<Slice>,
    /// When the last slice left.
    left_ns: u64,
}

/// The next bytes, which are paid for once the bucket has earned as much as it had spent with them.
#[derive(Clone, Copy)]
struct Slice {
    bytes: u64,
    paid_at: u128,
}

impl Bucket {
    /// From `now_ns` on it earns at another rate.
    fn set_rate(&mut self, rate: u64, now_ns: u64) {
        if self.rate != rate {
            self.earned = self.earned_at(now_ns);
            (self.rate, self.as_of_ns) = (rate, now_ns);
        }
    }

    fn earned_at(&self, ns: u64) -> u128 {
        let income = |span_ns: u64| u128::from(self.rate) * u128::from(span_ns);
        match ns.checked_sub(self.as_of_ns) {
            Some(later) => self.earned + income(later),
            None => self.earned.saturating_sub(income(self.as_of_ns - ns)),
        }
    }

    /// Spends what `bytes` cost that could leave from `ready_ns` on, as far as an idle bucket holds it, and the rest on credit.
    fn spend(&mut self, bytes: u64, burst: u64, ready_ns: u64) -> Slice {
        let burst = u128::from(burst) * BYTE_COST;
        if !self.has_begun {
            (self.has_begun, self.as_of_ns, self.earned) = (true, ready_ns, burst);
        }
        let least = self.earned_at(ready_ns).saturating_sub(burst);
        self.spent = self.spent.max(least) + u128::from(bytes) * BYTE_COST;
        Slice { bytes, paid_at: self.spent }
    }

    fn give_back(&mut self, slice: Slice) {
        self.spent = self.spent.saturating_sub(u128::from(slice.bytes) * BYTE_COST);
    }

    /// When the slice is paid for, never too early; the rate is not 0.
    fn due_ns(&self, slice: Slice) -> u64 {
        let (rate, ns) = (u128::from(self.rate.max(1)), |ns: u128| u64::try_from(ns).unwrap_or(u64::MAX));
        match slice.paid_at.checked_sub(self.earned) {
            Some(lacks) => self.as_of_ns.saturating_add(ns(lacks.div_ceil(rate))),
            None => self.as_of_ns.saturating_sub(ns((self.earned - slice.paid_at) / rate)),
        }
    }
}

impl Bandwidth {
    /// The bucket, at the rate of now.
    fn bucket(&mut self, flow: &Flow<'_>) -> Arc<Lock<Bucket>> {
        let [rate, _, shared] = self.values;
        let made = || if shared == 1 { flow.fault.bucket.clone() } else { Arc::default() };
        let bucket = self.bucket.get_or_insert_with(made).clone();
        bucket.lock().set_rate(rate, flow.now_ns);
        bucket
    }

    /// The next slice, and when it is due; an end is due when it is there.
    fn next(&mut self, flow: &Flow<'_>) -> Option<(u64, u64)> {
        let first = flow.input.front()?;
        let ready_ns = first.came_ns.max(self.left_ns);
        if first.count() == 0 {
            return Some((0, ready_ns));
        }
        let [rate, burst, _] = self.values;
        let most = rate.saturating_mul(SLICE_MS);
        let burst = if burst == 0 { most } else { burst };
        let bucket = self.bucket(flow);
        let mut bucket = bucket.lock();
        let slice = *self.slice.get_or_insert_with(|| {
            let ready_ns = ready_ns.max(flow.now_ns.saturating_sub(LATE_NS));
            bucket.spend(most.min(first.count() as u64), burst, ready_ns)
        });
        Some((slice.bytes, bucket.due_ns(slice).max(first.came_ns)))
    }

    /// The slice does not leave.
    fn give_back(&mut self) {
        if let (Some(bucket), Some(slice)) = (&self.bucket, self.slice.take()) {
            bucket.lock().give_back(slice);
        }
    }
}

impl Stage for Bandwidth {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        if self.values[0] == 0 {
            if !flow.input.is_empty() {
                // What it has earned by now stays earned.
                self.bucket(flow);
                flow.show();
            }
            return;
        }
        while let Some((bytes, due_ns)) = self.next(flow) {
            if due_ns > flow.now_ns {
                flow.show();
                return flow.wake_at(due_ns);
            }
            if flow.output.is_full() {
                return;
            }
            self.slice = None;
            self.left_ns = due_ns;
            flow.pass_part(bytes, due_ns);
        }
    }

    /// What late wakes may have to be made up for is there by then.
    fn room(&self) -> usize {
        let most = u128::from(self.values[0]) * u128::from(LATE_NS) / BYTE_COST;
        usize::try_from(most).unwrap_or(usize::MAX).clamp(STAGE_ROOM, ROOM_MAX)
    }

    fn update(&mut self, values: Values) {
        if values[2] != self.values[2] {
            self.give_back();
            self.bucket = None;
        }
        self.values = values;
    }

    fn leave(&mut self) -> Option<FaultEnd> {
        self.give_back();
        None
    }
}

impl Drop for Bandwidth {
    fn drop(&mut self) {
        self.give_back();
    }
}
