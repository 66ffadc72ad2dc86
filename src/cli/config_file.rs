//! The configuration file: from its text to a [`Plan`], or to all that is wrong with it.
//!
//! `keys` lists what may stand where, `form` says what a key takes. `shape` judges each key by itself, `meaning` makes the
//! plan and judges what keys say together, `warnings` what is legal and probably wrong. `mistakes` shows what was found.
//! Options of the command line are read by the parser of the command line.

pub mod form;
pub mod keys;
mod listened;
pub mod meaning;
pub mod mistakes;
pub mod schema;

mod faults;
mod places;
mod section;
mod shape;
mod syntax;
#[cfg(test)]
mod tests;
mod tls;
mod upstreams;

mod warnings;

use crate::{
    cli::{Answer, Reload},
    error::reason,
    net::limits,
    server::{
        explain::{Question, explain},
        groups::Groups,
        plan::{self, Plan, PlannedListener, PlannedUpstream},
    },
    text::{takes_colour, units::counted},
};
use keys::{FileOptions, Kind};
use meaning::{GivenOptions, Meaning};
use mistakes::{Found, Mistake, MistakeRecord, Severity, SourceText, count, lines, records, rendered};
use section::Section;
use serde::Serialize;
use shape::Shape;
use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::DeTable;

/// The sample file, as the documentation has it.
pub const SAMPLE: &str = include_str!("config_file/sample.toml");

/// Ten thousand listeners with their upstreams have some 2 MB. Reading takes up to a hundred times as much memory.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A file that was read.
struct Reading {
    source: SourceText,
    /// In the order of the file.
    mistakes: Vec<Mistake>,
    /// None if anything is wrong.
    plan: Option<Plan>,
}

/// A plan as it was read.
pub struct Loaded {
    pub plan: Plan,
    /// What is legal in it and probably wrong, a line each: `FILE:LINE:COLUMN: warning: text`.
    pub warnings: Vec<String>,
}

/// Reads the plan of a file; `typed` are options of the command line, which win.
/// Errors: all that is wrong with the file; with `colour` if a terminal shows it.
pub fn load(path: &Path, typed: &GivenOptions, colour: bool) -> Result<Loaded, plan::Mistakes> {
    let Reading { source, mistakes, plan } = Reading::of(path, typed);
    match plan {
        Some(plan) => Ok(Loaded { plan, warnings: lines(&source, &mistakes, Severity::Warning) }),
        None => Err(plan::Mistakes {
            text: rendered(&source, &mistakes, colour),
            first: lines(&source, &mistakes, Severity::Error).into_iter().next().unwrap_or_default(),
        }),
    }
}

/// How the plan of a file is read again. The operator who asked for that may be elsewhere: without colour.
pub fn loader(path: PathBuf, typed: GivenOptions) -> Reload {
    let read = move |other: Option<&Path>| load(other.unwrap_or(&path), &typed, false);
    Reload(Arc::new(move |other| read(other).map(|loaded| loaded.plan)))
}

/// What `check` says.
#[derive(Serialize)]
struct Checked<'a> {
    file: &'a str,
    valid: bool,
    errors: usize,
    warnings: usize,
    #[serde(rename = "faults")]
    mistakes: Vec<MistakeRecord<'a>>,
    /// None of a file that is not valid.
    listeners: Option<usize>,
    upstreams: Option<usize>,
    servers: Option<usize>,
}

/// Whether a file is valid, and all that is wrong with it.
pub fn check(path: &Path, json: bool) -> Answer {
    let mut reading = Reading::of(path, &GivenOptions::new());
    reading.warn_of_descriptors();
    let Reading { source, mistakes, plan } = &reading;
    let counts = plan.as_ref().map(|plan| {
        let servers: usize = plan.upstreams.iter().map(|upstream| upstream.servers.len()).sum();
        (plan.listeners.len(), plan.upstreams.len(), servers)
    });
    let (errors, warnings) = (count(mistakes, Severity::Error), count(mistakes, Severity::Warning));
    if json {
        let checked = Checked {
            file: &source.name,
            valid: plan.is_some(),
            errors,
            warnings,
            mistakes: records(source, mistakes),
            listeners: counts.map(|(listeners, ..)| listeners),
            upstreams: counts.map(|(_, upstreams, _)| upstreams),
            servers: counts.map(|(.., servers)| servers),
        };
        let answer = serde_json::to_string(&checked).unwrap_or_default() + "\n";
        return Answer { answer, notes: String::new(), is_good: plan.is_some() };
    }
    let mut notes = rendered(source, mistakes, shows_colour());
    let warned = if warnings == 0 { String::new() } else { format!("; {}", counted(warnings, "warning")) };
    let Some((listeners, upstreams, servers)) = counts else {
        notes += &format!("{}: not valid: {}{warned}\n", source.name, counted(errors, "error"));
        return Answer { answer: String::new(), notes, is_good: false };
    };
    let [listeners, upstreams, servers] =
        [(listeners, "listener"), (upstreams, "upstream"), (servers, "server")]
            .map(|(n, what)| counted(n, what));
    let answer = format!("{}: valid: {listeners}, {upstreams}, {servers}{warned}\n", source.name);
    Answer { answer, notes, is_good: true }
}

/// What would become of a connection.
/// Errors: what is wrong with the question.
pub fn explained(path: &Path, question: &Question) -> Result<Answer, String> {
    let Reading { source, mistakes, plan } = Reading::of(path, &GivenOptions::new());
    let Some(plan) = plan else {
        let notes = rendered(&source, &mistakes, shows_colour());
        return Ok(Answer { answer: String::new(), notes, is_good: false });
    };
    let listener = asked(&plan, question)?;
    // No check will ever have an answer: servers are taken as they are listed.
    let unchecked = |upstream: &PlannedUpstream| PlannedUpstream { check: None, ..upstream.clone() };
    let upstreams: Vec<_> = plan.upstreams.iter().map(unchecked).collect();
    let groups = Groups::new(&upstreams, &Groups::default());
    let target = groups.target(listener.name.clone().unwrap_or_default(), &listener.target, &plan.tls);
    let lines = explain(&listener.access, &target, &groups, &question.facts());
    Ok(Answer { answer: lines.join("\n") + "\n", notes: String::new(), is_good: true })
}

/// The listener that a question is about.
fn asked<'p>(plan: &'p Plan, question: &Question) -> Result<&'p PlannedListener, String> {
    let names = || plan.listeners.iter().filter_map(|listener| listener.name.as_deref());
    let all = names().collect::<Vec<_>>().join(", ");
    match (&question.listener, &plan.listeners[..]) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("the question names no listener; write listener=NAME, of {all}")),
        (Some(name), listeners) => {
            let found = listeners.iter().find(|listener| listener.name.as_ref() == Some(name));
            found.ok_or_else(|| format!("there is no listener '{name}' in the file; there is {all}"))
        }
    }
}

impl Reading {
    fn of(path: &Path, typed: &GivenOptions) -> Self {
        let name = path.display().to_string();
        match text(path) {
            Ok((text, None)) => Reading::of_text(&name, text, None, typed),
            Ok((text, Some(at))) => Reading::of_text(&name, text, Some(at), typed),
            Err(error) => {
                let text = format!("the file cannot be read: {}", reason(&error));
                let help = Some("name a file that can be read".to_owned());
                let mistake = Mistake { severity: Severity::Error, span: 0..0, text, help };
                Reading { source: SourceText::new(&name, String::new()), mistakes: vec![mistake], plan: None }
            }
        }
    }

    /// Reads a text; what is not UTF-8 in it begins at `foreign`.
    fn of_text(name: &str, text: String, foreign: Option<usize>, typed: &GivenOptions) -> Self {
        let source = SourceText::new(name, text);
        let mut found = Found::new(&source);
        if let Some(at) = foreign {
            let text = "the file is not UTF-8".to_owned();
            found.push(Severity::Error, at..at, text, "write it in UTF-8");
        }
        let (table, mut errors) = DeTable::parse_recoverable(&source.text);
        let repaired = syntax::repaired(&source, &errors);
        let table = repaired.as_ref().map_or(table, |text| {
            let (table, more) = DeTable::parse_recoverable(text);
            errors.extend(more);
            table
        });
        syntax::add(&errors, &mut found);
        let top = Section { table: table.get_ref(), span: 0..0 };
        let options = FileOptions::new();
        Shape { options: &options, found: &mut found }.table(Kind::Top, top.table);
        let plan = Meaning::new(&options, &mut found, typed).plan(&top);
        let mistakes = found.into_mistakes();
        let plan = plan.filter(|_| count(&mistakes, Severity::Error) == 0);
        Reading { mistakes, plan, source }
    }

    /// More sessions than the descriptors of a process allow. A server says it itself when it starts.
    fn warn_of_descriptors(&mut self) {
        let Some(plan) = &self.plan else { return };
        limits::raise_descriptor_limit();
        let Err(shortage) = plan.check_sessions() else { return };
        let key = "max-sessions";
        let Some(at) = self.source.text.find(key) else { return };
        let help = Some("raise the limit, as with LimitNOFILE= of systemd".to_owned());
        let (severity, text) = (Severity::Warning, shortage.to_string());
        self.mistakes.push(Mistake { severity, span: at..at + key.len(), text, help });
        self.mistakes.sort_by_key(|mistake| mistake.span.start);
    }
}

/// The text of a file, and where it stops being UTF-8.
fn text(path: &Path) -> io::Result<(String, Option<usize>)> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
        }
    })
}

/// Whether mistakes may have colour: they go to standard error.
pub fn shows_colour() -> bool {
    io::stderr().is_terminal() && takes_colour()
}
