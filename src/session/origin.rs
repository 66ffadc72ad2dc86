//! A small HTTP/1.1 server (RFC 9112) to stand in for the internet: the actor at the far end of one session.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page that shows who asked and what was sent |
//! | `/bytes/N` | N bytes of a fixed pattern |
//! | any other | 404 |

mod answer;
mod pattern;

use crate::{
    relay::{
        link::{LinkReceiver, LinkSender},
        pump::Ways,
        stream::LinkStream,
    },
    runtime::{
        clock::within,
        task::{self, Task},
    },
    session::{cause::Cause, outcome::FarEnd, record::Record},
};
use futures::AsyncReadExt;
use hyper::{server::conn::http1, service::service_fn};
use smol_hyper::rt::FuturesIo;
use std::{convert::Infallible, io, sync::Arc, time::Duration};

/// Of one connection, each way: room for a request's head, and for one piece of an answer on its way to the kernel.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long a client may send nothing after our end until it is taken to have no more to say.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// However much it sends.
const LINGER: Duration = Duration::from_secs(30);

/// Starts answering the client of `record`, who sends `inbound` and is sent `out`, until it has ended its stream or wants
/// no more answers. Deadlines are the session's.
pub fn start(record: Arc<Record>, inbound: LinkReceiver, out: LinkSender) -> Task<FarEnd> {
    task::spawn(async move {
        let ways = Ways { incoming: &record.from_client, outgoing: &record.from_upstream };
        serve(LinkStream::new(inbound, out, ways), &record).await
    })
}

async fn serve(mut stream: LinkStream<'_>, record: &Record) -> FarEnd {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer::to(&request, &record.client)));
    let connection = http1::Builder::new()
        // A client that ends its stream after the request still gets the whole answer.
        .half_close(true)
        .max_buf_size(BUFFER_BYTES_MAX)
        // The session's deadlines bound every wait.
        .header_read_timeout(None)
        .serve_connection(FuturesIo::new(&mut stream), service);
    // hyper has answered what it could not read (400, 414, 431); only a lost connection is left to tell.
    let lost = connection.await.err().as_ref().and_then(connection_error);
    if lost.is_some() || stream.finish().await.is_err() {
        return FarEnd::Aborted;
    }
    // Closing with input unread would make the kernel reset the connection, and destroy the end of the answer on its way
    // (RFC 9112 §9.6).
    match within(Some(LINGER), discard(&mut stream)).await {
        Some(Ok(true)) => FarEnd::Clean,
        Some(Err(_)) => FarEnd::Aborted,
        Some(Ok(false)) | None => FarEnd::Due(Cause::HalfCloseTimeout),
    }
}

/// Reads on until the client has ended its stream; false if it is silent for too long.
async fn discard(stream: &mut LinkStream<'_>) -> io::Result<bool> {
    let mut room = [0; 4096];
    loop {
        match within(Some(LINGER_SILENCE), stream.read(&mut room)).await {
            None => return Ok(false),
            Some(Ok(0)) => return Ok(true),
            Some(count) => count?,
        };
    }
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
