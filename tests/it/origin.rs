//! The small HTTP server, seen from bare connections.

use crate::support::{
    server::Server,
    stream::{End, read_exactly, read_to_end, reset},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

fn origin() -> Server {
    Server::start("origin", &[])
}

/// Sends `request`, ends the stream, and reads the answers to their end.
fn ask(origin: &Server, request: &str) -> String {
    let mut stream = origin.connect();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(&mut stream);
    assert_eq!(answer.end, End::Fin);
    String::from_utf8(answer.bytes).unwrap()
}

/// Reads an answer's head with its empty line.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read_exactly(stream, 1));
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn the_page_shows_who_asked_and_what_was_sent() {
    let origin = origin();
    let mut stream = origin.connect();
    stream.write_all(b"GET /?q HTTP/1.1\r\nHost: a\r\nX-Sent: <b>\r\nConnection: close\r\n\r\n").unwrap();
    let page = String::from_utf8(read_to_end(&mut stream).bytes).unwrap();
    let client = stream.local_addr().unwrap().to_string();
    for text in
        ["HTTP/1.1 200 OK", "text/html; charset=utf-8", &client, "GET /?q HTTP/1.1", "x-sent: &lt;b&gt;"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn every_request_gets_its_answer_over_one_connection() {
    let origin = origin();
    let answers = ask(
        &origin,
        "HEAD /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /none HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /bytes/x HTTP/1.1\r\nHost: a\r\n\r\n\
         DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "200", "404", "400", "405"], "{answers}");
    assert_eq!(answers.matches("content-length: 5\r\n").count(), 2);
    assert_eq!(answers.matches("\r\n\r\n!\"#$%HTTP").count(), 1);
    assert!(answers.contains("allow: GET, HEAD\r\n"));
}

#[test]
fn a_half_closed_client_gets_all_it_asked_for() {
    const LENGTH: u64 = 30_000_000;
    let origin = origin();
    let mut stream = origin.connect();
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let head = read_head(&mut stream);
    assert!(head.contains("content-length: 30000000\r\n"), "{head}");
    let client = stream.local_addr().unwrap();
    assert_eq!(std::io::copy(&mut stream, &mut std::io::sink()).unwrap(), LENGTH);
    let close = origin.await_close(client);
    assert_eq!((&close["cause"], &close["first_closer"]), (&"done".into(), &"client".into()), "{close}");
    assert_eq!(close["upstream_bytes"], LENGTH + head.len() as u64);
    assert_eq!(close["client_bytes"], request.len());
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let origin = origin();
    let mut stream = origin.connect();
    stream.write_all(b"not http\r\n\r\n").unwrap();
    let mut rest = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let sent = rest.write_all(&vec![b'x'; 4 << 20]);
        rest.shutdown(Shutdown::Write).unwrap();
        sent
    });
    let answer = read_to_end(&mut stream);
    assert!(answer.bytes.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(answer.end, End::Fin);
    sender.join().unwrap().unwrap();
    let close = origin.await_close(stream.local_addr().unwrap());
    assert_eq!((&close["cause"], &close["first_closer"]), (&"done".into(), &"upstream".into()), "{close}");
}

#[test]
fn a_client_that_resets_is_told_from_one_that_ends() {
    let origin = origin();
    let mut stream = origin.connect();
    let client = stream.local_addr().unwrap();
    stream.write_all(b"GET /bytes/1000000000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 100_000]).unwrap();
    reset(stream);
    assert_eq!(origin.await_close(client)["cause"], "client_reset");
    let stream = origin.connect();
    let client = stream.local_addr().unwrap();
    drop(stream);
    assert_eq!(origin.await_close(client)["cause"], "done");
}

#[test]
fn a_client_that_takes_nothing_runs_into_the_stall_timeout() {
    let origin = Server::start("origin", &["--stall-timeout", "300ms"]);
    let mut stream = origin.connect();
    stream.write_all(b"GET /bytes/1000000000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(origin.await_close(stream.local_addr().unwrap())["cause"], "stall_timeout");
    let mut idle = origin.connect();
    idle.write_all(b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_head(&mut idle);
    assert_eq!(read_exactly(&mut idle, 3), b"!\"#");
    // Nothing waits for this one: the deadline is not for it.
    std::thread::sleep(std::time::Duration::from_millis(600));
    idle.write_all(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_head(&mut idle);
    assert_eq!(read_exactly(&mut idle, 1), b"!");
}
