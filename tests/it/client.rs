//! The client, as the built binary: what it prints, what it sends, and what its exit code says.

mod http;
mod many;
mod tcp;

use crate::support::wait::LIMIT;
use std::{
    io::Write,
    process::{Child, Command, Stdio},
};

/// What a run printed, and how it ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    answer: Vec<u8>,
    notes: String,
}

/// Runs a client with nothing to read.
fn run(arguments: &[&str]) -> Run {
    run_with(arguments, b"")
}

/// Runs a client with `input` at its standard input.
fn run_with(arguments: &[&str], input: &[u8]) -> Run {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.arg("client").args(arguments).write_stdin(input).timeout(LIMIT).output().unwrap();
    Run {
        code: output.status.code(),
        answer: output.stdout,
        notes: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// It ended with `code`, after at most one line that holds `word`.
    #[track_caller]
    fn assert_ended(&self, code: i32, word: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.notes.contains(word), "{word:?} is not said: {self:?}");
        assert_eq!(self.notes.lines().count(), usize::from(code != 0), "{self:?}");
    }
}

/// A client that a test talks to while it runs; dropping it kills it.
struct Client(Child);

impl Client {
    fn start(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        let streams =
            command.arg("client").args(arguments).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        Client(streams.spawn().unwrap())
    }

    /// Gives it `input`, and keeps its standard input open.
    fn give(&mut self, input: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(input).unwrap();
    }

    fn await_exit(&mut self) -> Option<i32> {
        crate::support::wait::within(LIMIT, "the client ends", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Either fails only where the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
