//! A proxy that ends TLS: what it does to the ends of a stream is found, and our own does nothing to them.

use super::{Audit, assert_ends, verdicts};
use crate::support::{
    fake::{
        faulty_relay::{Fault, FaultyRelay},
        tls_relay::{TlsFault, TlsRelay},
    },
    tls::{Authority, Wire},
};
use serde_json::Value;

/// Audits a relay with this fault; the exit code and the report.
fn audit(fault: TlsFault, checks: &[&str]) -> (i32, Value) {
    let authority = Authority::new();
    let relay = TlsRelay::start(&authority, fault);
    let trust = ["--via-tls", "--tls-name", "a.test", "--cacert", &authority.file("ca.pem")];
    let (audit, origin) = Audit::of(relay.address, &[checks, &trust].concat());
    relay.relay_to(origin);
    let (report, code, notes) = audit.report();
    let report = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{fault:?}: {report:?} {notes:?}"));
    (code, report)
}

/// The audit gives each of these checks this verdict.
#[track_caller]
fn assert_found(fault: TlsFault, expected: &[(&str, &str)]) {
    let checks: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let (code, report) = audit(fault, &checks);
    assert_eq!(verdicts(&report), expected, "{fault:?}: {report:#}");
    assert_eq!((code, report["tls"].as_bool()), (1, Some(true)), "{fault:?}");
}

/// Those in which the origin aborts.
const RESETS: [&str; 4] = ["reset-at-once", "reset-before-reply", "reset-during-reply", "reset-after-reply"];

#[test]
fn a_relay_that_is_right_is_the_same_in_every_check_of_its_ends() {
    let checks =
        ["half-close-0s", "upload", "early-reply", "speaks-first", "connect-and-go", "refused", "reset"];
    let more = ["client-reset", "truncated", "bulk", "one-byte-writes", "many", "proxy-header"];
    let (code, report) = audit(TlsFault::Nothing, &[&checks[..], &more].concat());
    let verdicts = verdicts(&report);
    assert!(verdicts.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
    assert_eq!((verdicts.len(), code, report["strangers"].as_u64()), (18, 0, Some(0)), "{report:#}");
}

#[test]
fn our_own_proxy_is_the_same_in_every_check() {
    for more in [&[][..], &["--send-proxy", "v2"], &["--tls-max", "1.2"]] {
        let words = [&["--self", "--via-tls", "--json", "--idle", "1s"], more].concat();
        let (report, code, notes) = Audit::start(&words).report();
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report:?} {notes:?}"));
        let verdicts = verdicts(&report);
        assert!(verdicts.iter().all(|(_, verdict)| *verdict == "same"), "{report:#}");
        assert_eq!((verdicts.len(), code), (24, 0), "{report:#}");
    }
}

#[test]
fn no_newer_version_is_spoken_than_is_to_be() {
    let authority = Authority::new();
    let audit = |wire, newest| {
        let relay = TlsRelay::start_in(&authority, wire, TlsFault::Nothing);
        let trust = ["--via-tls", "--tls-name", "a.test", "--cacert", &authority.file("ca.pem")];
        let words = [&["half-close-0s", "reset-at-once"], &trust[..], &["--tls-max", newest]].concat();
        let (audit, origin) = Audit::of(relay.address, &words);
        relay.relay_to(origin);
        audit
    };
    for (wire, newest) in [(Wire::Tls12, "1.2"), (Wire::Tls12, "1.3"), (Wire::Tls13, "1.3")] {
        let (report, code, notes) = audit(wire, newest).report();
        assert_eq!(code, 0, "{wire:?} {newest}: {report} {notes:?}");
    }
    assert_ends(audit(Wire::Tls13, "1.2"), 3, "it speaks another version of TLS");
}

#[test]
fn a_cut_that_is_confirmed_by_close_notify_is_found() {
    let expected = [("half-close-0s", "same")].into_iter().chain(RESETS.map(|check| (check, "lies")));
    assert_found(
        TlsFault::ConfirmsWhatWasCut,
        &expected.chain([("client-reset", "same")]).collect::<Vec<_>>(),
    );
}

#[test]
fn an_end_without_close_notify_is_found_and_told_as_one() {
    let expected = [("half-close-0s", "differs"), ("reset-during-reply", "same"), ("bulk-reply", "differs")];
    assert_found(TlsFault::LeavesOutCloseNotify, &expected);
    let (_, report) = audit(TlsFault::LeavesOutCloseNotify, &["half-close-0s", "bulk-reply", "many"]);
    assert_eq!(report["checks"][0]["through"]["client"]["end"], "truncated", "{report:#}");
    let advice = report["advice"].as_array().unwrap();
    assert_eq!(advice.len(), 1, "{report:#}");
    assert!(advice[0]["mend"].as_str().unwrap().contains("close_notify"), "{report:#}");
}

#[test]
fn a_fin_of_the_client_that_is_believed_is_found() {
    let expected = [
        ("half-close-0s", "same"),
        ("client-reset", "same"),
        ("truncated-upload", "lies"),
        ("truncated-record", "lies"),
    ];
    assert_found(TlsFault::BelievesFin, &expected);
}

#[test]
fn a_proxy_that_is_not_who_it_should_be_or_speaks_no_tls_ends_with_3() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem");
    for (trust, words) in [
        (&["--tls-name", "a.test"][..], "is not trusted: "),
        (&["--cacert", &ca], "is not trusted: "),
        (&["--tls-name", "b.test", "--cacert", &ca], "b.test"),
    ] {
        let relay = TlsRelay::start(&authority, TlsFault::Nothing);
        let (audit, origin) = Audit::of(relay.address, &[&["--via-tls"], trust].concat());
        relay.relay_to(origin);
        assert_ends(audit, 3, words);
    }
    let relay = FaultyRelay::start(Fault::Nothing);
    let (audit, origin) = Audit::of(relay.address, &["--via-tls", "--insecure"]);
    relay.relay_to(origin);
    assert_ends(audit, 3, "; does it end TLS, and forward there?");
}
