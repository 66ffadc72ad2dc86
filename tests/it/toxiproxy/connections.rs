//! Connections of clients: how many are kept, and which gives way.

use crate::support::{
    api::{Api, read_answer},
    program::binary_in_shell,
    server::{Output, Server},
    stream::{End, read_to_end},
};
use serde_json::Value;
use std::{
    io::Write,
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

/// At once, of a server that may have 512 descriptors.
const FEW: usize = 64;

fn with_few() -> Api {
    let mut command = binary_in_shell("ulimit -n 512; exec \"$0\" \"$@\"");
    command.args(["faults", "--api", "127.0.0.1:0", "--control", "off", "--log", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Server::of(command, 0, Output::Read);
    let line = server.await_warning("API on ");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    Api { server, address }
}

/// Asks on a connection that is kept.
fn ask(client: &mut TcpStream) {
    client.write_all(b"GET /version HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_answer(client).status, 200);
}

#[test]
fn hundreds_of_connections_are_kept_side_by_side() {
    let api = Api::start(&[]);
    let mut clients: Vec<TcpStream> = (0..400).map(|_| api.connect()).collect();
    for _ in 0..2 {
        clients.iter_mut().for_each(ask);
    }
}

#[test]
fn the_connection_that_is_silent_longest_gives_way_by_fin_after_a_second() {
    let api = with_few();
    let mut clients: Vec<TcpStream> = (0..FEW).map(|_| api.connect()).collect();
    let begin = Instant::now();
    clients.iter_mut().for_each(ask);
    // It is silent no more.
    ask(&mut clients[0]);
    ask(&mut api.connect());
    assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
    let received = read_to_end(&mut clients.remove(1));
    assert_eq!((received.bytes.len(), received.end), (0, End::Fin));
    clients.iter_mut().for_each(ask);
}

#[test]
fn a_body_that_does_not_come_keeps_no_client_out() {
    let api = with_few();
    let mut waiting: Vec<TcpStream> = (0..FEW).map(|_| api.connect()).collect();
    for client in &mut waiting {
        client.write_all(b"POST /populate HTTP/1.1\r\nContent-Length: 9\r\n\r\n[").unwrap();
    }
    let begin = Instant::now();
    ask(&mut api.connect());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    // Nothing was to be lost.
    assert_eq!(api.post("/populate", Value::Array(Vec::new()))["proxies"], Value::Array(Vec::new()));
}
