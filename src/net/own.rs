//! Which addresses are our own: connecting to one would be a loop.

use crate::net::{
    address::Address,
    dial::Upstream,
    endpoint::{Endpoint, Host},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whether `upstream` can be seen, without resolving it, to be one of the listeners `own`.
#[must_use]
pub fn is_loop(upstream: &Upstream, own: &[Address]) -> bool {
    match &upstream.endpoint {
        Endpoint::Unix(path) => {
            own.iter().any(|address| matches!(address, Address::Unix(own) if **own == **path))
        }
        Endpoint::Tcp { host, port } => match host {
            Host::Any => is_own(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), *port, own),
            Host::Ip(ip) => is_own(SocketAddr::new(*ip, *port), *port, own),
            Host::Name(name) => {
                let fixed =
                    upstream.overrides.iter().filter(|entry| entry.host == *name && entry.port == *port);
                let mut addresses = fixed.flat_map(|entry| entry.addresses.iter().copied());
                name == "localhost" && is_own(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), *port, own)
                    || addresses.any(|ip| is_own(SocketAddr::new(ip, *port), *port, own))
            }
        },
    }
}

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
