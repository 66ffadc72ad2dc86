//! Parse, run, map the outcome to an exit code; nothing else.

use std::{
    io::{self, Write},
    process::ExitCode,
};
use switchboard::{
    args::{self, Parsed},
    config::Config,
};

/// The command line cannot be followed.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Parsed::Run(config)) => run(config),
        Ok(Parsed::Print(text)) => print(&text),
        Err(usage) => {
            complain(&usage);
            ExitCode::from(USAGE)
        }
    }
}

/// The one place where a configuration becomes a running program.
fn run(config: Config) -> ExitCode {
    match config {
        Config::Server(_) | Config::Client(_) => {
            complain(&"nothing runs yet");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error; where that is closed, nobody is left to tell.
fn complain(problem: &dyn std::fmt::Display) {
    let line = format!("switchboard: {problem}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
