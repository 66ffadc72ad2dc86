//! How a session does, in one word: what an operator looks for first.

use crate::{runtime::clock::coarse_ms, session::record::Record};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{Display, IntoStaticStr, VariantArray};

/// A receiver that takes nothing for this long, while bytes wait for it, has stalled. A round trip across the world and
/// back, a lost segment and its retransmission fit in.
pub const STALLED_AFTER: Duration = Duration::from_secs(3);
/// A session in which nothing moved for this long is idle.
pub const IDLE_AFTER: Duration = Duration::from_secs(10);

/// How a session does. The first that is true counts, in the order of [`Health::of`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, Display, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Health {
    /// Its client has not said yet what comes before its stream: a PROXY header, a ClientHello, a TLS handshake.
    Opening,
    /// Its upstream is being dialled.
    Dialling,
    /// Something moved not long ago.
    Live,
    /// Nothing has moved for [`IDLE_AFTER`], and nothing waits.
    Idle,
    /// One stream has ended, or both and the rest is being delivered.
    HalfClosed,
    /// Bytes wait for a side that has taken none for [`STALLED_AFTER`].
    Stalled,
    /// What waits for [`STALLED_AFTER`] is held at a gate: no side is to blame.
    Held,
}

impl Health {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// How urgent it is: what an operator has to see first has the largest number. Live and idle sessions are equal, so
    /// that a list in this order does not change with every byte.
    pub fn urgency(self) -> u8 {
        match self {
            Health::Live | Health::Idle => 0,
            Health::Opening => 1,
            Health::Dialling => 2,
            Health::HalfClosed => 3,
            Health::Held => 4,
            Health::Stalled => 5,
        }
    }

    /// How the session of `record` does now.
    pub fn of(record: &Record) -> Self {
        let now_ms = coarse_ms();
        let is_past =
            |since_ms: u64, limit: Duration| Duration::from_millis(now_ms.saturating_sub(since_ms)) >= limit;
        if record.opening() {
            return Health::Opening;
        }
        if record.dialling() {
            return Health::Dialling;
        }
        if record.is_held() && is_past(record.moved_ms(), STALLED_AFTER) {
            return Health::Held;
        }
        if record.stalled_since_ms().is_some_and(|since_ms| is_past(since_ms, STALLED_AFTER)) {
            return Health::Stalled;
        }
        if record.from_client.ended() || record.from_upstream.ended() {
            return Health::HalfClosed;
        }
        if is_past(record.moved_ms(), IDLE_AFTER) { Health::Idle } else { Health::Live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{record::Dial, target::Target};
    use std::thread::sleep;

    #[test]
    fn a_session_is_known_by_what_is_worst_about_it() {
        let record = Record::sample(1, Target::upstream("127.0.0.1:1"));
        assert_eq!(Health::of(&record), Health::Dialling);
        record.set_dial(Dial { upstream: None, local: None, resolve: None, connect: None });
        assert_eq!(Health::of(&record), Health::Live);
        record.from_client.add_received(1);
        record.from_client.set_ended();
        assert_eq!(Health::of(&record), Health::HalfClosed);
        sleep(STALLED_AFTER + Duration::from_millis(50));
        assert_eq!(Health::of(&record), Health::Stalled);
        record.from_client.add_delivered(1);
        assert_eq!(Health::of(&record), Health::HalfClosed);
    }

    #[test]
    fn what_is_wrong_is_more_urgent_than_what_is_well() {
        let mut order = Health::VARIANTS.to_vec();
        order.sort_by_key(|health| u8::MAX - health.urgency());
        let worst = [Health::Stalled, Health::Held, Health::HalfClosed, Health::Dialling, Health::Opening];
        assert_eq!(order[..5], worst);
    }
}
