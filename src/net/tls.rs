//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446): which certificates there are, and what rustls is told of them. No socket is touched.

pub mod certificate;
pub mod client;
pub mod explain;
pub mod facts;
pub mod files;
pub mod server;
#[cfg(test)]
mod tests;

use rustls::{
    NamedGroup, SupportedCipherSuite, Tls12CipherSuite,
    crypto::{CipherSuiteCommon, CryptoProvider, aws_lc_rs},
};
use std::sync::{Arc, LazyLock};

/// Why a builder of rustls cannot refuse the versions that it takes by default.
const HAS_VERSIONS: &str = "the provider has suites of TLS 1.2 and 1.3";
/// Protocols are sent with a length of one byte (RFC 7301 §3.1).
const PROTOCOL_BYTES_MAX: usize = 255;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    for suite in &mut provider.cipher_suites {
        if let SupportedCipherSuite::Tls12(limited) = suite {
            *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(without_end(limited))));
        }
    }
    Arc::new(provider)
});

/// A suite whose keys serve for as many records as a session has. TLS 1.2 cannot renew them, and rustls ends a session by
/// close_notify, as if its stream were whole, after the 2^24 records of AES-GCM that keep what an attacker could learn below
/// 2^-60 if each holds 16 KiB (RFC 8446 §5.5): half an hour of 10,000 messages a second. Nonces are counted and never repeat
/// (RFC 5288 §3); as with OpenSSL, 2^36 such records, 1 PiB, leave 2^-37.
fn without_end(limited: &Tls12CipherSuite) -> Tls12CipherSuite {
    let common = CipherSuiteCommon { confidentiality_limit: u64::MAX, ..limited.common };
    Tls12CipherSuite { common, ..*limited }
}

/// The cryptography of all of the program's TLS. The process has no default that another library could set.
fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// The same, without key exchanges that outlive quantum computers.
fn classical_provider() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&PROVIDER);
    provider.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
    Arc::new(provider)
}

/// The protocols as rustls takes them. Errors: the first that cannot be sent, in words.
fn protocols(alpn: &[String]) -> Result<Vec<Vec<u8>>, String> {
    match alpn.iter().find(|name| name.is_empty() || name.len() > PROTOCOL_BYTES_MAX) {
        Some(name) => {
            Err(format!("a protocol has 1 to {PROTOCOL_BYTES_MAX} bytes, and \"{name}\" has {}", name.len()))
        }
        None => Ok(alpn.iter().map(|name| name.clone().into_bytes()).collect()),
    }
}
