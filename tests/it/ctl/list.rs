//! Looking into a running server: `ctl list` and `show`.

use crate::support::{
    fake::peer,
    operator::Operated,
    scrape,
    stream::{connect_from, exchange, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    time::{Duration, Instant},
};

#[test]
fn a_list_names_every_live_session_with_what_it_moved() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    assert!(operated.json(&["list"]).is_empty());
    let mut clients = operated.server.greeted(3);
    let sessions = operated.json(&["list"]);
    assert_eq!(sessions.len(), 3);
    for (session, client) in sessions.iter().zip(&clients) {
        assert_eq!(session["client"], client.local_addr().unwrap().to_string());
        assert_eq!(session["upstream"], upstream.address.to_string());
        assert_eq!((&session["mode"], &session["phase"]), (&"proxy".into(), &"open".into()));
        for (key, value) in [("client_bytes", 5), ("upstream_bytes", 5), ("client_waiting", 0)] {
            assert_eq!(session[key], value, "{key} of {session}");
        }
    }
    exchange(&mut clients[1], b"more than the others");
    assert_eq!(operated.json(&["list", "--sort", "bytes"])[0]["session"], 2);
    assert_eq!(operated.json(&["list", "--from", "127.0.0.0/8"]).len(), 3);
    assert!(operated.json(&["list", "--from", "10.0.0.0/8"]).is_empty());
    let table = operated.ctl(&["list"]).stdout;
    assert!(table.starts_with("ID  MODE") && table.lines().count() == 4, "{table}");
}

#[test]
fn a_list_has_the_order_and_the_clients_that_were_asked_for() {
    let operated = Operated::start("echo", &["--listen", ":0"]);
    let (_, port) = operated.server.addresses[0].rsplit_once(':').unwrap();
    let connect = |last| {
        let address: SocketAddr = format!("127.0.0.{last}:{port}").parse().unwrap();
        connect_from(address.ip(), address)
    };
    let mut clients = Vec::new();
    for (last, bytes) in [(1, b"some".as_slice()), (2, b"many more"), (3, b"a")] {
        clients.push(connect(last));
        exchange(&mut clients[last - 1], bytes);
    }
    // The first is the last that moves.
    within(LIMIT, "all are idle", || {
        let sessions = operated.json(&["list"]);
        sessions.iter().all(|one| one["idle_ms"].as_u64().unwrap() >= 50).then_some(())
    });
    exchange(&mut clients[0], b"!");
    let order = |words: &[&str]| {
        let sessions = operated.json(&[&["list"], words].concat());
        sessions.iter().map(|one| one["session"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(order(&[]), [1, 2, 3]);
    assert_eq!(order(&["--sort", "age"]), [1, 2, 3]);
    assert_eq!(order(&["--sort", "bytes"]), [2, 1, 3]);
    assert_eq!(order(&["--sort", "idle"]).last(), Some(&1));
    for (network, wanted) in [
        ("127.0.0.2", &[2][..]),
        ("127.0.0.2/31", &[2, 3]),
        ("::ffff:127.0.0.2/127", &[2, 3]),
        ("::ffff:127.0.0.1", &[1]),
        ("::1", &[]),
        ("::/0", &[]),
        ("0.0.0.0/0", &[1, 2, 3]),
    ] {
        assert_eq!(order(&["--from", network]), wanted, "{network}");
    }
    for wrong in ["127.0.0.1/33", "::1/129", "localhost", "10.0.0.0/", "10/8"] {
        let run = operated.ctl(&["list", "--from", wrong]);
        assert!(run.code == 2 && run.stderr.contains(wrong), "{}", run.stderr);
    }
}

#[test]
fn what_is_printed_for_machines_is_json_wherever_something_is() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    for words in [&["list"][..], &["list", "--sort", "idle"], &["show", "1"], &["stats"]] {
        assert_eq!(operated.json(words).len(), 1, "{words:?}");
    }
    for words in [&["pause"][..], &["resume"], &["set", "idle-timeout", "1h"], &["cut", "1"]] {
        assert!(operated.json(words).is_empty(), "{words:?}");
    }
    operated.server.await_closes(1);
    for words in [&["closed"][..], &["closed", "1"], &["closed", "-n", "5"]] {
        assert_eq!(operated.json(words).len(), 1, "{words:?}");
    }
    operated.assert_fails(&["show", "1", "--json"], "session 1 has ended; 'ctl closed 1' tells how");
}

#[test]
fn a_page_of_a_list_is_chosen_by_the_server_and_told_at_once() {
    let operated = Operated::start("echo", &[]);
    let clients = operated.server.greeted(5);
    let mut talk = operated.talk();
    let mut list = |request: &str| {
        talk.say(&format!(r#"{{"command":"list",{request}}}"#));
        let mut sessions = Vec::new();
        loop {
            let line = talk.line().unwrap();
            match line["item"]["session"].as_u64() {
                Some(session) => sessions.push(session),
                None => return (sessions, line["matching"].as_u64()),
            }
        }
    };
    assert_eq!(list(r#""limit":2"#), (vec![1, 2], Some(5)));
    // Rates are known from now on: 40 pages do not take the quarter of a second that each rate takes.
    let begin = Instant::now();
    (0..40).for_each(|_| assert_eq!(list(r#""skip":1,"limit":1"#).0, [2]));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(list(r#""skip":3,"limit":9"#), (vec![4, 5], Some(5)));
    assert_eq!(list(r#""reverse":true,"limit":1"#), (vec![5], Some(5)));
    let port = clients[2].local_addr().unwrap().port();
    assert_eq!(list(&format!(r#""matching":":{port}""#)), (vec![3], Some(1)));
    assert_eq!(list(r#""from":"10.0.0.0/8""#), (vec![], Some(0)));
    assert_eq!(list(r#""skip":99"#), (vec![], Some(5)));
    assert_eq!(list(r#""sort":"colour""#), (vec![], None));
}

#[test]
fn a_list_follows_a_session_through_its_phases() {
    let upstream = peer::never_replies();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    client.write_all(b"x").unwrap();
    within(LIMIT, "the session is open", || {
        operated.json(&["list"]).iter().any(|session| session["phase"] == "open").then_some(())
    });
    client.shutdown(Shutdown::Write).unwrap();
    upstream.await_reached();
    assert_eq!(operated.only_session()["phase"], "client-closed");
}

#[test]
fn a_session_says_how_it_does_and_the_totals_and_metrics_count_it() {
    let upstream = peer::reads_nothing_until_told();
    let operated = Operated::proxy(upstream.address, &["--metrics", "0"]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    assert_eq!(operated.only_session()["health"], "live");
    write_until_blocked(&mut client, Duration::from_millis(100));
    let stalled = within(LIMIT, "it has stalled", || {
        Some(operated.only_session()).filter(|session| session["health"] == "stalled")
    });
    let waits = |key: &str| stalled[key].as_u64().unwrap();
    assert!(waits("client_waiting") + waits("client_queued") > 100_000, "{stalled}");
    assert_eq!(operated.json(&["list", "--health", "stalled"]).len(), 1);
    assert!(operated.json(&["list", "--health", "live,idle"]).is_empty());
    assert_eq!(operated.json(&["stats"])[0]["health"], serde_json::json!({ "stalled": 1 }));
    let metrics = scrape::scrape(scrape::address(&operated.server));
    for (health, count) in [("stalled", 1.0), ("live", 0.0), ("held", 0.0)] {
        let labels = [("mode", "proxy"), ("health", health)];
        assert_eq!(metrics.value("switchboard_sessions_health", &labels), count, "{health}");
    }
    client.shutdown(Shutdown::Write).unwrap();
    upstream.go();
    upstream.await_received();
    within(LIMIT, "it is half-closed", || {
        let sessions = operated.json(&["list"]);
        sessions.iter().all(|session| session["health"] == "half-closed").then_some(())
    });
}

#[test]
fn a_flow_has_a_rate() {
    let upstream = peer::pushes_without_end();
    let operated = Operated::proxy(upstream.address, &[]);
    let client = operated.server.connect();
    let mut reader = client.try_clone().unwrap();
    let reading = std::thread::spawn(move || read_to_end(&mut reader));
    within(LIMIT, "a rate", || {
        operated
            .json(&["list", "--sort", "rate"])
            .iter()
            .find_map(|session| session["upstream_rate"].as_u64().filter(|rate| *rate > 0))
    });
    // A fresh look has what the last seconds were like.
    let mut talk = operated.talk();
    within(LIMIT, "seconds of the past", || {
        talk.say(r#"{"command":"stats","history":true}"#);
        let stats = talk.line().unwrap()["item"].take();
        assert_eq!(talk.line().unwrap()["ok"], true);
        let past = stats["history"].as_array()?.clone();
        (past.len() >= 2
            && past.last()?["upstream_rate"].as_u64()? > 0
            && stats["upstream_rate"].as_u64()? > 0)
            .then_some(())
    });
    client.shutdown(Shutdown::Both).unwrap();
    drop(reading);
}

#[test]
fn show_holds_the_kernels_view_of_both_legs() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let shown = operated.json(&["show", "1"]).remove(0);
    assert_eq!((&shown["client_bytes"], &shown["phase"]), (&5.into(), &"open".into()), "{shown}");
    for leg in ["client_tcp", "upstream_tcp"] {
        assert_eq!(shown[leg]["state"], "established", "{shown}");
        assert_ne!(shown[leg]["congestion_control"].as_str().unwrap(), "", "{shown}");
        assert!(shown[leg]["rtt_us"].as_u64().unwrap() > 0, "{shown}");
        assert!(shown[leg]["congestion_window"].as_u64().unwrap() > 0, "{shown}");
    }
    assert!(operated.ctl(&["show", "1"]).stdout.contains("congestion window"));
}

#[test]
fn a_wrong_session_is_named() {
    let operated = Operated::start("echo", &[]);
    operated.assert_fails(&["show", "77"], "there is no session 77");
    operated.assert_fails(&["closed", "77"], "there is no session 77");
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    operated.assert_fails(&["closed", "1"], "session 1 is alive");
    drop(client);
    operated.server.await_closes(1);
    operated.assert_fails(&["show", "1"], "session 1 has ended");
    assert_eq!(operated.ctl(&["show", "first"]).code, 2);
    assert_eq!(operated.ctl(&["show"]).code, 2);
    assert_eq!(operated.ctl(&["stats", "--sort", "age"]).code, 2);
}
