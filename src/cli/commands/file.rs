//! The commands that judge a configuration file.

use crate::{
    cli::{Answer, config_file},
    server::explain::Question,
};
use argh::{ArgsInfo, FromArgs};
use std::path::Path;

/// say all that is wrong with a configuration file
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "check")]
#[argh(note = "Each mistake begins FILE:LINE:COLUMN: error: ..., as editors read it.")]
#[argh(note = "Exit: 0 valid, also with warnings, 1 not valid or unreadable, 2 usage")]
#[argh(example = "switchboard check /etc/switchboard.toml")]
#[argh(example = "switchboard print config >switchboard.toml")]
pub struct CheckFile {
    /// a configuration; see 'help configuration'
    #[argh(positional, arg_name = "FILE")]
    file: String,
    /// one JSON object on standard output
    #[argh(switch)]
    json: bool,
}

/// say where a connection would lead by a file, and why
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "explain")]
#[argh(note = "QUESTION: KEY=VALUE apart by spaces; the keys are listener, from, sni, alpn.")]
#[argh(note = "Nothing is resolved or dialled.")]
#[argh(note = "Exit: 0 explained, 1 the file is not valid, 2 usage")]
#[argh(example = "switchboard explain /etc/switchboard.toml 'listener=web from=192.0.2.7'")]
#[argh(example = "switchboard explain /etc/switchboard.toml 'listener=web sni=a.test alpn=h2'")]
pub struct ExplainFile {
    /// a configuration; see 'help configuration'
    #[argh(positional, arg_name = "FILE")]
    file: String,
    /// the connection, as in 'listener=web sni=a.test'
    #[argh(positional, arg_name = "QUESTION")]
    question: Vec<String>,
}

impl CheckFile {
    pub fn answer(self) -> Answer {
        config_file::check(Path::new(&self.file), self.json)
    }
}

impl ExplainFile {
    /// Errors: what is wrong with the question.
    pub fn answer(self) -> Result<Answer, String> {
        let question: Question = self.question.join(" ").parse()?;
        config_file::explained(Path::new(&self.file), &question)
    }
}
