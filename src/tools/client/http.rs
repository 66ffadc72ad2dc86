//! An `http://` run: sends a GET, prints what comes back, and knows whether it is the whole answer (RFC 9112 §6, §8).
//!
//! hyper knows where an answer ends. What is printed is taken below it, byte for byte as it came, unless the body alone is
//! asked for. The answer is whole when its framing says so, whether or not the server then ends the connection.

use crate::{
    net::{socket::Socket, stream::Stream},
    tools::{
        client::{
            failure::bytes,
            idle::idle,
            output::Output,
            wire::{Seen, Wire},
        },
        failure::{Failure, Fault},
    },
};
use futures::{
    future::{Either, select, try_join},
    pin_mut,
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{Builder, SendRequest},
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use smol_hyper::rt::FuturesIo;
use std::{sync::Arc, time::Duration};

/// Room for an answer's head, as much as browsers and curl take.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Header fields of an answer; hyper's own 100 is little for a site with many cookies.
const HEADERS_MAX: usize = 1000;
/// Our name and version, as the server is told.
const AGENT: &str = concat!("switchboard/", env!("CARGO_PKG_VERSION"));

/// What is asked.
pub struct Question<'a> {
    /// The server, for error texts.
    pub peer: &'a str,
    /// The `Host` field.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Whether the body alone is printed.
    pub body: bool,
}

/// Why an exchange ended before its time.
enum Broken {
    /// The answer, or the connection.
    Answer(hyper::Error),
    /// The protocol, which nobody asked to switch.
    Switched,
    /// Our output.
    Output(Failure),
}

/// Asks over `socket` and returns how many bytes came back.
pub async fn ask(
    socket: Socket,
    question: &Question<'_>,
    output: Option<&mut Output>,
    limit: Option<Duration>,
) -> Result<u64, Failure> {
    let socket = Arc::new(socket);
    let (decoded, raw) = if question.body { (output, None) } else { (None, output) };
    let seen = Arc::new(Seen::new(raw.is_some()));
    {
        let wire = FuturesIo::new(Wire::new(Stream::new(socket.clone()), seen.clone()));
        let answer = async {
            let end = exchange(wire, question, decoded, &seen).await;
            if let Some(tee) = &seen.tee {
                tee.close();
            }
            // Printing goes on whatever the end was.
            Ok(end)
        };
        let both = try_join(answer, print(raw, &seen));
        let idle = idle(limit, || seen.last_moved());
        pin_mut!(both, idle);
        match select(both, idle).await {
            Either::Left((end, _)) => end?.0.map_err(|broken| judge(&broken, question.peer, &seen))?,
            Either::Right((limit, _)) => return Err(Failure::idle(question.peer, limit, seen.received())),
        }
    }
    if let Some(socket) = Arc::into_inner(socket) {
        socket.close();
    }
    Ok(seen.received())
}

/// Sends the question and takes in the whole answer; `output` gets the body.
async fn exchange(
    wire: FuturesIo<Wire>,
    question: &Question<'_>,
    output: Option<&mut Output>,
    seen: &Seen,
) -> Result<(), Broken> {
    let (sender, connection) = Builder::new()
        .title_case_headers(true)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(wire)
        .await
        .map_err(Broken::Answer)?;
    let answer = take_answer(sender, question, output, seen);
    pin_mut!(answer, connection);
    match select(answer, connection).await {
        Either::Left((end, _)) => end,
        // The answer knows of the connection's end, and may still hold a part of the body.
        Either::Right((_, answer)) => answer.await,
    }
}

async fn take_answer(
    mut sender: SendRequest<Empty<Bytes>>,
    question: &Question<'_>,
    mut output: Option<&mut Output>,
    seen: &Seen,
) -> Result<(), Broken> {
    let request = request(question).map_err(Broken::Output)?;
    let response = sender.send_request(request).await.map_err(Broken::Answer)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Broken::Switched);
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Broken::Answer)?;
        if let (Some(output), Ok(data)) = (&mut output, frame.into_data()) {
            seen.set_printing(true);
            output.write(data).await.map_err(|error| Broken::Output(Failure::output(&error)))?;
            seen.set_printing(false);
        }
    }
    Ok(())
}

fn request(question: &Question<'_>) -> Result<Request<Empty<Bytes>>, Failure> {
    let request = Request::get(question.path)
        .header(HOST, question.host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new());
    request.map_err(|error| {
        Failure::new(
            Fault::Input,
            format!("cannot ask for 'http://{}{}': {error}", question.host, question.path),
        )
    })
}

/// Prints the bytes as they came.
async fn print(output: Option<&mut Output>, seen: &Seen) -> Result<(), Failure> {
    let (Some(output), Some(tee)) = (output, &seen.tee) else { return Ok(()) };
    while let Some(bytes) = tee.next().await {
        seen.set_printing(true);
        output.write(bytes).await.map_err(|error| Failure::output(&error))?;
        seen.set_printing(false);
    }
    Ok(())
}

/// What a broken exchange was, by what is known below hyper.
fn judge(broken: &Broken, peer: &str, seen: &Seen) -> Failure {
    let error = match broken {
        Broken::Output(failure) => return failure.clone(),
        Broken::Switched => {
            let text = format!("{peer} switched protocols, which it was not asked for");
            return Failure::new(Fault::Malformed, text);
        }
        Broken::Answer(error) => error,
    };
    let received = seen.received();
    match seen.end() {
        _ if error.is_parse() => {
            Failure::new(Fault::Malformed, format!("{peer} does not answer in HTTP/1.1: {error}"))
        }
        Some(Err(lost)) => Failure::lost(peer, lost, received),
        Some(Ok(())) if received == 0 => {
            Failure::new(Fault::Truncated, format!("{peer} ended the connection without an answer"))
        }
        Some(Ok(())) => {
            let text =
                format!("{peer} ended the connection in the middle of the answer, after {}", bytes(received));
            Failure::new(Fault::Truncated, text)
        }
        None => {
            let source =
                std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            Failure::new(Fault::Malformed, format!("{peer} does not answer in HTTP/1.1: {error}{source}"))
        }
    }
}
