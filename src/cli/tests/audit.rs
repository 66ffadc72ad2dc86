//! The command line of an audit.

use super::*;
use crate::tools::audit::settings::{Audit, IDLE, Subject};

#[track_caller]
fn audit(line: &str) -> Audit {
    match parse_line(line) {
        Ok(Parsed::Run(Config::Audit(audit))) => *audit,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn an_audit_is_of_our_own_proxy_or_of_one_that_runs() {
    let own = Audit { subject: Subject::Own, idle: Some(IDLE), json: false, checks: vec![] };
    assert_eq!(audit("audit --self"), own);
    assert_eq!(audit("audit --self --idle=10s"), own);
    let running = Subject::Running { via: "a:1".parse().unwrap(), origin: ":0".parse().unwrap() };
    let all = Audit {
        subject: running,
        idle: None,
        json: true,
        checks: vec!["reset".into(), "idle".into(), "half-close-5s".into()],
    };
    assert_eq!(audit("audit --via a:1 --origin :0 --idle off --json reset idle half-close-5s"), all);
}

#[test]
fn what_no_audit_can_be_made_of_is_refused() {
    for (line, part) in [
        ("audit", "write --via ADDR --origin ADDR, or --self"),
        ("audit --via 1", "option '--origin' is missing"),
        ("audit --origin 1", "option '--via' is missing"),
        ("audit --self --via 1", "leave out '--via' and '--origin'"),
        ("audit --via a:0 --origin 1", "nobody listens on port 0"),
        ("audit --via unix:/a --origin 1", "a UNIX socket knows no RST"),
        ("audit --via 1 --origin unix:/a", "a UNIX socket knows no RST"),
        ("audit --self hal", "'hal' is no check; the checks are half-close-0s,"),
        ("audit --self --idle 0s", "write off"),
        ("audit --self --idle off idle", "option '--idle off' leaves no check"),
    ] {
        assert_refused(&line.split_whitespace().collect::<Vec<_>>(), &[part]);
    }
}

#[test]
fn the_help_names_every_check() {
    let help = printed("audit --help");
    for name in crate::tools::audit::names() {
        assert!(help.contains(name), "{name}");
    }
}
