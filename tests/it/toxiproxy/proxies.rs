//! Proxies: they come, move, stop, start again and go.

use crate::support::{
    api::{Api, listen},
    server::Server,
    stream::{End, connect, exchange, is_silent, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Whether no server listens there.
fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// A proxy of a server that echoes, with a session that has its answer.
fn with_session() -> (Api, Server, SocketAddr, TcpStream) {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let address = api.proxy("p", echo.address());
    let mut client = connect(address);
    exchange(&mut client, b"hello");
    (api, echo, address, client)
}

#[test]
fn a_new_proxy_relays_and_is_shown_as_it_runs() {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let upstream = echo.address().to_string();
    let body = json!({"name": "p", "listen": "localhost:0", "upstream": upstream});
    let proxy = api.post("/proxies", body);
    let address = listen(&proxy);
    assert_eq!(address.ip().to_string(), "127.0.0.1");
    let shown = json!({
        "name": "p", "listen": address.to_string(), "upstream": upstream, "enabled": true, "toxics": []
    });
    assert_eq!(proxy, shown);
    assert_eq!(api.get("/proxies/p"), shown);
    assert_eq!(api.get("/proxies"), json!({ "p": shown }));
    exchange(&mut connect(address), b"through");
}

#[test]
fn a_proxy_that_never_ran_is_shown_as_it_was_given_and_keeps_its_port_after_that() {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let upstream = echo.address().to_string();
    let body = json!({"name": "p", "listen": "localhost:0", "upstream": upstream, "enabled": false});
    let proxy = api.post("/proxies", body);
    assert_eq!((&proxy["listen"], &proxy["enabled"]), (&json!("localhost:0"), &json!(false)));
    let address = listen(&api.post("/proxies/p", json!({"enabled": true})));
    exchange(&mut connect(address), b"one");
    for _ in 0..3 {
        let stopped = api.post("/proxies/p", json!({"enabled": false}));
        assert_eq!(listen(&stopped), address);
        assert!(refuses(address));
        api.post("/proxies/p", json!({"enabled": false, "name": "other"}));
    }
    assert_eq!(listen(&api.post("/proxies/p", json!({"enabled": true}))), address);
    exchange(&mut connect(address), b"two");
}

#[test]
fn a_stop_a_move_and_a_deletion_end_the_sessions_before_the_answer() {
    for (method, body) in [
        ("POST", json!({"enabled": false})),
        ("POST", json!({"listen": "127.0.0.1:0"})),
        ("POST", json!({"upstream": "127.0.0.1:9"})),
        ("DELETE", Value::Null),
    ] {
        let (api, _echo, address, mut client) = with_session();
        let answer = api.call(method, "/proxies/p", &body);
        assert!(answer.status < 300, "{answer:?}");
        let received = read_to_end(&mut client);
        assert_eq!((received.bytes.len(), received.end), (0, End::Fin), "{body}");
        let keeps_port = body.get("upstream").is_some();
        assert_eq!(refuses(address), !keeps_port, "{body}");
        if !keeps_port {
            TcpListener::bind(address).unwrap();
        }
        api.server.await_event("close", |event| event["session"] == 1 && event["cause"] == "cut");
    }
}

#[test]
fn the_same_address_in_another_spelling_changes_nothing() {
    let (api, echo, address, mut client) = with_session();
    let port = address.port();
    for body in [
        json!({"listen": format!("localhost:{port}")}),
        json!({"listen": address.to_string(), "upstream": echo.address().to_string(), "enabled": null}),
        json!({"Listen": address.to_string(), "toxics": [{"type": "latency"}], "name": "other"}),
        json!({}),
    ] {
        assert_eq!(listen(&api.post("/proxies/p", body)), address);
    }
    assert_eq!(api.get("/proxies/p/toxics"), json!([]), "an update ignores toxics");
    exchange(&mut client, b"it lives");
    // A wildcard is the same, however it is written.
    let body = json!({"name": "w", "listen": "0.0.0.0:0", "upstream": echo.address().to_string()});
    let wild = listen(&api.post("/proxies", body));
    let mut client = connect(wild);
    exchange(&mut client, b"one");
    for listened in ["0.0.0.0", "[::]", ""] {
        let body = json!({"listen": format!("{listened}:{}", wild.port()), "enabled": true});
        assert_eq!(listen(&api.post("/proxies/w", body)), wild);
        exchange(&mut client, b"it lives");
    }
}

#[test]
fn an_update_moves_a_proxy() {
    let (api, echo, address, _client) = with_session();
    let moved = listen(&api.post("/proxies/p", json!({"listen": "localhost:0"})));
    assert!(moved != address && refuses(address));
    exchange(&mut connect(moved), b"moved");
    let other = Server::echo(&[]);
    let led = api.post("/proxies/p", json!({"upstream": other.address().to_string()}));
    assert_eq!(listen(&led), moved);
    exchange(&mut connect(moved), b"elsewhere");
    other.await_event("open", |_| true);
    drop(echo);
}

#[test]
fn a_start_that_fails_leaves_it_stopped_at_the_new_place_until_that_is_free() {
    let (api, _echo, address, mut client) = with_session();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = taken.local_addr().unwrap();
    let answer = api.call("POST", "/proxies/p", json!({"listen": wanted.to_string()}));
    let why = format!("listen tcp {wanted}: bind: address already in use");
    assert_eq!((answer.status, answer.error()), (500, why));
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    let proxy = api.get("/proxies/p");
    assert_eq!((listen(&proxy), &proxy["enabled"]), (wanted, &json!(false)));
    assert!(refuses(address));
    assert_eq!(api.call("POST", "/reset", "").status, 500);
    drop(taken);
    // Meanwhile the kernel may give the port to a connection of another program.
    within(LIMIT, "it starts", || (api.call("POST", "/reset", "").status == 204).then_some(()));
    exchange(&mut connect(wanted), b"free");
}

#[test]
fn a_populate_leaves_alone_what_is_equal_and_replaces_what_is_not() {
    let (api, echo, address, mut client) = with_session();
    let upstream = echo.address().to_string();
    api.post("/proxies/p/toxics", json!({"type": "noop"}));
    let same = json!({"name": "p", "listen": address.to_string(), "upstream": upstream, "enabled": false});
    let new = json!({"name": "n", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": null,
                     "toxics": [{"type": "latency", "stream": "upstream"}]});
    let off = json!({"name": "o", "listen": "localhost:1", "upstream": upstream, "enabled": false});
    let answer = api.post("/populate", json!([same, new, off]));
    let proxies = answer["proxies"].as_array().unwrap();
    let shown: Vec<_> = proxies.iter().map(|one| (one["name"].as_str().unwrap(), &one["enabled"])).collect();
    assert_eq!(shown, [("p", &json!(true)), ("n", &json!(true)), ("o", &json!(false))]);
    assert_eq!(proxies[1]["toxics"][0]["name"], "latency_upstream");
    exchange(&mut client, b"it lives");
    assert_eq!(api.get("/proxies/p/toxics").as_array().unwrap().len(), 1);
    // Another address takes its place, without its toxics; others stay.
    let other = json!([{"name": "p", "listen": "127.0.0.1:0", "upstream": upstream}]);
    let replaced = listen(&api.post("/populate", other)["proxies"][0]);
    assert_ne!(replaced, address);
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert_eq!(api.get("/proxies/p/toxics"), json!([]));
    assert_eq!(api.get("/proxies").as_object().unwrap().len(), 3);
    assert_eq!(api.post("/populate", json!([])), json!({"proxies": []}));
    // A failure ends it; those before it stay.
    let first = json!({"name": "x", "listen": "127.0.0.1:0", "upstream": upstream});
    let taken = json!({"name": "y", "listen": replaced.to_string(), "upstream": upstream});
    let answer = api.call("POST", "/populate", json!([first, taken, {"name": "z", "upstream": upstream}]));
    assert_eq!((answer.status, answer.json()["proxies"].as_array().unwrap().len()), (500, 1));
    let all = api.get("/proxies");
    let names: Vec<_> = all.as_object().unwrap().keys().collect();
    assert_eq!(names, ["n", "o", "p", "x"]);
}

#[test]
fn a_proxy_is_seen_once_it_is_made() {
    let (api, taken) = (Api::start(&[]), TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = taken.local_addr().unwrap().to_string();
    let toxics = json!([{"type": "noop"}]);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..60 {
                let refused = json!({"name": "never", "upstream": "b:1", "listen": taken, "toxics": toxics});
                assert_eq!(api.call("POST", "/proxies", refused).status, 500);
                let name = format!("p{index}");
                api.post("/proxies", json!({"name": name, "upstream": "b:1", "toxics": toxics}));
            }
            is_done.store(true, Relaxed);
        });
        while !is_done.load(Relaxed) {
            let all = api.get("/proxies");
            assert_eq!(all.get("never"), None);
            for proxy in all.as_object().unwrap().values() {
                assert_eq!((&proxy["enabled"], proxy["toxics"].as_array().unwrap().len()), (&json!(true), 1));
                listen(proxy);
            }
        }
    });
    assert_eq!(api.get("/proxies").as_object().unwrap().len(), 60);
}

#[test]
fn a_populate_of_hundreds_takes_no_longer_than_one_change_does() {
    const MANY: usize = 500;
    let api = Api::start(&[]);
    let is_off = |index: usize| index.is_multiple_of(9);
    let toxics = |index: usize| if index.is_multiple_of(7) { json!([{"type": "noop"}]) } else { json!([]) };
    let proxy = |index: usize| {
        let upstream = format!("127.0.0.1:{}", 1 + index);
        json!({"name": format!("p{index}"), "upstream": upstream, "enabled": !is_off(index), "toxics": toxics(index)})
    };
    let begin = Instant::now();
    let answer = api.post("/populate", (0..MANY).map(proxy).collect());
    // With a change a proxy it took longer than a client waits.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    for (index, proxy) in answer["proxies"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&proxy["name"], &proxy["enabled"]),
            (&json!(format!("p{index}")), &json!(!is_off(index)))
        );
        assert_eq!(proxy["toxics"].as_array().unwrap().len(), toxics(index).as_array().unwrap().len());
    }
    // A name that comes twice takes its own place.
    let twice = json!([{"name": "t", "upstream": "a:1"}, {"name": "t", "upstream": "b:1"}]);
    let answer = api.post("/populate", twice);
    assert_eq!(
        (&answer["proxies"][0]["upstream"], &answer["proxies"][1]["upstream"]),
        (&json!("a:1"), &json!("b:1"))
    );
    assert_eq!(api.get("/proxies").as_object().unwrap().len(), MANY + 1);
}

#[test]
fn a_reset_starts_all_removes_all_toxics_and_keeps_sessions() {
    let (api, echo, address, mut client) = with_session();
    let stopped = json!({"name": "s", "upstream": echo.address().to_string(), "enabled": false});
    api.post("/proxies", stopped);
    for stream in ["upstream", "downstream"] {
        api.post("/proxies/p/toxics", json!({"type": "noop", "stream": stream}));
    }
    exchange(&mut client, b"under toxics");
    api.post("/reset", Value::Null);
    exchange(&mut client, b"it lives");
    let all = api.get("/proxies");
    assert_eq!((listen(&all["p"]), &all["p"]["toxics"]), (address, &json!([])));
    assert_eq!(all["s"]["enabled"], true);
    exchange(&mut connect(listen(&all["s"])), b"started");
}

#[test]
fn an_upstream_that_is_down_or_no_address_ends_the_client_at_once() {
    let api = Api::start(&[]);
    for upstream in ["127.0.0.1:1", "nonsense", "no host at all:x"] {
        let address = api.proxy("p", upstream);
        assert_eq!(api.get("/proxies/p")["upstream"], upstream);
        let begin = Instant::now();
        assert_eq!(read_to_end(&mut connect(address)).end, End::Reset);
        assert!(begin.elapsed() < Duration::from_secs(20), "{upstream}");
        api.call("DELETE", "/proxies/p", "");
    }
}

#[test]
fn the_metrics_count_live() {
    let (api, echo) = (Api::start(&[]), Server::echo(&[]));
    let address = api.proxy("p \"q\"", echo.address());
    let mut client = connect(address);
    exchange(&mut client, b"hello");
    let series = |name: &str, direction: &str| {
        format!(
            "toxiproxy_proxy_{name}_bytes_total{{direction=\"{direction}\",listener=\"{address}\",\
             proxy=\"p \\\"q\\\"\",upstream=\"{}\"}} 5\n",
            echo.address()
        )
    };
    within(LIMIT, "the counts of the session", || {
        let metrics = api.call("GET", "/metrics", "");
        assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{metrics:?}");
        let all = ["received", "sent"].map(|name| [series(name, "upstream"), series(name, "downstream")]);
        all.as_flattened().iter().all(|line| metrics.body.contains(&**line)).then_some(())
    });
    assert!(api.call("GET", "/metrics", "").body.contains("switchboard_sessions_active"));
}

#[test]
fn no_request_waits_for_receivers_that_take_nothing() {
    const SESSIONS: usize = 100;
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api::start(&[]);
    let address = api.proxy("p", sink.local_addr().unwrap());
    let mut stalled = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = connect(address);
        let upstream = sink.accept().unwrap();
        write_until_blocked(&mut client, Duration::from_millis(1));
        stalled.push((client, upstream));
    }
    let mut times = Vec::new();
    for round in 0..20 {
        for (method, path, body) in [
            (
                "POST",
                "/proxies/p/toxics",
                json!({"type": "latency", "stream": "upstream", "attributes": {"latency": round}}),
            ),
            ("PATCH", "/proxies/p/toxics/latency_upstream", json!({"attributes": {"latency": 1000}})),
            ("GET", "/proxies", Value::Null),
            ("GET", "/proxies/p/toxics/latency_upstream?stats", Value::Null),
            ("DELETE", "/proxies/p/toxics/latency_upstream", Value::Null),
        ] {
            let begin = Instant::now();
            let answer = api.call(method, path, &body);
            times.push(begin.elapsed());
            assert!(answer.status < 300, "{method} {path}: {answer:?}");
        }
    }
    times.sort();
    // It is 50 ms on a machine that does nothing else.
    assert!(times[98] < Duration::from_millis(500), "{:?}", &times[90..]);
    let begin = Instant::now();
    assert_eq!(api.call("DELETE", "/proxies/p", "").status, 204);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(!is_silent(&mut stalled[0].0, Duration::from_secs(15)), "its session ends");
}
