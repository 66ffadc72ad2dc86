//! What a server gets before the client's stream: the PROXY header, PostgreSQL's request for TLS, the TLS handshake.

use crate::{
    net::{
        client_hello::POSTGRES_TLS,
        endpoint::Endpoint,
        proxy_header::{EndedTls, Proxied, ProxyHeader, ProxyVersion, Tlvs},
        socket::Socket,
        tls::{client::ClientTls, facts::TlsFacts},
        tls_socket::TlsSocket,
    },
    relay::leg::Leg,
    session::{group::GroupSettings, record::Record},
};
use std::{future::poll_fn, io, rc::Rc};

/// What a group's servers get.
pub struct Preamble<'a> {
    send_proxy: Option<ProxyVersion>,
    tls: Option<&'a ClientTls>,
    /// The client spoke to PostgreSQL, and its server is to be asked as the client asked.
    asks_postgres: bool,
}

impl<'a> Preamble<'a> {
    pub fn of(settings: &'a GroupSettings, record: &Record) -> Self {
        let introduction = record.introduced();
        let is_postgres = introduction.and_then(|of| of.hello.get()).is_some_and(|hello| hello.is_postgres);
        let ends_here = introduction.is_some_and(|of| of.client_tls.get().is_some());
        let tls = settings.tls.as_ref();
        Preamble {
            send_proxy: settings.send_proxy,
            tls,
            asks_postgres: is_postgres && (tls.is_some() || !ends_here),
        }
    }

    /// What a server gets that is only checked: a header that is for no client.
    pub fn of_check(send_proxy: Option<ProxyVersion>, tls: Option<&'a ClientTls>) -> Self {
        Preamble { send_proxy, tls, asks_postgres: false }
    }

    pub fn is_empty(&self) -> bool {
        self.send_proxy.is_none() && !self.is_answered()
    }

    /// Whether a server has a say in it, so that it can fail.
    pub fn is_answered(&self) -> bool {
        self.tls.is_some() || self.asks_postgres
    }

    /// Gives it to the server at `endpoint`. With `more`, the client's first bytes follow at once, in the same segment.
    /// Errors: `InvalidData` if the server does not speak TLS as it should, `UnexpectedEof`, or that of the connection.
    pub async fn give(
        &self,
        socket: Socket,
        endpoint: &Endpoint,
        record: &Record,
        more: bool,
    ) -> io::Result<Leg> {
        let header = self.send_proxy.map(|version| header(version, record).write());
        let (leg, facts) = self.open(socket, endpoint, header.as_deref(), more).await?;
        if let Some(facts) = facts {
            let _ = record.introduction().upstream_tls.set(facts);
        }
        Ok(leg)
    }

    /// As [`Preamble::give`], for a connection that is for no client.
    pub async fn give_for_check(
        &self,
        socket: Socket,
        endpoint: &Endpoint,
        more: bool,
    ) -> io::Result<Rc<Leg>> {
        let header = self.send_proxy.map(|version| ProxyHeader::local(version).write());
        Ok(Rc::new(self.open(socket, endpoint, header.as_deref(), more).await?.0))
    }

    async fn open(
        &self,
        socket: Socket,
        endpoint: &Endpoint,
        header: Option<&[u8]>,
        more: bool,
    ) -> io::Result<(Leg, Option<TlsFacts>)> {
        if let Some(header) = header {
            let written = socket.write_all(header, more || self.is_answered()).await;
            // Without an answer to wait for, the relay finds what has become of the connection.
            if self.is_answered() {
                written?;
            }
        }
        if self.asks_postgres {
            ask_postgres(&socket).await?;
        }
        let Some(tls) = self.tls else { return Ok((Leg::Plain(socket), None)) };
        let host = endpoint.name_in_certificate();
        let session = TlsSocket::connect(socket, tls, &host).await?;
        let facts = session.look(|state| TlsFacts::of_client(state, tls, &host));
        Ok((Leg::Tls(Box::new(session)), Some(facts)))
    }
}

/// The header that tells a server whose session it is: what another one told of it goes on.
fn header(version: ProxyVersion, record: &Record) -> ProxyHeader {
    let introduction = record.introduced();
    let announced = introduction.and_then(|of| of.header.get());
    let destination =
        announced.and_then(|header| header.proxied.as_ref()).map(|proxied| &proxied.destination);
    let proxied = Proxied {
        source: record.source().clone(),
        destination: destination.unwrap_or(&record.local).clone(),
    };
    let mut tlvs = announced.map(|header| header.tlvs.clone()).unwrap_or_default();
    if let Some(tls) = introduction.and_then(|of| of.client_tls.get()) {
        tlvs = with_tls(tlvs, tls);
    }
    ProxyHeader { version, proxied: Some(proxied), tlvs }
}

fn with_tls(tlvs: Tlvs, tls: &TlsFacts) -> Tlvs {
    tlvs.with_tls(&EndedTls {
        alpn: tls.alpn.as_deref().map(str::as_bytes),
        authority: tls.sni.as_deref(),
        version: &tls.version,
        cipher: Some(&tls.suite),
        common_name: tls.peer.as_deref(),
        client_cert: tls.peer.is_some(),
    })
}

/// Asks a server of PostgreSQL for TLS.
async fn ask_postgres(socket: &Socket) -> io::Result<()> {
    socket.write_all(&POSTGRES_TLS, false).await?;
    let mut answer = [0];
    match poll_fn(|context| socket.poll_read(context, &mut answer)).await? {
        1 if answer == *b"S" => Ok(()),
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended before its answer")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not speak TLS")),
    }
}
