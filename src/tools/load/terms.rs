//! The conditions of a load beside its plan. The scripted clients of `benches/` set none of them.

use crate::tools::load::shared::Shared;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Connect to this UNIX socket instead of the plan's target.
    pub path: Option<Arc<Path>>,
    /// Send this instead of the pattern.
    pub message: Option<Arc<[u8]>>,
    /// Count what is received, and compare it with nothing.
    pub blind: bool,
    /// When operations are due; none: as soon as the one before has ended.
    pub rate: Option<Rate>,
    /// The most new connections a second.
    pub connect_rate: Option<Rate>,
    /// The longest that an operation, or connecting, may take.
    pub timeout: Option<Duration>,
    /// End at once if the first connections cannot be made.
    pub needs_target: bool,
    /// What all threads of the run share.
    pub shared: Option<Arc<Shared>>,
}

/// An even schedule, of which one thread has its part.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Operations a second, of this thread.
    pub per_second: f64,
    /// When this thread's first is due, so that threads take turns.
    pub first: Duration,
}

impl Rate {
    /// When the operation of this number is due.
    #[must_use]
    pub fn due(&self, begin: Instant, number: u64) -> Instant {
        begin + self.first + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// How many are due before `end`.
    #[must_use]
    pub fn due_before(&self, begin: Instant, end: Instant) -> u64 {
        let passed = end.saturating_duration_since(begin + self.first).as_secs_f64();
        let mut count = (passed * self.per_second) as u64;
        // What is rounded away in that is not to be a request too many or too few.
        while self.due(begin, count) < end {
            count += 1;
        }
        while count > 0 && self.due(begin, count - 1) >= end {
            count -= 1;
        }
        count
    }
}

impl Terms {
    /// How long the first steps of all clients take at least.
    pub(super) fn ramp(&self, connections: usize) -> Duration {
        self.connect_rate.map_or(Duration::ZERO, |rate| {
            rate.first + Duration::from_secs_f64(connections as f64 / rate.per_second)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_due_as_the_schedule_has() {
        let begin = Instant::now();
        for (per_second, first_us, length_ms, count) in [
            (2000.0, 0, 2200, 4400),
            (1000.0, 0, 1000, 1000),
            (3.0, 0, 1000, 3),
            (3.0, 0, 1001, 4),
            (7.0, 0, 0, 0),
        ]
        .into_iter()
        .chain([(500.0, 1000, 2000, 1000), (500.0, 0, 2000, 1000), (0.1, 0, 5000, 1)])
        {
            let rate = Rate { per_second, first: Duration::from_micros(first_us) };
            let end = begin + Duration::from_millis(length_ms);
            assert_eq!(rate.due_before(begin, end), count, "{rate:?}, {length_ms} ms");
        }
    }
}
