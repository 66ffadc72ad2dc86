//! Faults: what breaks sessions on purpose, as operators and files set them.

mod ends;
mod listener;
mod told;

use crate::support::{
    fake::peer,
    operator::Operated,
    stream::{End, connect, exchange, read_exactly, read_to_end},
    wait::{LIMIT, within},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

/// Of the latencies of these tests: far above what a round trip of a busy machine takes.
const LATENCY: Duration = Duration::from_millis(300);
/// Longer than any test: what waits for it has not passed by itself.
const LONG: &str = "1h";

fn round_trip(client: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    exchange(client, b"hello");
    begin.elapsed()
}

impl Operated {
    /// Which of the next sessions of an echo server are hit, as a line of 0 and 1.
    fn hit_of(&self, sessions: usize) -> String {
        let clients = self.server.greeted(sessions);
        let mut listed = self.json(&["list"]);
        listed.sort_by_key(|one| one["session"].as_u64());
        drop(clients);
        let is_hit = |one: &Value| one["faults"].as_array().is_some_and(|names| !names.is_empty());
        listed.iter().map(|one| if is_hit(one) { '1' } else { '0' }).collect()
    }
}

#[test]
fn a_latency_comes_and_goes_while_the_session_lives() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let name = operated.server.addresses[0].clone();
    let mut client = operated.server.connect();
    assert!(round_trip(&mut client) < LATENCY);
    let told = operated.fault(&format!("add {name} latency 300ms"));
    let wanted =
        format!("listener {name}: fault latency_downstream added: latency downstream, latency=300ms\n");
    assert_eq!(told, wanted);
    assert!(round_trip(&mut client) >= LATENCY);
    operated.fault(&format!("add {name} latency 300ms --up"));
    assert!(round_trip(&mut client) >= 2 * LATENCY);
    operated.fault(&format!("update {name} latency_upstream 600ms"));
    assert!(round_trip(&mut client) >= 3 * LATENCY);
    operated.fault(&format!("remove {name} latency_upstream"));
    operated.fault(&format!("remove {name} latency_downstream"));
    assert!(round_trip(&mut client) < LATENCY);
    assert!(operated.faults().is_empty());
    assert_eq!(operated.fault(&format!("remove {name} --all")), "there is no fault\n");
}

#[test]
fn what_waits_goes_on_at_once_and_in_order_when_a_fault_is_removed() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    operated.fault(&format!("add latency {LONG} --up --name slow"));
    let mut client = operated.server.connect();
    upstream.await_reached();
    let sent: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let held = within(LIMIT, "all bytes are held", || {
        let stats = operated.faults().remove(0)["stats"].clone();
        (stats["held_bytes"] == sent.len()).then_some(stats)
    });
    assert_eq!((&held["seen"], &held["hit"], &held["passed_bytes"]), (&json!(1), &json!(1), &json!(0)));
    operated.fault("remove --all");
    let received = upstream.await_received();
    assert!(received.bytes == sent && received.end == End::Fin, "{:?}", received.end);
}

#[test]
fn a_fault_of_one_session_spares_the_others() {
    let operated = Operated::start("echo", &[]);
    let [mut first, mut second] = <[TcpStream; 2]>::try_from(operated.server.greeted(2)).unwrap();
    // The one direction of an echo has the faults of both streams.
    operated.fault("add --session 2 latency 300ms --up");
    operated.fault("add --session 2 latency 300ms --down");
    assert!(round_trip(&mut second) >= 2 * LATENCY);
    assert!(round_trip(&mut first) < LATENCY);
    assert!(round_trip(&mut operated.server.connect()) < LATENCY);
    operated.assert_fails(&["fault", "add", "--session", "99", "noop"], "there is no session 99");
}

#[test]
fn the_same_seed_hits_the_same_sessions_whatever_else_there_is() {
    let file = |seed: u64| {
        format!("seed = {seed}\n[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"127.0.0.1:9\"\n")
    };
    let upstream = peer::echoes();
    let run = |seed: u64, others: &[&str]| {
        let text = file(seed).replace("127.0.0.1:9", &upstream.address.to_string());
        let operated = Operated::run(&text, 1);
        for other in others {
            operated.fault(other);
        }
        operated.fault("add a noop --share 50%");
        operated.hit_of(24)
    };
    let first = run(7, &[]);
    assert!(first.contains('0') && first.contains('1'), "{first}");
    // One that hits none is not seen in the list.
    assert_eq!(run(7, &["add a noop --share 0 --name other"]), first);
    assert_ne!(run(8, &[]), first);
}

#[test]
fn a_scope_skips_counts_and_takes_one_of_several() {
    let operated = Operated::start("echo", &[]);
    operated.fault("add noop --skip 2 --every 2 --count 2");
    assert_eq!(operated.hit_of(8), "00010100");
    operated.fault("remove --all");
    operated.fault("add noop --from 127.0.0.2/32");
    assert_eq!(operated.hit_of(2), "00");
}

#[test]
fn a_fault_with_a_limited_time_removes_itself_and_says_so() {
    let operated = Operated::start("echo", &[]);
    operated.fault("add noop --for 200ms --name short");
    let gone = operated.server.await_event("fault", |event| event["did"] == "expired");
    assert_eq!((&gone["fault"], &gone["type"]), (&json!("short"), &json!("noop")));
    assert_eq!(gone["session"], Value::Null);
    assert!(operated.faults().is_empty());
}

#[test]
fn a_fault_acts_and_pauses_in_turns() {
    let operated = Operated::start("echo", &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let begin = Instant::now();
    operated.fault(&format!("add latency {LONG} --after 1ms --on 1s --off 300ms"));
    client.write_all(b"a").unwrap();
    assert_eq!(read_exactly(&mut client, 1), b"a", "the pause lets it through");
    assert!(begin.elapsed() >= Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[test]
fn a_reload_changes_faults_by_name_and_keeps_what_they_counted() {
    let upstream = peer::echoes();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("file.toml");
    let text = |faults: &str| {
        let (control, upstream) = (folder.path().join("control"), upstream.address);
        format!(
            "control = {control:?}\nlog = \"json\"\n[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n{faults}"
        )
    };
    let fault = |name: &str, latency: u32| {
        format!(
            "[[listener.a.fault]]\ntype = \"latency\"\nname = \"{name}\"\nattributes = {{ latency = {latency} }}\n"
        )
    };
    let server = crate::support::server::Server::run(&path, &text(&fault("slow", 0)), 1);
    let operated = Operated::of(server, folder.path().join("control"));
    let reload = |faults: &str| {
        std::fs::write(&path, text(faults)).unwrap();
        let run = operated.ctl(&["reload"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    };
    let mut client = connect(operated.server.address());
    assert!(round_trip(&mut client) < LATENCY);
    operated.fault("add a noop --name mine");
    let told = reload(&(fault("other", 300) + &fault("slow", 300)));
    let wanted = "listener a: fault slow changed: attributes: latency=0ms to latency=300ms\n\
                  listener a: fault other added: latency downstream, latency=300ms\n";
    assert_eq!(told, wanted);
    // The live session meets both.
    assert!(round_trip(&mut client) >= 2 * LATENCY);
    let passed = |name: &str| {
        let faults = operated.faults();
        let fault = faults.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{faults:?}"));
        fault["stats"]["passed_bytes"].as_u64().unwrap()
    };
    assert_eq!((passed("slow"), passed("other"), passed("mine")), (10, 5, 5));
    assert_eq!(reload(&(fault("other", 300) + &fault("slow", 300))), "nothing has changed\n");
    let told = reload(&fault("slow", 300));
    assert_eq!(told, "listener a: fault other removed: latency downstream, latency=300ms\n");
    let names: Vec<_> = operated.faults().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["slow", "mine"]);
    assert_eq!(passed("slow"), 10);
    // What an operator has taken away comes back, and that is told.
    operated.fault("remove a slow");
    let told = reload(&fault("slow", 300));
    assert_eq!(told, "listener a: fault slow added: latency downstream, latency=300ms\n");
}

#[test]
fn a_listener_without_faults_splices_again_once_they_are_gone() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    let spliced = || operated.json(&["show", "1"])[0]["spliced"].clone();
    assert_eq!(spliced(), true);
    operated.fault("add noop");
    exchange(&mut client, b"hello");
    assert_eq!(spliced(), false);
    operated.fault("remove --all");
    exchange(&mut client, b"hello");
    within(LIMIT, "it splices again", || (spliced() == true).then_some(()));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client).end, End::Fin);
}
