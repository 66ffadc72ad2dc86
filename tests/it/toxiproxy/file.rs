//! The start from a file, and the end.

use crate::support::{
    api::{Api, listen},
    port,
    program::binary,
    server::Server,
    stream::{End, connect, exchange, read_to_end},
    wait::{LIMIT, within},
};
use serde_json::json;
use std::fs;
use tempfile::TempDir;

#[test]
fn it_begins_with_the_proxies_and_toxics_of_its_file() {
    let (folder, echo) = (TempDir::new().unwrap(), Server::echo(&[]));
    let file = folder.path().join("proxies.json");
    let upstream = echo.address().to_string();
    let text = json!([
        {"name": "a", "listen": "localhost:0", "upstream": upstream, "toxics": [{"type": "noop", "toxicity": 0.5}]},
        {"name": "b", "listen": "localhost:1", "upstream": upstream, "enabled": false},
    ]);
    fs::write(&file, text.to_string()).unwrap();
    let mut api = Api::start(&["--config", file.to_str().unwrap(), "--seed", "1234"]);
    api.server.await_warning("seed 1234");
    let all = api.get("/proxies");
    assert_eq!((&all["b"]["listen"], &all["b"]["enabled"]), (&json!("localhost:1"), &json!(false)));
    assert_eq!(all["a"]["toxics"][0]["toxicity"], 0.5);
    let mut client = connect(listen(&all["a"]));
    exchange(&mut client, b"through");
    // What an operator takes away stays away, whatever else changes.
    assert_eq!(api.call("DELETE", "/proxies/a/toxics/noop_downstream", "").status, 204);
    api.proxy("c", &upstream);
    assert_eq!(api.get("/proxies/a/toxics"), json!([]));
    exchange(&mut client, b"it lives");
    assert_eq!(api.server.stop(), 0, "nothing was to be waited for");
    assert_eq!(read_to_end(&mut client).end, End::Reset);
}

#[test]
fn a_scenario_closes_a_proxy_and_the_api_shows_it_and_opens_it_again() {
    let (folder, echo) = (TempDir::new().unwrap(), Server::echo(&[]));
    let (file, steps) = (folder.path().join("proxies.json"), folder.path().join("steps.json"));
    let proxy = json!([{"name": "a", "listen": "localhost:0", "upstream": echo.address().to_string()}]);
    fs::write(&file, proxy.to_string()).unwrap();
    fs::write(&steps, json!([{"at_ms": 300, "proxy": "a", "disable": true}]).to_string()).unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--scenario", steps.to_str().unwrap()];
    let api = Api::start(&flags);
    let address = listen(&api.get("/proxies/a"));
    within(LIMIT, "the step", || (api.get("/proxies/a")["enabled"] == false).then_some(()));
    let opened = api.post("/proxies/a", json!({"enabled": true}));
    assert_eq!(listen(&opened), address);
    exchange(&mut connect(address), b"through");
}

#[test]
fn a_scenario_enables_a_proxy_where_the_api_has_put_it() {
    let (folder, echo) = (TempDir::new().unwrap(), Server::echo(&[]));
    let steps = folder.path().join("steps.json");
    let step = |name: &str| json!({"at_ms": 1, "repeat_ms": 50, "proxy": name, "enable": true});
    fs::write(&steps, json!([step("a"), step("b")]).to_string()).unwrap();
    let api = Api::start(&["--scenario", steps.to_str().unwrap()]);
    let [moved, new] = [port::unused(), port::unused()];
    api.proxy("a", "127.0.0.1:9");
    let upstream = echo.address().to_string();
    let change = json!({"enabled": false, "listen": moved.to_string(), "upstream": upstream});
    api.post("/proxies/a", change.clone());
    let mut other = change;
    (other["name"], other["listen"]) = (json!("b"), json!(new.to_string()));
    api.post("/proxies", other);
    for (name, address) in [("a", moved), ("b", new)] {
        let shown = within(LIMIT, "the step", || {
            let shown = api.get(&format!("/proxies/{name}"));
            (shown["enabled"] == true).then_some(shown)
        });
        assert_eq!((listen(&shown), &shown["upstream"]), (address, &json!(upstream)));
        exchange(&mut connect(address), b"through");
    }
}

#[test]
fn a_wrong_file_refuses_the_start_with_its_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("proxies.json");
    for (text, place) in [
        ("[\n  {\"name\": \"a\",, }]", ":2:16: error: "),
        ("[\n  {\"name\": \"a\"}]", ":2:3: error: missing required field: upstream"),
        (
            "[{\"name\":\"a\",\"upstream\":\"b:1\",\"toxics\":\n[{\"type\":\"latency\",\"attributes\":{\"jitter\":0.5}}]}]",
            ":2:2: error: bad request body: jitter is a whole number, at toxic 1",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = binary();
        command.args(["faults", "--api", "127.0.0.1:0", "--control", "off", "--config"]).arg(&file);
        let output = command.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&format!("{}{place}", file.display())), "{errors}");
    }
}
