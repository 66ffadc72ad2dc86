//! Toxics: how they are made, changed, shown and removed.

use crate::support::{
    api::{Api, listen},
    server::Server,
    stream::{End, connect, is_silent, read_exactly, read_to_end},
};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    time::Duration,
};
use tempfile::TempDir;

#[test]
fn a_toxic_has_five_keys_and_its_update_merges() {
    let api = Api::start(&[]);
    api.proxy("p", "127.0.0.1:9");
    let toxic = json!({"type": "latency", "name": "slow", "toxicity": 0.2, "attributes": {"latency": 100}});
    let answer = api.call("POST", "/proxies/p/toxics", toxic);
    let shown = |latency: u64, jitter: u64| {
        json!({"attributes": {"latency": latency, "jitter": jitter}, "name": "slow", "type": "latency",
               "stream": "downstream", "toxicity": 0.2})
    };
    assert_eq!((answer.status, answer.json()), (200, shown(100, 0)));
    assert!(answer.body.contains("\"toxicity\":0.2"), "{answer:?}");
    let path = "/proxies/p/toxics/slow";
    assert_eq!(api.post(path, json!({"attributes": {"jitter": 7}})), shown(100, 7));
    let nulls = json!({"Name": null, "Stream": null, "Toxicity": null, "Attributes": {"Latency": 500}});
    assert_eq!(api.call("PATCH", path, nulls).json(), shown(500, 7));
    assert_eq!(api.get(path), shown(500, 7));
    let never = api.post(path, json!({"toxicity": 0}));
    assert_eq!((&never["toxicity"], &never["attributes"]["latency"]), (&json!(0), &json!(500)));
    assert_eq!(api.call("DELETE", path, "").status, 204);
    assert_eq!(api.call("DELETE", path, "").status, 404);
}

#[test]
fn toxics_are_listed_by_stream_in_the_order_in_which_they_were_made() {
    let api = Api::start(&[]);
    api.proxy("p", "127.0.0.1:9");
    for (name, stream) in
        [("d1", "downstream"), ("u1", "UpStream"), ("d2", "downstream"), ("u2", "upstream"), ("", "upstream")]
    {
        api.post("/proxies/p/toxics", json!({"type": "noop", "name": name, "stream": stream}));
    }
    let names = |listed: &Value| -> Vec<String> {
        let toxics = listed.as_array().unwrap().iter();
        toxics.map(|toxic| format!("{} {}", toxic["name"], toxic["stream"]).replace('"', "")).collect()
    };
    let expected = ["u1 upstream", "u2 upstream", "noop_upstream upstream", "d1 downstream", "d2 downstream"];
    assert_eq!(names(&api.get("/proxies/p/toxics")), expected);
    assert_eq!(names(&api.get("/proxies/p")["toxics"]), expected);
}

#[test]
fn toxics_outlive_a_stop_and_a_move_and_not_a_deletion() {
    let api = Api::start(&[]);
    let address = api.proxy("p", "127.0.0.1:9");
    api.post("/proxies/p/toxics", json!({"type": "noop"}));
    for body in [json!({"enabled": false}), json!({"listen": "127.0.0.1:0", "enabled": true})] {
        assert_eq!(api.post("/proxies/p", body)["toxics"].as_array().unwrap().len(), 1);
    }
    assert_eq!(api.call("DELETE", "/proxies/p", "").status, 204);
    let again = json!({"name": "p", "listen": address.to_string(), "upstream": "127.0.0.1:9"});
    assert_eq!(api.post("/proxies", again)["toxics"], json!([]));
}

#[test]
fn a_proxy_is_made_with_its_toxics_or_not_at_all() {
    let api = Api::start(&[]);
    let with = |toxics: Value| json!({"name": "p", "upstream": "127.0.0.1:9", "toxics": toxics});
    for (toxics, status) in [
        (json!([{"type": "no"}]), 400),
        (json!([{"type": "noop"}, {"type": "noop"}]), 409),
        (json!({}), 400),
        (json!([7]), 400),
    ] {
        assert_eq!(api.call("POST", "/proxies", with(toxics.clone())).status, status, "{toxics}");
        assert_eq!(api.get("/proxies"), json!({}));
    }
    let made = api.post("/proxies", with(json!([{"type": "latency", "attributes": {"latency": 5}}])));
    assert_eq!(made["toxics"][0]["attributes"], json!({"latency": 5, "jitter": 0}));
    let stats = &api.get("/proxies/p/toxics?stats")[0]["stats"];
    assert_eq!((&stats["seen"], &stats["hit"]), (&json!(0), &json!(0)));
}

#[test]
fn accept_stall_on_a_unix_socket_is_refused_before_anything_changes() {
    let (folder, api) = (TempDir::new().unwrap(), Api::start(&[]));
    let socket = format!("unix:{}", folder.path().join("s").display());
    let stall = json!([{"type": "noop"}, {"type": "accept_stall"}]);
    let with = |name: &str, listen: &str, toxics: &Value| json!({"name": name, "listen": listen, "upstream": "127.0.0.1:9", "toxics": toxics});
    let refused = |path: &str, body: Value| {
        let answer = api.call("POST", path, &body);
        let is_it = answer.error().contains("accept_stall is of TCP");
        assert!(answer.status == 400 && is_it, "{path} {body}: {answer:?}");
    };
    refused("/proxies", with("u", &socket, &stall));
    let mut off = with("u", &socket, &stall);
    off["enabled"] = json!(false);
    refused("/proxies", off);
    let address = api.proxy("p", "127.0.0.1:9");
    refused("/populate", json!([with("new", "", &json!([])), with("p", &socket, &stall)]));
    assert_eq!(api.get("/proxies").as_object().unwrap().keys().collect::<Vec<_>>(), ["p"]);
    assert!(TcpStream::connect(address).is_ok(), "the old one goes on");
    // A listener that is stalled is not to be moved there.
    api.post("/proxies/p/toxics", stall[1].clone());
    refused("/proxies/p", json!({"listen": socket}));
    let proxy = api.get("/proxies/p");
    assert_eq!((listen(&proxy), &proxy["enabled"]), (address, &json!(true)));
    // One that never ran is not stalled either.
    let mut off = with("off", &socket, &json!([]));
    off["enabled"] = json!(false);
    api.post("/proxies", off);
    refused("/proxies/off/toxics", stall[1].clone());
}

#[test]
fn a_populate_judges_toxics_by_the_place_that_it_says() {
    let (folder, api) = (TempDir::new().unwrap(), Api::start(&[]));
    let socket = format!("unix:{}", folder.path().join("s").display());
    let proxy = |listen: &str| json!({"name": "p", "listen": listen, "upstream": "127.0.0.1:9"});
    api.post("/proxies", proxy(&socket));
    let mut stalled = proxy("127.0.0.1:0");
    stalled["toxics"] = json!([{"type": "accept_stall"}]);
    let address = listen(&api.post("/populate", json!([stalled]))["proxies"][0]);
    let tried = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    assert_eq!(tried.map_err(|error| error.kind()).err(), Some(ErrorKind::TimedOut));
    // What cannot be there any more is gone with the place.
    api.post("/populate", json!([proxy(&socket)]));
    assert_eq!(api.get("/proxies/p/toxics"), json!([]));
}

/// A proxy of a server that echoes, under a toxic, with a session.
fn under(toxic: Value) -> (Api, Server, TcpStream) {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let address = api.proxy("p", echo.address());
    api.post("/proxies/p/toxics", toxic);
    let client = connect(address);
    (api, echo, client)
}

#[test]
fn what_a_timeout_held_ends_when_it_is_removed_or_all_are_reset() {
    for (method, path) in [("DELETE", "/proxies/p/toxics/t"), ("POST", "/reset")] {
        let (api, _echo, mut client) = under(json!({"type": "timeout", "name": "t"}));
        client.write_all(b"swallowed on its way back").unwrap();
        assert!(is_silent(&mut client, Duration::from_millis(200)));
        assert_eq!(api.call(method, path, "").status, 204);
        let received = read_to_end(&mut client);
        assert_eq!((received.bytes.len(), received.end), (0, End::Fin), "{method} {path}");
    }
}

#[test]
fn a_stopped_connection_goes_on_when_its_toxic_is_removed_and_ends_when_its_proxy_stops() {
    let stopped = json!({"type": "bandwidth", "name": "cut", "attributes": {"rate": 0}});
    let (api, _echo, mut client) = under(stopped.clone());
    client.write_all(b"waits").unwrap();
    assert!(is_silent(&mut client, Duration::from_millis(200)));
    assert_eq!(api.call("DELETE", "/proxies/p/toxics/cut", "").status, 204);
    assert_eq!(read_exactly(&mut client, 5), b"waits");
    api.post("/proxies/p/toxics", stopped);
    client.write_all(b"held").unwrap();
    assert!(is_silent(&mut client, Duration::from_millis(200)));
    assert_eq!(api.post("/proxies/p", json!({"enabled": false}))["enabled"], false);
    // What was held is not handed on, and no end says that it was all.
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.len(), received.end), (0, End::Reset));
}
