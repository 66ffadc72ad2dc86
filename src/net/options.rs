//! The options of a TCP leg.

use crate::net::listener::stream_socket;
use rustix::{
    io::Errno,
    net::{AddressFamily, sockopt},
};
use std::{
    fmt, fs, io,
    net::IpAddr,
    os::fd::OwnedFd,
    str::{self, FromStr},
    sync::LazyLock,
    time::Duration,
};

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

/// The longest name (`TCP_CA_NAME_MAX`, without the end mark).
const NAME_BYTES_MAX: usize = 15;
/// In every kernel, open to every user, and without pacing.
const UNPACED: &str = "reno";
/// How the names of those begin that pace by themselves.
const PACED: &str = "bbr";
const DEFAULT: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

static SYSTEM_PACES: LazyLock<bool> =
    LazyLock::new(|| fs::read_to_string(DEFAULT).is_ok_and(|name| name.starts_with(PACED)));

/// The choice of a congestion control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// The system's; on loopback, where the system's paces, one that does not.
    Auto,
    /// The system's, everywhere.
    #[default]
    System,
    /// This one, everywhere.
    Named(Name),
}

/// The name of a congestion control, as in `/proc/sys/net/ipv4/tcp_available_congestion_control`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl Congestion {
    /// Sets it on a socket that is to be connected to `address`, or to listen there.
    ///
    /// # Errors
    /// Where the kernel does not have it, or does not allow it to this user.
    pub fn apply(self, descriptor: &OwnedFd, address: IpAddr) -> io::Result<()> {
        let name = match &self {
            Congestion::Auto if address.is_loopback() && *SYSTEM_PACES => UNPACED,
            Congestion::Auto | Congestion::System => return Ok(()),
            Congestion::Named(name) => name.as_str(),
        };
        Ok(sockopt::set_tcp_congestion(descriptor, name)?)
    }

    /// Whether the kernel would take it.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check(self) -> io::Result<()> {
        let Congestion::Named(name) = self else { return Ok(()) };
        let socket = stream_socket(AddressFamily::INET)?;
        sockopt::set_tcp_congestion(&socket, name.as_str()).map_err(|error| match error {
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
            _ => Name::new(text).map(Congestion::Named).ok_or_else(|| {
                "it is not the name of a congestion control; write auto, system, or one like cubic".into()
            }),
        }
    }
}

impl Name {
    fn new(text: &str) -> Option<Self> {
        let fits = text.len() <= NAME_BYTES_MAX && !text.is_empty();
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !(fits && plain) {
            return None;
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Name { bytes, length: text.len() })
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Congestion::Auto => "auto",
            Congestion::System => "system",
            Congestion::Named(name) => name.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_the_kernel_does_not_have_is_told() {
        assert!(Congestion::Named(Name::new("reno").unwrap()).check().is_ok());
        let error = Congestion::Named(Name::new("nosuch").unwrap()).check().unwrap_err();
        assert!(error.to_string().contains("reno"), "{error}");
    }
}
