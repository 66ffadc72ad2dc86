//! Why a client has no complete answer.

use crate::{
    error::reason,
    net::dial::{DialError, DialFailureKind},
    tools::failure::{Failure, Fault},
};
use std::{io, time::Duration};

impl Failure {
    pub(super) fn input(name: &str, error: &io::Error) -> Self {
        Failure::new(Fault::Input, format!("cannot read {name}: {}", reason(error)))
    }

    pub(super) fn output(error: &io::Error) -> Self {
        Failure::new(Fault::Output, format!("cannot write to standard output: {}", reason(error)))
    }

    /// The connection was lost after `received` bytes of the answer.
    pub(super) fn lost(peer: &str, error: &io::Error, received: u64) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Failure::new(Fault::Timeout, format!("{peer} vanished after {}", bytes(received)));
        }
        Failure::new(Fault::Reset, format!("{peer} reset the connection after {}", bytes(received)))
    }

    pub(super) fn idle(peer: &str, limit: Duration, received: u64) -> Self {
        let limit = humantime::format_duration(limit);
        let text = format!(
            "{peer} neither sent nor took a byte for {limit}, after {}; --idle-timeout sets the limit",
            bytes(received)
        );
        Failure::new(Fault::Timeout, text)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let fault = match error.kind {
            DialFailureKind::NoAddress => Fault::Resolve,
            DialFailureKind::TimedOut => Fault::Timeout,
            DialFailureKind::Refused | DialFailureKind::Unreachable => Fault::Connect,
        };
        Failure::new(fault, error.text)
    }
}

/// How much of an answer came, for a sentence.
pub(super) fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    }
}
