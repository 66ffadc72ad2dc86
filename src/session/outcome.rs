//! Every way a session, or its far side, can end.

use crate::{
    net::dial::DialError,
    relay::direction::Direction,
    runtime::task::Panicked,
    session::{
        cause::Cause,
        event::Side,
        faults::{fault::FaultPlan, stage::FaultEnd},
    },
};
use std::{io, sync::Arc};

/// How a session ended. [`crate::session::record::Record::conclude`] judges it.
#[derive(Debug)]
pub enum Outcome {
    /// Both peers ended their streams, and both are delivered.
    Clean,
    /// The client reset the connection, or vanished.
    ClientGone(Loss),
    /// The upstream reset the connection, or vanished.
    UpstreamGone(Loss),
    NotReached(Box<DialError>),
    /// A deadline passed.
    Due(Cause),
    /// An operator ended both streams after what had come of them.
    CutByFin,
    /// An operator dropped the session.
    Cut,
    /// The drain was over.
    Drained,
    /// The session was not admitted; the cause, and the reason in words.
    Refused(Cause, Box<str>),
    /// A fault ended it.
    Fault {
        plan: Arc<FaultPlan>,
        end: FaultEnd,
    },
    /// None of the group's servers could be reached; how the last of several failed, and what was tried.
    NoServer(Box<str>),
    /// The kernel could not wait for the client's socket.
    NoResources(io::Error),
    /// A fault in one of the session's actors.
    Panicked(Panicked),
    /// The other side of the session was cut off first, and the leg was reset for it. That side says why.
    Aborted,
}

/// How a connection was lost.
#[derive(Debug)]
pub struct Loss {
    pub error: io::Error,
    /// Bytes waited for the peer.
    pub waiting: bool,
}

impl Loss {
    /// The peer that `towards` leads to was lost with `error`.
    pub fn new(error: io::Error, towards: &Direction) -> Self {
        Loss { error, waiting: towards.waiting() > 0 }
    }

    /// The cause, if it was the peer of this `side`. The kernel gives up a connection whose peer answers nothing (RFC 9293
    /// §3.8.3). A stream of TLS that ends without close_notify was cut (RFC 8446 §6.1). Else the peer reset it.
    pub fn cause(&self, side: Side) -> Cause {
        let is_client = side == Side::Client;
        let of_side = |client, upstream| if is_client { client } else { upstream };
        match self.error.kind() {
            io::ErrorKind::TimedOut if self.waiting => Cause::StallTimeout,
            io::ErrorKind::UnexpectedEof => of_side(Cause::ClientTruncated, Cause::UpstreamTruncated),
            io::ErrorKind::InvalidData => of_side(Cause::TlsClient, Cause::TlsUpstream),
            _ => of_side(Cause::ClientReset, Cause::UpstreamReset),
        }
    }

    /// The client was lost in its handshake: the end of its stream there is no end.
    pub fn outcome_of_handshake(self) -> Outcome {
        match self.error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                let why = format!("client: {}", crate::error::reason(&self.error));
                Outcome::Refused(Cause::TlsClient, why.into())
            }
            _ => Outcome::ClientGone(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_timed_out_over_bytes_that_wait_has_stalled() {
        use io::ErrorKind::{ConnectionReset, InvalidData, TimedOut, UnexpectedEof};
        for (kind, waiting, cause) in [
            (TimedOut, true, Cause::StallTimeout),
            // Keepalive found that the peer is gone.
            (TimedOut, false, Cause::ClientReset),
            (ConnectionReset, true, Cause::ClientReset),
            (UnexpectedEof, false, Cause::ClientTruncated),
            (InvalidData, true, Cause::TlsClient),
        ] {
            assert_eq!(Loss { error: kind.into(), waiting }.cause(Side::Client), cause, "{kind:?} {waiting}");
        }
    }
}
