//! Bytes a second, from two looks at the counters of the same sessions.

use crate::{session::record::Record, text::units::per_second};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks at the counters, for a rate.
const WINDOW: Duration = Duration::from_millis(250);

/// What a session had moved at the last look, from the client and from the upstream.
type Bytes = (u64, u64);

/// The last look at some sessions.
pub struct Rates {
    at: Instant,
    bytes: HashMap<u64, Bytes>,
}

impl Rates {
    pub fn look(records: &[Arc<Record>]) -> Self {
        let bytes = records.iter().map(|record| (record.id, bytes(record))).collect();
        Rates { at: Instant::now(), bytes }
    }

    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// What a session moved a second since this look, or since its begin if it is younger.
    pub fn of(&self, record: &Record) -> Bytes {
        let (before, since) = match self.bytes.get(&record.id) {
            Some(before) => (*before, self.age()),
            None => ((0, 0), record.age()),
        };
        let now = bytes(record);
        (per_second(now.0.saturating_sub(before.0), since), per_second(now.1.saturating_sub(before.1), since))
    }
}

/// The looks of one operator. Rates count from one that is a while ago, however soon after each other they are asked for.
#[derive(Clone, Default)]
pub struct Looks {
    last: Option<Arc<Rates>>,
    /// A window older than the last.
    before: Option<Arc<Rates>>,
}

impl Looks {
    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The newest look that is old enough.
    pub fn base(&self) -> Option<Arc<Rates>> {
        self.last.as_ref().filter(|last| last.age() >= WINDOW).or(self.before.as_ref()).cloned()
    }

    /// How long it takes until there is a base, after the first look.
    pub fn wait(&self) -> Duration {
        let age = self.base().or_else(|| self.last.clone()).map_or(Duration::ZERO, |look| look.age());
        WINDOW.saturating_sub(age)
    }

    /// Notes a look; one that comes soon after the last is not needed.
    pub fn note(&mut self, look: Rates) {
        match self.last.take() {
            Some(last) if last.age() < WINDOW => self.last = Some(last),
            last => (self.before, self.last) = (last, Some(Arc::new(look))),
        }
    }
}

fn bytes(record: &Record) -> Bytes {
    (record.client_bytes(), record.upstream_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_window_old_and_not_much_older() {
        let look = |ms| Rates { at: Instant::now() - Duration::from_millis(ms), bytes: HashMap::new() };
        let age = |looks: &Looks| looks.base().map(|base| base.age().as_millis() / 100);
        let mut looks = Looks::default();
        assert!(looks.is_empty() && looks.base().is_none());
        looks.note(look(0));
        assert!(looks.base().is_none() && looks.wait() > Duration::from_millis(100));
        looks = Looks { last: Some(look(600).into()), before: Some(look(1100).into()) };
        assert_eq!(age(&looks), Some(6));
        looks.note(look(0));
        assert_eq!((age(&looks), looks.wait()), (Some(6), Duration::ZERO));
        looks.note(look(0));
        assert_eq!(age(&looks), Some(6));
    }
}
