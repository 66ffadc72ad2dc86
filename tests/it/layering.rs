//! Reads `src` and checks the rules that no compiler checks (CONVENTIONS): who may name what, and how large files are.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src`, its text, and its lines without comments and without tests.
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
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_path_buf(), text));
            }
        }
    }
    assert!(files.len() > 20, "only {} files", files.len());
    let tests: Vec<PathBuf> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test =
        |path: &Path| tests.iter().any(|test| path.starts_with(test) || path == test.with_extension("rs"));
    let source = |(path, text): (PathBuf, String)| {
        // What is not a test of its own ends with its tests, or has none.
        let own = if is_test(&path) { "" } else { text.split("#[cfg(test)]\nmod tests {").next().unwrap() };
        let code: Vec<&str> = own.lines().map(|line| line.split("//").next().unwrap()).collect();
        Source { path: path.to_str().unwrap().to_owned(), code: code.join("\n"), text }
    };
    files.into_iter().map(source).collect()
}

/// The modules that a file declares for tests alone: their paths without the ending.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder =
        if path.file_stem().is_some_and(|stem| ["mod", "lib", "main"].iter().any(|root| stem == *root)) {
            path.parent().unwrap().to_owned()
        } else {
            path.with_extension("")
        };
    let after_marks = text.split("#[cfg(test)]\n").skip(1);
    let names = after_marks.filter_map(|rest| rest.lines().next()?.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| folder.join(name)).collect()
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
    only(&["runtime/"], &["flume", "mpsc"]);
}

#[test]
fn only_the_arguments_name_their_parser() {
    only(&["cli/"], &["argh"]);
}

#[test]
fn a_crate_for_one_thing_is_named_in_one_place() {
    only(&["report/metrics.rs"], &["prometheus_client"]);
    only(&["tools/top/"], &["ratatui", "crossterm"]);
    only(&["net/http/"], &["httparse"]);
}

#[test]
fn only_the_reporter_and_main_print() {
    let places = ["report/reporter.rs", "main.rs"];
    only(&places, &["println!", "eprintln!", "print!", "eprint!", "dbg!"]);
    for mut source in sources() {
        // Asking what a stream is does not write to it.
        for question in ["stdout().is_terminal()", "stderr().is_terminal()"] {
            source.code = source.code.replace(question, "");
        }
        let writes = source.names("stdout()") || source.names("stderr()");
        assert!(!writes || source.is_in(&places), "{} has a standard stream", source.path);
    }
}

/// Every module of this crate that the code names: after `crate::`, alone or in a group.
fn modules_named(source: &Source) -> Vec<&str> {
    let first_name =
        |text: &'_ str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut modules = Vec::new();
    for (at, prefix) in source.code.match_indices("crate::") {
        let rest = &source.code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.push(&rest[..first_name(rest)]);
            continue;
        };
        let mut depth = 0_usize;
        let mut at_item = true;
        for (at, c) in group.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => at_item = true,
                c if at_item && !c.is_whitespace() => {
                    modules.push(&group[at..at + first_name(&group[at..])]);
                    at_item = false;
                }
                _ => {}
            }
        }
    }
    modules
}

#[test]
fn modules_are_found_alone_and_in_groups() {
    let code =
        "use crate::alone::A;\nuse crate::{\n    first::{B, C},\n    second::D,\n};\nuse crate::{x, y::z};";
    let source = Source { path: String::new(), text: String::new(), code: code.into() };
    assert_eq!(modules_named(&source), ["alone", "first", "second", "x", "y"]);
}

#[test]
fn the_supervisor_knows_nothing_of_sockets() {
    let supervisor = sources().into_iter().find(|source| source.path == "server/supervisor.rs").unwrap();
    for word in ["Socket", "TcpStream", "Listener", "socket2", "rustix"] {
        assert!(!supervisor.names(word), "it names {word}");
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
