//! Parse, run, map the outcome to an exit code; nothing else.
#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};
use switchboard::{
    cli::{self, Answer, Config, Parsed},
    net::passed::Passed,
    runtime::shard,
    server::{server, supervisor::ServerOutcome, upgrade},
    text::{
        self,
        plain::{Plain, plain, takes_unicode},
        takes_colour,
    },
    tools::{
        audit,
        client::{self, Output, Streams},
        ctl,
        failure::Fault,
        load, top,
    },
};

/// The command line cannot be followed.
const USAGE: u8 = 2;
/// The proxy to audit cannot be reached.
const UNREACHABLE: u8 = 3;
/// A load ran, and met errors.
const LOAD_ERRORS: u8 = 1;
/// Sessions were cut at the drain deadline or by the second signal.
const CUT: u8 = 3;

fn main() -> ExitCode {
    if let Some(error) = upgrade::take_step() {
        return fail(&format_args!("cannot start anew: {error}"));
    }
    match cli::parse(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Parsed::Run(config)) => run(config),
        Ok(Parsed::Print(text)) => print(&text),
        Ok(Parsed::Answer(answer)) => tell(&answer),
        Err(usage) => {
            complain(&usage);
            ExitCode::from(USAGE)
        }
    }
}

/// The one place where a configuration becomes a running program, and its outcome an exit code.
fn run(config: Config) -> ExitCode {
    match config {
        Config::Server { plan, notes, load } => {
            // Before anything is opened: what is passed has its numbers already.
            let passed = match Passed::take() {
                Ok(passed) => passed,
                Err(error) => return fail(&error),
            };
            let busy_poll = plan.busy_poll;
            match shard::run_looking(
                busy_poll,
                server::run(*plan, notes, passed, load.map(|reload| reload.0)),
            ) {
                Ok(Ok(ServerOutcome::Drained)) => ExitCode::SUCCESS,
                Ok(Ok(ServerOutcome::Cut)) => ExitCode::from(CUT),
                Ok(Err(error)) => fail(&error),
                Err(error) => fail(&error),
            }
        }
        Config::Ctl(config) => control(*config),
        Config::Top(config) => watch(*config),
        Config::Audit(config) => audit_proxy(&config),
        Config::Load(config) => load(&config),
        Config::Client(config) => {
            let streams = match streams() {
                Ok(streams) => streams,
                Err(error) => return fail(&format_args!("cannot use the standard streams: {error}")),
            };
            match shard::run(client::run(*config, streams)) {
                Ok(Ok(())) => ExitCode::SUCCESS,
                Ok(Err(failure)) => {
                    complain(&failure);
                    ExitCode::from(failure.fault.code())
                }
                Err(error) => fail(&error),
            }
        }
    }
}

/// Asks a running server.
fn control(config: ctl::settings::Ctl) -> ExitCode {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let terminal = stdout.is_terminal().then(|| terminal_size(&stdout));
    let streams = ctl::Streams { out: Box::new(stdout), notes: shown(stderr), terminal };
    match shard::run(ctl::run(config, streams)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(usage @ ctl::Failure::Usage(_))) => {
            complain(&usage);
            ExitCode::from(USAGE)
        }
        Ok(Err(failure)) => fail(&failure),
        Err(error) => fail(&error),
    }
}

/// The columns and rows of a terminal; one that does not know them has the usual ones.
fn terminal_size(terminal: impl AsFd) -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(terminal).map(|size| (size.ws_col, size.ws_row));
    size.ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
}

/// Shows a running server on the terminal.
fn watch(config: top::settings::Top) -> ExitCode {
    let stream = |descriptor: io::Result<OwnedFd>| descriptor.map(File::from);
    let (input, output) = (io::stdin(), io::stdout());
    let streams = stream(input.as_fd().try_clone_to_owned())
        .and_then(|input| Ok((input, stream(output.as_fd().try_clone_to_owned())?)));
    let (input, output) = match streams {
        Ok(streams) => streams,
        Err(error) => return fail(&format_args!("cannot use the standard streams: {error}")),
    };
    match shard::run(top::run(config, input, output)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => fail(&failure),
        Err(error) => fail(&error),
    }
}

/// Audits a proxy on this thread.
fn audit_proxy(config: &audit::settings::Audit) -> ExitCode {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let (colour, notes_are_seen) = (stdout.is_terminal() && takes_colour(), stderr.is_terminal());
    let mut out = if config.json { Box::new(stdout) } else { shown(stdout) };
    let streams = audit::Streams { colour, notes_are_seen, out: &mut out, notes: &mut shown(stderr) };
    match audit::run(config, streams) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(if failure.fault == Fault::Connect { UNREACHABLE } else { 1 })
        }
    }
}

/// Loads a server; the engine brings its own threads.
fn load(config: &load::settings::Load) -> ExitCode {
    // Not locked: a thread of the run may have something to say when it panics.
    let mut out = if config.json { Box::new(io::stdout()) } else { shown(io::stdout()) };
    match load::command::run(config, &mut out, &mut shown(io::stderr())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(LOAD_ERRORS),
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.fault.code())
        }
    }
}

/// A stream that people read: with plain signs where their terminal shows no others.
fn shown(stream: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    if takes_unicode() { Box::new(stream) } else { Box::new(Plain::new(stream)) }
}

/// The client's streams, past the buffers of the standard library: bytes go out as they come.
fn streams() -> io::Result<Streams> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    Ok(Streams {
        input: Box::new(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
        answer: Output::new(File::from(stdout.as_fd().try_clone_to_owned()?), stdout.is_terminal()),
        notes: Output::new(File::from(stderr.as_fd().try_clone_to_owned()?), stderr.is_terminal()),
    })
}

fn fail(problem: &dyn std::fmt::Display) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

fn print(text: &str) -> ExitCode {
    match text::print(&mut shown(io::stdout()), text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("cannot write to standard output: {error}")),
    }
}

/// What a configuration file says, or what is wrong with it.
fn tell(answer: &Answer) -> ExitCode {
    let _ = shown(io::stderr()).write_all(answer.notes.as_bytes());
    match print(&answer.answer) {
        ExitCode::SUCCESS if !answer.is_good => ExitCode::FAILURE,
        code => code,
    }
}

/// One line on standard error. If that is closed, the line has no reader.
fn complain(problem: &dyn std::fmt::Display) {
    let line = format!("switchboard: {problem}\n");
    let line = if takes_unicode() { line } else { plain(&line) };
    let _ = io::stderr().write_all(line.as_bytes());
}
