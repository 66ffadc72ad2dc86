//! The kernel's view of one TCP connection (`TCP_INFO`, tcp(7)), for an operator who asks.

use crate::{
    net::{address::Address, kernel as diag},
    text::safe::SafeText,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, nlas::Nla};
use serde::{Deserialize, Serialize};
use std::io;

/// One TCP connection as the kernel sees it. What an old kernel does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TcpInfo {
    /// The state's name (RFC 9293 §3.3.2).
    pub state: SafeText,
    /// Bytes received that this program has not read.
    pub receive_queue: u32,
    /// Bytes written that the peer has not acknowledged.
    pub send_queue: u32,
    /// The smoothed round-trip time, in microseconds.
    pub rtt_us: u32,
    /// Its variation, in microseconds.
    pub rtt_variation_us: u32,
    /// The congestion control (RFC 5681).
    pub congestion_control: SafeText,
    /// The congestion window, in segments.
    pub congestion_window: u32,
    /// The largest segment that is sent, in bytes.
    pub segment_bytes: u32,
    /// Segments sent and not acknowledged.
    pub unacknowledged_segments: u32,
    /// Segments that count as lost just now.
    pub lost_segments: u32,
    /// Retransmissions since the connection began.
    pub retransmits: u32,
}

/// Where the fields begin in `struct tcp_info` (linux/tcp.h); it only ever grows at its end.
mod offset {
    pub const SEGMENT_BYTES: usize = 16;
    pub const UNACKED: usize = 24;
    pub const LOST: usize = 32;
    pub const RTT: usize = 68;
    pub const RTT_VARIATION: usize = 72;
    pub const CONGESTION_WINDOW: usize = 80;
    pub const TOTAL_RETRANSMITS: usize = 100;
}

impl TcpInfo {
    /// Asks about the connection between `local` and `peer`.
    ///
    /// # Errors
    /// Where the socket is gone, is not a TCP socket, or the kernel has no sock_diag.
    pub fn query(local: &Address, peer: &Address) -> io::Result<Self> {
        let answer = diag::query(local, peer, ExtensionFlags::INFO | ExtensionFlags::CONG)?;
        let (mut raw, mut congestion_control) = (&[][..], SafeText::from(""));
        for nla in &answer.nlas {
            match nla {
                Nla::TcpInfo(info) => raw = info,
                Nla::Congestion(name) => congestion_control = name.as_str().into(),
                _ => {}
            }
        }
        Ok(TcpInfo {
            state: state_name(answer.header.state).into(),
            receive_queue: answer.header.recv_queue,
            send_queue: answer.header.send_queue,
            rtt_us: field(raw, offset::RTT),
            rtt_variation_us: field(raw, offset::RTT_VARIATION),
            congestion_control,
            congestion_window: field(raw, offset::CONGESTION_WINDOW),
            segment_bytes: field(raw, offset::SEGMENT_BYTES),
            unacknowledged_segments: field(raw, offset::UNACKED),
            lost_segments: field(raw, offset::LOST),
            retransmits: field(raw, offset::TOTAL_RETRANSMITS),
        })
    }
}

/// A number of the machine's own byte order.
fn field(raw: &[u8], at: usize) -> u32 {
    raw.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// As numbered in include/net/tcp_states.h.
fn state_name(state: u8) -> &'static str {
    const NAMES: [&str; 13] = [
        "unknown",
        "established",
        "syn-sent",
        "syn-received",
        "fin-wait-1",
        "fin-wait-2",
        "time-wait",
        "closed",
        "close-wait",
        "last-ack",
        "listen",
        "closing",
        "syn-received",
    ];
    NAMES.get(usize::from(state)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    #[test]
    fn a_connection_that_moved_bytes_has_a_round_trip_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        client.write_all(b"unread").unwrap();
        let (local, peer) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        let info = TcpInfo::query(&Address::Tcp(local), &Address::Tcp(peer)).unwrap();
        assert_eq!((info.state.as_str(), info.receive_queue), ("established", 6));
        assert!(info.rtt_us > 0 && info.congestion_window > 0 && info.segment_bytes > 0, "{info:?}");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_zero() {
        assert_eq!(field(&[1, 0, 0, 0], 2), 0);
        assert_eq!(field(&[], 200), 0);
    }
}
