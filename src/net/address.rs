//! The address of one end of a connection, as the kernel tells it.

use crate::text::escape::Escaped;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};
use std::{
    ffi::OsStr,
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

/// One end of a connection or a listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    /// A UNIX stream socket; the path is empty if the peer did not bind one. A name of the abstract namespace begins with
    /// `@`, which stands for its zero (unix(7)); a file of such a name is `./@name`.
    Unix(Arc<Path>),
}

impl Address {
    /// The IP address, by which `--max-per-source` counts; none for a UNIX socket.
    /// An IPv4 client of a dual-stack listener counts as the IPv4 address that it is.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip().to_canonical()),
            Address::Unix(_) => None,
        }
    }

    pub(super) fn family(&self) -> AddressFamily {
        match self {
            Address::Tcp(address) if address.is_ipv4() => AddressFamily::INET,
            Address::Tcp(_) => AddressFamily::INET6,
            Address::Unix(_) => AddressFamily::UNIX,
        }
    }

    /// The address of a UNIX socket that has none.
    pub(crate) fn unnamed() -> Self {
        Address::Unix(Path::new("").into())
    }

    pub(crate) fn from_kernel(any: &SocketAddrAny) -> Self {
        if let Ok(address) = SocketAddr::try_from(any.clone()) {
            return Address::Tcp(address);
        }
        let unix = SocketAddrUnix::try_from(any.clone()).ok();
        let name = unix.as_ref().and_then(SocketAddrUnix::abstract_name).filter(|name| !name.is_empty());
        let path = match name {
            Some(name) => [b"@", name].concat(),
            None => unix.as_ref().and_then(SocketAddrUnix::path_bytes).unwrap_or_default().to_vec(),
        };
        Address::Unix(Path::new(OsStr::from_bytes(&path)).into())
    }
}

/// Whether the path of a UNIX address is a name of the abstract namespace.
pub fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"@")
}

/// The kernel's form of a UNIX address.
pub fn unix(path: &Path) -> io::Result<SocketAddrUnix> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => Ok(SocketAddrUnix::new_abstract_name(name)?),
        None => Ok(SocketAddrUnix::new(path)?),
    }
}

impl fmt::Display for Address {
    /// `127.0.0.1:80`, `[::1]:80`, `unix:/path`, `unix:@name`; an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) reads as IPv4.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => {
                write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address as one line of text: a peer may bind a UNIX socket to a path of any bytes.
#[derive(Clone, Copy, Debug)]
pub struct EscapedAddress<'a>(pub &'a Address);

impl fmt::Display for EscapedAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(_) => self.0.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", Escaped(path.as_os_str().as_bytes())),
        }
    }
}
