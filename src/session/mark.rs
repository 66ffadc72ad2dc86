//! What happens to a session beside its bytes: marks in the stream that a tap shows, each with its time.

use crate::{
    net::address::EscapedAddress,
    runtime::clock::now_ns,
    session::{
        event::Side,
        record::{Dial, Record},
    },
    text::units::duration,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// The session began.
    Open,
    /// Dialling is over; what there is about it says how it went.
    Dial,
    /// The first byte of a side came.
    FirstByte,
    /// A side ended its stream.
    Fin,
    /// A side reset its connection, or vanished.
    Reset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    pub at: SystemTime,
    /// Since the session began.
    pub after: Duration,
    pub from: Option<Side>,
    pub about: Option<String>,
}

impl Mark {
    /// What happens now to a session that began at `began_ns`.
    pub fn now(kind: MarkKind, from: Option<Side>, began_ns: u64) -> Self {
        Mark::at(kind, from, began_ns, now_ns())
    }

    /// What happened at `at_ns`, both by [`now_ns`].
    fn at(kind: MarkKind, from: Option<Side>, began_ns: u64, at_ns: u64) -> Self {
        let ago = Duration::from_nanos(now_ns().saturating_sub(at_ns));
        let at = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        let after = Duration::from_nanos(at_ns.saturating_sub(began_ns));
        Mark { kind, at, after, from, about: None }
    }

    pub fn about(self, about: String) -> Self {
        Mark { about: Some(about), ..self }
    }

    /// That dialling was over at `at_ns`, for a session that began at `began_ns`: its client may have had to say something
    /// first, and several servers may have been tried.
    pub fn dial(dial: &Dial, began_ns: u64, at_ns: u64) -> Self {
        let mark = Mark::at(MarkKind::Dial, Some(Side::Upstream), began_ns, at_ns);
        let resolved = dial.resolve.map_or(String::new(), |time| format!(", resolved in {}", duration(time)));
        mark.about(match (&dial.upstream, dial.connect) {
            (Some(upstream), Some(connect)) => {
                format!("{} in {}{resolved}", EscapedAddress(upstream), duration(connect))
            }
            _ => "it failed".to_owned(),
        })
    }

    /// What has happened to a session so far, in the order in which it did.
    pub fn past(record: &Record) -> Vec<Self> {
        let began_ns = record.began_ns();
        let at = |kind, from, ns| Mark::at(kind, from, began_ns, ns);
        let about = EscapedAddress(&record.client).to_string();
        let mut marks = vec![at(MarkKind::Open, Some(Side::Client), began_ns).about(about)];
        let dialled = record.dial().zip(record.dialled_ns());
        marks.extend(dialled.map(|(dial, at_ns)| Mark::dial(dial, began_ns, at_ns)));
        for (direction, side) in record.sides() {
            marks.extend(direction.first_ns().map(|ns| at(MarkKind::FirstByte, Some(side), ns)));
            marks.extend(direction.end_ns().map(|ns| at(MarkKind::Fin, Some(side), ns)));
        }
        marks.sort_by_key(|mark| mark.after);
        marks
    }

    /// Whether both tell the same: of one kind and side there is one in a session.
    pub fn is_same(&self, other: &Mark) -> bool {
        (self.kind, self.from) == (other.kind, other.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::target::Target;

    #[test]
    fn the_past_of_a_session_is_told_in_its_order() {
        let record = Record::sample(1, Target::upstream("127.0.0.1:1"));
        let upstream = Some(crate::net::address::Address::Tcp("127.0.0.1:9".parse().unwrap()));
        let connect = Some(Duration::from_nanos(1));
        record.set_dial(Dial { upstream, local: None, resolve: None, connect });
        record.from_client.add_received(1);
        record.from_upstream.add_received(1);
        record.from_upstream.set_ended();
        let past: Vec<_> = Mark::past(&record).into_iter().map(|mark| (mark.kind, mark.from)).collect();
        let [client, upstream] = [Some(Side::Client), Some(Side::Upstream)];
        assert_eq!(
            past,
            [
                (MarkKind::Open, client),
                (MarkKind::Dial, upstream),
                (MarkKind::FirstByte, client),
                (MarkKind::FirstByte, upstream),
                (MarkKind::Fin, upstream),
            ]
        );
        let dial = Mark::past(&record).remove(1);
        assert_eq!(dial.about.as_deref(), Some("127.0.0.1:9 in 1 ns"));
        // What came before the dialling is part of its time, though no part of the connecting.
        assert_eq!(dial.after.as_nanos(), u128::from(record.dialled_ns().unwrap() - record.began_ns()));
    }
}
