//! The origin: the proxy under test connects to it. It finds out which client caused each connection that arrives.
//!
//! Most checks let the client speak first: its label names its connection, through any proxy. Any other arrival (a health
//! check) is a stranger and is closed. If the client must not speak first, nothing else runs, and the check takes every
//! arrival as it comes.

use crate::{
    net::{address::Address, endpoint::Endpoint, listener::Listener, options::Options, socket::Socket},
    runtime::{
        clock::{sleep, within},
        mailbox::{self, Mailbox, mailbox},
    },
    tools::audit::{
        label::{self, Label},
        observation::End,
    },
};
use futures::{StreamExt, channel::oneshot, stream::FuturesUnordered};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// A connection that says nothing is closed after this.
const STRANGER_LIMIT: Duration = Duration::from_secs(10);
/// More than a crowd and the proxy's health checks need at once. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;
/// Arrivals that a check has not taken yet: as many as the kernel's queue holds.
const ARRIVALS: usize = BACKLOG as usize;
/// Out of descriptors, the origin waits this long before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub struct Arrival {
    /// The header and the label are read already.
    pub socket: Socket,
    /// A direct client, or the proxy.
    pub peer: Address,
    pub header: Option<String>,
    /// How it ended before its header came. The kernel tells of a reset only once.
    pub ended: Option<End>,
}

/// Where arrivals go that are not asked for a label.
struct Open {
    strip: bool,
    taker: mailbox::Sender<Arrival>,
}

/// The right to take arrivals as they come. Dropping it resets those that were not taken.
pub struct Unlabelled<'a> {
    origin: &'a Origin,
    arrivals: Mailbox<Arrival>,
}

pub struct Origin {
    listener: Listener,
    /// Clients whose connection has not arrived.
    awaited: RefCell<HashMap<Label, oneshot::Sender<Arrival>>>,
    /// While a check takes arrivals as they come.
    unlabelled: RefCell<Option<Open>>,
    /// Connections are left waiting in the kernel's queue, or refused.
    paused: Cell<bool>,
    /// The proxy puts a header before the client's bytes.
    has_header: Cell<bool>,
    strangers: Cell<u64>,
    fault: Cell<Option<io::Error>>,
}

impl Origin {
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        Ok(Origin {
            listener: Listener::bind(endpoint, BACKLOG, &Options::default())?,
            awaited: RefCell::default(),
            unlabelled: RefCell::default(),
            paused: Cell::new(false),
            has_header: Cell::new(false),
            strangers: Cell::new(0),
            fault: Cell::default(),
        })
    }

    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// The address for a direct client.
    pub fn direct(&self) -> io::Result<SocketAddr> {
        match self.address() {
            Address::Tcp(address) if address.ip().is_unspecified() => {
                let loopback = match address.ip() {
                    IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
                };
                Ok(SocketAddr::new(loopback, address.port()))
            }
            Address::Tcp(address) => Ok(*address),
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub fn strangers(&self) -> u64 {
        self.strangers.get()
    }

    /// Accepts for as long as it is polled.
    pub async fn serve(&self) {
        let mut welcomes = FuturesUnordered::new();
        loop {
            let accepted = poll_fn(|context| {
                while let Poll::Ready(Some(())) = welcomes.poll_next_unpin(context) {}
                if self.paused.get() {
                    return Poll::Pending;
                }
                let readable = pin!(self.listener.readable());
                readable.poll(context).map(|()| self.listener.try_accept())
            });
            match accepted.await {
                Ok((socket, peer)) => welcomes.push(async {
                    let taken = within(Some(STRANGER_LIMIT), self.introduce(socket, peer)).await;
                    if taken != Some(true) {
                        self.strangers.update(|count| count + 1);
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Hands an arrival to the check that waits for it; false if none does.
    async fn introduce(&self, socket: Socket, peer: Address) -> bool {
        let strip = self.unlabelled.borrow().as_ref().map(|open| open.strip);
        if let Some(strip) = strip {
            let header = if strip { label::header_alone(&socket).await } else { Ok(None) };
            let (header, ended) = header.map_or_else(|end| (None, Some(end)), |header| (header, None));
            if let Some(open) = &*self.unlabelled.borrow() {
                // A full mailbox is a flood of strangers: this one is reset.
                let _ = open.taker.try_send(Arrival { socket, peer, header, ended });
            }
            return true;
        }
        let Ok(opening) = label::opening(&socket).await else { return false };
        let awaited = opening.label.and_then(|label| self.awaited.borrow_mut().remove(&label));
        let Some(awaited) = awaited else { return false };
        self.has_header.set(self.has_header.get() || opening.header.is_some());
        // A client that no longer waits is ours all the same.
        let _ = awaited.send(Arrival { socket, peer, header: opening.header, ended: None });
        true
    }

    /// Waits for the connection of the client that says `label`.
    pub fn expect(&self, label: Label) -> oneshot::Receiver<Arrival> {
        let (sender, receiver) = oneshot::channel();
        self.awaited.borrow_mut().insert(label, sender);
        receiver
    }

    /// From now on arrivals are taken as they come, until the guard is dropped. `through` a proxy that puts a header
    /// before the client's bytes, it is taken off.
    pub fn take_unlabelled(&self, through: bool) -> Unlabelled<'_> {
        let (taker, arrivals) = mailbox(ARRIVALS);
        self.unlabelled.replace(Some(Open { strip: through && self.has_header.get(), taker }));
        Unlabelled { origin: self, arrivals }
    }

    /// Leaves connections waiting until the guard is dropped: one in the kernel's queue, the others unanswered.
    pub fn hold(&self) -> io::Result<Absence<'_>> {
        self.listener.listen_again(0)?;
        self.paused.set(true);
        Ok(Absence { origin: self })
    }

    pub fn refuse(&self) -> io::Result<Absence<'_>> {
        self.listener.refuse()?;
        self.paused.set(true);
        Ok(Absence { origin: self })
    }

    /// Why it listens no more, if it could not begin again after an absence.
    pub fn fault(&self) -> Option<io::Error> {
        self.fault.take()
    }
}

/// The origin takes no connections until this is dropped.
pub struct Absence<'a> {
    origin: &'a Origin,
}

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        self.origin.paused.set(false);
        if let Err(error) = self.origin.listener.listen_again(BACKLOG) {
            self.origin.fault.set(Some(error));
        }
    }
}

impl Unlabelled<'_> {
    /// The next arrival, or the next one from `peer`. Cancel-safe.
    pub async fn next(&mut self, peer: Option<&Address>) -> Arrival {
        loop {
            let arrival =
                self.arrivals.next().await.expect("the origin has the address until this is dropped");
            if peer.is_none_or(|peer| *peer == arrival.peer) {
                return arrival;
            }
            self.origin.strangers.update(|count| count + 1);
        }
    }
}

impl Drop for Unlabelled<'_> {
    fn drop(&mut self) {
        self.origin.unlabelled.take();
        while self.arrivals.try_next().is_some() {
            self.origin.strangers.update(|count| count + 1);
        }
    }
}
