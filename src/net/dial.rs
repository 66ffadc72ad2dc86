//! Connecting: resolve, then try the addresses as RFC 8305 ("Happy Eyeballs") says.

use crate::{
    error::reason,
    net::{
        address::Address,
        endpoint::{Endpoint, Host},
        options::Options,
        resolve::resolve,
        socket::{Socket, stream_socket},
    },
    runtime::clock::{sleep, within},
};
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, connect},
};
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// As typed; a name is resolved for each connection.
    pub endpoint: Endpoint,
    /// `--resolve`: addresses to use in place of the resolver's.
    pub overrides: Arc<[Override]>,
}

/// `--resolve host:port:addr[,addr…]`, as in curl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name that is not looked up, compared without case.
    pub host: String,
    /// The port it holds for.
    pub port: u16,
    /// What it resolves to, in this order.
    pub addresses: Vec<IpAddr>,
}

/// RFC 8305 §5: how long an attempt goes alone before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection that was made.
pub struct Dialled {
    /// The connected socket.
    pub socket: Socket,
    /// The address that answered.
    pub address: Address,
    /// Our address towards it.
    pub local: Option<Address>,
    /// How long the name took to resolve; none where there was no name.
    pub resolve: Option<Duration>,
    /// How long connecting took, after that.
    pub connect: Duration,
}

/// A connection that could not be made.
#[derive(Debug)]
pub struct DialError {
    /// Why, for a decision.
    pub kind: DialFailureKind,
    /// Why, in words.
    pub text: String,
    /// How long the name took to resolve, where it did.
    pub resolve: Option<Duration>,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailureKind {
    /// The name did not resolve.
    NoAddress,
    /// The peer answered with RST, or the address is one of our own listeners.
    Refused,
    /// There is no route to the peer, or no local means to reach it.
    Unreachable,
    /// No answer came in time.
    TimedOut,
}

/// Connects to `destination` within `limit`. Dropping the future ends every attempt at once.
///
/// `own` are this program's listening addresses: connecting to one of them would be a loop, and is refused.
///
/// # Errors
/// [`DialError`] says why.
pub async fn dial(
    destination: &Destination,
    options: &Options,
    limit: Option<Duration>,
    own: &[Address],
) -> Result<Dialled, DialError> {
    let mut resolved = None;
    let begin = Instant::now();
    match within(limit, attempt_all(destination, options, own, &mut resolved)).await {
        Some(result) => result,
        None => Err(DialError {
            kind: DialFailureKind::TimedOut,
            text: match resolved {
                Some(_) => format!(
                    "{} did not answer within {:.1} s",
                    destination.endpoint,
                    begin.elapsed().as_secs_f64()
                ),
                None => format!(
                    "{} did not resolve within {:.1} s",
                    destination.endpoint,
                    begin.elapsed().as_secs_f64()
                ),
            },
            resolve: resolved.flatten(),
        }),
    }
}

/// `resolved` tells the caller how far it came when the time is over.
async fn attempt_all(
    destination: &Destination,
    options: &Options,
    own: &[Address],
    resolved: &mut Option<Option<Duration>>,
) -> Result<Dialled, DialError> {
    let begin = Instant::now();
    let (addresses, port) = match &destination.endpoint {
        Endpoint::Unix(path) => {
            *resolved = Some(None);
            let socket = open_unix(path).await.map_err(|error| failed(destination, &error, None))?;
            let address = Address::Unix(path.as_path().into());
            return Ok(Dialled { socket, address, local: None, resolve: None, connect: begin.elapsed() });
        }
        Endpoint::Tcp { host: Host::Any, port } => {
            (vec![SocketAddr::from((Ipv4Addr::LOCALHOST, *port))], *port)
        }
        Endpoint::Tcp { host: Host::Ip(ip), port } => (vec![SocketAddr::new(*ip, *port)], *port),
        Endpoint::Tcp { host: Host::Name(name), port } => {
            let found = resolve(name, *port, &destination.overrides).await;
            *resolved = Some(Some(begin.elapsed()));
            let text = |error: io::Error| format!("cannot resolve {name}: {error}");
            (
                found.map_err(|error| DialError {
                    kind: DialFailureKind::NoAddress,
                    text: text(error),
                    resolve: Some(begin.elapsed()),
                })?,
                *port,
            )
        }
    };
    let resolve = resolved.get_or_insert(None).to_owned();
    let (loops, addresses): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| is_own(*address, port, own));
    if addresses.is_empty() && !loops.is_empty() {
        let text = format!("{} is this proxy's own listener", destination.endpoint);
        return Err(DialError { kind: DialFailureKind::Refused, text, resolve });
    }
    let begin = Instant::now();
    let (socket, address) =
        race(addresses.into(), options).await.map_err(|error| failed(destination, &error, resolve))?;
    let (address, local) = (Address::Tcp(address), socket.local_address().ok());
    // A port that nobody listens on can be met by our own request (simultaneous open, RFC 9293 §3.5).
    if local.as_ref() == Some(&address) {
        return Err(failed(destination, &io::ErrorKind::ConnectionRefused.into(), resolve));
    }
    Ok(Dialled { socket, address, local, resolve, connect: begin.elapsed() })
}

/// RFC 8305 §5: the addresses in turn, each with a head start; the first that answers wins, the others are dropped.
async fn race(mut addresses: VecDeque<SocketAddr>, options: &Options) -> io::Result<(Socket, SocketAddr)> {
    let mut attempts = FuturesUnordered::new();
    let mut worst: Option<io::Error> = None;
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.push(open_tcp(address, options).map(move |end| end.map(|socket| (socket, address))));
        }
        let head_start = if addresses.is_empty() {
            futures::future::pending().left_future()
        } else {
            sleep(ATTEMPT_DELAY).right_future()
        };
        match select(attempts.next(), head_start).await {
            Either::Left((Some(Ok(connected)), _)) => return Ok(connected),
            Either::Left((Some(Err(error)), _)) => {
                // A refusal says more than a missing route.
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                if refused || worst.is_none() {
                    worst = Some(error);
                }
                if addresses.is_empty() && attempts.is_empty() {
                    return Err(worst.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
                }
            }
            Either::Left((None, _)) => {
                return Err(worst.unwrap_or_else(|| io::Error::other("the name has no address")));
            }
            Either::Right(_) => {}
        }
    }
}

fn failed(destination: &Destination, error: &io::Error, resolve: Option<Duration>) -> DialError {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailureKind::Refused,
        io::ErrorKind::TimedOut => DialFailureKind::TimedOut,
        _ => DialFailureKind::Unreachable,
    };
    DialError {
        kind,
        text: format!("cannot connect to {}: {}", destination.endpoint, reason(error)),
        resolve,
    }
}

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
    Options { user_timeout: None, ..*options }.apply(&descriptor, address.ip());
    match connect(&descriptor, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = Socket::new(descriptor, false)?;
    socket.writable().await;
    socket.connect_result()?;
    // It fails only if the connection is gone, which the first read or write tells better.
    let _ = socket.set_user_timeout(options);
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

/// Whether `destination` can be seen, without resolving it, to be one of the listeners `own`.
#[must_use]
pub fn is_loop(destination: &Destination, own: &[Address]) -> bool {
    match &destination.endpoint {
        Endpoint::Unix(path) => {
            own.iter().any(|address| matches!(address, Address::Unix(own) if **own == **path))
        }
        Endpoint::Tcp { host, port } => match host {
            Host::Any => is_own(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), *port, own),
            Host::Ip(ip) => is_own(SocketAddr::new(*ip, *port), *port, own),
            Host::Name(name) => {
                let fixed =
                    destination.overrides.iter().filter(|entry| entry.host == *name && entry.port == *port);
                let mut addresses = fixed.flat_map(|entry| entry.addresses.iter().copied());
                name == "localhost" && is_own(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), *port, own)
                    || addresses.any(|ip| is_own(SocketAddr::new(ip, *port), *port, own))
            }
        },
    }
}

/// Whether connecting to `address` would reach one of the listeners `own`.
#[must_use]
pub fn is_own(address: SocketAddr, port: u16, own: &[Address]) -> bool {
    own.iter().any(|listener| match listener {
        Address::Tcp(listener) if listener.port() == port => {
            let (ip, listening) = (address.ip().to_canonical(), listener.ip().to_canonical());
            ip == listening
                || (listening.is_unspecified() && is_local(ip))
                || (ip.is_unspecified() && is_local(listening))
        }
        _ => false,
    })
}

/// Whether the address is one of this machine's.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || std::net::UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}
