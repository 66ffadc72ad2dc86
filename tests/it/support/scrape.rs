//! Asks a server's admin address over HTTP.

use crate::support::{
    openmetrics::{self, Exposition},
    server::Server,
    stream::{self, End, read_to_end},
    wait::{LIMIT, within},
};
use std::{io::Write, net::SocketAddr};

/// What a scraper of today sends.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

/// An answer: its status, its head in lower case, and its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Where the server answers, as it said at start.
pub fn address(server: &Server) -> SocketAddr {
    within(LIMIT, "the line about metrics", || {
        server.errors.all().iter().find_map(|line| line.strip_prefix("metrics on ")?.parse().ok())
    })
}

/// Sends a request's first line and fields, and reads the answer to its end.
pub fn ask(address: SocketAddr, line: &str, fields: &str) -> Answer {
    let mut stream = stream::connect(address);
    stream.write_all(format!("{line}\r\n{fields}\r\n").as_bytes()).unwrap();
    let received = read_to_end(&mut stream);
    assert_eq!(received.end, End::Fin, "{line}");
    let text = String::from_utf8(received.bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The answer to a GET.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1"), &format!("Host: {address}\r\nAccept: {ACCEPT}\r\n"))
}

/// The metrics as they are now.
pub fn scrape(address: SocketAddr) -> Exposition {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(answer.head.contains(kind), "{}", answer.head);
    openmetrics::parse(&answer.body)
}
