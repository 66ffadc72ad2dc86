//! One connection to the admin server: one request, one answer, and its end, all within a limit.

use super::pages::Pages;
use crate::{
    net::{buffer::Buffer, socket::Socket, stream::Stream},
    runtime::clock::within,
};
use hyper::{server::conn::http1, service::service_fn};
use smol_hyper::rt::FuturesIo;
use std::{convert::Infallible, io, sync::Arc, time::Duration};

/// From its begin to its end. Half of a scraper's usual patience (10 s), so that one behind slow ones gets its turn.
const LIMIT: Duration = Duration::from_secs(5);
/// Room for a request's head, more than any scraper's.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Serves the connection; where it takes too long it is reset.
pub async fn serve(socket: Socket, pages: Arc<Pages>) {
    within(Some(LIMIT), answer(socket, &pages)).await;
}

async fn answer(socket: Socket, pages: &Pages) {
    let socket = Arc::new(socket);
    let service = service_fn(|request| async move { Ok::<_, Infallible>(pages.answer(&request).await) });
    // What hyper cannot read it has answered; a lost connection shows again below.
    let _ = http1::Builder::new()
        // A client that ends its stream after the request still gets the whole answer.
        .half_close(true)
        // An idle connection would hold one of few places.
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(FuturesIo::new(Stream::new(socket.clone())), service)
        .await;
    let _ = socket.finish();
    if let (Ok(()), Some(socket)) = (discard(&socket).await, Arc::into_inner(socket)) {
        socket.close();
    }
}

/// Reads on until the client has ended its stream: closing with input unread would reset the connection, and destroy
/// the end of the answer on its way (RFC 9112 §9.6).
async fn discard(socket: &Socket) -> io::Result<()> {
    loop {
        socket.readable().await;
        let mut buffer = Buffer::take();
        match socket.try_read(buffer.room()) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
