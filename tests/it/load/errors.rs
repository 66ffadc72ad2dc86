//! What is wrong with a server is found, and counted exactly.

use super::load;
use crate::support::fake::load_target;
use serde_json::json;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn an_honest_echo_has_no_errors() {
    let server = crate::support::server::Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "20", "--requests", "2000", "--half-close"]);
    assert_eq!((report["requests"].as_u64(), report["errors"].as_u64()), (Some(2000), Some(0)), "{report}");
    assert_eq!((&report["sent_bytes"], &report["received_bytes"]), (&json!(128_000), &json!(128_000)));
    // The server's own books agree.
    let closes = server.await_closes(20);
    let bytes: u64 = closes.iter().map(|close| close["client_bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, 128_000);
    assert!(closes.iter().all(|close| close["cause"] == "done"), "{closes:?}");
}

#[test]
fn a_byte_that_is_not_the_one_sent_is_found() {
    for message in [&["--size", "100"][..], &["--send", "PING"]] {
        let server = load_target::corrupts(50);
        let report = load(server.address, 1, &[&["-c", "3", "--requests", "200"], message].concat());
        assert_eq!(report["errors_by_cause"], json!({"wrong_byte": 1}), "{report}");
        assert_eq!(report["requests"], 199, "{report}");
    }
}

#[test]
fn bytes_of_another_connection_are_found() {
    let server = load_target::mixes_up_two_connections();
    let report = load(server.address, 1, &["-c", "2", "--requests", "2"]);
    assert_eq!(report["errors_by_cause"], json!({"wrong_byte": 2}), "{report}");
}

#[test]
fn every_reset_is_counted() {
    for connections in ["1", "7"] {
        let (server, resets) = load_target::resets_each_tenth();
        let arguments = ["-c", connections, "--mode", "churn", "--requests", "200"];
        let report = load(server.address, 1, &arguments);
        assert_eq!(resets.load(SeqCst), 20);
        assert_eq!(report["errors_by_cause"], json!({"reset": 20}), "{report}");
        assert_eq!(report["requests"], 180, "{report}");
        assert_eq!(report["connections"]["made"], 200, "{report}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_a_timeout() {
    let server = load_target::answers_nothing();
    let report = load(server.address, 1, &["-c", "2", "--requests", "4", "--timeout", "200ms"]);
    assert_eq!(report["errors_by_cause"], json!({"timed_out": 4}), "{report}");
    assert_eq!((&report["requests"], &report["service_ms"]), (&json!(0), &json!(null)));
}

#[test]
fn an_answer_cut_short_is_found() {
    let server = load_target::answers_and_ends(b"abc");
    let report = load(server.address, 1, &["-c", "1", "--requests", "3", "--send", "x", "--expect", "4"]);
    assert_eq!(report["errors_by_cause"], json!({"ended_early": 3}), "{report}");
}

#[test]
fn an_answer_that_is_too_long_is_found() {
    let server = load_target::answers_with(b"+PONG\r\n");
    let ping = ["-c", "2", "--requests", "10", "--send", r"PING\r\n", "--expect"];
    assert_eq!(load(server.address, 0, &[&ping[..], &["7"]].concat())["requests"], 10);
    let report = load(server.address, 1, &[&ping[..], &["6"]].concat());
    assert_eq!(report["errors_by_cause"], json!({"surplus_bytes": 10}), "{report}");
}
