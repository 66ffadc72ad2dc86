//! The audit, as the built binary: it passes a relay that is right, and finds each one that is not.

mod faults;
mod screen;
mod tls;

use crate::support::{
    fake::{
        Fake,
        faulty_relay::{Fault, FaultyRelay},
        nothing, unreachable,
    },
    lines::Lines,
    program::{Program, binary},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// A run of the audit.
struct Audit {
    program: Program,
    notes: Lines,
}

impl Audit {
    fn start(arguments: &[&str]) -> Audit {
        let mut command = binary();
        command.arg("audit").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(&mut command);
        let notes = Lines::of(program.stderr.take().unwrap());
        Audit { program, notes }
    }

    /// An audit of a proxy at `via` with these checks, whose origin is on a port that the kernel chose.
    fn of(via: SocketAddr, checks: &[&str]) -> (Audit, SocketAddr) {
        let via = via.to_string();
        let audit = Audit::start(&[&["--via", &via, "--origin", "127.0.0.1:0", "--json"], checks].concat());
        let origin = within(LIMIT, "the start line", || {
            let lines = audit.notes.all();
            let (_, rest) = lines.first()?.split_once("listening on ")?;
            Some(rest.split(',').next()?.parse().unwrap())
        });
        (audit, origin)
    }

    /// Reads the report to its end.
    fn report(mut self) -> (String, i32, Vec<String>) {
        let mut report = String::new();
        self.program.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        (report, self.program.await_exit(), self.notes.all())
    }
}

/// Audits a relay with this fault; the exit code and the report.
fn audit(fault: Fault, arguments: &[&str]) -> (i32, Value) {
    let relay = FaultyRelay::start(fault);
    let (audit, origin) = Audit::of(relay.address, arguments);
    relay.relay_to(origin);
    let (report, code, notes) = audit.report();
    let report = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{fault:?}: {report:?} {notes:?}"));
    (code, report)
}

fn verdicts(report: &Value) -> Vec<(&str, &str)> {
    report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["name"].as_str().unwrap(), check["verdict"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_relay_that_is_right_is_the_same_in_every_check() {
    let all_but_the_longest = [
        "--idle",
        "1s",
        "half-close-0s",
        "half-close-1s",
        "upload",
        "early",
        "speaks-first",
        "connect-and-go",
        "refused",
        "reset",
        "client-reset",
        "bulk",
        "stalled",
        "one-byte-writes",
        "urgent",
        "many",
        "idle",
        "proxy-header",
    ];
    let (code, report) = audit(Fault::Nothing, &all_but_the_longest);
    let verdicts = verdicts(&report);
    assert!(verdicts.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
    assert_eq!((verdicts.len(), code, report["strangers"].as_u64()), (22, 0, Some(0)), "{report:#}");
}

#[test]
fn our_own_proxy_is_the_same_in_every_check() {
    for more in [&[][..], &["--send-proxy", "v1"]] {
        let words = [&["--self", "--json", "--idle", "1s"], more].concat();
        let (report, code, notes) = Audit::start(&words).report();
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report:?} {notes:?}"));
        let verdicts = verdicts(&report);
        assert!(verdicts.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
        assert_eq!((verdicts.len(), code), (23, 0));
    }
}

#[test]
fn a_proxy_header_is_told_taken_off_and_not_judged() {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0e\x7f\0\0\x01\x7f\0\0\x02\0\x50\x1f\x90\x04\0";
    let v1 = b"PROXY TCP4 127.0.0.1 127.0.0.2 80 8080\r\n";
    for (header, words) in [
        (&v1[..], "version 1: PROXY TCP4 127.0.0.1 127.0.0.2 80 8080"),
        // The shortest there is, which HAProxy sends where it has no addresses to tell.
        (b"PROXY UNKNOWN\r\n", "version 1: PROXY UNKNOWN"),
        (V2, "version 2: PROXY from 127.0.0.1 80 to 127.0.0.2 8080, 2 B more"),
    ] {
        let checks =
            ["proxy-header", "half-close-0s", "speaks-first", "connect-and-go", "early-data", "many"];
        let (code, report) = audit(Fault::SendsHeader(header), &checks);
        let (last, others) =
            verdicts(&report).split_last().map(|(last, rest)| (*last, rest.to_vec())).unwrap();
        assert_eq!((last, code), (("proxy-header", "noted"), 0), "{report:#}");
        assert!(others.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
        let seen = &report["checks"][others.len()]["through"]["beside"]["header"];
        assert_eq!(seen, words, "{report:#}");
    }
}

#[test]
fn a_proxy_that_wants_a_header_gets_one_and_the_origin_sees_none_of_it() {
    for version in ["v1", "v2"] {
        let checks =
            ["half-close-0s", "early", "speaks-first", "connect-and-go", "refused", "reset", "client-reset"];
        let more = ["one-byte-writes", "urgent", "many", "proxy-header", "--send-proxy", version];
        let (code, report) = audit(Fault::WantsHeader(version), &[&checks[..], &more].concat());
        let verdicts = verdicts(&report);
        assert!(verdicts.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
        assert_eq!((verdicts.len(), code, report["strangers"].as_u64()), (15, 0, Some(0)), "{report:#}");
    }
}

#[test]
fn a_header_that_the_proxy_takes_for_the_clients_bytes_is_told() {
    let (code, report) = audit(Fault::Nothing, &["half-close-0s", "proxy-header", "--send-proxy", "v1"]);
    assert_eq!((verdicts(&report), code), (vec![("half-close-0s", "same"), ("proxy-header", "noted")], 0));
    let seen = report["checks"][1]["through"]["beside"]["header"].as_str().unwrap();
    assert!(seen.starts_with("version 1: PROXY TCP4 127.0.0.1 127.0.0.1 "), "{report:#}");
}

#[test]
fn a_proxy_that_does_not_get_the_header_that_it_wants_ends_with_3() {
    let relay = FaultyRelay::start(Fault::WantsHeader("v2"));
    let (audit, origin) = Audit::of(relay.address, &["--send-proxy", "v1"]);
    relay.relay_to(origin);
    assert_ends(audit, 3, "none comes to the origin");
}

#[test]
fn health_checks_are_not_taken_for_the_clients_connections() {
    let relay = FaultyRelay::start(Fault::Nothing);
    let checks =
        ["speaks-first", "connect-and-go", "reset-at-once", "early-data", "refused", "half-close-0s", "many"];
    let (audit, origin) = Audit::of(relay.address, &checks);
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let checker = thread::spawn(move || {
        let (mut visits, mut held) = (0, Vec::new());
        while !is_over.load(SeqCst) {
            // They end by FIN, by RST, or much later. Where the origin refuses, the next one comes all the same.
            if let Ok(visit) = TcpStream::connect(origin) {
                visits += 1;
                match visits % 3 {
                    0 => drop(visit),
                    1 => crate::support::stream::reset(visit),
                    _ => held.push(visit),
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        visits
    });
    relay.relay_to(origin);
    let (report, code, _) = audit.report();
    over.store(true, SeqCst);
    let visits = checker.join().unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(verdicts(&report).iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
    assert_eq!((verdicts(&report).len(), code), (7, 0));
    assert!(visits > 2 && report["strangers"].as_u64().unwrap() > 0, "{visits} visits: {report:#}");
}

/// The audit ends with `code` and these words, and without a report.
#[track_caller]
fn assert_ends(audit: Audit, code: i32, words: &str) {
    let notes = audit.notes.clone();
    let (report, ended_with, _) = audit.report();
    assert_eq!((report.as_str(), ended_with), ("", code), "{:?}", notes.all());
    within(LIMIT, words, || notes.all().last()?.contains(words).then_some(()));
}

#[test]
fn a_proxy_that_is_not_there_or_leads_elsewhere_ends_with_3() {
    let (nowhere, _reserved) = unreachable::refuses();
    assert_ends(Audit::of(nowhere, &[]).0, 3, "connection refused");
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (audit, origin) = Audit::of(elsewhere.local_addr().unwrap(), &[]);
    assert_ends(audit, 3, &format!("none comes to the origin at {origin}"));
}

#[test]
fn a_proxy_that_talks_and_never_forwards_ends_with_3() {
    // Much more often than the audit's patience with silence, 5 s.
    const PACE: Duration = Duration::from_millis(250);
    let talker = Fake::start(|mut stream, _| {
        while stream.write_all(b"wait\n").is_ok() {
            thread::sleep(PACE);
        }
        nothing()
    });
    let begin = Instant::now();
    assert_ends(Audit::of(talker.address, &[]).0, 3, "answers them itself, and none comes to the origin");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn an_origin_address_that_another_program_has_is_told() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = taken.local_addr().unwrap().to_string();
    let audit = Audit::start(&["--via", "127.0.0.1:1", "--origin", &origin]);
    assert_ends(audit, 1, &format!("cannot listen on {origin} as the origin: address already in use"));
}

#[test]
fn a_report_is_written_beside_the_table_and_every_key_of_the_json_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let forms = ["junit=a.xml", "md=a.md", "html=a.html"]
        .map(|form| form.replace("a.", &format!("{}/a.", folder.path().display())));
    let [junit, markdown, html] = &forms;
    let words = ["--self", "--json", "refused", "reset-at-once", "--report", junit, markdown, html];
    let (report, code, notes) = Audit::start(&words).report();
    assert_eq!(code, 0, "{report} {notes:?}");
    let xml = std::fs::read_to_string(path("a.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), 2, "{xml}");
    let markdown = std::fs::read_to_string(path("a.md")).unwrap();
    assert!(markdown.contains("| ✅ `refused` | same |") && markdown.contains("grade A"), "{markdown}");
    assert!(std::fs::read_to_string(path("a.html")).unwrap().contains("download=\"audit.json\""));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["checks"][0]["note"].as_str().unwrap().contains("RST is all it has left"), "{report:#}");
    let topic = include_str!("../../src/text/topics/audit.md");
    for object in ["", "/checks/0", "/checks/0/through/client"] {
        for key in report.pointer(object).unwrap().as_object().unwrap().keys() {
            assert!(topic.contains(&format!("`{key}`")), "{key} of {object:?} is not explained");
        }
    }
}
