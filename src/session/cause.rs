//! Why a session ended: one named cause each.

use crate::net::dial::DialFailureKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a session ended, as `cause` in its close event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Both sides finished their stream.
    Done,
    /// The client reset the connection, or vanished.
    ClientReset,
    /// The upstream reset the connection, or vanished.
    UpstreamReset,
    /// The upstream's name has no address.
    ResolveFailed,
    /// The upstream answered the connection request with RST.
    ConnectRefused,
    /// No route to the upstream, or no local means to reach it.
    ConnectUnreachable,
    /// The upstream was not reached within `--connect-timeout`.
    ConnectTimeout,
    /// No byte moved in either direction for `--idle-timeout`.
    IdleTimeout,
    /// One direction had ended and no byte moved in the other for `--half-close-timeout`.
    HalfCloseTimeout,
    /// Bytes waited for `--stall-timeout` for a peer that took none.
    StallTimeout,
    /// The session reached `--max-lifetime`.
    Lifetime,
    /// An operator ended it.
    Cut,
    /// It was alive at the end of the drain.
    Drain,
    /// Its source address had `--max-per-source` sessions already.
    RefusedLimit,
    /// A fault in this program.
    Internal,
}

impl Cause {
    pub const ALL: [Cause; 15] = [
        Cause::Done,
        Cause::ClientReset,
        Cause::UpstreamReset,
        Cause::ResolveFailed,
        Cause::ConnectRefused,
        Cause::ConnectUnreachable,
        Cause::ConnectTimeout,
        Cause::IdleTimeout,
        Cause::HalfCloseTimeout,
        Cause::StallTimeout,
        Cause::Lifetime,
        Cause::Cut,
        Cause::Drain,
        Cause::RefusedLimit,
        Cause::Internal,
    ];

    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Done => "done",
            Cause::ClientReset => "client_reset",
            Cause::UpstreamReset => "upstream_reset",
            Cause::ResolveFailed => "resolve_failed",
            Cause::ConnectRefused => "connect_refused",
            Cause::ConnectUnreachable => "connect_unreachable",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::IdleTimeout => "idle_timeout",
            Cause::HalfCloseTimeout => "half_close_timeout",
            Cause::StallTimeout => "stall_timeout",
            Cause::Lifetime => "lifetime",
            Cause::Cut => "cut",
            Cause::Drain => "drain",
            Cause::RefusedLimit => "refused_limit",
            Cause::Internal => "internal",
        }
    }
}

impl From<DialFailureKind> for Cause {
    fn from(kind: DialFailureKind) -> Self {
        match kind {
            DialFailureKind::NoAddress => Cause::ResolveFailed,
            DialFailureKind::Refused => Cause::ConnectRefused,
            DialFailureKind::Unreachable => Cause::ConnectUnreachable,
            DialFailureKind::TimedOut => Cause::ConnectTimeout,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
