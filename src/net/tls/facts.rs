//! What a handshake came to.

use crate::{
    net::tls::{certificate::ReadCertificate, client::ClientTls},
    text::escape::Escaped,
};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What both sides of a connection agreed on. Before the end of the handshake, what they have agreed on until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// `TLSv1.3`; empty before it is known.
    pub version: Cow<'static, str>,
    /// `TLS_AES_256_GCM_SHA384`, as IANA names it; empty before it is known.
    pub suite: Cow<'static, str>,
    /// `X25519MLKEM768`; none if a session of TLS 1.2 was resumed.
    pub key_exchange: Option<Cow<'static, str>>,
    pub alpn: Option<String>,
    /// The name that the client asked for; none if it asked for an IP address.
    pub sni: Option<String>,
    /// Whether the handshake went on with a session of before.
    pub resumed: bool,
    /// Who the peer was proved to be: the common name of its certificate, or else the first host name. None: its name is not proved.
    pub peer: Option<String>,
}

impl TlsFacts {
    /// Of a connection whose client asked for `sni`.
    pub fn of_server(connection: &CommonState, sni: Option<String>) -> Self {
        TlsFacts { sni, ..TlsFacts::of(connection) }
    }

    /// Of a connection that was begun for `host`.
    pub fn of_client(connection: &CommonState, tls: &ClientTls, host: &str) -> Self {
        let facts = TlsFacts::of(connection);
        let peer = facts.peer.filter(|_| tls.verifies());
        TlsFacts { sni: tls.asks_for(host), peer, ..facts }
    }

    fn of(connection: &CommonState) -> Self {
        let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let group = connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
        let leaf = connection.peer_certificates().and_then(|certificates| certificates.first());
        TlsFacts {
            version: Cow::Borrowed(connection.protocol_version().map_or("", version)),
            suite: suite.map_or(Cow::Borrowed(""), registered),
            key_exchange: group.map(Cow::Borrowed),
            alpn: connection.alpn_protocol().map(|protocol| Escaped(protocol).to_string()),
            sni: None,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            peer: leaf.and_then(ReadCertificate::read).and_then(|leaf| leaf.subject()),
        }
    }
}

fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        other => other.as_str().unwrap_or(""),
    }
}

/// rustls marks the suites of TLS 1.3, which have no other mark than to name no key exchange.
fn registered(suite: &'static str) -> Cow<'static, str> {
    match suite.strip_prefix("TLS13_") {
        Some(rest) => Cow::Owned(format!("TLS_{rest}")),
        None => Cow::Borrowed(suite),
    }
}
