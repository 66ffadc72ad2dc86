//! Urgent bytes (RFC 9293 §3.8.5): for the audit, which looks at what becomes of the stream around one.

use crate::net::socket::{Socket, retry};
use rustix::net::{SendFlags, send};
use std::{future::poll_fn, io, task::ready};

impl Socket {
    /// Sends one urgent byte, which is no part of the stream for a peer that does not ask for it in line.
    ///
    /// # Errors
    /// That of the connection.
    pub async fn send_urgent(&self, byte: u8) -> io::Result<()> {
        poll_fn(|context| {
            loop {
                ready!(self.registration.poll_writable(context));
                let flags = SendFlags::NOSIGNAL | SendFlags::OOB;
                let sent = self.registration.write(|| {
                    let count = retry(|| send(&self.descriptor, &[byte], flags))?;
                    Ok(((), count == 0))
                });
                match sent {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return std::task::Poll::Ready(result.map_err(|error| self.note_loss(error))),
                }
            }
        })
        .await
    }
}
