//! How a session begins whose client has to say something first: who it is (a PROXY header), where it wants to go (a
//! ClientHello), or the secrets of its stream (a TLS handshake). All of it together has one limit, `--handshake-timeout`.

use crate::{
    net::{
        address::Address,
        buffer::{BUFFER_BYTES, Buffer},
        client_hello::{
            ClientHello, FirstWords, HELLO_BYTES_MAX, HelloReader, NoHello, POSTGRES_TLS, PostgresRequest,
        },
        network::Network,
        proxy_header::{ProxyHeader, ProxyRead},
        socket::{Socket, settle},
        tls::{facts::TlsFacts, server::ServerTls},
        tls_socket::TlsSocket,
    },
    relay::leg::Leg,
    runtime::clock::within,
    session::{
        cause::Cause,
        context::Context,
        introduction::{Hello, Introduction},
        outcome::{Loss, Outcome},
        record::Record,
        target::Target,
    },
    text::units::{bytes, duration},
};
use futures::future::LocalBoxFuture;
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// A client that is silent for this long waits for its server to speak first, if a route is there for it that asks nothing of TLS.
pub const SILENCE: Duration = Duration::from_secs(1);
/// What is read at once of a client's first words.
const READ_BYTES: usize = 4096;

/// What a listener asks of its clients before their streams begin.
#[derive(Clone, Debug, Default)]
pub struct OpeningRules {
    /// Who must send a PROXY header; no other peer may connect. Empty: none is read.
    pub accept_proxy: Vec<Network>,
    /// Ends TLS for all clients, where no route says so.
    pub tls: Option<ServerTls>,
}

/// What is read of a client before its stream.
struct Client<'c> {
    socket: Socket,
    bytes: Vec<u8>,
    /// How many bytes came of what is awaited.
    came: &'c Cell<usize>,
    /// How many bytes its ClientHello has, as it says, if that is more than is read.
    too_long: Option<usize>,
}

/// What a client asks before its hello.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It is silent, or its stream has ended: no hello comes.
    Nothing,
    PostgresTls,
    /// Nothing that PostgreSQL knows.
    Other,
}

impl OpeningRules {
    /// Whether a client says something before its stream.
    pub fn are_empty(&self, target: &Target) -> bool {
        self.accept_proxy.is_empty() && self.tls.is_none() && !target.hears()
    }

    /// Whether a peer may connect, of those that have to send a PROXY header; a UNIX socket has its permissions from the file.
    pub fn trust(&self, peer: &Address) -> bool {
        let is_told = |ip| self.accept_proxy.iter().any(|network| network.contains(ip));
        self.accept_proxy.is_empty() || peer.ip().is_none_or(is_told)
    }
}

/// Lets the client of a plain leg say what comes before its stream, and gives the leg of the stream back.
/// Errors, if it is asked for something: the opening that has to be awaited.
pub fn open<'a>(
    leg: Rc<Leg>,
    record: &'a Arc<Record>,
    context: &'a Context,
) -> Result<Rc<Leg>, LocalBoxFuture<'a, Result<Rc<Leg>, Outcome>>> {
    let listening = &record.listening;
    if listening.opening.are_empty(&listening.target) {
        return Ok(leg);
    }
    match Rc::into_inner(leg) {
        Some(Leg::Plain(socket)) => Err(Box::pin(hear_out(socket, record, context))),
        _ => unreachable!("it is new"),
    }
}

/// Reads what the client of `socket` says first, and answers it, until its stream begins.
async fn hear_out(socket: Socket, record: &Arc<Record>, context: &Context) -> Result<Rc<Leg>, Outcome> {
    let (rules, begin) = (&record.listening.opening, Instant::now());
    let limit = record.listening.settings.deadlines.get().handshake;
    let introduction = record.introduction();
    let left = || limit.map(|limit| limit.saturating_sub(begin.elapsed()));
    let came = Cell::new(0);
    let mut client = Client { socket, bytes: Vec::new(), came: &came, too_long: None };
    let late = |cause, what: &str| {
        let text = format!("{what} within {}", duration(limit.unwrap_or_default()));
        Outcome::Refused(cause, with_amount(&text, came.get()).into())
    };
    if !rules.accept_proxy.is_empty() {
        let header = within(left(), client.read_header(record)).await;
        let header = header.unwrap_or_else(|| Err(late(Cause::ProxyHeader, "no whole PROXY header came")));
        let _ = introduction.header.set(header?);
        record.admit().map_err(|(cause, why)| Outcome::Refused(cause, why))?;
        record.tell_open(&context.events);
        context.events.onlookers().meet(record);
        came.set(client.bytes.len());
    }
    let rest = client.hear_and_answer(record, introduction);
    let opened = within(left(), Box::pin(rest)).await;
    let opened = opened.unwrap_or_else(|| {
        let is_heard = introduction.hello.get().is_some();
        let what =
            if is_heard { "no handshake after its ClientHello came" } else { "no whole ClientHello came" };
        Err(late(Cause::HandshakeTimeout, what))
    })?;
    introduction.end();
    Ok(opened)
}

/// Why a client did not begin, and how much of what was awaited came.
fn with_amount(why: &str, came: usize) -> String {
    match came {
        0 => format!("{why} (nothing had come)"),
        _ => format!("{why} ({} had come)", bytes(came as u64)),
    }
}

impl Client<'_> {
    /// Waits for more; false at the end of its stream. Cancel-safe.
    async fn read_more(&mut self, record: &Record) -> Result<bool, Outcome> {
        let mut room = [0; READ_BYTES];
        let read = poll_fn(|context| self.socket.poll_read(context, &mut room)).await;
        let count = *read.as_ref().unwrap_or(&0);
        self.bytes.extend_from_slice(&room[..count]);
        self.came.set(self.came.get() + count);
        match read {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(Outcome::ClientGone(Loss::new(error, record.to_client()))),
        }
    }

    async fn read_header(&mut self, record: &Record) -> Result<ProxyHeader, Outcome> {
        let came = self.came;
        let refused =
            |why: &str| Err(Outcome::Refused(Cause::ProxyHeader, with_amount(why, came.get()).into()));
        loop {
            match ProxyHeader::read(&self.bytes) {
                Err(malformed) => return refused(&format!("no PROXY header: {malformed}")),
                Ok(ProxyRead::Complete(header, length)) => {
                    self.bytes.drain(..length);
                    return Ok(header);
                }
                Ok(ProxyRead::Incomplete) => {
                    if !self.read_more(record).await? {
                        return refused("the stream ended before the whole PROXY header");
                    }
                }
            }
        }
    }

    async fn hear_and_answer(
        mut self,
        record: &Record,
        introduction: &Introduction,
    ) -> Result<Rc<Leg>, Outcome> {
        let target = &record.listening.target;
        let asked = match target.hears() || record.listening.opening.tls.is_some() {
            true => self.answer_postgres(record).await?,
            false => Asked::Nothing,
        };
        let (hears, is_postgres) = (asked != Asked::Nothing, asked == Asked::PostgresTls);
        if hears && let Some(hello) = self.hear(record, is_postgres).await? {
            let alpn = hello.alpn().map(str::to_owned).collect();
            let hello = Hello { sni: hello.sni, alpn, has_ech: hello.has_ech, is_postgres };
            let _ = introduction.hello.set(hello);
        }
        let tls = match target {
            Target::Upstream(routes) => {
                routes.choose(&record.facts()).and_then(|chosen| chosen.route.tls.as_ref())
            }
            Target::Echo | Target::Origin => record.listening.opening.tls.as_ref(),
        };
        match tls {
            Some(tls) => self.terminate(tls, record, introduction).await,
            // Its server would be spoken to in plain text, for a client that has been promised TLS.
            None if is_postgres && introduction.hello.get().is_none() => {
                let why = "client: it asked for TLS, and then did not speak it";
                Err(Outcome::Refused(Cause::TlsClient, why.into()))
            }
            None => {
                introduction.set_early(self.bytes.chunks(BUFFER_BYTES).map(Buffer::holding).collect());
                Ok(Rc::new(Leg::Plain(self.socket)))
            }
        }
    }

    /// Answers what a client of PostgreSQL asks before its hello; says whether it asked for TLS.
    async fn answer_postgres(&mut self, record: &Record) -> Result<Asked, Outcome> {
        loop {
            let answer = match PostgresRequest::read(&self.bytes) {
                PostgresRequest::Incomplete => {
                    if !self.wait(record).await? {
                        return Ok(Asked::Nothing);
                    }
                    continue;
                }
                PostgresRequest::Other => return Ok(Asked::Other),
                PostgresRequest::Tls => b"S",
                PostgresRequest::GssEncryption => b"N",
            };
            if self.bytes.len() > POSTGRES_TLS.len() {
                let why = "client: it sent more after its request for TLS than may go unencrypted";
                return Err(Outcome::Refused(Cause::TlsClient, why.into()));
            }
            self.bytes.clear();
            let written = self.socket.write(answer).await;
            written.map_err(|error| Outcome::ClientGone(Loss::new(error, record.to_client())))?;
            if answer == b"S" {
                return Ok(Asked::PostgresTls);
            }
        }
    }

    /// Reads to the end of the hello; none if the client says something else, or waits.
    async fn hear(&mut self, record: &Record, is_postgres: bool) -> Result<Option<ClientHello>, Outcome> {
        let mut reader = HelloReader::default();
        loop {
            match reader.read(&self.bytes) {
                FirstWords::Hello(hello) => return Ok(Some(hello)),
                FirstWords::Other(why) => {
                    let announced = reader.announced();
                    // One of many records may be so by their heads alone.
                    self.too_long =
                        (why == NoHello::TooLong && announced > HELLO_BYTES_MAX).then_some(announced);
                    return Ok(None);
                }
                FirstWords::Incomplete => {
                    let goes_on =
                        if is_postgres { self.read_more(record).await } else { self.wait(record).await };
                    if !goes_on? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits for more; false at the end of its stream, or if it is silent and a route is there for those that are.
    async fn wait(&mut self, record: &Record) -> Result<bool, Outcome> {
        let may_be_silent = match &record.listening.target {
            Target::Upstream(routes) => routes
                .choose(&record.facts())
                .is_some_and(|chosen| chosen.route.tls.is_none() && chosen.route.group.is_some()),
            Target::Echo | Target::Origin => false,
        };
        let limit = (self.bytes.is_empty() && may_be_silent).then_some(SILENCE);
        within(limit, self.read_more(record)).await.unwrap_or(Ok(false))
    }

    /// Ends TLS here.
    async fn terminate(
        self,
        tls: &ServerTls,
        record: &Record,
        introduction: &Introduction,
    ) -> Result<Rc<Leg>, Outcome> {
        let is_heard = introduction.hello.get().is_some();
        let (came, too_long) = (self.came.get(), self.too_long);
        let failed = |error: io::Error| match Loss::new(error, record.to_client()).outcome_of_handshake() {
            // What came is no hello.
            Outcome::Refused(cause, why) if !is_heard => {
                let announced = |count: usize| {
                    let (announced, most) = (bytes(count as u64), bytes(HELLO_BYTES_MAX as u64));
                    format!("client: its ClientHello is to have {announced}, and {most} are taken")
                };
                let why = too_long.map_or(why, |count| announced(count).into());
                Outcome::Refused(cause, with_amount(&why, came).into())
            }
            failed => failed,
        };
        let session = TlsSocket::server(self.socket, tls.config(), &self.bytes).map_err(failed)?;
        if let Err(error) = session.handshake().await {
            // The client reads the alert before the end.
            if session.socket().finish().is_ok() {
                settle(session.socket()).await;
                session.socket().close_when_dropped();
            }
            return Err(failed(error));
        }
        let sni = introduction.hello.get().and_then(|hello| hello.sni.clone());
        let facts = session.look(|state| TlsFacts::of_server(state, sni));
        let _ = introduction.client_tls.set(facts);
        Ok(Rc::new(Leg::Tls(Box::new(session))))
    }
}
