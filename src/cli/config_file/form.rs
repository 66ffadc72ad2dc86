//! What a key of the file takes: the form of its value, and the reason why a text is none of that form.

use crate::{
    cli::{
        config_file::keys::Kind,
        values::{self, UpstreamAddress},
        words::nearest,
    },
    net::{
        endpoint::{Endpoint, Host},
        network::Network,
    },
    server::plan::ServerSource,
    session::{
        faults::{fault::FaultStream, kind::FaultKind},
        group::Balance,
        route::ServerName,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};
use strum::VariantArray;

/// The form of what stands after a key.
#[derive(Clone, Debug)]
pub enum KeyForm {
    One(Value),
    /// A list, or one in place of it.
    Many(Value),
    /// A whole number.
    Number(RangeInclusive<u64>),
    /// A list of whole numbers, or one in place of it.
    Numbers(RangeInclusive<u64>),
    /// A number from 0 to 1.
    Share,
    /// A table of whole numbers, by the attributes of a kind of fault.
    Attributes,
    Truth,
    Table(Kind),
    /// `[[listener.NAME.route]]`.
    Tables(Kind),
    /// `[upstream.NAME]`.
    Named(Kind),
    TableOrTruth(Kind),
    /// A table, or `off`.
    TableOrOff(Kind),
    /// A list of addresses and of tables [`Kind::Server`].
    Servers,
}

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Listen,
    /// The name of an upstream's table, or an address.
    Upstream,
    /// A server's address.
    Address,
    Network,
    ServerName,
    Protocol,
    /// Of a table.
    Name,
    HostName,
    Time,
    TimeOrOff,
    Balance,
    OnDown,
    SendProxy,
    ClientCert,
    Mode,
    Discover,
    Resolver,
    Bytes,
    File,
    FaultName,
    FaultKind,
    FaultStream,
}

/// Port 53 of the domain name system (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;
/// One byte holds its length (RFC 7301 §3.1).
const PROTOCOL_BYTES_MAX: usize = 255;
/// Permissions of a file: read, write and execute for three.
const MODE_MAX: u32 = 0o777;

impl Value {
    /// Errors: why `text` is none, as a sentence for the user.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Value::Listen => listen(text).map(drop),
            Value::Upstream => upstream(text).map(drop),
            Value::Address => address(text).map(drop),
            Value::Network => text.parse::<Network>().map(drop),
            Value::ServerName => ServerName::parse(text).map(drop),
            Value::Protocol => protocol(text),
            Value::Name => name(text),
            Value::HostName => values::host_name(text).map(drop),
            Value::Time => time(text).map(drop),
            Value::TimeOrOff => values::duration(text).map(drop),
            Value::Balance | Value::OnDown | Value::SendProxy | Value::ClientCert | Value::FaultStream => {
                let words = self.words();
                let is_one = words.contains(&text);
                if is_one {
                    Ok(())
                } else {
                    Err(format!("it is none of the choices; write {}", words.join(" or ")))
                }
            }
            Value::Mode => mode(text).map(drop),
            Value::Discover => discover(text).map(drop),
            Value::Resolver => resolver(text).map(drop),
            Value::Bytes => values::escaped(text).map(drop),
            Value::FaultKind => fault_kind(text).map(drop),
            Value::FaultName if text.is_empty() => Err("it is empty".into()),
            Value::FaultName => Ok(()),
            Value::File if text.is_empty() => Err("it names no file".into()),
            Value::File => Ok(()),
        }
    }

    /// The words that it may be; none: it is no choice.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Value::Balance => Balance::VARIANTS.iter().map(|balance| balance.name()).collect(),
            Value::OnDown => vec!["keep", "cut"],
            Value::SendProxy => vec!["v1", "v2", "off"],
            Value::ClientCert => vec!["required", "optional"],
            Value::FaultKind => FaultKind::VARIANTS.iter().map(|kind| kind.name()).collect(),
            Value::FaultStream => {
                [FaultStream::Upstream, FaultStream::Downstream].map(FaultStream::name).into()
            }
            _ => Vec::new(),
        }
    }
}

/// What a listener listens on.
pub fn listen(text: &str) -> Result<Endpoint, String> {
    values::listen(text)
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destined {
    /// To the upstream of a table.
    Table(String),
    Address(UpstreamAddress),
}

/// The name of a table, or an address: that has a colon, or is a number.
pub fn upstream(text: &str) -> Result<Destined, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || text.contains(':') {
        return address(text).map(Destined::Address);
    }
    match name(text) {
        Ok(()) => Ok(Destined::Table(text.to_owned())),
        Err(_) => {
            let host = if address(text).is_ok() { text } else { "host" };
            Err(format!(
                "it is neither the name of an upstream nor an address; write {host}:80 for an address"
            ))
        }
    }
}

/// A server's address, which TLS may be spoken to.
pub fn address(text: &str) -> Result<UpstreamAddress, String> {
    values::upstream(text)
}

/// The advice for a name that is none of `names`; `new` is how one comes to be.
pub fn instead(name: &str, names: &[&str], new: &str) -> String {
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if names.is_empty() => new.to_owned(),
        None => format!("there is {}; {new}", names.join(", ")),
    }
}

/// The name of a table.
pub fn name(text: &str) -> Result<(), String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.is_empty() || !text.bytes().all(is_legal) {
        return Err("a name has letters, digits, - and _".into());
    }
    Ok(())
}

fn protocol(text: &str) -> Result<(), String> {
    match text.len() {
        1..=PROTOCOL_BYTES_MAX => Ok(()),
        _ => Err(format!("a protocol has from 1 to {PROTOCOL_BYTES_MAX} bytes, as in h2")),
    }
}

/// A kind of fault.
pub fn fault_kind(text: &str) -> Result<FaultKind, String> {
    FaultKind::named(text).map_err(|reason| match reason.split_once(": ") {
        // It is none for a reason.
        Some((_, why)) => why.to_owned(),
        None => {
            let kinds = Value::FaultKind.words();
            format!("it is no kind of fault; {}", instead(text, &kinds, "write one of these"))
        }
    })
}

/// A duration that is not off.
pub fn time(text: &str) -> Result<Duration, String> {
    values::duration(text)?.ok_or_else(|| "it cannot be off; write a duration, as in 2s".into())
}

/// `0660`, as chmod(1) takes it.
pub fn mode(text: &str) -> Result<u32, String> {
    let form = "it is no mode; write three octal digits, as in 0660";
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= MODE_MAX);
    mode.ok_or_else(|| form.into())
}

/// `dns:NAME:PORT`, `srv:NAME`.
pub fn discover(text: &str) -> Result<ServerSource, String> {
    let form = "write dns:NAME:PORT or srv:NAME";
    let host = |text: &str, port| match Endpoint::parse(text, port)? {
        Endpoint::Tcp { host: Host::Name(name), port } => Ok((name, port)),
        _ => Err(format!("{text:?} is no name; list an address in servers")),
    };
    if let Some(rest) = text.strip_prefix("dns:") {
        let (name, port) = host(rest, None)?;
        if port == 0 {
            return Err("port 0 takes no connections; write a port from 1 to 65535".into());
        }
        return Ok(ServerSource::Dns { name, port });
    }
    match text.strip_prefix("srv:") {
        Some(rest) if rest.contains(':') => Err("an SRV record brings the port; leave it out".into()),
        Some(rest) => host(rest, Some(1)).map(|(name, _)| ServerSource::Srv { name }),
        None => Err(format!("it is no way to learn servers; {form}")),
    }
}

/// An address of a name server; by default port 53.
pub fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::from((ip, DNS_PORT)));
    let form = "it is no address of a name server; write 127.0.0.1 or 127.0.0.1:8600";
    text.parse::<SocketAddr>().or(bare).map_err(|_| form.into())
}
