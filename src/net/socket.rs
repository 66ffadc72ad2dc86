//! A connected stream socket, TCP or UNIX: read, write, splice, and the two ways to end it.
//!
//! Dropping a socket resets the connection: what ends by accident must not look like a clean end.
//! [`Socket::close`] is the clean way.

use crate::{
    net::{
        address::Address,
        buffer::Buffer,
        kernel::{SendQueue, unacknowledged},
        options::Options,
        pipe::{PIPE_BYTES, Pipe},
    },
    runtime::{clock::sleep, pace::note_bulk, readiness::Registration, reading::Reading},
};
use futures::{
    future::{Either, select},
    pin_mut,
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, getpeername, getsockname,
        recv, send, shutdown, socket_with, sockopt,
    },
    pipe::{SpliceFlags, splice},
};
use std::{
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
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

    /// Its reading, for whoever may end it.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.registration.reading()
    }

    /// Waits until a read may give something.
    pub async fn readable(&self) {
        poll_fn(|context| self.poll_readable(context)).await;
    }

    /// As [`Socket::readable`].
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.registration.poll_readable(context)
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
        if self.registration.enough() { self.try_read_rest(room) } else { self.receive(room) }
    }

    /// Reads what was there when an operator ended the reading; after that, and at an urgent byte, the stream ends.
    fn try_read_rest(&self, room: &mut [u8]) -> io::Result<usize> {
        let left = self.registration.left(|| rustix::io::ioctl_fionread(&self.descriptor).unwrap_or(0));
        let size = room.len().min(left);
        if size == 0 {
            return Ok(0);
        }
        match self.receive(&mut room[..size]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
            Ok(count) => {
                self.registration.take_left(count);
                Ok(count)
            }
        }
    }

    fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
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
    /// A peer that accepted and reset at once was reached: what it said before is still to be read.
    ///
    /// # Errors
    /// Why the connection could not be made.
    pub fn connect_result(&self) -> io::Result<()> {
        match sockopt::socket_error(&self.descriptor)? {
            // A connection request is refused with ECONNREFUSED; these two come after the handshake (RFC 9293 §3.10.7).
            Err(Errno::CONNRESET) => self.lost.store(true, Ordering::Relaxed),
            Err(Errno::PIPE) => {}
            result => result?,
        }
        Ok(())
    }

    /// Sets the user timeout of `options`, on a TCP socket that is connected.
    ///
    /// # Errors
    /// Where the kernel refuses the value.
    pub fn set_user_timeout(&self, options: &Options) -> io::Result<()> {
        options.apply_user_timeout(&self.descriptor)
    }

    /// Our address.
    ///
    /// # Errors
    /// Where the kernel gives none.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(Address::from_kernel(&getsockname(&self.descriptor)?))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn peer_address(&self) -> io::Result<Address> {
        let peer = getpeername(&self.descriptor)?;
        Ok(peer.as_ref().map_or_else(Address::unnamed, Address::from_kernel))
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

pub(super) fn family_of(address: &Address) -> AddressFamily {
    match address {
        Address::Tcp(address) if address.is_ipv4() => AddressFamily::INET,
        Address::Tcp(_) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    }
}

/// A non-blocking stream socket that no child inherits.
pub(super) fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
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

impl Socket {
    /// Moves what is there into an empty pipe, without copying; up to [`PIPE_BYTES`].
    ///
    /// 0 does not mean the end of the stream, and `WouldBlock` not that nothing is there: at an urgent byte the kernel
    /// says both. Where this gives neither, [`Socket::try_read`] knows.
    ///
    /// # Errors
    /// `WouldBlock`, or that of the connection.
    pub fn try_splice_in(&self, pipe: &mut Pipe) -> io::Result<usize> {
        if self.registration.enough() {
            return Ok(0);
        }
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = self.registration.read(|| {
            let count = retry(|| splice(&self.descriptor, None, pipe.write_end(), None, PIPE_BYTES, flags))?;
            Ok((count, false))
        })?;
        pipe.filled(count);
        note_bulk();
        Ok(count)
    }

    /// Moves some of what the pipe holds into the socket.
    ///
    /// # Errors
    /// That of the connection.
    pub fn poll_splice_out(&self, context: &Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            ready!(self.registration.poll_writable(context));
            let held = pipe.held();
            let result = self.registration.write(|| {
                let count = retry(|| splice(pipe.read_end(), None, &self.descriptor, None, held, flags))?;
                Ok((count, false))
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    pipe.written(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(self.note_loss(error))),
            }
        }
    }
}

impl Socket {
    /// Sends one urgent byte, which is no part of the stream for a peer that does not ask for it in line.
    ///
    /// # Errors
    /// That of the connection.
    pub async fn send_urgent(&self, byte: u8) -> io::Result<()> {
        poll_fn(|context| {
            loop {
                ready!(self.registration.poll_writable(context));
                let flags = SendFlags::NOSIGNAL | SendFlags::OOB;
                let sent = self.registration.write(|| {
                    let count = retry(|| send(&self.descriptor, &[byte], flags))?;
                    Ok(((), count == 0))
                });
                match sent {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return std::task::Poll::Ready(result.map_err(|error| self.note_loss(error))),
                }
            }
        })
        .await
    }
}

/// How long a peer may acknowledge nothing before the rest is given up; a peer that pauses still gets it.
const STANDSTILL: Duration = Duration::from_secs(5);
/// The end of the wait for a peer that acknowledges slowly.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait if the kernel never said how much is left.
const BLIND_WAIT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Waits until the peer's kernel has acknowledged all that was written, is known to be gone, or takes nothing more: then a
/// reset destroys nothing that could still arrive.
pub async fn settle(socket: &Socket) {
    let (Ok(local), Ok(peer)) = (socket.local_address(), socket.peer_address()) else { return };
    let begin = Instant::now();
    let (mut last, mut moved) = (None, begin);
    let mut pause = FIRST_PAUSE;
    loop {
        match unacknowledged(&local, &peer) {
            SendQueue::Bytes(0) | SendQueue::Gone => return,
            SendQueue::Bytes(left) if last != Some(left) => (last, moved) = (Some(left), Instant::now()),
            SendQueue::Bytes(_) | SendQueue::Unknown => {}
        }
        let patience = if last.is_some() { STANDSTILL } else { BLIND_WAIT };
        if moved.elapsed() >= patience || begin.elapsed() >= LONGEST {
            return;
        }
        let aborted = socket.aborted();
        pin_mut!(aborted);
        if let Either::Left(((), _)) = select(aborted, sleep(pause)).await {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
