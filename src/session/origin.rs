//! A small HTTP/1.1 server (RFC 9112) to stand in for the internet: the actor at the far end of one session.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page that shows the client's address and what it sent |
//! | `/bytes/N` | N bytes of a fixed pattern |
//! | any other | 404 |

mod pattern;

use crate::{
    net::{
        address::{Address, EscapedAddress},
        http,
    },
    relay::{
        direction::Ways,
        link::{LinkReceiver, LinkSender},
        stream::LinkStream,
    },
    runtime::task::{Task, spawn},
    session::{cause::Cause, outcome::Outcome, record::Record},
    text::escape::{Escaped, markup},
};
use http_body_util::{Either, Full};
use hyper::{Request, Response, StatusCode, body::Bytes};
use pattern::Pattern;
use std::{fmt::Write, future::ready, sync::Arc, time::Duration};

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

/// Starts answering the client of `record`, from `up_receiver` into `down_sender`, until it has ended its stream or gets
/// no more answers. Deadlines are the session's.
pub fn start(record: &Arc<Record>, up_receiver: LinkReceiver, down_sender: LinkSender) -> Task<Outcome> {
    let record = record.clone();
    spawn(async move {
        let ways = Ways { incoming: &record.from_client, outgoing: &record.from_upstream };
        let mut stream = LinkStream::new(up_receiver, down_sender, ways);
        let served = async {
            http::answer_all(&mut stream, &LIMITS, |request| ready(answer(&request, &record.client))).await?;
            http::linger(stream, &LIMITS).await
        };
        match served.await {
            Ok(true) => Outcome::Clean,
            Ok(false) => Outcome::Due(Cause::HalfCloseTimeout),
            Err(_) => Outcome::Aborted,
        }
    })
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
        client = markup(&client_name(client)),
        sent = markup(&sent),
    )
}

/// A UNIX socket's client has a name only if it bound one.
fn client_name(client: &Address) -> String {
    match client {
        Address::Unix(path) if path.as_os_str().is_empty() => "on this machine's UNIX socket".to_owned(),
        client => EscapedAddress(client).to_string(),
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
