//! A control connection as lines, for both of its ends.

use crate::{net::socket::Socket, runtime::clock::within};
use std::{io, time::Duration};

const READ_BYTES: usize = 4096;

/// A socket whose streams are lines.
pub struct LineSocket {
    socket: Socket,
    /// What was read and not yet taken as lines.
    unread: Vec<u8>,
}

impl LineSocket {
    pub fn new(socket: Socket) -> Self {
        LineSocket { socket, unread: Vec::new() }
    }

    /// The next line without its end; none at the end of the stream. The last line may lack its end. Cancel-safe.
    pub async fn next(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end;
                return Ok(Some(self.unread.drain(..=end).take(end).collect()));
            }
            searched = self.unread.len();
            if searched >= bytes_max {
                let text = format!("a line has at most {bytes_max} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if !self.read_more().await? {
                let rest = std::mem::take(&mut self.unread);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Waits until the peer has sent something more; false if it ended its stream. Cancel-safe.
    pub async fn read_more(&mut self) -> io::Result<bool> {
        let mut room = vec![0; READ_BYTES];
        loop {
            self.socket.readable().await;
            match self.socket.try_read(&mut room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.unread.extend_from_slice(&room[..count]);
                    return Ok(count > 0);
                }
            }
        }
    }

    pub async fn write(&self, text: &str, wait: Duration) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written = within(Some(wait), self.socket.write(rest)).await;
            rest = &rest[written.ok_or(io::ErrorKind::TimedOut)??..];
        }
        Ok(())
    }
}
