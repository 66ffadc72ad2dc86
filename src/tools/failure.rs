//! Why a command that asks a server did not come to its end, and the exit code that says so.

use crate::{
    error::reason,
    net::dial::{DialError, DialFailureKind},
    text::units,
};
use std::{fmt, io, time::Duration};

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// What to send cannot be read.
    Input,
    /// The name has no address.
    Resolve,
    /// No address of the server takes a connection.
    Connect,
    /// The answer is not what the protocol allows.
    Malformed,
    /// The server ended its stream in the middle of the answer.
    Truncated,
    /// The answer cannot be written.
    Output,
    /// A deadline passed.
    Timeout,
    /// The server reset the connection, or vanished.
    Reset,
    /// A fault in this program.
    Internal,
}

/// A failure, in one lower-case sentence that names what it happened to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Of what kind it is.
    pub fault: Fault,
    /// What happened.
    pub text: String,
}

impl Fault {
    /// The exit code: curl's number if curl has one.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Fault::Internal => 1,
            // What the command line names cannot be used: a usage error.
            Fault::Input => 2,
            Fault::Resolve => 6,
            Fault::Connect => 7,
            Fault::Malformed => 8,
            Fault::Truncated => 18,
            Fault::Output => 23,
            Fault::Timeout => 28,
            Fault::Reset => 56,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Input => "unreadable input",
            Fault::Resolve => "cannot resolve",
            Fault::Connect => "cannot connect",
            Fault::Malformed => "malformed",
            Fault::Truncated => "truncated",
            Fault::Output => "cannot write",
            Fault::Timeout => "timed out",
            Fault::Reset => "reset",
            Fault::Internal => "internal fault",
        })
    }
}

impl Failure {
    /// A failure of this kind, in these words.
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Failure { fault, text: text.into() }
    }

    /// What `name` names to be sent cannot be read.
    pub fn input(name: &str, error: &io::Error) -> Self {
        Failure::new(Fault::Input, format!("cannot read {name}: {}", reason(error)))
    }

    /// The answer cannot be written.
    pub fn output(error: &io::Error) -> Self {
        Failure::new(Fault::Output, format!("cannot write to standard output: {}", reason(error)))
    }

    /// The connection was lost after `received` bytes of the answer.
    pub fn lost(peer: &str, error: &io::Error, received: u64) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Failure::new(Fault::Timeout, format!("{peer} vanished after {}", bytes(received)));
        }
        Failure::new(Fault::Reset, format!("{peer} reset the connection after {}", bytes(received)))
    }

    /// No byte moved for `limit`, after `received` bytes of the answer.
    pub fn idle(peer: &str, limit: Duration, received: u64) -> Self {
        let limit = units::duration(limit);
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
pub fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    }
}
