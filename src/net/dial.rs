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
use futures::FutureExt;
use rustix::{
    io::Errno,
    net::{SocketAddrUnix, connect},
};
use std::{
    collections::VecDeque,
    fs,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// RFC 8305 §5: how long an attempt goes alone before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Attempts under way in one dial: a name with many silent addresses must not take the descriptors of other sessions.
const ATTEMPTS_MAX: usize = 3;
/// Without a descriptor, a dial waits this long before it asks again; a thousand dials that wait cost little.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait for room in a UNIX listener's backlog before asking again.
const UNIX_BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// What a dial connects to.
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
    /// Compared without case.
    pub host: String,
    pub port: u16,
    /// What the name resolves to, in this order.
    pub addresses: Vec<IpAddr>,
}

/// A connection that was made.
pub struct Dialled {
    pub socket: Socket,
    /// The address that answered.
    pub address: Address,
    /// Our address towards it; none of a UNIX socket.
    pub local: Option<Address>,
    /// How long the name took to resolve; none if there was no name.
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
    /// How long the name took to resolve; none if there was no name, or no answer in time.
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

/// How far a dial has come.
#[derive(Default)]
struct Progress {
    resolved: bool,
    resolve: Option<Duration>,
}

type Failure = (DialFailureKind, String);

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
    let mut progress = Progress::default();
    let begin = Instant::now();
    let (kind, text) = match within(limit, destination.reach(options, own, &mut progress)).await {
        Some(Ok(dialled)) => return Ok(dialled),
        Some(Err(failure)) => failure,
        None => {
            let missed = if progress.resolved { "answer" } else { "resolve" };
            let seconds = begin.elapsed().as_secs_f64();
            let text = format!("{} did not {missed} within {seconds:.1} s", destination.endpoint);
            (DialFailureKind::TimedOut, text)
        }
    };
    Err(DialError { kind, text, resolve: progress.resolve })
}

impl Destination {
    async fn reach(
        &self,
        options: &Options,
        own: &[Address],
        progress: &mut Progress,
    ) -> Result<Dialled, Failure> {
        let mut addresses = self.addresses(progress).await?;
        progress.resolved = true;
        let begin = Instant::now();
        let found = addresses.len();
        addresses.retain(|address| !is_own(address, own));
        if addresses.is_empty() && found > 0 {
            let text = format!("{} is this proxy's own listener", self.endpoint);
            return Err((DialFailureKind::Refused, text));
        }
        let (socket, address) = race(addresses, options).await.map_err(|error| self.failed(&error))?;
        let local = socket.local_address().ok().filter(|_| address.ip().is_some());
        // Our own request can meet itself on a port without a listener (simultaneous open, RFC 9293 §3.5).
        if local.as_ref() == Some(&address) {
            return Err(self.failed(&io::ErrorKind::ConnectionRefused.into()));
        }
        Ok(Dialled { socket, address, local, resolve: progress.resolve, connect: begin.elapsed() })
    }

    async fn addresses(&self, progress: &mut Progress) -> Result<VecDeque<Address>, Failure> {
        let (host, port) = match &self.endpoint {
            Endpoint::Unix(path) => return Ok([Address::Unix(path.as_path().into())].into()),
            Endpoint::Tcp { host, port } => (host, *port),
        };
        let name = match host {
            Host::Any => return Ok([Address::Tcp((Ipv4Addr::LOCALHOST, port).into())].into()),
            Host::Ip(ip) => return Ok([Address::Tcp((*ip, port).into())].into()),
            Host::Name(name) => name,
        };
        let begin = Instant::now();
        let found = resolve(name, port, &self.overrides).await;
        progress.resolve = Some(begin.elapsed());
        let failed = |error| (DialFailureKind::NoAddress, format!("cannot resolve {name}: {error}"));
        Ok(found.map_err(failed)?.into_iter().map(Address::Tcp).collect())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailureKind::Refused,
            io::ErrorKind::TimedOut => DialFailureKind::TimedOut,
            _ => DialFailureKind::Unreachable,
        };
        (kind, format!("cannot connect to {}: {}", self.endpoint, reason(error)))
    }
}

/// RFC 8305 §5: the addresses in turn, each with a head start. The first that answers wins; the others are dropped.
///
/// If [`ATTEMPTS_MAX`] are under way, the oldest gives way to the next address and comes again at the end. The head start
/// doubles with each round of the addresses, so that a slow peer gets the time that it needs.
async fn race(mut waiting: VecDeque<Address>, options: &Options) -> io::Result<(Socket, Address)> {
    let addresses = waiting.len();
    let mut attempts: VecDeque<(Address, Pin<Box<_>>)> = VecDeque::new();
    let mut worst: Option<io::Error> = None;
    let mut made = 0;
    loop {
        if let Some(address) = waiting.pop_front() {
            if attempts.len() == ATTEMPTS_MAX {
                waiting.extend(attempts.pop_front().map(|(address, _)| address));
            }
            attempts.push_back((address.clone(), Box::pin(open(address, options))));
            made += 1;
        }
        if attempts.is_empty() {
            return Err(worst.unwrap_or_else(|| io::Error::other("the name has no address")));
        }
        let rounds = u32::try_from((made - 1) / addresses).unwrap_or(u32::MAX);
        let head_start = ATTEMPT_DELAY.saturating_mul(2_u32.saturating_pow(rounds));
        let mut head_start = (!waiting.is_empty()).then(|| sleep(head_start));
        let ended = poll_fn(|context| {
            for (index, (_, attempt)) in attempts.iter_mut().enumerate() {
                if let Poll::Ready(end) = attempt.as_mut().poll(context) {
                    return Poll::Ready(Some((index, end)));
                }
            }
            head_start.as_mut().map_or(Poll::Pending, |sleep| sleep.poll_unpin(context).map(|()| None))
        });
        let Some((index, end)) = ended.await else { continue };
        let address = attempts.remove(index).map(|(address, _)| address);
        match (end, address) {
            (Ok(socket), Some(address)) => return Ok((socket, address)),
            // A refusal says more than a missing route.
            (Err(error), _) if worst.is_none() || error.kind() == io::ErrorKind::ConnectionRefused => {
                worst = Some(error);
            }
            _ => {}
        }
    }
}

/// Connects to one address; waits while the process or the system has no descriptor. Dropping the future ends the attempt.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open(address: Address, options: &Options) -> io::Result<Socket> {
    loop {
        match stream_socket(address.family()) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => {
                sleep(DESCRIPTOR_PAUSE).await;
            }
            descriptor => return connected(descriptor?, &address, options).await,
        }
    }
}

/// As [`open`], but having no descriptor is an error too.
///
/// # Errors
/// Why the connection could not be made.
pub async fn open_at_once(address: &Address, options: &Options) -> io::Result<Socket> {
    connected(stream_socket(address.family())?, address, options).await
}

async fn connected(descriptor: OwnedFd, address: &Address, options: &Options) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            options.apply_to_dialled(&descriptor, address.ip());
            match connect(&descriptor, address) {
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(error) => return Err(error.into()),
            }
            let socket = Socket::new(descriptor, false)?;
            socket.writable().await;
            socket.connect_result()?;
            // Before, it would bound the handshake, which has a limit of its own. It must not fail a connection.
            let _ = socket.set_user_timeout(options);
            Ok(socket)
        }
        Address::Unix(path) => {
            let address = SocketAddrUnix::new(&**path)?;
            // Unlike TCP, a full backlog is an error at once, and cannot be waited for (unix(7)).
            while let Err(error) = connect(&descriptor, &address) {
                match error {
                    Errno::AGAIN => sleep(UNIX_BACKLOG_PAUSE).await,
                    error => return Err(error.into()),
                }
            }
            Socket::new(descriptor, true)
        }
    }
}

/// Whether `destination` can be seen, without resolving it, to be one of the listeners `own`.
#[must_use]
pub fn is_loop(destination: &Destination, own: &[Address]) -> bool {
    let is_own_port = |ip, port| is_own(&Address::Tcp(SocketAddr::new(ip, port)), own);
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    match &destination.endpoint {
        Endpoint::Unix(path) => is_own(&Address::Unix(path.as_path().into()), own),
        Endpoint::Tcp { host: Host::Any, port } => is_own_port(loopback, *port),
        Endpoint::Tcp { host: Host::Ip(ip), port } => is_own_port(*ip, *port),
        Endpoint::Tcp { host: Host::Name(name), port } => {
            let of_name = |entry: &&Override| entry.host == *name && entry.port == *port;
            let mut fixed = destination.overrides.iter().filter(of_name).flat_map(|entry| &entry.addresses);
            name == "localhost" && is_own_port(loopback, *port) || fixed.any(|ip| is_own_port(*ip, *port))
        }
    }
}

/// Whether connecting to `address` would reach one of the listeners `own`.
#[must_use]
pub fn is_own(address: &Address, own: &[Address]) -> bool {
    own.iter().any(|listener| match (address, listener) {
        (Address::Tcp(address), Address::Tcp(listener)) if address.port() == listener.port() => {
            let (ip, listening) = (address.ip().to_canonical(), listener.ip().to_canonical());
            ip == listening
                || (listening.is_unspecified() && is_local(ip))
                || (ip.is_unspecified() && is_local(listening))
        }
        (Address::Unix(path), Address::Unix(listener)) => is_same_file(path, listener),
        _ => false,
    })
}

/// Whether the address is one of this machine's.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// Whether two paths lead to one file: one of them may be relative, or a link.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| fs::metadata(path).ok().map(|is| (is.dev(), is.ino()));
    one == other || number(one).is_some_and(|one| number(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::inline;
    use socket2::SockRef;
    use std::net::{TcpListener, TcpStream};

    /// The kernel gives those who connect every second port of its range, in turn, and rarely skips one.
    const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

    #[test]
    fn a_request_that_meets_itself_at_a_port_without_a_listener_is_refused() {
        let range = fs::read_to_string(RANGE).unwrap();
        let range: Vec<u16> = range.split_whitespace().map(|bound| bound.parse().unwrap()).collect();
        let round = usize::from((range[1] - range[0]) / 2 + 1);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, range[0] + (free - range[0]) / 2 * 2));
        // The control: a plain connection to that port meets itself before long.
        let meets_itself = (0..4 * round).filter_map(|_| TcpStream::connect(target).ok()).find(|stream| {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
            stream.local_addr().unwrap() == target
        });
        drop(meets_itself.expect("a connection meets itself"));
        let destination = Destination { endpoint: target.to_string().parse().unwrap(), overrides: [].into() };
        let dials = inline::run(async {
            for _ in 0..2 * round {
                match dial(&destination, &Options::default(), None, &[]).await {
                    Ok(dialled) => assert_ne!(dialled.local, Some(Address::Tcp(target))),
                    Err(error) => assert_eq!(error.kind, DialFailureKind::Refused, "{}", error.text),
                }
            }
        });
        dials.unwrap();
    }
}
