//! Compares two observations of one check: the direct connection's, and the one through the proxy.

use crate::tools::audit::observation::{Beside, End, Observation, Seen};
use std::time::Duration;
use strum::{IntoStaticStr, VariantArray};

/// Less than Linux's shortest delay of an acknowledgement (`TCP_DELACK_MIN`, 40 ms), for which Nagle's algorithm waits, and
/// far more than a proxy takes.
const LATE: Duration = Duration::from_millis(20);
/// A busy machine slows the direct connection too.
const LATE_TIMES: u32 = 4;

/// The best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Verdict {
    /// Neither end can tell the proxy from a direct connection.
    Same,
    /// Something to know that is not judged.
    Noted,
    /// The direct connection did not come to its end: there is nothing to compare with.
    Unknown,
    /// An end can tell.
    Differs,
    /// Bytes that arrive directly did not arrive, or arrived as others.
    #[strum(serialize = "lost data")]
    LostData,
    /// What was cut off looks complete.
    Lies,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether nothing speaks against the proxy.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Same | Verdict::Noted)
    }
}

/// Compares what was seen through a proxy with what was seen directly. The worst that is true counts.
pub fn judge(direct: &Observation, through: &Observation) -> Verdict {
    let ends = [(direct.client, through.client), (direct.origin, through.origin)];
    let failed = |end| matches!(end, End::Stuck | End::NeverReached);
    if ends.iter().any(|(direct, _)| failed(direct.end) || direct.wrong_at.is_some()) {
        return Verdict::Unknown;
    }
    let of_ends = ends.iter().map(|(direct, through)| judge_end(direct, through));
    let beside = judge_beside(direct.beside.as_ref(), through.beside.as_ref());
    of_ends.chain([beside]).max().unwrap_or(Verdict::Same)
}

fn judge_end(direct: &Seen, through: &Seen) -> Verdict {
    if direct.end.is_abort() && through.end == End::Fin {
        return Verdict::Lies;
    }
    if through.missing() > direct.missing() || through.wrong_at.is_some() {
        return Verdict::LostData;
    }
    // A proxy has taken the client's connection before it can know that the origin refuses: RST is all it has left.
    let refused = direct.end == End::Refused && through.end == End::Reset;
    if direct.end == through.end || refused { Verdict::Same } else { Verdict::Differs }
}

fn judge_beside(direct: Option<&Beside>, through: Option<&Beside>) -> Verdict {
    let same = match (direct, through) {
        (Some(Beside::HeldBack { held: direct, .. }), Some(Beside::HeldBack { held: through, .. })) => {
            direct == through
        }
        (Some(Beside::Delay { three_quarters, .. }), Some(Beside::Delay { quarter, message, .. })) => {
            // A proxy may be far away: then whole messages take long too.
            *quarter <= (*three_quarters).max(*message) * LATE_TIMES + LATE
        }
        (Some(Beside::Header(None)), Some(Beside::Header(Some(_)))) => return Verdict::Noted,
        (direct, through) => direct == through,
    };
    if same { Verdict::Same } else { Verdict::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(received: u64, sent: u64, end: End) -> Seen {
        Seen { received, sent, wrong_at: None, end }
    }

    fn of_client(client: Seen) -> Observation {
        Observation { client, ..Observation::default() }
    }

    fn of_origin(origin: Seen) -> Observation {
        Observation { origin, ..Observation::default() }
    }

    fn with(beside: Beside) -> Observation {
        Observation { beside: Some(beside), ..Observation::default() }
    }

    #[test]
    fn each_end_is_compared_and_the_worst_counts() {
        let whole = seen(9, 9, End::Fin);
        for (direct, through, verdict) in [
            (whole, whole, Verdict::Same),
            // A stalled reader's sender gets as far as the buffers on the way reach.
            (whole, seen(20, 20, End::Fin), Verdict::Same),
            (whole, seen(9, 9, End::Reset), Verdict::Differs),
            (whole, seen(9, 9, End::Stuck), Verdict::Differs),
            (whole, seen(8, 9, End::Fin), Verdict::LostData),
            (whole, seen(8, 9, End::Reset), Verdict::LostData),
            (whole, Seen { wrong_at: Some(3), ..whole }, Verdict::LostData),
            (seen(9, 9, End::Reset), whole, Verdict::Lies),
            (seen(9, 9, End::Reset), seen(8, 9, End::Fin), Verdict::Lies),
            (seen(9, 9, End::Reset), seen(9, 9, End::Reset), Verdict::Same),
            (seen(0, 0, End::Refused), seen(0, 0, End::Reset), Verdict::Same),
            (seen(0, 0, End::Refused), seen(0, 0, End::Refused), Verdict::Same),
            (seen(0, 0, End::Refused), seen(0, 0, End::Fin), Verdict::Lies),
            // A TLS client that knows its rules takes neither for a clean end.
            (seen(0, 0, End::Reset), seen(0, 0, End::Truncated), Verdict::Differs),
            (whole, seen(9, 9, End::Truncated), Verdict::Differs),
            (seen(0, 0, End::Refused), seen(0, 0, End::Stuck), Verdict::Differs),
            (seen(0, 0, End::Fin), seen(0, 0, End::NeverReached), Verdict::Differs),
            (seen(0, 0, End::Unwatched), seen(0, 0, End::Reset), Verdict::Differs),
        ] {
            assert_eq!(judge(&of_client(direct), &of_client(through)), verdict, "{direct:?} {through:?}");
            assert_eq!(judge(&of_origin(direct), &of_origin(through)), verdict, "{direct:?} {through:?}");
            let both = Observation { client: seen(1, 1, End::Fin), origin: through, beside: None };
            let direct = Observation { client: seen(1, 1, End::Reset), origin: direct, beside: None };
            assert_eq!(judge(&direct, &both), Verdict::Lies);
        }
    }

    #[test]
    fn a_direct_connection_that_fails_is_no_reference() {
        for end in [End::Stuck, End::NeverReached] {
            let failed = of_client(seen(0, 0, end));
            assert_eq!(judge(&failed, &failed), Verdict::Unknown);
        }
        let wrong = of_origin(Seen { wrong_at: Some(0), ..seen(9, 9, End::Fin) });
        assert_eq!(judge(&wrong, &wrong), Verdict::Unknown);
    }

    #[test]
    fn who_is_not_held_back_differs_and_how_far_it_came_does_not_matter() {
        let held = |held, after| with(Beside::HeldBack { held, after });
        assert_eq!(judge(&held(true, 1), &held(true, 7)), Verdict::Same);
        assert_eq!(judge(&held(true, 1), &held(false, 7)), Verdict::Differs);
        assert_eq!(judge(&held(false, 7), &held(false, 7)), Verdict::Same);
    }

    #[test]
    fn single_bytes_may_take_long_where_they_do_so_directly_or_whole_messages_do() {
        let delay = |low, high| {
            let [message, quarter, three_quarters] = [0, low, high].map(Duration::from_millis);
            with(Beside::Delay { message, quarter, three_quarters })
        };
        let far = |message, byte| {
            let [message, byte] = [message, byte].map(Duration::from_millis);
            with(Beside::Delay { message, quarter: byte, three_quarters: byte })
        };
        assert_eq!(judge(&delay(0, 0), &far(30, 31)), Verdict::Same);
        assert_eq!(judge(&delay(0, 0), &far(0, 31)), Verdict::Differs);
        assert_eq!(judge(&delay(0, 0), &delay(1, 90)), Verdict::Same);
        assert_eq!(judge(&delay(0, 0), &delay(40, 44)), Verdict::Differs);
        assert_eq!(judge(&delay(5, 30), &delay(60, 90)), Verdict::Same);
    }

    #[test]
    fn a_header_is_noted_and_a_crowd_must_be_whole() {
        let header = with(Beside::Header(Some("version 1".into())));
        assert_eq!(judge(&with(Beside::Header(None)), &header), Verdict::Noted);
        let crowd = |whole| with(Beside::Whole { whole, of: 9 });
        assert_eq!(judge(&crowd(9), &crowd(9)), Verdict::Same);
        assert_eq!(judge(&crowd(9), &crowd(8)), Verdict::Differs);
        // The check was given up before it could tell.
        assert_eq!(judge(&crowd(9), &Observation::default()), Verdict::Differs);
    }

    #[test]
    fn the_order_of_verdicts_is_that_of_their_weight() {
        assert!(Verdict::VARIANTS.is_sorted());
        assert!(Verdict::Same.is_good() && Verdict::Noted.is_good() && !Verdict::Unknown.is_good());
    }
}
