//! The options of a TCP leg.

use crate::net::congestion::Congestion;
use rustix::net::sockopt;
use std::{io, net::IpAddr, os::fd::OwnedFd, time::Duration};

/// How much later than our own deadline the kernel's is. Ours can still ask what the queue holds; after the kernel's,
/// that is gone.
const KERNEL_LATER: Duration = Duration::from_secs(2);

/// Options of a TCP leg.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Probes of an idle connection (RFC 9293 §3.8.4).
    pub keepalive: Option<Keepalive>,
    /// Our deadline for bytes that wait to be taken; the kernel has one too (RFC 5482, `TCP_USER_TIMEOUT`), a little later.
    pub user_timeout: Option<Duration>,
    /// Who decides how fast to send (RFC 5681).
    pub congestion: Congestion,
}

impl Options {
    /// Sets the options of a socket that is to be connected to `address`, or to listen there. An accepted socket has those
    /// of its listener.
    ///
    /// # Errors
    /// Where the kernel refuses a value.
    pub fn apply(&self, descriptor: &OwnedFd, address: IpAddr) -> io::Result<()> {
        sockopt::set_tcp_nodelay(descriptor, true)?;
        self.congestion.apply(descriptor, address)?;
        if let Some(keepalive) = self.keepalive {
            sockopt::set_tcp_keepidle(descriptor, keepalive.idle)?;
            sockopt::set_tcp_keepintvl(descriptor, keepalive.interval)?;
            sockopt::set_tcp_keepcnt(descriptor, keepalive.probes)?;
            sockopt::set_socket_keepalive(descriptor, true)?;
        }
        if self.user_timeout.is_some() {
            self.apply_user_timeout(descriptor)?;
        }
        Ok(())
    }

    /// Sets the user timeout alone; without one, the system's default.
    ///
    /// # Errors
    /// Where the kernel refuses the value.
    pub fn apply_user_timeout(&self, descriptor: &OwnedFd) -> io::Result<()> {
        // Zero is the system's default.
        let limit_ms = self
            .user_timeout
            .map_or(0, |limit| u32::try_from((limit + KERNEL_LATER).as_millis()).unwrap_or(u32::MAX));
        sockopt::set_tcp_user_timeout(descriptor, limit_ms)?;
        Ok(())
    }
}

/// TCP keepalive of both legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes until the peer counts as gone.
    pub probes: u32,
}

/// A vanished peer is found after two minutes.
pub const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 6 };
