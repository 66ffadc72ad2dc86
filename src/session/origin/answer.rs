//! What is answered to a request.

use super::pattern::Pattern;
use crate::{
    net::address::{Address, EscapedAddress},
    text::escape::Escaped,
};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use std::fmt::Write;

/// The most bytes of one answer: 1 TiB, minutes on the fastest link.
const BYTES_MAX: u64 = 1 << 40;

/// An answer: a text, or bytes made as they are sent.
pub type Answer = Response<Either<Full<Bytes>, Pattern>>;

/// The answer to a request from `client`.
pub fn to<B>(request: &Request<B>, client: &Address) -> Answer {
    let path = request.uri().path();
    let count = path.strip_prefix("/bytes/");
    if path != "/" && count.is_none() {
        return refusal(StatusCode::NOT_FOUND, "not found; there is / and /bytes/N\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match count.map(parse_count) {
        None => text(StatusCode::OK, "text/html; charset=utf-8", page(request, client)),
        Some(Some(length)) => {
            answer(StatusCode::OK, "text/plain", length, Either::Right(Pattern::new(length)))
        }
        Some(None) => {
            let reason = format!("after /bytes/ comes a whole number up to {BYTES_MAX}\n");
            refusal(StatusCode::BAD_REQUEST, reason)
        }
    }
}

fn parse_count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|count| digits && *count <= BYTES_MAX)
}

fn refusal(status: StatusCode, reason: impl Into<String>) -> Answer {
    text(status, "text/plain; charset=utf-8", reason.into())
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Answer {
    answer(status, kind, text.len() as u64, Either::Left(Full::from(text)))
}

/// The length is named here, because a HEAD answer has it without the body (RFC 9110 §9.3.2).
fn answer(status: StatusCode, kind: &'static str, length: u64, body: Either<Full<Bytes>, Pattern>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
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

/// A UNIX socket's client has no name where it did not bind one.
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
        let answer = to(&request.body(()).unwrap(), &client);
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
