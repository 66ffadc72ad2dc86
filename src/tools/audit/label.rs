//! The first bytes of an arrival: they say which of our clients caused it, and whether the proxy put a header before them.
//!
//! A client's first sixteen bytes are a label. A PROXY protocol header (version 1 or 2, haproxy.org's
//! `proxy-protocol.txt`) before it is taken off and remembered.

use crate::{
    net::{socket::Socket, stream::Stream},
    text::escape::Escaped,
    tools::audit::observation::End,
};
use futures::AsyncReadExt;
use std::{io, net::IpAddr};

pub const LABEL_BYTES: usize = 16;
/// No health check begins like this.
const MAGIC: [u8; 8] = *b"\0audit\x01\n";
/// The signature of version 2 (§2.2), before its 4 bytes of version, family and length.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The shortest header of version 1, `PROXY UNKNOWN` and its line end (§2.1): shorter than a label.
const SHORTEST_BYTES: usize = 15;
/// The longest header of version 1, with its line feed (§2.1).
const LINE_MAX_BYTES: usize = 107;

/// The name of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(pub u64);

impl Label {
    pub fn bytes(self) -> [u8; LABEL_BYTES] {
        let mut bytes = [0; LABEL_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..].copy_from_slice(&self.0.to_le_bytes());
        bytes
    }

    /// The seeds of the connection's patterns: to the origin, and to the client.
    pub fn seeds(self) -> [u64; 2] {
        [self.0 * 2, self.0 * 2 + 1]
    }

    fn read(bytes: [u8; LABEL_BYTES]) -> Option<Self> {
        let number = bytes[8..].try_into().ok()?;
        (bytes[..8] == MAGIC).then(|| Label(u64::from_le_bytes(number)))
    }
}

pub struct Opening {
    /// The proxy's header, in words that are safe to show.
    pub header: Option<String>,
    /// Which client it is; none for any other bytes.
    pub label: Option<Label>,
}

pub async fn opening(socket: &Socket) -> Result<Opening, End> {
    let first = read::<SHORTEST_BYTES>(socket).await?;
    match header(socket, first).await? {
        None => {
            let mut label = [0; LABEL_BYTES];
            label[..SHORTEST_BYTES].copy_from_slice(&first);
            read_into(socket, &mut label[SHORTEST_BYTES..]).await?;
            Ok(Opening { header: None, label: Label::read(label) })
        }
        header => Ok(Opening { header, label: Label::read(read(socket).await?) }),
    }
}

/// Reads the header of a connection that is known to begin with one.
pub async fn header_alone(socket: &Socket) -> Result<Option<String>, End> {
    let first = read::<SHORTEST_BYTES>(socket).await?;
    header(socket, first).await
}

/// The rest of a header that begins with `first`; none if it is no header. No byte after it is read.
async fn header(socket: &Socket, first: [u8; SHORTEST_BYTES]) -> Result<Option<String>, End> {
    if first[..SIGNATURE.len()] == SIGNATURE {
        let [low] = read::<1>(socket).await?;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([first[14], low]))];
        read_into(socket, &mut rest).await?;
        return Ok(Some(version_2(first[12], first[13], &rest)));
    }
    if !first.starts_with(b"PROXY ") {
        return Ok(None);
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") && line.len() < LINE_MAX_BYTES {
        line.extend(read::<1>(socket).await?);
    }
    Ok(Some(format!("version 1: {}", Escaped(line.trim_ascii_end()))))
}

fn version_2(command: u8, family: u8, rest: &[u8]) -> String {
    let ends = match family >> 4 {
        1 => ends::<4>(rest),
        2 => ends::<16>(rest),
        _ => None,
    };
    let command = match command & 0xf {
        0 => "LOCAL",
        1 => "PROXY",
        _ => "an unknown command",
    };
    let Some((from, to, more)) = ends else { return format!("version 2: {command}, {} B", rest.len()) };
    let more = if more == 0 { String::new() } else { format!(", {more} B more") };
    format!("version 2: {command} from {from} to {to}{more}")
}

/// Both ends, each as an address of `N` bytes and a port (§2.2), and how many bytes follow.
fn ends<const N: usize>(rest: &[u8]) -> Option<(String, String, usize)>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = rest.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (ports, rest) = rest.split_first_chunk::<4>()?;
    let end = |ip: &[u8; N], port| format!("{} {}", IpAddr::from(*ip), u16::from_be_bytes(port));
    Some((end(from, [ports[0], ports[1]]), end(to, [ports[2], ports[3]]), rest.len()))
}

async fn read<const N: usize>(socket: &Socket) -> Result<[u8; N], End> {
    let mut bytes = [0; N];
    read_into(socket, &mut bytes).await?;
    Ok(bytes)
}

async fn read_into(socket: &Socket, room: &mut [u8]) -> Result<(), End> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => End::Fin,
        _ => End::of(&error),
    };
    Stream(socket).read_exact(room).await.map_err(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_is_read_as_it_was_sent_and_nothing_else_is_one() {
        assert_eq!(Label::read(Label(1 << 60 | 7).bytes()), Some(Label(1 << 60 | 7)));
        assert_eq!(Label::read(*b"GET / HTTP/1.0\r\n"), None);
    }

    #[test]
    fn a_version_2_header_of_ipv6_is_told_and_local_ones_are_too() {
        let mut rest = [0; 36];
        (rest[15], rest[31]) = (1, 2);
        rest[32..].copy_from_slice(&[0, 80, 0x1f, 0x90]);
        assert_eq!(version_2(0x21, 0x21, &rest), "version 2: PROXY from ::1 80 to ::2 8080");
        assert_eq!(version_2(0x20, 0, &[]), "version 2: LOCAL, 0 B");
    }

    proptest! {
        #[test]
        fn no_version_2_header_panics_or_can_control_a_terminal(
            command: u8,
            family: u8,
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assert!(version_2(command, family, &rest).chars().all(|char| char.is_ascii_graphic() || char == ' '));
        }
    }
}
