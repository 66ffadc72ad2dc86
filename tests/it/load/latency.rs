//! The latencies that are told are those of the server, and a stall of it shows.

use super::load;
use crate::support::fake::load_target;
use std::time::Duration;

/// Runs on a machine that has other things to do may differ; of several, one has to be right.
const TRIES: usize = 5;

fn ms(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

#[test]
fn the_median_is_within_a_millisecond_of_a_known_latency() {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let (server, delays) = load_target::echoes_after(Duration::from_millis(20));
        let report = load(server.address, 0, &["-c", "2", "--duration", "1500ms"]);
        let mut delays = delays.lock().unwrap().clone();
        delays.sort();
        // A busy machine makes the server sleep longer than it wants to: what it did counts.
        let server_ms = delays[delays.len() / 2].as_secs_f64() * 1e3;
        let own_ms = ms(&report["service_ms"]["p50"]);
        assert!(own_ms > 20.0 && report["requests"].as_u64() >= Some(10), "{report}");
        if (own_ms - server_ms).abs() < 1.0 {
            return;
        }
        seen.push((server_ms, own_ms));
    }
    panic!("the server's median and ours in ms: {seen:?}");
}

#[test]
fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    let stall = Duration::from_secs(1);
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let server = load_target::stalls_once(500, stall);
        let open = load(server.address, 0, &["-c", "2", "--rate", "1000", "--duration", "3s"]);
        let response = ms(&open["response_ms"]["p99.9"]);
        assert!(response >= 900.0, "{open}");
        assert!(ms(&open["response_ms"]["max"]) >= 950.0, "{open}");
        // A client that awaits each answer before its next request sends little while the server stalls.
        let server = load_target::stalls_once(500, stall);
        let closed = load(server.address, 0, &["-c", "2", "--requests", "20000"]);
        assert!(ms(&closed["service_ms"]["max"]) >= 950.0, "{closed}");
        assert!(closed["response_ms"].is_null(), "{closed}");
        let hidden = [&open, &closed].map(|report| ms(&report["service_ms"]["p99.9"]));
        if hidden.iter().all(|p999| *p999 < 500.0) {
            return;
        }
        seen.push(hidden);
    }
    panic!("the service time's p99.9 in ms, open and closed: {seen:?}");
}

#[test]
fn what_is_under_way_at_the_end_is_counted() {
    let (server, _) = load_target::echoes_after(Duration::from_millis(700));
    let report = load(server.address, 0, &["-c", "3", "--duration", "300ms"]);
    assert_eq!(
        (report["requests"].as_u64(), report["requests_late"].as_u64()),
        (Some(3), Some(3)),
        "{report}"
    );
    assert!(ms(&report["service_ms"]["p50"]) >= 700.0, "{report}");
    assert_eq!(report["rate"], 0.0, "{report}");
}

#[test]
fn a_target_that_is_too_slow_for_the_rate_falls_behind_visibly() {
    let (server, _) = load_target::echoes_after(Duration::from_millis(50));
    let report = load(server.address, 0, &["-c", "1", "--rate", "1000", "--duration", "1s"]);
    let unsent = report["requests_unsent"].as_u64().unwrap();
    assert!((900..1000).contains(&unsent), "{report}");
    let due = unsent + report["requests"].as_u64().unwrap();
    assert_eq!(due, 1000, "{report}");
    assert!(ms(&report["response_ms"]["max"]) > 800.0, "{report}");
}

#[test]
fn a_schedule_ends_with_its_last_request() {
    let server = load_target::answers_with(b"x");
    let arguments = ["-c", "40", "--expect", "1", "--rate", "4", "--requests", "4"];
    let report = load(server.address, 0, &arguments);
    assert_eq!(
        (report["requests"].as_u64(), report["requests_unsent"].as_u64()),
        (Some(4), Some(0)),
        "{report}"
    );
    // The last is due after 0.75 s; the 40 that would be due after it are not waited for.
    let seconds = report["duration_s"].as_f64().unwrap();
    assert!((0.75..5.0).contains(&seconds), "{report}");
}

#[test]
fn a_schedule_is_kept() {
    for threads in ["1", "2"] {
        let server = load_target::answers_with(b"x");
        let arguments =
            ["-c", "4", "--expect", "1", "--rate", "500", "--duration", "2s", "--threads", threads];
        let report = load(server.address, 0, &arguments);
        let requests = report["requests"].as_u64().unwrap() + report["requests_unsent"].as_u64().unwrap();
        assert_eq!(requests, 1000, "{report}");
        assert_eq!(report["threads"].to_string(), threads);
    }
}

#[test]
fn a_thread_without_a_request_is_not_waited_for() {
    let server = load_target::answers_with(b"x");
    let arguments = ["-c", "8", "--expect", "1", "--rate", "1", "--requests", "1", "--threads", "8"];
    let report = load(server.address, 0, &arguments);
    assert_eq!((&report["requests"], &report["threads"]), (&1.into(), &1.into()), "{report}");
    // It is due at once; the eighth thread's turn would be after seven seconds.
    assert!(report["duration_s"].as_f64().unwrap() < 5.0, "{report}");
}
