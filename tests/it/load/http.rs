//! Targets that answer HTTP: where an answer ends, what its status is, and when the connection does.

use super::{report, run};
use crate::support::{fake::http::answers_in_turn, server::Server};
use serde_json::json;

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn a_connection_is_used_again_and_again() {
    let server = answers_in_turn(&[LENGTH, CHUNKED, EMPTY], usize::MAX);
    let target = format!("http://{}/page?q", server.address);
    let report = report(&target, 0, &["-c", "1", "--requests", "9"]);
    assert_eq!(report["status"], json!({"200": 6, "204": 3}), "{report}");
    assert_eq!((&report["requests"], &report["connections"]["made"]), (&json!(9), &json!(1)), "{report}");
    let requests = String::from_utf8(server.await_received().bytes).unwrap();
    let first = requests.split("\r\n\r\n").next().unwrap();
    assert!(first.starts_with("GET /page?q HTTP/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("\r\nHost: {}", server.address)) && !first.contains("close"), "{first}");
    assert_eq!(requests.matches("GET ").count(), 9);
}

#[test]
fn our_own_origin_is_loaded_without_an_error() {
    let origin = Server::start("origin", &[]);
    let target = format!("http://{}/bytes/100000", origin.addresses[0]);
    for arguments in [&["--requests", "200"][..], &["--requests", "50", "--mode", "churn"]] {
        let report = report(&target, 0, &[&["-c", "5"], arguments].concat());
        assert_eq!(report["errors"], 0, "{report}");
        assert!(report["received_bytes"].as_u64().unwrap() > 100_000 * 50, "{report}");
    }
}

#[test]
fn a_server_that_ends_the_connection_by_its_rights_makes_no_error() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na";
    const TO_END: &str = "HTTP/1.0 200 OK\r\n\r\nall of it";
    for (replies, count) in [(&[LENGTH, LAST][..], 2), (&[TO_END], 1)] {
        let server = answers_in_turn(replies, count);
        let report = report(&format!("http://{}", server.address), 0, &["-c", "1", "--requests", "10"]);
        assert_eq!(report["status"], json!({"200": 10}), "{report}");
        assert_eq!(report["connections"]["made"], 10 / count, "{report}");
    }
}

#[test]
fn what_a_server_refuses_is_an_error_by_its_status() {
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let server = answers_in_turn(&[LENGTH, MISSING, BUSY, LENGTH], usize::MAX);
    let report = report(&format!("http://{}/", server.address), 1, &["-c", "1", "--requests", "8"]);
    assert_eq!(report["status"], json!({"200": 4, "404": 2, "503": 2}), "{report}");
    assert_eq!(report["errors_by_cause"], json!({"status_404": 2, "status_503": 2}), "{report}");
    assert_eq!(report["errors"], 4);
}

#[test]
fn answers_that_are_wrong_are_found() {
    for (reply, count, cause) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 1, "ended_early"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", 1, "surplus_bytes"),
        ("220 ready\r\n", 1, "not_http"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 1, "not_http"),
        ("", 1, "ended_early"),
    ] {
        let replies: &'static [&'static str] = vec![reply].leak();
        let server = answers_in_turn(replies, count);
        let report = report(&format!("http://{}/", server.address), 1, &["-c", "1", "--requests", "2"]);
        assert_eq!(report["errors_by_cause"], json!({cause: 2}), "{reply:?}: {report}");
    }
}

#[test]
fn a_server_that_speaks_no_http_is_said_how_to_be_loaded() {
    let echo = Server::start("echo", &[]);
    let of = |target: &str| run(&[target, "-c", "1", "--requests", "2"]);
    // An address alone is one of HTTP, and the request comes back.
    let run = of(&echo.address().to_string());
    let target = format!("tcp://{}", echo.address());
    assert!(run.notes.contains(&format!("not HTTP; {target} takes any bytes")), "{run:?}");
    assert_eq!(of(&target).code, Some(0));
}

#[test]
fn what_a_server_says_reaches_no_terminal() {
    const ESCAPES: &str =
        "HTTP/1.1 200 \u{1b}[2J\r\nX: \u{1b}]0;title\u{7}\r\nContent-Length: 4\r\n\r\n\u{1b}[2J";
    let server = answers_in_turn(&[ESCAPES], usize::MAX);
    let run = run(&[&format!("http://{}/", server.address), "-c", "1", "--requests", "3"]);
    assert!(!run.out.contains('\u{1b}') && !run.notes.contains('\u{1b}'), "{run:?}");
}

#[test]
fn a_request_is_what_the_user_says() {
    let origin = Server::start("origin", &[]);
    let proxy = Server::proxy(origin.address(), &["--dump", "text"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "a=1&b=2").unwrap();
    let target = format!("http://{}/", proxy.address());
    let body = format!("@{}", file.display());
    // What the origin thinks of it is not asked here.
    run(&[&target, "-n", "1", "-c", "1", "-X", "PUT", "-H", "Host: other", "-H", "X-Mark: yes", "-d", &body]);
    let request = proxy.await_event("data", |event| event["from"] == "client");
    let text = request["text"].as_str().unwrap();
    for part in [
        "PUT / HTTP/1.1\\r\\n",
        "Host: other\\r",
        "X-Mark: yes\\r",
        "Content-Length: 7\\r",
        "\\r\\n\\r\\na=1&b=2",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("Host:").count(), 1, "{text}");
}
