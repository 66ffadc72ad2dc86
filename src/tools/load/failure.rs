//! Why a scripted client did not get through its script.

use rustix::io::Errno;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Failure {
    Refused,
    /// The connection could not be made for another reason.
    #[strum(serialize = "not connected")]
    NotConnected,
    /// There is no TLS with the server that was reached.
    #[strum(serialize = "no TLS")]
    NoTls,
    #[strum(serialize = "not trusted")]
    NotTrusted,
    Reset,
    /// The peer ended its stream before all that was expected came.
    #[strum(serialize = "ended early")]
    EndedEarly,
    /// A byte was not the one of this connection at this place.
    #[strum(serialize = "wrong byte")]
    WrongByte,
    #[strum(serialize = "surplus bytes")]
    Surplus,
    /// The peer counted other than was sent.
    #[strum(serialize = "wrong total")]
    WrongTotal,
    #[strum(serialize = "not HTTP")]
    NotHttp,
    #[strum(serialize = "timed out")]
    TimedOut,
    /// This process, or the system, may open no more sockets (`EMFILE`, `ENFILE`).
    #[strum(serialize = "no descriptor left")]
    NoDescriptor,
    /// Every local port towards the target is taken (`EADDRNOTAVAIL`).
    #[strum(serialize = "no local port left")]
    NoPort,
    /// The kernel has no memory for another socket, or may watch no more of them.
    #[strum(serialize = "no memory for sockets")]
    NoMemory,
    Other,
}

impl Failure {
    pub fn name(self) -> &'static str {
        self.into()
    }

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
