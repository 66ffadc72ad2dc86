//! What a person sees of an audit, and what a signal does.

use super::{Audit, verdicts};
use crate::support::{
    proc,
    program::{self, Program, binary},
    terminal::Terminal,
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

/// A quick check.
const CHECK: &str = "reset-before-reply";

fn command() -> Command {
    let mut command = binary();
    command.args(["audit", "--self", CHECK]).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn on_terminal(command: &mut Command) -> String {
    let terminal = Terminal::open();
    let mut audit = Program::start(command.stdout(terminal.stdio()).stderr(terminal.stdio()));
    // The command holds the terminal too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(audit.await_end().success());
    String::from_utf8(terminal.read_to_end()).unwrap()
}

#[test]
fn a_terminal_gets_progress_and_colour_and_a_pipe_gets_plain_lines() {
    let output = program::output(command());
    let plain = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].starts_with("CHECK") && lines[0].contains("VERDICT"), "{plain}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words, [CHECK, "same", "client", "nothing,", "RST;", "origin", "4", "KiB"], "{plain}");
    assert!(lines[3].starts_with("1 check in ") && lines[3].ends_with(": 1 same"), "{plain}");
    assert_eq!((output.stderr.as_slice(), plain.contains('\x1b')), (&b""[..], false), "{plain}");

    let screen = on_terminal(&mut command());
    assert!(screen.contains("0 of 1 checks done; to do: reset-before-reply"), "{screen:?}");
    assert!(screen.contains("\x1b[32msame\x1b[0m"), "{screen:?}");
    let screen = on_terminal(command().env("NO_COLOR", "1"));
    assert!(screen.contains("same ") && !screen.contains("[32m"), "{screen:?}");
}

/// The process that an audit started as its proxy.
fn own_proxy(audit: &Audit) -> u32 {
    let id = audit.program.id();
    let children = format!("/proc/{id}/task/{id}/children");
    within(LIMIT, "its proxy runs", || {
        fs::read_to_string(&children).unwrap().split_whitespace().next()?.parse().ok()
    })
}

#[test]
fn an_audit_that_is_killed_takes_its_own_proxy_along() {
    let mut audit = Audit::start(&["--self", "--json", "--idle", "1h", "idle"]);
    let proxy = own_proxy(&audit);
    let process = proc::Process(proxy);
    within(LIMIT, "a check is under way", || (process.sockets_in(proc::ESTABLISHED) > 1).then_some(()));
    audit.program.kill();
    // If its new parent is slow to collect it, a zombie is left.
    let is_over =
        || fs::read_to_string(format!("/proc/{proxy}/stat")).map_or(true, |stat| stat.contains(") Z "));
    within(LIMIT, "its proxy ends", || is_over().then_some(()));
}

#[test]
fn a_signal_ends_the_audit_with_what_is_known_and_its_own_proxy_too() {
    let mut audit = Audit::start(&["--self", "--json", "--idle", "1h", CHECK, "idle"]);
    let proxy = own_proxy(&audit);
    let process = proc::Process(proxy);
    within(LIMIT, "a check is under way", || (process.sockets_in(proc::ESTABLISHED) > 1).then_some(()));
    audit.program.signal(Signal::INT);
    let mut report = String::new();
    audit.program.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    let status = audit.program.await_end();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(status.code(), Some(1), "{report:#}");
    // The quick check may be over by then.
    assert!([vec![], vec![(CHECK, "same")]].contains(&verdicts(&report)), "{report:#}");
    assert_eq!((&report["complete"], &report["all_same"]), (&false.into(), &false.into()), "{report:#}");
    assert!(!fs::exists(format!("/proc/{proxy}")).unwrap(), "its proxy lives on");
}
