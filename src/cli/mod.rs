//! The command line: from the words that a user typed to a [`Config`], the parsed run, or to one line that says what is wrong.
//!
//! `words` reads the words, `environment` the variables, `commands` declares the options, `values` judges their values,
//! `help`, `manual` and `completions` describe them. `config_file` reads a file that says the same.
//! Only this folder names the argument parser.

mod commands;
mod completions;
mod config_file;
mod environment;
mod help;
mod manual;
mod proxy_file;
#[cfg(test)]
mod tests;
mod values;
mod words;

use crate::{
    server::plan::{LoadPlan, Plan},
    text::{escape::Terminal, topics},
    tools,
};
use environment::Environment;
use std::{ffi::OsString, fmt, sync::Arc};
use words::Asked;

/// The parsed run: a command with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// `echo`, `proxy`, `origin`, `faults` or `run`.
    Server {
        plan: Box<Plan>,
        /// What the start says of how the plan came about.
        notes: Vec<String>,
        /// How it is read again; none if it came from the command line alone.
        load: Option<Reload>,
    },
    Client(Box<tools::client::settings::Client>),
    Ctl(Box<tools::ctl::settings::Ctl>),
    Top(Box<tools::top::settings::Top>),
    Audit(Box<tools::audit::settings::Audit>),
    Load(Box<tools::load::settings::Load>),
}

/// How a plan is read again. Two are equal if they are the same.
#[derive(Clone)]
pub struct Reload(pub LoadPlan);

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

impl PartialEq for Reload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Reload {}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Run the program.
    Run(Config),
    /// Write this text, which ends in a line feed, to standard output: help, the version, or a file for the system.
    Print(String),
    /// What a configuration file says, or what is wrong with it.
    Answer(Answer),
}

/// Texts, each with its last line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To standard output.
    pub answer: String,
    /// To standard error.
    pub notes: String,
    /// Whether all is as it should be.
    pub is_good: bool,
}

/// What is wrong with a command line: one line for the user, without a control character.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

impl Usage {
    /// `command` is empty if none was recognized.
    fn new(command: &str, reason: &str) -> Self {
        let space = if command.is_empty() { "" } else { " " };
        Usage(format!("{}; try 'switchboard{space}{command} --help'", one_line(reason)))
    }
}

/// Reads a command line, without the program's name, and the variables of its environment. The error is the first thing in
/// it that cannot be understood, with its value and what to write instead.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Parsed, Usage> {
    let words = args.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let Some((first, rest)) = words.split_first() else {
        return Err(Usage::new("", &format!("a command is missing; the commands are {}", commands::names())));
    };
    match (first.as_str(), rest.first()) {
        ("-h" | "--help" | "help", None) => return Ok(Parsed::Print(help::overview(&commands::commands()))),
        ("-h" | "--help" | "help", Some(name)) => return in_depth(name).map(Parsed::Print),
        ("-V" | "-v" | "--version", _) => return Ok(Parsed::Print(help::version())),
        _ => {}
    }
    let command = find(first)?;
    let usage = |reason: String| Usage::new(command.name, &reason);
    let verbose = commands::serves(command.name).then_some(VERBOSE);
    match words::read(rest, command.flags, verbose).map_err(usage)? {
        Asked::Help => Ok(Parsed::Print(help::command(&command))),
        Asked::Version => Ok(Parsed::Print(help::version())),
        Asked::Run(typed) => {
            let environment = match commands::serves(command.name) {
                true => Environment::read(variables, &typed, command.flags, &commands::options_of_servers()),
                false => Ok(Environment::default()),
            };
            let environment = environment.map_err(usage)?;
            let words = [environment.words(), typed.words()].concat();
            let mut parsed =
                commands::parse(command.name, &words).map_err(|reason| usage(environment.blame(reason)))?;
            if let Parsed::Run(Config::Server { notes, .. }) = &mut parsed {
                notes.splice(..0, environment.notes());
            }
            Ok(parsed)
        }
    }
}

/// What `-v` means for a server, as in socat: to see what is sent.
const VERBOSE: (&str, &str) = ("--dump", "text");

fn text(word: OsString) -> Result<String, Usage> {
    word.into_string().map_err(|word| {
        Usage::new("", &format!("argument '{}' is not UTF-8; write it in UTF-8", word.to_string_lossy()))
    })
}

/// A topic, or else the options of a command.
fn in_depth(name: &str) -> Result<String, Usage> {
    match topics::find(name) {
        Some(topic) => Ok(help::topic(topic)),
        None => find(name).map(|command| help::command(&command)).map_err(|usage| {
            let names: Vec<&str> = topics::TOPICS.iter().map(|topic| topic.name).collect();
            match words::nearest(name, names.iter().copied()) {
                Some(nearest) => {
                    Usage::new("", &format!("there is no topic '{name}'; did you mean '{nearest}'?"))
                }
                None if usage.0.contains("did you mean") => usage,
                None => Usage::new(
                    "",
                    &format!("there is no topic '{name}'; the topics are {}", names.join(", ")),
                ),
            }
        }),
    }
}

fn find(name: &str) -> Result<commands::CommandInfo, Usage> {
    let commands = commands::commands();
    let nearest = words::nearest(name, commands.iter().map(|command| command.name));
    commands.into_iter().find(|command| command.name == name).ok_or_else(|| {
        let reason = match nearest {
            Some(nearest) => format!("unrecognized command '{name}'; did you mean '{nearest}'?"),
            None if name.starts_with('-') => {
                format!("option '{name}' comes before a command; the commands are {}", commands::names())
            }
            None => format!("unrecognized command '{name}'; the commands are {}", commands::names()),
        };
        Usage::new("", &reason)
    })
}

/// A value may be as long as the kernel allows. Its first and last characters show what is wrong with it.
const SHOWN_CHARS: usize = 400;

/// One line that a terminal may see; of a long text the middle is left out.
fn one_line(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SHOWN_CHARS {
        return safe(text);
    }
    let [begin, end] = [&chars[..SHOWN_CHARS / 2], &chars[chars.len() - SHOWN_CHARS / 2..]];
    safe(&begin.iter().chain(&['…']).chain(end).collect::<String>())
}

fn safe(text: &str) -> String {
    let (mut terminal, mut line) = (Terminal::default(), String::new());
    terminal.push(text.as_bytes(), &mut line);
    terminal.finish(&mut line);
    line.replace('\n', "\\n").replace('\t', "\\t")
}
