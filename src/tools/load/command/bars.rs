//! A distribution of latencies in a few rows, whose bounds rise by equal factors and are round.

use hdrhistogram::Histogram;
use std::time::Duration;

/// More do not tell more.
const ROWS: usize = 16;

/// Latencies up to a bound and above the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub bound: Duration,
    pub count: u64,
}

/// The rows of a distribution; none where it is empty.
pub fn rows(latency_ns: &Histogram<u64>) -> Vec<Row> {
    if latency_ns.is_empty() {
        return Vec::new();
    }
    let (least, most) = (latency_ns.min().max(1) as f64, latency_ns.max() as f64);
    let factor = (most / least).powf(1.0 / ROWS as f64);
    let mut bounds: Vec<u64> = (1..=ROWS).map(|row| round_up(least * factor.powf(row as f64))).collect();
    bounds.dedup();
    let mut rows: Vec<Row> =
        bounds.iter().map(|bound| Row { bound: Duration::from_nanos(*bound), count: 0 }).collect();
    for value in latency_ns.iter_recorded() {
        let at = bounds.partition_point(|bound| *bound < value.value_iterated_to());
        // The last bound may lie a rounding below the greatest value.
        let at = at.min(rows.len() - 1);
        rows[at].count += value.count_at_value();
    }
    rows
}

/// To two digits, upwards.
fn round_up(value: f64) -> u64 {
    let unit = 10_f64.powf((value.log10().floor() - 1.0).max(0.0));
    ((value / unit).ceil() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::load::report::{latencies, note};

    #[test]
    fn every_latency_is_in_one_row_and_bounds_rise() {
        for (from, to, step) in [(1_u64, 1, 1), (400_000, 600_000, 1000), (1, 40_000_000_000, 99_999_999)] {
            let mut histogram = latencies();
            let values: Vec<u64> = (from..=to).step_by(step).collect();
            values.iter().for_each(|ns| note(&mut histogram, Duration::from_nanos(*ns)));
            let rows = rows(&histogram);
            assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), values.len() as u64);
            assert!(rows.len() <= ROWS && rows.is_sorted_by(|one, next| one.bound < next.bound), "{rows:?}");
        }
        assert_eq!(rows(&latencies()), []);
    }
}
