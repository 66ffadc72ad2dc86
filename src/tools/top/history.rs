//! The past minute or two as the charts show it: bytes of both directions and live sessions, one number a look.

use crate::{control::protocol::ServerStats, text::units::per_second};
use std::{collections::VecDeque, time::Duration};

/// The widest chart that is drawn.
const SAMPLES: usize = 256;
/// Looks that come sooner after each other, because a key was pressed, tell no rate that can be compared.
const SPAN_MIN: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct History {
    /// Bytes a second both ways, the newest last.
    pub throughput: VecDeque<u64>,
    pub sessions: VecDeque<u64>,
    pub client_rate: u64,
    pub upstream_rate: u64,
    last: Option<ServerStats>,
}

impl History {
    pub fn note(&mut self, stats: &ServerStats) {
        let Some(last) = &self.last else {
            self.last = Some(stats.clone());
            return;
        };
        let span = Duration::from_millis(stats.uptime_ms.saturating_sub(last.uptime_ms));
        if span < SPAN_MIN {
            return;
        }
        self.client_rate = per_second(stats.client_bytes.saturating_sub(last.client_bytes), span);
        self.upstream_rate = per_second(stats.upstream_bytes.saturating_sub(last.upstream_bytes), span);
        push(&mut self.throughput, self.client_rate.saturating_add(self.upstream_rate));
        push(&mut self.sessions, stats.live);
        self.last = Some(stats.clone());
    }
}

fn push(samples: &mut VecDeque<u64>, sample: u64) {
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_between_looks_that_are_some_time_apart() {
        let mut history = History::default();
        let stats = |uptime_ms, client_bytes| ServerStats {
            uptime_ms,
            client_bytes,
            upstream_bytes: 2 * client_bytes,
            live: 7,
            ..ServerStats::default()
        };
        history.note(&stats(1000, 100));
        assert!(history.throughput.is_empty());
        history.note(&stats(1500, 600));
        history.note(&stats(1510, 9999));
        history.note(&stats(2500, 700));
        assert_eq!(history.throughput, [3000, 300]);
        assert_eq!((history.client_rate, history.upstream_rate), (100, 200));
        assert_eq!(history.sessions, [7, 7]);
    }

    #[test]
    fn the_past_is_bounded() {
        let mut history = History::default();
        for second in 0..2 * SAMPLES as u64 {
            history.note(&ServerStats { uptime_ms: 1000 * second, ..ServerStats::default() });
        }
        assert_eq!(history.throughput.len(), SAMPLES);
    }
}
