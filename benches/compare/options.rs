//! What the command line asks for.

use crate::layout::{PINNED, UNPINNED};
use std::time::Duration;

/// How to run.
pub struct Options {
    /// Fewer and shorter rounds: under a minute in all.
    pub quick: bool,
    /// Append to RESULTS.md.
    pub record: bool,
    /// As typed.
    pub command: String,
    wanted: Vec<String>,
    servers: Option<String>,
    layout: Option<&'static str>,
    window: Option<Duration>,
}

impl Options {
    /// Reads the arguments, and `QUICK` of the environment.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let from_environment = std::env::var("QUICK").is_ok_and(|value| !matches!(&*value, "" | "0"));
        let (mut quick, mut record, mut wanted) = (from_environment, false, Vec::new());
        let (mut layout, mut servers, mut window) = (None, None, None);
        // Cargo adds `--bench`.
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|argument| *argument != "--bench").collect();
        for argument in &arguments {
            match argument.split_once('=').unwrap_or((argument, "")) {
                ("--quick", _) => quick = true,
                ("--pinned", _) => layout = Some(PINNED),
                ("--unpinned", _) => layout = Some(UNPINNED),
                ("--record", _) => record = true,
                ("--servers", names) => servers = Some(names.to_owned()),
                ("--window", text) => {
                    window =
                        Some(humantime::parse_duration(text).map_err(|error| format!("{text}: {error}"))?);
                }
                (other, _) if other.starts_with('-') => return Err(format!("there is no option {other}")),
                _ => wanted.push((*argument).to_owned()),
            }
        }
        let quick_word = if from_environment { "QUICK=1 " } else { "" };
        let mut command = format!("{quick_word}cargo bench --bench compare");
        if !arguments.is_empty() {
            command += &format!(" -- {}", arguments.join(" "));
        }
        let whole = wanted.is_empty() && layout.is_none() && servers.is_none() && window.is_none();
        let record = record || (!quick && whole);
        Ok(Options { quick, record, command, wanted, servers, layout, window })
    }

    /// Whether the layout of this name is to run.
    pub fn wants_layout(&self, name: &str) -> bool {
        self.layout.is_none_or(|wanted| wanted == name)
    }

    /// Whether the case of this name is to run, which a quick run has only if it `is_quick` or was asked for by name.
    pub fn wants_case(&self, name: &str, is_quick: bool) -> bool {
        self.wants(name) && (is_quick || !self.quick || !self.wanted.is_empty())
    }

    /// Whether the server of this name is to take part.
    pub fn wants_server(&self, name: &str) -> bool {
        self.servers.as_ref().is_none_or(|names| names.split(',').any(|wanted| wanted == name))
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| name.starts_with(wanted.as_str()))
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        if self.quick { 2 } else { 7 }
    }

    /// How long the load runs before it counts.
    pub fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 50 } else { 100 })
    }

    /// How long it counts.
    pub fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_millis(if self.quick { 150 } else { 350 }))
    }
}
