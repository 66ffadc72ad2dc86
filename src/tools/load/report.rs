//! What a run came to: operations, bytes, latencies and failures of its window.

use crate::tools::{failure::Fault, latencies::Latencies, load::failure::Failure};
use std::{collections::BTreeMap, time::Duration};

/// How many a second; none if there was no time.
pub(super) fn a_second(amount: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { amount as f64 / time.as_secs_f64() }
}

#[derive(Clone, Debug, Default)]
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
    pub failures: BTreeMap<Failure, u64>,
    /// HTTP answers by status code, of all operations that count.
    pub statuses: BTreeMap<u16, u64>,
    /// Clients that made their first steps.
    pub ready: usize,
    /// What stopped the run from making as many connections as planned.
    pub limit: Option<Failure>,
    /// Operations that were under way when the run was asked to stop, and were given up.
    pub given_up: u64,
    /// The first failure to reach the target, with its reason in words.
    pub unreached: Option<(Fault, String)>,
    pub window: Duration,
    /// How long each operation took, from its begin.
    pub service: Latencies,
    /// The same since each was due; none without a schedule.
    pub response: Option<Latencies>,
    /// How long each handshake of TLS took, over the whole run. It is a part of connecting.
    pub handshakes: Latencies,
    /// How many of them went on with an earlier session.
    pub resumed: u64,
}

impl Report {
    /// Counts how long an operation took, and how long since it was due.
    pub fn add(&mut self, service: Duration, response: Option<Duration>) {
        self.service.add(service);
        if let Some(response) = response {
            self.response.get_or_insert_default().add(response);
        }
    }

    pub fn add_handshake(&mut self, took: Duration, resumed: bool) {
        self.handshakes.add(took);
        self.resumed += u64::from(resumed);
    }

    /// Adds a report of clients that ran at the same time.
    pub fn merge(&mut self, other: &Report) {
        self.operations += other.operations;
        self.late += other.late;
        self.unsent += other.unsent;
        self.sent += other.sent;
        self.received += other.received;
        add_counts(&mut self.failures, &other.failures);
        add_counts(&mut self.statuses, &other.statuses);
        self.ready += other.ready;
        self.limit = self.limit.or(other.limit);
        self.given_up += other.given_up;
        self.unreached = self.unreached.take().or_else(|| other.unreached.clone());
        self.handshakes += &other.handshakes;
        self.resumed += other.resumed;
        self.window = self.window.max(other.window);
        self.service += &other.service;
        if let Some(response) = &other.response {
            *self.response.get_or_insert_default() += response;
        }
    }

    pub fn rate(&self) -> f64 {
        a_second(self.operations, self.window)
    }

    /// Answers that say the request failed (RFC 9110 §15.5, §15.6).
    pub fn refusals(&self) -> u64 {
        self.statuses.range(400..).map(|(_, count)| count).sum()
    }

    pub fn errors(&self) -> u64 {
        self.failures.values().sum::<u64>() + self.refusals()
    }
}

pub fn add_counts<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (kind, count) in others {
        *counts.entry(*kind).or_default() += count;
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
pub(super) fn bars(latencies: &Latencies) -> Vec<Bar> {
    if latencies.is_empty() {
        return Vec::new();
    }
    let (least, most) = (latencies.min().max(1) as f64, latencies.max() as f64);
    let factor = (most / least).powf(1.0 / BARS as f64);
    let mut bounds: Vec<u64> = (1..=BARS).map(|bar| round_up(least * factor.powf(bar as f64))).collect();
    bounds.dedup();
    let mut bars: Vec<Bar> =
        bounds.iter().map(|bound| Bar { bound: Duration::from_nanos(*bound), count: 0 }).collect();
    for value in latencies.iter_recorded() {
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
        other.failures.insert(Failure::Reset, 1);
        one.merge(&other);
        assert_eq!((one.operations, one.sent, one.received), (100, 6400, 5760));
        assert!((one.rate() - 50.0).abs() < 1e-9);
        assert_eq!(one.service.part(0.5).as_millis(), 1);
        assert!(one.service.part(0.95) >= Duration::from_secs(3590));
        assert!(one.response.as_ref().unwrap().part(0.5) >= Duration::from_secs(9));
        assert_eq!((one.statuses[&200], one.refusals(), one.errors()), (4, 7, 8));
        assert_eq!(one.failures, [(Failure::Reset, 1)].into());
    }

    #[test]
    fn every_latency_is_in_one_bar_and_bounds_rise() {
        for (from, to, step) in [(1_u64, 1, 1), (400_000, 600_000, 1000), (1, 40_000_000_000, 99_999_999)] {
            let mut latencies = Latencies::default();
            let values: Vec<u64> = (from..=to).step_by(step).collect();
            values.iter().for_each(|ns| latencies.add(Duration::from_nanos(*ns)));
            let bars = bars(&latencies);
            assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), values.len() as u64);
            assert!(bars.len() <= BARS && bars.is_sorted_by(|one, next| one.bound < next.bound), "{bars:?}");
        }
        assert_eq!(bars(&Latencies::default()), []);
    }
}
