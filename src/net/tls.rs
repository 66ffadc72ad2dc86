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
    NamedGroup,
    crypto::{CryptoProvider, aws_lc_rs},
};
use std::sync::Arc;

/// Why a builder of rustls cannot refuse the versions that it takes by default.
const HAS_VERSIONS: &str = "the provider has suites of TLS 1.2 and 1.3";
/// Protocols are sent with a length of one byte (RFC 7301 §3.1).
const PROTOCOL_BYTES_MAX: usize = 255;

/// The cryptography of all of the program's TLS. The process has no default that another library could set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The same, without key exchanges that outlive quantum computers.
fn classical_provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
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
