//! Completions for shells, made from the parser's declarations.

use crate::{
    cli::commands::{CommandInfo, PRINTED, commands},
    text::topics::TOPICS,
};
use argh::{FlagInfo, FlagInfoKind};
use std::{fmt::Write, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl FromStr for Shell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bash" => Ok(Shell::Bash),
            "zsh" => Ok(Shell::Zsh),
            "fish" => Ok(Shell::Fish),
            _ => Err(format!("there are no completions for '{text}'; write bash, zsh or fish")),
        }
    }
}

impl Shell {
    /// What the shell reads.
    pub fn script(self) -> String {
        match self {
            Shell::Bash => bash(),
            Shell::Zsh => zsh(),
            Shell::Fish => fish(),
        }
    }
}

/// The words that a value may be, where the help names them all: `text|json|off`.
fn choices<'a>(option: &FlagInfo<'a>) -> Vec<&'a str> {
    let FlagInfoKind::Option { arg_name } = option.kind else { return Vec::new() };
    // What the user makes up stands in capitals.
    let is_word = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    arg_name.split('|').filter(is_word).collect()
}

/// Words that follow a command and are no options.
fn operands(command: &CommandInfo) -> Vec<&'static str> {
    match command.name {
        "print" => PRINTED.to_vec(),
        "ctl" => command.notes.iter().filter_map(|note| verb(note)).collect(),
        _ => Vec::new(),
    }
}

/// `list` of `list      the live sessions`.
fn verb(note: &'static str) -> Option<&'static str> {
    let (word, rest) = note.split_once([' ', ','])?;
    let is_row = rest.contains("   ") && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_row.then_some(word)
}

fn names() -> String {
    let commands = commands();
    let names: Vec<&str> = commands.iter().map(|command| command.name).chain(["help"]).collect();
    names.join(" ")
}

fn topics() -> String {
    TOPICS.map(|topic| topic.name).join(" ")
}

fn bash() -> String {
    let mut values = String::new();
    let mut words = String::new();
    for command in commands() {
        let options: Vec<&str> =
            command.flags.iter().map(|flag| flag.long).chain(operands(&command)).collect();
        let _ = writeln!(words, "        {}) words='{}' ;;", command.name, options.join(" "));
        for flag in command.flags {
            let choices = choices(flag);
            if !choices.is_empty() {
                let _ = writeln!(
                    values,
                    "        {}/{}) words='{}' ;;",
                    command.name,
                    flag.long,
                    choices.join(" ")
                );
            } else if matches!(flag.kind, FlagInfoKind::Option { .. }) {
                let _ = writeln!(
                    values,
                    "        {}/{}) COMPREPLY=($(compgen -f -- \"$current\")); return ;;",
                    command.name, flag.long
                );
            }
        }
    }
    format!(
        "# Completions of switchboard for bash, made by 'switchboard print completions bash'.
_switchboard() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} words=
    case ${{COMP_WORDS[1]}}/$before in
        help/*) words='{topics} {names}' ;;
        */switchboard | switchboard/*) words='{names} --help --version' ;;
{values}    esac
    if [ \"$COMP_CWORD\" = 1 ]; then words='{names} --help --version'; fi
    if [ -z \"$words\" ]; then case ${{COMP_WORDS[1]}} in
{words}    esac; fi
    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))
}}
complete -F _switchboard switchboard
",
        names = names(),
        topics = topics(),
    )
}

/// Text between single quotes, in which the brackets and colons of zsh's own notation are none.
fn zsh_text(text: &str) -> String {
    text.replace('\'', "'\\''").replace(':', "\\:").replace('[', "\\[").replace(']', "\\]")
}

fn zsh() -> String {
    let mut described = String::new();
    let mut cases = String::new();
    for command in commands() {
        let _ = writeln!(described, "        '{}:{}'", command.name, zsh_text(command.description));
        let _ = writeln!(cases, "        {}) _arguments \\", command.name);
        for flag in command.flags {
            let value = match flag.kind {
                FlagInfoKind::Switch => String::new(),
                FlagInfoKind::Option { arg_name } => match &choices(flag)[..] {
                    [] => format!(":{}:_files", zsh_text(arg_name)),
                    choices => format!(":{}:({})", zsh_text(arg_name), choices.join(" ")),
                },
            };
            let _ = writeln!(cases, "            '*{}[{}]{value}' \\", flag.long, zsh_text(flag.description));
        }
        let operands = operands(&command).join(" ");
        let action = if operands.is_empty() { "_files".to_owned() } else { format!("({operands})") };
        let _ = writeln!(cases, "            '*:argument:{action}' ;;");
    }
    format!(
        "#compdef switchboard
# Completions of switchboard for zsh, made by 'switchboard print completions zsh'.
_switchboard() {{
    local -a commands=(
{described}        'help:a topic in depth'
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
        help) _values topic {topics} ;;
{cases}    esac
}}
if [[ $funcstack[1] = _switchboard ]]; then _switchboard \"$@\"; else compdef _switchboard switchboard; fi
",
        topics = topics(),
    )
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish() -> String {
    let mut script =
        "# Completions of switchboard for fish, made by 'switchboard print completions fish'.\n".to_owned();
    let first = "complete -c switchboard -n __fish_use_subcommand -f";
    for command in commands() {
        let _ = writeln!(script, "{first} -a {} -d '{}'", command.name, fish_text(command.description));
    }
    let _ = writeln!(script, "{first} -a help -d 'a topic in depth'");
    let _ = writeln!(
        script,
        "complete -c switchboard -n '__fish_seen_subcommand_from help' -f -a '{}'",
        topics()
    );
    for command in commands() {
        let seen = format!("complete -c switchboard -n '__fish_seen_subcommand_from {}'", command.name);
        for flag in command.flags {
            let short = flag.short.map_or(String::new(), |letter| format!(" -s {letter}"));
            let value = match (&flag.kind, choices(flag).join(" ")) {
                (FlagInfoKind::Switch, _) => String::new(),
                (FlagInfoKind::Option { .. }, choices) if choices.is_empty() => " -r".to_owned(),
                (FlagInfoKind::Option { .. }, choices) => format!(" -x -a '{choices}'"),
            };
            let (long, about) = (flag.long.trim_start_matches('-'), fish_text(flag.description));
            let _ = writeln!(script, "{seen}{short} -l {long}{value} -d '{about}'");
        }
        for operand in operands(&command) {
            let _ = writeln!(script, "{seen} -f -a {operand}");
        }
    }
    script
}
