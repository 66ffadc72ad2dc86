//! How a shard waits if it has nothing to do: it sleeps until events come; where they come close together, it first looks for
//! the next one, which then finds the thread awake.
//!
//! Looking costs the processor and wins what falling asleep and waking cost. It pays only if the next event is nearly there:
//! after short gaps in a row, with one or two events each (the two legs of a session that answers), and never in bulk, where
//! buffers are deep.
//!
//! Between two looks it yields (sched_yield(2)): the event may come from a program that waits for this core. One that computes has
//! it then until the next tick, for some ms, even if another core is idle, and no event is seen meanwhile. So after a yield that
//! took long the thread goes without looking for a while.

use crate::runtime::shard::Shard;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Gaps that show whether another short one is likely. One says nothing: an upstream's answer comes soon after every
/// request, and then nothing does.
const GAPS: usize = 4;
/// More events at a time keep the thread busy without looking.
const EVENTS_MAX: usize = 2;
/// An event is looked for as long as this many times the longest of the last gaps.
const GAPS_TO_LOOK: u32 = 2;
/// Whoever has the core for so long after a yield computes: a peer that answers takes some 10 µs.
const LONG_YIELD: Duration = Duration::from_micros(300);
/// Waits without looking after a yield that took long: it may cost the next events of one wait in so many.
const REST: u32 = 1024;

/// The last gaps between events, and the longest time to look.
pub(super) struct Pace {
    look_for: Option<Duration>,
    /// None is a gap after which looking is not worth it.
    gaps: [Option<Duration>; GAPS],
    next: usize,
    /// Waits that are still to go without looking.
    rest: u32,
}

/// How a look ended.
struct Look {
    /// There were so many events, or there is something else to do. None if it was in vain.
    found: Option<usize>,
    /// Another program computed on this core meanwhile.
    is_lost: bool,
}

impl Pace {
    /// Looks for an event for at most `look_for` before it sleeps.
    pub(super) fn new(look_for: Option<Duration>) -> Self {
        Pace { look_for, gaps: [None; GAPS], next: 0, rest: 0 }
    }

    /// Waits until there are events, which it takes, or until there is something else to do, or `due`.
    pub(super) fn wait(&mut self, shard: &Shard, due: Option<Instant>) {
        let Some(most) = self.look_for else {
            shard.sleep(due);
            return;
        };
        let begin = Instant::now();
        let limit = self.look_limit(most).filter(|_| self.rest == 0);
        self.rest = self.rest.saturating_sub(1);
        let looked = limit.map(|limit| look(shard, due, begin, limit));
        if looked.as_ref().is_some_and(|look| look.is_lost) {
            self.rest = REST;
        }
        let events = looked.and_then(|look| look.found).unwrap_or_else(|| shard.sleep(due));
        let gap = begin.elapsed();
        let is_short = gap < most && events <= EVENTS_MAX && !shard.bulk.take();
        self.gaps[self.next] = is_short.then_some(gap);
        self.next = (self.next + 1) % GAPS;
    }

    /// How long to look; none if it is not worth it.
    fn look_limit(&self, most: Duration) -> Option<Duration> {
        let longest = self.gaps.iter().try_fold(Duration::ZERO, |longest, gap| Some(longest.max((*gap)?)))?;
        Some((longest * GAPS_TO_LOOK).min(most))
    }
}

/// Looks for events until `limit` after `begin`.
fn look(shard: &Shard, due: Option<Instant>, begin: Instant, limit: Duration) -> Look {
    let mut looked = Duration::ZERO;
    loop {
        let elapsed = begin.elapsed();
        let is_lost = elapsed.saturating_sub(looked) >= LONG_YIELD;
        let events = shard.look();
        if events > 0 || shard.is_called(due) {
            return Look { found: Some(events), is_lost };
        }
        if is_lost || elapsed >= limit {
            return Look { found: None, is_lost };
        }
        looked = elapsed;
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard;

    #[test]
    fn a_look_in_vain_ends_in_a_sleep_and_one_that_rests_does_not_look() {
        let soon = Duration::from_millis(100);
        let left = shard::run(async {
            let shard = Shard::here().unwrap();
            let mut pace = Pace::new(Some(Duration::from_micros(200)));
            pace.gaps = [Some(Duration::from_micros(10)); GAPS];
            pace.rest = 2;
            let begin = Instant::now();
            pace.wait(&shard, Some(begin + soon));
            assert!(begin.elapsed() >= soon / 2, "{:?}", begin.elapsed());
            pace.rest
        });
        assert_eq!(left.unwrap(), 1);
    }

    #[test]
    fn a_yield_that_took_long_is_seen() {
        let lost = shard::run(async {
            let shard = Shard::here().unwrap();
            // As if the core had been another's since then.
            let begin = Instant::now() - LONG_YIELD;
            look(&shard, None, begin, Duration::from_secs(10)).is_lost
        });
        assert!(lost.unwrap());
    }

    #[test]
    fn it_looks_twice_as_long_as_the_last_gaps_and_only_after_short_ones() {
        const MOST: Duration = Duration::from_micros(200);
        let us = |us| Some(Duration::from_micros(us));
        let limit = |gaps| Pace { gaps, ..Pace::new(Some(MOST)) }.look_limit(MOST);
        assert_eq!(limit([us(10), us(30), us(20), us(10)]), us(60));
        assert_eq!(limit([us(10), us(150), us(20), us(10)]), Some(MOST));
        assert_eq!(limit([us(10), us(30), None, us(10)]), None);
        assert_eq!(Pace::new(Some(MOST)).look_limit(MOST), None);
    }
}
