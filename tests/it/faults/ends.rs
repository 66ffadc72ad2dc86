//! Faults that end sessions: both peers see what the fault says, and the log says that it was the fault.

use crate::support::{
    fake::peer,
    operator::Operated,
    stream::{End, Received, bounded, exchange, is_silent, read_exactly, read_to_end, write_until_blocked},
    wait::{LIMIT, within},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Long enough to see that nothing happens.
const WINDOW: Duration = Duration::from_millis(300);

/// The verdict on the only session that has ended.
fn verdict(operated: &Operated) -> String {
    operated.json(&["closed"])[0]["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn a_limit_ends_both_streams_after_exactly_so_many_bytes() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    operated.fault("add limit_data 100 --up --name limit");
    let mut client = operated.server.connect();
    upstream.await_reached();
    client.write_all(&[b'a'; 60]).unwrap();
    client.write_all(&[b'b'; 60]).unwrap();
    let received = upstream.await_received();
    assert_eq!(
        received,
        Received { bytes: [[b'a'; 60], [b'b'; 60]].concat()[..100].to_vec(), end: End::Fin }
    );
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    let close = operated.server.await_closes(1).remove(0);
    assert_eq!((&close["cause"], &close["fault"]), (&json!("fault"), &json!("limit")));
    assert_eq!(close["error"], "limit (limit_data) ended both streams");
    let verdict = verdict(&operated);
    assert!(verdict.starts_with("the fault limit (limit_data) ended both streams after "), "{verdict}");
    let hit = operated.server.await_event("fault", |event| event["did"] == "hit");
    let keys = ["session", "fault", "type", "stream"].map(|key| hit[key].clone());
    assert_eq!(keys, [json!(1), json!("limit"), json!("limit_data"), json!("upstream")]);
    let stats = operated.faults()[0]["stats"].clone();
    let counts = ["hit", "passed_bytes", "cuts", "resets"].map(|key| stats[key].as_u64());
    assert_eq!(counts, [Some(1), Some(100), Some(1), Some(0)]);
}

#[test]
fn what_a_fault_held_passes_once_it_goes_also_after_the_other_stream_has_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    for fault in ["stall 0", "bandwidth 0", "latency 1h"] {
        for ends_before in [false, true] {
            let operated = Operated::proxy(upstream, &[]);
            let mut client = operated.server.connect();
            let mut far = bounded(listener.accept().unwrap().0);
            far.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut client).end, End::Fin);
            operated.fault(&format!("add {fault} --up --name holds"));
            client.write_all(b"held").unwrap();
            if ends_before {
                client.shutdown(Shutdown::Write).unwrap();
            }
            assert!(is_silent(&mut far, WINDOW), "{fault}");
            operated.fault("remove --all");
            assert_eq!(read_exactly(&mut far, 4), b"held", "{fault}");
            let _ = client.shutdown(Shutdown::Write);
            assert_eq!(read_to_end(&mut far).end, End::Fin, "{fault}");
            assert_eq!(operated.server.await_closes(1)[0]["cause"], "done");
        }
    }
}

#[test]
fn a_reset_of_a_live_session_reaches_both_peers() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &["--log", "text"]);
    let mut client = operated.server.connect();
    upstream.await_reached();
    client.write_all(b"before").unwrap();
    within(LIMIT, "the bytes are passed on", || (operated.only_session()["client_bytes"] == 6).then_some(()));
    operated.fault("add reset_peer 0 --up");
    client.write_all(b"after").unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    let received = upstream.await_received();
    assert_eq!((received.end, received.bytes.as_slice()), (End::Reset, &b"before"[..]));
    let line = within(LIMIT, "the close line", || {
        operated.server.lines.all().into_iter().find(|line| line.contains(" close "))
    });
    assert!(
        line.contains(" close fault: ")
            && line.ends_with(": reset_peer_upstream (reset_peer) reset both peers"),
        "{line}"
    );
    assert!(!line.contains(" first: "), "no side closed it: {line}");
    assert!(
        verdict(&operated).starts_with("the fault reset_peer_upstream (reset_peer) reset both peers after ")
    );
    let stats = operated.json(&["stats"])[0].clone();
    assert_eq!(stats["causes"]["fault"], 1);
}

#[test]
fn what_ends_sessions_by_time_does_so_while_a_receiver_takes_nothing() {
    for fault in ["cut time=300ms", "cut time=300ms reset=1", "timeout 300ms", "reset_peer 300ms"] {
        let upstream = peer::echoes();
        let operated = Operated::proxy(upstream.address, &[]);
        let mut client = operated.server.connect();
        write_until_blocked(&mut client, WINDOW);
        operated.fault(&format!("add {fault} --down"));
        let close = operated.server.await_closes(1).remove(0);
        assert_eq!(close["cause"], "fault", "{fault}: {close}");
    }
}

#[test]
fn a_cut_ends_by_fin_or_by_rst_as_it_says() {
    for (words, end, how) in
        [("add cut 5B", End::Fin, "ended both streams"), ("add cut 5B reset", End::Reset, "reset both peers")]
    {
        let operated = Operated::start("echo", &[]);
        operated.fault(words);
        let mut client = operated.server.connect();
        client.write_all(b"hello world").unwrap();
        let received = read_to_end(&mut client);
        assert_eq!(received.end, end, "{words}");
        assert!(b"hello".starts_with(&received.bytes), "{words}: {received:?}");
        let close = operated.server.await_closes(1).remove(0);
        assert_eq!(close["error"], format!("cut_downstream (cut) {how}"), "{words}");
    }
}

#[test]
fn a_black_hole_ends_its_sessions_when_it_is_removed() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    operated.fault("add timeout 0 --name hole");
    client.write_all(b"hello?").unwrap();
    assert!(is_silent(&mut client, WINDOW));
    within(LIMIT, "the answer is taken away", || {
        (operated.faults()[0]["stats"]["swallowed_bytes"] == 6).then_some(())
    });
    operated.fault("remove --all");
    assert_eq!(read_to_end(&mut client), Received { bytes: Vec::new(), end: End::Fin });
    let close = operated.server.await_closes(1).remove(0);
    assert_eq!((&close["cause"], &close["fault"]), (&json!("fault"), &json!("hole")));
}

#[test]
fn a_rate_of_nothing_holds_all_and_loses_nothing() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    operated.fault("add bandwidth 0 --name pulled");
    client.write_all(b"are you there").unwrap();
    assert!(is_silent(&mut client, WINDOW));
    let shown = within(LIMIT, "the answer is held", || {
        let shown = operated.json(&["show", "1"]).remove(0);
        (shown["upstream_held"] == 13).then_some(shown)
    });
    assert_eq!((&shown["faults"], &shown["client_held"]), (&json!(["pulled"]), &json!(0)));
    assert_eq!(shown["held_max"], 64 << 20);
    let met = json!([{
        "name": "pulled", "type": "bandwidth", "stream": "downstream", "values": "rate=0KB/s", "hit": true,
        "acts": true,
    }]);
    assert_eq!(shown["met_faults"], met);
    assert_eq!(shown["splice_off"], "a fault hits it");
    let page = operated.ctl(&["show", "1"]).stdout;
    assert!(page.contains("pulled: hits; bandwidth downstream, rate=0KB/s"), "{page}");
    operated.fault(&format!("update {} pulled 1MB/s", operated.server.addresses[0]));
    assert_eq!(read_exactly(&mut client, 13), b"are you there");
}

#[test]
fn a_refused_client_is_no_session_of_an_upstream() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    operated.fault("add refuse --count 2");
    for _ in 0..2 {
        assert_eq!(read_to_end(&mut operated.server.connect()).end, End::Reset);
    }
    exchange(&mut operated.server.connect(), b"the third is well");
    let closes = operated.server.await_closes(2);
    let is_refused = |close: &Value| close["cause"] == "fault" && close["upstream"] == Value::Null;
    assert!(closes[..2].iter().all(is_refused), "{closes:?}");
}

#[test]
fn a_stream_that_the_upstream_has_left_open_still_heeds_its_faults() {
    // It has ended its own stream, and reads on.
    let upstream = peer::half_closes_first(b"all that I say".to_vec());
    let operated = Operated::proxy(upstream.address, &[]);
    operated.fault("add bandwidth 0 --up --name pulled");
    let mut client = operated.server.connect();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.as_slice(), received.end), (&b"all that I say"[..], End::Fin));
    client.write_all(b"held").unwrap();
    within(LIMIT, "it is held", || (operated.faults()[0]["stats"]["held_bytes"] == 4).then_some(()));
    operated.fault("remove --all");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let received = upstream.await_received();
    assert_eq!((received.bytes.as_slice(), received.end), (&b"held"[..], End::Fin));
}

#[test]
fn an_end_by_fin_waits_for_what_faults_hold_before_it() {
    let upstream = peer::speaks_first(vec![b'x'; 20]);
    let operated = Operated::proxy(upstream.address, &[]);
    operated.fault("add limit_data 10 --name limit");
    // Longer than an operator's cut by FIN may take.
    operated.fault("add latency 5500ms");
    let received = read_to_end(&mut operated.server.connect());
    assert_eq!((received.bytes.len(), received.end), (10, End::Fin));
    let close = operated.server.await_closes(1).remove(0);
    assert_eq!((&close["cause"], &close["fault"]), (&json!("fault"), &json!("limit")));
}

#[test]
fn what_a_fault_holds_of_a_client_that_has_left_is_not_stalled() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &["--stall-timeout", "1s"]);
    operated.fault("add latency 3s --up");
    let mut client = operated.server.connect();
    client.write_all(b"late").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.as_slice(), received.end), (&b"late"[..], End::Fin));
    assert_eq!(operated.server.await_closes(1)[0]["cause"], "done");
}

#[test]
fn faults_of_an_opening_are_for_sessions_that_begin() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut live = operated.server.connect();
    exchange(&mut live, b"hello");
    operated.fault("add refuse --count 1");
    exchange(&mut live, b"hello");
    assert_eq!(operated.faults()[0]["stats"]["hit"], 0);
    assert_eq!(read_to_end(&mut operated.server.connect()).end, End::Reset);
    exchange(&mut operated.server.connect(), b"the next is well");
    let stats = operated.faults()[0]["stats"].clone();
    assert_eq!((&stats["seen"], &stats["hit"]), (&json!(2), &json!(1)));
}

/// How many bytes a sender can hand in before it has to wait. Its own queue is small.
fn handed_in(sender: &mut TcpStream) -> usize {
    rustix::net::sockopt::set_socket_send_buffer_size(&*sender, 4096).unwrap();
    // Where a window opens little by little, the sender's kernel tries again after some time.
    write_until_blocked(sender, Duration::from_millis(1500))
}

/// What the upstream and the client can hand in, beside what is relayed, with these faults too.
fn handed_in_with(faults: &[&str]) -> [usize; 2] {
    const RELAYED: usize = 200_000;
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let operated = Operated::proxy(upstream.local_addr().unwrap(), &[]);
    // What is not read waits in the kernels.
    operated.fault("add stall --down");
    operated.fault(&format!("add stall {RELAYED} --up"));
    faults.iter().for_each(|fault| drop(operated.fault(fault)));
    let mut client = operated.server.connect();
    let mut peer = upstream.accept().unwrap().0;
    let downstream = handed_in(&mut peer);
    let taking = thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
    let upstream = handed_in(&mut client);
    drop((client, operated));
    let _ = taking.join().unwrap();
    [downstream, upstream.checked_sub(RELAYED).expect("so much is relayed")]
}

#[test]
fn a_window_lets_a_sender_hand_in_less_before_it_has_to_wait() {
    let [down, up] = handed_in_with(&[]);
    let [small_down, small_up] = handed_in_with(&["add window 4KiB --down", "add window 8KiB --up"]);
    assert!(small_down * 2 < down, "{small_down} and {down}");
    // A client may send what it was offered before.
    assert!(small_up * 3 < up * 2, "{small_up} and {up}");
}
