//! A socket as the byte stream that libraries expect (`AsyncRead`, `AsyncWrite` of futures).

use crate::net::socket::Socket;
use futures::io::{AsyncRead, AsyncWrite};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A shared socket as a byte stream; closing it ends our direction.
#[derive(Clone)]
pub struct Stream {
    socket: Arc<Socket>,
}

impl Stream {
    /// The stream of `socket`, which stays with its owner as well.
    #[must_use]
    pub fn new(socket: Arc<Socket>) -> Self {
        Stream { socket }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_read(context, room)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.finish())
    }
}
