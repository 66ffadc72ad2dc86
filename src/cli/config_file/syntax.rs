//! What of a file is no TOML, as the library found it.

use crate::cli::config_file::mistakes::{Found, Severity, SourceText};
use std::collections::BTreeSet;
use toml::de::Error;

/// A list that is not closed swallows what follows, with a mistake for each line: the first one tells it.
const OF_LISTS: [&str; 4] = ["array elements", "in array", "unclosed array", "inline table"];

/// The library does not read on after a key without a value. The text without such lines, with all else in its place; none
/// if it has none.
pub fn repaired(source: &SourceText, errors: &[Error]) -> Option<String> {
    let stops = errors.iter().filter(|error| error.message().contains("key with no value"));
    let lines: BTreeSet<usize> =
        stops.filter_map(|error| error.span()).map(|span| source.line(span.start)).collect();
    let blank = |(line, text): (usize, &str)| {
        let is_left_out = lines.contains(&line);
        if is_left_out {
            text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
        } else {
            text.to_owned()
        }
    };
    (!lines.is_empty()).then(|| source.text.split_inclusive('\n').enumerate().map(blank).collect())
}

/// Adds what is no TOML. Of several mistakes in a line the first is told: the others follow from it.
pub fn add(errors: &[Error], found: &mut Found<'_>) {
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(0..0), error.message().replace('`', "'")))
        .collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut is_in_list = false;
    for (span, message) in errors {
        let message = message.as_str();
        let line = found.source.line_shown(span.start);
        if message == "duplicate key" {
            let text = format!("'{}' is given twice: '{line}'", found.source.shown(&span));
            found.push(Severity::Error, span, text, "leave one of them out");
            continue;
        }
        let is_first = found.break_at(span.start);
        let is_of_list = OF_LISTS.iter().any(|part| message.contains(part));
        if !is_first || (is_of_list && is_in_list) {
            continue;
        }
        is_in_list |= is_of_list;
        let text = if line.is_empty() { message.to_owned() } else { format!("{message}: '{line}'") };
        found.push(Severity::Error, span, text, help(message));
    }
}

fn help(message: &str) -> &'static str {
    let of = [
        ("must be quoted", "put a text in quotes, as in \"10s\""),
        ("expected '='", "write KEY = VALUE"),
        ("invalid unquoted key", "write KEY = VALUE; a key has letters, digits, - and _"),
        ("keys cannot be empty", "write KEY = VALUE"),
        ("unclosed table", "close it with ]"),
        (
            "basic string",
            "close the text with a quote; in it, write \\\" for a quote and \\\\ for a backslash",
        ),
        ("unclosed array", "close the list with ]"),
        ("array elements", "write a comma between the parts of a list, and ] after the last"),
    ];
    of.into_iter().find(|(part, _)| message.contains(part)).map_or("", |(_, help)| help)
}
