//! Headers that are taken and refused, each at every cut; and `ppp` as an oracle for those that no table has.

use super::*;
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};

/// IPv4-mapped addresses as they are.
fn describe_end(end: &Address) -> String {
    match end {
        Address::Tcp(end) => end.to_string(),
        Address::Unix(_) => end.to_string(),
    }
}

/// What a header says, as one line: `v1 SOURCE > DESTINATION TYPE=VALUE`.
fn describe(header: &ProxyHeader) -> String {
    let ends = header.proxied.as_ref().map(|it| [&it.source, &it.destination].map(describe_end).join(" > "));
    let tlvs = header.tlvs.0.iter().map(|tlv| format!(" {:x}={}", tlv.kind, tlv.value.escape_ascii()));
    format!("{} {}{}", header.version, ends.unwrap_or("-".into()), tlvs.collect::<String>())
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, kind, value);
    bytes
}

/// From 1.2.3.4:258 to 5.6.7.8:772.
const IPV4_BLOCK: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4];

fn v4_with(tlvs: &[&[u8]]) -> Vec<u8> {
    v2(PROXY, 0x11, &[&IPV4_BLOCK, &tlvs.concat()[..]].concat())
}

/// A bit at a time, as RFC 3720 §12.1 has it.
fn slow_crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// Fills in the checksum at `place`.
fn with_checksum(mut header: Vec<u8>, place: usize) -> Vec<u8> {
    let sum = slow_crc32c(&header).to_be_bytes();
    header[place..place + 4].copy_from_slice(&sum);
    header
}

fn unix_block(source: &[u8], destination: &[u8]) -> Vec<u8> {
    let field = |name: &[u8]| {
        let mut field = name.to_vec();
        field.resize(UNIX_BYTES, 0);
        field
    };
    [field(source), field(destination)].concat()
}

fn ipv6_block() -> Vec<u8> {
    let ips = ["2001:db8::1", "::ffff:1.2.3.4"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
    [&ips.concat()[..], &[0, 80, 255, 255]].concat()
}

const LINES: &[(&str, &str)] = &[
    ("PROXY TCP4 1.2.3.4 5.6.7.8 258 772\r\n", "v1 1.2.3.4:258 > 5.6.7.8:772"),
    ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "v1 0.0.0.0:0 > 0.0.0.0:0"),
    (
        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "v1 255.255.255.255:65535 > 255.255.255.255:65535",
    ),
    ("PROXY TCP4 10.0.0.1 127.0.0.1 1 10\r\n", "v1 10.0.0.1:1 > 127.0.0.1:10"),
    ("PROXY TCP6 ::1 :: 1 2\r\n", "v1 [::1]:1 > [::]:2"),
    ("PROXY TCP6 2001:DB8::a 2001:db8:0:0:0:0:0:B 1 2\r\n", "v1 [2001:db8::a]:1 > [2001:db8::b]:2"),
    ("PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n", "v1 [1:2:3:4:5:6:7:0]:1 > [0:2:3:4:5:6:7:8]:2"),
    ("PROXY TCP6 0001:0020:0300:4000:0:0:0:0 1:: 1 2\r\n", "v1 [1:20:300:4000::]:1 > [1::]:2"),
    ("PROXY TCP6 1::3:4:5:6:7:8 1:2:3::8 1 2\r\n", "v1 [1:0:3:4:5:6:7:8]:1 > [1:2:3::8]:2"),
    // HAProxy and nginx write them so (inet_ntop(3)).
    ("PROXY TCP6 ::ffff:1.2.3.4 ::ffff:506:708 1 2\r\n", "v1 [::ffff:1.2.3.4]:1 > [::ffff:5.6.7.8]:2"),
    (
        "PROXY TCP6 1:2:3:4:5:6:1.2.3.4 64:ff9b::1.2.3.4 1 2\r\n",
        "v1 [1:2:3:4:5:6:102:304]:1 > [64:ff9b::102:304]:2",
    ),
    (
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "v1 [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 > [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    ),
    ("PROXY UNKNOWN\r\n", "v1 -"),
    ("PROXY UNKNOWN \r\n", "v1 -"),
    ("PROXY UNKNOWN  two spaces\r\n", "v1 -"),
    ("PROXY UNKNOWN 1.2.3.4 5.6.7.8 258 772\r\n", "v1 -"),
    ("PROXY UNKNOWN 999.2.3.4\r\n", "v1 -"),
    ("PROXY UNKNOWN a\rb\nc\r\r\n", "v1 -"),
    ("PROXY UNKNOWN \0é\r\n", "v1 -"),
    (
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "v1 -",
    ),
];

fn valid_blocks() -> Vec<(Vec<u8>, &'static str)> {
    let plain = "v2 1.2.3.4:258 > 5.6.7.8:772";
    let v6 = "v2 [2001:db8::1]:80 > [::ffff:1.2.3.4]:65535";
    let unix = |source: &[u8], destination: &[u8]| v2(PROXY, 0x31, &unix_block(source, destination));
    let ssl = tlv(SSL, &[&[1, 0, 0, 0, 1][..], &tlv(SSL_VERSION, b"TLSv1.3"), &tlv(0x28, b"")].concat());
    let checksum = tlv(CRC32C, &[0; 4]);
    vec![
        (v4_with(&[]), plain),
        (v2(PROXY, 0x21, &ipv6_block()), v6),
        (unix(b"/run/a", b"\0name"), "v2 unix:/run/a > unix:@name"),
        (unix(b"", b"\0"), "v2 unix: > unix:"),
        (unix(b"a\0rest", b"\0a\0rest"), "v2 unix:a > unix:@a"),
        (unix(b"@file", b"./@file"), "v2 unix:./@file > unix:./@file"),
        // LOCAL is skipped as it is.
        (v2(LOCAL, 0, b""), "v2 -"),
        (v2(LOCAL, 0x11, &IPV4_BLOCK), "v2 -"),
        (v2(LOCAL, 0x11, b"short"), "v2 -"),
        (v2(LOCAL, 0x41, b""), "v2 -"),
        (v2(LOCAL, 0xff, &[0; 300]), "v2 -"),
        (v2(LOCAL, 0, &[ALPN, 255, 255]), "v2 -"),
        (v2(LOCAL, 0, &vec![7; HEADER_BYTES_MAX - FIXED_BYTES]), "v2 -"),
        // So is what is unspecified.
        (v2(PROXY, 0, b""), "v2 -"),
        (v2(PROXY, 0, &IPV4_BLOCK), "v2 -"),
        (v2(PROXY, 1, b"ab"), "v2 -"),
        (v2(PROXY, 2, b""), "v2 -"),
        (v2(PROXY, 0x10, &IPV4_BLOCK), "v2 -"),
        (v2(PROXY, 0x20, &[0; 37]), "v2 -"),
        // Datagrams.
        (v2(PROXY, 0x12, &IPV4_BLOCK), "v2 -"),
        (v2(PROXY, 0x22, &ipv6_block()), "v2 -"),
        (v2(PROXY, 0x32, &unix_block(b"a", b"b")), "v2 -"),
        (v2(PROXY, 0x12, &[&IPV4_BLOCK, &tlv(ALPN, b"h2")[..]].concat()), "v2 - 1=h2"),
        (v4_with(&[&tlv(ALPN, b"h2")]), "v2 1.2.3.4:258 > 5.6.7.8:772 1=h2"),
        (v4_with(&[&tlv(ALPN, b"")]), "v2 1.2.3.4:258 > 5.6.7.8:772 1="),
        (
            v4_with(&[&tlv(AUTHORITY, b"a.test"), &tlv(ALPN, b"h2")]),
            "v2 1.2.3.4:258 > 5.6.7.8:772 2=a.test 1=h2",
        ),
        (v4_with(&[&tlv(AUTHORITY, b"\xff\0")]), r"v2 1.2.3.4:258 > 5.6.7.8:772 2=\xff\x00"),
        (v4_with(&[&ssl]), r"v2 1.2.3.4:258 > 5.6.7.8:772 20=\x01\x00\x00\x00\x01!\x00\x07TLSv1.3(\x00\x00"),
        (v4_with(&[&tlv(SSL, &[0; 5])]), r"v2 1.2.3.4:258 > 5.6.7.8:772 20=\x00\x00\x00\x00\x00"),
        (
            v4_with(&[&tlv(0xe0, b"a"), &tlv(0xef, b"b"), &tlv(0xe0, b"c")]),
            "v2 1.2.3.4:258 > 5.6.7.8:772 e0=a ef=b e0=c",
        ),
        // Not passed on: padding, the sender's network namespace, experiments, what is unknown.
        (v4_with(&[&tlv(0x04, &[0; 300]), &tlv(0x04, b"")]), plain),
        (
            v4_with(&[
                &tlv(0x30, b"ns"),
                &tlv(0xf0, b"x"),
                &tlv(0xf8, b"x"),
                &tlv(0, b"x"),
                &tlv(0xdf, b"x"),
            ]),
            plain,
        ),
        (with_checksum(v4_with(&[&checksum]), 31), plain),
        (
            with_checksum(v4_with(&[&tlv(ALPN, b"h2"), &checksum, &tlv(0xe0, b"")]), 36),
            "v2 1.2.3.4:258 > 5.6.7.8:772 1=h2 e0=",
        ),
        (with_checksum(v2(PROXY, 0x22, &[&ipv6_block(), &checksum[..]].concat()), 55), "v2 -"),
        // 1,500 bytes are more than nginx 1.22 takes.
        (v4_with(&[&tlv(0x04, &[0; 1500 - 31])]), plain),
        (v4_with(&[&tlv(0x04, &[0; HEADER_BYTES_MAX - 31])]), plain),
    ]
}

const PROTOCOL: &str = "the protocol is none of TCP4, TCP6 and UNKNOWN";
const FIELDS: &str = "the line does not have two addresses and two ports, one space apart";
const SOURCE: &str = "the source is no address of the protocol";
const DESTINATION: &str = "the destination is no address of the protocol";
const PORT: &str = "a port is no number from 0 to 65535";
const LINE: &str = "the line is longer than 107 bytes";

/// What is taken as a start, then what is refused at its first byte.
const BROKEN_LINES: &[(&str, &str, &str)] = &[
    ("", "GET / HTTP/1.1\r\n", NO_HEADER.0),
    ("P", "OST / HTTP/1.1\r\n", NO_HEADER.0),
    ("", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", NO_HEADER.0),
    ("", " PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", NO_HEADER.0),
    ("PROXY", "\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n", NO_HEADER.0),
    ("PROXY", "\r\n", NO_HEADER.0),
    ("PROXY ", " TCP4 1.2.3.4 5.6.7.8 1 2\r\n", PROTOCOL),
    ("PROXY ", "tcp4 1.2.3.4 5.6.7.8 1 2\r\n", PROTOCOL),
    ("PROXY TCP", "5 1.2.3.4 5.6.7.8 1 2\r\n", PROTOCOL),
    ("PROXY TCP4", "6 1.2.3.4 5.6.7.8 1 2\r\n", PROTOCOL),
    ("PROXY TCP4", "\r\n", PROTOCOL),
    ("PROXY U", "DP4 1.2.3.4 5.6.7.8 1 2\r\n", PROTOCOL),
    ("PROXY UNKNOWN", "S\r\n", PROTOCOL),
    ("PROXY UNKNOWN", "\n", PROTOCOL),
    ("PROXY UNKNOWN\r", " \r\n", PROTOCOL),
    ("PROXY TCP4 ", "\r\n", SOURCE),
    ("PROXY TCP4 ", " 1.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 1.2.3", " 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 1.2.3.4", ".5 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 25", "6.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 0", "1.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 1.2.3.0", "0 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 1.", ".3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 ", "-1.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 0", "x1.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 ", "::1 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP4 1", "é.2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    ("PROXY TCP4 1.2.3.4 ", " 5.6.7.8 1 2\r\n", DESTINATION),
    ("PROXY TCP4 1.2.3.4 5.6.7", "\r\n", DESTINATION),
    ("PROXY TCP4 1.2.3.4 5.6.7.25", "6 1 2\r\n", DESTINATION),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 6553", "6 2\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 ", "+80 2\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 ", "-0 2\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 0", "80 2\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 ", " 1 2\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 ", "\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 0", "0\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 12345", "678901234567890\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2", "\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "GET\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1", "\r\n", PORT),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2", " \r\n", FIELDS),
    ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2", " 3\r\n", FIELDS),
    ("PROXY TCP6 1", ".2.3.4 5.6.7.8 1 2\r\n", SOURCE),
    // nginx 1.22 sends this.
    ("PROXY TCP6 2001:db8::7 127", ".0.0.1 1 2\r\n", DESTINATION),
    ("PROXY TCP6 1::2:", ":3 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 ::", ":1 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 :", "1::1 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 1:2:3:4:5:6:7:8", ":9 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 1:2:3:4:5:6:7", " ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 1234", "5:: ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 fe80::1", "%eth0 ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 ", "[::1] ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 ", "g:: ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 ::ffff:1.2.3", " ::1 1 2\r\n", SOURCE),
    ("PROXY TCP6 ::ffff:1.2.3.25", "6 ::1 1 2\r\n", SOURCE),
    (
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
        "5\r\n",
        LINE,
    ),
    // What must still follow would not fit.
    (
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255 ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.25",
        "5 0 0\r\n",
        LINE,
    ),
];

/// Bytes, how many of them are taken as a start, and why the next is refused.
fn broken_blocks() -> Vec<(Vec<u8>, usize, &'static str)> {
    let with_length = |family, length: u16| {
        let mut bytes = v2(PROXY, family, b"");
        bytes[14..].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let mut signature = v4_with(&[]);
    signature[11] = b'\r';
    let (wrong, id) = (tlv(CRC32C, &[1, 2, 3, 4]), [0; UNIQUE_ID_BYTES_MAX + 1]);
    let right = with_checksum(v4_with(&[&tlv(CRC32C, &[0; 4]), &tlv(0xe0, b"a")]), 31);
    let ssl = |inner: &[u8]| v4_with(&[&tlv(SSL, &[&[0; 5], inner].concat())]);
    let checksum = "the checksum does not have four bytes";
    let short = "the header is too short for its addresses";
    let long = "the header is longer than 4,096 bytes";
    let version = "the version is neither 1 nor 2";
    vec![
        (signature, 11, NO_HEADER.0),
        (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), 4, NO_HEADER.0),
        (vec![0x16, 3, 1, 2, 0], 0, NO_HEADER.0),
        (v2(0x11, 0x11, &IPV4_BLOCK), 12, version),
        (v2(0x31, 0x11, &IPV4_BLOCK), 12, version),
        (v2(0x01, 0x11, &IPV4_BLOCK), 12, version),
        (v2(0x22, 0x11, &IPV4_BLOCK), 12, "the command is neither LOCAL nor PROXY"),
        (v2(0x2f, 0x11, &IPV4_BLOCK), 12, "the command is neither LOCAL nor PROXY"),
        (v2(PROXY, 0x41, &IPV4_BLOCK), 13, "the address family is unknown"),
        (v2(PROXY, 0xf1, &IPV4_BLOCK), 13, "the address family is unknown"),
        (v2(PROXY, 0x13, &IPV4_BLOCK), 13, "the transport protocol is unknown"),
        (v2(PROXY, 0x0f, b""), 13, "the transport protocol is unknown"),
        (v2(PROXY, 0x11, b""), 15, short),
        (v2(PROXY, 0x11, &[0; 11]), 15, short),
        (v2(PROXY, 0x10, &[0; 8]), 15, short),
        (v2(PROXY, 0x12, &[0; 11]), 15, short),
        (v2(PROXY, 0x21, &IPV4_BLOCK), 15, short),
        (v2(PROXY, 0x21, &[0; 35]), 15, short),
        (v2(PROXY, 0x31, &[0; 215]), 15, short),
        (with_length(0x11, 0xff1), 15, long),
        (with_length(0x11, 0x1000), 14, long),
        (with_length(0x11, 0xffff), 14, long),
        (v2(LOCAL, 0, &[0; HEADER_BYTES_MAX - FIXED_BYTES + 1]), 15, long),
        (v4_with(&[&[0]]), 15, OVERRUN.0),
        (v4_with(&[&[ALPN, 0]]), 15, OVERRUN.0),
        (v4_with(&[&[ALPN, 0, 1]]), 30, OVERRUN.0),
        (v4_with(&[&[0x04, 1, 0, 7, 7]]), 29, OVERRUN.0),
        (v4_with(&[&tlv(ALPN, b"h2"), &[7]]), 30, OVERRUN.0),
        (v4_with(&[&tlv(ALPN, b"h2"), &[7, 0, 3, 1, 2]]), 35, OVERRUN.0),
        (v4_with(&[&wrong]), 34, "the checksum is wrong"),
        (v4_with(&[&tlv(0x04, b"a"), &wrong, &tlv(0x04, b"b")]), 42, "the checksum is wrong"),
        (v4_with(&[&tlv(CRC32C, &[0; 4])]), 34, "the checksum is wrong"),
        ([&right[..38], b"b"].concat(), 38, "the checksum is wrong"),
        (v2(PROXY, 0x12, &[&IPV4_BLOCK, &wrong[..]].concat()), 34, "the checksum is wrong"),
        (v4_with(&[&tlv(CRC32C, &[0; 3])]), 30, checksum),
        (v4_with(&[&tlv(CRC32C, &[0; 5])]), 30, checksum),
        (v4_with(&[&tlv(CRC32C, &[0; 256])]), 29, checksum),
        (v4_with(&[&tlv(UNIQUE_ID, &id)]), 30, "the unique id is longer than 128 bytes"),
        (v4_with(&[&tlv(UNIQUE_ID, &[0; 256])]), 29, "the unique id is longer than 128 bytes"),
        (v4_with(&[&tlv(SSL, &[0; 4])]), 30, "what is said of TLS is too short"),
        (ssl(&[SSL_CN, 0]), 30, OVERRUN.0),
        (ssl(&[SSL_CN, 0, 2, b'a']), 38, OVERRUN.0),
    ]
}

/// What a caller gets that is handed `pieces` one after the other.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<ProxyRead, MalformedProxyHeader> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend(piece);
        match ProxyHeader::read(&bytes) {
            Ok(ProxyRead::Incomplete) => {}
            result => return result,
        }
    }
    Ok(ProxyRead::Incomplete)
}

fn assert_taken(bytes: &[u8], says: &str) {
    let shown = bytes.escape_ascii();
    for cut in 0..bytes.len() {
        assert_eq!(ProxyHeader::read(&bytes[..cut]), Ok(ProxyRead::Incomplete), "{cut} of {shown}");
        let whole = feed([&bytes[..cut], &bytes[cut..]]);
        assert!(matches!(whole, Ok(ProxyRead::Complete(..))), "{cut} of {shown}: {whole:?}");
    }
    let whole = feed(bytes.chunks(1));
    let Ok(ProxyRead::Complete(header, length)) = &whole else { panic!("{shown}: {whole:?}") };
    assert_eq!((describe(header).as_str(), *length), (says, bytes.len()), "{shown}");
    for behind in [&b"\n"[..], b"\r\n", b"PROXY TCP4 ", &[0xff; 8192]] {
        assert_eq!(ProxyHeader::read(&[bytes, behind].concat()), whole, "{shown}");
    }
}

fn assert_refused(bytes: &[u8], start: usize, why: &str) {
    let shown = bytes.escape_ascii();
    for cut in 0..=bytes.len() {
        let is_refused = ProxyHeader::read(&bytes[..cut]).is_err();
        assert_eq!(is_refused, cut > start, "{cut} of {shown}");
        assert!(feed([&bytes[..cut], &bytes[cut..]]).is_err(), "{cut} of {shown}");
    }
    let fault = feed(bytes.chunks(1)).expect_err("it is malformed");
    assert_eq!(fault.to_string(), why, "{shown}");
}

#[test]
fn a_header_is_complete_with_its_last_byte_whatever_pieces_it_comes_in() {
    for (line, says) in LINES {
        assert_taken(line.as_bytes(), says);
    }
    for (block, says) in valid_blocks() {
        assert_taken(&block, says);
    }
}

#[test]
fn what_is_as_long_as_it_may_be_is_taken_whole() {
    let path = "x".repeat(UNIX_BYTES);
    let block = v2(PROXY, 0x31, &unix_block(path.as_bytes(), b"b"));
    assert_taken(&block, &format!("v2 unix:{path} > unix:b"));
    let id = "i".repeat(UNIQUE_ID_BYTES_MAX);
    let block = v4_with(&[&tlv(UNIQUE_ID, id.as_bytes())]);
    assert_taken(&block, &format!("v2 1.2.3.4:258 > 5.6.7.8:772 5={id}"));
}

#[test]
fn what_is_no_header_is_refused_at_the_byte_that_shows_it() {
    for (start, rest, why) in BROKEN_LINES {
        assert_refused(&[*start, *rest].concat().into_bytes(), start.len(), why);
    }
    for (block, start, why) in broken_blocks() {
        assert_refused(&block, start, why);
    }
    let count = LINES.len() + valid_blocks().len() + BROKEN_LINES.len() + broken_blocks().len();
    assert!(count >= 80, "only {count} vectors");
}

fn tcp(text: &str) -> Address {
    Address::Tcp(text.parse().unwrap())
}

fn unix(path: &str) -> Address {
    Address::Unix(Path::new(path).into())
}

#[test]
fn a_line_says_what_its_families_allow() {
    let line = |source, destination| {
        String::from_utf8(ProxyHeader::new(ProxyVersion::V1, source, destination).write()).unwrap()
    };
    let (v4, v6, mapped) = (tcp("1.2.3.4:5"), tcp("[2001:db8::1]:6"), tcp("[::ffff:10.0.0.1]:7"));
    assert_eq!(line(v4.clone(), v4.clone()), "PROXY TCP4 1.2.3.4 1.2.3.4 5 5\r\n");
    assert_eq!(line(v6.clone(), mapped.clone()), "PROXY TCP6 2001:db8::1 ::ffff:a00:1 6 7\r\n");
    assert_eq!(line(v4.clone(), v6.clone()), "PROXY TCP6 ::ffff:102:304 2001:db8::1 5 6\r\n");
    assert_eq!(line(mapped, v4.clone()), "PROXY TCP6 ::ffff:a00:1 ::ffff:102:304 7 5\r\n");
    assert_eq!(line(unix("/a"), v4), "PROXY UNKNOWN\r\n");
    assert_eq!(ProxyHeader::local(ProxyVersion::V1).write(), b"PROXY UNKNOWN\r\n");
}

#[test]
fn a_block_says_what_its_families_allow() {
    let block = |source, destination| ProxyHeader::new(ProxyVersion::V2, source, destination).write();
    assert_eq!(block(tcp("1.2.3.4:258"), tcp("5.6.7.8:772")), v4_with(&[]));
    let mixed = [&[0; 10][..], &[0xff, 0xff, 1, 2, 3, 4], &[0x20, 1], &[0; 14], &[0, 5, 0, 6]].concat();
    assert_eq!(block(tcp("1.2.3.4:5"), tcp("[2001::]:6")), v2(PROXY, 0x21, &mixed));
    assert_eq!(block(unix("@a"), unix("./@b")), v2(PROXY, 0x31, &unix_block(b"\0a", b"@b")));
    let local = v2(LOCAL, 0, b"");
    assert_eq!(block(unix("@a"), tcp("1.2.3.4:5")), local);
    assert_eq!(block(unix(&"x".repeat(109)), unix("a")), local);
    assert_eq!(ProxyHeader::local(ProxyVersion::V2).write(), local);
}

#[test]
fn a_tlv_that_does_not_fit_is_left_out() {
    let header = |bytes: usize| {
        let mut header = ProxyHeader::new(ProxyVersion::V2, tcp("1.2.3.4:258"), tcp("5.6.7.8:772"));
        header.tlvs.0 =
            vec![Tlv { kind: 0xe0, value: vec![0; bytes] }, Tlv { kind: ALPN, value: b"h2".to_vec() }];
        header.write()
    };
    let room = HEADER_BYTES_MAX - FIXED_BYTES - IPV4_BLOCK.len() - TLV_BYTES;
    assert_eq!(header(room).len(), HEADER_BYTES_MAX);
    assert_eq!(header(room + 1), v4_with(&[&tlv(ALPN, b"h2")]));
}

#[test]
fn tlvs_can_be_asked_for_by_what_they_are() {
    let tlvs: [&[u8]; 6] = [
        &tlv(0xe1, b"x"),
        &tlv(ALPN, b"h2"),
        &tlv(AUTHORITY, b"a"),
        &tlv(UNIQUE_ID, b"i"),
        &tlv(SSL, &[0; 5]),
        &tlv(ALPN, b"h3"),
    ];
    let Ok(ProxyRead::Complete(header, _)) = ProxyHeader::read(&v4_with(&tlvs)) else {
        panic!("it is valid")
    };
    let read = &header.tlvs;
    assert_eq!((read.alpn(), read.authority()), (Some(&b"h2"[..]), Some(&b"a"[..])));
    assert_eq!((read.unique_id(), read.ssl()), (Some(&b"i"[..]), Some(&[0; 5][..])));
    assert_eq!(read.custom().collect::<Vec<_>>(), [(0xe1, &b"x"[..])]);
    assert_eq!(header.write(), v4_with(&tlvs));
    assert_eq!(Tlvs::default().alpn(), None);
}

#[test]
fn what_a_header_says_of_tls_is_that_of_the_connection_it_is_sent_for() {
    let former = [(ALPN, &b"old"[..]), (UNIQUE_ID, b"i"), (SSL, &[0; 5]), (AUTHORITY, b"old")];
    let former = former.map(|(kind, value)| Tlv { kind, value: value.to_vec() });
    let long = "x".repeat(256);
    let tls = EndedTls {
        alpn: Some(b"h2"),
        authority: None,
        version: "TLSv1.3",
        cipher: Some("TLS_AES_128_GCM_SHA256"),
        common_name: Some("me"),
        client_cert: true,
    };
    let header = |tls| {
        let mut header = ProxyHeader::new(ProxyVersion::V2, tcp("1.2.3.4:5"), tcp("1.2.3.4:6"));
        header.tlvs = Tlvs(former.to_vec()).with_tls(&tls);
        describe(&header)
    };
    let shown = r"!\x00\x07TLSv1.3\x22\x00\x02me#\x00\x16TLS_AES_128_GCM_SHA256";
    let shown = shown.replace(r"\x22", "\\\"");
    let ends = "v2 1.2.3.4:5 > 1.2.3.4:6 5=i";
    assert_eq!(header(tls), format!(r"{ends} 1=h2 20=\x07\x00\x00\x00\x00{shown}"));
    let none = EndedTls { authority: Some("a.test"), cipher: None, common_name: None, alpn: None, ..tls };
    let plain = r"20=\x01\x00\x00\x00\x01!\x00\x07TLSv1.3";
    assert_eq!(header(EndedTls { client_cert: false, ..none }), format!("{ends} 2=a.test {plain}"));
    let (cipher, common_name) = (Some(&*long), Some(&*long));
    let long = EndedTls { alpn: Some(long.as_bytes()), authority: Some(&long), cipher, common_name, ..none };
    assert_eq!(header(EndedTls { client_cert: false, ..long }), format!("{ends} {plain}"));
}

#[test]
fn a_version_reads_as_it_is_shown() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for text in ["", "1", "V1", "v3"] {
        assert!(text.parse::<ProxyVersion>().unwrap_err().contains("write v1 or v2"), "{text}");
    }
}

fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|end| Address::Tcp(end.into())),
        any::<([u8; 16], u16)>().prop_map(|end| Address::Tcp(end.into())),
        any::<([u8; 4], u16)>()
            .prop_map(|(ip, port)| Address::Tcp((Ipv4Addr::from(ip).to_ipv6_mapped(), port).into())),
        "(@[a-z./@]{1,107}|[a-z./][a-z./@]{0,107}|)".prop_map(|path| unix(&path)),
    ]
}

fn any_tlvs() -> impl Strategy<Value = Tlvs> {
    let value = || vec(any::<u8>(), 0..=UNIQUE_ID_BYTES_MAX);
    let kind = prop_oneof![select(vec![ALPN, AUTHORITY, UNIQUE_ID]), CUSTOM];
    let plain = (kind, value()).prop_map(|(kind, value)| Tlv { kind, value });
    let ssl = (any::<[u8; SSL_BYTES_MIN]>(), vec((any::<u8>(), value()), 0..3)).prop_map(|(start, inner)| {
        let inner = inner.iter().flat_map(|(kind, value)| tlv(*kind, value));
        Tlv { kind: SSL, value: start.into_iter().chain(inner).collect() }
    });
    vec(prop_oneof![4 => plain, 1 => ssl], 0..4).prop_map(Tlvs)
}

/// What `ppp` reads: the ends, the TLVs, the length; none if it refuses or waits.
type Oracle = Option<(Option<(String, String)>, Vec<(u8, Vec<u8>)>, usize)>;

fn oracle(bytes: &[u8]) -> Oracle {
    use ppp::{HeaderResult, v1, v2};
    // The addresses of each version have the same fields, and are not the same types.
    macro_rules! ends {
        ($it:expr) => {{
            let source = SocketAddr::new($it.source_address.into(), $it.source_port);
            let destination = SocketAddr::new($it.destination_address.into(), $it.destination_port);
            Some((source.to_string(), destination.to_string()))
        }};
    }
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(header) => {
            let header = header.ok()?;
            let ends = match header.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(it) => ends!(it),
                v1::Addresses::Tcp6(it) => ends!(it),
            };
            Some((ends, Vec::new(), header.header.len()))
        }
        HeaderResult::V2(header) => {
            let header = header.ok()?;
            let tlvs = header.tlvs().map(|tlv| tlv.ok().map(|tlv| (tlv.kind, tlv.value.into_owned())));
            let tlvs = tlvs.collect::<Option<_>>()?;
            let unix = |field: &[u8]| describe_end(&unix_address(field));
            let ends = match header.addresses {
                _ if header.protocol != v2::Protocol::Stream => None,
                v2::Addresses::IPv4(it) => ends!(it),
                v2::Addresses::IPv6(it) => ends!(it),
                v2::Addresses::Unix(it) => Some((unix(&it.source), unix(&it.destination))),
                v2::Addresses::Unspecified => None,
            };
            Some((ends, tlvs, header.len()))
        }
    }
}

/// The same of our own reader, with the TLVs that are passed on.
fn ours(bytes: &[u8]) -> Oracle {
    let Ok(ProxyRead::Complete(header, length)) = ProxyHeader::read(bytes) else { return None };
    let ends = header.proxied.map(|it| (describe_end(&it.source), describe_end(&it.destination)));
    Some((ends, header.tlvs.0.into_iter().map(|tlv| (tlv.kind, tlv.value)).collect(), length))
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        is_v1: bool,
        ends in (any_address(), any_address()),
        is_local: bool,
        tlvs in any_tlvs(),
        behind: Vec<u8>,
    ) {
        let version = if is_v1 { ProxyVersion::V1 } else { ProxyVersion::V2 };
        let header = ProxyHeader { tlvs, ..ProxyHeader::new(version, ends.0.clone(), ends.1.clone()) };
        let header = if is_local { ProxyHeader { proxied: None, ..header } } else { header };
        let bytes = header.write();
        let mut expected = header;
        expected.proxied = expected.proxied.filter(|_| match &ends {
            (Address::Unix(_), Address::Unix(_)) => !is_v1,
            (Address::Tcp(_), Address::Tcp(_)) => true,
            _ => false,
        });
        if let Some(Proxied { source: Address::Tcp(one), destination: Address::Tcp(other) }) = &mut expected.proxied
            && one.is_ipv4() != other.is_ipv4()
        {
            for end in [one, other] {
                let IpAddr::V4(ip) = end.ip() else { continue };
                end.set_ip(ip.to_ipv6_mapped().into());
            }
        }
        if is_v1 || expected.proxied.is_none() {
            expected.tlvs = Tlvs::default();
        }
        prop_assert_eq!(oracle(&bytes), ours(&bytes), "{}", bytes.escape_ascii());
        prop_assert_eq!(
            ProxyHeader::read(&[&bytes[..], &behind].concat()),
            Ok(ProxyRead::Complete(expected, bytes.len())),
        );
        for cut in 0..bytes.len() {
            prop_assert_eq!(ProxyHeader::read(&bytes[..cut]), Ok(ProxyRead::Incomplete));
        }
    }

    /// `ppp` takes a port with a plus, and lines that end with another byte before the LF than a CR. It does not take all that
    /// may be behind UNKNOWN: a lone CR, bytes that are no UTF-8, more than five fields.
    #[test]
    fn lines_are_taken_as_the_oracle_takes_them(
        fields in vec(select(vec![
            "PROXY", "TCP4", "TCP6", "UNKNOWN", "1.2.3.4", "255.0.10.99", "256.1.1.1", "1.2.3", "01.2.3.4", "::",
            "1::2", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "12345::", "0", "00", "080", "80",
            "65535", "65536", "+80", "", "\r", "\n", "x",
        ]), 0..8),
        good in 0..8_usize,
        family in select(vec![
            ["PROXY", "TCP4", "1.2.3.4", "5.6.7.8", "1", "2"],
            ["PROXY", "TCP6", "1::2", "::", "0", "65535"],
        ]),
        end in select(vec!["\r\n", "\r\n", "\r\nmore", "\n", "\r", ""]),
    ) {
        let good = &family[..good.min(family.len())];
        let line = [good, &fields].concat().join(" ") + end;
        let (taken, mine) = (oracle(line.as_bytes()), ours(line.as_bytes()));
        let is_wrong = taken.as_ref().is_some_and(|(.., length)| {
            line[..*length].contains('+') || !line[..*length].ends_with("\r\n")
        });
        if line.starts_with("PROXY UNKNOWN ") {
            prop_assert!(taken.is_none() || is_wrong || taken == mine, "{line:?}: {taken:?}");
        } else {
            prop_assert_eq!(mine, taken.filter(|_| !is_wrong), "{:?}", line);
        }
    }

    /// `ppp` does not check the checksum, nor what is in the TLVs, and knows no limit but that of the length. It refuses LOCAL
    /// with an unknown family or with broken TLVs, which are ignored, and looks for TLVs in what is unspecified.
    #[test]
    fn blocks_are_taken_as_the_oracle_takes_them(
        command in prop_oneof![8 => Just(PROXY), 2 => Just(LOCAL), 1 => any::<u8>()],
        family in prop_oneof![8 => select(vec![0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0, 0x10]), 1 => any::<u8>()],
        address_bytes in prop_oneof![Just(None), (0..250_usize).prop_map(Some)],
        noise in vec(any::<u8>(), 250),
        kinds in vec(prop_oneof![any::<u8>(), select(vec![1, 2, 3, 4, 5, 0x20, 0xe5])], 0..4),
        values in vec(vec(any::<u8>(), 0..9), 4),
        lost in prop_oneof![4 => Just(0), 1 => 0..6_usize],
        behind in 0..3_usize,
    ) {
        let known = [0, 12, 36, 216].get(usize::from(family >> 4)).copied().unwrap_or(0);
        let tlvs: Vec<u8> = kinds.iter().zip(&values).flat_map(|(kind, value)| tlv(*kind, value)).collect();
        let mut block = [&noise[..address_bytes.unwrap_or(known)], &tlvs].concat();
        block.truncate(block.len().saturating_sub(lost));
        let bytes = [&v2(command, family, &block), &[0, 1, 2][..behind]].concat();
        let (taken, mine) = (oracle(&bytes), ours(&bytes));
        let shown = bytes.escape_ascii();
        let has_no_protocol = known > 0 && family & 0xf == 0 && block.len() >= known;
        let is_unspecified = family <= 2 || has_no_protocol;
        if command == LOCAL || (command == PROXY && is_unspecified) {
            prop_assert_eq!(mine, Some((None, Vec::new(), FIXED_BYTES + block.len())), "{}", shown);
            return Ok(());
        }
        let within = taken.map(|(ends, tlvs, length)| {
            let is_sound = tlvs.iter().all(|(kind, value)| match *kind {
                CRC32C => false, // Of random bytes it is wrong.
                UNIQUE_ID => value.len() <= UNIQUE_ID_BYTES_MAX,
                SSL => value.get(5..).is_some_and(|inner| {
                    ppp::v2::TypeLengthValues::from(inner).all(|tlv| tlv.is_ok())
                }),
                _ => true,
            });
            let tlvs = tlvs.into_iter().filter(|(kind, _)| is_passed_on(*kind)).collect();
            is_sound.then_some((ends, tlvs, length))
        });
        prop_assert_eq!(mine, within.flatten(), "{}", shown);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_change_its_mind(
        sample in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        behind in vec(any::<u8>(), 0..64),
    ) {
        let mut samples: Vec<Vec<u8>> = LINES.iter().map(|(line, _)| line.as_bytes().to_vec()).collect();
        samples.extend(valid_blocks().into_iter().map(|(block, _)| block));
        let mut bytes = samples.swap_remove(sample.index(samples.len()));
        for (index, byte) in &changes {
            let place = index.index(bytes.len());
            bytes[place] = *byte;
        }
        bytes.extend(behind);
        let mut decided = None;
        for cut in 0..=bytes.len().min(400) {
            let result = ProxyHeader::read(&bytes[..cut]);
            match &decided {
                None if result == Ok(ProxyRead::Incomplete) => {}
                None => decided = Some(result),
                Some(Ok(_)) => prop_assert_eq!(Some(&result), decided.as_ref()),
                Some(Err(_)) => prop_assert!(result.is_err()),
            }
        }
    }
}
