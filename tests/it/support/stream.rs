//! One end of a connection as a test sees it: the bytes that came, and how the stream ended.

use crate::support::{
    proc,
    wait::{LIMIT, within},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN: all of it was there.
    Fin,
    /// With a RST: it may be cut off.
    Reset,
}

/// What one end received until the end of its stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub end: End,
}

/// Connects, with every later wait on the stream bounded.
pub fn connect(address: SocketAddr) -> TcpStream {
    connect_socket(Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap(), address)
}

/// Connects from a given source address.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    connect_socket(socket, address)
}

/// Waits for the answer to the connection request, and leaves a RST that follows it at once to the first read.
fn connect_socket(socket: Socket, address: SocketAddr) -> TcpStream {
    socket.set_nonblocking(true).unwrap();
    if let Err(error) = socket.connect(&address.into()) {
        assert_eq!(error.raw_os_error(), Some(Errno::INPROGRESS.raw_os_error()), "cannot connect: {error}");
    }
    let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
    assert_eq!(poll(&mut polled, Some(&limit())).unwrap(), 1, "no connection to {address}");
    socket.set_nonblocking(false).unwrap();
    bounded(socket.into())
}

/// [`LIMIT`] for the kernel.
fn limit() -> Timespec {
    Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 }
}

/// Bounds every wait on `stream` and sends small writes at once.
pub fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads to the end of the stream, whichever way it ends.
pub fn read_to_end(stream: &mut impl Read) -> Received {
    let mut bytes = Vec::new();
    let end = read_each(stream, |piece| bytes.extend_from_slice(piece));
    Received { bytes, end }
}

/// Hands every piece to `piece` until the stream ends, and says how it did.
pub fn read_each(stream: &mut impl Read, mut piece: impl FnMut(&[u8])) -> End {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return End::Fin,
            Ok(length) => {
                total += length;
                piece(&buffer[..length]);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return End::Reset,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no end of stream after {total} bytes: {error}"),
        }
    }
}

/// Reads exactly `length` bytes.
pub fn read_exactly(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("expected {length} bytes: {error}"));
    bytes
}

/// Sends `bytes` and reads them back: the server at the other end is alive and serving this stream.
pub fn exchange(stream: &mut (impl Read + Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    assert_eq!(read_exactly(stream, bytes.len()), bytes);
}

/// Writes pieces until the connection refuses more, and says with what error.
pub fn write_until_refused(stream: &mut TcpStream) -> ErrorKind {
    let piece = [b'u'; 16 * 1024];
    loop {
        if let Err(error) = stream.write_all(&piece) {
            return error.kind();
        }
    }
}

/// Ends the connection with a RST at once; what was not yet sent is lost.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits until the kernel of the other end has taken every byte written to `stream`.
pub fn await_acknowledged(stream: &TcpStream) {
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    within(LIMIT, "the peer's kernel takes all bytes", || {
        let socket = proc::sockets().into_iter().find(|socket| socket.joins(local, remote))?;
        (socket.unsent == 0).then_some(())
    });
}

/// Waits until the connection is gone altogether: a RST came, even behind a FIN that was already read.
pub fn await_hangup(stream: &TcpStream) {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut polled, Some(&limit())).unwrap();
    assert!(polled[0].revents().contains(PollFlags::HUP), "the connection was not torn down");
}

/// Whether nothing arrives on `stream`, neither bytes nor an end, for `window`.
pub fn is_silent(stream: &mut TcpStream, window: Duration) -> bool {
    stream.set_read_timeout(Some(window)).unwrap();
    let outcome = stream.read(&mut [0]);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Writes zero bytes until the other side has stopped taking any for `pause`; returns how many it took.
pub fn write_until_blocked(stream: &mut TcpStream, pause: Duration) -> usize {
    let piece = vec![0; 64 * 1024];
    let mut total = 0;
    let mut last_progress = Instant::now();
    stream.set_nonblocking(true).unwrap();
    while last_progress.elapsed() < pause {
        match stream.write(&piece) {
            Ok(length) => {
                total += length;
                last_progress = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("the connection failed after {total} bytes: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    total
}
