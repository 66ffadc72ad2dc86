//! What is remembered of a session that has ended, and one sentence about it: which side ended it, how, what was left.

use crate::{
    relay::direction::Direction,
    runtime::clock::now_ns,
    session::{
        cause::Cause,
        event::{Close, Mode, Side},
        record::Record,
    },
    text::units::duration,
};
use std::time::{Duration, SystemTime};

/// A session that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub at: SystemTime,
    pub close: Close,
    /// How long before the session's end the client ended its stream; none if it did not.
    pub client_fin: Option<Duration>,
    /// The same of the upstream.
    pub upstream_fin: Option<Duration>,
    /// Bytes from the client that its receiver's kernel did not acknowledge. If the receiver reset, there may be more.
    pub client_undelivered: u64,
    /// The same from the upstream.
    pub upstream_undelivered: u64,
}

impl Ended {
    /// The session of `record` ends now.
    pub fn now(record: &Record) -> Self {
        let now_ns = now_ns();
        let [client_undelivered, upstream_undelivered] = record.undelivered();
        let fin = |direction: &Direction| {
            direction.end_ns().map(|ended_ns| Duration::from_nanos(now_ns.saturating_sub(ended_ns)))
        };
        Ended {
            at: SystemTime::now(),
            close: record.close(),
            client_fin: fin(&record.from_client),
            upstream_fin: fin(&record.from_upstream),
            client_undelivered,
            upstream_undelivered,
        }
    }

    /// One sentence: which side ended the session first, how, and what was not delivered.
    pub fn verdict(&self) -> String {
        format!("{}; {}", self.end(), self.left())
    }

    fn end(&self) -> String {
        match self.close.cause {
            Cause::Done => self.finished(),
            Cause::ClientReset => format!("client reset {}", self.when(Side::Client)),
            Cause::UpstreamReset => format!("upstream reset {}", self.when(Side::Upstream)),
            Cause::ResolveFailed => "the upstream's name has no address".into(),
            Cause::ConnectRefused => "the upstream refused the connection".into(),
            Cause::ConnectUnreachable => "the upstream could not be reached".into(),
            Cause::ConnectTimeout => "the upstream was not reached in time".into(),
            Cause::Resources => "no descriptor or memory was free to reach the upstream".into(),
            Cause::IdleTimeout => "no byte moved for as long as the idle timeout".into(),
            Cause::HalfCloseTimeout => {
                let (first, other) = match self.close.first_closer {
                    Some(Side::Upstream) => ("upstream", "client"),
                    _ => ("client", "upstream"),
                };
                format!("{other} did not finish in time after the {first}'s FIN")
            }
            Cause::StallTimeout => "a side took no bytes for as long as the stall timeout".into(),
            Cause::Lifetime => "it reached the longest life of a session".into(),
            Cause::Cut => format!("an operator cut it after {}", duration(self.close.duration)),
            Cause::Drain => "it was alive at the end of the drain".into(),
            Cause::RefusedLimit => self.why("its source had too many sessions"),
            Cause::RefusedAccess => "its source may not connect here".into(),
            Cause::ProxyHeader => self.why("its PROXY header was malformed, missing or late"),
            Cause::HandshakeTimeout => self.why("its handshake was not through in time"),
            Cause::TlsClient => "TLS with the client failed".into(),
            Cause::TlsUpstream => "TLS with the upstream failed".into(),
            Cause::ClientTruncated => "the client's TLS ended without close_notify, perhaps too early".into(),
            Cause::UpstreamTruncated => {
                "the upstream's TLS ended without close_notify, perhaps too early".into()
            }
            Cause::NoRoute => "no route leads anywhere for it".into(),
            Cause::NoServer => "none of the upstream's servers could be reached".into(),
            // As `slow (reset_peer) reset both peers`.
            Cause::Fault => match &self.close.error {
                Some(did) => format!("the fault {did} after {}", duration(self.close.duration)),
                None => "a fault that was set on it ended it".into(),
            },
            Cause::Internal => "a mistake of this program ended it".into(),
        }
    }

    /// The reason as it was noted, else this one.
    fn why(&self, else_so: &str) -> String {
        self.close.error.clone().unwrap_or_else(|| else_so.to_owned())
    }

    fn finished(&self) -> String {
        let (first, other, fins) = match self.close.first_closer {
            Some(Side::Client) => ("client", "upstream", self.client_fin.zip(self.upstream_fin)),
            Some(Side::Upstream) => ("upstream", "client", self.upstream_fin.zip(self.client_fin)),
            None => return "both sides finished".into(),
        };
        match fins {
            Some((own, others)) => {
                format!("{first} finished first, {other} {} later", duration(own.saturating_sub(others)))
            }
            None if self.close.mode == Mode::Echo && first == "client" => {
                "client finished, and was answered to the end".into()
            }
            None => format!("{first} finished"),
        }
    }

    /// When `side` reset: the time since the other side's FIN, else since its own, else since the session began.
    fn when(&self, side: Side) -> String {
        let (own, others, other) = match side {
            Side::Client => (self.client_fin, self.upstream_fin, "upstream"),
            Side::Upstream => (self.upstream_fin, self.client_fin, "client"),
        };
        match (others, own) {
            (Some(ago), _) => format!("{} after the {other}'s FIN", duration(ago)),
            (None, Some(ago)) => format!("{} after its own FIN", duration(ago)),
            (None, None) => format!("after {}", duration(self.close.duration)),
        }
    }

    fn left(&self) -> String {
        // A reset destroys what our kernel still held for that side.
        let for_resetter = match (self.close.cause, self.close.mode) {
            (Cause::UpstreamReset, _) | (Cause::ClientReset, Mode::Echo) => {
                Some((self.close.client_bytes, self.client_undelivered))
            }
            (Cause::ClientReset, _) => Some((self.close.upstream_bytes, self.upstream_undelivered)),
            _ => None,
        };
        let least = if for_resetter.is_some_and(|(_, left)| left > 0) { "at least " } else { "" };
        match (self.client_undelivered, self.upstream_undelivered) {
            (0, 0) if self.close.client_bytes == 0 && self.close.upstream_bytes == 0 => {
                "there was nothing to deliver".into()
            }
            (0, 0) if for_resetter.is_some_and(|(bytes, _)| bytes > 0) => {
                "all bytes were passed on, but what it had not taken is lost".into()
            }
            (0, 0) => "all bytes were passed on".into(),
            (client, 0) => format!("{least}{client} bytes from the client were not delivered"),
            (0, upstream) => format!("{least}{upstream} bytes from the upstream were not delivered"),
            (client, upstream) => format!(
                "{least}{client} bytes from the client and {upstream} from the upstream were not delivered"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        faults::{fault::FaultPlan, kind::FaultKind, stage::FaultEnd},
        outcome::Outcome,
        target::Target,
    };
    use strum::VariantArray;

    fn ended(mode: Mode, cause: Cause) -> Ended {
        let record = Record::sample(1, Target::Echo);
        record.from_client.add_received(812);
        let mut ended = Ended::now(&record);
        (ended.close.mode, ended.close.cause) = (mode, cause);
        ended
    }

    #[test]
    fn a_reset_is_placed_after_the_other_sides_fin_with_what_was_left() {
        let mut ended = ended(Mode::Proxy, Cause::UpstreamReset);
        ended.client_fin = Some(Duration::from_millis(1200));
        let expected = "upstream reset 1.2 s after the client's FIN; at least 812 bytes from the client were not delivered";
        assert_eq!(ended.verdict(), expected);
    }

    #[test]
    fn what_was_sent_to_a_side_that_reset_is_not_said_to_have_arrived() {
        for (mode, cause, doubt) in [
            (Mode::Proxy, Cause::UpstreamReset, true),
            (Mode::Proxy, Cause::ClientReset, false),
            (Mode::Echo, Cause::ClientReset, true),
            (Mode::Proxy, Cause::Cut, false),
        ] {
            let mut ended = ended(mode, cause);
            (ended.client_undelivered, ended.close.client_bytes) = (0, 812);
            let verdict = ended.verdict();
            assert!(verdict.contains("; all bytes were passed on"), "{verdict}");
            assert_eq!(verdict.ends_with(", but what it had not taken is lost"), doubt, "{verdict}");
        }
    }

    #[test]
    fn a_clean_end_says_who_was_first() {
        let mut ended = ended(Mode::Proxy, Cause::Done);
        ended.close.first_closer = Some(Side::Upstream);
        (ended.client_fin, ended.upstream_fin) = (Some(Duration::ZERO), Some(Duration::from_millis(30)));
        ended.client_undelivered = 0;
        ended.close.client_bytes = 812;
        assert_eq!(ended.verdict(), "upstream finished first, client 30 ms later; all bytes were passed on");
    }

    #[test]
    fn a_refusal_names_the_source_and_its_limit() {
        let mut ended = ended(Mode::Echo, Cause::RefusedLimit);
        ended.close.error = Some("2001:db8::/64 has 3 sessions already".into());
        assert!(ended.verdict().starts_with("2001:db8::/64 has 3 sessions already; "), "{}", ended.verdict());
    }

    #[test]
    fn a_fault_that_ended_a_session_is_named() {
        let record = Record::sample(1, Target::Echo);
        record.from_client.add_received(812);
        let plan = FaultPlan { name: "slow".into(), ..FaultPlan::sample(FaultKind::ResetPeer, [0; 3]) };
        record.conclude(Outcome::Fault { plan: plan.into(), end: FaultEnd::Reset });
        let mut ended = Ended::now(&record);
        ended.close.duration = Duration::from_secs(2);
        let wanted = "the fault slow (reset_peer) reset both peers after 2 s; 812 bytes from the client were not delivered";
        assert_eq!(ended.verdict(), wanted);
    }

    #[test]
    fn every_cause_has_a_sentence() {
        for &cause in Cause::VARIANTS {
            let verdict = ended(Mode::Echo, cause).verdict();
            assert!(verdict.contains("812 bytes from the client") && verdict.len() > 40, "{verdict}");
        }
    }
}
