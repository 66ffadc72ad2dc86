//! How a tool speaks TLS to its target.

use crate::{
    net::{
        socket::Socket,
        tls::{
            certificate::ReadCertificate,
            client::{ClientTls, ClientTlsFiles},
            facts::TlsFacts,
            files::{TlsFault, TlsKey},
        },
        tls_socket::TlsSocket,
    },
    relay::leg::Leg,
    text::{escape::Escaped, units::listed},
    tools::client::settings::Target,
};
use jiff::tz::TimeZone;
use std::{io, os::unix::ffi::OsStrExt, path::PathBuf};

/// What is spoken in TLS to a target of `https://`.
const HTTP: &str = "http/1.1";
/// Of the names in a certificate, as many as are told.
const NAMES_TOLD_MAX: usize = 8;

/// Whom a user trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// `--cacert`: authorities in place of those of the system, or the server's very certificate.
    pub ca: Option<PathBuf>,
    /// `--insecure`: any server.
    pub anybody: bool,
}

/// The TLS of a target: whatever address is dialled, its server has to be this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTls {
    tls: ClientTls,
    host: String,
}

impl TargetTls {
    /// With `resume`, a handshake may go on with the session of an earlier one. It waits for the file system.
    /// Errors: what cannot be used of what was given, with its option.
    pub fn of(target: &Target, trust: Trust, resume: bool) -> Result<Self, String> {
        let alpn = if target.is_http() { vec![HTTP.to_owned()] } else { Vec::new() };
        let files = ClientTlsFiles { alpn, resume, ..ClientTlsFiles::default() };
        Self::load(target.endpoint().name_in_certificate(), trust, files)
    }

    /// As [`TargetTls::of`], of any server that is to be `host`; the rest is as in `files`.
    pub fn load(host: String, trust: Trust, files: ClientTlsFiles) -> Result<Self, String> {
        let files =
            ClientTlsFiles { ca: trust.ca, name: Some(host.clone()), verify: !trust.anybody, ..files };
        let tell = |fault: &TlsFault| match fault.what {
            TlsKey::Name => fault.text.clone(),
            _ => format!("option '--cacert': {}", fault.text),
        };
        let tls = ClientTls::load(files)
            .map_err(|faults| faults.iter().map(tell).collect::<Vec<_>>().join("; "))?;
        Ok(Self::to(tls, host))
    }

    /// A target whose server has to be `host`.
    pub fn to(tls: ClientTls, host: String) -> Self {
        TargetTls { tls, host }
    }

    /// What a user is warned of; none if the server has to prove who it is.
    pub fn warning(&self) -> Option<&'static str> {
        let text = "warning: --insecure: a program between here and the server can read and change all bytes";
        (!self.tls.verifies()).then_some(text)
    }

    /// What the handshake of `leg` came to, for people: what is spoken, the server's certificate, and who vouches for it.
    pub fn told(&self, leg: &Leg) -> Vec<String> {
        let Leg::Tls(session) = leg else { return Vec::new() };
        let (facts, certificate) = session.look(|state| {
            let leaf = state.peer_certificates().and_then(|certificates| certificates.first());
            let read = leaf.and_then(ReadCertificate::read).map(|leaf| certificate(&leaf));
            (TlsFacts::of_client(state, &self.tls, &self.host), read)
        });
        let mut spoken = vec![facts.version.into_owned(), facts.suite.into_owned()];
        spoken.extend(facts.key_exchange.map(|group| group.into_owned()));
        spoken.push(facts.alpn.map_or_else(|| "no ALPN".to_owned(), |protocol| format!("ALPN {protocol}")));
        spoken.extend(facts.resumed.then(|| "resumed".to_owned()));
        let who = match self.tls.authorities() {
            _ if !self.tls.verifies() => "not verified: --insecure".to_owned(),
            None => format!("verified by an authority of the system, as {}", self.host),
            Some(path) => {
                format!("verified by {}, as {}", Escaped(path.as_os_str().as_bytes()), self.host)
            }
        };
        [format!("TLS: {}", spoken.join(", "))].into_iter().chain(certificate).chain([who]).collect()
    }

    /// Makes the handshake, after a PROXY header if there is one; whether it went on with an earlier session.
    /// Errors: as [`TlsSocket::connect`].
    pub async fn open(&self, socket: Socket, header: &[u8]) -> io::Result<(Leg, bool)> {
        socket.write_all(header, true).await?;
        let session = TlsSocket::connect(socket, &self.tls, &self.host).await?;
        let resumed = session.resumed();
        Ok((Leg::Tls(Box::new(session)), resumed))
    }
}

/// What a certificate says of itself, for people.
fn certificate(leaf: &ReadCertificate<'_>) -> String {
    let subject = leaf.subject().unwrap_or_else(|| "no name".to_owned());
    let names = match &leaf.names()[..] {
        [] => "no name".to_owned(),
        names => listed(names, NAMES_TOLD_MAX),
    };
    let issuer = if leaf.is_self_signed() { "itself".to_owned() } else { leaf.issuer() };
    let [begin, end] = [leaf.begins(), leaf.ends()].map(|moment| moment.to_zoned(TimeZone::UTC).date());
    format!("certificate: of {subject}, for {names}; from {begin} to {end}; signed by {issuer}")
}
