//! `--metrics`: what it counts, which requests it answers, and that no scraper can touch the traffic.

mod totals;

use crate::support::{
    fake::unreachable,
    openmetrics::Exposition,
    operator::Operated,
    program,
    scrape::{address, ask, get, scrape},
    server::{Launch, Output, Server},
    stream::{End, connect, exchange, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

fn ended(metrics: &Exposition, mode: &str, cause: &str) -> f64 {
    metrics.value("switchboard_sessions_total", &[("mode", mode), ("cause", cause)])
}

#[test]
fn bytes_count_while_they_flow() {
    let server = Server::echo(&["--metrics", "0"]);
    let admin = address(&server);
    let mut client = server.connect();
    for (total, length) in [(10, 10), (1_000_010, 1_000_000)] {
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&vec![b'x'; length]).unwrap());
        std::io::copy(&mut std::io::Read::take(&mut client, length as u64), &mut std::io::sink()).unwrap();
        writing.join().unwrap();
        let now = scrape(admin);
        for direction in ["client", "upstream"] {
            let bytes = now.value("switchboard_bytes_total", &[("direction", direction)]);
            assert_eq!(bytes, f64::from(total), "{direction}");
        }
        assert_eq!(now.value("switchboard_sessions_active", &[("mode", "echo")]), 1.0);
    }
}

#[test]
fn sessions_that_relay_nothing_are_booked_by_their_cause() {
    let (refusing, _held) = unreachable::refuses();
    let server = Server::proxy(refusing, &["--metrics", "0"]);
    for _ in 0..20 {
        assert_eq!(read_to_end(&mut server.connect()).end, End::Reset);
    }
    server.await_closes(20);
    let now = scrape(address(&server));
    assert_eq!(ended(&now, "proxy", "connect_refused"), 20.0);
    assert_eq!(now.value("switchboard_dial_duration_seconds_count", &[]), 0.0);

    let server = Server::echo(&["--metrics", "0", "--max-per-source", "1"]);
    exchange(&mut server.connect(), b"in");
    server.await_closes(1);
    let mut held = server.connect();
    exchange(&mut held, b"in");
    for _ in 0..5 {
        assert_eq!(read_to_end(&mut server.connect()).end, End::Reset);
    }
    let now = scrape(address(&server));
    assert_eq!((ended(&now, "echo", "refused_limit"), ended(&now, "echo", "done")), (5.0, 1.0));
    assert_eq!(now.value("switchboard_sessions_opened_total", &[("mode", "echo")]), 7.0);
    assert_eq!(now.value("switchboard_sessions_active", &[("mode", "echo")]), 1.0);
}

#[test]
fn what_could_not_be_accepted_or_told_is_counted() {
    let shell = Some("ulimit -n 64; exec \"$0\" \"$@\"");
    let flags = ["--max-sessions", "1000", "--metrics", "0"];
    let server = Launch { mode: "echo", flags: &flags, shell, output: Output::Broken }.start();
    let crowd: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    server.await_warning("pauses accepting");
    drop(crowd);
    let now = within(LIMIT, "the lines that are not taken are counted", || {
        let now = scrape(address(&server));
        (now.value("switchboard_event_lines_dropped_total", &[]) > 0.0).then_some(now)
    });
    assert!(now.value("switchboard_accept_errors_total", &[("kind", "resources")]) > 0.0);
    assert_eq!(now.value("switchboard_accept_errors_total", &[("kind", "fatal")]), 0.0);
    assert_eq!(now.value("switchboard_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    let started = now.value("switchboard_process_start_time_seconds", &[]);
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - started;
    assert!((0.0..60.0).contains(&age), "{age}");
}

#[test]
fn it_is_not_ready_while_it_is_paused() {
    let operated = Operated::start("echo", &["--metrics", "0"]);
    let admin = address(&operated.server);
    assert_eq!(get(admin, "/readyz").status, 200);
    assert_eq!(operated.ctl(&["pause"]).code, 0);
    assert_eq!((get(admin, "/healthz").status, get(admin, "/readyz").status), (200, 503));
    assert_eq!(operated.ctl(&["resume"]).code, 0);
    assert_eq!(get(admin, "/readyz").status, 200);
}

#[test]
fn it_is_ready_until_the_drain_and_alive_through_it() {
    let mut server = Server::echo(&["--metrics", "0"]);
    let admin = address(&server);
    let mut client = server.connect();
    exchange(&mut client, b"in");
    assert_eq!((get(admin, "/healthz").status, get(admin, "/readyz").status), (200, 200));
    server.signal(Signal::TERM);
    within(LIMIT, "it is not ready any more", || (get(admin, "/readyz").status == 503).then_some(()));
    assert_eq!(get(admin, "/healthz").status, 200);
    exchange(&mut client, b"still in");
    assert_eq!(scrape(admin).value("switchboard_sessions_active", &[("mode", "echo")]), 1.0);
    drop(client);
    assert_eq!(server.await_exit(), 0);
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let operated = Operated::start("echo", &["--metrics", "0"]);
    // Those of faults are there for each that there is.
    assert_eq!(operated.ctl(&["fault", "add", "noop"]).code, 0);
    let admin = address(&operated.server);
    // The older format names what it counts as a query does.
    let page = ask(admin, "GET /metrics HTTP/1.1", &format!("Host: {admin}\r\n")).body;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let served: BTreeSet<&str> = types.collect();
    let topic = include_str!("../../src/text/topics/metrics.md");
    let cells = topic.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let names = cells.flat_map(|cell| cell.split('`')).filter(|name| name.starts_with("switchboard_"));
    let documented: BTreeSet<&str> = names.filter_map(|name| name.split('{').next()).collect();
    assert_eq!(documented, served);
}

#[test]
fn sessions_are_counted_under_the_name_of_their_listener() {
    let flags = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--metrics", "0"];
    let server = Server::echo(&flags);
    let mut client = connect(server.addresses[1].parse().unwrap());
    exchange(&mut client, b"in");
    let now = scrape(address(&server));
    for (listener, active) in server.addresses.iter().zip([0.0, 1.0]) {
        let labels = [("mode", "echo"), ("name", listener.as_str())];
        assert_eq!(now.value("switchboard_sessions_active", &labels), active);
        assert_eq!(now.value("switchboard_sessions_opened_total", &labels), active);
    }
}

#[test]
fn older_scrapers_are_answered_in_their_format() {
    let server = Server::echo(&["--metrics", "0"]);
    let admin = address(&server);
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain\r\n"] {
        let answer = ask(admin, "GET /metrics HTTP/1.1", &format!("Host: localhost\r\n{accept}"));
        assert!(
            answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{answer:?}"
        );
        assert!(answer.body.contains("\n# TYPE switchboard_bytes_total counter\nswitchboard_bytes_total{"));
        assert!(answer.body.contains("\n# TYPE switchboard_build_info gauge\nswitchboard_build_info{"));
        assert!(!answer.body.contains("EOF") && !answer.body.contains("UNIT"), "{answer:?}");
    }
}

#[test]
fn only_its_pages_its_methods_and_its_names_are_answered() {
    let server = Server::echo(&["--metrics", "localhost:0"]);
    let admin = address(&server);
    let port = admin.port();
    for (line, fields, status) in [
        ("GET /metrics HTTP/1.1", format!("Host: 127.0.0.1:{port}\r\n"), 200),
        ("GET /metrics HTTP/1.1", format!("Host: localhost:{port}\r\n"), 200),
        ("GET /metrics HTTP/1.1", "Host: [::1]\r\n".into(), 200),
        ("GET /metrics HTTP/1.0", String::new(), 200),
        ("GET /metrics?name=x HTTP/1.1", "Host: localhost\r\n".into(), 200),
        ("GET /metrics HTTP/1.1", format!("Host: evil.example:{port}\r\n"), 421),
        ("GET /healthz HTTP/1.1", "Host: evil.example\r\n".into(), 421),
        ("GET http://evil.example/metrics HTTP/1.1", "Host: localhost\r\n".into(), 421),
        ("GET /metrics HTTP/1.1", String::new(), 400),
        ("GET / HTTP/1.1", "Host: localhost\r\n".into(), 404),
        ("POST /metrics HTTP/1.1", "Host: localhost\r\nContent-Length: 3\r\n".into(), 405),
        ("not http", String::new(), 400),
    ] {
        assert_eq!(ask_then(admin, line, &fields).0, status, "{line} {fields}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let (status, text) = ask_then(admin, &format!("HEAD {path} HTTP/1.1"), "Host: localhost\r\n");
        assert_eq!(status, 200);
        assert!(text.ends_with("\r\n\r\n") && !text.contains("content-length: 0\r\n"), "{text}");
    }
}

/// As [`ask`]; the status, and all of the answer.
fn ask_then(admin: SocketAddr, line: &str, fields: &str) -> (u16, String) {
    let answer = ask(admin, line, fields);
    (answer.status, format!("{}\r\n\r\n{}", answer.head, answer.body))
}

/// Connections to the admin address that are open at once (`CONNECTIONS_MAX`).
const SCRAPERS_MAX: usize = 16;

#[test]
fn slow_scrapers_touch_neither_traffic_nor_descriptors() {
    let server = Server::echo(&["--metrics", "0"]);
    let admin = address(&server);
    let mut client = server.connect();
    exchange(&mut client, b"in");
    let before = server.process().descriptors().len();
    let mut slow: Vec<TcpStream> = (0..24).map(|_| connect(admin)).collect();
    for stream in slow.iter_mut().step_by(2) {
        // Half of them ask, and never read the answer.
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        exchange(&mut client, &[b'x'; 10_000]);
        exchange(&mut server.connect(), b"new ones too");
        // The client just now and the one before it may both still be there, and the pipe pool.
        let open = server.process().descriptors().len();
        assert!(open <= before + SCRAPERS_MAX + 16, "{before} descriptors became {open}");
    }
    assert_eq!(get(admin, "/healthz").status, 200);
    assert!(scrape(admin).value("switchboard_bytes_total", &[("direction", "client")]) > 10_000.0);
}

#[test]
fn a_health_check_waits_for_no_idle_connection_and_no_answer_is_lost() {
    const IDLE: usize = 60;
    let server = Server::echo(&["--metrics", "0"]);
    let admin = address(&server);
    let half = "GET /metrics HTTP/1.1\r\n";
    let whole = format!("{half}Host: localhost\r\n\r\n");
    // They say nothing; they say half of a request; they ask, and do not end their stream after the answer.
    for says in ["", half, &whole] {
        let mut idle: Vec<TcpStream> = (0..IDLE).map(|_| connect(admin)).collect();
        idle.iter_mut().for_each(|stream| stream.write_all(says.as_bytes()).unwrap());
        let begin = Instant::now();
        assert_eq!(get(admin, "/healthz").status, 200);
        assert!(begin.elapsed() < Duration::from_secs(4), "{says:?}: only after {:?}", begin.elapsed());
        for mut stream in idle.into_iter().filter(|_| says == whole) {
            let answer = String::from_utf8(read_to_end(&mut stream).bytes).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}", body.len());
            assert!(head.to_lowercase().contains(&length), "{} bytes after {head}", body.len());
        }
    }
}

#[test]
fn an_address_that_cannot_be_used_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let launch = Launch { mode: "echo", flags: &["--metrics", &at], shell: None, output: Output::Read };
    let output = program::output(launch.command());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&at) && text.contains("choose another --metrics address"), "{text}");
}
