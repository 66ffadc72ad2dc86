//! A connected stream socket, TCP or UNIX: read, write, splice, and the two ways to end it.
//!
//! Dropping a socket resets the connection: what ends by accident must not look like a clean end.
//! [`Socket::close`] is the clean way.

use crate::{
    config::Keepalive,
    io::{
        address::Address,
        buffer::Buffer,
        pipe::{PIPE_BYTES, Pipe},
    },
    runtime::readiness::Registration,
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, getpeername, getsockname, recv, send,
        shutdown, sockopt,
    },
    pipe::{SpliceFlags, splice},
};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

/// A connected stream socket. At most one task at a time may read, one write, and one watch for an abort.
pub struct Socket {
    // Drop order: the registration's slot is free before the descriptor's number is.
    registration: Registration,
    descriptor: OwnedFd,
    clean: bool,
    /// The kernel tells of a lost connection once, to whoever asks first; a read after a failed write would see a clean
    /// end. So it is remembered here.
    lost: AtomicBool,
}

/// Options of a TCP leg.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Probes of an idle connection (RFC 9293 §3.8.4).
    pub keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged (RFC 5482, `TCP_USER_TIMEOUT`).
    pub user_timeout: Option<Duration>,
}

impl Options {
    /// Sets the options. An accepted socket has those of its listener.
    ///
    /// # Errors
    /// Where the kernel refuses a value.
    pub fn apply(&self, descriptor: &OwnedFd) -> io::Result<()> {
        sockopt::set_tcp_nodelay(descriptor, true)?;
        if let Some(keepalive) = self.keepalive {
            sockopt::set_tcp_keepidle(descriptor, keepalive.idle)?;
            sockopt::set_tcp_keepintvl(descriptor, keepalive.interval)?;
            sockopt::set_tcp_keepcnt(descriptor, keepalive.probes)?;
            sockopt::set_socket_keepalive(descriptor, true)?;
        }
        if let Some(limit) = self.user_timeout {
            // Zero would mean the system's default.
            let limit_ms = u32::try_from(limit.as_millis().max(1)).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(descriptor, limit_ms)?;
        }
        Ok(())
    }
}

impl Socket {
    /// A socket that is connected, or being connected.
    ///
    /// # Errors
    /// Where it cannot be watched for readiness.
    pub fn new(descriptor: OwnedFd, connected: bool) -> io::Result<Self> {
        Ok(Socket {
            registration: Registration::new(&descriptor, connected)?,
            descriptor,
            clean: false,
            lost: AtomicBool::new(false),
        })
    }

    /// Waits until a read may give something.
    pub async fn readable(&self) {
        poll_fn(|context| self.registration.poll_readable(context)).await;
    }

    /// Waits until a write may be taken.
    pub async fn writable(&self) {
        poll_fn(|context| self.registration.poll_writable(context)).await;
    }

    /// Waits until the peer has reset the connection or vanished. Never ends on a socket that stays well.
    pub async fn aborted(&self) {
        poll_fn(|context| self.poll_aborted(context)).await;
    }

    /// As [`Socket::aborted`].
    pub fn poll_aborted(&self, context: &Context<'_>) -> Poll<()> {
        self.registration.poll_aborted(context)
    }

    /// Reads what is there into `room`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock`, or that of the connection.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        let size = room.len();
        self.registration.read(|| {
            let (_, count) = retry(|| recv(&self.descriptor, &mut *room, RecvFlags::empty()))?;
            if count == 0 && self.lost.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            // A read of nothing is the end: it stays readable.
            Ok((count, count > 0 && count < size))
        })
    }

    /// Fills `buffer` with what is there and returns how much came.
    ///
    /// # Errors
    /// As [`Socket::try_read`].
    pub fn try_fill(&self, buffer: &mut Buffer) -> io::Result<usize> {
        let count = self.try_read(buffer.room())?;
        buffer.filled(count);
        Ok(count)
    }

    /// As [`Socket::try_read`], after waiting.
    pub fn poll_read(&self, context: &Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_readable(context));
            match self.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Moves what is there into an empty pipe, without copying; up to [`PIPE_BYTES`].
    ///
    /// 0 does not mean the end of the stream, and `WouldBlock` not that nothing is there: at an urgent byte the kernel
    /// says both. Where this gives neither, [`Socket::try_read`] knows.
    ///
    /// # Errors
    /// `WouldBlock`, or that of the connection.
    pub fn try_splice_in(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = self.registration.read(|| {
            let count = retry(|| splice(&self.descriptor, None, pipe.write_end(), None, PIPE_BYTES, flags))?;
            Ok((count, false))
        })?;
        pipe.filled(count);
        Ok(count)
    }

    /// Whether a read may be held up by an urgent byte (RFC 6093), which splice cannot pass.
    #[must_use]
    pub fn urgent(&self) -> bool {
        self.registration.urgent()
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// That of the connection.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write(context, bytes)).await
    }

    /// As [`Socket::write`].
    pub fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_writable(context));
            let result = self.registration.write(|| {
                let count = retry(|| send(&self.descriptor, bytes, SendFlags::NOSIGNAL))?;
                Ok((count, count < bytes.len()))
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result.map_err(|error| self.note_loss(error))),
            }
        }
    }

    /// Notes an error of writing that says the connection is lost.
    ///
    /// After the peer's FIN the kernel tells of its RST as a broken pipe: then the end of its stream was a true one.
    fn note_loss(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.lost.store(true, Ordering::Relaxed);
        }
        error
    }

    /// Moves some of what the pipe holds into the socket.
    ///
    /// # Errors
    /// That of the connection.
    pub async fn splice_out(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            self.writable().await;
            let held = pipe.held();
            let result = self.registration.write(|| {
                let count = retry(|| splice(pipe.read_end(), None, &self.descriptor, None, held, flags))?;
                Ok((count, false))
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    pipe.written(count);
                    return Ok(count);
                }
                Err(error) => return Err(self.note_loss(error)),
            }
        }
    }

    /// Ends our stream: the peer gets FIN after all that was written (RFC 9293 §3.6).
    ///
    /// # Errors
    /// Where the connection is gone already.
    pub fn finish(&self) -> io::Result<()> {
        Ok(shutdown(&self.descriptor, Shutdown::Write)?)
    }

    /// Closes after both streams have ended; nothing that was written is lost.
    pub fn close(mut self) {
        self.clean = true;
    }

    /// What a connection request came to.
    ///
    /// # Errors
    /// Why the connection could not be made.
    pub fn connect_result(&self) -> io::Result<()> {
        Ok(sockopt::socket_error(&self.descriptor)??)
    }

    /// Sets TCP options; nothing on a UNIX socket.
    ///
    /// # Errors
    /// Where the kernel refuses a value.
    pub fn set(&self, options: &Options) -> io::Result<()> {
        options.apply(&self.descriptor)
    }

    /// Our address.
    ///
    /// # Errors
    /// Where the kernel gives none.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(address(&getsockname(&self.descriptor)?))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn peer_address(&self) -> io::Result<Address> {
        let peer = getpeername(&self.descriptor)?;
        Ok(peer.as_ref().map_or_else(|| Address::Unix(Path::new("").into()), address))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.clean {
            // Lingering for no time makes close(2) send RST and drop what is queued (socket(7)).
            let _ = sockopt::set_socket_linger(&self.descriptor, Some(Duration::ZERO));
        }
    }
}

/// An address as the kernel gives it.
pub(crate) fn address(any: &SocketAddrAny) -> Address {
    if let Ok(address) = SocketAddr::try_from(any.clone()) {
        return Address::Tcp(address);
    }
    let path = match any.address_family() {
        AddressFamily::UNIX => rustix::net::SocketAddrUnix::try_from(any.clone()).ok(),
        _ => None,
    };
    let bytes = path.as_ref().and_then(|address| address.path_bytes()).unwrap_or_default();
    Address::Unix(Arc::from(Path::new(std::ffi::OsStr::from_bytes(bytes))))
}

/// Goes on after a signal (signal(7)).
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
