//! A small HTTP/1.1 server (RFC 9112) to stand in for the internet: serves one connection, from its begin to its end.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page that shows who asked and what was sent |
//! | `/bytes/N` | N bytes of a fixed pattern |
//! | any other | 404 |

mod pattern;

use crate::{
    error::reason,
    net::{address::Address, http, socket::Socket, stream::Stream},
    relay::half::Observer,
    session::{cause::Cause, event::Side, record::Record},
    text::escape::{Escaped, EscapedAddress},
};
use futures::io::{AsyncRead, AsyncWrite};
use http_body_util::{Either, Full};
use hyper::{Request, Response, StatusCode, body::Bytes};
use pattern::Pattern;
use std::{
    fmt::Write,
    future::ready,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

const LIMITS: http::Limits = http::Limits {
    buffer_bytes: 64 * 1024,
    keep_alive: true,
    linger: Duration::from_secs(30),
    linger_silence: Duration::from_secs(5),
};
/// The most bytes of one answer: 1 TiB, minutes on the fastest link.
const BYTES_MAX: u64 = 1 << 40;

/// A text, or bytes made as they are sent.
type Answer = Response<Either<Full<Bytes>, Pattern>>;

/// Serves one connection until the client has ended it, or wants no more answers. The counters of `record` follow what is
/// read and written, and `observers` are shown what each [`Side`] sends; deadlines are the caller's, who ends the connection
/// by dropping this.
pub async fn serve(socket: Socket, record: &Record, observers: [&dyn Observer; 2]) {
    let wire = Wire { stream: Stream(&socket), record, observers, refused: 0 };
    let answer = |request| ready(answer(&request, &record.client));
    match http::serve(wire, &LIMITS, answer).await {
        Ok(()) => socket.close(),
        // Dropping the socket resets what is left of it.
        Err(error) => record.end(Cause::ClientReset, Some(format!("client: {}", reason(&error)))),
    }
}

/// The answer to a request from `client`.
fn answer<B>(request: &Request<B>, client: &Address) -> Answer {
    let path = request.uri().path();
    let count = path.strip_prefix("/bytes/");
    if path != "/" && count.is_none() {
        let text = http::text(StatusCode::NOT_FOUND, "not found; there is / and /bytes/N\n");
        return text.map(Either::Left);
    }
    if let Some(refusal) = http::refuse_method(request) {
        return refusal.map(Either::Left);
    }
    match count.map(parse_count) {
        None => {
            let page = page(request, client);
            http::page(StatusCode::OK, "text/html; charset=utf-8", page).map(Either::Left)
        }
        Some(Some(length)) => {
            http::answer(StatusCode::OK, "text/plain", length, Either::Right(Pattern::new(length)))
        }
        Some(None) => {
            let reason = format!("after /bytes/ comes a whole number up to {BYTES_MAX}\n");
            http::text(StatusCode::BAD_REQUEST, reason).map(Either::Left)
        }
    }
}

fn parse_count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|count| digits && *count <= BYTES_MAX)
}

/// A page that reads well in a browser and as plain text. Nothing that was sent can act in either.
fn page<B>(request: &Request<B>, client: &Address) -> String {
    let mut sent = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        let value = Escaped(value.as_bytes());
        writeln!(sent, "{name}: {value}").expect("a String takes all that is written to it");
    }
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head><meta charset=\"utf-8\"><title>Switchboard origin</title></head>\n\
         <body>\n\
         <h1>Switchboard origin</h1>\n\
         <p>You are {client}, and you sent:</p>\n\
         <pre>\n\
         {sent}\
         </pre>\n\
         </body>\n\
         </html>\n",
        client = html(&client_name(client)),
        sent = html(&sent),
    )
}

/// A UNIX socket's client has a name only if it bound one.
fn client_name(client: &Address) -> String {
    match client {
        Address::Unix(path) if path.as_os_str().is_empty() => "on this machine's UNIX socket".to_owned(),
        client => EscapedAddress(client).to_string(),
    }
}

/// Text as it reads in HTML (HTML Living Standard §13.3, "escaping a string").
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The client's connection, whose bytes and ends are counted in the session's record.
struct Wire<'a> {
    stream: Stream<'a>,
    record: &'a Record,
    /// Who looks at what each side sends, in the order of [`Side`].
    observers: [&'a dyn Observer; 2],
    /// Bytes that the kernel refused: counted as received from us, and not yet as delivered.
    refused: usize,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = std::task::ready!(Pin::new(&mut self.stream).poll_read(context, room))?;
        let flow = &self.record.from_client;
        if count > 0 {
            self.observers[Side::Client as usize].show(flow.received(), &room[..count]);
            flow.add_received(count);
            flow.add_delivered(count);
        } else if !room.is_empty() && !flow.ended() {
            flow.set_ended();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Wire<'_> {
    /// Bytes wait for the client, as the stall deadline sees it, from the first time that the kernel refuses them.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let counted = match &written {
            Poll::Pending => bytes.len(),
            Poll::Ready(Ok(count)) => *count,
            Poll::Ready(Err(_)) => 0,
        };
        if counted > self.refused {
            self.record.from_upstream.add_received(counted - self.refused);
            self.refused = counted;
        }
        if let Poll::Ready(Ok(count)) = written {
            self.record.note_first_byte();
            self.observers[Side::Upstream as usize]
                .show(self.record.from_upstream.delivered(), &bytes[..count]);
            self.record.from_upstream.add_delivered(count);
            self.refused -= count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.record.from_upstream.ended() {
            self.record.from_upstream.set_ended();
        }
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use http_body_util::BodyExt;

    fn ask(method: &str, path: &str, headers: &[(&str, &[u8])]) -> (u16, Answer) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Address::Tcp("192.0.2.1:4711".parse().unwrap());
        let answer = answer(&request.body(()).unwrap(), &client);
        (answer.status().as_u16(), answer)
    }

    fn body(answer: Answer) -> String {
        let bytes = block_on(answer.into_body().collect()).unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_page_shows_who_asked_and_what_was_sent() {
        let (status, answer) = ask("GET", "/?a=b", &[("host", b"example.org"), ("x-one", b"1")]);
        assert_eq!(
            (status, &answer.headers()["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap())
        );
        let page = body(answer);
        for line in ["You are 192.0.2.1:4711", "GET /?a=b HTTP/1.1", "host: example.org", "x-one: 1"] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }

    #[test]
    fn nothing_that_was_sent_acts_on_a_browser_or_a_terminal() {
        let page = body(ask("GET", "/", &[("x", b"<script>\"&'\xc2\x9b2J")]).1);
        assert!(page.contains("x: &lt;script&gt;&quot;&amp;&#39;\\u{9b}2J"), "{page}");
    }

    #[test]
    fn bytes_come_in_the_number_asked_for() {
        for length in [0, 1, 65_522] {
            let (status, answer) = ask("GET", &format!("/bytes/{length}"), &[]);
            assert_eq!((status, body(answer).len()), (200, length));
        }
        let (_, answer) = ask("HEAD", &format!("/bytes/{BYTES_MAX}"), &[]);
        assert_eq!(answer.headers()["content-length"], *"1099511627776");
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_its_status() {
        for (method, path, expected) in [
            ("GET", "/bytes/", 400),
            ("GET", "/bytes/x", 400),
            ("GET", "/bytes/+1", 400),
            ("GET", "/bytes/-1", 400),
            ("GET", "/bytes/1099511627777", 400),
            ("GET", "/bytes/99999999999999999999", 400),
            ("GET", "/bytes", 404),
            ("POST", "/other", 404),
            ("POST", "/", 405),
            ("PUT", "/bytes/1", 405),
        ] {
            let (status, answer) = ask(method, path, &[]);
            assert_eq!(status, expected, "{method} {path}");
            assert_eq!(answer.headers().contains_key("allow"), expected == 405);
        }
    }
}
