//! What each client library sends, as it sends it, and what it needs of the answer.

use crate::support::api::{Api, read_answer};
use serde_json::{Value, json};
use std::{fmt::Write as _, io::Write as _};

/// A request of a client: method, path, head fields, body, and the status that it takes for success.
type Sent = (&'static str, &'static str, &'static str, &'static str, u16);

const JSON: &str = "Content-Type: application/json\r\n";

/// Sends the requests over one connection, as clients that keep it do.
fn conversation(sent: &[Sent]) -> (Api, Vec<Value>) {
    let api = Api::start(&[]);
    let mut stream = api.connect();
    let mut answers = Vec::new();
    for (method, path, fields, body, status) in sent {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: toxiproxy:8474\r\n{fields}");
        if fields.contains("chunked") {
            write!(request, "\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).unwrap();
        } else if body.is_empty() {
            request += "\r\n";
        } else {
            write!(request, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!(answer.status, *status, "{request}: {answer:?}");
        let is_json = answer.head.contains("content-type: application/json\r\n");
        assert!(is_json || *status == 204, "{request}: {answer:?}");
        answers.push(if *status == 204 { Value::Null } else { answer.json() });
    }
    (api, answers)
}

#[test]
fn go() {
    // It posts the whole proxy back, with the toxics as it last read them.
    let (_api, answers) = conversation(&[
        ("GET", "/version", "User-Agent: toxiproxy-cli/dev (go)\r\n", "", 200),
        (
            "POST",
            "/proxies",
            JSON,
            r#"{"name":"p","listen":"localhost:0","upstream":"localhost:9","enabled":true,"toxics":null}"#,
            201,
        ),
        (
            "POST",
            "/proxies/p/toxics",
            JSON,
            r#"{"name":"","type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":100}}"#,
            200,
        ),
        ("PATCH", "/proxies/p/toxics/latency_downstream", JSON, r#"{"attributes":{"jitter":10}}"#, 200),
        ("DELETE", "/proxies/p/toxics/latency_downstream", "", "", 204),
        (
            "POST",
            "/proxies/p",
            JSON,
            r#"{"name":"p","listen":"localhost:0","upstream":"localhost:9","enabled":false,"toxics":[{"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":10,"latency":100}}]}"#,
            200,
        ),
        (
            "POST",
            "/populate",
            JSON,
            r#"[{"name":"q","listen":"localhost:0","upstream":"localhost:9","enabled":true}]"#,
            201,
        ),
        ("POST", "/reset", JSON, "", 204),
        ("DELETE", "/proxies/q", "", "", 204),
        ("GET", "/proxies/q", "", "", 404),
    ]);
    assert_eq!(answers[5]["toxics"], json!([]));
    assert_eq!(answers[9], json!({"error": "proxy not found", "status": 404}));
}

#[test]
fn ruby() {
    let ruby = "Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: Ruby\r\n";
    let (_api, answers) = conversation(&[
        ("GET", "/version", ruby, "", 200),
        (
            "POST",
            "/proxies",
            ruby,
            r#"{"upstream":"localhost:9","name":"p","listen":"localhost:0","enabled":null}"#,
            201,
        ),
        (
            "POST",
            "/proxies/p/toxics",
            ruby,
            r#"{"name":"t","type":"latency","stream":"downstream","toxicity":1.0,"attributes":{"latency":1000}}"#,
            200,
        ),
        ("PATCH", "/proxies/p", ruby, r#"{"enabled":false}"#, 200),
        ("PATCH", "/proxies/p", ruby, r#"{"enabled":true}"#, 200),
        ("DELETE", "/proxies/p/toxics/t", ruby, "", 204),
        ("POST", "/populate", ruby, r#"[{"name":"p","listen":"localhost:0","upstream":"localhost:9"}]"#, 201),
        ("POST", "/reset", ruby, "", 204),
        ("GET", "/proxies", ruby, "", 200),
    ]);
    // It sends PATCH from 2.6.0 on.
    assert_eq!(answers[0]["version"], "2.12.0");
    assert_eq!(answers[1]["enabled"], true);
}

#[test]
fn node_and_testcontainers() {
    let node = "connection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\ncontent-type: application/json\r\n";
    let (api, answers) = conversation(&[
        ("GET", "/version", node, "", 200),
        (
            "POST",
            "/proxies",
            node,
            r#"{"name":"redis:6379","listen":"0.0.0.0:0","upstream":"localhost:9","enabled":true}"#,
            201,
        ),
        (
            "POST",
            "/proxies/redis:6379/toxics",
            node,
            r#"{"name":"CUT_CONNECTION_UPSTREAM","type":"bandwidth","stream":"upstream","toxicity":1,"attributes":{"rate":0}}"#,
            200,
        ),
        ("GET", "/proxies/redis:6379/toxics/CUT_CONNECTION_UPSTREAM", node, "", 200),
        ("DELETE", "/proxies/redis:6379/toxics/CUT_CONNECTION_UPSTREAM", node, "", 204),
    ]);
    assert_eq!(answers[2]["attributes"].to_string(), r#"{"rate":0}"#);
    // It sends the wildcard with every toggle.
    let port = answers[1]["listen"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    for enabled in [false, true] {
        let body =
            json!({"enabled": enabled, "listen": format!("0.0.0.0:{port}"), "upstream": "localhost:9"});
        let toggled = api.post("/proxies/redis:6379", body);
        assert_eq!((&toggled["enabled"], &toggled["listen"]), (&json!(enabled), &answers[1]["listen"]));
    }
}

#[test]
fn java() {
    let java = "Content-Type: application/x-www-form-urlencoded\r\nAccept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\nUser-Agent: Java/17\r\n";
    let (_api, answers) = conversation(&[
        ("POST", "/proxies", java, r#"{"name":"p","listen":"localhost:0","upstream":"localhost:9"}"#, 201),
        (
            "POST",
            "/proxies/p/toxics",
            java,
            r#"{"name":"t","stream":"downstream","type":"latency","attributes":{"latency":100}}"#,
            200,
        ),
        ("POST", "/proxies/p/toxics/t", java, r#"{"toxicity":0.5}"#, 200),
        ("POST", "/proxies/p/toxics/t", java, r#"{"attributes":{"jitter":15}}"#, 200),
        ("GET", "/proxies/p/toxics", java, "", 200),
    ]);
    // It reads every attribute unasked.
    assert_eq!(answers[1]["attributes"], json!({"latency": 100, "jitter": 0}));
    let toxic = json!({"name": "t", "type": "latency", "stream": "downstream", "toxicity": 0.5,
                       "attributes": {"latency": 100, "jitter": 15}});
    assert_eq!(answers[4], json!([toxic]));
}

#[test]
fn dot_net() {
    let net = "Content-Type: application/json; charset=utf-8\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n";
    let (_api, answers) = conversation(&[
        (
            "POST",
            "/proxies",
            net,
            r#"{"Name":"p","Listen":"127.0.0.1:0","Upstream":"localhost:9","Enabled":true}"#,
            201,
        ),
        (
            "POST",
            "/proxies/p/toxics",
            net,
            r#"{"Attributes":{"Latency":1000,"Jitter":0},"Name":"t","Type":"latency","Stream":"UpStream","Toxicity":1.0}"#,
            200,
        ),
        (
            "POST",
            "/proxies/p/toxics/t",
            net,
            r#"{"Attributes":{"Latency":10,"Jitter":5},"Name":null,"Stream":null,"Toxicity":null}"#,
            200,
        ),
        (
            "POST",
            "/proxies/p",
            net,
            r#"{"Name":"p","Listen":null,"Upstream":"localhost:9","Enabled":false}"#,
            200,
        ),
        ("GET", "/proxies", "", "", 200),
    ]);
    assert_eq!(answers[1]["stream"], "upstream");
    assert_eq!(answers[2]["attributes"], json!({"latency": 10, "jitter": 5}));
    assert_eq!(answers[4]["p"]["enabled"], false);
}

#[test]
fn elixir_python_and_rust() {
    let (_api, answers) = conversation(&[
        (
            "POST",
            "/proxies",
            JSON,
            r#"{"upstream":"localhost:9","listen":"localhost:0","name":"e","enabled":null}"#,
            201,
        ),
        ("GET", "/proxies", "User-Agent: python-requests/2.31\r\n", "", 200),
        (
            "POST",
            "/proxies/e/toxics",
            JSON,
            r#"{"type":"slicer","name":"s","stream":"downstream","toxicity":1.0,"attributes":{"average_size":64}}"#,
            200,
        ),
        (
            "POST",
            "/populate",
            JSON,
            r#"[{"name":"r","listen":"localhost:0","upstream":"localhost:9","enabled":true,"toxics":[]}]"#,
            201,
        ),
        ("POST", "/reset", JSON, "{}", 204),
    ]);
    let proxy = answers[1]["e"].as_object().unwrap();
    assert!(["name", "listen", "upstream", "enabled"].iter().all(|key| proxy.contains_key(*key)));
    let numbers = answers[2]["attributes"].as_object().unwrap();
    assert!(numbers.values().all(Value::is_u64), "{numbers:?}");
}
