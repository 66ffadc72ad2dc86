//! A server with toxiproxy's API, asked over HTTP as its clients do, byte by byte.

use crate::support::{
    program::binary,
    server::{Output, Server},
    stream,
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

pub struct Api {
    pub server: Server,
    pub address: SocketAddr,
}

/// An answer: its status, its head in lower case, and its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The text of an error, whose status is that of the answer.
    pub fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        json["error"].as_str().unwrap().to_owned()
    }
}

impl Api {
    pub fn start(flags: &[&str]) -> Api {
        let mut command = binary();
        command.args([
            "faults",
            "--api",
            "127.0.0.1:0",
            "--control",
            "off",
            "--log",
            "json",
            "--threads",
            "2",
        ]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let server = Server::of(command, 0, Output::Read);
        let line = server.await_warning("API on ");
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        Api { server, address }
    }

    pub fn connect(&self) -> TcpStream {
        stream::connect(self.address)
    }

    pub fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let body = body.to_string();
        self.raw(&format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// The answer to these bytes, on a connection of their own.
    pub fn raw(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        read_answer(&mut stream)
    }

    /// The answer to a GET, which succeeds.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The answer to a POST, which succeeds.
    pub fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call("POST", path, body);
        assert!((200..300).contains(&answer.status), "{answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Makes a proxy on a port of its own; where it listens.
    pub fn proxy(&self, name: &str, upstream: impl ToString) -> SocketAddr {
        let body = serde_json::json!({"name": name, "upstream": upstream.to_string()});
        listen(&self.post("/proxies", body))
    }
}

/// Where a proxy listens.
pub fn listen(proxy: &Value) -> SocketAddr {
    let listen = proxy["listen"].as_str().unwrap_or_else(|| panic!("no proxy: {proxy}"));
    listen.replace("[::]", "127.0.0.1").parse().unwrap()
}

/// Reads one answer, and leaves the stream to the next; an interim answer before it is skipped.
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 100 {
        return read_answer(stream);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    assert!(length.is_some() || status == 204, "an answer without a length: {head}");
    let body = stream::read_exactly(stream, length.map_or(0, |length| length.parse().unwrap()));
    Answer { status, head, body: String::from_utf8(body).unwrap() }
}
