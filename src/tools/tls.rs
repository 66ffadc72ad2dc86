//! How a tool speaks TLS to its target.

use crate::{
    net::{
        socket::Socket,
        tls::{
            client::{ClientTls, ClientTlsFiles},
            files::{TlsFault, TlsKey},
        },
        tls_socket::TlsSocket,
    },
    relay::leg::Leg,
    tools::client::settings::Target,
};
use std::{io, path::PathBuf};

/// What is spoken in TLS to a target of `https://`.
const HTTP: &str = "http/1.1";

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
        Self::load(target.endpoint().name_in_certificate(), alpn, trust, resume)
    }

    /// As [`TargetTls::of`], of any server that is to be `host` and is offered the protocols `alpn`.
    pub fn load(host: String, alpn: Vec<String>, trust: Trust, resume: bool) -> Result<Self, String> {
        let files = ClientTlsFiles {
            ca: trust.ca,
            name: Some(host.clone()),
            verify: !trust.anybody,
            alpn,
            resume,
            ..ClientTlsFiles::default()
        };
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

    /// Makes the handshake, after a PROXY header if there is one; whether it went on with an earlier session.
    /// Errors: as [`TlsSocket::connect`].
    pub async fn open(&self, socket: Socket, header: &[u8]) -> io::Result<(Leg, bool)> {
        socket.write_all(header, true).await?;
        let session = TlsSocket::connect(socket, &self.tls, &self.host).await?;
        let resumed = session.resumed();
        Ok((Leg::Tls(Box::new(session)), resumed))
    }
}
