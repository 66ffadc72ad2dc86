//! HTTP: statuses, texts, heads, and the forms of requests that clients send.

use crate::support::{
    api::{Api, read_answer},
    server::Server,
};
use serde_json::json;
use std::{collections::HashSet, io::Write};

#[test]
fn every_error_has_its_status_and_its_text() {
    let api = Api::start(&[]);
    api.proxy("a", "127.0.0.1:9");
    api.post("/proxies/a/toxics", json!({"type": "latency"}));
    let taken = api.address.to_string();
    let bind = format!("listen tcp {taken}: bind: address already in use");
    let bad = "bad request body: ";
    for (method, path, body, status, text) in [
        ("POST", "/proxies", "".to_owned(), 400, bad),
        ("POST", "/proxies", "x".into(), 400, bad),
        ("POST", "/proxies", "[]".into(), 400, bad),
        ("POST", "/proxies", r#"{"name":7,"upstream":"b"}"#.into(), 400, bad),
        ("POST", "/proxies", "{}".into(), 400, "missing required field: name"),
        ("POST", "/proxies", r#"{"upstream":"b"}"#.into(), 400, "missing required field: name"),
        ("POST", "/proxies", r#"{"name":"b"}"#.into(), 400, "missing required field: upstream"),
        (
            "POST",
            "/proxies",
            r#"{"name":"a","upstream":"b","listen":"x"}"#.into(),
            409,
            "proxy already exists",
        ),
        ("POST", "/proxies", format!(r#"{{"name":"b","upstream":"b","listen":"{taken}"}}"#), 500, &bind),
        (
            "POST",
            "/proxies",
            r#"{"name":"b","upstream":"b","listen":"nonsense"}"#.into(),
            500,
            "listen tcp: address nonsense: missing port in address",
        ),
        (
            "POST",
            "/proxies/a",
            r#"{"listen":"nonsense"}"#.into(),
            500,
            "address nonsense: missing port in address",
        ),
        ("POST", "/proxies/a", "x".into(), 400, bad),
        ("POST", "/proxies/no", "x".into(), 404, "proxy not found"),
        ("GET", "/proxies/no", "".into(), 404, "proxy not found"),
        ("DELETE", "/proxies/no", "".into(), 404, "proxy not found"),
        ("GET", "/proxies/no/toxics", "".into(), 404, "proxy not found"),
        ("POST", "/proxies/no/toxics", "x".into(), 404, "proxy not found"),
        ("GET", "/proxies/no/toxics/x", "".into(), 404, "proxy not found"),
        ("POST", "/proxies/a/toxics", "x".into(), 400, bad),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"no","stream":""}"#.into(),
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        ("POST", "/proxies/a/toxics", r#"{"name":"latency_downstream"}"#.into(), 400, "invalid toxic type"),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"latency","attributes":{"latency":1.5}}"#.into(),
            409,
            "toxic already exists",
        ),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"noop","stream":"upstream","name":"latency_downstream"}"#.into(),
            409,
            "toxic already exists",
        ),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"latency","name":"b","attributes":{"latency":1.5}}"#.into(),
            400,
            bad,
        ),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"packet_loss"}"#.into(),
            400,
            "invalid toxic type: packet loss is invisible above TCP; use hiccup",
        ),
        ("GET", "/proxies/a/toxics/no", "".into(), 404, "toxic not found"),
        ("PATCH", "/proxies/a/toxics/no", "x".into(), 404, "toxic not found"),
        ("DELETE", "/proxies/a/toxics/no", "".into(), 404, "toxic not found"),
        (
            "PATCH",
            "/proxies/a/toxics/latency_downstream",
            r#"{"attributes":{"latency":"1"}}"#.into(),
            400,
            bad,
        ),
        ("POST", "/populate", "{}".into(), 400, bad),
        (
            "POST",
            "/populate",
            r#"[{"name":"x","upstream":"b"},{"upstream":"b"}]"#.into(),
            400,
            "missing required field: name at proxy 2",
        ),
        ("POST", "/populate", r#"[{"name":"x"}]"#.into(), 400, "missing required field: upstream at proxy 1"),
    ] {
        let answer = api.call(method, path, &body);
        let error = answer.error();
        let is_it = if text == bad { error.starts_with(bad) } else { error == text };
        assert!(is_it && answer.status == status, "{method} {path} {body}: {answer:?}");
        assert!(answer.head.contains("content-type: application/json\r\n"), "{answer:?}");
        assert!(answer.body.ends_with("}\n") || path == "/populate", "{answer:?}");
        assert_eq!(answer.json().get("proxies").is_some(), path == "/populate", "{answer:?}");
    }
    let all = api.get("/proxies");
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["a"], "a refusal makes nothing");
}

#[test]
fn routed_answers_have_a_request_id_and_browsers_get_none() {
    let api = Api::start(&[]);
    let asked = |line: &str, fields: &str| api.raw(&format!("{line} HTTP/1.1\r\n{fields}\r\n"));
    let mut ids = HashSet::new();
    for _ in 0..2 {
        let answer = asked("GET /version", "");
        let expected =
            format!("{{\"version\": \"2.12.0\", \"switchboard\": \"{}\"}}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((answer.status, &*answer.body), (200, &*expected));
        let id = answer.head.split("x-toxiproxy-request-id: ").nth(1).unwrap();
        assert!(ids.insert(id.lines().next().unwrap().to_owned()));
    }
    for (fields, status) in [
        ("User-Agent: Mozilla/5.0 (X11)\r\n", 403),
        ("Origin: http://evil.example\r\n", 403),
        ("User-Agent: mozilla/5.0\r\n", 200),
        ("User-Agent: curl/8\r\nSec-Fetch-Mode: cors\r\n", 200),
        ("User-Agent: node\r\nHost: toxiproxy:8474\r\n", 200),
        ("Host: evil.example\r\n", 200),
    ] {
        let answer = asked("GET /proxies", fields);
        assert_eq!(answer.status, status, "{fields}");
        assert!(answer.head.contains("x-toxiproxy-request-id: "), "{answer:?}");
    }
    for (line, status, body) in [
        ("GET /", 404, "404 page not found\n"),
        ("GET /proxies/", 404, "404 page not found\n"),
        ("PUT /proxies", 405, ""),
        ("DELETE /proxies", 405, ""),
        ("GET /populate", 405, ""),
        ("GET /reset", 405, ""),
        ("POST /version", 405, ""),
    ] {
        let answer = asked(line, "User-Agent: Mozilla/5.0\r\n");
        assert_eq!((answer.status, &*answer.body), (status, body), "{line}");
        assert!(!answer.head.contains("x-toxiproxy-request-id"), "{answer:?}");
    }
}

#[test]
fn every_form_of_a_request_is_taken() {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let upstream = echo.address();
    let body = format!(r#"{{"name":"n","upstream":"{upstream}"}} what follows is ignored"#);
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let expects = format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let as_form = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for form in [chunked, expects, as_form] {
        assert_eq!(api.raw(&format!("POST /proxies HTTP/1.1\r\n{form}")).status, 201, "{form}");
        let delete = "DELETE /proxies/n HTTP/1.1\r\nContent-Type: application/json\r\n\r\n";
        assert_eq!(api.raw(delete).status, 204);
    }
    // One connection, also after answers without a body.
    let mut stream = api.connect();
    for (request, status) in [
        ("POST /reset HTTP/1.1\r\n\r\n", 204),
        ("POST /reset HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 204),
        ("POST /reset HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 204),
        ("POST /proxies HTTP/1.1\r\n\r\n", 400),
        ("GET /proxies HTTP/1.1\r\n\r\n", 200),
    ] {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).status, status, "{request}");
    }
    let large = "x".repeat((1 << 20) + 1);
    let answer = api.call("POST", "/populate", large);
    assert_eq!((answer.status, &*answer.error()), (413, "bad request body: it has more than 1 MiB"));
}

#[test]
fn a_name_may_have_any_characters() {
    let api = Api::start(&[]);
    for (name, path) in [
        ("redis:6379", "/proxies/redis:6379"),
        ("a@b.c", "/proxies/a%40b.c"),
        ("spaced é\n%", "/proxies/spaced%20%C3%A9%0A%25"),
        ("a/b", "/proxies/a%2Fb"),
    ] {
        api.proxy(name, "127.0.0.1:9");
        assert_eq!(api.get(path)["name"], name);
        api.post(&format!("{path}/toxics"), json!({"type": "noop", "name": name}));
        assert_eq!(api.get(&path.replace("/proxies/", &format!("{path}/toxics/")))["name"], name);
        assert_eq!(api.call("DELETE", path, "").status, 204);
    }
    assert!(api.server.lines.all().iter().all(|line| !line.is_empty()));
    let answer = api.call("GET", "/proxies/a%2Fb", "");
    assert_eq!((answer.status, &*answer.error()), (404, "proxy not found"));
}

#[test]
fn a_name_and_an_upstream_have_at_most_255_bytes() {
    let api = Api::start(&[]);
    let (longest, longer) = ("n".repeat(255), "é".repeat(128));
    api.proxy(&longest, &longest);
    let path = format!("/proxies/{longest}");
    let of = |name: &str, upstream: &str| json!({"name": name, "upstream": upstream});
    for (path, body, what) in [
        ("/proxies", of(&longer, "b:1"), "name"),
        ("/proxies", of("b", &longer), "upstream"),
        ("/populate", json!([of("b", "b:1"), of("c", &longer)]), "upstream"),
        (&path, json!({"upstream": longer}), "upstream"),
    ] {
        let answer = api.call("POST", path, body);
        let why = format!("bad request body: {what} has 256 bytes, and at most 255 are possible");
        assert_eq!((answer.status, answer.error()), (400, why), "{path}");
    }
    assert_eq!(api.get("/proxies").as_object().unwrap().keys().collect::<Vec<_>>(), [&longest]);
}
