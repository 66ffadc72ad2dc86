//! The words of one command, put in the form that argh understands.
//!
//! argh knows only `--flag value`. Here `--flag=value` is split, so that a value may hold `=` or begin with a dash. The last
//! of several equal options counts, so that a user can override a script. What follows `--` is no option. An unknown word is
//! refused, with the nearest name that is known.

use argh::{FlagInfo, FlagInfoKind, Optionality};

/// What the words of a command ask for.
pub enum Asked<'a> {
    Help,
    Version,
    Run(Typed<'a>),
}

/// What was typed: options with their values, and words that are none.
pub struct Typed<'a> {
    pub options: Vec<(&'a str, Option<&'a str>)>,
    pub operands: Vec<&'a str>,
}

impl<'a> Typed<'a> {
    /// In the form of argh: options, each before its value, then `--`, then the rest.
    pub fn words(&self) -> Vec<&'a str> {
        let options = self.options.iter().flat_map(|&(name, value)| [Some(name), value]).flatten();
        options.chain(["--"]).chain(self.operands.iter().copied()).collect()
    }
}

/// Reads the words that follow a command's name. An unknown option, or a value that is missing or out of place, is an error.
/// `verbose` is what `-v` stands for where no option has that letter; if nothing, it asks for the version.
pub fn read<'a>(
    words: &'a [String],
    known: &[FlagInfo<'a>],
    verbose: Option<(&'a str, &'a str)>,
) -> Result<Asked<'a>, String> {
    let mut options: Vec<(&'a str, Option<&'a str>)> = Vec::new();
    let mut operands = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        match word {
            "--" => operands.extend(words.by_ref()),
            "-h" | "--help" => return Ok(Asked::Help),
            "-V" | "--version" => return Ok(Asked::Version),
            "-v" if find(word, known).is_none() => match verbose {
                Some((name, value)) => {
                    options.retain(|&(other, _)| other != name);
                    options.push((name, Some(value)));
                }
                None => return Ok(Asked::Version),
            },
            _ if !word.starts_with('-') => operands.push(word),
            _ => {
                let (option, value) = option(word, &mut words, known)?;
                if !matches!(option.optionality, Optionality::Repeating) {
                    options.retain(|&(name, _)| name != option.long);
                }
                options.push((option.long, value));
                if option.long == REPORT {
                    while let Some(form) = words.next_if(|word| is_form(word)) {
                        options.push((option.long, Some(form)));
                    }
                }
            }
        }
    }
    Ok(Asked::Run(Typed { options, operands }))
}

/// The option that takes several words: `--report junit=a.xml md=b.md github`.
const REPORT: &str = "--report";

fn is_form(word: &str) -> bool {
    word == "github" || ["junit=", "md=", "html="].iter().any(|begin| word.starts_with(begin))
}

fn option<'a, 'k>(
    word: &'a str,
    rest: &mut impl Iterator<Item = &'a str>,
    known: &'k [FlagInfo<'a>],
) -> Result<(&'k FlagInfo<'a>, Option<&'a str>), String> {
    let (name, inline) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => match joined(word, known) {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        },
    };
    let Some(option) = find(name, known) else {
        return Err(match nearest(name, known.iter().map(|option| option.long)) {
            Some(nearest) => format!("unrecognized option '{name}'; did you mean '{nearest}'?"),
            None => format!("unrecognized option '{name}'"),
        });
    };
    match (&option.kind, inline) {
        (FlagInfoKind::Option { .. }, Some(value)) => Ok((option, Some(value))),
        (FlagInfoKind::Option { .. }, None) => Ok((option, Some(following(name, rest.next(), known)?))),
        (FlagInfoKind::Switch, None) => Ok((option, None)),
        (FlagInfoKind::Switch, Some(value)) => {
            Err(format!("option '{name}' takes no value, and '{value}' is one; leave it out"))
        }
    }
}

/// `-c50`: a short option with a number or a port right after it. Other words are more likely a long option with one dash.
fn joined<'a>(word: &'a str, known: &[FlagInfo<'_>]) -> Option<(&'a str, &'a str)> {
    let (name, value) = word.split_at_checked(2)?;
    let is_number = value.starts_with(|first: char| first.is_ascii_digit() || first == ':');
    (is_number && find(name, known).is_some()).then_some((name, value))
}

/// The word after an option. The name of an option was hardly meant as a value.
fn following<'a>(name: &str, next: Option<&'a str>, known: &[FlagInfo<'a>]) -> Result<&'a str, String> {
    let value = next.ok_or_else(|| format!("option '{name}' needs a value; write {name} VALUE"))?;
    let before_equals = value.split_once('=').map_or(value, |(before, _)| before);
    match find(before_equals, known) {
        Some(_) => Err(format!("option '{name}' needs a value; if you mean '{value}', write {name}={value}")),
        None => Ok(value),
    }
}

fn find<'a, 'k>(name: &str, known: &'k [FlagInfo<'a>]) -> Option<&'k FlagInfo<'a>> {
    let short = |option: &FlagInfo<'_>| {
        option.short.is_some_and(|letter| name.strip_prefix('-') == Some(letter.encode_utf8(&mut [0; 4])))
    };
    known.iter().find(|option| option.long == name || short(option))
}

/// Longer than any name here: a longer word is no typing error.
const NAME_BYTES_MAX: usize = 40;

/// The candidate that the user probably meant: it begins with `word`, or differs in a few letters (optimal string alignment).
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > NAME_BYTES_MAX {
        return None;
    }
    let bare = word.trim_start_matches('-');
    candidates
        .filter_map(|candidate| {
            let name = candidate.trim_start_matches('-');
            let begins = bare.len() >= 3 && name.starts_with(bare);
            let far = if begins { 0 } else { strsim::osa_distance(bare, name) };
            (far <= name.len() / 3).then_some((far, candidate))
        })
        .min_by_key(|&(far, _)| far)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_name_that_was_meant() {
        let names = ["--listen", "--log", "--max-sessions", "--body"];
        for (word, meant) in [
            ("--lsten", Some("--listen")),
            ("-listen", Some("--listen")),
            ("--max", Some("--max-sessions")),
            ("--logs", Some("--log")),
            ("--frobnicate", None),
            ("-x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names.into_iter()), meant, "{word}");
        }
    }
}
