//! The command that looks into a running server.

use crate::{
    args::values,
    config::{
        Config,
        ctl::{self, Command},
    },
};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// look into a running server of this user, and change it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ctl")]
#[argh(note = "list                    the live sessions")]
#[argh(note = "show ID                 all about one, with the kernel's view of both connections")]
#[argh(note = "closed [ID]             the last sessions that ended, and how")]
#[argh(note = "stats                   totals, by cause")]
#[argh(note = "Exit: 0 done, 1 not done, 2 usage")]
#[argh(example = "switchboard ctl list --sort rate --from 10.0.0.0/8")]
#[argh(example = "switchboard ctl closed -n 20")]
pub struct Ctl {
    /// what to do, and the sessions to do it to
    #[argh(positional, arg_name = "COMMAND")]
    words: Vec<String>,
    /// the server's socket (default that of the one that runs)
    #[argh(option, arg_name = "PATH")]
    control: Option<PathBuf>,
    /// print JSON lines
    #[argh(switch)]
    json: bool,
    /// list: by age, bytes, rate or idle
    #[argh(option, arg_name = "KEY")]
    sort: Option<String>,
    /// list: only clients of this network
    #[argh(option, arg_name = "CIDR")]
    from: Option<String>,
    /// closed: at most so many
    #[argh(option, short = 'n', arg_name = "N", from_str_fn(values::count))]
    last: Option<usize>,
}

impl Ctl {
    /// The settings, after what no single value shows: a command with what belongs to it, and nothing else.
    pub fn config(mut self) -> Result<Config, String> {
        let words = std::mem::take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let command = match words[..] {
            [] => return Err(format!("what to do is missing; write {COMMANDS}")),
            ["list"] => Command::List {
                sort: self
                    .sort
                    .take()
                    .map_or(Ok(ctl::Sort::default()), |text| refused("--sort", &text, values::sort))?,
                from: self.from.take().map(|text| refused("--from", &text, values::network)).transpose()?,
            },
            ["show", id] => Command::Show(session(id)?),
            ["closed"] => Command::Closed { session: None, last: self.last.take() },
            ["closed", id] => Command::Closed { session: Some(session(id)?), last: None },
            ["stats"] => Command::Stats,
            ["show"] => {
                return Err(format!("'{}' needs the number of a session; 'ctl list' shows them", words[0]));
            }
            ["list" | "show" | "closed" | "stats", ..] => {
                return Err(format!("unexpected argument '{}' after '{}'", words[words.len() - 1], words[0]));
            }
            [other, ..] => return Err(format!("'{other}' is nothing that ctl does; write {COMMANDS}")),
        };
        match self.left_over() {
            Some(option) => Err(format!("option '{option}' does not go with '{}'; leave it out", words[0])),
            None => Ok(Config::Ctl(Box::new(ctl::Ctl { control: self.control, json: self.json, command }))),
        }
    }

    /// An option that the command did not take.
    fn left_over(&self) -> Option<&'static str> {
        let given = [
            ("--sort", self.sort.is_some()),
            ("--from", self.from.is_some()),
            ("--last", self.last.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

const COMMANDS: &str = "list, show, closed or stats";

fn session(text: &str) -> Result<u64, String> {
    refused("session", text, values::session)
}

fn refused<T>(what: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    let what = if what.starts_with("--") { format!("option '{what}'") } else { what.to_owned() };
    parse(text).map_err(|reason| format!("{what} cannot be '{text}': {reason}"))
}
