//! Each option does what it says.

use super::{Running, load, report, run};
use crate::support::{
    fake::{behind_proxy, load_target},
    program::{self, binary_in_shell},
    server::Server,
    stream::End,
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

#[test]
fn sizes_and_numbers_are_those_asked_for() {
    let server = Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "3", "--size", "16k", "--requests", "30"]);
    assert_eq!(report["sent_bytes"], 30 * 16 * 1024, "{report}");
    assert_eq!(
        report["connections"],
        json!({"asked": 3, "at_once": 3, "made": 3, "limit": null}),
        "{report}"
    );
    assert_eq!((&report["request_bytes"], &report["mode"]), (&json!(16 * 1024), &json!("pingpong")));
}

#[test]
fn a_stream_in_bulk_comes_back_whole() {
    let server = Server::echo(&[]);
    let arguments = ["-c", "2", "--mode", "bulk", "--requests", "20", "--size", "1m", "--half-close"];
    let report = load(server.address(), 0, &arguments);
    assert_eq!((&report["requests"], &report["errors"]), (&json!(20), &json!(0)), "{report}");
    // What was under way before came back as well, or the end of the peer's stream would have come too early.
    let bytes: u64 = server.await_closes(2).iter().map(|close| close["client_bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, (20 + 2 * 4) << 20);
}

#[test]
fn a_stream_in_bulk_may_go_one_way() {
    let server = load_target::counts();
    let arguments = ["-c", "1", "--mode", "bulk", "--size", "64k", "--expect", "0", "--requests", "100"];
    let report = load(server.address, 0, &arguments);
    assert_eq!(
        (&report["sent_bytes"], &report["received_bytes"]),
        (&json!(6_553_600), &json!(0)),
        "{report}"
    );
    let received = server.await_received();
    assert_eq!((received.bytes.len(), received.end), (6_553_600, End::Fin));
}

#[test]
fn a_connection_a_request_is_churn() {
    let server = Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "4", "--mode", "churn", "--requests", "60"]);
    assert_eq!((&report["connections"]["made"], &report["errors"]), (&json!(60), &json!(0)), "{report}");
    assert!(server.await_closes(60).iter().all(|close| close["cause"] == "done"));
}

#[test]
fn each_connection_begins_with_a_header_that_is_no_part_of_the_load() {
    for version in ["v1", "v2"] {
        let server = behind_proxy::echoes(version);
        for (mode, made) in [("pingpong", 3), ("churn", 30), ("bulk", 3)] {
            let arguments = ["-c", "3", "--size", "64", "--requests", "30", "--half-close", "--mode", mode];
            let report = load(server.address, 0, &[&arguments[..], &["--send-proxy", version]].concat());
            let counts = (&report["errors"], &report["connections"]["made"], &report["sent_bytes"]);
            assert_eq!(counts, (&json!(0), &json!(made), &json!(30 * 64)), "{report}");
            for _ in 0..made {
                let received = server.await_received();
                assert_eq!(received.end, End::Fin);
                // The request of a connection that makes one is there; another has to wait for its turn.
                assert!(mode == "pingpong" || received.bytes.len() >= 64, "{mode}: {}", received.bytes.len());
            }
        }
        let without = load(server.address, 1, &["-c", "1", "--requests", "1", "--mode", "churn"]);
        assert_ne!(without["errors"], 0, "{without}");
    }
}

#[test]
fn a_header_does_not_wait_for_the_turn_of_a_request() {
    let server = behind_proxy::echoes("v2");
    // The second connection, which all requests wait for, is made half a second after the first.
    let arguments = ["-c", "2", "--connect-rate", "2", "--requests", "2", "--send-proxy", "v2"];
    load(server.address, 0, &arguments);
    let with_the_header = [(); 2].map(|()| server.await_received().bytes.len());
    assert!(with_the_header.contains(&0), "{with_the_header:?}");
}

#[test]
fn a_file_or_a_text_is_sent_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"from a file\0\xff").unwrap();
    let path = file.path().to_str().unwrap();
    for (arguments, bytes) in
        [(["--file", path], &b"from a file\0\xff"[..]), (["--send", r"a\x00\\\r\n"], b"a\0\\\r\n")]
    {
        let server = load_target::counts();
        let arguments = [&["-c", "1", "--requests", "2", "--expect", "0"], &arguments[..]].concat();
        load(server.address, 0, &arguments);
        assert_eq!(server.await_received().bytes, bytes.repeat(2));
    }
}

#[test]
fn an_answer_may_end_with_the_stream() {
    let server = load_target::answers_and_ends(b"all of the answer");
    let report = load(server.address, 0, &["-c", "2", "--requests", "6", "--expect", "until-close"]);
    assert_eq!((&report["requests"], &report["mode"]), (&json!(6), &json!("churn")), "{report}");
    assert_eq!(report["received_bytes"], 6 * 17, "{report}");
}

#[test]
fn a_half_closed_request_gets_its_answer() {
    // It answers only when the client's stream has ended.
    let arguments = ["-c", "2", "--mode", "churn", "--requests", "4", "--timeout", "2s"];
    let server = load_target::echoes_at_the_end();
    let report = load(server.address, 0, &[&arguments[..], &["--half-close"]].concat());
    assert_eq!((&report["requests"], &report["errors"]), (&json!(4), &json!(0)), "{report}");
    let server = load_target::echoes_at_the_end();
    let report = load(server.address, 1, &[&arguments[..6], &["--timeout", "200ms"]].concat());
    assert_eq!(report["errors_by_cause"], json!({"timed_out": 4}), "{report}");
}

#[test]
fn connections_are_made_no_faster_than_asked() {
    let server = Server::echo(&[]);
    for arguments in
        ["-c 11 --requests 11", "-c 5 --mode churn --requests 11", "-c 11 --threads 4 --requests 11"]
    {
        let words: Vec<&str> = arguments.split(' ').collect();
        let begin = Instant::now();
        let report = load(server.address(), 0, &[&words[..], &["--connect-rate", "20"]].concat());
        assert_eq!(report["connections"]["made"], 11, "{report}");
        // The first is made at once, each other 50 ms after the one before it.
        assert!(begin.elapsed() >= Duration::from_millis(500), "{:?}", begin.elapsed());
    }
}

#[test]
fn what_happens_while_it_warms_up_does_not_count() {
    let server = load_target::stalls_once(3, Duration::from_millis(600));
    let arguments = ["-c", "1", "--warmup", "900ms", "--duration", "300ms"];
    let report = load(server.address, 0, &arguments);
    assert!(report["service_ms"]["max"].as_f64().unwrap() < 600.0, "{report}");
    let seconds = report["duration_s"].as_f64().unwrap();
    assert!((0.3..1.0).contains(&seconds), "{report}");
}

#[test]
fn threads_share_the_work() {
    let server = Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "7", "--threads", "3", "--requests", "1000"]);
    assert_eq!((&report["requests"], &report["threads"]), (&json!(1000), &json!(3)), "{report}");
    assert_eq!(report["connections"]["made"], 7, "{report}");
}

#[test]
fn names_addresses_and_sockets_are_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("s").display());
    let server = Server::echo(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", &path]);
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let requests = ["-c", "2", "--requests", "20"];
    for target in [
        format!("tcp://{}", server.addresses[1]),
        path.clone(),
        format!("tcp://localhost:{}", port(&server.addresses[0])),
    ] {
        let report = report(&target, 0, &requests);
        assert_eq!((&report["requests"], &report["target"]), (&json!(20), &json!(target)), "{report}");
    }
    // The server does not listen on the first of these addresses.
    let resolve = format!("example.test:{0}:::1,127.0.0.1", port(&server.addresses[0]));
    let target = format!("tcp://example.test:{}", port(&server.addresses[0]));
    let report = report(&target, 0, &[&requests[..], &["--resolve", &resolve]].concat());
    assert_eq!(report["address"], server.addresses[0], "{report}");
}

#[test]
fn it_makes_as_many_connections_as_descriptors_allow_and_says_so() {
    let server = Server::echo(&[]);
    let limited = |arguments: &[&str]| {
        let target = format!("tcp://{}", server.address());
        let mut command = binary_in_shell("ulimit -n 80; exec \"$0\" \"$@\"");
        command.args(["load", &target]).args(arguments).args(["--requests", "500", "--json"]);
        let output = program::output(command);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    for count in ["max", "500"] {
        let report = limited(&["-c", count]);
        let made = report["connections"]["at_once"].as_u64().unwrap();
        assert!((30..80).contains(&made), "{report}");
        let limit = report["connections"]["limit"].as_str().unwrap();
        assert!(limit.contains("descriptor limit of 80"), "{report}");
        assert_eq!((&report["requests"], &report["errors"]), (&json!(500), &json!(0)), "{report}");
    }
    assert!(limited(&["-c", "10"])["connections"]["limit"].is_null());
}

#[test]
fn a_server_that_takes_no_more_connections_is_named() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    // A backlog of 3 holds four connections that are not accepted; those that follow stay requests.
    listener.listen(3).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let arguments = ["-c", "20", "--expect", "0", "--requests", "40", "--timeout", "1s"];
    let report = load(address, 1, &arguments);
    assert_eq!(report["connections"]["at_once"], 4, "{report}");
    assert!(
        report["connections"]["limit"].as_str().unwrap().contains("the target takes no more"),
        "{report}"
    );
    assert_eq!(report["errors_by_cause"], json!({"timed_out": 16}), "{report}");
    assert_eq!(report["requests"], 40, "{report}");
}

#[test]
fn a_signal_ends_a_ramp_too() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    let mut running = Running::start(&[&target, "-c", "100", "--connect-rate", "1", "--json"]);
    server.await_event("open", |_| true);
    running.signal(Signal::INT);
    let report = running.end(0);
    assert_eq!((&report["interrupted"], &report["requests"]), (&json!(true), &json!(0)), "{report}");
}

#[test]
fn a_signal_ends_it_early_with_its_report() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = Running::start(&[&target, "-c", "5", "--duration", "off", "--json"]);
        server.await_event("open", |_| true);
        let notes = crate::support::lines::Lines::of(running.0.stderr.take().unwrap());
        within(LIMIT, "a line of the first second", || (!notes.all().is_empty()).then_some(()));
        running.signal(signal);
        let report = running.end(0);
        assert_eq!((&report["interrupted"], &report["errors"]), (&json!(true), &json!(0)), "{report}");
        assert!(report["requests"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn a_server_that_goes_away_is_counted_and_does_not_end_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        std::io::Write::write_all(&mut stream, &message).unwrap();
        stream.read_exact(&mut message).unwrap();
    });
    let run = run(&[&format!("tcp://{address}"), "-c", "1", "--duration", "500ms"]);
    server.join().unwrap();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.contains(" refused") && run.out.contains("requests     1 in 50"), "{run:?}");
}
