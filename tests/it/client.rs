//! The client, as the built binary: what it prints, what it sends, and what its exit code says.

mod http;
mod many;
mod proxy_header;
mod tcp;
mod tls;

use crate::support::program::{self, Program, binary};
use std::{io::Write, process::Stdio};

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
    let mut command = binary();
    command.arg("client").args(arguments);
    let output = program::run(command, input);
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
struct Client(Program);

impl Client {
    fn start(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Client {
        let mut command = binary();
        let streams =
            command.arg("client").args(arguments).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        Client(Program::start(streams))
    }

    /// Gives it `input`, and keeps its standard input open.
    fn give(&mut self, input: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(input).unwrap();
    }

    fn await_exit(&mut self) -> Option<i32> {
        self.0.await_end().code()
    }
}
