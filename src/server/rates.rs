//! Bytes a second, smoothed over some seconds, and the totals of the last two minutes: a task looks at the counters of all
//! sessions every second in which something happened, so that the first answer to an operator is as good as the tenth. A server
//! of which no socket moves sleeps.

use crate::{
    control::protocol::PastSecond,
    runtime::{
        clock::{coarse_ms, sleep_until},
        lock::Lock,
        shard::active,
        task::{Task, spawn},
    },
    server::supervisors::Supervisors,
    session::record::Record,
    text::units::per_second,
};
use std::{
    collections::VecDeque,
    iter::repeat_n,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look at some 10,000 sessions takes some milliseconds of the threads that serve them: to list them, to sum them up, and
/// to compare, each about as long. The looks of a server that has many more come more rarely, so that all of that takes at most
/// one part in 200 of its time...
const REST: u32 = 3 * 200;
/// ...but not so rarely that a rate is old.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// A rate follows a change by two thirds within this time: slow enough to be read, and fast enough to be true.
const SMOOTHED_OVER: Duration = Duration::from_secs(3);
/// What has not moved for this long has no rate, however slowly the last one fades.
const STILL_AFTER: Duration = Duration::from_secs(5);
/// Two minutes.
const PAST: usize = 120;

/// Bytes, or bytes a second, from the client and from the upstream.
type Bytes = (u64, u64);

/// The looks of a server. Dropping it ends them.
pub struct Rates {
    last: Arc<Lock<Arc<Look>>>,
    _task: Task<()>,
}

/// What was found at one look, and before.
#[derive(Default)]
pub struct Look {
    at: Option<Instant>,
    /// Sessions that have moved a byte, in the order of their numbers.
    sessions: Vec<Seen>,
    totals: Bytes,
    /// The newest last.
    pub past: VecDeque<PastSecond>,
}

/// A session at a look.
#[derive(Clone, Copy)]
struct Seen {
    session: u64,
    bytes: Bytes,
    rates: Bytes,
}

impl Rates {
    pub fn start(supervisor: Supervisors) -> Self {
        let last = Arc::new(Lock::new(Arc::new(Look::default())));
        Rates { last: last.clone(), _task: spawn(run(supervisor, last)) }
    }

    /// What the last look found.
    pub fn last(&self) -> Arc<Look> {
        let last = self.last.lock().clone();
        let age = last.at.map_or(Duration::ZERO, |at| at.elapsed());
        if age > 2 * LOOK_AT_LEAST_EVERY { Arc::new(last.rest(age)) } else { last }
    }
}

/// Looks until the supervisor has ended.
async fn run(supervisor: Supervisors, last: Arc<Lock<Arc<Look>>>) {
    let mut look = Arc::new(Look::default());
    loop {
        let rests = Instant::now();
        active().await;
        let begin = Instant::now();
        if begin - rests >= LOOK_EVERY {
            look = Arc::new(look.rest(begin - rests));
        }
        let records = supervisor.list().await;
        let Some(tally) = supervisor.tally().await else { return };
        let totals = (tally.client_bytes, tally.upstream_bytes);
        // The waits before it are no work.
        let compares = Instant::now();
        look = Arc::new(look.next(begin, &records, totals, tally.active()));
        let rest = compares.elapsed() * REST;
        // A record that is kept here would keep its session's taps open.
        drop(records);
        *last.lock() = look.clone();
        sleep_until(begin + rest.clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY)).await;
    }
}

impl Look {
    /// As this one, `quiet` later: nothing has happened meanwhile.
    fn rest(&self, quiet: Duration) -> Self {
        let live = self.past.back().map_or(0, |last| last.live);
        let seconds = usize::try_from(quiet.as_secs()).unwrap_or(PAST).min(PAST);
        let mut past = self.past.clone();
        past.extend(repeat_n(PastSecond { live, client_rate: 0, upstream_rate: 0 }, seconds));
        past.drain(..past.len().saturating_sub(PAST));
        Look { at: self.at.map(|at| at + quiet), sessions: self.sessions.clone(), totals: self.totals, past }
    }

    /// The look after this one; the `records` are in the order of their numbers.
    fn next(&self, at: Instant, records: &[Arc<Record>], totals: Bytes, live: u64) -> Self {
        let span = self.at.map(|before| at.duration_since(before));
        // No larger than it has to be: it is there as long as the sessions are.
        let mut sessions = Vec::with_capacity(records.len());
        let moved = records.iter().filter(|record| bytes(record) != (0, 0));
        sessions.extend(moved.map(|record| self.seen(record, span)));
        let mut past = self.past.clone();
        if let Some(span) = span {
            let (client_rate, upstream_rate) =
                each(totals, self.totals, |now, before| per_second(now.saturating_sub(before), span));
            if past.len() == PAST {
                past.pop_front();
            }
            past.push_back(PastSecond { live, client_rate, upstream_rate });
        }
        Look { at: Some(at), sessions, totals, past }
    }

    fn seen(&self, record: &Record, span: Option<Duration>) -> Seen {
        let now = bytes(record);
        let rates = match (self.find(record), span) {
            (Some(before), Some(span)) => {
                let latest =
                    each(now, before.bytes, |now, before| per_second(now.saturating_sub(before), span));
                each(before.rates, latest, |old, new| smoothed(old, new, span))
            }
            _ => since_begin(record),
        };
        Seen { session: record.id, bytes: now, rates }
    }

    fn find(&self, record: &Record) -> Option<&Seen> {
        let at = self.sessions.binary_search_by_key(&record.id, |seen| seen.session);
        self.sessions.get(at.ok()?)
    }

    /// What a session moves a second.
    pub fn of(&self, record: &Record) -> Bytes {
        let still = Duration::from_millis(coarse_ms().saturating_sub(record.moved_ms()));
        match self.find(record) {
            _ if still >= STILL_AFTER => (0, 0),
            Some(seen) => seen.rates,
            None => since_begin(record),
        }
    }

    /// What all sessions move a second, of the last seconds.
    pub fn of_all(&self) -> Bytes {
        let count = usize::try_from(SMOOTHED_OVER.as_secs()).unwrap_or(1).min(self.past.len());
        let last = self.past.iter().rev().take(count);
        let sum = last.fold((0_u64, 0_u64), |sum, one| {
            (sum.0.saturating_add(one.client_rate), sum.1.saturating_add(one.upstream_rate))
        });
        let count = count.max(1) as u64;
        (sum.0 / count, sum.1 / count)
    }
}

/// Of a session that no look has seen before. One that has just begun has no second yet.
fn since_begin(record: &Record) -> Bytes {
    let (client, upstream) = bytes(record);
    let age = record.age().max(LOOK_EVERY);
    (per_second(client, age), per_second(upstream, age))
}

/// The rate after `span` in which it was `latest`.
fn smoothed(before: u64, latest: u64, span: Duration) -> u64 {
    let weight = 1.0 - (-span.as_secs_f64() / SMOOTHED_OVER.as_secs_f64()).exp();
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (before, latest) = (before as f64, latest as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two rates")]
    let rate = (before + (latest - before) * weight).round() as u64;
    rate
}

fn each(left: Bytes, right: Bytes, of: impl Fn(u64, u64) -> u64) -> Bytes {
    (of(left.0, right.0), of(left.1, right.1))
}

fn bytes(record: &Record) -> Bytes {
    (record.client_bytes(), record.upstream_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_follows_the_flow_within_some_seconds_and_does_not_jump() {
        let record = Record::sample(1, Target::Origin);
        let (begin, mut look) = (Instant::now(), Look::default());
        let mut rates = Vec::new();
        for second in 0..20 {
            record.from_client.add_received(if second < 10 { 1000 } else { 0 });
            look = look.next(begin + second * SECOND, std::slice::from_ref(&record), (0, 0), 1);
            rates.push(look.of(&record).0);
        }
        assert!(rates[..10].iter().all(|rate| (900..=1000).contains(rate)), "{rates:?}");
        assert!(rates[10] > 600 && rates[13] < 300 && rates[19] < 50, "{rates:?}");
        assert!(rates[10..].is_sorted_by(|before, after| before >= after), "{rates:?}");
    }

    #[test]
    fn each_session_has_its_own_rate_and_one_that_moved_nothing_has_none() {
        let records = [1, 4, 9].map(|id| Record::sample(id, Target::Origin));
        let look = (0..9).fold(Look::default(), |look, second| {
            records[0].from_client.add_received(1000);
            records[2].from_client.add_received(3000);
            look.next(Instant::now() + second * SECOND, &records, (0, 0), 3)
        });
        let [one, silent, other] = records.map(|record| look.of(&record).0);
        assert!((900..=1000).contains(&one) && (2700..=3000).contains(&other), "{one} {other}");
        assert_eq!(silent, 0);
    }

    #[test]
    fn two_minutes_of_totals_are_kept() {
        let (begin, mut look) = (Instant::now(), Look::default());
        for second in 0..300_u32 {
            let total = 10 * u64::from(second);
            look = look.next(begin + second * SECOND, &[], (total, 2 * total), second.into());
        }
        assert_eq!(look.past.len(), PAST);
        assert_eq!(look.past.back(), Some(&PastSecond { live: 299, client_rate: 10, upstream_rate: 20 }));
        assert_eq!(look.of_all(), (10, 20));
        assert_eq!(Look::default().of_all(), (0, 0));
    }

    #[test]
    fn a_time_in_which_nothing_happens_is_part_of_the_past() {
        let begin = Instant::now();
        let look = Look::default().next(begin, &[], (0, 0), 7).next(begin + SECOND, &[], (10, 20), 7);
        let later = look.rest(3 * SECOND);
        let rates: Vec<_> = later.past.iter().map(|second| (second.live, second.client_rate)).collect();
        assert_eq!(rates, [(7, 10), (7, 0), (7, 0), (7, 0)]);
        let after = later.next(begin + 5 * SECOND, &[], (40, 20), 7);
        assert_eq!(after.past.back().unwrap().client_rate, 30);
        assert_eq!(look.rest(1000 * SECOND).past.len(), PAST);
    }

    #[test]
    fn a_session_that_no_look_has_seen_has_moved_its_bytes_since_its_begin() {
        let record = Record::sample(1, Target::Origin);
        record.from_upstream.add_received(500);
        assert_eq!(Look::default().of(&record), (0, 500));
    }
}
