//! A client that says who it is (`--send-proxy`).

use super::{Client, run, run_with};
use crate::support::{
    fake::{
        behind_proxy,
        http::{Then, answers},
    },
    stream::End,
};
use std::{
    io::{Read, Write},
    process::Stdio,
};

#[test]
fn a_header_with_the_clients_own_address_comes_with_the_first_bytes() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"question").unwrap();
    let file = file.path().to_str().unwrap();
    for version in ["v1", "v2"] {
        let server = behind_proxy::echoes(version);
        let target = format!("tcp://{}", server.address);
        let (via, version) = (server.address.to_string(), ["--send-proxy", version]);
        for words in [
            &[&target, "--send", "question"][..],
            &[&target, "--file", file],
            &["tcp://a.test:1", "--via", &via, "--send", "question"],
        ] {
            let talk = run(&[words, &version].concat());
            assert_eq!((talk.code, talk.answer.as_slice()), (Some(0), &b"question"[..]), "{talk:?}");
            let received = server.await_received();
            assert_eq!((received.bytes.as_slice(), received.end), (&b"question"[..], End::Fin));
        }
        run(&[&target, "--send", "question"]).assert_ended(56, "reset the connection");
    }
}

#[test]
fn a_header_does_not_wait_for_standard_input() {
    let server = behind_proxy::echoes("v2");
    let target = format!("tcp://{}", server.address);
    let mut client = Client::start(&[&target, "--send-proxy", "v2"], Stdio::piped(), Stdio::null());
    server.await_reached();
    client.give(b"question");
    drop(client.0.stdin.take());
    let mut answer = Vec::new();
    client.0.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
    assert_eq!((client.await_exit(), answer.as_slice()), (Some(0), &b"question"[..]));
    assert_eq!(server.await_received().bytes, b"");
}

#[test]
fn each_of_many_clients_sends_its_own_header() {
    let server = behind_proxy::echoes("v1");
    let target = format!("tcp://{}", server.address);
    let many = run_with(&[&target, "--send-proxy", "v1", "-c", "3", "-n", "2"], b"question");
    assert_eq!(many.code, Some(0), "{many:?}");
    assert!(many.notes.contains("6 ok, 0 failed"), "{many:?}");
    for _ in 0..6 {
        assert_eq!(server.await_received().bytes, b"question");
    }
}

#[test]
fn a_request_of_http_is_behind_the_header() {
    let web = answers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Then::Fin);
    let via = web.address.to_string();
    let talk = run(&["http://a.test/b", "--via", &via, "--send-proxy", "v1", "--body"]);
    assert_eq!((talk.code, talk.answer.as_slice()), (Some(0), &b"abc"[..]), "{talk:?}");
    let received = String::from_utf8(web.await_received().bytes).unwrap();
    let (header, request) = received.split_once("\r\n").unwrap();
    assert!(header.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{received}");
    assert!(header.ends_with(&format!(" {}", web.address.port())), "{received}");
    assert!(request.starts_with("GET /b HTTP/1.1\r\nHost: a.test\r\n"), "{received}");
}

#[test]
fn another_version_is_a_usage_error() {
    for version in ["v3", ""] {
        run(&["tcp://127.0.0.1:1", "--send-proxy", version]).assert_ended(2, "write v1 or v2");
    }
}
