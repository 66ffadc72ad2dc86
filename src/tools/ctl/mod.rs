//! `switchboard ctl`: asks a running server over its control socket, and prints the answer.
//!
//! It does one thing after the other, and each wait has a limit.

pub mod report;
pub mod settings;
mod tap;

use crate::control::{
    find,
    protocol::{Choice, Request},
};
use crate::tools::ctl::settings::{Command, Ctl};
use serde_json::Value;
use std::{
    fmt,
    io::{self, Write},
};

/// Why it could not be done: one sentence for the user.
#[derive(Debug)]
pub struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to write.
pub struct Streams<'a> {
    /// The answer.
    pub out: &'a mut dyn Write,
    /// What is to be said beside it.
    pub notes: &'a mut dyn Write,
    /// A person sees the answer at once.
    pub is_terminal: bool,
}

/// Whoever reads what is printed may have seen enough, as `head` does: that is no failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Does what `config` says, and prints the answer.
///
/// # Errors
/// Where there is no server, several, or the server refuses.
pub fn run(config: &Ctl, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut lines = find::server(config.control.as_deref())?;
    if let Command::Tap { session, show, .. } = &config.command {
        let show = (!config.json).then_some(*show);
        lines.send(&request(&config.command))?;
        return tap::run(&mut lines, *session, show, streams);
    }
    let out = &mut *streams.out;
    let items = lines.ask(&request(&config.command))?;
    let text = if config.json { json(&items) } else { report::report(&config.command, &items) };
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn request(command: &Command) -> Request {
    match command {
        Command::List { sort, from } => {
            Request::List(Choice { sort: *sort, from: *from, ..Choice::default() })
        }
        Command::Show(session) => Request::Show { session: *session },
        Command::Closed { session, last } => Request::Closed { session: *session, last: *last },
        Command::Stats => Request::Stats,
        Command::Cut { sessions, fin } => Request::Cut { sessions: sessions.clone(), fin: *fin },
        Command::Tap { session, from, .. } => Request::Tap { session: *session, from: *from, limit: None },
        Command::Pause => Request::Pause,
        Command::Resume => Request::Resume,
        Command::Drain => Request::Drain,
        Command::Set { setting, value } => Request::Set { setting: setting.clone(), value: *value },
    }
}

/// The items as the server told them, one a line.
fn json(items: &[Value]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}
