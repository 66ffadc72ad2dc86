//! The PROXY header that a tool sends of a connection of its own (`--send-proxy`): from its end to the peer's.

use crate::net::{
    proxy_header::{ProxyHeader, ProxyVersion},
    socket::Socket,
};
use std::io;

/// Nothing without a version. Fails if the connection is gone.
pub fn own_header(version: Option<ProxyVersion>, socket: &Socket) -> io::Result<Vec<u8>> {
    let Some(version) = version else { return Ok(Vec::new()) };
    Ok(ProxyHeader::new(version, socket.local_address()?, socket.peer_address()?).write())
}
