//! How a shard waits if it has nothing to do: it sleeps until events come; where they come close together, it first looks for
//! the next one, which then finds the thread awake.
//!
//! Looking costs the processor and wins what falling asleep and waking cost. It pays only if the next event is nearly there:
//! after short gaps in a row, with one or two events each (the two legs of a session that answers), and never in bulk, where
//! buffers are deep.

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

/// The last gaps between events, and the longest time to look.
pub(super) struct Pace {
    look_for: Option<Duration>,
    /// None is a gap after which looking is not worth it.
    gaps: [Option<Duration>; GAPS],
    next: usize,
}

impl Pace {
    /// Looks for an event for at most `look_for` before it sleeps.
    pub(super) fn new(look_for: Option<Duration>) -> Self {
        Pace { look_for, gaps: [None; GAPS], next: 0 }
    }

    /// Waits until there are events, which it takes, or until there is something else to do, or `due`.
    pub(super) fn wait(&mut self, shard: &Shard, due: Option<Instant>) {
        let Some(most) = self.look_for else {
            shard.sleep(due);
            return;
        };
        let begin = Instant::now();
        let events = match self.look_limit(most) {
            Some(limit) => look(shard, due, begin, limit),
            None => shard.sleep(due),
        };
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

/// Looks for events until `limit` after `begin`, then sleeps; says how many there were.
fn look(shard: &Shard, due: Option<Instant>, begin: Instant, limit: Duration) -> usize {
    loop {
        let events = shard.look();
        if events > 0 || shard.is_called(due) {
            return events;
        }
        if begin.elapsed() >= limit {
            return shard.sleep(due);
        }
        // Another program that wants this core gets it: it may be the peer that we look for.
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_twice_as_long_as_the_last_gaps_and_only_after_short_ones() {
        const MOST: Duration = Duration::from_micros(200);
        let us = |us| Some(Duration::from_micros(us));
        let limit = |gaps| Pace { look_for: Some(MOST), gaps, next: 0 }.look_limit(MOST);
        assert_eq!(limit([us(10), us(30), us(20), us(10)]), us(60));
        assert_eq!(limit([us(10), us(150), us(20), us(10)]), Some(MOST));
        assert_eq!(limit([us(10), us(30), None, us(10)]), None);
        assert_eq!(Pace::new(Some(MOST)).look_limit(MOST), None);
    }
}
