//! What a server remembers of its sessions: how each ended, what was not delivered, and the totals.

use crate::support::{
    fake::peer,
    operator::Operated,
    pattern::pattern,
    stream::{End, exchange, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use socket2::SockRef;
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

/// A receiver's kernel that has taken nothing for this long takes nothing more by itself.
const SETTLED: Duration = Duration::from_millis(300);

#[test]
fn closed_sessions_are_remembered_with_a_verdict_and_only_so_many() {
    let upstream = peer::resets_in_mid_reply(b"part".to_vec());
    let operated = Operated::proxy(upstream.address, &["--remember", "2"]);
    for _ in 0..3 {
        let mut client = operated.server.connect();
        client.write_all(b"x").unwrap();
        upstream.await_reached();
        client.shutdown(Shutdown::Write).unwrap();
        within(LIMIT, "the client's end is seen", || {
            operated.json(&["list"]).iter().any(|session| session["phase"] == "client-closed").then_some(())
        });
        upstream.go();
        upstream.await_reached();
        read_to_end(&mut client);
    }
    operated.server.await_closes(3);
    let closed = operated.json(&["closed"]);
    assert_eq!(closed.iter().map(|one| one["session"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    for one in &closed {
        assert_eq!(one["cause"], "upstream_reset", "{one}");
        let verdict = one["verdict"].as_str().unwrap();
        assert!(
            verdict.starts_with("upstream reset ") && verdict.contains("after the client's FIN"),
            "{verdict}"
        );
    }
    assert_eq!(operated.json(&["closed", "3"]), closed[1..]);
    assert_eq!(operated.json(&["closed", "-n", "1"]), closed[1..]);
    assert_eq!(operated.json(&["closed", "3", "-n", "1"]), closed[1..]);
    for command in ["closed", "show", "tap", "cut"] {
        operated.assert_fails(&[command, "1"], "session 1 has ended and is not remembered any more");
        operated.assert_fails(&[command, "4"], "there is no session 4");
    }
    operated.assert_fails(&["closed", "0"], "there is no session 0");
    assert!(operated.ctl(&["closed"]).stdout.contains("VERDICT"));
}

#[test]
fn all_that_is_remembered_is_told_where_no_number_is_asked_for() {
    const SESSIONS: usize = 1010;
    let operated = Operated::start("echo", &["--remember", "1005"]);
    for _ in 0..SESSIONS {
        drop(operated.server.connect());
    }
    operated.server.await_closes(SESSIONS);
    assert_eq!(operated.json(&["closed"]).len(), 1005);
    assert_eq!(operated.json(&["closed", "-n", "7"]).len(), 7);
}

#[test]
fn stats_agree_with_what_was_done() {
    let operated = Operated::start("echo", &["--max-sessions", "50"]);
    for _ in 0..4 {
        let mut client = operated.server.connect();
        exchange(&mut client, b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut client);
    }
    operated.server.await_closes(4);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hi");
    let stats = operated.json(&["stats"]).remove(0);
    for (key, value) in [
        ("live", 1),
        ("opened", 5),
        ("ended", 4),
        ("max_sessions", 50),
        ("client_bytes", 22),
        ("upstream_bytes", 22),
    ] {
        assert_eq!(stats[key], value, "{key} of {stats}");
    }
    assert_eq!(stats["causes"], serde_json::json!({ "done": 4 }));
    let told = operated.ctl(&["stats"]).stdout;
    assert!(told.contains("opened") && !told.contains("TLS"), "{told}");
    assert!(stats["tls_handshakes"].is_null(), "{stats}");
}

#[test]
fn what_was_not_delivered_counts_what_the_kernel_held() {
    let upstream = peer::reads_nothing_until_told();
    for (flags, end, cause) in [
        (&[][..], &["cut", "1"][..], "cut"),
        (&["--splice", "off"], &["cut", "1"], "cut"),
        (&["--stall-timeout", "3s"], &["list"], "stall_timeout"),
        (&["--max-lifetime", "4s"], &["list"], "lifetime"),
    ] {
        let operated = Operated::proxy(upstream.address, flags);
        let mut client = operated.server.connect();
        upstream.await_reached();
        write_until_blocked(&mut client, Duration::from_millis(100));
        let shown = operated.json(&["show", "1"]).remove(0);
        let queued = shown["upstream_tcp"]["send_queue"].as_u64().expect("a queue");
        let held = queued + shown["client_waiting"].as_u64().unwrap();
        assert!(queued > 0, "{shown}");
        assert_eq!(operated.ctl(end).code, 0);
        assert_eq!(operated.server.await_close(client.local_addr().unwrap())["cause"], cause);
        let closed = operated.json(&["closed", "1"]).remove(0);
        let undelivered = closed["client_undelivered"].as_u64().unwrap();
        // The upstream's kernel may have taken a little more since.
        assert!((held / 2..=held).contains(&undelivered), "{held} were held: {closed}");
        let verdict = closed["verdict"].as_str().unwrap();
        assert!(
            verdict.ends_with(&format!("; {undelivered} bytes from the client were not delivered")),
            "{verdict}"
        );
        upstream.go();
        upstream.await_received();
    }
}

#[test]
fn our_own_end_in_the_kernels_queue_is_no_undelivered_byte() {
    let reply = pattern(74, 1_000_000);
    let upstream = peer::half_closes_first(reply.clone());
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    SockRef::from(&client).set_recv_buffer_size(16 << 10).unwrap();
    let address = client.local_addr().unwrap();
    let (mut before, mut since) = (0, Instant::now());
    within(LIMIT, "all of the reply and its end wait for the client in the kernel", || {
        let shown = operated.json(&["show", "1"]).remove(0);
        let queued = shown["client_tcp"]["send_queue"].as_u64()?;
        if queued != before {
            // The client's kernel still takes some.
            (before, since) = (queued, Instant::now());
        }
        let all = shown["upstream_bytes"] == reply.len() && shown["upstream_waiting"] == 0;
        let settled = queued > 0 && since.elapsed() >= SETTLED;
        (all && settled && shown["phase"] == "upstream-closed").then_some(())
    });
    assert_eq!(operated.ctl(&["cut", "1"]).code, 0);
    operated.server.await_close(address);
    let received = read_to_end(&mut client);
    assert_eq!(received.end, End::Reset);
    let closed = operated.json(&["closed", "1"]).remove(0);
    assert_eq!(closed["upstream_undelivered"], reply.len() - received.bytes.len(), "{closed}");
}

#[test]
fn what_was_acknowledged_before_a_cut_was_delivered() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    client.write_all(&vec![b'x'; 1_000_000]).unwrap();
    within(LIMIT, "all is acknowledged", || {
        let shown = operated.json(&["show", "1"]).remove(0);
        let queued = shown["upstream_tcp"]["send_queue"].as_u64().expect("a queue");
        (shown["client_bytes"] == 1_000_000 && shown["client_waiting"] == 0 && queued == 0).then_some(())
    });
    assert_eq!(operated.ctl(&["cut", "1"]).code, 0);
    operated.server.await_closes(1);
    let verdict = operated.json(&["closed", "1"])[0]["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.ends_with("; all bytes were passed on"), "{verdict}");
}
