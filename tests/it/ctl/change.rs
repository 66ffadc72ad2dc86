//! Changing a running server: `ctl cut`, `pause`, `resume`, `drain`, `set`.

use crate::support::{
    fake::{peer, unreachable},
    operator::Operated,
    stream::{End, Received, exchange, is_silent, read_exactly, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{io::Write, net::Shutdown, thread, time::Duration};

/// Long enough to see that nothing happens.
const WINDOW: Duration = Duration::from_millis(300);

#[test]
fn a_cut_resets_both_peers_and_only_theirs() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    let connect = |_| {
        let client = operated.server.connect();
        upstream.await_reached();
        client
    };
    let mut clients: Vec<_> = (0..3).map(connect).collect();
    // To name one twice is no mistake.
    assert_eq!(operated.ctl(&["cut", "1", "3", "1"]).code, 0);
    let mut second = clients.remove(1);
    for mut client in clients {
        assert_eq!(read_to_end(&mut client).end, End::Reset);
        assert_eq!(upstream.await_received().end, End::Reset);
        assert_eq!(operated.server.await_close(client.local_addr().unwrap())["cause"], "cut");
    }
    assert_eq!(operated.only_session()["session"], 2);
    second.write_all(b"alive").unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    assert_eq!(upstream.await_received(), Received { bytes: b"alive".to_vec(), end: End::Fin });
}

#[test]
fn a_cut_of_a_session_that_is_not_there_names_it_and_cuts_the_others() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    operated.assert_fails(&["cut", "98", "1", "99"], "there is no session 98, there is no session 99");
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    operated.server.await_closes(1);
    operated.assert_fails(&["cut", "1"], "session 1 has ended");
    let verdict = operated.json(&["closed", "1"])[0]["verdict"].clone();
    assert!(verdict.as_str().unwrap().starts_with("an operator cut it"), "{verdict}");
}

#[test]
fn a_cut_by_fin_delivers_what_is_under_way_and_ends_both_streams_cleanly() {
    for flags in [&[][..], &["--splice", "off"]] {
        let upstream = peer::reads_nothing_until_told();
        let operated = Operated::proxy(upstream.address, flags);
        let mut client = operated.server.connect();
        upstream.await_reached();
        // More than the kernel's first buffers hold, so that some of it is under way.
        let sent = vec![b's'; 600_000];
        client.write_all(&sent).unwrap();
        crate::support::stream::await_acknowledged(&client);
        assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
        upstream.go();
        let received = upstream.await_received();
        assert_eq!((received.end, received.bytes.len()), (End::Fin, sent.len()));
        assert_eq!(read_to_end(&mut client).end, End::Fin);
        assert_eq!(operated.server.await_closes(1)[0]["cause"], "cut");
    }
}

#[test]
fn a_cut_by_fin_ends_idle_sessions_of_every_mode() {
    for mode in ["echo", "origin"] {
        let operated = Operated::start(mode, &[]);
        let mut client = operated.server.connect();
        within(LIMIT, "the session", || (operated.json(&["list"]).len() == 1).then_some(()));
        assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
        assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Fin }, "{mode}");
        assert_eq!(operated.server.await_closes(1)[0]["cause"], "cut", "{mode}");
    }
}

#[test]
fn a_cut_by_fin_ends_a_flow_that_never_pauses() {
    let upstream = peer::pushes_without_end();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    read_exactly(&mut client, 1 << 20);
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    assert_eq!(read_to_end(&mut client).end, End::Fin);
}

#[test]
fn a_cut_by_fin_of_a_peer_that_takes_nothing_ends_by_reset() {
    let upstream = peer::reads_nothing_until_told();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    crate::support::stream::write_until_blocked(&mut client, WINDOW);
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    let close = operated.server.await_close(client.local_addr().unwrap());
    assert_eq!(close["cause"], "cut");
    upstream.go();
    assert_eq!(upstream.await_received().end, End::Reset);
}

#[test]
fn a_paused_server_keeps_its_sessions_and_lets_new_connections_wait() {
    let operated = Operated::start("echo", &[]);
    let mut before = operated.server.connect();
    exchange(&mut before, b"hello");
    assert_eq!(operated.ctl(&["pause"]).code, 0);
    let mut waiting = operated.server.connect();
    waiting.write_all(b"anybody?").unwrap();
    assert!(is_silent(&mut waiting, WINDOW));
    exchange(&mut before, b"still served");
    assert_eq!(operated.json(&["stats"])[0]["paused"], true);
    assert_eq!(operated.ctl(&["resume"]).code, 0);
    assert_eq!(read_exactly(&mut waiting, 8), b"anybody?");
}

#[test]
fn a_drain_is_that_of_a_signal() {
    let mut operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    assert_eq!(operated.ctl(&["drain"]).code, 0);
    within(LIMIT, "the session drains", || (operated.only_session()["phase"] == "draining").then_some(()));
    exchange(&mut client, b"to the end");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert_eq!(operated.server.await_exit(), 0);
}

#[test]
fn a_limit_that_is_set_holds_for_new_sessions() {
    let operated = Operated::start("echo", &["--max-sessions", "1"]);
    let mut first = operated.server.connect();
    exchange(&mut first, b"hello");
    let mut second = operated.server.connect();
    second.write_all(b"me too").unwrap();
    assert!(is_silent(&mut second, WINDOW));
    assert_eq!(operated.ctl(&["set", "idle-timeout", "100ms"]).code, 0);
    assert_eq!(operated.ctl(&["set", "max-sessions", "2"]).code, 0);
    assert_eq!(read_to_end(&mut second), Received { bytes: b"me too".to_vec(), end: End::Reset });
    let close = operated.server.await_close(second.local_addr().unwrap());
    assert_eq!(close["cause"], "idle_timeout");
    exchange(&mut first, b"as before");
}

#[test]
fn a_session_limit_is_not_raised_beyond_the_descriptors() {
    let operated = Operated::start("echo", &["--max-sessions", "500", "--threads", "1"]);
    operated.server.process().limit_descriptors(200);
    let why = "max-sessions 501 needs 597 descriptors, but the limit is 200 (ulimit -n)";
    operated.assert_fails(&["set", "max-sessions", "501"], why);
    for limit in ["499", "104"] {
        assert_eq!(operated.ctl(&["set", "max-sessions", limit]).code, 0);
        assert_eq!(operated.json(&["stats"])[0]["max_sessions"].to_string(), limit);
    }
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let operated = Operated::start("echo", &[]);
    for words in [
        &["set", "idle-timeout", "5"][..],
        &["set", "max-sessions", "0"],
        &["set", "backlog", "5"],
        &["set", "idle-timeout"],
        &["cut"],
        &["cut", "x"],
        &["pause", "--fin"],
        &["explode"],
    ] {
        let run = operated.ctl(words);
        assert!(run.code == 2 && run.stderr.contains("--help"), "{words:?}: {} {}", run.code, run.stderr);
    }
    let mut talk = operated.talk();
    for (line, why) in [
        (r#"{"command":"set","setting":"max-sessions","value":0}"#, "at least 1"),
        (r#"{"command":"set","setting":"max-sessions","value":18446744073709551615}"#, "at most"),
        (r#"{"command":"set","setting":"idle-timeout","value":0}"#, "or off"),
        (r#"{"command":"set","setting":"colour","value":1}"#, "there is no setting"),
        (r#"{"command":"set","setting":"idle-timeout"}"#, "missing field `value`"),
    ] {
        talk.say(line);
        let last = talk.last();
        assert!(last["error"].as_str().unwrap().contains(why), "{last}");
    }
}

#[test]
fn a_stall_timeout_that_was_lifted_ends_no_later_session() {
    // Nor does the kernel, seconds later: it has no such deadline of the listener's.
    let operated = Operated::start("echo", &["--stall-timeout", "100ms"]);
    assert_eq!(operated.ctl(&["set", "stall-timeout", "off"]).code, 0);
    let mut client = operated.server.connect();
    let sent = write_until_blocked(&mut client, WINDOW);
    thread::sleep(Duration::from_secs(4));
    client.shutdown(Shutdown::Write).unwrap();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.len(), received.end), (sent, End::Fin));
}

#[test]
fn a_cut_by_fin_of_a_session_that_dials_resets_its_client_at_once() {
    let upstream = unreachable::never_accepts();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    client.write_all(b"never sent").unwrap();
    within(LIMIT, "it dials", || {
        let sessions = operated.json(&["list"]);
        sessions.iter().any(|one| one["phase"] == "dialling" && one["client_bytes"] == 10).then_some(())
    });
    assert_eq!(operated.ctl(&["cut", "1", "--fin"]).code, 0);
    // Before anything that takes its time has passed: the answer comes when the session is gone.
    assert!(operated.json(&["list"]).is_empty());
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Reset });
    let closed = operated.json(&["closed", "1"]).remove(0);
    assert_eq!((&closed["cause"], &closed["client_undelivered"]), (&"cut".into(), &10.into()), "{closed}");
}

#[test]
fn an_end_by_an_operator_is_no_sides_and_an_end_before_it_is() {
    let upstream = peer::never_replies();
    let operated = Operated::proxy(upstream.address, &[]);
    for (half_closes, first_closer) in [(false, Value::Null), (true, "client".into())] {
        let mut client = operated.server.connect();
        client.write_all(b"x").unwrap();
        within(LIMIT, "it is open", || (operated.only_session()["phase"] == "open").then_some(()));
        if half_closes {
            client.shutdown(Shutdown::Write).unwrap();
            upstream.await_reached();
        }
        let session = operated.only_session()["session"].to_string();
        assert_eq!(operated.ctl(&["cut", &session, "--fin"]).code, 0);
        assert_eq!(read_to_end(&mut client).end, End::Fin);
        let close = operated.server.await_close(client.local_addr().unwrap());
        assert_eq!((&close["cause"], &close["first_closer"]), (&"cut".into(), &first_closer), "{close}");
        let closed = operated.json(&["closed", &session]).remove(0);
        assert_eq!(closed["first_closer"], first_closer, "{closed}");
        if !half_closes {
            // The upstream sees the end as well.
            upstream.await_reached();
        }
    }
}
