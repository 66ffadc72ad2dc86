//! How many runs went: counts by cause, bytes, latencies, and the summary of them.

use crate::{
    text::units::{self, duration},
    tools::{
        failure::{Failure, Fault},
        latencies::Latencies,
    },
};
use std::{collections::BTreeMap, time::Duration};

#[derive(Default)]
pub struct Tally {
    ok: u64,
    bytes: u64,
    latencies: Latencies,
    /// How often each fault came, and the text of its first.
    failed: BTreeMap<Fault, (u64, String)>,
}

impl Tally {
    /// Counts a run: the bytes that it received, or why it failed, and how long it took.
    pub fn add(&mut self, end: Result<u64, Failure>, took: Duration) {
        match end {
            Ok(bytes) => {
                self.ok += 1;
                self.bytes += bytes;
                self.latencies.add(took);
            }
            Err(failure) => {
                let (count, _) = self.failed.entry(failure.fault).or_insert((0, failure.text));
                *count += 1;
            }
        }
    }

    fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    /// One short line on how far `total` runs are.
    pub fn progress(&self, total: u64) -> String {
        format!("{} of {total} done, {} failed", self.ok + self.failures(), self.failures())
    }

    /// What most of the failed runs failed of.
    pub fn worst(&self) -> Option<Failure> {
        let (fault, (count, text)) = self.failed.iter().max_by_key(|(_, (count, _))| *count)?;
        let all = self.ok + self.failures();
        Some(Failure::new(*fault, format!("{count} of {all} runs failed: {text}")))
    }

    pub fn summary(&self, clients: usize, took: Duration) -> String {
        let (ok, failed) = (self.ok, self.failures());
        let (all, seconds) = (ok + failed, took.as_secs_f64().max(f64::MIN_POSITIVE));
        let took = duration(took);
        let mut text =
            format!("{all} runs by {clients} clients at once in {took}: {ok} ok, {failed} failed\n");
        for (fault, (count, first)) in &self.failed {
            text += &format!("  failed    {count} {fault}, the first: {first}\n");
        }
        if ok > 0 {
            let (received, rate) =
                (units::bytes(self.bytes), units::rate((self.bytes as f64 / seconds) as u64));
            let latency = |part| duration(self.latencies.part(part));
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(latency);
            text += &format!("  rate      {:.1} ok/s\n  received  {received}: {rate}\n", ok as f64 / seconds);
            text += &format!("  latency   p50 {p50}, p99 {p99}, max {max}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_by_cause_and_the_most_frequent_is_the_worst() {
        let mut tally = Tally::default();
        for took_ms in 1..=100 {
            tally.add(Ok(10), Duration::from_millis(took_ms));
        }
        for (fault, text) in [(Fault::Reset, "a"), (Fault::Timeout, "b"), (Fault::Reset, "c")] {
            tally.add(Err(Failure::new(fault, text)), Duration::ZERO);
        }
        let worst = tally.worst().unwrap();
        assert_eq!((worst.fault, worst.text.as_str()), (Fault::Reset, "2 of 103 runs failed: a"));
        assert_eq!(tally.progress(200), "103 of 200 done, 3 failed");
        assert_eq!(
            tally.summary(4, Duration::from_secs(2)),
            "103 runs by 4 clients at once in 2 s: 100 ok, 3 failed\n  \
             failed    1 timed out, the first: b\n  \
             failed    2 reset, the first: a\n  \
             rate      50.0 ok/s\n  \
             received  1000 B: 500 B/s\n  \
             latency   p50 50 ms, p99 99 ms, max 100 ms\n"
        );
    }

    #[test]
    fn runs_that_all_failed_have_no_latency() {
        let mut tally = Tally::default();
        tally.add(Err(Failure::new(Fault::Connect, "a")), Duration::from_secs(1));
        assert!(!tally.summary(1, Duration::from_secs(1)).contains("latency"));
        assert!(Tally::default().worst().is_none());
    }
}
