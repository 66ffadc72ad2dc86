//! A server behind a proxy: its client has to begin with a PROXY header, from the client's own address to the server's.

use crate::support::{
    fake::{Fake, nothing},
    stream::{Received, read_each, reset},
};
use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
};

/// The header of this connection, byte for byte; of IPv4.
fn header(client: &TcpStream, version: &str) -> Vec<u8> {
    let ends = [client.peer_addr().unwrap(), client.local_addr().unwrap()];
    let [from, to] = ends.map(|end: SocketAddr| (end.ip(), end.port()));
    if version == "v1" {
        return format!("PROXY TCP4 {} {} {} {}\r\n", from.0, to.0, from.1, to.1).into_bytes();
    }
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    for (ip, _) in [from, to] {
        let IpAddr::V4(ip) = ip else { panic!("{ip} is no IPv4 address") };
        bytes.extend(ip.octets());
    }
    bytes.extend([from.1, to.1].map(u16::to_be_bytes).as_flattened());
    bytes
}

/// Reads the client's header, and nothing behind it; whether it is right.
pub fn take_header(mut client: &TcpStream, version: &str) -> bool {
    let expected = header(client, version);
    let mut read = vec![0; expected.len()];
    client.read_exact(&mut read).is_ok() && read == expected
}

/// Echoes what comes behind the header, and ends its stream after the client; resets a connection without the header.
/// Its point: the header has come. Reports what came with it in one piece.
pub fn echoes(version: &'static str) -> Fake {
    Fake::start(move |mut stream, checkpoint| {
        let mut piece = vec![0; 64 * 1024];
        let count = stream.read(&mut piece).unwrap_or(0);
        let expected = header(&stream, version);
        let Some(bytes) = piece[..count].strip_prefix(&expected[..]) else {
            reset(stream);
            return nothing();
        };
        checkpoint.reach();
        let mut writer = stream.try_clone().unwrap();
        let _ = writer.write_all(bytes);
        let end = read_each(&mut stream, |piece| {
            let _ = writer.write_all(piece);
        });
        Received { bytes: bytes.to_vec(), end }
    })
}
