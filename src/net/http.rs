//! HTTP/1.1 (RFC 9112): a connection is served here; what a server answers is read in [`response`].

pub mod response;

use crate::{net::stream::discard, runtime::clock::within};
use futures::{
    AsyncWriteExt, FutureExt,
    io::{AsyncRead, AsyncWrite},
};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use smol_hyper::rt::FuturesIo;
use std::{convert::Infallible, error::Error, io, iter, time::Duration};

/// What bounds a served connection. Every other wait is the caller's to bound: it ends the connection by dropping it.
pub struct Limits {
    /// Each way: room for a request's head, and for one piece of an answer on its way.
    pub buffer_bytes: usize,
    /// Whether the connection takes another request after its first.
    pub keep_alive: bool,
    /// How long a client may go on sending after our end.
    pub linger: Duration,
    /// How long it may pause meanwhile until it is taken to have no more to say.
    pub linger_silence: Duration,
}

pub type Page = Response<Full<Bytes>>;

/// Answers one connection until the client gets no more answers. A client that ends its stream after a request still gets
/// the whole answer. `stream` stays open to the caller; it is closed here, which may happen twice.
/// Errors: why the connection was lost. A request that is cut short or cannot be read is none.
pub async fn answer_all<F, B>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    limits: &Limits,
    answer: impl Fn(Request<Incoming>) -> F,
) -> io::Result<()>
where
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(|request| answer(request).map(Ok::<_, Infallible>));
    let served = http1::Builder::new()
        .half_close(true)
        .keep_alive(limits.keep_alive)
        .max_buf_size(limits.buffer_bytes)
        .header_read_timeout(None)
        .serve_connection(FuturesIo::new(&mut *stream), service)
        .await;
    // hyper has answered what it could not read (400, 414, 431); only a lost connection is left to tell.
    if let Some(error) = served.err().as_ref().and_then(connection_error) {
        return Err(error);
    }
    stream.close().await
}

/// Comes after [`answer_all`]: true if the client ended its stream, and false if it had not by the limits.
/// Errors: why the connection was lost.
pub async fn linger(stream: impl AsyncRead + Unpin, limits: &Limits) -> io::Result<bool> {
    within(Some(limits.linger), discard(stream, limits.linger_silence)).await.unwrap_or(Ok(false))
}

/// The connection's own error, if one is behind an error of hyper; a request cut short by FIN is none.
fn connection_error(error: &hyper::Error) -> Option<io::Error> {
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    let found = causes.find_map(|cause| cause.downcast_ref::<io::Error>())?;
    let kind = found.kind();
    (kind != io::ErrorKind::UnexpectedEof).then(|| io::Error::new(kind, found.to_string()))
}

/// An answer of `length` bytes, which a HEAD answer names without having them (RFC 9110 §9.3.2).
pub fn answer<B>(status: StatusCode, kind: &'static str, length: u64, body: B) -> Response<B> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
}

pub fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    let body = body.into();
    answer(status, kind, body.len() as u64, Full::new(body))
}

pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Page {
    page(status, "text/plain; charset=utf-8", text)
}

/// The refusal of a request that asks for more than to read.
pub fn refuse_method<B>(request: &Request<B>) -> Option<Page> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD\n");
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(refusal)
}
