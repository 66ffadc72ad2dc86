//! Upstreams that cannot be reached, each in its own way.

use crate::support::{stream::bounded, wait::LIMIT};
use socket2::{Domain, Socket, Type};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A label of 65 characters is too long for a DNS query (RFC 1035 §2.3.4): it fails without one being sent.
pub const UNRESOLVABLE: &str =
    "a-label-that-is-two-characters-longer-than-sixty-three-is-not-allowed-x.test:80";

/// A listener whose backlog is full: it answers no connection request.
pub struct Blackhole {
    pub address: SocketAddr,
    held: (Socket, Vec<Socket>),
}

/// Never accepts, and has no room for another connection.
pub fn never_accepts() -> Blackhole {
    never_accepts_on((Ipv4Addr::LOCALHOST, 0).into())
}

/// [`never_accepts`] on a given address.
pub fn never_accepts_on(address: SocketAddr) -> Blackhole {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // A backlog of 0 holds one connection; those that follow stay requests.
    let fill = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.connect_timeout(&address, Duration::from_millis(200)).ok().map(|()| socket)
    };
    let held = std::iter::from_fn(fill).collect();
    Blackhole { address: address.as_socket().unwrap(), held: (listener, held) }
}

impl Blackhole {
    /// Has room for one more connection from now on.
    pub fn makes_room(&self) {
        self.held.0.accept().unwrap();
    }

    /// Waits for the connection that took the room.
    pub fn accepts(&self) -> TcpStream {
        self.held.0.set_read_timeout(Some(LIMIT)).unwrap();
        bounded(self.held.0.accept().unwrap().0.into())
    }
}

/// A port that refuses connections, and stays reserved as long as the socket lives.
pub fn refuses() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}
