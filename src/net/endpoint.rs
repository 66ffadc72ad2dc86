//! An address as a user types it (`ADDR` in the help): a name still to be resolved, or a path.

use crate::net::address::Address;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    str::FromStr,
};

/// What to listen on or connect to, before any name is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Tcp {
        host: Host,
        /// 0 lets the kernel choose one for a listener.
        port: u16,
    },
    /// `unix:/path`; or `unix:@name`, of the abstract namespace, which needs no file (unix(7)).
    Unix(PathBuf),
    /// `fd:NAME` or `fd:3`: a listening socket that a service manager passes, by its name or its number. Of listeners only.
    Passed(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Nothing before the colon: every interface, IPv4 and IPv6, for a listener; this machine for an upstream.
    Any,
    Ip(IpAddr),
    Name(String),
}

impl Endpoint {
    pub fn loopback(port: u16) -> Self {
        Endpoint::Tcp { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port }
    }

    /// The host, if it is a name.
    pub fn name(&self) -> Option<String> {
        match self {
            Endpoint::Tcp { host: Host::Name(name), .. } => Some(name.clone()),
            _ => None,
        }
    }

    /// The name that the certificate of a server there is to have, if nothing else is said.
    pub fn name_in_certificate(&self) -> String {
        match self {
            Endpoint::Tcp { host: Host::Name(name), .. } => name.clone(),
            Endpoint::Tcp { host: Host::Ip(ip), .. } => ip.to_string(),
            Endpoint::Tcp { host: Host::Any, .. } | Endpoint::Unix(_) | Endpoint::Passed(_) => {
                "localhost".to_owned()
            }
        }
    }

    /// Reads an address like [`FromStr`], with `default_port` if the text names none (`example.com`).
    /// Errors: why the text is not an address, as a sentence for the user.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_path(path);
        }
        if let Some(name) = text.strip_prefix("fd:") {
            return parse_passed(name);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            return Ok(Endpoint::loopback(parse_port(text)?));
        }
        let (host, port) = match split(text)? {
            (host, Some(port)) => (host, parse_port(port)?),
            (host, None) => (host, default_port.ok_or("it names no port; write host:port")?),
        };
        Ok(Endpoint::Tcp { host: parse_host(host)?, port })
    }
}

/// Splits `host:port`, `[v6]:port`, `host` and `[v6]`; the brackets stay on the host.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or("the bracket is not closed; write [address]:port")?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("there is something between the bracket and the port".into()),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => {
            Err("an IPv6 address needs brackets; write [address]:port".into())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_host(host: &str) -> Result<Host, String> {
    if host.is_empty() {
        return Ok(Host::Any);
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = inner.parse::<Ipv6Addr>().map_err(|_| format!("{inner:?} is not an IPv6 address"))?;
        return Ok(Host::Ip(address.into()));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Host::Ip(address));
    }
    // RFC 1123 §2.1 and the underscore that real zones use; anything else is a typing error, not a name.
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.len() > 253 || !host.bytes().all(legal) || host.starts_with('-') {
        return Err(format!("{host:?} is not a host name"));
    }
    Ok(Host::Name(host.to_owned()))
}

fn parse_port(port: &str) -> Result<u16, String> {
    if port.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(port) = port.parse()
    {
        return Ok(port);
    }
    Err(format!("{port:?} is not a port; a port is a number from 0 to 65535"))
}

/// `sun_path` holds 108 bytes with the closing zero (unix(7)).
const UNIX_PATH_MAX: usize = 107;
const ABSTRACT_MAX: usize = 108;
/// The longest name that a service manager gives a socket (sd_listen_fds(3)).
const PASSED_NAME_MAX: usize = 255;

fn parse_path(path: &str) -> Result<Endpoint, String> {
    match path.len() {
        0 => Err("the path after unix: is empty".into()),
        1 if path == "@" => Err("the name after unix:@ is empty".into()),
        // The sign stands for the zero that abstract names begin with, and no other closes them.
        ABSTRACT_MAX if path.starts_with('@') => Ok(Endpoint::Unix(path.into())),
        1..=UNIX_PATH_MAX => Ok(Endpoint::Unix(path.into())),
        length => {
            Err(format!("the path has {length} bytes; a UNIX socket's path has at most {UNIX_PATH_MAX}"))
        }
    }
}

fn parse_passed(name: &str) -> Result<Endpoint, String> {
    // What sd_listen_fds_with_names(3) can name.
    let legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    match name.len() {
        0 => Err("the name after fd: is empty; write fd:NAME or fd:3".into()),
        1..=PASSED_NAME_MAX if name.bytes().all(|byte| legal(byte) && byte != b':') => {
            Ok(Endpoint::Passed(name.into()))
        }
        _ => Err(format!("{name:?} is not the name of a passed socket; write fd:NAME or fd:3")),
    }
}

impl From<&Address> for Endpoint {
    fn from(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => Endpoint::Tcp { host: Host::Ip(address.ip()), port: address.port() },
            Address::Unix(path) => Endpoint::Unix(path.to_path_buf()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Endpoint::parse(text, None)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host: Host::Any, port } => write!(f, ":{port}"),
            Endpoint::Tcp { host: Host::Ip(IpAddr::V6(address)), port } => write!(f, "[{address}]:{port}"),
            Endpoint::Tcp { host: Host::Ip(address), port } => write!(f, "{address}:{port}"),
            Endpoint::Tcp { host: Host::Name(name), port } => write!(f, "{name}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Passed(name) => write!(f, "fd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_read_and_written_back() {
        for (text, shown) in [
            ("8002", "127.0.0.1:8002"),
            (":8002", ":8002"),
            ("localhost:80", "localhost:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("unix:/tmp/a", "unix:/tmp/a"),
            ("unix:@a", "unix:@a"),
            ("fd:web", "fd:web"),
            ("fd:3", "fd:3"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            "host:x",
            "host:65536",
            "::1:80",
            "[::1",
            "[::1]x:80",
            "a b:80",
            "unix:",
            "unix:@",
            "fd:",
            "fd:a:b",
            "fd:a\tb",
            ":+80",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_default_port_serves_if_none_is_typed() {
        assert_eq!(Endpoint::parse("example.com", Some(80)).unwrap().to_string(), "example.com:80");
        assert_eq!(Endpoint::parse("[::1]", Some(80)).unwrap().to_string(), "[::1]:80");
    }
    #[test]
    fn a_unix_address_has_what_the_kernel_takes_and_no_byte_more() {
        let long = |sign: &str, count| format!("unix:{sign}{}", "x".repeat(count)).parse::<Endpoint>();
        assert!(long("/", 106).is_ok() && long("/", 107).is_err());
        assert!(long("@", 107).is_ok() && long("@", 108).is_err());
    }
}
