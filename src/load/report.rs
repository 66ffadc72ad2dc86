//! What a run came to: operations, bytes, latencies and failures of its window.

use crate::load::failure::Failures;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies are kept to three digits (0.1 %), from a nanosecond to a minute; longer ones count as a minute.
const DIGITS: u8 = 3;
const LONGEST_NS: u64 = 60_000_000_000;

/// The result of a run; several can be merged.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations that ended in the window.
    pub operations: u64,
    /// Bytes of patterns sent in the window.
    pub sent: u64,
    /// Bytes of patterns received in the window.
    pub received: u64,
    /// Connections that failed, over the whole run.
    pub failures: Failures,
    /// How long the window was.
    pub window: Duration,
    latency_ns: Histogram<u64>,
}

impl Report {
    /// Nothing yet.
    ///
    /// # Panics
    /// Never: the bounds are right.
    #[must_use]
    pub fn new() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are in order");
        let (failures, window) = (Failures::default(), Duration::ZERO);
        Report { operations: 0, sent: 0, received: 0, failures, window, latency_ns }
    }

    /// Counts an operation.
    pub fn add(&mut self, latency: Duration) {
        self.operations += 1;
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// Adds a report of clients that ran at the same time.
    pub fn merge(&mut self, other: &Report) {
        self.operations += other.operations;
        self.sent += other.sent;
        self.received += other.received;
        self.failures.merge(&other.failures);
        self.window = self.window.max(other.window);
        self.latency_ns += &other.latency_ns;
    }

    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.window.is_zero() { 0.0 } else { self.operations as f64 / self.window.as_secs_f64() }
    }

    /// The latency that this part of the operations (0.5 is the median) did not exceed.
    #[must_use]
    pub fn latency(&self, part: f64) -> Duration {
        Duration::from_nanos(self.latency_ns.value_at_quantile(part))
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::failure::Failure;

    #[test]
    fn merged_reports_count_as_one() {
        let mut one = Report::new();
        let mut other = Report::new();
        one.window = Duration::from_secs(2);
        other.window = Duration::from_secs(2);
        (one.sent, one.received, other.sent) = (5000, 5760, 1400);
        (0..90).for_each(|_| one.add(Duration::from_millis(1)));
        (0..10).for_each(|_| other.add(Duration::from_secs(3600)));
        other.failures.add(Failure::Reset);
        one.merge(&other);
        assert_eq!((one.operations, one.sent, one.received), (100, 6400, 5760));
        assert!((one.rate() - 50.0).abs() < 1e-9);
        assert_eq!(one.latency(0.5).as_millis(), 1);
        assert!(one.latency(0.95) >= Duration::from_secs(59));
        assert_eq!(one.failures.iter().collect::<Vec<_>>(), [(Failure::Reset, 1)]);
    }
}
