//! `switchboard load`, as the built binary: what it measures, what it finds, what it prints, and how it ends.

mod errors;
mod http;
mod latency;
mod options;
mod output;
mod refusals;

use crate::support::wait::{LIMIT, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// What a run printed, and how it ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    notes: String,
}

/// Runs a load to its end.
fn run(arguments: &[&str]) -> Run {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.arg("load").args(arguments).timeout(LIMIT).output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        notes: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a load of a TCP server with `--json`, which ends with this code; the report.
#[track_caller]
fn load(address: SocketAddr, code: i32, arguments: &[&str]) -> Value {
    report(&format!("tcp://{address}"), code, arguments)
}

#[track_caller]
fn report(target: &str, code: i32, arguments: &[&str]) -> Value {
    let run = run(&[&[target, "--json"], arguments].concat());
    assert_eq!(run.code, Some(code), "{run:?}");
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

/// A load that a test talks to while it runs; dropping it kills it.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        let command = command.arg("load").args(arguments);
        Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, with this code; the report.
    fn end(&mut self, code: i32) -> Value {
        let status = within(LIMIT, "the load ends", || self.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(code));
        serde_json::from_reader(self.0.stdout.take().unwrap()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Either fails only where the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
