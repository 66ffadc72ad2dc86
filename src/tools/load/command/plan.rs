//! What the engine is to do: from the settings to a plan and terms for each thread.

use crate::{
    error::reason,
    net::{
        address::Address,
        dial::{Destination, dial},
        options::Options,
        resolve::resolve,
    },
    runtime::{clock::within, mailbox},
    tools::{
        client::settings::Target,
        failure::{Failure, Fault},
        load::{
            arrivals::Rate,
            content::laid_out,
            run::Plan,
            script::{Script, Step},
            settings::{Body, Expect, Load, Message, Mode},
            shared::Shared,
        },
        own_header::own_header,
    },
};
use std::{fs, path::Path, sync::Arc, time::Duration};

/// Standard streams, epolls and alarms of the threads, signals, a page to write.
const RESERVED_DESCRIPTORS: usize = 32;
/// Each thread has an epoll and an eventfd.
const DESCRIPTORS_A_THREAD: usize = 4;
/// Bytes under way if a bulk stream comes back: more than the buffers on the way take, so that no side waits.
const UNDER_WAY_BYTES: u64 = 4 * 1024 * 1024;
/// No limit: as long as the longest `--duration`.
const FOR_EVER: Duration = Duration::from_secs(100 * 31_557_600);
const FILE_BYTES_MAX: u64 = 1 << 30;

pub struct Prepared {
    /// One for each thread.
    pub plans: Vec<Plan>,
    pub shared: Arc<Shared>,
    pub address: Address,
    pub connections: usize,
    /// The descriptor limit, if that is why there are no more connections.
    pub descriptor_limit: Option<usize>,
    pub request_bytes: u64,
}

/// The message to send, read whole; none: the pattern.
pub fn message(config: &Load) -> Result<Option<Arc<[u8]>>, Failure> {
    if let Target::Http { host, path, .. } = &config.target {
        let body = match &config.http.body {
            None => None,
            Some(Body::Text(text)) => Some(text.clone()),
            Some(Body::File(path)) => Some(read(path)?),
        };
        return Ok(Some(request(config, host, path, body).into()));
    }
    match &config.message {
        Message::Pattern(_) => Ok(None),
        Message::Text(text) => Ok(Some(text.as_slice().into())),
        Message::File(path) => match read(path)? {
            bytes if bytes.is_empty() => {
                Err(Failure::new(Fault::Input, format!("cannot read '{}': it is empty", path.display())))
            }
            bytes => Ok(Some(bytes.into())),
        },
    }
}

/// The request of an HTTP target: the user's fields, and ours of other names.
fn request(config: &Load, host: &str, path: &str, body: Option<Vec<u8>>) -> Vec<u8> {
    let http = &config.http;
    let name = |field: &str| field.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_given = |ours: &str| http.fields.iter().any(|field| name(field) == name(ours));
    let mut ours =
        vec![format!("Host: {host}"), format!("User-Agent: switchboard/{}", env!("CARGO_PKG_VERSION"))];
    if config.mode == Mode::Churn {
        ours.push("Connection: close".into());
    }
    if body.is_some() {
        ours.push("Content-Type: application/x-www-form-urlencoded".into());
    }
    ours.extend(body.as_ref().map(|body| format!("Content-Length: {}", body.len())));
    ours.retain(|field| !is_given(field));
    let fields = ours.iter().chain(&http.fields).map(|field| field.clone() + "\r\n");
    let head = format!("{} {path} HTTP/1.1\r\n{}\r\n", http.method(), fields.collect::<String>());
    [head.into_bytes(), body.unwrap_or_default()].concat()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::new(Fault::Input, format!("cannot read '{}': {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| failed(reason(&error)))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    fs::read(path).map_err(|error| failed(reason(&error)))
}

/// Finds the target, and shares the work out.
pub async fn prepare(
    config: &Load,
    message: Option<Arc<[u8]>>,
    descriptors: usize,
    watcher: mailbox::Sender<()>,
) -> Result<Prepared, Failure> {
    let address = find(config).await?;
    let most =
        descriptors.saturating_sub(RESERVED_DESCRIPTORS + config.threads * DESCRIPTORS_A_THREAD).max(1);
    let asked = config.connections.unwrap_or(most);
    let connections = asked.min(most);
    let limited = asked > most || config.connections.is_none();
    // A thread without a request would only wait for its turn, and its connections with it.
    let requests = config.requests.map_or(usize::MAX, |requests| requests.try_into().unwrap_or(usize::MAX));
    let threads = config.threads.min(connections).min(requests);
    let request_bytes = match (&message, &config.message) {
        (None, Message::Pattern(size)) => *size,
        (message, _) => message.as_ref().map_or(0, |message| message.len() as u64),
    };
    let stream = message.map(laid_out);
    let script = script(config, request_bytes);
    let plan = |number: usize| Plan {
        target: address.clone(),
        tls: config.tls.clone(),
        send_proxy: config.send_proxy,
        connections: share(connections as u64, threads, number) as usize,
        script: script.clone(),
        warm_up: config.warm_up,
        window: config.duration.unwrap_or(FOR_EVER),
        operations: config.requests.map(|requests| share(requests, threads, number)),
        message: stream.clone(),
        blind: config.expect != Expect::Echo || config.target.is_http(),
        rate: config.rate.map(|rate| rate_of(rate, threads, number)),
        connect_rate: config.connect_rate.map(|rate| rate_of(rate, threads, number)),
        timeout: config.timeout,
        needs_target: true,
    };
    Ok(Prepared {
        plans: (0..threads).map(plan).collect(),
        shared: Arc::new(Shared::new(threads, watcher)),
        address,
        connections,
        descriptor_limit: limited.then_some(descriptors),
        request_bytes,
    })
}

fn share(whole: u64, threads: usize, number: usize) -> u64 {
    let threads = threads as u64;
    whole / threads + u64::from((number as u64) < whole % threads)
}

/// The threads' operations are due in turn, and their connections made in turn.
fn rate_of(rate: usize, threads: usize, number: usize) -> Rate {
    let first = Duration::from_secs_f64(number as f64 / rate as f64);
    Rate { per_second: rate as f64 / threads as f64, first }
}

fn script(config: &Load, size: u64) -> Script {
    let http = config.target.is_http();
    let answer = match config.expect {
        _ if http => Step::ExpectAnswer,
        Expect::Echo => Step::ExpectExactly(size),
        Expect::Bytes(count) => Step::ExpectExactly(count),
        Expect::UntilClose => Step::ExpectRest,
    };
    let only_if = |wanted: bool, step: Step| if wanted { vec![step] } else { vec![] };
    let (finish, end) =
        (only_if(config.half_close, Step::HalfClose), only_if(config.half_close, Step::ExpectEnd));
    let (connect, close) = (vec![Step::Connect], vec![Step::Close]);
    match config.mode {
        Mode::Pingpong => Script {
            before: connect,
            each: [only_if(http, Step::Reconnect), vec![Step::Send(size), answer]].concat(),
            after: [finish, end, close].concat(),
        },
        Mode::Churn => {
            let end = if config.expect == Expect::UntilClose { vec![] } else { end };
            let each = [connect, vec![Step::Send(size)], finish, vec![answer], end, close].concat();
            Script { each, ..Script::default() }
        }
        Mode::Bulk => {
            let (back, under_way) = match config.expect {
                Expect::Echo => (size, UNDER_WAY_BYTES),
                Expect::Bytes(count) => (count, 0),
                // The command line refuses it.
                Expect::UntilClose => (0, 0),
            };
            Script {
                before: vec![Step::Connect, Step::Send(under_way)],
                each: vec![Step::Send(size), Step::Expect(back)],
                after: [finish, vec![Step::Expect(under_way)], end, close].concat(),
            }
        }
    }
}

/// The address of the target. Of several, the one that answers: that costs one connection beside those of the load.
async fn find(config: &Load) -> Result<Address, Failure> {
    let endpoint = config.target.endpoint().clone();
    let destination = Destination { endpoint, overrides: config.overrides.clone() };
    let (name, port) = match destination.target() {
        Ok(address) => return Ok(address),
        Err(name) => name,
    };
    let unresolved = |why: String| Failure::new(Fault::Resolve, format!("cannot resolve {name}: {why}"));
    let found = within(config.timeout, resolve(name, port, &config.overrides)).await;
    let found = found.ok_or_else(|| unresolved("no answer in time".into()))?;
    let addresses = found.map_err(|error| unresolved(error.to_string()))?;
    if let [address] = addresses[..] {
        return Ok(Address::Tcp(address));
    }
    let dialled = dial(&destination, &Options::default(), config.timeout, &[]).await;
    let dialled = dialled.map_err(|error| Failure::new(Fault::Connect, error.text))?;
    // A proxy that waits for a header must not take this connection for a fault.
    if let Ok(header) = own_header(config.send_proxy, &dialled.socket) {
        let _ = dialled.socket.try_write(&header, false);
    }
    dialled.socket.close();
    Ok(dialled.address)
}
