//! What a client, or the balancer before it, says before its stream begins: a PROXY header, a ClientHello, a handshake.

use crate::{
    net::{address::Address, proxy_header::ProxyHeader, tls::facts::TlsFacts},
    relay::early::Early,
    runtime::lock::Lock,
    session::sources::Counted,
    text::safe::SafeText,
};
use serde::{Deserialize, Serialize};
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// What is known of it so far. Only a session whose listener asks for it or counts sources has one, or whose server speaks TLS.
#[derive(Default)]
pub struct Introduction {
    pub header: OnceLock<ProxyHeader>,
    pub hello: OnceLock<Hello>,
    /// Of the client's leg, if TLS ends here.
    pub client_tls: OnceLock<TlsFacts>,
    pub upstream_tls: OnceLock<TlsFacts>,
    /// What it counts for while it lives.
    counted: Lock<Vec<Counted>>,
    /// What was read of its stream, until the relay takes it.
    early: Lock<Early>,
    is_told: AtomicBool,
    is_over: AtomicBool,
}

/// What a ClientHello asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub sni: Option<String>,
    pub alpn: Vec<String>,
    pub has_ech: bool,
    /// It came after PostgreSQL's request for TLS.
    pub is_postgres: bool,
}

/// What events tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Introduced {
    /// The address that a PROXY header names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SafeText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<SafeText>,
    /// What was agreed on where TLS ends here; else what the client offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<SafeText>,
    /// The version on the client's leg; if that has none, on the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SafeText>,
}

impl Introduction {
    /// The address that the client's balancer names as the client.
    pub fn source(&self) -> Option<&Address> {
        Some(&self.header.get()?.proxied.as_ref()?.source)
    }

    pub fn set_early(&self, early: Early) {
        *self.early.lock() = early;
    }

    /// What was read of its stream; none if nothing was.
    pub fn take_early(&self) -> Option<Box<Early>> {
        let early = std::mem::take(&mut *self.early.lock());
        (!early.is_empty()).then(|| Box::new(early))
    }

    pub fn count(&self, counted: Vec<Counted>) {
        *self.counted.lock() = counted;
    }

    /// Its session has ended.
    pub fn uncount(&self) {
        self.counted.lock().clear();
    }

    /// Whether this is the first time that the session's begin is to be told.
    pub fn begins(&self) -> bool {
        !self.is_told.swap(true, Relaxed)
    }

    /// The stream begins.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// What events tell; none if there is nothing.
    pub fn told(&self) -> Option<Box<Introduced>> {
        let (hello, near, far) = (self.hello.get(), self.client_tls.get(), self.upstream_tls.get());
        let offered = || Some(hello?.alpn.join(",")).filter(|alpn| !alpn.is_empty());
        let agreed = near.map(|tls| tls.alpn.clone());
        let told = Introduced {
            source: self.source().map(|address| SafeText::literal(&address.to_string())),
            sni: hello.and_then(|hello| hello.sni.as_deref()).map(SafeText::literal),
            alpn: agreed.unwrap_or_else(offered).as_deref().map(SafeText::literal),
            tls: near.or(far).map(|tls| SafeText::literal(&tls.version)),
        };
        (told != Introduced::default()).then(|| Box::new(told))
    }
}
