//! A list of live sessions: those that were asked for, in the order that was asked for.

use crate::{
    control::protocol::{Choice, Last, Sort},
    net::address::EscapedAddress,
    server::control::{answer, connection::Connection, rates::Rates},
    session::record::Record,
};
use std::{io, sync::Arc};

impl Connection {
    /// Tells the sessions of `choice`, and how many there are without its limit.
    pub(super) async fn list(&mut self, choice: &Choice) -> io::Result<Last> {
        self.look().await;
        let draining = self.draining().await;
        let records = self.facts.supervisor.list().await;
        let look = Rates::look(&records);
        let looks = std::mem::take(&mut self.looks);
        let rates = looks.base().unwrap_or(&look);
        let chosen = choice.of(records, rates, draining);
        let rows = chosen.iter().skip(choice.skip).take(choice.limit.unwrap_or(usize::MAX));
        for record in rows {
            self.item(&answer::session(record, rates, draining)).await?;
        }
        self.looks = looks;
        self.looks.note(look);
        Ok(Last::Done { ok: true, matching: Some(chosen.len()) })
    }
}

impl Choice {
    /// The sessions that are meant, in order; those that are equal in it in the order of their numbers, as they came.
    fn of(&self, mut records: Vec<Arc<Record>>, rates: &Rates, draining: bool) -> Vec<Arc<Record>> {
        records.retain(|record| self.means(record, draining));
        match self.sort {
            Sort::Age => {}
            Sort::Bytes => {
                largest_first(&mut records, |record| (record.client_bytes(), record.upstream_bytes()))
            }
            Sort::Rate => largest_first(&mut records, |record| rates.of(record)),
            Sort::Idle => records.sort_by_key(|record| answer::moved_ms(record)),
        }
        if self.reverse {
            records.reverse();
        }
        records
    }

    fn means(&self, record: &Record, draining: bool) -> bool {
        let network =
            self.from.is_none_or(|network| record.client.ip().is_some_and(|ip| network.contains(ip)));
        network && (self.matching.is_empty() || self.matches(record, draining))
    }

    /// Whether the text is in what a list shows of the session.
    fn matches(&self, record: &Record, draining: bool) -> bool {
        let text = self.matching.as_str();
        let upstream = record.dial().and_then(|dial| dial.upstream.as_ref());
        record.id.to_string().contains(text)
            || answer::phase(record, draining).contains(text)
            || [Some(&record.client), upstream, Some(&record.listening.address)]
                .into_iter()
                .flatten()
                .any(|address| EscapedAddress(address).to_string().contains(text))
    }
}

fn largest_first(records: &mut [Arc<Record>], both: impl Fn(&Record) -> (u64, u64)) {
    records.sort_by_cached_key(|record| {
        let (client, upstream) = both(record);
        u64::MAX - client.saturating_add(upstream)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    fn record(id: u64, client: &str, bytes: usize) -> Arc<Record> {
        let record = Record::sample_from(id, Target::Echo, client);
        record.from_client.add_received(bytes);
        record
    }

    fn chosen(choice: &Choice) -> Vec<u64> {
        let records =
            vec![record(1, "10.0.0.1:1", 5), record(2, "10.0.0.2:77", 9), record(3, "192.0.2.1:3", 5)];
        let rates = Rates::look(&records);
        choice.of(records, &rates, false).iter().map(|record| record.id).collect()
    }

    #[test]
    fn sessions_are_ordered_and_equal_ones_stay_in_order() {
        assert_eq!(chosen(&Choice::default()), [1, 2, 3]);
        assert_eq!(chosen(&Choice { sort: Sort::Bytes, ..Choice::default() }), [2, 1, 3]);
        assert_eq!(chosen(&Choice { reverse: true, ..Choice::default() }), [3, 2, 1]);
    }

    #[test]
    fn sessions_are_chosen_by_network_and_by_text() {
        let from = |text: &str| Choice { from: Some(text.parse().unwrap()), ..Choice::default() };
        let matching = |text: &str| Choice { matching: text.into(), ..Choice::default() };
        assert_eq!(chosen(&from("10.0.0.0/8")), [1, 2]);
        assert_eq!(chosen(&matching(":77")), [2]);
        assert_eq!(chosen(&matching("open")), [1, 2, 3]);
        assert!(chosen(&matching("nobody")).is_empty());
    }

    #[test]
    fn a_request_names_what_it_wants_and_no_more() {
        let read = |text: &str| serde_json::from_str::<Choice>(text);
        assert_eq!(read("{}").unwrap(), Choice::default());
        let choice = read(r#"{"sort":"idle","from":"10.0.0.0/8","skip":5,"limit":2}"#).unwrap();
        assert_eq!((choice.sort, choice.skip, choice.limit), (Sort::Idle, 5, Some(2)));
        let written = serde_json::to_string(&choice).unwrap();
        assert_eq!(read(&written).unwrap(), choice);
        assert!(read(r#"{"from":"10.0.0.0/33"}"#).unwrap_err().to_string().contains("from 0 to 32"));
    }
}
