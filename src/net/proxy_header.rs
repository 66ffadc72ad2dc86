//! The PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`): what a proxy says of a connection before its
//! first byte. No I/O.
//!
//! A reader gives all bytes that it has so far, and gives more until the answer is [`ProxyRead::Complete`]: a header may
//! arrive in any pieces. Bytes that cannot become a header any more are refused at once; those behind it are not looked at.
//!
//! Who may send a header, and within which time, the caller decides.

use crate::net::address::{Address, is_abstract};
use std::{
    ffi::OsStr,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    os::unix::ffi::OsStrExt,
    path::Path,
    str::FromStr,
};

/// No header is longer: neither one that is read, nor one that is written. Version 2 could have 64 KiB.
pub const HEADER_BYTES_MAX: usize = 4096;
/// A line of version 1, with its CRLF (§2.1).
const LINE_BYTES_MAX: usize = 107;
/// The first bytes of version 2 (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, the command, the family and the length.
const FIXED_BYTES: usize = SIGNATURE.len() + 4;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// A UNIX address of version 2.
const UNIX_BYTES: usize = 108;
/// The type and the length of a TLV.
const TLV_BYTES: usize = 3;
/// §2.2.5.
const UNIQUE_ID_BYTES_MAX: usize = 128;
/// Client and verify, before what else is said of TLS (§2.2.6).
const SSL_BYTES_MIN: usize = 5;
/// Of what is said of our own TLS. Longer than a name of a host (RFC 1035), of a protocol (RFC 7301) and of a certificate's
/// subject (RFC 5280, `ub-common-name`).
const TEXT_BYTES_MAX: usize = 255;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
const CUSTOM: RangeInclusive<u8> = 0xe0..=0xef;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    pub version: ProxyVersion,
    /// None if the addresses are those of the connection itself: of a connection that is not relayed (LOCAL), or that is
    /// relayed of a kind that the sender or this program does not know (UNKNOWN, unspecified, datagrams).
    pub proxied: Option<Proxied>,
    /// Of version 2, and only beside addresses.
    pub tlvs: Tlvs,
}

/// The ends of the connection that is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub source: Address,
    pub destination: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// What the bytes of a connection that begins with a header are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyRead {
    /// The header needs more bytes.
    Incomplete,
    /// With the header's length: there the stream itself begins.
    Complete(ProxyHeader, usize),
}

/// Bytes that are no header, nor the first of one. The text is safe to print: it has nothing of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedProxyHeader(&'static str);

/// What else a header says (TLVs, §2.2): all that is passed on from one header to the next, in its order. That is neither the
/// checksum, which is of one header, nor padding, nor what is of the sender's machine or unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<Tlv>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tlv {
    kind: u8,
    value: Vec<u8>,
}

/// What is said of a client's TLS that this program ends.
#[derive(Clone, Copy, Debug)]
pub struct EndedTls<'a> {
    /// The protocol that was agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The name of the server that the client asked for.
    pub authority: Option<&'a str>,
    /// `TLSv1.3`.
    pub version: &'a str,
    pub cipher: Option<&'a str>,
    /// Of the client's certificate.
    pub common_name: Option<&'a str>,
    /// Whether the client showed a certificate, and it was verified.
    pub client_cert: bool,
}

const NO_HEADER: MalformedProxyHeader = MalformedProxyHeader("the stream begins with other bytes");
const OVERRUN: MalformedProxyHeader = MalformedProxyHeader("a TLV is longer than what it is in");

impl fmt::Display for MalformedProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for ProxyVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(ProxyVersion::V1),
            "v2" => Ok(ProxyVersion::V2),
            _ => Err("it is no version of the PROXY protocol; write v1 or v2".into()),
        }
    }
}

impl fmt::Display for ProxyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyVersion::V1 => "v1",
            ProxyVersion::V2 => "v2",
        })
    }
}

impl ProxyHeader {
    /// Of a connection from `source` to `destination`.
    pub fn new(version: ProxyVersion, source: Address, destination: Address) -> Self {
        ProxyHeader { version, proxied: Some(Proxied { source, destination }), tlvs: Tlvs::default() }
    }

    /// Of a connection that the sender makes for itself, as to check a server.
    pub fn local(version: ProxyVersion) -> Self {
        ProxyHeader { version, proxied: None, tlvs: Tlvs::default() }
    }

    /// Reads the header at the start of `bytes`, all that a connection has sent so far.
    pub fn read(bytes: &[u8]) -> Result<ProxyRead, MalformedProxyHeader> {
        match bytes.first() {
            None => Ok(ProxyRead::Incomplete),
            Some(b'P') => read_line(bytes),
            Some(_) => read_block(bytes),
        }
    }

    /// The header as it is sent. It is LOCAL, or UNKNOWN, if there are no addresses or if the version cannot say them: a UNIX
    /// address in version 1, or beside an IP address. An IPv4 address beside an IPv6 one is written as IPv4-mapped. A TLV
    /// that does not fit into [`HEADER_BYTES_MAX`] is left out.
    pub fn write(&self) -> Vec<u8> {
        match self.version {
            ProxyVersion::V1 => self.line().into_bytes(),
            ProxyVersion::V2 => self.block(),
        }
    }

    fn line(&self) -> String {
        let Some([source, destination]) = self.proxied.as_ref().and_then(Proxied::of_one_family) else {
            return "PROXY UNKNOWN\r\n".into();
        };
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (text(source.ip()), text(destination.ip()));
        format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
    }

    fn block(&self) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        let Some((family, addresses)) = self.proxied.as_ref().and_then(Proxied::block) else {
            bytes.extend([LOCAL, 0, 0, 0]);
            return bytes;
        };
        bytes.extend([PROXY, family, 0, 0]);
        bytes.extend(addresses);
        for Tlv { kind, value } in &self.tlvs.0 {
            if bytes.len() + TLV_BYTES + value.len() <= HEADER_BYTES_MAX {
                push(&mut bytes, *kind, value);
            }
        }
        let length = u16::try_from(bytes.len() - FIXED_BYTES).expect("a header has at most HEADER_BYTES_MAX");
        bytes[FIXED_BYTES - 2..FIXED_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

impl Proxied {
    /// Both ends, if both are IP addresses.
    fn of_one_family(&self) -> Option<[SocketAddr; 2]> {
        let (Address::Tcp(source), Address::Tcp(destination)) = (&self.source, &self.destination) else {
            return None;
        };
        let ends = [*source, *destination];
        if ends.iter().all(SocketAddr::is_ipv4) {
            return Some(ends);
        }
        let as_ipv6 = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
            IpAddr::V6(_) => end,
        };
        Some(ends.map(as_ipv6))
    }

    /// The family's byte, and the addresses of version 2.
    fn block(&self) -> Option<(u8, Vec<u8>)> {
        if let (Address::Unix(source), Address::Unix(destination)) = (&self.source, &self.destination) {
            return Some((0x31, [unix_field(source)?, unix_field(destination)?].concat()));
        }
        let ends = self.of_one_family()?;
        let mut block = Vec::new();
        for end in ends {
            match end.ip() {
                IpAddr::V4(ip) => block.extend(ip.octets()),
                IpAddr::V6(ip) => block.extend(ip.octets()),
            }
        }
        block.extend(ends.iter().flat_map(|end| end.port().to_be_bytes()));
        Some((if ends[0].is_ipv4() { 0x11 } else { 0x21 }, block))
    }
}

/// As version 1 has it: groups of hexadecimal digits alone, also of an IPv4-mapped address.
fn text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            let [.., high, low] = ip.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        ip => ip.to_string(),
    }
}

/// None if the path is longer than a socket's can be.
fn unix_field(path: &Path) -> Option<[u8; UNIX_BYTES]> {
    let bytes = path.as_os_str().as_bytes();
    let mut field = [0; UNIX_BYTES];
    match bytes {
        // Its first byte stays zero.
        [_, name @ ..] if is_abstract(path) => field[1..].get_mut(..name.len())?.copy_from_slice(name),
        [b'.', b'/', file @ ..] if file.starts_with(b"@") => {
            field.get_mut(..file.len())?.copy_from_slice(file)
        }
        file => field.get_mut(..file.len())?.copy_from_slice(file),
    }
    Some(field)
}

fn unix_address(field: &[u8]) -> Address {
    let name = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let path = match field {
        [0, rest @ ..] => match name(rest) {
            name if name.is_empty() => name,
            name => [b"@", &name[..]].concat(),
        },
        // A file, not a name of the abstract namespace.
        [b'@', ..] => [b"./", &name(field)[..]].concat(),
        _ => name(field),
    };
    Address::Unix(Path::new(OsStr::from_bytes(&path)).into())
}

// Version 1.

fn read_line(bytes: &[u8]) -> Result<ProxyRead, MalformedProxyHeader> {
    let bytes = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return check_start(bytes).map(|()| ProxyRead::Incomplete);
    };
    let proxied = parse_line(&bytes[..end])?;
    let header = ProxyHeader { version: ProxyVersion::V1, proxied, tlvs: Tlvs::default() };
    Ok(ProxyRead::Complete(header, end + 2))
}

/// What a line says, without its CRLF.
fn parse_line(line: &[u8]) -> Result<Option<Proxied>, MalformedProxyHeader> {
    let line = line.strip_prefix(b"PROXY ").ok_or(NO_HEADER)?;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let ip: fn(&str) -> Option<IpAddr> = match fields[0] {
        b"TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        b"TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(MalformedProxyHeader("the protocol is none of TCP4, TCP6 and UNKNOWN")),
    };
    let [_, source, destination, source_port, destination_port] = fields[..] else {
        return Err(MalformedProxyHeader(
            "the line does not have two addresses and two ports, one space apart",
        ));
    };
    let ip = |field, why| str::from_utf8(field).ok().and_then(ip).ok_or(MalformedProxyHeader(why));
    let source = ip(source, "the source is no address of the protocol")?;
    let destination = ip(destination, "the destination is no address of the protocol")?;
    let (source_port, destination_port) = (port(source_port)?, port(destination_port)?);
    Ok(Some(Proxied {
        source: Address::Tcp(SocketAddr::new(source, source_port)),
        destination: Address::Tcp(SocketAddr::new(destination, destination_port)),
    }))
}

fn port(field: &[u8]) -> Result<u16, MalformedProxyHeader> {
    let is_plain = field.iter().all(u8::is_ascii_digit) && (field == b"0" || !field.starts_with(b"0"));
    let text = str::from_utf8(field).ok().filter(|_| is_plain);
    text.and_then(|text| text.parse().ok()).ok_or(MalformedProxyHeader("a port is no number from 0 to 65535"))
}

/// Whether something can follow `start` that makes it a line: the shortest ends of what it is in the middle of are tried.
fn check_start(start: &[u8]) -> Result<(), MalformedProxyHeader> {
    const IPV4_ENDS: &[&str] = &["", "0", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"];
    const IPV6_ENDS: &[&str] = &["", ":", "::", "0", ".0", "0.0", ".0.0", "0.0.0"];
    const PORT_ENDS: &[&str] = &["", "0"];
    if ["PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"].iter().any(|word| word.as_bytes().starts_with(start)) {
        return Ok(());
    }
    let (ip_ends, ip) =
        if start.starts_with(b"PROXY TCP4 ") { (IPV4_ENDS, "0.0.0.0") } else { (IPV6_ENDS, "::") };
    // The first space is behind PROXY.
    let (ends, rest) = match start.iter().filter(|byte| **byte == b' ').count() {
        _ if start.starts_with(b"PROXY UNKNOWN") => (&[""][..], String::new()),
        2 => (ip_ends, format!(" {ip} 0 0")),
        3 => (ip_ends, " 0 0".into()),
        4 => (PORT_ENDS, " 0".into()),
        _ => (PORT_ENDS, String::new()),
    };
    let ends = ends.iter().map(|end| format!("{end}{rest}\r\n")).chain(["\n".into()]);
    let mut fault = None;
    for end in ends {
        let line = [start, end.as_bytes()].concat();
        let result = match line.strip_suffix(b"\r\n") {
            _ if line.len() > LINE_BYTES_MAX => {
                Err(MalformedProxyHeader("the line is longer than 107 bytes"))
            }
            Some(line) => parse_line(line),
            None => Err(NO_HEADER),
        };
        match result {
            Ok(_) => return Ok(()),
            // The first end adds least: its fault is that of the bytes.
            Err(why) => fault = fault.or(Some(why)),
        }
    }
    Err(fault.unwrap_or(NO_HEADER))
}

// Version 2.

fn read_block(bytes: &[u8]) -> Result<ProxyRead, MalformedProxyHeader> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(NO_HEADER);
    }
    let Some((&command, rest)) = bytes[known..].split_first() else { return Ok(ProxyRead::Incomplete) };
    match command {
        LOCAL | PROXY => {}
        _ if command >> 4 != 2 => return Err(MalformedProxyHeader("the version is neither 1 nor 2")),
        _ => return Err(MalformedProxyHeader("the command is neither LOCAL nor PROXY")),
    }
    let Some((&family, rest)) = rest.split_first() else { return Ok(ProxyRead::Incomplete) };
    // The family of LOCAL is ignored, and so is what it says.
    let layout = if command == LOCAL { Layout::default() } else { Layout::of(family)? };
    let lengths = lengths(rest);
    if *lengths.start() > HEADER_BYTES_MAX - FIXED_BYTES {
        return Err(MalformedProxyHeader("the header is longer than 4,096 bytes"));
    }
    if *lengths.end() < layout.address_bytes {
        return Err(MalformedProxyHeader("the header is too short for its addresses"));
    }
    let Some(length) = exact(&lengths) else { return Ok(ProxyRead::Incomplete) };
    let header = &bytes[..bytes.len().min(FIXED_BYTES + length)];
    let tlvs = if layout.has_tlvs {
        let known = header.get(FIXED_BYTES + layout.address_bytes..).unwrap_or_default();
        read_tlvs(known, length - layout.address_bytes)?
    } else {
        Vec::new()
    };
    tlvs.iter().try_for_each(ReadTlv::check)?;
    if header.len() < FIXED_BYTES + length {
        return Ok(ProxyRead::Incomplete);
    }
    let checksums = tlvs.iter().filter(|tlv| tlv.kind == CRC32C);
    if !checksums.into_iter().all(|tlv| has_checksum(header, tlv)) {
        return Err(MalformedProxyHeader("the checksum is wrong"));
    }
    let proxied = layout.is_stream.then(|| addresses(&header[FIXED_BYTES..][..layout.address_bytes]));
    let tlvs = tlvs.into_iter().filter(|tlv| is_passed_on(tlv.kind));
    let tlvs = Tlvs(tlvs.map(|ReadTlv { kind, value, .. }| Tlv { kind, value: value.to_vec() }).collect());
    Ok(ProxyRead::Complete(ProxyHeader { version: ProxyVersion::V2, proxied, tlvs }, header.len()))
}

/// What is behind the length. The default is of a block that is skipped.
#[derive(Default)]
struct Layout {
    address_bytes: usize,
    /// Whether the addresses are of streams.
    is_stream: bool,
    /// Whether it is known where the addresses end.
    has_tlvs: bool,
}

impl Layout {
    fn of(family: u8) -> Result<Self, MalformedProxyHeader> {
        let address_bytes = match family >> 4 {
            0 => 0,
            1 => 2 * (4 + 2),
            2 => 2 * (16 + 2),
            3 => 2 * UNIX_BYTES,
            _ => return Err(MalformedProxyHeader("the address family is unknown")),
        };
        let protocol = family & 0xf;
        if protocol > 2 {
            return Err(MalformedProxyHeader("the transport protocol is unknown"));
        }
        let has_tlvs = address_bytes > 0 && protocol > 0;
        Ok(Layout { address_bytes, is_stream: has_tlvs && protocol == 1, has_tlvs })
    }
}

/// The addresses of a block that is as long as those of its family.
fn addresses(block: &[u8]) -> Proxied {
    let (source, destination) = if let Ok(block) = <&[u8; 12]>::try_from(block) {
        ip_addresses::<4>(block)
    } else if let Ok(block) = <&[u8; 36]>::try_from(block) {
        ip_addresses::<16>(block)
    } else {
        let (source, destination) = block.split_at(UNIX_BYTES);
        (unix_address(source), unix_address(destination))
    };
    Proxied { source, destination }
}

fn ip_addresses<const BYTES: usize>(block: &[u8]) -> (Address, Address)
where
    IpAddr: From<[u8; BYTES]>,
{
    let (ips, _) = block.as_chunks::<BYTES>();
    let (ports, _) = block[2 * BYTES..].as_chunks::<2>();
    let address = |index: usize| SocketAddr::new(ips[index].into(), u16::from_be_bytes(ports[index]));
    (Address::Tcp(address(0)), Address::Tcp(address(1)))
}

/// What a length of two bytes may be, of which none, one or both are known.
fn lengths(bytes: &[u8]) -> RangeInclusive<usize> {
    let with = |unknown: u8| {
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(unknown);
        usize::from(u16::from_be_bytes([byte(0), byte(1)]))
    };
    with(0)..=with(0xff)
}

/// The length, if it is known.
fn exact(lengths: &RangeInclusive<usize>) -> Option<usize> {
    Some(*lengths.start()).filter(|length| length == lengths.end())
}

/// A TLV, as far as it is known.
struct ReadTlv<'a> {
    kind: u8,
    lengths: RangeInclusive<usize>,
    value: &'a [u8],
    /// How many bytes of the header are behind it.
    bytes_behind: usize,
}

/// The TLVs of a block of `length` bytes, of which the first are `known`.
fn read_tlvs(mut known: &[u8], mut length: usize) -> Result<Vec<ReadTlv<'_>>, MalformedProxyHeader> {
    let mut tlvs = Vec::new();
    while length > 0 {
        let room = length.checked_sub(TLV_BYTES).ok_or(OVERRUN)?;
        let Some((&kind, rest)) = known.split_first() else { break };
        let lengths = lengths(rest);
        let bytes_behind = room.checked_sub(*lengths.start()).ok_or(OVERRUN)?;
        let value = rest.get(2..).unwrap_or_default();
        let value = &value[..value.len().min(*lengths.start())];
        known = rest.get(2 + value.len()..).unwrap_or_default();
        let whole = exact(&lengths).is_some();
        tlvs.push(ReadTlv { kind, lengths, value, bytes_behind });
        // Where the next begins is not known.
        if !whole {
            break;
        }
        length = bytes_behind;
    }
    Ok(tlvs)
}

impl ReadTlv<'_> {
    fn check(&self) -> Result<(), MalformedProxyHeader> {
        match self.kind {
            CRC32C if !self.lengths.contains(&4) => {
                Err(MalformedProxyHeader("the checksum does not have four bytes"))
            }
            UNIQUE_ID if *self.lengths.start() > UNIQUE_ID_BYTES_MAX => {
                Err(MalformedProxyHeader("the unique id is longer than 128 bytes"))
            }
            SSL if *self.lengths.end() < SSL_BYTES_MIN => {
                Err(MalformedProxyHeader("what is said of TLS is too short"))
            }
            SSL => {
                let Some(length) = exact(&self.lengths) else { return Ok(()) };
                let known = self.value.get(SSL_BYTES_MIN..).unwrap_or_default();
                read_tlvs(known, length - SSL_BYTES_MIN).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// Whether `tlv` is the checksum of `header`, which is computed with zeros in its place (§2.2.3).
fn has_checksum(header: &[u8], tlv: &ReadTlv<'_>) -> bool {
    let (before, behind) = header.split_at(header.len() - tlv.bytes_behind);
    let sum = crc32c::crc32c(&before[..before.len() - tlv.value.len()]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, behind).to_be_bytes() == tlv.value
}

fn is_passed_on(kind: u8) -> bool {
    matches!(kind, ALPN | AUTHORITY | UNIQUE_ID | SSL) || CUSTOM.contains(&kind)
}

fn push(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("it is shorter than HEADER_BYTES_MAX");
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
}

impl Tlvs {
    /// The protocol that the client and the sender agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.first(ALPN)
    }

    /// The name of the server that the client asked for; any bytes, as the sender took them from the client.
    pub fn authority(&self) -> Option<&[u8]> {
        self.first(AUTHORITY)
    }

    /// At most 128 bytes.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.first(UNIQUE_ID)
    }

    /// What is said of TLS, as §2.2.6 puts it.
    pub fn ssl(&self) -> Option<&[u8]> {
        self.first(SSL)
    }

    /// What applications agreed on, with its type.
    pub fn custom(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().filter(|tlv| CUSTOM.contains(&tlv.kind)).map(|tlv| (tlv.kind, &tlv.value[..]))
    }

    fn first(&self, kind: u8) -> Option<&[u8]> {
        self.0.iter().find(|tlv| tlv.kind == kind).map(|tlv| &tlv.value[..])
    }

    /// Says of TLS what is true of `tls`, and nothing else. A text longer than 255 bytes is left out.
    pub fn with_tls(mut self, tls: &EndedTls<'_>) -> Self {
        self.0.retain(|tlv| !matches!(tlv.kind, ALPN | AUTHORITY | SSL));
        // PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN and PP2_CLIENT_CERT_SESS; verify is 0 if a certificate was.
        let mut ssl = if tls.client_cert { vec![0x7, 0, 0, 0, 0] } else { vec![0x1, 0, 0, 0, 1] };
        let texts = [(SSL_VERSION, Some(tls.version)), (SSL_CN, tls.common_name), (SSL_CIPHER, tls.cipher)];
        for (kind, text) in texts {
            if let Some(text) = text.filter(|text| text.len() <= TEXT_BYTES_MAX) {
                push(&mut ssl, kind, text.as_bytes());
            }
        }
        let values = [(ALPN, tls.alpn), (AUTHORITY, tls.authority.map(str::as_bytes)), (SSL, Some(&ssl[..]))];
        for (kind, value) in values {
            let value = value.filter(|value| kind == SSL || value.len() <= TEXT_BYTES_MAX);
            self.0.extend(value.map(|value| Tlv { kind, value: value.to_vec() }));
        }
        self
    }
}

#[cfg(test)]
mod tests;
