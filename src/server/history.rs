//! What a server remembers of its sessions: the last ones that ended. Their sums are in the books.

use crate::report::verdict::Ended;
use std::{collections::VecDeque, sync::Arc};

/// The last sessions that ended, the newest last.
pub struct History {
    /// How many it remembers at most, some 400 bytes each.
    keep: usize,
    last: VecDeque<Arc<Ended>>,
}

impl History {
    /// A history of at most `keep` sessions.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        History { keep, last: VecDeque::new() }
    }

    /// Notes that a session ended.
    pub fn note_end(&mut self, ended: Ended) {
        if self.keep == 0 {
            return;
        }
        if self.last.len() == self.keep {
            self.last.pop_front();
        }
        self.last.push_back(Arc::new(ended));
    }

    /// The newest `count`, the newest last.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Arc<Ended>> {
        self.last.iter().skip(self.last.len().saturating_sub(count)).cloned().collect()
    }

    /// The session with this number, where it is remembered.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Ended>> {
        self.last.iter().rev().find(|ended| ended.close.session == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{record::Record, target::Target};

    #[test]
    fn the_oldest_is_forgotten() {
        let mut history = History::new(2);
        for id in 1..=3 {
            history.note_end(Ended::now(&Record::sample(id, Target::Echo)));
        }
        let ids = |ended: Vec<Arc<Ended>>| ended.iter().map(|one| one.close.session).collect::<Vec<_>>();
        assert_eq!(ids(history.newest(9)), [2, 3]);
        assert_eq!(ids(history.newest(1)), [3]);
        assert!(history.find(1).is_none() && history.find(2).is_some());
    }
}
