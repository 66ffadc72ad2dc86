//! Which addresses are our own: connecting to one would be a loop.

use crate::io::address::Address;
use std::net::{IpAddr, SocketAddr};

/// Whether connecting to `address` would reach one of the listeners `own`.
#[must_use]
pub fn is_own(address: SocketAddr, port: u16, own: &[Address]) -> bool {
    own.iter().any(|listener| match listener {
        Address::Tcp(listener) if listener.port() == port => {
            let (ip, listening) = (address.ip().to_canonical(), listener.ip().to_canonical());
            ip == listening
                || (listening.is_unspecified() && is_local(ip))
                || (ip.is_unspecified() && is_local(listening))
        }
        _ => false,
    })
}

/// Whether the address is one of this machine's.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || std::net::UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}
