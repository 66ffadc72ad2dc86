//! Options of servers that the environment gives: `SWITCHBOARD_MAX_SESSIONS=10` is `--max-sessions 10`. What is typed
//! counts more.

use crate::cli::words::{Typed, nearest};
use argh::{FlagInfo, FlagInfoKind, Optionality};
use std::ffi::OsString;

const PREFIX: &str = "SWITCHBOARD_";

/// An option that a variable gives.
pub struct Given<'a> {
    option: &'a str,
    /// None of a switch.
    value: Option<String>,
    /// As it stands in the environment: name, and value.
    variable: (String, String),
}

/// The options that the environment gives, and what it says of names that are none.
#[derive(Default)]
pub struct Environment<'a> {
    given: Vec<Given<'a>>,
    notes: Vec<String>,
}

/// The variable of an option.
pub fn variable(option: &str) -> String {
    PREFIX.to_owned() + &option.trim_start_matches('-').replace('-', "_").to_uppercase()
}

impl<'a> Environment<'a> {
    /// Reads `variables` for a command with the options `known`, past those that were typed. `others` are options of other
    /// servers.
    pub fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        typed: &Typed<'_>,
        known: &[FlagInfo<'a>],
        others: &[&str],
    ) -> Result<Self, String> {
        let mut ours: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .collect();
        ours.sort();
        let mut environment = Environment::default();
        for (name, value) in ours {
            let Some(option) = known.iter().find(|option| variable(option.long) == name) else {
                environment.unknown(&name, known, others);
                continue;
            };
            if is_typed(option.long, typed) {
                continue;
            }
            let value = value.into_string().map_err(|value| {
                format!("{name} cannot be '{}': it is not UTF-8", value.to_string_lossy())
            })?;
            environment.add(option, name, value)?;
        }
        Ok(environment)
    }

    fn add(&mut self, option: &FlagInfo<'a>, name: String, value: String) -> Result<(), String> {
        let variable = (name, value.clone());
        let mut give =
            |value| self.given.push(Given { option: option.long, value, variable: variable.clone() });
        match (&option.kind, &*value) {
            (FlagInfoKind::Switch, "1" | "yes" | "true" | "on") => give(None),
            (FlagInfoKind::Switch, "0" | "no" | "false" | "off") => {}
            (FlagInfoKind::Switch, _) => {
                return Err(format!("{} cannot be '{value}': write 1 or 0", variable.0));
            }
            (FlagInfoKind::Option { .. }, _) if matches!(option.optionality, Optionality::Repeating) => {
                value.split_whitespace().for_each(|value| give(Some(value.to_owned())));
            }
            (FlagInfoKind::Option { .. }, _) => give(Some(value)),
        }
        Ok(())
    }

    /// A name that is no option was hardly set for nothing.
    fn unknown(&mut self, name: &str, known: &[FlagInfo<'_>], others: &[&str]) {
        if others.iter().any(|option| variable(option) == name) {
            return;
        }
        let names: Vec<String> = known.iter().map(|option| variable(option.long)).collect();
        let bare = |name: &str| name[PREFIX.len()..].to_owned();
        let bares: Vec<String> = names.iter().map(|name| bare(name)).collect();
        if let Some(meant) = nearest(&bare(name), bares.iter().map(String::as_str)) {
            self.notes.push(format!("{name} names no option; did you mean {PREFIX}{meant}?"));
        }
    }

    /// The options before those that were typed.
    pub fn words(&self) -> Vec<&str> {
        self.given.iter().flat_map(|given| [Some(given.option), given.value.as_deref()]).flatten().collect()
    }

    /// What the start says: what came from the environment, and which names are none.
    pub fn notes(&self) -> Vec<String> {
        let mut variables: Vec<_> = self.given.iter().map(|given| &given.variable).collect();
        variables.dedup();
        let list: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let used = (!list.is_empty()).then(|| format!("from the environment: {}", list.join(" ")));
        used.into_iter().chain(self.notes.iter().cloned()).collect()
    }

    /// The reason why a command line cannot be followed, with the variable's name in place of the option that it gives.
    pub fn blame(&self, reason: String) -> String {
        let by = |given: &&Given<'_>| reason.starts_with(&format!("option '{}' ", given.option));
        match self.given.iter().find(by) {
            Some(given) => {
                reason.replacen(&format!("option '{}' ", given.option), &format!("{} ", given.variable.0), 1)
            }
            None => reason,
        }
    }
}

/// Whether the command line gives this option. Pairs (`LISTEN=UPSTREAM`) give both of their sides.
fn is_typed(option: &str, typed: &Typed<'_>) -> bool {
    let by_pairs = matches!(option, "--listen" | "--upstream") && !typed.operands.is_empty();
    by_pairs || typed.options.iter().any(|(name, _)| *name == option)
}
