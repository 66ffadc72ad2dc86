//! Connecting: resolve, then try the addresses as RFC 8305 ("Happy Eyeballs") says.

use crate::{
    net::{
        address::Address,
        endpoint::{Endpoint, Host},
        open::{open_tcp, open_unix},
        options::Options,
        own::is_own,
        resolve::resolve,
        socket::Socket,
    },
    runtime::clock::{sleep, within},
    session::cause::Cause,
};
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// Where a proxy connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
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
    /// Why, as the log names it.
    pub cause: Cause,
    /// Why, in words.
    pub text: String,
    /// How long the name took to resolve, where it did.
    pub resolve: Option<Duration>,
}

/// Connects to `upstream` within `limit`. Dropping the future ends every attempt at once.
///
/// `own` are this program's listening addresses: connecting to one of them would be a loop, and is refused.
///
/// # Errors
/// [`DialError`] names the cause.
pub async fn dial(
    upstream: &Upstream,
    options: &Options,
    limit: Option<Duration>,
    own: &[Address],
) -> Result<Dialled, DialError> {
    let mut resolved = None;
    let begin = Instant::now();
    match within(limit, attempt_all(upstream, options, own, &mut resolved)).await {
        Some(result) => result,
        None => Err(DialError {
            cause: Cause::ConnectTimeout,
            text: match resolved {
                Some(_) => format!(
                    "{} did not answer within {:.1} s",
                    upstream.endpoint,
                    begin.elapsed().as_secs_f64()
                ),
                None => format!(
                    "{} did not resolve within {:.1} s",
                    upstream.endpoint,
                    begin.elapsed().as_secs_f64()
                ),
            },
            resolve: resolved.flatten(),
        }),
    }
}

/// `resolved` tells the caller how far it came when the time is over.
async fn attempt_all(
    upstream: &Upstream,
    options: &Options,
    own: &[Address],
    resolved: &mut Option<Option<Duration>>,
) -> Result<Dialled, DialError> {
    let begin = Instant::now();
    let (addresses, port) = match &upstream.endpoint {
        Endpoint::Unix(path) => {
            *resolved = Some(None);
            let socket = open_unix(path).await.map_err(|error| failed(upstream, &error, None))?;
            let address = Address::Unix(path.as_path().into());
            return Ok(Dialled { socket, address, local: None, resolve: None, connect: begin.elapsed() });
        }
        Endpoint::Tcp { host: Host::Any, port } => {
            (vec![SocketAddr::from((Ipv4Addr::LOCALHOST, *port))], *port)
        }
        Endpoint::Tcp { host: Host::Ip(ip), port } => (vec![SocketAddr::new(*ip, *port)], *port),
        Endpoint::Tcp { host: Host::Name(name), port } => {
            let found = resolve(name, *port, &upstream.overrides).await;
            *resolved = Some(Some(begin.elapsed()));
            let text = |error: io::Error| format!("cannot resolve {name}: {error}");
            (
                found.map_err(|error| DialError {
                    cause: Cause::ResolveFailed,
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
        let text = format!("{} is this proxy's own listener", upstream.endpoint);
        return Err(DialError { cause: Cause::ConnectRefused, text, resolve });
    }
    let begin = Instant::now();
    let (socket, address) =
        race(addresses.into(), options).await.map_err(|error| failed(upstream, &error, resolve))?;
    let (address, local) = (Address::Tcp(address), socket.local_address().ok());
    // A port that nobody listens on can be met by our own request (simultaneous open, RFC 9293 §3.5).
    if local.as_ref() == Some(&address) {
        return Err(failed(upstream, &io::ErrorKind::ConnectionRefused.into(), resolve));
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

fn failed(upstream: &Upstream, error: &io::Error, resolve: Option<Duration>) -> DialError {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Cause::ConnectRefused,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        _ => Cause::ConnectUnreachable,
    };
    DialError { cause, text: format!("cannot connect to {}: {}", upstream.endpoint, reason(error)), resolve }
}

/// The error in words, without the number that the standard library adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
