//! Why a command that asks a server did not come to its end, and the exit code that says so.

use crate::{
    error::{Error, reason},
    net::{
        dial::{DialError, DialFailureKind},
        tls_socket::is_distrust,
    },
    text::units,
};
use std::{fmt, io, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// What to send cannot be read.
    Input,
    Resolve,
    /// No address of the server takes a connection.
    Connect,
    /// The answer is not what the protocol allows.
    Malformed,
    /// The server ended its stream in the middle of the answer.
    Truncated,
    /// The answer cannot be written.
    Output,
    Timeout,
    /// The server reset the connection, or vanished.
    Reset,
    /// The peer does not speak TLS as it should.
    Handshake,
    /// No authority that we trust vouches for who the server says to be.
    Untrusted,
    /// A fault in this program.
    Internal,
}

/// A failure, in one lower-case sentence that names what it happened to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    pub fault: Fault,
    pub text: String,
}

impl Fault {
    /// The exit code: curl's number if curl has one.
    pub fn code(self) -> u8 {
        self.code_and_name().0
    }

    /// That of a handshake which failed so.
    pub fn of_handshake(error: &io::Error) -> Self {
        if is_distrust(error) { Fault::Untrusted } else { Fault::Handshake }
    }

    fn code_and_name(self) -> (u8, &'static str) {
        match self {
            Fault::Internal => (1, "internal fault"),
            // What the command line names cannot be used: a usage error.
            Fault::Input => (2, "unreadable input"),
            Fault::Resolve => (6, "cannot resolve"),
            Fault::Connect => (7, "cannot connect"),
            Fault::Malformed => (8, "malformed"),
            Fault::Truncated => (18, "truncated"),
            Fault::Output => (23, "cannot write"),
            Fault::Timeout => (28, "timed out"),
            Fault::Handshake => (35, "no TLS"),
            Fault::Reset => (56, "reset"),
            Fault::Untrusted => (60, "untrusted"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code_and_name().1)
    }
}

impl Failure {
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
        let received = bytes(received);
        match error.kind() {
            io::ErrorKind::TimedOut => {
                Failure::new(Fault::Timeout, format!("{peer} vanished after {received}"))
            }
            // A FIN that anybody on the way could have made (RFC 8446 §6.1).
            io::ErrorKind::UnexpectedEof => {
                let text = format!("{peer} ended the connection without close_notify, after {received}");
                Failure::new(Fault::Truncated, text)
            }
            io::ErrorKind::InvalidData => {
                let text = format!("{peer} broke off TLS after {received}: {}", reason(error));
                Failure::new(Fault::Reset, text)
            }
            _ => Failure::new(Fault::Reset, format!("{peer} reset the connection after {received}")),
        }
    }

    /// The server cannot be spoken to: `fault` says how far it went, and `why` what there was.
    pub fn unreached(fault: Fault, peer: &str, why: &str) -> Self {
        let text = match fault {
            Fault::Untrusted => {
                format!("{peer} is not trusted: {why}; --cacert FILE trusts more, --insecure trusts all")
            }
            Fault::Handshake => format!("no TLS with {peer}: {why}"),
            _ => format!("cannot connect to {peer}: {why}"),
        };
        Failure::new(fault, text)
    }

    /// The server did not finish the handshake within `limit` for all of connecting.
    pub fn late_handshake(peer: &str, limit: Duration) -> Self {
        let limit = units::duration(limit);
        Failure::new(Fault::Timeout, format!("{peer} did not finish the TLS handshake within {limit}"))
    }

    /// No byte moved for `limit`, after `received` bytes of the answer.
    pub fn idle(peer: &str, limit: Duration, received: u64) -> Self {
        let (limit, received) = (units::duration(limit), bytes(received));
        let text = format!("{peer} neither sent nor took a byte for {limit}, after {received}");
        Failure::new(Fault::Timeout, text + "; --idle-timeout sets the limit")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(Fault::Internal, error.to_string())
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let fault = match error.kind {
            DialFailureKind::NoAddress => Fault::Resolve,
            DialFailureKind::TimedOut => Fault::Timeout,
            DialFailureKind::Handshake => Fault::Handshake,
            DialFailureKind::Refused | DialFailureKind::Unreachable | DialFailureKind::Resources => {
                Fault::Connect
            }
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
