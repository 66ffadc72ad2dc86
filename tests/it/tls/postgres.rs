//! Clients of PostgreSQL ask for TLS before they speak it: where it ends here, and where it passes.

use crate::support::{
    fake::{Fake, peer},
    operator::Operated,
    stream::{End, Received, exchange, read_exactly, read_to_end},
    tls::{Authority, Wire, WireEnd, WireStream, echo, hello_of},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Answers a request for TLS with this, and echoes in TLS after an S; it reports the first bytes that came.
fn database(authority: &Authority, answer: &'static [u8]) -> Fake {
    let config = Arc::new(authority.server(Wire::Tls13, "a"));
    Fake::start(move |mut stream, _| {
        let mut request = [0; 8];
        if stream.read_exact(&mut request).is_err() {
            return Received { bytes: Vec::new(), end: End::Reset };
        }
        stream.write_all(answer).unwrap();
        if answer == b"S"
            && let Ok(secured) = WireStream::accept(stream, Some(config.clone()))
        {
            echo(secured);
        }
        Received { bytes: request.to_vec(), end: End::Fin }
    })
}

/// A route for the name `a.test`, which passes or ends TLS, and one for others.
fn program(authority: &Authority, upstream: SocketAddr, ends: bool, to_tls: bool) -> Operated {
    let route = "[[listener.test.route]]\n";
    let mut text =
        format!("[listener.test]\nlisten = \"127.0.0.1:0\"\n{route}sni = \"a.test\"\nupstream = \"db\"\n");
    if ends {
        text += "tls = \"x\"\n";
    }
    text += &format!("{route}upstream = \"db\"\n[upstream.db]\nservers = [\"{upstream}\"]\n");
    if to_tls {
        text += &format!("tls = {{ ca = {:?}, name = \"a.test\" }}\n", authority.file("ca.pem"));
    }
    if ends {
        text +=
            &format!("[tls.x]\ncert = {:?}\nkey = {:?}\n", authority.file("a.pem"), authority.file("a.key"));
    }
    Operated::run(&text, 1)
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> u8 {
    stream.write_all(request).unwrap();
    read_exactly(stream, 1)[0]
}

#[test]
fn a_client_asks_and_speaks_tls_whether_it_ends_here_or_passes() {
    let authority = Authority::new();
    // Where it ends here and the upstream is plain, the server is asked nothing.
    for (ends, to_tls) in [(false, false), (true, true), (true, false)] {
        for asks_gss in [false, true] {
            let is_asked = !ends || to_tls;
            let upstream = match is_asked {
                true => database(&authority, b"S"),
                false => peer::echoes(),
            };
            let operated = program(&authority, upstream.address, ends, to_tls);
            let mut client = operated.server.connect();
            if asks_gss {
                assert_eq!(ask(&mut client, &GSS_REQUEST), b'N');
            }
            for byte in &SSL_REQUEST[..7] {
                client.write_all(&[*byte]).unwrap();
            }
            assert_eq!(ask(&mut client, &SSL_REQUEST[7..]), b'S');
            let config = Arc::new(authority.client(Wire::Tls13, None));
            let mut client = WireStream::over(client, Some(config), "a.test").unwrap();
            exchange(&mut client, b"select 1");
            client.finish();
            assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Clean), "{ends} {to_tls}");
            if is_asked {
                assert_eq!(upstream.await_received().bytes, SSL_REQUEST);
            }
            assert_eq!(operated.server.await_close(client.address())["cause"], "done");
        }
    }
}

#[test]
fn a_database_that_has_no_tls_resets_the_client() {
    let authority = Authority::new();
    for (answer, ends) in [(&b"N"[..], false), (b"E", false), (b"N", true), (b"", false), (b"", true)] {
        let upstream = match answer {
            b"" => peer::speaks_and_closes(Vec::new()),
            answer => database(&authority, answer),
        };
        let operated = program(&authority, upstream.address, ends, ends);
        let mut client = operated.server.connect();
        assert_eq!(ask(&mut client, &SSL_REQUEST), b'S');
        let address = client.local_addr().unwrap();
        let config = Arc::new(authority.client(Wire::Tls13, None));
        match WireStream::over(client, Some(config), "a.test") {
            Ok(mut client) => assert_eq!(client.read_to_end(), (Vec::new(), WireEnd::Reset)),
            Err(error) => assert!(!ends, "{error}"),
        }
        assert_eq!(operated.server.await_close(address)["cause"], "tls_upstream", "{answer:?} {ends}");
    }
}

#[test]
fn what_follows_a_request_for_tls_unencrypted_is_refused() {
    let authority = Authority::new();
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    let hello = hello_of(&authority.client(Wire::Tls13, None));
    for ends in [false, true] {
        let operated = program(&authority, upstream.address, ends, false);
        for request in [SSL_REQUEST, GSS_REQUEST] {
            // Somebody between client and server could have put it there.
            let mut client = operated.server.connect();
            client.write_all(&[&request[..], &hello].concat()).unwrap();
            assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
            let close = operated.server.await_close(client.local_addr().unwrap());
            assert_eq!(close["cause"], "tls_client", "{close}");
        }
    }
}

#[test]
fn a_client_that_asks_for_tls_and_then_speaks_none_reaches_no_server() {
    let authority = Authority::new();
    let upstream = Fake::start(|_, _| panic!("nothing is relayed"));
    for ends in [false, true] {
        let operated = program(&authority, upstream.address, ends, false);
        for sent in [&b"\0\0\0\x09\0\x03\0\0\0"[..], b""] {
            let mut client = operated.server.connect();
            assert_eq!(ask(&mut client, &SSL_REQUEST), b'S');
            client.write_all(sent).unwrap();
            if sent.is_empty() {
                client.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(read_to_end(&mut client).end, End::Reset, "{ends} {sent:?}");
            let close = operated.server.await_close(client.local_addr().unwrap());
            assert_eq!(close["cause"], "tls_client", "{close}");
        }
    }
}

#[test]
fn a_client_that_asks_for_no_tls_passes_as_it_is() {
    let authority = Authority::new();
    let upstream = peer::takes_all();
    let operated = program(&authority, upstream.address, true, false);
    // A StartupMessage, and a CancelRequest.
    for sent in [&b"\0\0\0\x09\0\x03\0\0\0"[..], &[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5, 6, 7, 8]]
    {
        let mut client = operated.server.connect();
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.await_received(), Received { bytes: sent.to_vec(), end: End::Fin });
    }
}
