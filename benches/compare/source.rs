//! An upstream of this process: it is asked for a number of bytes and sends them. Its clients count and do not verify.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What it sends at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Starts one; it lives as long as this process.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends it: there is nothing to say.
            thread::spawn(move || send(stream));
        }
    });
    Ok(address)
}

/// Asks for `count` bytes.
pub fn ask(mut stream: &TcpStream, count: u64) -> io::Result<()> {
    stream.write_all(&count.to_le_bytes())
}

fn send(mut stream: TcpStream) -> io::Result<()> {
    let mut count = [0; size_of::<u64>()];
    stream.read_exact(&mut count)?;
    let piece = vec![7; PIECE_BYTES];
    let mut left = u64::from_le_bytes(count);
    while left > 0 {
        let now = left.min(PIECE_BYTES as u64);
        stream.write_all(&piece[..now as usize])?;
        left -= now;
    }
    stream.shutdown(Shutdown::Write)
}
