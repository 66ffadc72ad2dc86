//! Bytes a second, from two looks at the counters of the same sessions.

use crate::observe::record::Record;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a session had moved at the last look, from the client and from the upstream.
type Bytes = (u64, u64);

/// The last look at some sessions.
pub struct Rates {
    at: Instant,
    bytes: HashMap<u64, Bytes>,
}

impl Rates {
    /// Looks at these sessions now.
    #[must_use]
    pub fn look(records: &[Arc<Record>]) -> Self {
        let bytes = records.iter().map(|record| (record.id, bytes(record))).collect();
        Rates { at: Instant::now(), bytes }
    }

    /// How long ago that was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// What a session moved a second since this look, or since its begin where it is younger.
    #[must_use]
    pub fn of(&self, record: &Record) -> Bytes {
        let (before, since) = match self.bytes.get(&record.id) {
            Some(before) => (*before, self.age()),
            None => ((0, 0), record.began.elapsed()),
        };
        let now = bytes(record);
        (per_second(now.0.saturating_sub(before.0), since), per_second(now.1.saturating_sub(before.1), since))
    }
}

fn bytes(record: &Record) -> Bytes {
    (record.client_bytes(), record.upstream_bytes())
}

fn per_second(bytes: u64, span: Duration) -> u64 {
    const MICROS_PER_SECOND: u128 = 1_000_000;
    let rate = u128::from(bytes) * MICROS_PER_SECOND / span.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bytes_by_time() {
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
        assert_eq!(per_second(0, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
