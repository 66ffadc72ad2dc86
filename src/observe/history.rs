//! What a server remembers of its sessions: totals since its start, and the last ones that ended.

use crate::observe::{cause::Cause, verdict::Ended};
use std::{collections::VecDeque, sync::Arc};

/// Sums since the start of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that began.
    pub opened: u64,
    /// Sessions that ended, by cause, in the order of [`Cause::ALL`].
    pub ended: [u64; Cause::ALL.len()],
    /// Bytes that clients sent.
    pub client_bytes: u64,
    /// Bytes that upstreams sent; in echo and origin mode, bytes sent back.
    pub upstream_bytes: u64,
}

/// Totals, and the last sessions that ended, the newest last.
pub struct History {
    /// How many it remembers at most, some 400 bytes each.
    keep: usize,
    last: VecDeque<Arc<Ended>>,
    totals: Totals,
}

impl History {
    /// A history of at most `keep` sessions.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        History { keep, last: VecDeque::new(), totals: Totals::default() }
    }

    /// Notes that a session began.
    pub fn note_begin(&mut self) {
        self.totals.opened += 1;
    }

    /// Notes that a session ended.
    pub fn note_end(&mut self, ended: Ended) {
        let totals = &mut self.totals;
        if let Some(place) = Cause::ALL.iter().position(|cause| *cause == ended.close.cause) {
            totals.ended[place] += 1;
        }
        totals.client_bytes += ended.close.client_bytes;
        totals.upstream_bytes += ended.close.upstream_bytes;
        if self.keep == 0 {
            return;
        }
        if self.last.len() == self.keep {
            self.last.pop_front();
        }
        self.last.push_back(Arc::new(ended));
    }

    /// Sums of the sessions that ended, and how many began.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
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
    use crate::{
        io::address::Address,
        observe::{event::Mode, record::Record},
    };

    #[test]
    fn the_oldest_is_forgotten_and_the_totals_stay() {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        let mut history = History::new(2);
        for id in 1..=3 {
            let record = Record::new(id, Mode::Echo, address.clone(), address.clone(), address.clone());
            record.from_client.add_received(10);
            record.from_client.set_ended();
            history.note_begin();
            history.note_end(Ended::now(&record));
        }
        let ids = |ended: Vec<Arc<Ended>>| ended.iter().map(|one| one.close.session).collect::<Vec<_>>();
        assert_eq!(ids(history.newest(9)), [2, 3]);
        assert_eq!(ids(history.newest(1)), [3]);
        assert!(history.find(1).is_none() && history.find(2).is_some());
        let totals = history.totals();
        assert_eq!((totals.opened, totals.ended[0], totals.client_bytes), (3, 3, 30));
    }
}
