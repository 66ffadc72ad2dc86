//! What the two ends of a conversation saw: counted while it goes on, compared and printed afterwards.

use crate::text::units::{bytes, duration};
use serde::{Serialize, Serializer};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    time::Duration,
};

/// How an end's connection came to its end, in the order of a crowd's worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum End {
    /// The check does not look, or did not come to it.
    #[default]
    #[strum(serialize = "")]
    Unwatched,
    /// FIN: the sender says that this was all.
    #[strum(serialize = "FIN")]
    Fin,
    /// FIN of a TLS stream that close_notify did not end: it may have been cut off (RFC 8446 §6.1).
    #[strum(serialize = "FIN without close_notify")]
    Truncated,
    /// RST: it was cut off.
    #[strum(serialize = "RST")]
    Reset,
    /// An alert of TLS, or what is no TLS.
    #[strum(serialize = "TLS broken off")]
    Broken,
    Refused,
    /// Nothing more came within the check's patience.
    Stuck,
    #[strum(serialize = "never reached")]
    NeverReached,
}

impl End {
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                End::Reset
            }
            io::ErrorKind::ConnectionRefused => End::Refused,
            io::ErrorKind::UnexpectedEof => End::Truncated,
            io::ErrorKind::InvalidData => End::Broken,
            _ => End::Stuck,
        }
    }

    /// Whether it tells the reader that something failed.
    pub fn is_abort(self) -> bool {
        matches!(self, End::Reset | End::Refused)
    }
}

/// What both ends saw while a check runs.
#[derive(Debug, Default)]
pub struct Record {
    pub client: Cell<Seen>,
    pub origin: Cell<Seen>,
    pub beside: RefCell<Option<Beside>>,
}

impl Record {
    pub fn observation(&self) -> Observation {
        let [client, origin] = [&self.client, &self.origin].map(|seen| {
            let seen = seen.get();
            let surplus = (seen.received > seen.sent).then_some(seen.sent);
            Seen { wrong_at: seen.wrong_at.or(surplus), ..seen }
        });
        Observation { client, origin, beside: self.beside.borrow().clone() }
    }

    /// The check did not come to its end in time: an end that was not seen is stuck.
    pub fn give_up(&self) {
        self.client.update(|seen| seen.ended(End::Stuck));
        self.origin.update(|seen| seen.ended(End::Stuck));
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub received: u64,
    /// Bytes that the other end has sent.
    pub sent: u64,
    /// The first byte that is not as it was sent.
    pub wrong_at: Option<u64>,
    pub end: End,
}

impl Seen {
    pub fn missing(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// The same with its end; the first one counts.
    pub fn ended(self, end: End) -> Self {
        if self.end == End::Unwatched { Seen { end, ..self } } else { self }
    }

    /// This connection and another in one: bytes add up, and the worst end counts.
    pub fn with(self, other: Seen) -> Self {
        Seen {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            wrong_at: self.wrong_at.or(other.wrong_at),
            end: self.end.max(other.end),
        }
    }
}

/// What a check looks at besides bytes and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// Whether the sender to a reader that stalls had to stop, and after how many bytes.
    HeldBack {
        held: bool,
        after: u64,
    },
    /// How long single bytes took, one way.
    Delay {
        #[serde(rename = "message_us", serialize_with = "micros")]
        message: Duration,
        #[serde(rename = "quarter_us", serialize_with = "micros")]
        quarter: Duration,
        #[serde(rename = "three_quarters_us", serialize_with = "micros")]
        three_quarters: Duration,
    },
    /// How many connections of a crowd were whole.
    Whole {
        whole: usize,
        of: usize,
    },
    Header(Option<String>),
}

fn micros<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// What both ends saw in one run of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    pub client: Seen,
    pub origin: Seen,
    pub beside: Option<Beside>,
}

impl Observation {
    /// Whether the client's connection was ended before anything came of it.
    pub fn is_sent_away(&self) -> bool {
        matches!(self.client.end, End::Fin | End::Reset | End::Refused)
            && matches!(self.origin.end, End::Unwatched | End::NeverReached)
            && (self.client.received, self.origin.received) == (0, 0)
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
            return f.write_str(self.end.into());
        }
        if self.missing() > 0 {
            write!(f, "{} of {}", bytes(self.received), bytes(self.sent))?;
        } else if self.received == 0 {
            f.write_str("nothing")?;
        } else {
            write!(f, "{}", bytes(self.received))?;
        }
        if let Some(at) = self.wrong_at {
            write!(f, " wrong from {at}")?;
        }
        let end: &str = self.end.into();
        if end.is_empty() { Ok(()) } else { write!(f, ", {end}") }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Beside::HeldBack { held: true, after } => write!(f, "held back after {}", bytes(*after)),
            Beside::HeldBack { held: false, after } => write!(f, "not held back for {}", bytes(*after)),
            Beside::Delay { message, quarter, three_quarters } => {
                let [message, low, high] = [message, quarter, three_quarters].map(|time| duration(*time));
                write!(f, "{low} to {high} a byte, {message} a message")
            }
            Beside::Whole { whole, of } => write!(f, "{whole} of {of} whole"),
            Beside::Header(None) => f.write_str("no header"),
            Beside::Header(Some(header)) => f.write_str(header),
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
        let unwatched = Seen::default();
        let client = seen(1 << 18, 1 << 18, None, End::Fin);
        assert_eq!(
            text(client, seen(0, 0, None, End::Reset), None),
            "client 256 KiB, FIN; origin nothing, RST"
        );
        let part = seen(1_700_000, 3 << 20, Some(7), End::Stuck);
        assert_eq!(text(part, unwatched, None), "client 1.62 MiB of 3 MiB wrong from 7, stuck");
        assert_eq!(text(seen(0, 9, None, End::Refused), unwatched, None), "client refused");
        let held = Some(Beside::HeldBack { held: true, after: 812 });
        assert_eq!(text(unwatched, unwatched, held), "held back after 812 B");
        let [message, quarter, three_quarters] = [260, 41_600, 44_400].map(Duration::from_micros);
        let delay = Some(Beside::Delay { message, quarter, three_quarters });
        assert_eq!(text(unwatched, unwatched, delay), "41.6 ms to 44.4 ms a byte, 260 µs a message");
    }
}
