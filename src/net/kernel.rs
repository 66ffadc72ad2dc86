//! The kernel's own view of a TCP socket, asked over netlink (sock_diag(7)).
//!
//! Each shard keeps one netlink socket: the questions are asked exactly when descriptors may have run out.

use crate::{net::address::Address, runtime::shard::own, text::safe::SafeText};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, netlink::SocketAddrNetlink,
        recv, sendto, socket_with,
    },
};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, io, net::SocketAddr, os::fd::OwnedFd};

/// One answer about one socket fits; the kernel sends a few hundred bytes.
const ANSWER_BYTES: usize = 8 * 1024;
/// Any socket with these addresses (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// A shard's way to the kernel, once it is open.
#[derive(Default)]
struct OwnNetlink(RefCell<Option<Netlink>>);

struct Netlink {
    socket: OwnedFd,
    /// The number of the last request. After an error, the answer to an earlier one may still lie in the socket.
    last_number: u32,
    answer: Vec<u8>,
}

/// What was written to a socket and its peer has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendQueue {
    Bytes(u32),
    /// The kernel knows no such socket.
    Gone,
    /// The kernel could not be asked.
    Unknown,
}

/// Opens the calling shard's way to the kernel, so that it is there when descriptors run out. If that fails, the next
/// question tries again.
pub fn open() {
    let _ = with_netlink(|_| Ok(()));
}

/// What the socket between `local` and `peer` still holds for its peer. A UNIX peer has what was written at once.
pub fn unacknowledged(local: &Address, peer: &Address) -> SendQueue {
    if let (Address::Unix(_), _) | (_, Address::Unix(_)) = (local, peer) {
        return SendQueue::Bytes(0);
    }
    match with_netlink(|netlink| netlink.ask(local, peer, ExtensionFlags::empty())) {
        Ok(answer) => SendQueue::Bytes(answer.header.send_queue),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => SendQueue::Gone,
        Err(_) => SendQueue::Unknown,
    }
}

fn with_netlink<T>(ask: impl FnOnce(&mut Netlink) -> io::Result<T>) -> io::Result<T> {
    match &mut *own::<OwnNetlink>().0.borrow_mut() {
        Some(netlink) => ask(netlink),
        netlink => ask(netlink.insert(Netlink::open()?)),
    }
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Netlink { socket, last_number: 0, answer: vec![0; ANSWER_BYTES] })
    }

    fn ask(
        &mut self,
        local: &Address,
        peer: &Address,
        extensions: ExtensionFlags,
    ) -> io::Result<InetResponse> {
        let (Address::Tcp(local), Address::Tcp(peer)) = (local, peer) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.last_number = self.last_number.wrapping_add(1);
        let request = encode(*local, *peer, extensions, self.last_number);
        sendto(&self.socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            // The kernel answers within the send; there is nothing to wait for.
            let (_, length) = recv(&self.socket, &mut self.answer[..], RecvFlags::empty())?;
            let answer = &self.answer[..length.min(ANSWER_BYTES)];
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if answer.header.sequence_number != self.last_number {
                continue;
            }
            return match answer.payload {
                // Of a connection that is gone, the kernel finds the listener that it came to.
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                    if response.header.state == TCP_LISTEN =>
                {
                    Err(Errno::NOENT.into())
                }
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => Ok(*response),
                NetlinkPayload::Error(error) => Err(error.to_io()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }
}

fn encode(local: SocketAddr, peer: SocketAddr, extensions: ExtensionFlags, number: u32) -> Vec<u8> {
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
    (header.flags, header.sequence_number) = (NLM_F_REQUEST, number);
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// One TCP connection as the kernel sees it (`TCP_INFO`, tcp(7)), for an operator. What an old kernel does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TcpInfo {
    /// The state's name (RFC 9293 §3.3.2).
    pub state: SafeText,
    /// Bytes that this program has not read.
    pub receive_queue: u32,
    /// Bytes that the peer has not acknowledged.
    pub send_queue: u32,
    /// Smoothed.
    pub rtt_us: u32,
    pub rtt_variation_us: u32,
    pub congestion_control: SafeText,
    /// In segments.
    pub congestion_window: u32,
    /// The largest segment that is sent.
    pub segment_bytes: u32,
    pub unacknowledged_segments: u32,
    /// Segments that count as lost just now.
    pub lost_segments: u32,
    /// Since the connection began.
    pub retransmits: u32,
}

impl TcpInfo {
    /// Fails if the socket is gone, is no TCP socket, or the kernel cannot be asked.
    pub fn query(local: &Address, peer: &Address) -> io::Result<Self> {
        let extensions = ExtensionFlags::INFO | ExtensionFlags::CONG;
        let answer = with_netlink(|netlink| netlink.ask(local, peer, extensions))?;
        let (mut raw, mut congestion_control) = (&[][..], SafeText::from(""));
        for nla in &answer.nlas {
            match nla {
                Nla::TcpInfo(info) => raw = info,
                Nla::Congestion(name) => congestion_control = name.as_str().into(),
                _ => {}
            }
        }
        // The places in `struct tcp_info` (linux/tcp.h), which only ever grows at its end.
        Ok(TcpInfo {
            state: state_name(answer.header.state).into(),
            receive_queue: answer.header.recv_queue,
            send_queue: answer.header.send_queue,
            rtt_us: field(raw, 68),
            rtt_variation_us: field(raw, 72),
            congestion_control,
            congestion_window: field(raw, 80),
            segment_bytes: field(raw, 16),
            unacknowledged_segments: field(raw, 24),
            lost_segments: field(raw, 32),
            retransmits: field(raw, 100),
        })
    }
}

/// A number of the machine's own byte order.
fn field(raw: &[u8], at: usize) -> u32 {
    raw.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// As numbered in include/net/tcp_states.h.
fn state_name(state: u8) -> &'static str {
    const NAMES: &str = "unknown established syn-sent syn-received fin-wait-1 fin-wait-2 time-wait closed \
                         close-wait last-ack listen closing syn-received";
    NAMES.split(' ').nth(usize::from(state)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn ends(stream: &TcpStream) -> [Address; 2] {
        [stream.local_addr(), stream.peer_addr()].map(|address| Address::Tcp(address.unwrap()))
    }

    #[test]
    fn what_the_peer_has_taken_is_acknowledged() {
        let (mut client, mut server) = pair();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let [local, peer] = ends(&client);
        assert_eq!(unacknowledged(&local, &peer), SendQueue::Bytes(0));
    }

    #[test]
    fn a_socket_that_is_not_there_is_gone() {
        let nowhere = Address::Tcp("127.0.0.1:1".parse().unwrap());
        assert_eq!(unacknowledged(&nowhere, &nowhere), SendQueue::Gone);
    }

    #[test]
    fn a_connection_that_is_gone_is_not_the_listener_that_it_came_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = Address::Tcp(listener.local_addr().unwrap());
        let gone = Address::Tcp("127.0.0.1:1".parse().unwrap());
        assert_eq!(unacknowledged(&local, &gone), SendQueue::Gone);
    }

    #[test]
    fn the_answer_to_an_earlier_question_is_passed_over() {
        let (client, _server) = pair();
        let [local, peer] = ends(&client);
        let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
        with_netlink(|netlink| {
            let number = netlink.last_number;
            let request = encode(nowhere, nowhere, ExtensionFlags::empty(), number);
            Ok(sendto(&netlink.socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?)
        })
        .unwrap();
        assert_eq!(unacknowledged(&local, &peer), SendQueue::Bytes(0));
    }

    #[test]
    fn a_connection_that_moved_bytes_has_a_round_trip_time() {
        let (mut client, mut server) = pair();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        client.write_all(b"unread").unwrap();
        let [local, peer] = ends(&server);
        let info = TcpInfo::query(&local, &peer).unwrap();
        assert_eq!((info.state.as_str(), info.receive_queue), ("established", 6));
        assert!(info.rtt_us > 0 && info.congestion_window > 0 && info.segment_bytes > 0, "{info:?}");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_zero() {
        assert_eq!(field(&[1, 0, 0, 0], 2), 0);
        assert_eq!(field(&[], 200), 0);
    }
}
