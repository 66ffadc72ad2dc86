//! A load over TLS: real handshakes, counted by themselves, and ends that are told apart.

use super::{report, run};
use crate::support::{
    fake::{Fake, peer},
    server::Server,
    stream::{End, Received, read_exactly},
    tls::{Authority, Wire},
};
use std::{io::Write, net::Shutdown};

/// Sends back all that comes, over TLS.
fn echo(authority: &Authority, wire: Wire) -> Fake {
    authority.fake(wire, |mut stream, _| {
        let mut writer = stream.try_clone();
        stream.read_each(|piece| {
            let _ = writer.write_all(piece);
        });
        let _ = writer.with_tls(|tls| tls.send_close_notify());
        let _ = writer.stream.shutdown(Shutdown::Write);
        Received { bytes: Vec::new(), end: End::Fin }
    })
}

fn https(origin: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", origin.address().port())
}

#[test]
fn each_request_of_a_churn_has_a_whole_handshake_unless_sessions_are_resumed() {
    let origin = Server::start("origin", &["--tls-self-signed"]);
    let target = https(&origin, "/bytes/100");
    let churn = ["--insecure", "--mode", "churn", "-n", "60", "-c", "3"];
    let run = report(&target, 0, &churn);
    assert_eq!((run["requests"].as_u64(), run["errors"].as_u64()), (Some(60), Some(0)), "{run}");
    assert_eq!(run["status"]["200"], 60, "{run}");
    assert!(run["connections"]["made"].as_u64() >= Some(60), "{run}");
    assert_eq!(run["handshakes_resumed"], 0, "{run}");
    let (handshake, service) = (&run["handshake_ms"], &run["service_ms"]);
    assert!(handshake["p50"].as_f64() > Some(0.0), "{run}");
    assert!(
        handshake["min"].as_f64() < service["min"].as_f64(),
        "a handshake is a part of its request: {run}"
    );
    let run = report(&target, 0, &[&churn[..], &["--tls-resume"]].concat());
    assert!(run["handshakes_resumed"].as_u64() >= Some(50), "{run}");
    let told = super::run(&[&[&*target], &churn[..]].concat()).out;
    assert!(told.contains("\nhandshakes   6"), "as many as connections: {told}");
}

#[test]
fn connections_are_kept_although_the_server_sends_tickets_unasked() {
    let origin = Server::start("origin", &["--tls-self-signed"]);
    let run = report(&https(&origin, "/"), 0, &["--insecure", "-n", "100", "-c", "2"]);
    assert_eq!((run["requests"].as_u64(), run["errors"].as_u64()), (Some(100), Some(0)), "{run}");
    assert_eq!(run["connections"]["made"], 2, "{run}");
}

#[test]
fn an_echo_over_tls_is_verified_in_every_mode() {
    let authority = Authority::new();
    for wire in [Wire::Tls12, Wire::Tls13] {
        let echo = echo(&authority, wire);
        let target = format!("tls://localhost:{}", echo.address.port());
        for mode in [
            &["--mode", "pingpong", "-n", "100", "--half-close"][..],
            &["--mode", "churn", "-n", "20", "--half-close"],
            &["--mode", "bulk", "-n", "8", "--half-close"],
        ] {
            let run = report(&target, 0, &[&["--insecure", "-c", "2"], mode].concat());
            assert_eq!(run["errors"], 0, "{mode:?}: {run}");
            assert_eq!(run["requests"].as_u64(), mode[3].parse().ok(), "{mode:?}: {run}");
            assert!(run["handshake_ms"].is_object(), "{run}");
        }
    }
}

#[test]
fn a_load_of_plain_tcp_has_no_handshakes() {
    let echo = Server::echo(&[]);
    let run = report(&format!("tcp://{}", echo.address()), 0, &["-n", "10"]);
    assert!(run["handshake_ms"].is_null() && run["handshakes_resumed"] == 0, "{run}");
}

#[test]
fn a_target_that_no_tls_can_be_spoken_to_is_no_target() {
    let origin = Server::start("origin", &["--tls-self-signed"]);
    let untrusted = run(&[&https(&origin, "/"), "-n", "10"]);
    assert_eq!((untrusted.code, untrusted.out.as_str()), (Some(60), ""), "{untrusted:?}");
    assert!(untrusted.notes.contains("the certificate is self-signed"), "{untrusted:?}");
    let plain = peer::speaks_and_closes(b"220 mail.test ESMTP\r\n".to_vec());
    let none = run(&[&format!("tls://127.0.0.1:{}", plain.address.port()), "-n", "10", "--insecure"]);
    assert_eq!(none.code, Some(35), "{none:?}");
    assert!(none.notes.contains("what the peer sends is no TLS"), "{none:?}");
}

#[test]
fn an_answer_that_ends_without_close_notify_has_ended_early() {
    let authority = Authority::new();
    let serve = |says_goodbye: bool| {
        authority.fake(Wire::Tls13, move |mut stream, _| {
            read_exactly(&mut stream, 1);
            stream.write_all(b"abc").unwrap();
            if says_goodbye {
                stream.finish();
            } else {
                stream.stream.shutdown(Shutdown::Write).unwrap();
            }
            stream.read_to_end();
            Received { bytes: Vec::new(), end: End::Fin }
        })
    };
    let load = |server: &Fake, code| {
        let target = format!("tls://127.0.0.1:{}", server.address.port());
        let flags =
            ["--insecure", "-n", "1", "-c", "1", "-z", "2s", "--send", "a", "--expect", "until-close"];
        report(&target, code, &flags)
    };
    let whole = load(&serve(true), 0);
    assert_eq!((whole["requests"].as_u64(), whole["errors"].as_u64()), (Some(1), Some(0)), "{whole}");
    let cut = load(&serve(false), 1);
    assert!(cut["errors_by_cause"]["ended_early"].as_u64() >= Some(1), "{cut}");
    assert_eq!(cut["requests"], 0, "{cut}");
}
