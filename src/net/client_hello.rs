//! What a client says first if it speaks TLS: its ClientHello (RFC 8446 §4.1.2), in records of any size (§5.1) that come in
//! any pieces. It is only looked at: the same bytes go on to the server that the client is led to.
//!
//! The reader judges no more than a choice of a route needs. Ciphers and signature algorithms are the server's to judge. What
//! two readers could understand differently is no hello: bytes after its end, an extension that comes twice.

use rustls::pki_types::DnsName;

/// What a hello may take as it comes, with the headers of its records; rustls takes no more either. Post-quantum hellos have
/// some 1,700 bytes; in records of one byte each they take six times as much.
pub const HELLO_BYTES_MAX: usize = 64 * 1024;
/// Type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;
/// 2^14 + 256, which a record of TLS 1.3 may have (RFC 8446 §5.2).
const RECORD_BYTES_MAX: usize = 16_640;
/// The type of a record that holds a handshake.
const HANDSHAKE: u8 = 22;
/// Of every version since SSL 3.
const VERSION_MAJOR: u8 = 3;
/// Type, length (RFC 8446 §4).
const MESSAGE_HEADER_BYTES: usize = 4;
/// The type of the message.
const CLIENT_HELLO: u8 = 1;
/// Version, random bytes, no session, one cipher, one compression, no extensions.
const BODY_BYTES_MIN: usize = 2 + 32 + 1 + (2 + 2) + (1 + 1);
const SESSION_BYTES_MAX: usize = 32;
/// Extensions: RFC 6066 §3, RFC 7301 §3.1, RFC 8446 §4.2.1, RFC 9849 §5.
const SERVER_NAME: usize = 0;
const PROTOCOLS: usize = 16;
const SUPPORTED_VERSIONS: usize = 43;
const ENCRYPTED_HELLO: usize = 0xfe0d;
/// The type of a name in SERVER_NAME.
const HOST_NAME: usize = 0;
/// What a PostgreSQL client may send before all else (PostgreSQL, Message Formats): a length, and SSLRequest or GSSENCRequest.
/// A PostgreSQL client's request for TLS (SSLRequest).
pub const POSTGRES_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const POSTGRES_REQUESTS: [([u8; 8], PostgresRequest); 2] = [
    (POSTGRES_TLS, PostgresRequest::Tls),
    ([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30], PostgresRequest::GssEncryption),
];

/// What the first bytes of a client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstWords {
    /// They may still become a hello.
    Incomplete,
    Hello(ClientHello),
    Other(NoHello),
}

/// Why some bytes are no ClientHello, and cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHello {
    #[error("it does not speak TLS")]
    NotTls,
    #[error("its TLS ClientHello is malformed")]
    Malformed,
    #[error("its TLS ClientHello takes more than 64 KiB")]
    TooLong,
}

/// What routes and reports want to know of a hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The first host name that it asks for, in lower case, without a dot at its end. With an encrypted hello that is the
    /// outer name. None if it is no legal name, and an IP address is none (RFC 6066 §3).
    pub sni: Option<String>,
    /// Those of TLS 1.3 clients (RFC 8446 §4.2.1), 0x0304 for TLS 1.3, without GREASE (RFC 8701); others list none.
    pub versions: Vec<u16>,
    /// Whether it holds an encrypted hello, or GREASE that looks the same (RFC 9849 §6.2).
    pub has_ech: bool,
    /// The list as it came, each name with its length before it: one by one, its names could take 30 times its room.
    protocols: Vec<u8>,
}

/// Reads a hello as it comes. Each byte is looked at once, in however many pieces they come.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// The number of bytes that were read.
    taken: usize,
    /// How much is missing of the record that is read.
    record_left: usize,
    /// What the records held.
    message: Vec<u8>,
}

/// What a PostgreSQL client asks for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresRequest {
    /// The bytes may still become a request.
    Incomplete,
    /// To speak TLS, which begins after the answer `S`.
    Tls,
    /// To encrypt by GSSAPI; after the answer `N` it asks for something else.
    GssEncryption,
    /// It asks for nothing: it speaks TLS at once, or PostgreSQL.
    Other,
}

impl HelloReader {
    /// Reads on. `so_far`: all bytes that the client sent, from its first. What comes after a hello is not looked at.
    pub fn read(&mut self, so_far: &[u8]) -> FirstWords {
        match self.read_on(so_far) {
            Ok(None) => FirstWords::Incomplete,
            Ok(Some(hello)) => FirstWords::Hello(hello),
            Err(why) => FirstWords::Other(why),
        }
    }

    /// How many bytes the message has, as its header says; the least that it can have while that is not whole.
    pub fn announced(&self) -> usize {
        let count = self.message.len().min(MESSAGE_HEADER_BYTES);
        let mut header = [0; MESSAGE_HEADER_BYTES];
        header[..count].copy_from_slice(&self.message[..count]);
        MESSAGE_HEADER_BYTES + big_endian(&header[1..])
    }

    fn read_on(&mut self, so_far: &[u8]) -> Result<Option<ClientHello>, NoHello> {
        loop {
            let missing = self.missing()?;
            if missing == 0 {
                return ClientHello::parse(&self.message[MESSAGE_HEADER_BYTES..]).map(Some);
            }
            let rest = so_far.get(self.taken..).unwrap_or_default();
            if self.record_left == 0 {
                let Some(length) = self.record_length(rest)? else { return Ok(None) };
                self.record_left = length;
                self.taken += RECORD_HEADER_BYTES;
                continue;
            }
            let count = missing.min(self.record_left).min(rest.len());
            if count == 0 {
                return Ok(None);
            }
            self.message.extend_from_slice(&rest[..count]);
            self.record_left -= count;
            self.taken += count;
        }
    }

    /// How many bytes are missing of the message, or of its header while that is not whole.
    fn missing(&self) -> Result<usize, NoHello> {
        let (count, announced) = (self.message.len().min(MESSAGE_HEADER_BYTES), self.announced());
        let is_hello = self.message.first().is_none_or(|kind| *kind == CLIENT_HELLO);
        let is_short = count == MESSAGE_HEADER_BYTES && announced < MESSAGE_HEADER_BYTES + BODY_BYTES_MIN;
        if !is_hello || is_short {
            return Err(NoHello::Malformed);
        }
        let missing = announced - self.message.len();
        if self.taken + missing > HELLO_BYTES_MAX {
            return Err(NoHello::TooLong);
        }
        Ok(if count < MESSAGE_HEADER_BYTES { MESSAGE_HEADER_BYTES - count } else { missing })
    }

    /// The length of the record that begins with `bytes`; none while its header is not whole.
    fn record_length(&self, bytes: &[u8]) -> Result<Option<usize>, NoHello> {
        let is_wrong = |index: usize, value: u8| bytes.get(index).is_some_and(|&byte| byte != value);
        if is_wrong(0, HANDSHAKE) || is_wrong(1, VERSION_MAJOR) {
            return Err(if self.taken == 0 { NoHello::NotTls } else { NoHello::Malformed });
        }
        // The least that it can be, before its second byte is here.
        let least = bytes.get(3).map_or(0, |&high| usize::from(high) << 8);
        let length = bytes.get(3..RECORD_HEADER_BYTES).map(big_endian);
        if least > RECORD_BYTES_MAX || length.is_some_and(|length| length == 0 || length > RECORD_BYTES_MAX) {
            return Err(NoHello::Malformed);
        }
        Ok(length)
    }
}

impl ClientHello {
    /// The protocols that it offers (RFC 7301), in their order, without GREASE (RFC 8701). One that is not UTF-8 is left out:
    /// no route can name it.
    pub fn alpn(&self) -> impl Iterator<Item = &str> {
        let names = Fields(&self.protocols).vectors(1).filter_map(|name| str::from_utf8(name.ok()?).ok());
        names.filter(
            |name| !matches!(*name.as_bytes(), [high, low] if is_grease(u16::from_be_bytes([high, low]))),
        )
    }

    /// Reads what comes after the header of the message.
    fn parse(body: &[u8]) -> Result<Self, NoHello> {
        let mut fields = Fields(body);
        let _version_and_random = fields.take(2 + 32)?;
        let (session, ciphers, compressions) = (fields.vector(1)?, fields.vector(2)?, fields.vector(1)?);
        let has_ciphers = !ciphers.is_empty() && ciphers.len().is_multiple_of(2);
        if session.len() > SESSION_BYTES_MAX || !has_ciphers || compressions.is_empty() {
            return Err(NoHello::Malformed);
        }
        // There may be none, and then no length of them either (RFC 5246 §7.4.1.2).
        let mut extensions = Fields(if fields.0.is_empty() { &[] } else { fields.last_vector(2)? });
        let (mut names, mut protocols, mut versions, mut encrypted) = (None, None, None, None);
        while !extensions.0.is_empty() {
            let (kind, data) = (extensions.number(2)?, extensions.vector(2)?);
            let slot = match kind {
                SERVER_NAME => &mut names,
                PROTOCOLS => &mut protocols,
                SUPPORTED_VERSIONS => &mut versions,
                ENCRYPTED_HELLO => &mut encrypted,
                _ => continue,
            };
            if slot.replace(data).is_some() {
                return Err(NoHello::Malformed);
            }
        }
        Ok(ClientHello {
            sni: names.map(server_name).transpose()?.flatten(),
            versions: versions.map(supported_versions).transpose()?.unwrap_or_default(),
            has_ech: encrypted.is_some(),
            protocols: protocols.map(protocol_list).transpose()?.unwrap_or_default(),
        })
    }
}

/// The first host name of a list of names, if it is legal.
fn server_name(data: &[u8]) -> Result<Option<String>, NoHello> {
    let mut list = Fields(Fields(data).last_vector(2)?);
    while !list.0.is_empty() {
        // Names of other types have their length before them too (RFC 6066 §3).
        let (kind, name) = (list.number(1)?, list.vector(2)?);
        if kind == HOST_NAME {
            // What rustls takes where we are the server: letters, digits, hyphens and underscores, no address.
            return Ok(DnsName::try_from(name).ok().map(|name| name.as_ref().to_ascii_lowercase()));
        }
    }
    Ok(None)
}

fn protocol_list(data: &[u8]) -> Result<Vec<u8>, NoHello> {
    let list = Fields(data).last_vector(2)?;
    for name in Fields(list).vectors(1) {
        if name?.is_empty() {
            return Err(NoHello::Malformed);
        }
    }
    Ok(list.to_vec())
}

fn supported_versions(data: &[u8]) -> Result<Vec<u16>, NoHello> {
    let (versions, rest) = Fields(data).last_vector(1)?.as_chunks();
    if !rest.is_empty() {
        return Err(NoHello::Malformed);
    }
    let versions = versions.iter().map(|&version| u16::from_be_bytes(version));
    Ok(versions.filter(|&version| !is_grease(version)).collect())
}

/// Values that stand for nothing: `0a0a`, `1a1a`, to `fafa` (RFC 8701 §2).
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && high & 0x0f == 0x0a
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// Takes fields from its front (RFC 8446 §3). Errors: a field goes beyond the end.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NoHello> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<usize, NoHello> {
        self.take(width).map(big_endian)
    }

    /// What has its length before it, in `width` bytes.
    fn vector(&mut self, width: usize) -> Result<&'a [u8], NoHello> {
        let length = self.number(width)?;
        self.take(length)
    }

    /// A vector after which nothing may come.
    fn last_vector(mut self, width: usize) -> Result<&'a [u8], NoHello> {
        let vector = self.vector(width)?;
        if self.0.is_empty() { Ok(vector) } else { Err(NoHello::Malformed) }
    }

    /// Vectors up to the end, or up to the first that goes beyond it.
    fn vectors(mut self, width: usize) -> impl Iterator<Item = Result<&'a [u8], NoHello>> {
        std::iter::from_fn(move || {
            if self.0.is_empty() {
                return None;
            }
            let vector = self.vector(width);
            if vector.is_err() {
                self.0 = &[];
            }
            Some(vector)
        })
    }
}

impl PostgresRequest {
    /// Of all bytes that the client sent, from its first. A client sends no more than the request until it is answered: what
    /// came with it is not encrypted, and must not be taken for a part of what is.
    pub fn read(so_far: &[u8]) -> Self {
        let is_begun = |(bytes, _): &([u8; 8], PostgresRequest)| bytes.starts_with(so_far);
        match POSTGRES_REQUESTS.iter().find(|(bytes, _)| so_far.starts_with(bytes)) {
            Some((_, request)) => *request,
            None if POSTGRES_REQUESTS.iter().any(is_begun) => PostgresRequest::Incomplete,
            None => PostgresRequest::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::Index};
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
        client::{EchGreaseConfig, EchMode},
        crypto::aws_lc_rs::{default_provider, hpke::ALL_SUPPORTED_SUITES},
        server::Acceptor,
        version::{TLS12, TLS13},
    };
    use std::sync::Arc;

    const SIGNATURE_ALGORITHMS: usize = 13;

    /// An extension of a hello: its type and what it holds.
    type Extension = (usize, Vec<u8>);

    fn with_length(width: usize, bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[8 - width..], bytes].concat()
    }

    fn names(list: &[(u8, &[u8])]) -> Extension {
        let list: Vec<u8> =
            list.iter().flat_map(|&(kind, name)| [vec![kind], with_length(2, name)].concat()).collect();
        (SERVER_NAME, with_length(2, &list))
    }

    fn name(name: &str) -> Extension {
        names(&[(0, name.as_bytes())])
    }

    fn protocols(list: &[&[u8]]) -> Extension {
        let list: Vec<u8> = list.iter().flat_map(|name| with_length(1, name)).collect();
        (PROTOCOLS, with_length(2, &list))
    }

    fn versions(list: &[u16]) -> Extension {
        let list: Vec<u8> = list.iter().flat_map(|version| version.to_be_bytes()).collect();
        (SUPPORTED_VERSIONS, with_length(1, &list))
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [vec![kind], with_length(3, body)].concat()
    }

    /// A hello up to its extensions, with a session, ciphers, compressions.
    fn body(session: usize, ciphers: usize, compressions: usize) -> Vec<u8> {
        let [session, ciphers, compressions] = [session, ciphers, compressions].map(|count| vec![0; count]);
        [
            [3, 3].to_vec(),
            [7; 32].to_vec(),
            with_length(1, &session),
            with_length(2, &ciphers),
            with_length(1, &compressions),
        ]
        .concat()
    }

    fn encoded(extensions: &[Extension]) -> Vec<u8> {
        let one = |(kind, data): &Extension| [&kind.to_be_bytes()[6..], &with_length(2, data)].concat();
        extensions.iter().flat_map(one).collect()
    }

    /// A hello with these extensions.
    fn hello(extensions: &[Extension]) -> Vec<u8> {
        message(CLIENT_HELLO, &[body(32, 4, 1), with_length(2, &encoded(extensions))].concat())
    }

    /// `message` in records of `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [vec![22, 3, 1], with_length(2, part)].concat()).collect()
    }

    fn read(bytes: &[u8]) -> FirstWords {
        HelloReader::default().read(bytes)
    }

    /// A hello with these names, protocols and versions.
    fn found(sni: &str, alpn: &[&str], versions: &[u16]) -> FirstWords {
        FirstWords::Hello(ClientHello {
            sni: (!sni.is_empty()).then(|| sni.to_owned()),
            versions: versions.to_vec(),
            has_ech: false,
            protocols: alpn.iter().flat_map(|name| with_length(1, name.as_bytes())).collect(),
        })
    }

    /// Fails unless `message` is understood as `expected` in records of several sizes, each cut at every byte, and byte by
    /// byte, and not before its last byte.
    fn assert_read(label: &str, message: &[u8], expected: &FirstWords) {
        for size in [1, 2, message.len().div_ceil(2), message.len()] {
            let wire = records(message, size);
            let mut bytewise = HelloReader::default();
            for end in 0..wire.len() {
                assert_eq!(bytewise.read(&wire[..end]), FirstWords::Incomplete, "{label}/{size} up to {end}");
            }
            assert_eq!(&bytewise.read(&wire), expected, "{label}/{size} byte by byte");
            // Every cut; of long ones some.
            for cut in (0..wire.len()).step_by(wire.len().div_ceil(1500)) {
                let mut reader = HelloReader::default();
                assert_eq!(reader.read(&wire[..cut]), FirstWords::Incomplete, "{label}/{size} cut at {cut}");
                assert_eq!(&reader.read(&wire), expected, "{label}/{size} after a cut at {cut}");
                assert_eq!(&reader.read(&wire), expected, "{label}/{size} read again");
            }
            let more = [&wire[..], b"more"].concat();
            assert_eq!(&read(&more), expected, "{label}/{size} with more behind it");
        }
    }

    #[test]
    fn names_protocols_and_versions_are_read_in_any_records_and_pieces() {
        let grease = |value: u8| (usize::from(value) << 8 | usize::from(value), vec![0]);
        let long = "a".repeat(63) + &".bcd".repeat(47) + ".e";
        let table: [(&str, Vec<u8>, FirstWords); 12] = [
            ("no length of extensions", message(1, &body(0, 2, 1)), found("", &[], &[])),
            ("no extensions", hello(&[]), found("", &[], &[])),
            ("others only", hello(&[(10, vec![0, 2, 0, 29]), (65_281, vec![0])]), found("", &[], &[])),
            ("a name", hello(&[name("a.test")]), found("a.test", &[], &[])),
            ("its case", hello(&[name("A.TeSt")]), found("a.test", &[], &[])),
            ("a dot at its end", hello(&[name("a.test.")]), found("a.test", &[], &[])),
            ("253 characters", hello(&[name(&long)]), found(&long, &[], &[])),
            ("two names", hello(&[names(&[(0, b"a.test"), (0, b"b.test")])]), found("a.test", &[], &[])),
            ("after another kind", hello(&[names(&[(7, b"x"), (0, b"a.test")])]), found("a.test", &[], &[])),
            ("only another kind", hello(&[names(&[(7, b"a.test")])]), found("", &[], &[])),
            (
                "protocols",
                hello(&[protocols(&[b"h2", b"http/1.1"]), name("a.test")]),
                found("a.test", &["h2", "http/1.1"], &[]),
            ),
            (
                "grease",
                hello(&[
                    grease(0x1a),
                    versions(&[0x0a0a, 0x0304, 0x0303, 0xfafa]),
                    name("_a.xn--b-1.test"),
                    grease(0xea),
                ]),
                found("_a.xn--b-1.test", &[], &[0x0304, 0x0303]),
            ),
        ];
        assert_eq!(long.len(), 253);
        for (label, message, expected) in table {
            assert_read(label, &message, &expected);
        }
    }

    #[test]
    fn an_illegal_name_is_no_name() {
        let long = "a".repeat(64) + ".test";
        let longer = "a.".repeat(126) + "ab";
        for bad in [
            "",
            ".",
            "a..test",
            ".a.test",
            "a.test..",
            "a.test\0",
            "a.test\0.b",
            "a b.test",
            "a.test\r\n",
            "*.a.test",
            "a/test",
            "bücher.test",
            "-a.test",
            "a-.test",
            "10.0.0.1",
            "::1",
            "[::1]",
            "1.2.3",
            "a.test:443",
            &long,
            &longer,
        ] {
            assert_eq!(read(&records(&hello(&[name(bad)]), 999)), found("", &[], &[]), "{bad:?}");
        }
        let bytes = names(&[(0, b"\xff\xfe.test")]);
        assert_eq!(read(&records(&hello(&[bytes]), 999)), found("", &[], &[]));
    }

    #[test]
    fn protocols_that_no_route_can_name_are_left_out() {
        let list: [&[u8]; 6] = [b"\x0a\x0a", b"h2", b"\xfa\xfa", b"\xc3\x28", b"**", b"postgresql"];
        let FirstWords::Hello(hello) = read(&records(&hello(&[protocols(&list)]), 5)) else { panic!() };
        assert_eq!(hello.alpn().collect::<Vec<_>>(), ["h2", "postgresql"]);
    }

    #[test]
    fn what_is_not_built_as_a_hello_is_refused() {
        let with = |extensions: &[u8]| message(1, &[&body(32, 4, 1), extensions].concat());
        let of = |kind: usize, data: &[u8]| hello(&[(kind, data.to_vec())]);
        let cut = |count: usize| {
            let whole = hello(&[name("a.test")]);
            message(1, &whole[4..whole.len() - count])
        };
        let table: Vec<(&str, Vec<u8>)> = vec![
            ("a session of 33 bytes", message(1, &body(33, 2, 1))),
            ("no ciphers", message(1, &body(4, 0, 1))),
            ("half a cipher", message(1, &body(4, 3, 1))),
            ("no compressions", message(1, &body(4, 2, 0))),
            ("half a length of extensions", with(&[0])),
            ("extensions beyond the end", with(&[0, 1])),
            ("bytes after the extensions", with(&[0, 0, 0])),
            ("an extension beyond its list", with(&[0, 4, 0, 0, 0, 1])),
            ("half an extension", with(&[0, 3, 0, 0, 0])),
            ("a cut name", cut(1)),
            ("a cut list of names", cut(8)),
            ("an empty extension of names", of(SERVER_NAME, &[])),
            ("bytes after the names", of(SERVER_NAME, &[0, 4, 0, 0, 1, b'a', 9])),
            ("a name beyond its list", of(SERVER_NAME, &[0, 4, 0, 0, 2, b'a'])),
            ("a list beyond its extension", of(SERVER_NAME, &[0, 5, 0, 0, 1, b'a'])),
            ("an empty protocol", of(PROTOCOLS, &[0, 4, 2, b'h', b'2', 0])),
            ("a protocol beyond its list", of(PROTOCOLS, &[0, 3, 3, b'h', b'2'])),
            ("bytes after the protocols", of(PROTOCOLS, &[0, 3, 2, b'h', b'2', 0])),
            ("half a version", of(SUPPORTED_VERSIONS, &[3, 3, 4, 3])),
            ("bytes after the versions", of(SUPPORTED_VERSIONS, &[2, 3, 4, 3])),
            ("two extensions of names", hello(&[name("a.test"), name("a.test")])),
            ("two extensions of protocols", hello(&[protocols(&[b"h2"]), protocols(&[b"h2"])])),
            ("two extensions of versions", hello(&[versions(&[0x0304]), versions(&[0x0304])])),
            ("two encrypted hellos", hello(&[(ENCRYPTED_HELLO, vec![1]), (ENCRYPTED_HELLO, vec![1])])),
        ];
        for (label, message) in table {
            assert_read(label, &message, &FirstWords::Other(NoHello::Malformed));
        }
    }

    #[test]
    fn bytes_are_refused_at_the_first_that_no_hello_has() {
        let begun = records(&hello(&[name("a.test")]), 3);
        let after = |bytes: &[u8]| [&begun[..8], bytes].concat();
        let table: [(&str, Vec<u8>, NoHello); 18] = [
            ("HTTP", b"G".to_vec(), NoHello::NotTls),
            ("SSH", b"S".to_vec(), NoHello::NotTls),
            ("SSL 2", vec![0x80], NoHello::NotTls),
            ("an alert", vec![21], NoHello::NotTls),
            ("another version", vec![22, 2], NoHello::NotTls),
            ("an empty record", vec![22, 3, 1, 0, 0], NoHello::Malformed),
            ("a record of 16,641 bytes", vec![22, 3, 1, 0x41, 1], NoHello::Malformed),
            ("a record of 16,896 bytes or more", vec![22, 3, 1, 0x42], NoHello::Malformed),
            ("another message", vec![22, 3, 1, 0, 50, 2], NoHello::Malformed),
            ("a message without room", vec![22, 3, 1, 0, 50, 1, 0, 0, 40], NoHello::Malformed),
            ("a message of 2 × 64 KiB or more", vec![22, 3, 1, 0, 50, 1, 2], NoHello::TooLong),
            ("a message of 64 KiB", vec![22, 3, 1, 0, 50, 1, 1], NoHello::TooLong),
            ("a message of 64 KiB less 256 bytes", vec![22, 3, 1, 0, 50, 1, 0, 0xff, 0xf8], NoHello::TooLong),
            ("an alert between", after(&[21]), NoHello::Malformed),
            ("another version between", after(&[22, 4]), NoHello::Malformed),
            ("an empty record between", after(&[22, 3, 3, 0, 0]), NoHello::Malformed),
            ("a long record between", after(&[22, 3, 3, 0x42]), NoHello::Malformed),
            ("a length whose end is short", after(&[22, 3, 3, 0, 1, 3]), NoHello::Malformed),
        ];
        for (label, bytes, why) in table {
            let (last, before) = (bytes.len(), bytes.len() - 1);
            let mut reader = HelloReader::default();
            assert_eq!(reader.read(&bytes[..before]), FirstWords::Incomplete, "{label}");
            assert_eq!(reader.read(&bytes[..last]), FirstWords::Other(why), "{label}");
            assert_eq!(read(&[&bytes[..], &begun].concat()), FirstWords::Other(why), "{label}, in one piece");
        }
    }

    #[test]
    fn a_hello_may_take_64_kib_with_its_records_and_not_one_byte_more() {
        // The rest of the message in full records: four of 16,384 bytes hold what is left of 64 KiB, less their headers.
        let room = HELLO_BYTES_MAX - 4 * RECORD_HEADER_BYTES;
        let padding = room - hello(&[name("a.test"), (21, Vec::new())]).len();
        let fits = hello(&[name("a.test"), (21, vec![0; padding])]);
        let wire = records(&fits, 16_384);
        assert_eq!((wire.len(), read(&wire)), (HELLO_BYTES_MAX, found("a.test", &[], &[])));
        let more = hello(&[name("a.test"), (21, vec![0; padding + 1])]);
        assert_eq!(read(&records(&more, 16_384)), FirstWords::Other(NoHello::TooLong));
        // As many bytes of a message, in more records.
        let wire = records(&fits, 16_000);
        let mut reader = HelloReader::default();
        let end = (0..wire.len()).find(|&end| reader.read(&wire[..end]) != FirstWords::Incomplete).unwrap();
        assert_eq!(reader.read(&wire[..end]), FirstWords::Other(NoHello::TooLong));
        assert_eq!(end, 4 * 16_005 + RECORD_HEADER_BYTES, "at the header of the fifth record");
        assert_eq!(read(&wire), FirstWords::Other(NoHello::TooLong));
    }

    #[test]
    fn no_byte_is_looked_at_twice() {
        let wire = records(&hello(&[name("a.test"), protocols(&[b"h2"])]), 3);
        let mut reader = HelloReader::default();
        let mut so_far = Vec::new();
        for &byte in &wire[..wire.len() - 1] {
            so_far.push(byte);
            assert_eq!(reader.read(&so_far), FirstWords::Incomplete);
            // A header counts once it is whole.
            let count = reader.taken.min(so_far.len());
            so_far[..count].fill(0xee);
        }
        so_far.push(wire[wire.len() - 1]);
        assert_eq!(reader.read(&so_far), found("a.test", &["h2"], &[]));
        // Fewer bytes than before are an error of the caller, and no panic.
        let mut reader = HelloReader::default();
        reader.read(&wire[..100]);
        assert_eq!(reader.read(&wire[..5]), FirstWords::Incomplete);
    }

    /// The first flight of rustls as a client.
    fn client(name: &str, alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        first_flight(name, alpn, builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn first_flight(name: &str, alpn: &[&str], mut config: ClientConfig) -> Vec<u8> {
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    /// What the one record of a first flight holds.
    fn held(wire: &[u8]) -> &[u8] {
        assert_eq!(usize::from(u16::from_be_bytes([wire[3], wire[4]])), wire.len() - RECORD_HEADER_BYTES);
        &wire[RECORD_HEADER_BYTES..]
    }

    #[test]
    fn hellos_of_rustls_are_read_post_quantum_ones_too() {
        let wire = client("www.a.test", &["h2", "http/1.1"], &[&TLS13, &TLS12]);
        assert!(wire.len() > 1460, "it is post-quantum, and has no room in one segment: {}", wire.len());
        assert_read("1.3", held(&wire), &found("www.a.test", &["h2", "http/1.1"], &[0x0304, 0x0303]));
        let wire = client("a.test", &[], &[&TLS12]);
        assert_read("1.2", held(&wire), &found("a.test", &[], &[0x0303]));
        let wire = client("10.0.0.1", &["postgresql"], &[&TLS13]);
        assert_read("an address", held(&wire), &found("", &["postgresql"], &[0x0304]));
    }

    #[test]
    fn an_encrypted_hello_is_seen_and_leaves_the_outer_name() {
        let suite = ALL_SUPPORTED_SUITES[0];
        let (key, _) = suite.generate_key_pair().unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_ech(EchMode::Grease(EchGreaseConfig::new(suite, key))).unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let wire = first_flight("outer.test", &["h2"], config);
        let FirstWords::Hello(hello) = read(&wire) else { panic!() };
        assert_eq!((hello.sni.as_deref(), hello.has_ech), (Some("outer.test"), true));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), ["h2"]);
    }

    #[test]
    fn requests_of_postgresql_are_told_from_all_else_at_the_first_byte_that_differs() {
        for (bytes, request) in POSTGRES_REQUESTS {
            for end in 0..8 {
                assert_eq!(PostgresRequest::read(&bytes[..end]), PostgresRequest::Incomplete);
                let mut other = bytes[..=end].to_vec();
                other[end] ^= 0x80;
                assert_eq!(PostgresRequest::read(&other), PostgresRequest::Other, "{other:?}");
            }
            assert_eq!(PostgresRequest::read(&bytes), request);
            assert_eq!(PostgresRequest::read(&[&bytes[..], b"more"].concat()), request);
        }
        let [tls, gss] =
            POSTGRES_REQUESTS.map(|(bytes, _)| u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
        assert_eq!((tls, gss), (80_877_103, 80_877_104));
        // A cancel request; a client that speaks TLS at once.
        assert_eq!(PostgresRequest::read(&[0, 0, 0, 16]), PostgresRequest::Other);
        assert_eq!(PostgresRequest::read(&[22]), PostgresRequest::Other);
    }

    /// The name and the protocols that rustls finds as a server, if it takes the hello.
    fn oracle(mut wire: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
        let mut acceptor = Acceptor::default();
        while acceptor.read_tls(&mut wire).ok()? > 0 {
            if let Some(accepted) = acceptor.accept().ok()? {
                let hello = accepted.client_hello();
                let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
                return Some((hello.server_name().map(str::to_ascii_lowercase), alpn));
            }
        }
        None
    }

    fn label() -> impl Strategy<Value = String> {
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}(-[a-z0-9]{1,3})?"
    }

    fn extensions() -> impl Strategy<Value = Vec<Extension>> {
        let some_name = vec(label(), 1..5).prop_map(|labels| name(&labels.join(".")));
        let some_protocols = vec("[ -~]{1,9}", 1..5)
            .prop_map(|list| protocols(&list.iter().map(String::as_bytes).collect::<Vec<_>>()));
        let signatures = Just((SIGNATURE_ALGORITHMS, vec![0, 2, 4, 3]));
        let grease = Just((0x2a2a, vec![0]));
        let encrypted = Just((0xfdfd, vec![9; 40]));
        (some_name, some_protocols, signatures, grease, encrypted, any::<[bool; 4]>())
            .prop_map(|(name, protocols, signatures, grease, other, has)| {
                let [name_too, protocols_too, grease_too, other_too] = has;
                let list = [
                    (name_too, name),
                    (protocols_too, protocols),
                    (true, signatures),
                    (grease_too, grease),
                    (other_too, other),
                ];
                list.into_iter()
                    .filter_map(|(is_in, extension)| is_in.then_some(extension))
                    .collect::<Vec<_>>()
            })
            .prop_shuffle()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn where_rustls_takes_a_hello_it_finds_the_same(
            extensions in extensions(),
            size in 1..200_usize,
            changes in vec((any::<Index>(), any::<u8>()), 0..3),
        ) {
            let mut message = hello(&extensions);
            // In the message, after its header; the cipher suites and more are zeros.
            for (index, byte) in &changes {
                let at = index.index(message.len());
                message[at] = *byte;
            }
            let wire = records(&message, size);
            let expected = oracle(&wire);
            prop_assert!(expected.is_some() || !changes.is_empty(), "rustls takes what is unchanged");
            if let Some((sni, mut alpn)) = expected {
                let FirstWords::Hello(found) = read(&wire) else { panic!("{:?}", read(&wire)) };
                prop_assert_eq!(&found.sni, &sni);
                alpn.retain(|name| {
                    str::from_utf8(name).is_ok()
                        && !(name.len() == 2 && name[0] == name[1] && name[0] & 0x0f == 0x0a)
                });
                prop_assert_eq!(found.alpn().map(str::as_bytes).collect::<Vec<_>>(), alpn);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_depend_on_their_pieces(
            extensions in extensions(),
            size in 1..200_usize,
            changes in vec((any::<Index>(), any::<u8>()), 0..12),
            cuts in vec(any::<Index>(), 0..6),
            noise in vec(any::<u8>(), 0..64),
        ) {
            let mut wire = records(&hello(&extensions), size);
            for (index, byte) in &changes {
                let at = index.index(wire.len());
                wire[at] = *byte;
            }
            let kept = wire.len() / 2;
            for bytes in [&wire[..], &[&wire[..kept], &noise].concat(), &[&wire[..7], &noise].concat(), &noise] {
                let expected = read(bytes);
                let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
                ends.sort_unstable();
                let mut reader = HelloReader::default();
                for end in ends {
                    let words = reader.read(&bytes[..end]);
                    prop_assert!(words == FirstWords::Incomplete || words == expected, "{:?} {:?}", words, expected);
                }
                prop_assert_eq!(reader.read(bytes), expected);
                PostgresRequest::read(bytes);
            }
        }
    }
}
