//! Connecting: resolve, then try the addresses as RFC 8305 ("Happy Eyeballs") says.

use crate::{
    error::reason,
    net::{
        address::{self, Address},
        ceiling,
        endpoint::{Endpoint, Host},
        listener::{AcceptError, classify},
        options::Options,
        pipe,
        resolve::{lacks_descriptors, resolve},
        socket::{Socket, stream_socket},
    },
    runtime::{
        clock::{Sleep, sleep, within_from},
        limit::{Rank, descriptors},
        shard,
    },
};
use futures::FutureExt;
use rustix::{
    io::Errno,
    net::{AddressFamily, connect},
};
use std::{
    cell::Cell,
    collections::VecDeque,
    fs,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// RFC 8305 §5: how long an attempt goes alone before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Attempts under way in one dial: a name with many silent addresses must not take the descriptors of other sessions.
const ATTEMPTS_MAX: usize = 3;
/// How long a name whose lookup found no descriptor waits for the next lookup.
const LOOKUP_PAUSE: Duration = Duration::from_millis(250);
/// How often a name that has no address is looked up again because descriptors are few, though none was seen to be missing.
const LOOKUPS_IN_DOUBT: u32 = 3;
/// Fewer are few: lookups that go on at the same time read a file or two each, and may take each other's descriptors.
const DESCRIPTORS_OF_LOOKUPS: usize = 16;
/// How long to wait for room in a UNIX listener's backlog before asking again.
const UNIX_BACKLOG_PAUSE: Duration = Duration::from_millis(20);

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
    pub addresses: Vec<IpAddr>,
}

pub struct Dialled {
    pub socket: Socket,
    pub address: Address,
    /// None of a UNIX socket.
    pub local: Option<Address>,
    /// How long the name took to resolve; none if there was no name.
    pub resolve: Option<Duration>,
    /// How long connecting took, after that.
    pub connect: Duration,
}

#[derive(Debug)]
pub struct DialError {
    pub kind: DialFailureKind,
    /// One sentence for the user.
    pub text: String,
    /// How long the name took to resolve; none if there was no name, or no answer in time.
    pub resolve: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailureKind {
    NoAddress,
    /// The peer answered with RST, or the address is one of our own listeners.
    Refused,
    /// There is no route to the peer, or no local means to reach it.
    Unreachable,
    TimedOut,
    /// The peer does not speak TLS as it should.
    Handshake,
    /// There was no descriptor, or no memory, for a socket.
    Resources,
}

/// A socket for a dial that is to come. A session whose far leg has one needs no other descriptor.
pub struct Reserved {
    socket: OwnedFd,
    family: AddressFamily,
}

impl Reserved {
    /// It, if a dial to this `family` can use it: that was a guess, of a name, or of a group's first server.
    fn fitting(self, family: AddressFamily) -> Option<Self> {
        (self.family == family).then_some(self)
    }
}

/// Whether the last name that this shard looked up led to an IPv6 address: the next one probably does too.
#[derive(Default)]
struct NamesAreV6(Cell<bool>);

struct Progress {
    /// When the dial began.
    began: Instant,
    resolved: bool,
    resolve: Option<Duration>,
    /// It waits for a descriptor, and for no peer.
    short: bool,
}

type Failure = (DialFailureKind, String);

/// Connects to `destination` within `limit`. Dropping the future ends every attempt at once.
///
/// `own` are this program's listening addresses: connecting to one of them would be a loop, and is refused.
pub async fn dial(
    destination: &Destination,
    options: &Options,
    limit: Option<Duration>,
    own: &[Address],
) -> Result<Dialled, DialError> {
    let dialled = dial_with(None, destination, options, limit, own).await?;
    if dialled.local.is_some() {
        dialled.socket.watch_peer(options);
    }
    Ok(dialled)
}

// Plain functions that return an async block, where sessions dial: an async function stores each argument twice, as passed and
// as used.

/// As [`dial`]; the first attempt uses `reserved`, and [`Socket::watch_peer`] is left to the caller.
pub fn dial_with<'a>(
    reserved: Option<Reserved>,
    destination: &'a Destination,
    options: &'a Options,
    limit: Option<Duration>,
    own: &'a [Address],
) -> impl Future<Output = Result<Dialled, DialError>> + 'a {
    async move {
        let began = Instant::now();
        let mut progress = Progress { began, resolved: false, resolve: None, short: false };
        let reach = destination.reach(reserved, options, own, &mut progress);
        let reached = within_from(began, limit, reach).await;
        let reached = reached.unwrap_or_else(|| Err(destination.late(&progress)));
        reached.map_err(|(kind, text)| DialError { kind, text, resolve: progress.resolve })
    }
}

impl Destination {
    /// A socket of the family that a dial will probably need.
    /// Fails if there is no descriptor or no memory for it.
    pub fn reserve(&self) -> io::Result<Reserved> {
        let family = match self.target() {
            Ok(address) => address.family(),
            Err(_) if shard::own::<NamesAreV6>().0.get() => AddressFamily::INET6,
            Err(_) => AddressFamily::INET,
        };
        session_socket(family).map(|socket| Reserved { socket, family })
    }

    /// The address to connect to; an error if that is a name, with its port.
    pub fn target(&self) -> Result<Address, (&str, u16)> {
        match &self.endpoint {
            Endpoint::Unix(path) => Ok(Address::Unix(path.as_path().into())),
            Endpoint::Tcp { host: Host::Any, port } => Ok(Address::Tcp((Ipv4Addr::LOCALHOST, *port).into())),
            Endpoint::Tcp { host: Host::Ip(ip), port } => Ok(Address::Tcp((*ip, *port).into())),
            Endpoint::Tcp { host: Host::Name(name), port } => Err((name, *port)),
            // The command line takes it for a listener only: as a name, it resolves to nothing.
            Endpoint::Passed(name) => Err((name, 0)),
        }
    }

    fn reach<'a>(
        &'a self,
        reserved: Option<Reserved>,
        options: &'a Options,
        own: &'a [Address],
        progress: &'a mut Progress,
    ) -> impl Future<Output = Result<Dialled, Failure>> + 'a {
        async move {
            let address = match self.target() {
                Ok(address) => address,
                Err(name) => return Box::pin(self.reach_name(name, reserved, options, own, progress)).await,
            };
            if is_own(&address, own) {
                return Err(self.loops());
            }
            progress.resolved = true;
            let began = progress.began;
            // One address has nobody to race.
            let connected = connect_alone(&address, reserved, options, progress).await;
            self.dialled(connected.map(|socket| (socket, address)), None, began)
        }
    }

    async fn reach_name(
        &self,
        name: (&str, u16),
        reserved: Option<Reserved>,
        options: &Options,
        own: &[Address],
        progress: &mut Progress,
    ) -> Result<Dialled, Failure> {
        let race = self.resolved(name, reserved, options, own, progress).await?;
        let (resolve, begin) = (race.progress.resolve, Instant::now());
        self.dialled(race.run().await, resolve, begin)
    }

    fn dialled(
        &self,
        connected: io::Result<(Socket, Address)>,
        resolve: Option<Duration>,
        begin: Instant,
    ) -> Result<Dialled, Failure> {
        let (socket, address) = connected.map_err(|error| self.failed(&error))?;
        let local = socket.local_address().ok().filter(|_| address.ip().is_some());
        // Our own request can meet itself on a port without a listener (simultaneous open, RFC 9293 §3.5).
        if local.as_ref() == Some(&address) {
            return Err(self.failed(&io::ErrorKind::ConnectionRefused.into()));
        }
        Ok(Dialled { socket, address, local, resolve, connect: begin.elapsed() })
    }

    /// The race of the addresses of the name that it is.
    async fn resolved<'a>(
        &self,
        (name, port): (&str, u16),
        mut reserved: Option<Reserved>,
        options: &'a Options,
        own: &[Address],
        progress: &'a mut Progress,
    ) -> Result<Race<'a>, Failure> {
        let begin = Instant::now();
        let found = self.look_up(name, port, &mut reserved, progress).await;
        progress.resolve = Some(begin.elapsed());
        let failed =
            |error| (DialFailureKind::NoAddress, format!("cannot resolve {name}: {}", reason(&error)));
        let found = found.map_err(failed)?;
        shard::own::<NamesAreV6>().0.set(found.first().is_some_and(SocketAddr::is_ipv6));
        progress.resolved = true;
        let (own, waiting): (VecDeque<_>, VecDeque<_>) =
            found.into_iter().map(Address::Tcp).partition(|address| is_own(address, own));
        if waiting.is_empty() && !own.is_empty() {
            return Err(self.loops());
        }
        let reserved = waiting.front().and_then(|first| reserved?.fitting(first.family()));
        let (count, attempts) = (waiting.len(), VecDeque::new());
        let (claim, worst, made) = (None, None, 0);
        Ok(Race { options, progress, reserved, count, waiting, attempts, claim, worst, made })
    }

    /// It was not reached in time.
    fn late(&self, progress: &Progress) -> Failure {
        let (endpoint, seconds) = (&self.endpoint, progress.began.elapsed().as_secs_f64());
        if progress.short {
            let text = format!("no descriptor was free to reach {endpoint} within {seconds:.1} s");
            return (DialFailureKind::Resources, text);
        }
        let missed = if progress.resolved { "answer" } else { "resolve" };
        (DialFailureKind::TimedOut, format!("{endpoint} did not {missed} within {seconds:.1} s"))
    }

    fn loops(&self) -> Failure {
        (DialFailureKind::Refused, format!("{} is this proxy's own listener", self.endpoint))
    }

    /// Resolves `name`. The resolver needs a descriptor too: if it may have found none it is asked again, with the one that the
    /// dial has reserved.
    async fn look_up(
        &self,
        name: &str,
        port: u16,
        reserved: &mut Option<Reserved>,
        progress: &mut Progress,
    ) -> io::Result<Vec<SocketAddr>> {
        let queue = descriptors();
        let (mut place, mut doubts) = (None, LOOKUPS_IN_DOUBT);
        loop {
            let others_wait = || place.is_none() && queue.waiting() > 0;
            let others_waited = others_wait();
            let found = resolve(name, port, &self.overrides).await;
            progress.short = found.as_ref().is_err_and(|error| {
                let is_short = classify(error) == AcceptError::Resources || others_waited || others_wait();
                let is_doubtful = !is_short && doubts > 0 && lacks_descriptors(DESCRIPTORS_OF_LOOKUPS);
                doubts -= u32::from(is_doubtful);
                is_short || is_doubtful
            });
            if !progress.short {
                return found;
            }
            pipe::give_back();
            // While it waits no session begins, so that what it gives up is not taken by one.
            if place.is_some() {
                sleep(LOOKUP_PAUSE).await;
            }
            place.get_or_insert_with(|| queue.join(Rank::Dial));
            *reserved = None;
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailureKind::Refused,
            io::ErrorKind::TimedOut => DialFailureKind::TimedOut,
            _ if classify(error) == AcceptError::Resources => DialFailureKind::Resources,
            _ => DialFailureKind::Unreachable,
        };
        (kind, format!("cannot connect to {}: {}", self.endpoint, reason(error)))
    }
}

/// RFC 8305 §5: the addresses in turn, each with a head start. The first that answers wins; the others are dropped.
///
/// If [`ATTEMPTS_MAX`] are under way, or if there is no descriptor for another, the oldest gives way to the next address and
/// comes again at the end: a dial can go on with one descriptor. The head start doubles with each round of the addresses,
/// so that a slow peer gets the time that it needs.
struct Race<'a> {
    options: &'a Options,
    progress: &'a mut Progress,
    reserved: Option<Reserved>,
    /// Of the addresses.
    count: usize,
    /// The addresses whose turn is to come.
    waiting: VecDeque<Address>,
    attempts: VecDeque<(Address, Pending<'a, Socket>)>,
    /// The next attempt, while it waits for a descriptor.
    claim: Option<(Address, Pending<'a, OwnedFd>)>,
    worst: Option<io::Error>,
    made: usize,
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

enum Event {
    Claimed(io::Result<OwnedFd>),
    Ended(usize, io::Result<Socket>),
    HeadStartOver,
}

impl Race<'_> {
    async fn run(mut self) -> io::Result<(Socket, Address)> {
        self.begin_next();
        loop {
            while self.attempts.is_empty() && self.claim.is_none() {
                if self.waiting.is_empty() {
                    return Err(self.worst.unwrap_or_else(|| io::Error::other("the name has no address")));
                }
                self.begin_next();
            }
            self.progress.short = self.attempts.is_empty();
            let mut head_start = self.head_start();
            match poll_fn(|context| self.poll_event(head_start.as_mut(), context)).await {
                Event::Claimed(descriptor) => {
                    if let Some((address, _)) = self.claim.take() {
                        self.begin(address, descriptor);
                    }
                }
                Event::Ended(index, end) => {
                    let Some((address, _)) = self.attempts.remove(index) else { continue };
                    match end {
                        Ok(socket) => return Ok((socket, address)),
                        Err(error) => self.note(error),
                    }
                    self.begin_next();
                }
                Event::HeadStartOver => {
                    if self.claim.is_some() {
                        self.oldest_gives_way();
                    }
                    self.begin_next();
                }
            }
        }
    }

    fn begin_next(&mut self) {
        // The address that waits has its turn: an attempt that has just ended leaves it a descriptor.
        let claimed = self.claim.take().map(|(address, _)| address);
        let Some(address) = claimed.or_else(|| self.waiting.pop_front()) else { return };
        if self.attempts.len() == ATTEMPTS_MAX {
            self.oldest_gives_way();
        }
        let family = address.family();
        let reserved = self.reserved.take().map(|reserved| Ok(reserved.socket));
        match reserved.unwrap_or_else(|| session_socket(family)) {
            Err(error) if classify(&error) == AcceptError::Resources => {
                self.claim = Some((address, Box::pin(claim(family))));
            }
            descriptor => self.begin(address, descriptor),
        }
    }

    fn begin(&mut self, address: Address, descriptor: io::Result<OwnedFd>) {
        match descriptor {
            Ok(descriptor) => {
                let (options, to) = (self.options, address.clone());
                let attempt = Box::pin(async move { connected(descriptor, &to, options).await });
                self.attempts.push_back((address, attempt));
                self.made += 1;
            }
            Err(error) => self.note(error),
        }
    }

    fn oldest_gives_way(&mut self) {
        self.waiting.extend(self.attempts.pop_front().map(|(address, _)| address));
    }

    fn note(&mut self, error: io::Error) {
        // A refusal says more than a missing route.
        if self.worst.is_none() || error.kind() == io::ErrorKind::ConnectionRefused {
            self.worst = Some(error);
        }
    }

    /// How long the attempts under way go alone, if another is to come.
    fn head_start(&self) -> Option<Sleep> {
        let more = !self.waiting.is_empty() || self.claim.is_some();
        let rounds = u32::try_from(self.made.saturating_sub(1) / self.count).unwrap_or(u32::MAX);
        let head_start = ATTEMPT_DELAY.saturating_mul(2_u32.saturating_pow(rounds));
        (more && !self.attempts.is_empty()).then(|| sleep(head_start))
    }

    fn poll_event(&mut self, head_start: Option<&mut Sleep>, context: &mut Context<'_>) -> Poll<Event> {
        for (index, (_, attempt)) in self.attempts.iter_mut().enumerate() {
            if let Poll::Ready(end) = attempt.as_mut().poll(context) {
                return Poll::Ready(Event::Ended(index, end));
            }
        }
        if let Some((_, claim)) = &mut self.claim
            && let Poll::Ready(descriptor) = claim.as_mut().poll(context)
        {
            return Poll::Ready(Event::Claimed(descriptor));
        }
        head_start.map_or(Poll::Pending, |sleep| sleep.poll_unpin(context).map(|()| Event::HeadStartOver))
    }
}

/// A socket with a descriptor that a session may have.
fn session_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    stream_socket(family).and_then(ceiling::below)
}

/// A socket, once there are a descriptor and memory for it.
async fn claim(family: AddressFamily) -> io::Result<OwnedFd> {
    let mut place = descriptors().join(Rank::Dial);
    loop {
        place.turn().await;
        match session_socket(family) {
            Err(error) if classify(&error) == AcceptError::Resources => {
                pipe::give_back();
                place.failed();
            }
            result => return result,
        }
    }
}

/// Connects to the only address that there is, with what is `reserved` if that fits.
fn connect_alone<'a>(
    address: &'a Address,
    reserved: Option<Reserved>,
    options: &'a Options,
    progress: &'a mut Progress,
) -> impl Future<Output = io::Result<Socket>> + 'a {
    let family = address.family();
    let reserved = reserved.and_then(|reserved| reserved.fitting(family));
    let descriptor = reserved.map_or_else(|| session_socket(family), |reserved| Ok(reserved.socket));
    let is_short = descriptor.as_ref().is_err_and(|error| classify(error) == AcceptError::Resources);
    async move {
        let descriptor = if is_short {
            progress.short = true;
            let claimed = Box::pin(claim(family)).await;
            progress.short = false;
            claimed
        } else {
            descriptor
        };
        connected(descriptor?, address, options).await
    }
}

/// Connects to one address; waits while there is no descriptor. Dropping the future ends the attempt.
pub async fn open(address: Address, options: &Options) -> io::Result<Socket> {
    watched(connected(claim(address.family()).await?, &address, options).await?, options)
}

/// As [`open`], but having no descriptor is an error too.
pub async fn open_at_once(address: &Address, options: &Options) -> io::Result<Socket> {
    watched(connected(stream_socket(address.family())?, address, options).await?, options)
}

fn watched(socket: Socket, options: &Options) -> io::Result<Socket> {
    if socket.local_address()?.ip().is_some() {
        socket.watch_peer(options);
    }
    Ok(socket)
}

fn connected<'a>(
    descriptor: OwnedFd,
    address: &'a Address,
    options: &'a Options,
) -> impl Future<Output = io::Result<Socket>> + 'a {
    async move {
        let socket = match address {
            Address::Tcp(address) => connecting(descriptor, address, options)?,
            Address::Unix(path) => return Box::pin(connected_unix(descriptor, path)).await,
        };
        poll_fn(|context| socket.poll_writable(context)).await;
        socket.connect_result()?;
        Ok(socket)
    }
}

/// It can be written to once it is connected, or has failed.
fn connecting(descriptor: OwnedFd, address: &SocketAddr, options: &Options) -> io::Result<Socket> {
    options.apply_to_dialled(&descriptor, address.ip());
    match connect(&descriptor, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Socket::new(descriptor, false),
        Err(error) => Err(error.into()),
    }
}

async fn connected_unix(descriptor: OwnedFd, path: &Path) -> io::Result<Socket> {
    let address = address::unix(path)?;
    // Unlike TCP, a full backlog is an error at once, and cannot be waited for (unix(7)).
    while let Err(error) = connect(&descriptor, &address) {
        if error != Errno::AGAIN {
            return Err(error.into());
        }
        sleep(UNIX_BACKLOG_PAUSE).await;
    }
    Socket::new(descriptor, true)
}

/// Whether `destination` can be seen, without resolving it, to be one of the listeners `own`.
pub fn is_loop(destination: &Destination, own: &[Address]) -> bool {
    let (name, port) = match destination.target() {
        Ok(address) => return is_own(&address, own),
        Err(name) => name,
    };
    let is_own_port = |ip| is_own(&Address::Tcp(SocketAddr::new(ip, port)), own);
    let of_name = |entry: &&Override| entry.host == *name && entry.port == port;
    let mut fixed = destination.overrides.iter().filter(of_name).flat_map(|entry| &entry.addresses);
    name == "localhost" && is_own_port(Ipv4Addr::LOCALHOST.into()) || fixed.any(|ip| is_own_port(*ip))
}

/// Whether connecting to `address` would reach one of the listeners `own`.
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

fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// Whether two paths lead to one file: one of them may be relative, or a link.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| fs::metadata(path).ok().map(|is| (is.dev(), is.ino()));
    one == other || number(one).is_some_and(|one| number(other) == Some(one))
}

/// What tests dial in vain.
#[cfg(test)]
pub mod fake {
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, SocketAddr};

    /// An address that refuses connections as long as the socket lives: nobody else can listen there.
    pub fn refuses() -> (SocketAddr, Socket) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        (socket.local_addr().unwrap().as_socket().unwrap(), socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard;
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
        let dials = shard::run(async {
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
