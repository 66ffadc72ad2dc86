//! Origin mode: the small HTTP server that stands in for the internet.

use crate::{
    harness::Server,
    stream::{End, read_to_end},
};
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

/// Sends one request on a connection of its own, and splits the answer into head and body.
fn get(server: &Server, path: &str, fields: &str) -> (String, Vec<u8>) {
    let mut client: TcpStream = server.connect();
    write!(client, "GET {path} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let received = read_to_end(&mut client);
    assert_eq!(received.end, End::Fin);
    let end = received.bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let (head, body) = received.bytes.split_at(end + 4);
    (String::from_utf8(head.to_vec()).unwrap(), body.to_vec())
}

/// The value of a field of the head, whose name is compared without case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[test]
fn the_page_shows_who_asked_and_what_was_sent() {
    let server = Server::start("origin", &[]);
    let (head, body) = get(&server, "/", "X-Lab: a field of the test\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let body = String::from_utf8(body).unwrap();
    let client = server.await_closes(1)[0]["client"].as_str().unwrap().to_owned();
    for shown in [client.as_str(), "GET /", "origin.test", "a field of the test"] {
        assert!(body.contains(shown), "{shown} is not shown: {body}");
    }
}

#[test]
fn what_was_sent_is_no_markup_in_the_page() {
    let server = Server::start("origin", &[]);
    let (head, body) = get(&server, "/?<script>alert(1)</script>", "X-Lab: <script>alert(2)</script>\r\n");
    let html = field(&head, "content-type").is_some_and(|kind| kind.contains("html"));
    let body = String::from_utf8(body).unwrap();
    assert!(!html || !body.contains("<script>alert"), "{body}");
}

#[test]
fn bytes_are_as_many_as_asked_for() {
    let server = Server::start("origin", &[]);
    for length in [0, 1, 100_000, 20_000_000] {
        let (head, body) = get(&server, &format!("/bytes/{length}"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(field(&head, "content-length"), Some(length.to_string().as_str()), "{head}");
        assert_eq!(body.len(), length);
    }
}

#[test]
fn anything_else_is_not_found() {
    let server = Server::start("origin", &[]);
    for path in ["/nothing", "/bytes/", "/bytes/x", "/bytes/-1"] {
        let (head, _) = get(&server, path, "");
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
    }
}

#[test]
fn a_connection_serves_several_requests_and_its_close_event_counts_them_all() {
    let server = Server::start("origin", &[]);
    let mut client = server.connect();
    let requests = "GET /bytes/1000 HTTP/1.1\r\nHost: origin.test\r\n\r\n".repeat(3);
    client.write_all(requests.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let received = read_to_end(&mut client);
    assert_eq!(received.end, End::Fin);
    let text = String::from_utf8_lossy(&received.bytes);
    assert_eq!(text.matches("HTTP/1.1 200 ").count(), 3, "{text}");
    let close = server.await_close(client.local_addr().unwrap());
    assert_eq!((&close["mode"], &close["cause"]), (&"origin".into(), &"done".into()), "{close}");
    assert_eq!(close["client_bytes"], requests.len(), "{close}");
    assert_eq!(close["upstream_bytes"], received.bytes.len(), "{close}");
}
