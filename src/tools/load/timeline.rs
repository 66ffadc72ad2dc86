//! What happened in each second of the window, of all threads together.

use crate::{text::units::rounded, tools::latencies::Latencies};
use serde::{Serialize, Serializer};
use std::{collections::VecDeque, time::Duration};

/// Seconds that threads may lie apart; a thread that is further behind counts into the oldest that is open.
const OPEN_SECONDS_MAX: usize = 64;

/// Of a last second shorter than this, no rate is told.
pub(super) const SHORT_REST: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Second {
    /// The first is 1.
    #[serde(rename = "second")]
    pub number: u64,
    /// The last one of a run is shorter.
    #[serde(rename = "length_s", serialize_with = "seconds")]
    pub length: Duration,
    #[serde(rename = "requests")]
    pub operations: u64,
    /// What failed in it, answers of 400 and above included.
    #[serde(rename = "errors")]
    pub failures: u64,
    #[serde(rename = "sent_bytes")]
    pub sent: u64,
    #[serde(rename = "received_bytes")]
    pub received: u64,
    /// The median latency; zero if nothing ended.
    #[serde(rename = "p50_ms", serialize_with = "milliseconds")]
    pub p50: Duration,
    #[serde(rename = "p99_ms", serialize_with = "milliseconds")]
    pub p99: Duration,
    #[serde(rename = "max_ms", serialize_with = "milliseconds")]
    pub max: Duration,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(time.as_secs_f64(), 6))
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(time.as_nanos() as f64 / 1e6, 3))
}

/// One thread's part of a second.
#[derive(Default)]
pub struct Slice {
    /// Without its latencies.
    pub second: Second,
    /// With a schedule, from when each operation was due.
    pub latencies: Latencies,
}

#[derive(Default)]
pub struct Timeline {
    seconds: Vec<Second>,
    /// Those that a thread has still to bring its part of.
    open: VecDeque<Slice>,
    /// How many parts each thread has brought; none: it has brought its last.
    brought: Vec<Option<usize>>,
}

impl Timeline {
    pub fn new(threads: usize) -> Self {
        Timeline { seconds: Vec::new(), open: VecDeque::new(), brought: vec![Some(0); threads] }
    }

    /// Those of which every thread has brought its part.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Adds a thread's next second; whether one became whole.
    pub fn add(&mut self, thread: usize, slice: &Slice) -> bool {
        let brought = self.brought[thread].unwrap_or(self.seconds.len());
        self.brought[thread] = Some(brought + 1);
        let place = brought.saturating_sub(self.seconds.len());
        while self.open.len() <= place {
            self.open.push_back(Slice::default());
        }
        self.open[place].add(slice);
        self.close_whole()
    }

    /// A thread has brought its last; whether a second became whole by that.
    pub fn end(&mut self, thread: usize) -> bool {
        self.brought[thread] = None;
        self.close_whole()
    }

    fn close_whole(&mut self) -> bool {
        let before = self.seconds.len();
        let is_whole = |seconds: usize, brought: &[Option<usize>]| {
            brought.iter().flatten().all(|brought| *brought > seconds)
        };
        while !self.open.is_empty()
            && (is_whole(self.seconds.len(), &self.brought) || self.open.len() > OPEN_SECONDS_MAX)
        {
            self.close();
        }
        self.seconds.len() > before
    }

    /// Closes what is open: every thread has ended. A rest too short to have a rate of its own joins the second before it.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
        if self.seconds.len() > 1
            && let Some(rest) = self.seconds.pop_if(|last| last.length < SHORT_REST)
            && let Some(last) = self.seconds.last_mut()
        {
            last.count(&rest);
            last.length += rest.length;
            last.max = last.max.max(rest.max);
        }
    }

    fn close(&mut self) {
        if let Some(slice) = self.open.pop_front() {
            self.seconds.push(slice.whole(self.seconds.len() as u64 + 1));
        }
    }
}

impl Second {
    fn count(&mut self, other: &Second) {
        self.operations += other.operations;
        self.failures += other.failures;
        self.sent += other.sent;
        self.received += other.received;
    }
}

impl Slice {
    fn add(&mut self, other: &Slice) {
        self.second.count(&other.second);
        self.second.length = self.second.length.max(other.second.length);
        self.latencies += &other.latencies;
    }

    fn whole(&self, number: u64) -> Second {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| self.latencies.part(quantile));
        Second { number, p50, p99, max, ..self.second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(operations: u64, ms: u64, length: Duration) -> Slice {
        let second = Second { operations, length, ..Second::default() };
        let mut slice = Slice { second, ..Slice::default() };
        slice.latencies.add(Duration::from_millis(ms));
        slice
    }

    #[test]
    fn a_thread_that_has_ended_is_not_waited_for() {
        let second = Duration::from_secs(1);
        let mut timeline = Timeline::new(2);
        assert!(!timeline.add(0, &slice(1, 1, second)));
        assert!(!timeline.add(0, &slice(2, 1, second)));
        assert!(timeline.end(1));
        assert_eq!(timeline.seconds().len(), 2);
        assert!(timeline.add(0, &slice(3, 1, second)));
    }

    #[test]
    fn a_second_is_whole_when_every_thread_brought_its_part() {
        let second = Duration::from_secs(1);
        let mut timeline = Timeline::new(2);
        assert!(!timeline.add(0, &slice(10, 1, second)));
        assert!(!timeline.add(0, &slice(20, 2, second)));
        assert!(timeline.add(1, &slice(5, 30, second)));
        assert_eq!(timeline.seconds().len(), 1);
        assert!(!timeline.add(0, &slice(7, 40, Duration::from_millis(3))));
        timeline.finish();
        let seconds = timeline.seconds();
        assert_eq!(seconds.iter().map(|second| second.operations).collect::<Vec<_>>(), [15, 27]);
        assert_eq!(seconds.iter().map(|second| second.number).collect::<Vec<_>>(), [1, 2]);
        assert!(seconds[0].max >= Duration::from_millis(30) && seconds[1].max >= Duration::from_millis(40));
        assert_eq!(seconds[1].length, Duration::from_millis(1003));
    }
}
