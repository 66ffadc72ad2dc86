//! Whether the proxy can be reached, and reaches the origin: without that there is nothing to audit.

use crate::{
    error::reason,
    net::{
        address::Address,
        dial::{Destination, dial, is_own},
        endpoint::Endpoint,
        options::Options,
        socket::Socket,
    },
    runtime::clock::{sleep, within},
    tools::{
        audit::{
            ground::{ARRIVAL_LIMIT, Ground, Trial, Way},
            observation::{End, Record},
            side::PATIENCE,
        },
        failure::{Failure, Fault},
    },
};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a proxy that checks its origin's health takes to find it alive (HAProxy: two checks, 2 s apart). The last try
/// begins before that.
const FORWARD_LIMIT: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(250);

/// Connects to the proxy. Returns the address that answered, too.
pub async fn connect(via: &Endpoint, origin: &Address) -> Result<(Socket, SocketAddr), Failure> {
    let destination = Destination { endpoint: via.clone(), overrides: [].into() };
    let unreachable =
        |text: String| Failure::new(Fault::Connect, format!("the proxy cannot be reached: {text}"));
    let dialled = dial(&destination, &Options::default(), Some(PATIENCE), &[]).await;
    let dialled = dialled.map_err(|error| unreachable(error.text))?;
    if is_own(&dialled.address, std::slice::from_ref(origin)) {
        let text = format!("{via} is the audit's own origin; give the proxy's address as --via");
        return Err(Failure::new(Fault::Internal, text));
    }
    match dialled.address {
        Address::Tcp(address) => Ok((dialled.socket, address)),
        Address::Unix(_) => Err(unreachable(format!("{via} is a UNIX socket"))),
    }
}

/// Waits until a connection to the proxy arrives at the origin; `first` is one that was made already.
/// Errors: it does not within its time, or the proxy does not speak TLS as it is to.
pub async fn forwards(ground: &Ground, first: Socket) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut first = Some(first);
    loop {
        let record = Record::default();
        let trial = Trial { ground, way: Way::Through, record: &record, pause: Duration::ZERO };
        let left = (FORWARD_LIMIT + ARRIVAL_LIMIT).saturating_sub(begin.elapsed());
        match within(Some(left), arrives(trial, first.take())).await {
            Some(Ok(true)) => return Ok(()),
            Some(Err(error)) => {
                let (fault, via) = (Fault::of_handshake(&error), ground.address(Way::Through).to_string());
                let failure = Failure::unreached(fault, &via, &reason(&error));
                // Whatever it is, there is no proxy to audit.
                return Err(Failure { fault: Fault::Connect, ..failure });
            }
            _ => {}
        }
        if begin.elapsed() >= FORWARD_LIMIT {
            return Err(Failure::new(Fault::Connect, never_came(ground, &record)));
        }
        sleep(PAUSE).await;
    }
}

/// Whether a connection through the proxy, or the one that was made already, arrives at the origin.
/// Errors: the latter is not spoken TLS on.
async fn arrives(trial: Trial<'_>, made: Option<Socket>) -> io::Result<bool> {
    let leg = match made {
        Some(socket) => match trial.secure(socket).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
            leg => leg.ok(),
        },
        None => trial.connect().await,
    };
    let Some(leg) = leg else { return Ok(false) };
    let Some(talk) = trial.introduce(leg).await else { return Ok(false) };
    // How it ends is not looked at here.
    within(Some(PATIENCE), talk.part()).await;
    talk.close().await;
    Ok(true)
}

fn never_came(ground: &Ground, record: &Record) -> String {
    let (via, origin) = (ground.address(Way::Through), ground.origin.address());
    let seen = record.client.get();
    let meanwhile = match seen.end {
        End::Fin => "closes them",
        End::Reset => "resets them",
        End::Truncated | End::Broken => "breaks off their TLS",
        End::Refused => "refuses others",
        _ if seen.received > 0 => "answers them itself",
        _ => "keeps them",
    };
    let question =
        if ground.ends_tls() { "does it end TLS, and forward there?" } else { "does it forward there?" };
    format!(
        "the proxy takes connections at {via} and {meanwhile}, and none comes to the origin at {origin}; {question}"
    )
}
