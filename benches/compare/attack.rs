//! Hostile peers, each kind at a rate that is stated: clients of a listener that ends TLS, and servers that are spoken TLS to.
//!
//! They cost themselves little, so that what is measured beside them is the server and not this machine: hellos are made
//! once, records of nothing are encrypted by hand. And they give way to all others (`SCHED_IDLE`, sched(7)): they stand for
//! other machines. With a common priority, one that writes its records would keep the processor on which a neighbour's peer or
//! the server waits, until the next tick (up to 4 ms).

use crate::{certificate, child::quiet};
use rustix::thread::gettid;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    ServerConfig, ServerConnection, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{
        aws_lc_rs,
        cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
    },
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The longest wait for a server's word.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks whether the attack is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Clients of most kinds at a time.
const CLIENTS: usize = 8;
/// Clients that say a byte a second, each.
const SLOW_CLIENTS: usize = 50;
const BURST: usize = 200;
const MS: fn(u64) -> Duration = Duration::from_millis;
const GARBAGE: [u8; 1024] = [0xa5; 1024];
/// Records, or renewals of keys, at most, of a connection; a server ends it long before.
const FLOOD: usize = 2000;
/// Type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;
const TICKETS: usize = 100_000;
const CHAIN_BYTES: usize = 1 << 20;

/// What a hostile peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    Garbage,
    HalfHello,
    ByteASecond,
    /// Handshakes as anyone makes them, one by one.
    Handshakes,
    /// Hellos of many clients, in one moment.
    HelloBurst,
    Renegotiation,
    KeyUpdates,
    EmptyRecords,
    /// A server that sends tickets.
    Tickets,
    /// A server with a long chain.
    LongChain,
}

/// Where an attack is aimed at.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// Ends TLS.
    pub tls: SocketAddr,
    /// Leads to the server with the tickets, and to that with the chain.
    pub tickets: SocketAddr,
    pub chain: SocketAddr,
}

/// The hostile servers; they live as long as this process.
#[derive(Clone, Copy, Debug)]
pub struct HostileServers {
    pub tickets: SocketAddr,
    pub chain: SocketAddr,
}

/// An attack under way; it ends when this is dropped.
pub struct Siege {
    over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Attack {
    pub const ALL: [Attack; 10] = [
        Attack::Garbage,
        Attack::HalfHello,
        Attack::ByteASecond,
        Attack::Handshakes,
        Attack::HelloBurst,
        Attack::Renegotiation,
        Attack::KeyUpdates,
        Attack::EmptyRecords,
        Attack::Tickets,
        Attack::LongChain,
    ];

    /// What it is, and how much of it.
    pub fn name(self) -> &'static str {
        match self {
            Attack::Garbage => "1 KiB of garbage, 50/s",
            Attack::HalfHello => "half a hello, 50/s",
            Attack::ByteASecond => "a byte a second, 50 clients",
            Attack::Handshakes => "whole handshakes, 50/s",
            Attack::HelloBurst => "200 hellos at once, 2/s",
            Attack::Renegotiation => "renegotiation, 50/s",
            Attack::KeyUpdates => "2000 KeyUpdates, 20/s",
            Attack::EmptyRecords => "2000 empty records, 20/s",
            Attack::Tickets => "100,000 tickets, one after the other",
            Attack::LongChain => "a chain of 1 MiB, 10/s",
        }
    }

    /// Whether a server does what it is asked to, and computes for it, as it would for anyone.
    pub fn is_work(self) -> bool {
        matches!(self, Attack::Handshakes | Attack::HelloBurst | Attack::LongChain)
    }

    /// How many threads do it, and how often each begins anew.
    fn pace(self) -> (usize, Duration) {
        match self {
            Attack::Garbage | Attack::HalfHello | Attack::Handshakes | Attack::Renegotiation => {
                (CLIENTS, MS(160))
            }
            Attack::KeyUpdates | Attack::EmptyRecords => (CLIENTS, MS(400)),
            Attack::LongChain => (2, MS(200)),
            Attack::HelloBurst => (1, MS(500)),
            Attack::ByteASecond | Attack::Tickets => (1, MS(0)),
        }
    }

    /// Begins it; it goes on until what is given back is dropped.
    pub fn begin(self, at: Ground) -> io::Result<Siege> {
        let (over, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (count, every) = self.pace();
        let means = Means::new()?;
        let siege = |number: usize| {
            let (over, done, means) = (over.clone(), done.clone(), means.clone());
            begin_idle(move || {
                // They are not in step.
                let mut due = Instant::now() + every * number as u32 / count as u32;
                while !over.load(Relaxed) {
                    thread::sleep(due.saturating_duration_since(Instant::now()).min(LOOK_EVERY));
                    if Instant::now() >= due {
                        // A server may end it at any point: that is what it is for.
                        let _ = self.once(at, &means, &over);
                        done.fetch_add(1, Relaxed);
                        due = Instant::now().max(due + every);
                    }
                }
            })
        };
        let threads = (0..count).map(siege).collect::<io::Result<_>>()?;
        Ok(Siege { over, done, threads })
    }

    fn once(self, at: Ground, means: &Means, over: &AtomicBool) -> io::Result<()> {
        match self {
            Attack::Garbage => {
                let mut stream = connect(at.tls)?;
                stream.write_all(&GARBAGE)?;
                read_to_end(&mut stream)
            }
            Attack::HalfHello => {
                let mut stream = connect(at.tls)?;
                stream.write_all(&means.hello[..means.hello.len() / 2])?;
                thread::sleep(MS(100));
                Ok(())
            }
            Attack::ByteASecond => byte_a_second(at.tls, means, over),
            Attack::Handshakes => means.shake_hands(at.tls, &means.newest).map(drop),
            Attack::HelloBurst => hello_burst(at.tls, means),
            Attack::Renegotiation => {
                let mut records = Records::new(means.shake_hands(at.tls, &means.old)?)?;
                for _ in 0..FLOOD {
                    let record = records.record(ContentType::Handshake, &means.hello[RECORD_HEADER_BYTES..]);
                    records.stream.write_all(&record)?;
                }
                read_to_end(&mut records.stream)
            }
            Attack::KeyUpdates => {
                let (mut stream, mut tls) = means.shake_hands(at.tls, &means.newest)?;
                for _ in 0..FLOOD {
                    tls.refresh_traffic_keys().map_err(io::Error::other)?;
                    tls.write_tls(&mut stream)?;
                }
                read_to_end(&mut stream)
            }
            Attack::EmptyRecords => {
                let mut records = Records::new(means.shake_hands(at.tls, &means.newest)?)?;
                let flood = (0..FLOOD).flat_map(|_| records.record(ContentType::ApplicationData, b""));
                let flood: Vec<u8> = flood.collect();
                records.stream.write_all(&flood)?;
                thread::sleep(MS(50));
                Ok(())
            }
            Attack::Tickets | Attack::LongChain => {
                let at = if self == Attack::Tickets { at.tickets } else { at.chain };
                let mut stream = connect(at)?;
                stream.write_all(b"hello")?;
                read_to_end(&mut stream)
            }
        }
    }
}

impl Siege {
    /// How often what it does has been done so far.
    pub fn count(&self) -> u64 {
        self.done.load(Relaxed)
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Begins a thread that gives way to all others, as do those that it begins.
/// Errors: it cannot be made one that does.
fn begin_idle(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (tell, answer) = mpsc::channel();
    let thread = thread::spawn(move || {
        let made = make_idle();
        let is_idle = made.is_ok();
        // It is waited for.
        let _ = tell.send(made);
        if is_idle {
            work();
        }
    });
    answer.recv().map_err(io::Error::other)??;
    Ok(thread)
}

/// Has this thread run only where no other wants to.
fn make_idle() -> io::Result<()> {
    let mut chrt = quiet("chrt");
    chrt.args(["-i", "-p", "0", &gettid().to_string()]);
    let status = chrt.status().map_err(|error| io::Error::other(format!("chrt (of util-linux): {error}")))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("chrt: {status}"))) }
}

/// A hello each of some clients, a byte a second each, until it is over.
fn byte_a_second(at: SocketAddr, means: &Means, over: &AtomicBool) -> io::Result<()> {
    let mut clients = (0..SLOW_CLIENTS).map(|_| connect(at)).collect::<io::Result<Vec<TcpStream>>>()?;
    for byte in means.hello.chunks(1) {
        for client in &mut clients {
            if over.load(Relaxed) {
                return Ok(());
            }
            client.write_all(byte)?;
            thread::sleep(Duration::from_secs(1) / SLOW_CLIENTS as u32);
        }
    }
    Ok(())
}

/// Hellos of clients that are connected, and then say nothing more.
fn hello_burst(at: SocketAddr, means: &Means) -> io::Result<()> {
    let mut clients = (0..BURST).map(|_| connect(at)).collect::<io::Result<Vec<TcpStream>>>()?;
    thread::sleep(MS(50));
    for client in &mut clients {
        client.write_all(&means.hello)?;
    }
    thread::sleep(MS(200));
    Ok(())
}

fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn read_to_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
    while stream.read(&mut room)? > 0 {}
    Ok(())
}

/// What attacks are made of.
#[derive(Clone)]
struct Means {
    newest: Arc<ClientConfig>,
    old: Arc<ClientConfig>,
    /// That of a client that offers the newest.
    hello: Arc<[u8]>,
}

impl Means {
    fn new() -> io::Result<Self> {
        let newest = client(&TLS13)?;
        let mut hello = Vec::new();
        begin(&newest)?.write_tls(&mut hello)?;
        Ok(Means { newest, old: client(&TLS12)?, hello: hello.into() })
    }

    fn shake_hands(
        &self,
        at: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> io::Result<(TcpStream, ClientConnection)> {
        let (mut stream, mut tls) = (connect(at)?, begin(config)?);
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut stream)?;
        }
        Ok((stream, tls))
    }
}

fn begin(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = certificate::NAME.try_into().map_err(io::Error::other)?;
    ClientConnection::new(config.clone(), name).map_err(io::Error::other)
}

fn certificate() -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(certificate::files()?.cert).map_err(io::Error::other)
}

/// A client of this version alone, that tells the secrets of its connections and resumes none.
fn client(version: &'static SupportedProtocolVersion) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()?).map_err(io::Error::other)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// A connection after its handshake, of which each record is written by hand.
struct Records {
    stream: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    /// Of the next record.
    number: u64,
}

impl Records {
    fn new((stream, tls): (TcpStream, ClientConnection)) -> io::Result<Self> {
        let suite = tls.negotiated_cipher_suite().ok_or(io::ErrorKind::InvalidData)?;
        let (number, secrets) = tls.dangerous_extract_secrets().map_err(io::Error::other)?.tx;
        // The clients' first suites are of this kind.
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            return Err(io::Error::other("another suite than AES-256-GCM was chosen"));
        };
        let mut encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(4);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        if number > 0 {
            // AWS-LC learns from the first how records are numbered.
            encrypter.encrypt(message(ContentType::Alert, b""), 0).map_err(io::Error::other)?;
        }
        Ok(Records { stream, encrypter, number })
    }

    /// The next record, with this in it.
    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let record = self.encrypter.encrypt(message(typ, payload), self.number);
        self.number += 1;
        record.expect("the numbers of records last for years").encode()
    }
}

fn message(typ: ContentType, payload: &[u8]) -> OutboundPlainMessage<'_> {
    let payload = OutboundChunks::Single(payload);
    OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload }
}

impl HostileServers {
    pub fn start() -> io::Result<Self> {
        let leaf = certificate()?;
        let chain = vec![leaf.clone(); CHAIN_BYTES / leaf.len()];
        Ok(HostileServers { tickets: serve(vec![leaf], TICKETS)?, chain: serve(chain, 0)? })
    }
}

/// Serves connections with this chain; after so many tickets it echoes nothing and ends the stream.
fn serve(chain: Vec<CertificateDer<'static>>, tickets: usize) -> io::Result<SocketAddr> {
    let key = PrivateKeyDer::from_pem_file(certificate::files()?.key).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(io::Error::other)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(io::Error::other)?;
    config.send_tls13_tickets = tickets;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    begin_idle(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || answer(stream, config));
        }
    })?;
    Ok(address)
}

fn answer(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(&mut stream)?;
    }
    tls.send_close_notify();
    tls.write_tls(&mut stream)?;
    read_to_end(&mut stream)
}
