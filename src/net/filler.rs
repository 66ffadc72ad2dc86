//! A connection of our own to one of our listeners, which takes a place in its queue.
//!
//! With a backlog of 0 a queue has one place (listen(2); the kernel compares with "greater"). Once that is taken, SYNs are
//! dropped, and connect() of others waits for its next try, until it times out.

use crate::net::{address::Address, options::set_reset_at_close, socket::stream_socket};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{bind, connect, getsockname, sockopt},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

/// Dropping it resets the connection; the listener may accept it nevertheless.
pub struct Filler {
    descriptor: OwnedFd,
    /// What it connects to.
    to: SocketAddr,
    /// Its own address, by which the listener knows it.
    pub address: Address,
}

impl Filler {
    /// One that is to connect to our listener at `listened`. Its address is known from now on, and it does not connect yet.
    pub fn open(listened: SocketAddr) -> io::Result<Self> {
        let mut to = listened;
        // A listener of every interface is one of the loopback interface too.
        match listened.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => to.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => to.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        let descriptor = stream_socket(Address::Tcp(to).family())?;
        sockopt::set_socket_reuseaddr(&descriptor, false)?;
        let mut from = to;
        from.set_port(0);
        bind(&descriptor, &from)?;
        let _ = set_reset_at_close(&descriptor, true);
        let address = Address::from_kernel(&getsockname(&descriptor)?);
        Ok(Filler { descriptor, to, address })
    }

    pub fn connect(&self) -> io::Result<()> {
        match connect(&self.descriptor, &self.to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has a place in a queue.
    pub fn is_connected(&self) -> bool {
        let mut polled = [PollFd::new(&self.descriptor, PollFlags::OUT)];
        let ready = poll(&mut polled, Some(&Timespec::default())).unwrap_or(0);
        ready > 0 && polled[0].revents() == PollFlags::OUT
    }
}
