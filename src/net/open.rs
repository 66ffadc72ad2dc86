//! Connecting to one address, of a name or of a UNIX listener, once it is known.

use crate::{
    net::{listener::stream_socket, options::Options, socket::Socket},
    runtime::clock::sleep,
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, connect},
};
use std::{io, net::SocketAddr, os::fd::OwnedFd, path::Path, time::Duration};

/// Out of descriptors, a dial waits this long before it asks again; a thousand of them cost little.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait for room in a UNIX listener's backlog before asking again.
const UNIX_BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// Connects to one address; waits while the process or the system has no descriptor. Dropping the future ends the attempt.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open_tcp(address: SocketAddr, options: &Options) -> io::Result<Socket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    connect_tcp(descriptor(family).await?, address, options).await
}

/// As [`open_tcp`], but being out of descriptors is an error too.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open_tcp_at_once(address: SocketAddr, options: &Options) -> io::Result<Socket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    connect_tcp(stream_socket(family)?, address, options).await
}

async fn connect_tcp(descriptor: OwnedFd, address: SocketAddr, options: &Options) -> io::Result<Socket> {
    // The user timeout would bound the handshake too, which has a limit of its own.
    Options { user_timeout: None, ..*options }.apply(&descriptor, address.ip())?;
    match connect(&descriptor, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = Socket::new(descriptor, false)?;
    socket.writable().await;
    socket.connect_result()?;
    socket.set_user_timeout(options)?;
    Ok(socket)
}

/// As [`open_tcp_at_once`], to a UNIX listener.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open_unix_at_once(path: &Path) -> io::Result<Socket> {
    connect_unix(stream_socket(AddressFamily::UNIX)?, path).await
}

/// Connects to a UNIX listener; waits while there is no descriptor.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open_unix(path: &Path) -> io::Result<Socket> {
    connect_unix(descriptor(AddressFamily::UNIX).await?, path).await
}

async fn connect_unix(descriptor: OwnedFd, path: &Path) -> io::Result<Socket> {
    let address = SocketAddrUnix::new(path)?;
    loop {
        match connect(&descriptor, &address) {
            Ok(()) => return Socket::new(descriptor, true),
            // Unlike TCP, a full backlog is told at once and cannot be waited for (unix(7)).
            Err(Errno::AGAIN) => sleep(UNIX_BACKLOG_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A descriptor; waits while the process or the system has none.
async fn descriptor(family: AddressFamily) -> io::Result<OwnedFd> {
    loop {
        match stream_socket(family) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => {
                sleep(DESCRIPTOR_PAUSE).await;
            }
            result => return result,
        }
    }
}
