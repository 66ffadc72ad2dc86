//! How long operations took, to three digits (0.1 %), from a nanosecond to an hour; longer ones count as an hour.

use hdrhistogram::Histogram;
use std::{
    ops::{AddAssign, Deref},
    time::Duration,
};

const DIGITS: u8 = 3;
const LONGEST_NS: u64 = 3_600_000_000_000;

/// In nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// The latency that this part of the operations (0.5 is the median) did not exceed.
    pub fn part(&self, part: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(part))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are in order"))
    }
}

impl Deref for Latencies {
    type Target = Histogram<u64>;

    fn deref(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl AddAssign<&Latencies> for Latencies {
    fn add_assign(&mut self, other: &Latencies) {
        self.0 += &other.0;
    }
}
