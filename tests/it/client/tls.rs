//! A client of a server that speaks TLS.

use super::{Client, Run, run, run_with};
use crate::support::{
    fake::{Checkpoint, Fake, peer},
    pattern::pattern,
    server::Server,
    stream::{End, Received, read_exactly, read_to_end, reset},
    tls::{Authority, Wire, WireStream, certificate},
};
use rcgen::date_time_ymd;
use rustls::Connection;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

const VERSIONS: [Wire; 2] = [Wire::Tls12, Wire::Tls13];
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

/// Runs a client that trusts the authority, and finds the names of certificates at `address`. The target has `HOST` for
/// `a.test` and its port.
fn trusting(authority: &Authority, address: SocketAddr, target: &str, more: &[&str]) -> Run {
    let port = address.port();
    let target = target.replace("HOST", &format!("a.test:{port}"));
    let resolve = format!("a.test:{port}:127.0.0.1");
    run(&[&[target.as_str(), "--cacert", &authority.file("ca.pem"), "--resolve", &resolve], more].concat())
}

/// Reads a request's head; what comes after it is left.
fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read_exactly(stream, 1));
    }
    head
}

/// Answers a request, ends its stream as it should, and reads to the client's end. Reports the request's head.
fn answers(mut stream: WireStream, _: &Checkpoint) -> Received {
    let bytes = read_head(&mut stream);
    stream.write_all(ANSWER.as_bytes()).unwrap();
    stream.finish();
    stream.read_to_end();
    Received { bytes, end: End::Fin }
}

/// Sends back all that comes, and ends when the client does.
fn echoes(mut stream: WireStream, _: &Checkpoint) -> Received {
    let mut writer = stream.try_clone();
    stream.read_each(|piece| writer.write_all(piece).unwrap());
    writer.finish();
    Received { bytes: Vec::new(), end: End::Fin }
}

/// Sends this after the client's words, and then FIN without close_notify.
fn is_cut_after(authority: &Authority, answer: String, words: usize) -> Fake {
    authority.fake(Wire::Tls13, move |mut stream, _| {
        let bytes = read_exactly(&mut stream, words);
        stream.write_all(answer.as_bytes()).unwrap();
        stream.stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end();
        Received { bytes, end: End::Fin }
    })
}

#[test]
fn an_origin_with_a_certificate_of_its_own_is_asked_with_a_warning() {
    let origin = Server::start("origin", &["--tls-self-signed"]);
    let target = format!("https://localhost:{}/bytes/100000", origin.address().port());
    let page = run(&["--insecure", &target, "--body"]);
    assert_eq!((page.code, page.answer.len()), (Some(0), 100_000), "{}", page.notes);
    assert!(page.notes.starts_with("switchboard: warning: --insecure: "), "{page:?}");
    assert_eq!(page.notes.lines().count(), 1, "{page:?}");
    let many = run(&["--insecure", &target, "--parallel", "3", "--repeat", "4"]);
    assert!(many.code == Some(0) && many.notes.contains("12 "), "{many:?}");
    run(&[&target]).assert_ended(60, "the certificate is self-signed; --cacert FILE");
}

#[test]
fn the_authority_that_is_named_is_trusted_and_no_other() {
    let authority = Authority::new();
    for wire in VERSIONS {
        let web = authority.fake(wire, answers);
        let page = trusting(&authority, web.address, "https://HOST/x", &[]);
        page.assert_ended(0, "");
        assert_eq!(page.answer, ANSWER.as_bytes());
        let head = String::from_utf8(web.await_received().bytes).unwrap();
        let host = format!("GET /x HTTP/1.1\r\nHost: a.test:{}\r\n", web.address.port());
        assert!(head.starts_with(&host), "{head}");
        let other = Authority::new();
        trusting(&other, web.address, "https://HOST/", &[]).assert_ended(60, "the certificate is ");
    }
}

#[test]
fn a_client_that_is_asked_tells_what_tls_came_to_and_who_vouches_for_the_server() {
    let authority = Authority::new();
    let mut params = certificate(&["a.test", "b.test"]);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 2), date_time_ymd(2036, 3, 4));
    authority.sign("long", params);
    for (wire, spoken) in [
        (Wire::Tls12, "TLSv1.2, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "),
        (Wire::Tls13, "TLSv1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, "),
    ] {
        let mut config = authority.server(wire, "long");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let web = Fake::start(move |stream, checkpoint| {
            answers(WireStream::accept(stream, Some(config.clone())).unwrap(), checkpoint)
        });
        let page = trusting(&authority, web.address, "https://HOST/", &["--verbose"]);
        assert_eq!((page.code, page.answer.as_slice()), (Some(0), ANSWER.as_bytes()), "{page:?}");
        let lines: Vec<&str> = page.notes.lines().collect();
        let [connected, tls, certificate, verified] = lines[..] else { panic!("{page:?}") };
        let to = format!("* connected to {} from 127.0.0.1:", web.address);
        assert!(connected.starts_with(&to) && connected.contains(", connected in "), "{connected}");
        assert!(tls.starts_with(&format!("* TLS: {spoken}")) && tls.ends_with(", ALPN http/1.1"), "{tls}");
        let named = "* certificate: of a.test, for a.test, b.test; from 2026-01-02 to 2036-03-04; signed by authority";
        assert_eq!(certificate, named);
        assert_eq!(verified, format!("* verified by {}, as a.test", authority.file("ca.pem")));
        let target = format!("tls://{}", web.address);
        let blind = run_with(&[&target, "--insecure", "-v"], b"GET / HTTP/1.1\r\n\r\n");
        let lines: Vec<&str> = blind.notes.lines().collect();
        assert!(lines[2].ends_with(", no ALPN") && lines[4] == "* not verified: --insecure", "{blind:?}");
    }
    // Before a handshake that fails, and of plain TCP, there is the connection to tell of.
    let plain = peer::speaks_and_closes(b"220 ready\r\n".to_vec());
    let failed = trusting(&authority, plain.address, "https://HOST/", &["-v"]);
    assert_eq!((failed.code, failed.notes.lines().count()), (Some(35), 2), "{failed:?}");
    let answered = run(&[&format!("tcp://{}", plain.address), "-v"]);
    assert_eq!((answered.code, answered.notes.lines().count()), (Some(0), 1), "{answered:?}");
    assert!(
        answered.notes.starts_with("* connected to ") && !answered.notes.contains("resolved"),
        "{answered:?}"
    );
    let many = run(&["tcp://127.0.0.1:1", "-v", "--repeat", "2"]);
    assert!(many.code == Some(2) && many.notes.contains("'--verbose' tells of one connection"), "{many:?}");
}

#[test]
fn a_certificate_that_cannot_be_verified_is_told_with_the_reason() {
    let authority = Authority::new();
    let mut expired = certificate(&["a.test"]);
    expired.not_after = date_time_ymd(2026, 1, 2);
    authority.sign("expired", expired);
    authority.sign("wrong", certificate(&["b.test"]));
    authority.self_sign("own", certificate(&["a.test"]));
    for (pair, reason) in [
        ("expired", "the certificate expired on 2026-01-02"),
        ("wrong", "wrong name: the certificate has b.test, not a.test"),
        ("own", "the certificate is self-signed"),
    ] {
        let config = Arc::new(authority.server(Wire::Tls13, pair));
        let server = Fake::start(move |stream, checkpoint| {
            let mut raw = stream.try_clone().unwrap();
            match WireStream::accept(stream, Some(config.clone())) {
                Ok(stream) => answers(stream, checkpoint),
                Err(error) => Received { bytes: error.to_string().into(), end: read_to_end(&mut raw).end },
            }
        });
        for target in ["https://HOST/", "tls://HOST"] {
            let refused = trusting(&authority, server.address, target, &[]);
            refused.assert_ended(60, reason);
            assert!(refused.answer.is_empty());
            let heard = server.await_received();
            let told = String::from_utf8(heard.bytes).unwrap();
            assert!(told.contains("alert") && heard.end == End::Fin, "{told}, {:?}", heard.end);
        }
        let target = format!("https://a.test:{}/", server.address.port());
        let resolve = format!("a.test:{}:127.0.0.1", server.address.port());
        let blind = run(&[&target, "--insecure", "--resolve", &resolve]);
        assert_eq!((blind.code, blind.answer.as_slice()), (Some(0), ANSWER.as_bytes()), "{blind:?}");
    }
    // The certificate itself does for its authority.
    let own = authority.file("own.pem");
    let config = Arc::new(authority.server(Wire::Tls13, "own"));
    let server = Fake::start(move |stream, checkpoint| {
        answers(WireStream::accept(stream, Some(config.clone())).unwrap(), checkpoint)
    });
    let via = server.address.to_string();
    let page = run(&["https://a.test/", "--via", &via, "--cacert", &own]);
    assert_eq!((page.code, page.answer.as_slice()), (Some(0), ANSWER.as_bytes()), "{page:?}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_told_apart_from_one_that_is_not_there() {
    let authority = Authority::new();
    // TLS 1.0: the alert protocol_version (RFC 5246 §7.2).
    let old = b"\x15\x03\x01\x00\x02\x02\x46".to_vec();
    for (words, reason) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "what the peer sends is no TLS"),
        (old, "it speaks another version of TLS"),
        (Vec::new(), "the stream ended in the handshake"),
    ] {
        let server = peer::speaks_and_closes(words);
        for target in ["https://HOST/", "tls://HOST"] {
            trusting(&authority, server.address, target, &[]).assert_ended(35, reason);
        }
    }
    let resets = Fake::start(|stream, _| {
        reset(stream);
        Received { bytes: Vec::new(), end: End::Reset }
    });
    trusting(&authority, resets.address, "https://HOST/", &[]).assert_ended(35, "no TLS with a.test:");
    let silent = peer::never_replies();
    let late = trusting(&authority, silent.address, "https://HOST/", &["--connect-timeout", "300ms"]);
    late.assert_ended(28, "did not finish the TLS handshake within 300 ms");
    trusting(&authority, ([127, 0, 0, 1], 1).into(), "https://HOST/", &[]).assert_ended(7, "cannot connect");
}

#[test]
fn the_server_is_asked_for_the_targets_name_and_for_http_also_through_a_proxy() {
    let authority = Authority::new();
    let mut config = authority.server(Wire::Tls13, "a");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let server = Fake::start(move |stream, checkpoint| {
        let mut stream = WireStream::accept(stream, Some(config.clone())).unwrap();
        let mut asked = String::new();
        let note = |tls: &mut Connection| {
            let Connection::Server(tls) = tls else { unreachable!("it is a server") };
            asked = format!("{:?} {:?}", tls.server_name(), tls.alpn_protocol().map(String::from_utf8_lossy));
        };
        stream.with_tls(note).unwrap();
        answers(stream, checkpoint);
        Received { bytes: asked.into(), end: End::Fin }
    });
    let proxy = Server::proxy(server.address, &[]);
    for via in [server.address.to_string(), proxy.addresses[0].clone()] {
        let page = run(&["https://a.test/", "--via", &via, "--cacert", &authority.file("ca.pem")]);
        page.assert_ended(0, "");
        let asked = String::from_utf8(server.await_received().bytes).unwrap();
        assert_eq!(asked, r#"Some("a.test") Some("http/1.1")"#);
        let wrong = run(&["https://b.test/", "--via", &via, "--cacert", &authority.file("ca.pem")]);
        wrong.assert_ended(60, "wrong name: the certificate has a.test, not b.test");
    }
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let authority = Authority::new();
    let config = Arc::new(authority.server(Wire::Tls13, "a"));
    let server = Fake::start(move |mut stream, checkpoint| {
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            header.extend(read_exactly(&mut stream, 1));
        }
        answers(WireStream::accept(stream, Some(config.clone())).unwrap(), checkpoint);
        Received { bytes: header, end: End::Fin }
    });
    let page = trusting(&authority, server.address, "https://HOST/", &["--send-proxy", "v1"]);
    page.assert_ended(0, "");
    assert_eq!(page.answer, ANSWER.as_bytes());
    assert!(server.await_received().bytes.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
}

#[test]
fn what_is_sent_comes_back_over_tls() {
    let authority = Authority::new();
    let sent = pattern(7, 3_000_000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&sent).unwrap();
    for wire in VERSIONS {
        let echo = authority.fake(wire, echoes);
        let talk =
            trusting(&authority, echo.address, "tls://HOST", &["--file", file.path().to_str().unwrap()]);
        talk.assert_ended(0, "");
        assert!(talk.answer == sent, "{} bytes came back", talk.answer.len());
        assert_eq!(trusting(&authority, echo.address, "tls://HOST", &["--send", ""]).answer, b"");
    }
    let echo = authority.fake(Wire::Tls13, echoes);
    let ca = authority.file("ca.pem");
    let talk = run_with(&["tls://a.test", "--via", &echo.address.to_string(), "--cacert", &ca], &sent);
    assert_eq!((talk.code, talk.notes.as_str()), (Some(0), ""));
    assert!(talk.answer == sent, "{} bytes came back", talk.answer.len());
}

#[test]
fn the_reply_to_a_client_that_has_said_close_notify_is_waited_for() {
    let authority = Authority::new();
    for wire in VERSIONS {
        let late = authority.fake(wire, |mut stream, _| {
            let received = stream.receive();
            std::thread::sleep(Duration::from_millis(200));
            stream.write_all(b"late").unwrap();
            stream.finish();
            received
        });
        let talk = trusting(&authority, late.address, "tls://HOST", &["--send", "question"]);
        talk.assert_ended(0, "");
        assert_eq!(talk.answer, b"late");
        let heard = late.await_received();
        assert_eq!((heard.bytes.as_slice(), heard.end), (&b"question"[..], End::Fin), "{wire:?}");
    }
}

#[test]
fn close_notify_of_the_server_is_the_end_although_standard_input_is_open() {
    let authority = Authority::new();
    let server = authority.fake(Wire::Tls13, |mut stream, _| {
        stream.write_all(b"noon\n").unwrap();
        stream.finish();
        stream.receive()
    });
    let (via, ca) = (server.address.to_string(), authority.file("ca.pem"));
    let arguments = ["tls://a.test", "--via", &via, "--cacert", &ca];
    let mut client = Client::start(&arguments, Stdio::piped(), Stdio::null());
    let mut answer = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!((client.await_exit(), answer.as_str()), (Some(0), "noon\n"));
    assert_eq!(server.await_received().end, End::Fin);
}

#[test]
fn an_end_without_close_notify_is_no_end_unless_the_answer_was_whole() {
    let authority = Authority::new();
    let cut = is_cut_after(&authority, "part".to_owned(), 1);
    let talk = trusting(&authority, cut.address, "tls://HOST", &["--send", "a"]);
    talk.assert_ended(18, "ended the connection without close_notify, after 4 bytes");
    assert_eq!(talk.answer, b"part");
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, code) in [
        (ANSWER.to_owned(), 0),
        (format!("{ok}Content-Length: 4\r\n\r\nabc"), 18),
        (format!("{ok}\r\nabc"), 18),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), 18),
        (String::new(), 18),
    ] {
        let cut = is_cut_after(&authority, answer.clone(), 40);
        let page = trusting(&authority, cut.address, "https://HOST/", &[]);
        page.assert_ended(code, if code == 0 { "" } else { "without close_notify" });
        assert_eq!(String::from_utf8_lossy(&page.answer), answer);
    }
    // The control: the same stream with close_notify is whole.
    let whole = authority.fake(Wire::Tls13, |mut stream, _| {
        let bytes = read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap();
        stream.finish();
        stream.read_to_end();
        Received { bytes, end: End::Fin }
    });
    trusting(&authority, whole.address, "https://HOST/", &[]).assert_ended(0, "");
}

#[test]
fn a_reset_after_the_handshake_is_told_after_what_came_before_it() {
    let authority = Authority::new();
    let server = authority.fake(Wire::Tls13, |mut stream, _| {
        let bytes = read_exactly(&mut stream, 1);
        stream.write_all(b"part").unwrap();
        crate::support::stream::await_acknowledged(&stream.stream);
        reset(stream.stream);
        Received { bytes, end: End::Reset }
    });
    let talk = trusting(&authority, server.address, "tls://HOST", &["--send", "a"]);
    talk.assert_ended(56, "reset the connection after 4 bytes");
    assert_eq!(talk.answer, b"part");
}

#[test]
fn a_record_that_was_changed_on_the_way_breaks_the_connection() {
    let authority = Authority::new();
    let server = authority.fake(Wire::Tls13, |mut stream, _| {
        let bytes = read_exactly(&mut stream, 1);
        // A record of application data that is not encrypted.
        stream.stream.write_all(b"\x17\x03\x03\x00\x14aaaaaaaaaaaaaaaaaaaa").unwrap();
        read_to_end(&mut stream.stream);
        Received { bytes, end: End::Fin }
    });
    // Its own stream goes on.
    let (via, ca) = (server.address.to_string(), authority.file("ca.pem"));
    let arguments = ["tls://a.test", "--via", &via, "--cacert", &ca];
    let mut client = Client::start(&arguments, Stdio::null(), Stdio::piped());
    client.give(b"a");
    assert_eq!(client.await_exit(), Some(56));
    let mut notes = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert!(notes.contains("broke off TLS after 0 bytes: a record cannot be decrypted"), "{notes}");
}

#[test]
fn a_client_that_has_its_answer_ends_its_stream_by_close_notify() {
    let authority = Authority::new();
    for wire in VERSIONS {
        let stays = authority.fake(wire, |mut stream, _| {
            read_head(&mut stream);
            stream.write_all(ANSWER.as_bytes()).unwrap();
            let end = match stream.read(&mut [0; 8]) {
                Ok(0) => "close_notify".to_owned(),
                other => format!(
                    "{:?}",
                    other.map_err(|error: std::io::Error| ErrorKind::to_string(&error.kind()))
                ),
            };
            Received { bytes: end.into(), end: End::Fin }
        });
        trusting(&authority, stays.address, "https://HOST/", &[]).assert_ended(0, "");
        assert_eq!(String::from_utf8(stays.await_received().bytes).unwrap(), "close_notify", "{wire:?}");
    }
}
