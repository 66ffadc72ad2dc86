//! `switchboard load`, as the built binary: what it measures, what it finds, what it prints, and how it ends.

mod errors;
mod http;
mod latency;
mod options;
mod output;
mod refusals;
mod tls;

use crate::support::program::{self, Program, binary};
use rustix::process::Signal;
use serde_json::Value;
use std::{net::SocketAddr, process::Stdio};

/// What a run printed, and how it ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    notes: String,
}

/// Runs a load to its end.
fn run(arguments: &[&str]) -> Run {
    let mut command = binary();
    command.arg("load").args(arguments);
    let output = program::run(command, b"");
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
struct Running(Program);

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut command = binary();
        command
            .arg("load")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running(Program::start(&mut command))
    }

    fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Waits for its end, with this code; the report.
    fn end(&mut self, code: i32) -> Value {
        assert_eq!(self.0.await_exit(), code);
        serde_json::from_reader(self.0.stdout.take().unwrap()).unwrap()
    }
}
