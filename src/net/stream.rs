//! A socket as the byte stream that libraries expect (`AsyncRead`, `AsyncWrite` of futures).

use crate::{
    net::{buffer::Buffer, socket::Socket},
    runtime::clock::within,
};
use futures::{
    AsyncReadExt,
    io::{AsyncRead, AsyncWrite},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// A socket as a byte stream. Closing it ends our direction; the socket stays with its owner.
#[derive(Clone, Copy)]
pub struct Stream<'a>(pub &'a Socket);

impl AsyncRead for Stream<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(context, room)
    }
}

impl AsyncWrite for Stream<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.0.finish() {
            // The peer is gone already; a read knows whether it ended cleanly before.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

/// Reads on until the peer has ended its stream: closing with input unread would make the kernel reset the connection, and
/// destroy the end of what was sent on its way (RFC 9112 §9.6). False if it had not, and was silent for `silence`.
pub async fn discard(mut stream: impl AsyncRead + Unpin, silence: Duration) -> io::Result<bool> {
    let mut buffer = Buffer::take();
    while let Some(read) = within(Some(silence), stream.read(buffer.room())).await {
        if read? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
