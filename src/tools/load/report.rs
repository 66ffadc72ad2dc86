//! What a run came to: operations, bytes, latencies and failures of its window.

use crate::tools::load::failure::{Failure, Failures};
use hdrhistogram::Histogram;
use std::{collections::BTreeMap, time::Duration};

/// Latencies are kept to three digits (0.1 %), from a nanosecond to an hour; longer ones count as an hour.
const DIGITS: u8 = 3;
const LONGEST_NS: u64 = 3_600_000_000_000;

pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are in order")
}

/// The latency that this part of the operations (0.5 is the median) did not exceed.
pub(super) fn part(latency_ns: &Histogram<u64>, part: f64) -> Duration {
    Duration::from_nanos(latency_ns.value_at_quantile(part))
}

pub(super) fn note(latency_ns: &mut Histogram<u64>, latency: Duration) {
    latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS));
}

/// How many a second; none if there was no time.
pub(super) fn a_second(amount: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { amount as f64 / time.as_secs_f64() }
}

#[derive(Clone, Debug)]
pub struct Report {
    /// Operations that ended in the window.
    pub operations: u64,
    /// Operations that began in the window and ended after it.
    pub late: u64,
    /// Operations of the schedule that were due in the window and never begun.
    pub unsent: u64,
    /// Bytes, in the window.
    pub sent: u64,
    pub received: u64,
    pub failures: Failures,
    /// HTTP answers by status code, of all operations that count.
    pub statuses: BTreeMap<u16, u64>,
    /// Clients that made their first steps.
    pub ready: usize,
    /// What stopped the run from making as many connections as planned.
    pub limit: Option<Failure>,
    /// Operations that were under way when the run was asked to stop, and were given up.
    pub given_up: u64,
    /// The first failure to connect, in words.
    pub not_connected: Option<String>,
    pub window: Duration,
    /// How long each operation took, from its begin.
    pub service_ns: Histogram<u64>,
    /// The same since each was due; none without a schedule.
    pub response_ns: Option<Histogram<u64>>,
}

impl Report {
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

    pub fn rate(&self) -> f64 {
        a_second(self.operations, self.window)
    }

    /// The latency that this part of the operations (0.5 is the median) did not exceed, from their begin.
    pub fn latency(&self, part: f64) -> Duration {
        self::part(&self.service_ns, part)
    }

    /// Answers that say the request failed (RFC 9110 §15.5, §15.6).
    pub fn refusals(&self) -> u64 {
        self.statuses.range(400..).map(|(_, count)| count).sum()
    }

    pub fn errors(&self) -> u64 {
        self.failures.total() + self.refusals()
    }
}

impl Default for Report {
    fn default() -> Self {
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
}

/// More do not tell more.
const BARS: usize = 16;

/// Latencies up to a bound and above the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub bound: Duration,
    pub count: u64,
}

/// A distribution of latencies in a few bars, whose bounds rise by equal factors and are round; none if it is empty.
pub(super) fn bars(latency_ns: &Histogram<u64>) -> Vec<Bar> {
    if latency_ns.is_empty() {
        return Vec::new();
    }
    let (least, most) = (latency_ns.min().max(1) as f64, latency_ns.max() as f64);
    let factor = (most / least).powf(1.0 / BARS as f64);
    let mut bounds: Vec<u64> = (1..=BARS).map(|bar| round_up(least * factor.powf(bar as f64))).collect();
    bounds.dedup();
    let mut bars: Vec<Bar> =
        bounds.iter().map(|bound| Bar { bound: Duration::from_nanos(*bound), count: 0 }).collect();
    for value in latency_ns.iter_recorded() {
        let at = bounds.partition_point(|bound| *bound < value.value_iterated_to());
        // The last bound may lie a rounding below the greatest value.
        let at = at.min(bars.len() - 1);
        bars[at].count += value.count_at_value();
    }
    bars
}

/// To two digits, upwards.
fn round_up(value: f64) -> u64 {
    let unit = 10_f64.powf((value.log10().floor() - 1.0).max(0.0));
    ((value / unit).ceil() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_reports_count_as_one() {
        let mut one = Report::default();
        let mut other = Report::default();
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

    #[test]
    fn every_latency_is_in_one_bar_and_bounds_rise() {
        for (from, to, step) in [(1_u64, 1, 1), (400_000, 600_000, 1000), (1, 40_000_000_000, 99_999_999)] {
            let mut histogram = latencies();
            let values: Vec<u64> = (from..=to).step_by(step).collect();
            values.iter().for_each(|ns| note(&mut histogram, Duration::from_nanos(*ns)));
            let bars = bars(&histogram);
            assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), values.len() as u64);
            assert!(bars.len() <= BARS && bars.is_sorted_by(|one, next| one.bound < next.bound), "{bars:?}");
        }
        assert_eq!(bars(&latencies()), []);
    }
}
