//! Every way a session, or its far side, can end.

use crate::{
    net::dial::DialError, relay::direction::Direction, runtime::task::Panicked, session::cause::Cause,
};
use std::io;

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

    /// The cause: the kernel's user timeout ends a connection whose peer took nothing (RFC 5482); else the peer `reset` it.
    pub fn cause(&self, reset: Cause) -> Cause {
        let stalled = self.error.kind() == io::ErrorKind::TimedOut && self.waiting;
        if stalled { Cause::StallTimeout } else { reset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_timed_out_over_bytes_that_wait_has_stalled() {
        use io::ErrorKind::{ConnectionReset, TimedOut};
        for (kind, waiting, cause) in [
            (TimedOut, true, Cause::StallTimeout),
            // Keepalive found that the peer is gone.
            (TimedOut, false, Cause::ClientReset),
            (ConnectionReset, true, Cause::ClientReset),
        ] {
            assert_eq!(
                Loss { error: kind.into(), waiting }.cause(Cause::ClientReset),
                cause,
                "{kind:?} {waiting}"
            );
        }
    }
}
