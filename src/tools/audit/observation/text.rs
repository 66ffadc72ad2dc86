//! Observations in words, one line each.

use crate::tools::audit::observation::{Beside, End, Observation, Seen};
use std::{fmt, time::Duration};

impl End {
    fn words(self) -> &'static str {
        match self {
            End::Unwatched => "",
            End::Fin => "FIN",
            End::Reset => "RST",
            End::Refused => "refused",
            End::Stuck => "stuck",
            End::NeverReached => "never reached",
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = [("client", self.client), ("origin", self.origin)];
        let mut parts: Vec<String> = ends
            .into_iter()
            .filter(|(_, seen)| seen.end != End::Unwatched || seen.sent + seen.received > 0)
            .map(|(name, seen)| format!("{name} {seen}"))
            .collect();
        parts.extend(self.beside.as_ref().map(Beside::to_string));
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.end, End::Refused | End::NeverReached) && self.received == 0 {
            return f.write_str(self.end.words());
        }
        if self.missing() > 0 {
            write!(f, "{} of {}", Amount(self.received), Amount(self.sent))?;
        } else if self.received == 0 {
            f.write_str("nothing")?;
        } else {
            write!(f, "{}", Amount(self.received))?;
        }
        if let Some(at) = self.wrong_at {
            write!(f, " wrong from {at}")?;
        }
        let end = self.end.words();
        if end.is_empty() { Ok(()) } else { write!(f, ", {end}") }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Beside::HeldBack { held: true, after } => write!(f, "held back after {}", Amount(*after)),
            Beside::HeldBack { held: false, after } => write!(f, "not held back for {}", Amount(*after)),
            Beside::Delay { message, quarter, three_quarters } => {
                let ms = |time: &Duration| time.as_secs_f64() * 1e3;
                let (low, high) = (ms(quarter), ms(three_quarters));
                write!(f, "{low:.1} to {high:.1} ms a byte, {:.1} ms a message", ms(message))
            }
            Beside::Whole { whole, of } => write!(f, "{whole} of {of} whole"),
            Beside::Header(None) => f.write_str("no header"),
            Beside::Header(Some(header)) => f.write_str(header),
        }
    }
}

/// Bytes in the largest unit that leaves a digit before the point.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        let (unit, name) = match self.0 {
            0..KIB => return write!(f, "{} B", self.0),
            KIB..MIB => (KIB, "KiB"),
            _ => (MIB, "MiB"),
        };
        match self.0 % unit * 10 / unit {
            0 if self.0.is_multiple_of(unit) => write!(f, "{} {name}", self.0 / unit),
            tenth => write!(f, "{}.{tenth} {name}", self.0 / unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_reads_as_one_line() {
        let seen = |received, sent, wrong_at, end| Seen { received, sent, wrong_at, end };
        let text = |client, origin, beside| Observation { client, origin, beside }.to_string();
        let nobody = Seen::default();
        let client = seen(1 << 18, 1 << 18, None, End::Fin);
        assert_eq!(
            text(client, seen(0, 0, None, End::Reset), None),
            "client 256 KiB, FIN; origin nothing, RST"
        );
        let part = seen(1_700_000, 3 << 20, Some(7), End::Stuck);
        assert_eq!(text(part, nobody, None), "client 1.6 MiB of 3 MiB wrong from 7, stuck");
        assert_eq!(text(seen(0, 9, None, End::Refused), nobody, None), "client refused");
        let held = Some(Beside::HeldBack { held: true, after: 812 });
        assert_eq!(text(nobody, nobody, held), "held back after 812 B");
        let [message, quarter, three_quarters] = [260, 41_600, 44_400].map(Duration::from_micros);
        let delay = Some(Beside::Delay { message, quarter, three_quarters });
        assert_eq!(text(nobody, nobody, delay), "41.6 to 44.4 ms a byte, 0.3 ms a message");
    }
}
