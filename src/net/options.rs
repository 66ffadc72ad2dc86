//! The options of a TCP leg, among them its congestion control.
//!
//! A system whose default paces its packets (BBR) arms a timer for nearly every packet. Loopback cannot be congested;
//! `--congestion auto` does without the timers there.

use crate::net::socket::stream_socket;
use rustix::{
    io::Errno,
    net::{AddressFamily, sockopt},
};
use std::{
    fmt, fs, io,
    net::IpAddr,
    os::fd::OwnedFd,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL` (include/net/tcp.h).
pub const KEEPALIVE_SECONDS_MAX: u64 = 32_767;
/// `MAX_TCP_KEEPCNT`.
pub const KEEPALIVE_PROBES_MAX: u32 = 127;

/// Beyond any window (RFC 7323 §2.3).
const WINDOW_MAX: u64 = 1 << 30;
/// The longest name (`TCP_CA_NAME_MAX`, without the end mark).
const NAME_BYTES_MAX: usize = 15;
/// Every kernel has it, opens it to every user, and does not pace it.
const UNPACED: &str = "reno";
/// How the names of those begin that pace by themselves.
const PACED: &str = "bbr";
const DEFAULT: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

static SYSTEM_PACES: LazyLock<bool> =
    LazyLock::new(|| fs::read_to_string(DEFAULT).is_ok_and(|name| name.starts_with(PACED)));

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub keepalive: Option<Keepalive>,
    pub congestion: Congestion,
    /// Whether the last segment of the handshake waits for our first bytes (`TCP_QUICKACK` off, tcp(7)), some 40 ms at most.
    /// A connection that is reset before is none to the peer's program: HAProxy's checks do so.
    pub holds_ack: bool,
    /// The receive window in bytes that the peer is offered, from the first segment on; `None`: what the kernel thinks best.
    pub window: Option<u64>,
}

/// Probes of an idle connection, on both legs (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    pub interval: Duration,
    /// Unanswered probes until the peer counts as gone.
    pub probes: u32,
}

/// A vanished peer is found after two minutes.
pub const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 6 };

/// Which congestion control a leg has (RFC 5681; `TCP_CONGESTION`, tcp(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// The system's; if that paces, an unpaced one on loopback.
    Auto,
    /// The system's, everywhere.
    #[default]
    System,
    /// This one, everywhere; named as in `/proc/sys/net/ipv4/tcp_available_congestion_control`.
    Named(Arc<str>),
}

impl Options {
    /// Sets the options of a socket that is to listen on `address`; an accepted socket has those of its listener.
    ///
    /// An option that the kernel refuses keeps the system's value: it must not fail a connection.
    pub(super) fn apply_to_listener(&self, descriptor: &OwnedFd, address: IpAddr) {
        self.apply_to_dialled(descriptor, address);
        let _ = sockopt::set_tcp_nodelay(descriptor, true);
        self.apply_watch(descriptor);
    }

    /// As [`Options::apply_to_listener`], of a socket that is to be connected to `address`. What watches over a connection
    /// is [`Options::apply_watch`]'s, and what only a second write needs is set then: a short connection does without.
    pub(super) fn apply_to_dialled(&self, descriptor: &OwnedFd, address: IpAddr) {
        self.apply(descriptor, address);
        if let Some(bytes) = self.window {
            clamp_window(descriptor, bytes);
        }
        if self.holds_ack {
            let _ = sockopt::set_tcp_quickack(descriptor, false);
        }
    }

    fn apply(&self, descriptor: &OwnedFd, address: IpAddr) {
        // From birth, for a process that dies cannot: what it leaves behind must not look complete. See `Socket::finish`.
        let _ = set_reset_at_close(descriptor, true);
        if let Some(name) = self.congestion.name_towards(address) {
            let _ = sockopt::set_tcp_congestion(descriptor, name);
        }
    }

    /// Sets what finds a peer that has vanished while nothing is under way to it. What is, our own deadline watches: the kernel's
    /// (RFC 5482, `TCP_USER_TIMEOUT`) also ends a peer that takes bytes all the time, if its window never has room for a whole
    /// buffer of the queue (net/ipv4/tcp_timer.c, `tcp_probe_timer`).
    pub(super) fn apply_watch(&self, descriptor: &OwnedFd) {
        if let Some(keepalive) = self.keepalive {
            let longest = Duration::from_secs(KEEPALIVE_SECONDS_MAX);
            let _ = sockopt::set_tcp_keepidle(descriptor, keepalive.idle.min(longest));
            let _ = sockopt::set_tcp_keepintvl(descriptor, keepalive.interval.min(longest));
            let _ = sockopt::set_socket_keepalive(descriptor, true);
            let _ = sockopt::set_tcp_keepcnt(descriptor, keepalive.probes.min(KEEPALIVE_PROBES_MAX));
        }
    }
}

/// Has the kernel offer a window of some `bytes`: half of the buffer that it makes of them (tcp(7), `tcp_adv_win_scale`). Nothing
/// goes wrong where it does not.
pub(super) fn clamp_window(descriptor: &OwnedFd, bytes: u64) {
    // The kernel doubles what it is told.
    let size = usize::try_from(bytes.min(WINDOW_MAX)).unwrap_or_default();
    let _ = sockopt::set_socket_recv_buffer_size(descriptor, size);
}

/// Whether close(2) is to send RST and drop what is queued (`SO_LINGER` of no time, socket(7)), or FIN after it. When a
/// process dies, the kernel closes its sockets. A UNIX socket has no RST.
pub(super) fn set_reset_at_close(descriptor: &OwnedFd, resets: bool) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(descriptor, resets.then_some(Duration::ZERO))?)
}

impl Congestion {
    /// What to set on a socket towards `address`; none: what the system gave it.
    fn name_towards(&self, address: IpAddr) -> Option<&str> {
        match self {
            Congestion::Auto => (address.is_loopback() && *SYSTEM_PACES).then_some(UNPACED),
            Congestion::System => None,
            Congestion::Named(name) => Some(name),
        }
    }

    /// Fails if the kernel would not take the one that the user named.
    pub fn check(&self) -> io::Result<()> {
        let Congestion::Named(name) = self else { return Ok(()) };
        let socket = stream_socket(AddressFamily::INET)?;
        sockopt::set_tcp_congestion(&socket, name).map_err(|error| match error {
            Errno::NOENT => {
                let there = fs::read_to_string(AVAILABLE).unwrap_or_default();
                io::Error::other(format!("this kernel does not have it; it has {}", there.trim()))
            }
            Errno::PERM => {
                io::Error::other("it is not open to this user (net.ipv4.tcp_allowed_congestion_control)")
            }
            error => error.into(),
        })
    }
}

impl FromStr for Congestion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Congestion::Auto),
            "system" => Ok(Congestion::System),
            name if is_congestion_name(name) => Ok(Congestion::Named(name.into())),
            _ => {
                Err("it is not the name of a congestion control; write auto, system, or one like cubic"
                    .into())
            }
        }
    }
}

fn is_congestion_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Congestion::Auto => "auto",
            Congestion::System => "system",
            Congestion::Named(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{dial::open_at_once, endpoint::Endpoint, listener::Listener},
        runtime::shard,
    };

    #[test]
    fn a_choice_is_read_as_it_is_shown() {
        for text in ["auto", "system", "cubic", "fifteen-letters"] {
            assert_eq!(text.parse::<Congestion>().unwrap().to_string(), text);
        }
        for text in ["", "sixteen-letters_", "two words", "über", "a/b"] {
            assert!(text.parse::<Congestion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_option_that_the_kernel_refuses_fails_no_socket() {
        let forever = Duration::from_secs(u64::MAX);
        let options = Options {
            keepalive: Some(Keepalive { idle: forever, interval: forever, probes: u32::MAX }),
            congestion: "nosuch".parse().unwrap(),
            ..Options::default()
        };
        let connected = shard::run(async {
            let listener = Listener::bind(&Endpoint::loopback(0), 1, &options).unwrap();
            open_at_once(listener.address(), &options).await.map(drop)
        });
        connected.unwrap().unwrap();
    }

    #[test]
    fn what_the_kernel_does_not_have_is_told() {
        assert!(Congestion::Named("reno".into()).check().is_ok());
        let error = Congestion::Named("nosuch".into()).check().unwrap_err();
        assert!(error.to_string().contains("reno"), "{error}");
    }
}
