//! How a shard waits if it has nothing to do: it sleeps until events come; where they come close together, it first looks for
//! the next one, which then finds the thread awake.
//!
//! Looking costs the processor and wins what falling asleep and waking cost. It pays only if the next event is nearly there:
//! after short gaps in a row, with one or two events each (the two legs of a session that answers), and never in bulk, where
//! buffers are deep. After a look in vain it is rarer: the event may come from a program that waits for this core.
//!
//! It never yields (sched_yield(2)): that gives up what is left of the thread's share. A program that computes then has the core
//! until the next tick, for some ms, even if another core is idle, and no event is seen meanwhile.

use crate::runtime::shard::Shard;
use std::{
    hint,
    time::{Duration, Instant},
};

/// Gaps that show whether another short one is likely. One says nothing: an upstream's answer comes soon after every
/// request, and then nothing does.
const GAPS: usize = 4;
/// More events at a time keep the thread busy without looking.
const EVENTS_MAX: usize = 2;
/// An event is looked for as long as this many times the longest of the last gaps.
const GAPS_TO_LOOK: u32 = 2;
/// After a look in vain the next wait does not look; after each further one twice as many do not, up to so many: what one look
/// costs is a thousandth of them. After one that finds something it is half as many.
const REST_MAX: u32 = 1024;

/// The last gaps between events, and the longest time to look.
pub(super) struct Pace {
    look_for: Option<Duration>,
    /// None is a gap after which looking is not worth it.
    gaps: [Option<Duration>; GAPS],
    next: usize,
    rest: Rest,
}

/// How seldom it is looked after looks in vain.
#[derive(Default)]
struct Rest {
    /// Waits without looking: after the last look in vain, and those that are left.
    waits: u32,
    left: u32,
}

impl Pace {
    /// Looks for an event for at most `look_for` before it sleeps.
    pub(super) fn new(look_for: Option<Duration>) -> Self {
        Pace { look_for, gaps: [None; GAPS], next: 0, rest: Rest::default() }
    }

    /// Waits until there are events, which it takes, or until there is something else to do, or `due`.
    pub(super) fn wait(&mut self, shard: &Shard, due: Option<Instant>) {
        let Some(most) = self.look_for else {
            shard.sleep(due);
            return;
        };
        let begin = Instant::now();
        let limit = self.look_limit(most).filter(|_| self.rest.is_over());
        let found = limit.and_then(|limit| look(shard, due, begin, limit));
        if limit.is_some() {
            self.rest.note(found.is_some());
        }
        let events = found.unwrap_or_else(|| shard.sleep(due));
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

impl Rest {
    /// Whether this wait may look.
    fn is_over(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }

    /// Notes a look.
    fn note(&mut self, has_found: bool) {
        self.waits = if has_found { self.waits / 2 } else { (self.waits * 2).clamp(1, REST_MAX) };
        self.left = self.waits;
    }
}

/// Looks for events until `limit` after `begin`; says how many there were. None if there is still nothing to do.
fn look(shard: &Shard, due: Option<Instant>, begin: Instant, limit: Duration) -> Option<usize> {
    loop {
        let events = shard.look();
        if events > 0 || shard.is_called(due) {
            return Some(events);
        }
        if begin.elapsed() >= limit {
            return None;
        }
        hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard;

    /// How many of the next waits rest, up to the first that may look.
    fn waits(rest: &mut Rest) -> u32 {
        (0..).take_while(|_| !rest.is_over()).count().try_into().unwrap()
    }

    #[test]
    fn looks_in_vain_become_rarer_and_others_more_frequent() {
        let mut rest = Rest::default();
        let after = |rest: &mut Rest, has_found| {
            rest.note(has_found);
            waits(rest)
        };
        assert_eq!(waits(&mut rest), 0);
        assert_eq!([(); 3].map(|()| after(&mut rest, false)), [1, 2, 4]);
        assert_eq!([(); 4].map(|()| after(&mut rest, true)), [2, 1, 0, 0]);
        assert_eq!([(); 12].map(|()| after(&mut rest, false))[9..], [512, 1024, 1024]);
    }

    #[test]
    fn a_look_in_vain_ends_in_a_sleep_and_is_noted() {
        let soon = Duration::from_millis(100);
        let left = shard::run(async {
            let shard = Shard::here().unwrap();
            let mut pace = Pace::new(Some(Duration::from_micros(200)));
            pace.gaps = [Some(Duration::from_micros(10)); GAPS];
            let begin = Instant::now();
            pace.wait(&shard, Some(begin + soon));
            assert!(begin.elapsed() >= soon / 2, "{:?}", begin.elapsed());
            pace.rest.left
        });
        assert_eq!(left.unwrap(), 1);
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
