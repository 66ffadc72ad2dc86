//! Addresses that a program is told to listen on before it does.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

/// How many ports below the kernel's own range are given out, in turn.
const COUNT: u16 = 8192;
/// How many a process is likely to ask for.
const BLOCK: u32 = 512;
/// The first port that the kernel gives to those who ask for any, and the last.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

static GIVEN: AtomicU16 = AtomicU16::new(0);

/// An address of this machine on which nobody listens, and which nobody else gets: the kernel gives its port to none that asks
/// for any, and the other tests of this process get others. Two processes begin in different blocks. Where the kernel's range
/// leaves no ports, it is one that was free a moment ago.
pub fn unused() -> SocketAddr {
    let range = fs::read_to_string(RANGE).unwrap();
    let end: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let Some(first) = end.checked_sub(COUNT).filter(|first| *first > 1024) else {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    };
    let begin = (process::id() * BLOCK % u32::from(COUNT)) as u16;
    let addresses = (0..COUNT).map(|_| {
        let at = begin.wrapping_add(GIVEN.fetch_add(1, Relaxed)) % COUNT;
        SocketAddr::from((Ipv4Addr::LOCALHOST, first + at))
    });
    let mut free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("a port without a listener")
}

#[test]
fn no_address_is_given_twice() {
    let held: Vec<TcpListener> = (0..100).map(|_| TcpListener::bind(unused()).unwrap()).collect();
    let ports: BTreeSet<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    assert_eq!(ports.len(), 100);
}
