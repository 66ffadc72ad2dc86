//! What a run came to: operations, bytes, latencies and failures of its window.

use crate::tools::load::failure::{Failure, Failures};
use hdrhistogram::Histogram;
use std::{collections::BTreeMap, time::Duration};

/// Latencies are kept to three digits (0.1 %), from a nanosecond to an hour; longer ones count as an hour.
const DIGITS: u8 = 3;
const LONGEST_NS: u64 = 3_600_000_000_000;

/// No latencies yet.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are in order")
}

/// The latency that this part of the operations (0.5 is the median) did not exceed.
pub(super) fn part(latency_ns: &Histogram<u64>, part: f64) -> Duration {
    Duration::from_nanos(latency_ns.value_at_quantile(part))
}

/// Counts a latency.
pub(super) fn note(latency_ns: &mut Histogram<u64>, latency: Duration) {
    latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS));
}

/// The result of a run; several can be merged.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations that ended in the window.
    pub operations: u64,
    /// Operations that began in the window and ended after it.
    pub late: u64,
    /// Operations of the schedule that were due in the window and never begun.
    pub unsent: u64,
    /// Bytes sent in the window.
    pub sent: u64,
    /// Bytes received in the window.
    pub received: u64,
    /// Connections that failed, over the whole run.
    pub failures: Failures,
    /// HTTP answers by status code, of all operations that count.
    pub statuses: BTreeMap<u16, u64>,
    /// Clients that made their first steps.
    pub ready: usize,
    /// What ended the making of connections before there were as many as the plan says.
    pub limit: Option<Failure>,
    /// Operations that were under way when the run was asked to stop, and were given up.
    pub given_up: u64,
    /// The first failure in words, where connecting failed.
    pub not_connected: Option<String>,
    /// How long the window was.
    pub window: Duration,
    /// How long each operation took, from its begin.
    pub service_ns: Histogram<u64>,
    /// The same from when each was due, where there is a schedule.
    pub response_ns: Option<Histogram<u64>>,
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Report {
            operations: 0,
            late: 0,
            unsent: 0,
            sent: 0,
            received: 0,
            failures: Failures::default(),
            statuses: BTreeMap::new(),
            ready: 0,
            limit: None,
            given_up: 0,
            not_connected: None,
            window: Duration::ZERO,
            service_ns: latencies(),
            response_ns: None,
        }
    }

    /// Counts how long an operation took, and how long since it was due.
    pub fn add(&mut self, service: Duration, response: Option<Duration>) {
        note(&mut self.service_ns, service);
        if let Some(response) = response {
            note(self.response_ns.get_or_insert_with(latencies), response);
        }
    }

    /// Adds a report of clients that ran at the same time.
    pub fn merge(&mut self, other: &Report) {
        self.operations += other.operations;
        self.late += other.late;
        self.unsent += other.unsent;
        self.sent += other.sent;
        self.received += other.received;
        self.failures.merge(&other.failures);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.ready += other.ready;
        self.limit = self.limit.or(other.limit);
        self.given_up += other.given_up;
        self.not_connected = self.not_connected.take().or_else(|| other.not_connected.clone());
        self.window = self.window.max(other.window);
        self.service_ns += &other.service_ns;
        if let Some(response_ns) = &other.response_ns {
            *self.response_ns.get_or_insert_with(latencies) += response_ns;
        }
    }

    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.window.is_zero() { 0.0 } else { self.operations as f64 / self.window.as_secs_f64() }
    }

    /// The latency that this part of the operations (0.5 is the median) did not exceed, from their begin.
    #[must_use]
    pub fn latency(&self, part: f64) -> Duration {
        self::part(&self.service_ns, part)
    }

    /// Answers that say the request failed (RFC 9110 §15.5, §15.6).
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.statuses.range(400..).map(|(_, count)| count).sum()
    }

    /// All that went wrong.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.failures.total() + self.refusals()
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

    #[test]
    fn merged_reports_count_as_one() {
        let mut one = Report::new();
        let mut other = Report::new();
        one.window = Duration::from_secs(2);
        other.window = Duration::from_secs(2);
        (one.sent, one.received, other.sent) = (5000, 5760, 1400);
        (one.operations, other.operations) = (90, 10);
        (0..90).for_each(|_| one.add(Duration::from_millis(1), None));
        (0..10).for_each(|_| other.add(Duration::from_secs(9000), Some(Duration::from_secs(9))));
        (one.statuses, other.statuses) = ([(200, 3)].into(), [(200, 1), (404, 2), (503, 5)].into());
        other.failures.add(Failure::Reset);
        one.merge(&other);
        assert_eq!((one.operations, one.sent, one.received), (100, 6400, 5760));
        assert!((one.rate() - 50.0).abs() < 1e-9);
        assert_eq!(one.latency(0.5).as_millis(), 1);
        assert!(one.latency(0.95) >= Duration::from_secs(3590));
        assert!(part(one.response_ns.as_ref().unwrap(), 0.5) >= Duration::from_secs(9));
        assert_eq!((one.statuses[&200], one.refusals(), one.errors()), (4, 7, 8));
        assert_eq!(one.failures.iter().collect::<Vec<_>>(), [(Failure::Reset, 1)]);
    }
}
