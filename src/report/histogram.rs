//! Counts of durations in fixed buckets (OpenMetrics 1.0 §5.3, "Histogram").

use std::time::Duration;

/// Bounds for one exchange over a network, in seconds: from half a millisecond, a round trip inside one room, to the default
/// `--connect-timeout`.
pub const NETWORK: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds for the life of a session, in seconds: from one request to a day.
pub const LIFE: &[f64] =
    &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One count for each bound: durations up to it, and above the bound before. The last count is above all bounds.
    counts: Box<[u64]>,
    sum: Duration,
}

impl Histogram {
    /// An empty histogram with these upper bounds, in rising order.
    pub fn new(bounds: &'static [f64]) -> Self {
        Histogram { bounds, counts: vec![0; bounds.len() + 1].into(), sum: Duration::ZERO }
    }

    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[self.bounds.partition_point(|bound| *bound < seconds)] += 1;
        self.sum += duration;
    }

    /// Adds what another with the same bounds has observed.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// In seconds.
    pub fn sum(&self) -> f64 {
        self.sum.as_secs_f64()
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each upper bound with the count of its bucket; the last bound is infinite.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::new(&[0.001, 1.0]);
        for ms in [0, 1, 2, 1000, 1001] {
            histogram.observe(Duration::from_millis(ms));
        }
        assert_eq!(histogram.buckets(), [(0.001, 2), (1.0, 2), (f64::INFINITY, 1)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 2.004));
    }
}
