//! Reads `src` and checks the rules that no compiler checks (CONVENTIONS): who may name what, and how large files are.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src`, and its lines without comments and without its own tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    /// Whether the code holds `word` with nothing of a name before or after it.
    fn names(&self, word: &str) -> bool {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&root, &path));
            }
        }
    }
    assert!(found.len() > 20, "only {} files", found.len());
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    // A file's tests are its last part, or a file of their own.
    let own =
        if name.ends_with("tests.rs") { "" } else { text.split("#[cfg(test)]\nmod tests").next().unwrap() };
    let code: Vec<&str> = own.lines().map(|line| line.split("//").next().unwrap()).collect();
    Source { path: name, code: code.join("\n"), text }
}

/// Fails for every file outside `places` that names one of `words`.
fn only(places: &[&str], words: &[&str]) {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_in(places))
        .flat_map(|source| {
            let named = words.iter().filter(|word| source.names(word));
            named.map(|word| format!("{} names {word}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "only {places:?} may: {broken:#?}");
}

#[test]
fn only_runtime_names_the_async_runtime() {
    only(&["runtime/"], &["async_std", "async_io", "async_global_executor", "async_signal"]);
}

#[test]
fn only_the_mailbox_names_the_channel_crate() {
    only(&["mailbox.rs"], &["flume", "mpsc"]);
}

#[test]
fn only_the_arguments_name_their_parser() {
    only(&["args.rs", "args/"], &["argh"]);
}

#[test]
fn only_the_reporter_and_main_print() {
    let places = ["actors/reporter.rs", "main.rs"];
    only(&places, &["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"]);
}

#[test]
fn imports_point_one_way() {
    let rules: [(&str, &[&str]); 6] = [
        ("relay/", &["crate::actors", "crate::client", "crate::args"]),
        ("io/", &["crate::relay", "crate::actors", "crate::client", "crate::args"]),
        ("runtime/", &["crate::io", "crate::relay", "crate::actors", "crate::client", "crate::args"]),
        ("observe/", &["crate::relay", "crate::actors", "crate::client", "crate::runtime", "crate::args"]),
        ("mailbox.rs", &["crate::io", "crate::relay", "crate::actors", "crate::client", "crate::observe"]),
        ("actors/supervisor.rs", &["TcpStream", "TcpListener"]),
    ];
    for source in sources() {
        // `use crate::{actors::…}` names them without the prefix.
        let grouped = source.code.split("use crate::{").nth(1).and_then(|rest| rest.split("\n};").next());
        for (place, forbidden) in rules {
            for word in forbidden.iter().filter(|_| source.is_in(&[place])) {
                let module = word.strip_prefix("crate::").unwrap_or(word);
                let in_group = grouped.is_some_and(|group| {
                    group.lines().any(|line| {
                        line.strip_prefix("    ").is_some_and(|line| line.starts_with(&format!("{module}::")))
                    })
                });
                assert!(!source.names(word) && !in_group, "{} names {word}", source.path);
            }
        }
    }
}

#[test]
fn nothing_outside_tests_unwraps() {
    only(&[], &["unwrap()", "todo!", "unimplemented!"]);
}

#[test]
fn unsafe_code_is_forbidden() {
    for root in sources().iter().filter(|source| source.is_in(&["lib.rs", "main.rs"])) {
        assert!(root.code.contains("#![forbid(unsafe_code)]"), "{}", root.path);
    }
    only(&["lib.rs", "main.rs"], &["unsafe"]);
}

#[test]
fn files_and_functions_are_small() {
    const FILE_LINES: usize = 250;
    let large: Vec<String> = sources()
        .iter()
        .map(|source| (source.path.clone(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(large.is_empty(), "past {FILE_LINES} lines an idea has split: {large:#?}");
}

#[test]
fn names_say_what_a_file_is() {
    const EMPTY: [&str; 6] = ["manager", "helper", "util", "common", "misc", "types"];
    for source in sources() {
        let stem = Path::new(&source.path).file_stem().unwrap().to_str().unwrap();
        assert!(!EMPTY.iter().any(|word| stem.contains(word)), "{} says nothing", source.path);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        assert!(source.text.starts_with("//!"), "{} does not begin with //!", source.path);
    }
}

#[test]
fn nothing_is_imported_by_a_star_or_detached() {
    for source in sources() {
        let star =
            source.code.lines().any(|line| line.trim_start().starts_with("use ") && line.contains("::*"));
        assert!(!star, "{} imports by a star", source.path);
        assert!(!source.names("detach") || source.is_in(&["runtime/"]), "{} detaches a task", source.path);
    }
}
