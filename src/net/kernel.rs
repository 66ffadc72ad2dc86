//! The kernel's own view of a socket, asked over netlink (sock_diag(7)): how much of what we wrote is not acknowledged.

use crate::net::address::Address;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags},
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, netlink::SocketAddrNetlink, recv,
    sendto, socket_with,
};
use std::{io, net::SocketAddr};

/// One answer about one socket fits; the kernel sends a few hundred bytes.
const ANSWER_BYTES: usize = 8 * 1024;
/// Any socket with these addresses (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// Bytes that were written to the socket and that its peer has not acknowledged yet.
///
/// # Errors
/// Where the socket is gone, is not a TCP socket, or the kernel has no sock_diag.
pub fn unacknowledged(local: &Address, peer: &Address) -> io::Result<u32> {
    Ok(query(local, peer, ExtensionFlags::empty())?.header.send_queue)
}

/// What the kernel knows of the TCP socket between `local` and `peer`, with the asked `extensions`.
///
/// # Errors
/// As [`unacknowledged`].
pub fn query(local: &Address, peer: &Address, extensions: ExtensionFlags) -> io::Result<InetResponse> {
    let (Address::Tcp(local), Address::Tcp(peer)) = (local, peer) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    let request = encode(*local, *peer, extensions);
    sendto(&kernel, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    // The kernel answers within the send.
    let mut answer = vec![0; ANSWER_BYTES];
    let (_, length) = recv(&kernel, &mut answer[..], RecvFlags::empty())?;
    let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer[..length.min(ANSWER_BYTES)])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => Ok(*response),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn encode(local: SocketAddr, peer: SocketAddr, extensions: ExtensionFlags) -> Vec<u8> {
    let (family, blank) =
        if local.is_ipv4() { (AF_INET, SocketId::new_v4()) } else { (AF_INET6, SocketId::new_v6()) };
    let socket_id = SocketId {
        source_port: local.port(),
        destination_port: peer.port(),
        source_address: local.ip(),
        destination_address: peer.ip(),
        cookie: ANY_COOKIE,
        ..blank
    };
    let request =
        InetRequest { family, protocol: IPPROTO_TCP, extensions, states: StateFlags::all(), socket_id };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    #[test]
    fn what_the_peer_has_taken_is_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let local = Address::Tcp(client.local_addr().unwrap());
        let peer = Address::Tcp(client.peer_addr().unwrap());
        assert_eq!(unacknowledged(&local, &peer).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_is_not_there_is_an_error() {
        let nowhere = Address::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(unacknowledged(&nowhere, &nowhere).is_err());
    }
}
