//! Each check finds the relay that is wrong in the way that it looks for.

use super::{Audit, audit, verdicts};
use crate::support::fake::faulty_relay::{Fault, FaultyRelay};
use serde_json::Value;
use std::time::Duration;

/// The audit gives each of these checks this verdict.
#[track_caller]
fn assert_found(fault: Fault, expected: &[(&str, &str)]) {
    let checks: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let (code, report) = audit(fault, &checks);
    assert_eq!(verdicts(&report), expected, "{fault:?}: {report:#}");
    assert_eq!((code, report["all_same"].as_bool()), (1, Some(false)), "{fault:?}");
}

#[test]
fn a_reply_lost_after_a_half_close_is_found() {
    assert_found(Fault::ClosesAfterClientFin(Duration::ZERO), &[("half-close-0s", "lost data")]);
}

#[test]
fn a_half_close_that_is_not_waited_for_long_enough_is_found() {
    let expected =
        [("half-close-0s", "same"), ("half-close-1s", "lost data"), ("half-close-5s", "lost data")];
    assert_found(Fault::ClosesAfterClientFin(Duration::from_millis(500)), &expected);
}

#[test]
fn an_upload_lost_after_the_reply_is_found() {
    assert_found(Fault::ClosesAfterUpstreamFin, &[("upload-after-reply", "lost data")]);
}

#[test]
fn an_abort_that_looks_like_a_clean_end_is_found() {
    let checks = [
        "refused",
        "reset-at-once",
        "reset-before-reply",
        "reset-during-reply",
        "reset-after-reply",
        "client-reset",
    ];
    assert_found(Fault::TurnsResetIntoFin, &checks.map(|check| (check, "lies")));
}

#[test]
fn a_clean_end_that_looks_like_an_abort_is_found() {
    assert_found(Fault::ResetsVisitors, &[("connect-and-go", "differs")]);
}

#[test]
fn a_dropped_tail_is_found() {
    let expected = [("bulk-upload", "lost data"), ("bulk-reply", "lost data")];
    assert_found(Fault::DropsTheTail, &expected);
}

#[test]
fn reordered_bytes_are_found() {
    let expected = [("bulk-upload", "lost data"), ("bulk-reply", "lost data")];
    assert_found(Fault::Reorders, &expected);
}

#[test]
fn swallowed_early_data_is_found() {
    assert_found(Fault::SwallowsEarlyData, &[("half-close-0s", "same"), ("early-data", "lost data")]);
}

#[test]
fn a_relay_that_waits_for_the_client_to_speak_is_found() {
    assert_found(Fault::DialsLate, &[("speaks-first", "differs")]);
}

#[test]
fn a_reply_kept_until_the_upload_has_ended_is_found() {
    let (code, report) = audit(Fault::RepliesAfterTheUpload, &["early-reply"]);
    // The upload ends when the client gives the reply up: on a busy machine some of the reply may come before that shows.
    let found = [vec![("early-reply", "lost data")], vec![("early-reply", "differs")]];
    assert!(code == 1 && found.contains(&verdicts(&report)), "{report:#}");
}

#[test]
fn a_relay_without_back_pressure_is_found() {
    let expected = [("stalled-client", "differs"), ("stalled-origin", "differs")];
    assert_found(Fault::HoldsNothingBack, &expected);
}

#[test]
fn single_bytes_that_wait_are_found() {
    assert_found(Fault::DelaysSmallWrites, &[("one-byte-writes", "differs")]);
}

#[test]
fn an_urgent_byte_in_the_stream_is_found() {
    assert_found(Fault::TakesUrgentInLine, &[("urgent", "lost data")]);
}

#[test]
fn a_cut_idle_connection_is_found() {
    let relay = FaultyRelay::start(Fault::CutsIdle(Duration::from_millis(500)));
    let (audit, origin) = Audit::of(relay.address, &["--idle", "2s", "idle"]);
    relay.relay_to(origin);
    let (report, code, _) = audit.report();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((verdicts(&report), code), (vec![("idle", "lost data")], 1), "{report:#}");
}

#[test]
fn connections_sent_away_from_a_crowd_are_found() {
    assert_found(Fault::FewAtOnce(20), &[("many", "differs")]);
}

#[test]
fn a_limit_of_connections_shows_in_the_crowd_alone() {
    let together = [
        "half-close-0s",
        "half-close-1s",
        "upload-after-reply",
        "early-reply",
        "reset-before-reply",
        "reset-during-reply",
        "reset-after-reply",
        "client-reset",
        "bulk-upload",
        "bulk-reply",
        "one-byte-writes",
        "urgent",
    ];
    let expected: Vec<_> =
        together.map(|check| (check, "same")).into_iter().chain([("many", "differs")]).collect();
    assert_found(Fault::FewAtOnce(5), &expected);
}
