//! Why a scripted client did not get through its script.

use rustix::io::Errno;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    Refused,
    /// The connection could not be made for another reason.
    NotConnected,
    Reset,
    /// The peer ended its stream before all that was expected came.
    EndedEarly,
    /// A byte was not the one of this connection at this place.
    WrongByte,
    Surplus,
    /// The peer counted other than was sent.
    WrongTotal,
    NotHttp,
    TimedOut,
    /// This process, or the system, may open no more sockets (`EMFILE`, `ENFILE`).
    NoDescriptor,
    /// Every local port towards the target is taken (`EADDRNOTAVAIL`).
    NoPort,
    /// The kernel has no memory for another socket, or may watch no more of them.
    NoMemory,
    Other,
}

impl Failure {
    pub fn name(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::NotConnected => "not connected",
            Failure::Reset => "reset",
            Failure::EndedEarly => "ended early",
            Failure::WrongByte => "wrong byte",
            Failure::Surplus => "surplus bytes",
            Failure::WrongTotal => "wrong total",
            Failure::NotHttp => "not HTTP",
            Failure::TimedOut => "timed out",
            Failure::NoDescriptor => "no descriptor left",
            Failure::NoPort => "no local port left",
            Failure::NoMemory => "no memory for sockets",
            Failure::Other => "other",
        }
    }

    /// What an error of connecting means.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset => Failure::Reset,
            io::ErrorKind::TimedOut => Failure::TimedOut,
            _ => match Errno::from_io_error(error) {
                Some(Errno::MFILE | Errno::NFILE) => Failure::NoDescriptor,
                Some(Errno::ADDRNOTAVAIL) => Failure::NoPort,
                Some(Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC) => Failure::NoMemory,
                _ => Failure::NotConnected,
            },
        }
    }

    /// Whether it says nothing of the target: this machine gives no more connections.
    pub fn is_own(self) -> bool {
        matches!(self, Failure::NoDescriptor | Failure::NoPort | Failure::NoMemory)
    }

    /// What an error of a connection means.
    pub(super) fn of_connection(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected => Failure::Reset,
            io::ErrorKind::UnexpectedEof => Failure::EndedEarly,
            io::ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Other,
        }
    }
}
