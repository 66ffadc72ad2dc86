//! Reads `src` and checks the rules that no compiler checks (CONVENTIONS): who may name what, and what a file is called.

use crate::support::source::{self, Source};
use std::path::Path;

fn sources() -> Vec<Source> {
    let sources = source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 20, "only {} files", sources.len());
    sources
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
    only(&["tools/load/"], &["httparse"]);
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
        assert!(!EMPTY.iter().any(|word| source.path.contains(word)), "{} says nothing", source.path);
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
        let star = source.paths().into_iter().find(|path| path.last().is_some_and(|part| part == "*"));
        assert_eq!(star, None, "{} imports by a star", source.path);
        assert!(!source.names("detach") || source.is_in(&["runtime/"]), "{} detaches a task", source.path);
    }
}
