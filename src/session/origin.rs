//! A small HTTP/1.1 server (RFC 9112) to stand in for the internet: serves one connection, from its begin to its end.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page that shows who asked and what was sent |
//! | `/bytes/N` | N bytes of a fixed pattern |
//! | any other | 404 |

mod answer;
mod pattern;
mod wire;

use crate::{
    error::reason,
    net::{buffer::Buffer, socket::Socket, stream::Stream},
    relay::half::Observer,
    runtime::clock::within,
    session::{cause::Cause, event::Side, record::Record},
};
use hyper::{server::conn::http1, service::service_fn};
use smol_hyper::rt::FuturesIo;
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use wire::Wire;

/// Of one connection, each way: room for a request's head, and for one piece of an answer on its way to the kernel.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long a client may send nothing after our end until it is taken to have no more to say.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// However much it sends.
const LINGER: Duration = Duration::from_secs(30);

/// Serves one connection until the client has ended it, or wants no more answers. The counters of `record` follow what is
/// read and written, and `observers` are shown what each [`Side`] sends; deadlines are the caller's, who ends the connection
/// by dropping this.
pub async fn serve(socket: Socket, record: &Record, observers: [&dyn Observer; 2]) {
    let socket = Arc::new(socket);
    let lost = {
        let wire = Wire::new(Stream::new(socket.clone()), record, observers);
        let service = service_fn(async |request| Ok::<_, Infallible>(answer::to(&request, &record.client)));
        let connection = http1::Builder::new()
            // A client that ends its stream after the request still gets the whole answer.
            .half_close(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            // The session's deadlines bound every wait.
            .header_read_timeout(None)
            .serve_connection(FuturesIo::new(wire), service);
        // hyper has answered what it could not read (400, 414, 431); only a lost connection is left to tell.
        connection.await.err().as_ref().and_then(connection_error)
    };
    let end = match lost {
        Some(error) => Err(error),
        None => linger(&socket, record, observers[Side::Client as usize]).await,
    };
    let Some(socket) = Arc::into_inner(socket) else { return };
    match end {
        Ok(()) => socket.close(),
        // Dropping the socket resets what is left of it.
        Err(error) => record.end(Cause::ClientReset, Some(format!("client: {}", reason(&error)))),
    }
}

/// Ends our stream, then reads on until the client has ended its own: closing with input unread would make the kernel
/// reset the connection, and destroy the end of the answer on its way (RFC 9112 §9.6).
async fn linger(socket: &Socket, record: &Record, observer: &dyn Observer) -> io::Result<()> {
    record.from_upstream.set_ended();
    if let Err(error) = socket.finish() {
        // The client is gone already; a read knows whether it ended cleanly before.
        if error.kind() != io::ErrorKind::NotConnected {
            return Err(error);
        }
    }
    within(Some(LINGER), discard(socket, record, observer)).await.unwrap_or(Ok(()))
}

async fn discard(socket: &Socket, record: &Record, observer: &dyn Observer) -> io::Result<()> {
    let mut buffer = Buffer::take();
    while !record.from_client.ended() {
        if within(Some(LINGER_SILENCE), socket.readable()).await.is_none() {
            break;
        }
        match socket.try_read(buffer.room()) {
            Ok(0) => record.from_client.set_ended(),
            Ok(count) => {
                observer.show(record.from_client.received(), &buffer.room()[..count]);
                record.from_client.add_received(count);
                record.from_client.add_delivered(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The error of the connection itself, where one is behind an error of hyper; a request cut short by FIN is none.
fn connection_error(error: &hyper::Error) -> Option<io::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            let kind = found.kind();
            return (kind != io::ErrorKind::UnexpectedEof).then(|| io::Error::new(kind, found.to_string()));
        }
        source = cause.source();
    }
    None
}
