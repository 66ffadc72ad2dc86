//! A connected stream socket, TCP or UNIX: read, write, splice, and the two ways to end it.
//!
//! Dropping a socket resets the connection, and so does the death of the process: what ends by accident must not look like
//! a clean end. [`Socket::finish`] and [`Socket::close`] are the clean way.

use crate::{
    net::{
        address::Address,
        buffer::Buffer,
        kernel::{SendQueue, unacknowledged},
        options::{Options, clamp_window, set_reset_at_close},
        pipe::{PIPE_BYTES, Pipe},
    },
    runtime::{clock::within, readiness::Registration, shard::note_bulk},
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
    cell::Cell,
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// How long a peer may acknowledge nothing before the rest is given up; a peer that pauses still gets it.
const STANDSTILL: Duration = Duration::from_secs(5);
/// The end of the wait for a peer that acknowledges slowly.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait if the kernel never said how much is left.
const BLIND_WAIT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What is read away at most of what a peer sends after the end of its stream, and in how many reads.
const REST_BYTES: usize = 64 * 1024;
const REST_READS: usize = 16;

/// One task at a time may wait for it, to read, to write, or for an abort.
pub struct Socket {
    // Drop order: the registration's slot is free before the descriptor's number is.
    registration: Registration,
    descriptor: OwnedFd,
    at_close: Cell<AtClose>,
    incoming: Cell<Incoming>,
    /// Writes until the kernel is told to hold none back, which it does from the second on (RFC 896); then 0.
    writes_to_nodelay: Cell<u8>,
    /// The kernel tells of a lost connection once: after a failed write, a read would see a clean end.
    lost: Cell<bool>,
}

/// What close(2) does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtClose {
    /// It resets the connection. So it is from birth.
    Reset,
    /// Our stream has ended whole, and a process that dies leaves it so. A socket that is dropped is reset nevertheless.
    Finished,
    /// Both streams have ended.
    Clean,
}

/// How far our reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Incoming {
    GoesOn,
    /// The peer's FIN was read, and all before it.
    Ended,
    /// Besides, the socket is closed once our stream has ended.
    Last,
}

impl Socket {
    /// A socket that is connected, or being connected. With the options of a dialled one or of its listener, it resets the
    /// connection at close(2).
    pub fn new(descriptor: OwnedFd, connected: bool) -> io::Result<Self> {
        Ok(Socket {
            registration: Registration::new(&descriptor, connected)?,
            descriptor,
            at_close: Cell::new(AtClose::Reset),
            incoming: Cell::new(Incoming::GoesOn),
            // A listener has said so for the sockets that it accepts.
            writes_to_nodelay: Cell::new(if connected { 0 } else { 2 }),
            lost: Cell::new(false),
        })
    }

    /// Waits until a read may give something.
    pub async fn readable(&self) {
        poll_fn(|context| self.poll_readable(context)).await;
    }

    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.registration.poll_readable(context)
    }

    /// Waits until a write may be taken.
    pub async fn writable(&self) {
        poll_fn(|context| self.poll_writable(context)).await;
    }

    pub fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.registration.poll_writable(context)
    }

    /// Waits until the peer has reset the connection or vanished. Never ends on a socket that stays well.
    pub async fn aborted(&self) {
        poll_fn(|context| self.poll_aborted(context)).await;
    }

    /// Ready when the peer has reset the connection or vanished.
    pub fn poll_aborted(&self, context: &Context<'_>) -> Poll<()> {
        self.registration.poll_aborted(context)
    }

    /// Reads what is there into `room`; 0 is the end of the stream.
    /// Errors: `WouldBlock`, or that of the connection.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        let size = room.len();
        self.registration.read(|| {
            let (_, count) = retry(|| recv(&self.descriptor, &mut *room, RecvFlags::empty()))?;
            if count == 0 && self.lost.get() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if count == 0 && size > 0 && self.incoming.get() == Incoming::GoesOn {
                self.incoming.set(Incoming::Ended);
            }
            // A read of nothing is the end: it stays readable.
            Ok((count, count > 0 && count < size))
        })
    }

    pub fn unread(&self) -> u32 {
        let unread = rustix::io::ioctl_fionread(&self.descriptor).unwrap_or(0);
        u32::try_from(unread).unwrap_or(u32::MAX)
    }

    /// As [`Socket::try_read`], into `buffer`.
    pub fn try_fill(&self, buffer: &mut Buffer) -> io::Result<usize> {
        let count = self.try_read(buffer.room())?;
        buffer.filled(count);
        Ok(count)
    }

    /// Reads of the next `left` bytes what is there, and counts it down; none after the last, and at an urgent byte.
    pub fn try_read_rest(&self, left: &mut u32) -> io::Result<Option<Buffer>> {
        let mut buffer = Buffer::take();
        let size = buffer.room().len().min(*left as usize);
        if size == 0 {
            return Ok(None);
        }
        match self.try_read(&mut buffer.room()[..size]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(count) => {
                *left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                buffer.filled(count);
                Ok((count > 0).then_some(buffer))
            }
        }
    }

    /// Reads away what is there, within limits: whether that was anything; none if the stream ends with it.
    pub fn read_away(&self) -> Option<bool> {
        let mut room = [0; REST_BYTES / REST_READS];
        for read in 0..REST_READS {
            match self.try_read(&mut room) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(_) => return Some(read > 0),
            }
        }
        Some(true)
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
    pub fn urgent(&self) -> bool {
        self.registration.urgent()
    }

    /// Writes some of `bytes`.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write(context, bytes)).await
    }

    /// Writes all of `bytes`. With `more`, other bytes follow at once: the kernel may wait for them to fill a segment.
    pub async fn write_all(&self, mut bytes: &[u8], more: bool) -> io::Result<()> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        let begin = self.writes_to_nodelay.get();
        while !bytes.is_empty() {
            let put = || self.try_put(|| Ok((retry(|| send(&self.descriptor, bytes, flags))?, false)));
            bytes = &bytes[poll_fn(|context| self.poll_put(context, put)).await?..];
        }
        if more && self.writes_to_nodelay.get() > 0 {
            // What follows is a part of the same write: TCP_NODELAY now would send these bytes alone.
            self.writes_to_nodelay.set(begin);
        }
        Ok(())
    }

    pub fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(context, || self.try_write(bytes, false))
    }

    /// Writes what the socket takes at once of `bytes`. With `more`, other bytes follow at once, as in [`Socket::write_all`].
    /// Errors: `WouldBlock`, or that of the connection.
    pub fn try_write(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        self.try_put(|| {
            let count = retry(|| send(&self.descriptor, bytes, flags))?;
            Ok((count, count < bytes.len()))
        })
    }

    /// Does a write once the socket takes one.
    pub fn poll_put<T>(
        &self,
        context: &Context<'_>,
        mut put: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_writable(context));
            match put() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Does a write if the socket is not known to be full; `put` says as well whether it put in less than it had.
    fn try_put<T>(&self, put: impl FnOnce() -> io::Result<(T, bool)>) -> io::Result<T> {
        if !self.registration.writable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.count_write();
        self.registration.write(put).inspect_err(|error| {
            // After the peer's FIN the kernel tells of its RST as a broken pipe: then the end of its stream was a true one.
            // Any other error says that the connection is lost.
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe) {
                self.lost.set(true);
            }
        })
    }

    fn count_write(&self) {
        let left = self.writes_to_nodelay.get();
        if left == 1 {
            let _ = sockopt::set_tcp_nodelay(&self.descriptor, true);
        }
        if left > 0 {
            self.writes_to_nodelay.set(left - 1);
        }
    }

    /// Moves what is there into an empty pipe, without copying; up to [`PIPE_BYTES`].
    ///
    /// 0 does not mean the end of the stream, and `WouldBlock` not that nothing is there: at an urgent byte the kernel
    /// says both. If this gives no bytes, [`Socket::try_read`] knows why.
    pub fn try_splice_in(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = self.registration.read(|| {
            let count = retry(|| splice(&self.descriptor, None, pipe.write_end(), None, PIPE_BYTES, flags))?;
            Ok((count, false))
        })?;
        pipe.filled(count);
        note_bulk();
        Ok(count)
    }

    /// Moves what the socket takes at once of what the pipe holds.
    /// Errors: `WouldBlock`, or that of the connection.
    pub fn try_splice_out(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = self.try_put(|| {
            let (source, held) = (pipe.read_end(), pipe.held());
            Ok((retry(|| splice(source, None, &self.descriptor, None, held, flags))?, false))
        })?;
        pipe.written(count);
        Ok(count)
    }

    /// Sends one urgent byte (RFC 9293 §3.8.5), for the audit. Only a peer that asks for it in line finds it in the stream.
    pub async fn send_urgent(&self, byte: u8) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::OOB;
        let put = || Ok(((), retry(|| send(&self.descriptor, &[byte], flags))? == 0));
        poll_fn(|context| self.poll_put(context, || self.try_put(put))).await
    }

    /// Ends our stream: the peer gets FIN after all that was written (RFC 9293 §3.6), even if the process dies.
    /// Fails if the connection is gone already.
    ///
    /// If the socket is to be closed next ([`Socket::closes_next`]), close(2) sends the FIN.
    pub fn finish(&self) -> io::Result<()> {
        self.keep_at_close();
        // Where the connection is known to be lost, shutdown(2) says how.
        if self.incoming.get() == Incoming::Last && !self.registration.aborted() {
            return Ok(());
        }
        Ok(shutdown(&self.descriptor, Shutdown::Write)?)
    }

    /// Whether the peer's stream was read to its end.
    pub fn has_ended(&self) -> bool {
        self.incoming.get() != Incoming::GoesOn
    }

    /// Says that the socket is closed as soon as our stream has ended. It counts if the peer's was read to its end: else
    /// close(2) may find bytes that were not read, and reset the connection (RFC 2525 §2.17).
    pub fn closes_next(&self) {
        if self.incoming.get() == Incoming::Ended {
            self.incoming.set(Incoming::Last);
        }
    }

    /// Closes after both streams have ended; nothing that was written is lost.
    pub fn close(self) {
        self.close_when_dropped();
    }

    /// As [`Socket::close`], once it is dropped.
    pub fn close_when_dropped(&self) {
        self.keep_at_close();
        self.at_close.set(AtClose::Clean);
    }

    fn keep_at_close(&self) {
        if self.at_close.get() == AtClose::Reset {
            let _ = set_reset_at_close(&self.descriptor, false);
            self.at_close.set(AtClose::Finished);
        }
    }

    /// Fails if the connection request failed.
    /// A peer that accepted and reset at once was reached; what it sent before is still to be read.
    pub fn connect_result(&self) -> io::Result<()> {
        // The kernel announces an error together with the end of the wait; without one there is nothing to ask for.
        if !self.registration.aborted() {
            return Ok(());
        }
        match sockopt::socket_error(&self.descriptor)? {
            // A connection request is refused with ECONNREFUSED; these two come after the handshake (RFC 9293 §3.10.7).
            Err(Errno::CONNRESET) => self.lost.set(true),
            Err(Errno::PIPE) => {}
            result => result?,
        }
        Ok(())
    }

    /// Has the kernel offer the peer a window of some `bytes` from now on. What it has offered before stays offered (RFC 9293
    /// §3.8.6); it goes no lower than 1 KiB.
    pub fn clamp_window(&self, bytes: u64) {
        clamp_window(&self.descriptor, bytes);
    }

    /// Has the kernel find a peer that has vanished, as `options` say; what it refuses keeps the system's value. On a TCP
    /// socket that is connected.
    pub fn watch_peer(&self, options: &Options) {
        options.apply_watch(&self.descriptor);
    }

    pub fn local_address(&self) -> io::Result<Address> {
        Ok(Address::from_kernel(&getsockname(&self.descriptor)?))
    }

    /// Fails if the connection is gone.
    pub fn peer_address(&self) -> io::Result<Address> {
        let peer = getpeername(&self.descriptor)?;
        Ok(peer.as_ref().map_or_else(Address::unnamed, Address::from_kernel))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.at_close.get() == AtClose::Finished {
            let _ = set_reset_at_close(&self.descriptor, true);
        }
    }
}

/// A non-blocking stream socket that no child inherits.
pub(super) fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Repeats a call that a signal interrupted (signal(7)).
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

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
        if within(Some(pause), socket.aborted()).await.is_some() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
