//! Why a session ended: one named cause each.

use crate::net::dial::DialFailureKind;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Why a session ended, as `cause` in its close event.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, Display, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    /// There was no descriptor, or no memory, for the upstream's socket.
    Resources,
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
    /// Its source address is denied, or not one of those that are allowed, or not one of those that send PROXY headers.
    RefusedAccess,
    /// Its PROXY header was malformed or missing, or not whole within `--handshake-timeout`.
    ProxyHeader,
    /// Its TLS handshake, or the ClientHello that its route needs, was not through within `--handshake-timeout`.
    HandshakeTimeout,
    /// Its TLS handshake failed, or it broke the protocol later.
    TlsClient,
    /// The TLS handshake with the upstream failed, with its certificate among the reasons, or it broke the protocol later.
    TlsUpstream,
    /// The client ended its TLS connection by FIN without close_notify (RFC 8446 §6.1): what came may not be all.
    ClientTruncated,
    /// The upstream ended its TLS connection by FIN without close_notify: what came may not be all.
    UpstreamTruncated,
    /// No route of its listener leads anywhere for it.
    NoRoute,
    /// None of the servers of its upstream could be reached.
    NoServer,
    /// A fault that was set on it ended it, as it was told to.
    Fault,
    /// A failure of this program itself.
    Internal,
}

impl Cause {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it is neither the end that both sides made nor one that an operator asked for.
    pub fn is_failure(self) -> bool {
        !matches!(self, Cause::Done | Cause::Cut | Cause::Drain | Cause::Fault)
    }
}

impl From<DialFailureKind> for Cause {
    fn from(kind: DialFailureKind) -> Self {
        match kind {
            DialFailureKind::NoAddress => Cause::ResolveFailed,
            DialFailureKind::Refused => Cause::ConnectRefused,
            DialFailureKind::Unreachable => Cause::ConnectUnreachable,
            DialFailureKind::TimedOut => Cause::ConnectTimeout,
            DialFailureKind::Handshake => Cause::TlsUpstream,
            DialFailureKind::Resources => Cause::Resources,
        }
    }
}
