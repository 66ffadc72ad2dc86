//! The commands and their options, declared for argh, and the settings that they mean. A new command is one more struct, one
//! more variant of [`Command`], and one more arm of [`parse`].

mod audit;
mod client;
mod ctl;
mod fault_words;
mod file;
mod load;
mod print;
mod servers;
mod top;

use crate::cli::Parsed;
use argh::{ArgsInfo, FromArgs};
use audit::Audit;
use client::Client;
use ctl::Ctl;
use file::{CheckFile, ExplainFile};
use load::Load;
pub use print::PRINTED;
use print::Print;
pub use servers::Run;
use servers::{Echo, Faults, Origin, Proxy};
use top::Top;

/// What argh knows about a command.
pub type CommandInfo = argh::CommandInfoWithArgs;

/// The program.
#[derive(FromArgs, ArgsInfo)]
struct Typed {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Echo(Echo),
    Proxy(Proxy),
    Run(Run),
    Faults(Faults),
    Check(CheckFile),
    Explain(ExplainFile),
    Client(Client),
    Origin(Origin),
    Ctl(Ctl),
    Top(Top),
    Audit(Audit),
    Load(Load),
    Print(Print),
}

/// In the order of the help.
pub fn commands() -> Vec<CommandInfo> {
    Typed::get_args_info().commands.into_iter().map(|command| command.command).collect()
}

/// The commands that serve.
const SERVERS: [&str; 5] = ["echo", "proxy", "run", "faults", "origin"];

/// Whether a command is a server: its options may come from the environment.
pub fn serves(command: &str) -> bool {
    SERVERS.contains(&command)
}

/// The options of all servers.
pub fn options_of_servers() -> Vec<&'static str> {
    let servers = commands().into_iter().filter(|command| serves(command.name));
    servers.flat_map(|command| command.flags.iter().map(|flag| flag.long)).collect()
}

/// The names of all commands, for a sentence.
pub fn names() -> String {
    commands().iter().map(|command| command.name).collect::<Vec<_>>().join(", ")
}

/// What the words of a command mean. [`crate::cli::words`] gives them their form.
pub fn parse(command: &str, words: &[&str]) -> Result<Parsed, String> {
    let words = [&[command], words].concat();
    let config =
        match Typed::from_args(&["switchboard"], &words).map_err(|exit| reason(&exit.output))?.command {
            Command::Echo(echo) => Ok(echo.config()),
            Command::Proxy(proxy) => return proxy.parsed(),
            Command::Run(run) => return Ok(run.loaded(&words[1..])),
            Command::Faults(faults) => return Ok(faults.parsed()),
            Command::Check(check) => return Ok(Parsed::Answer(check.answer())),
            Command::Explain(explain) => return explain.answer().map(Parsed::Answer),
            Command::Origin(origin) => return Ok(origin.parsed()),
            Command::Client(client) => client.config(),
            Command::Ctl(ctl) => ctl.config(),
            Command::Top(top) => Ok(top.config()),
            Command::Audit(audit) => audit.config(),
            Command::Load(load) => load.config(),
            Command::Print(print) => return print.text().map(Parsed::Print),
        };
    config.map(Parsed::Run)
}

/// argh's text in our words. The user's text comes last or after the option's name, so that it cannot mislead.
fn reason(argh: &str) -> String {
    let text = argh.trim_end_matches('\n');
    if let Some(rest) = text.strip_prefix("Error parsing option ") {
        return format!("option {}", rest.replacen("' with value '", "' cannot be '", 1));
    }
    if let Some(rest) = text.strip_prefix("Error parsing positional argument '") {
        return rest.replacen("' with value '", " cannot be '", 1);
    }
    match text.strip_prefix("Unrecognized argument: ") {
        Some(word) => {
            format!("unexpected argument '{word}'; leave it out, or put its option's name before it")
        }
        None => text.to_owned(),
    }
}
