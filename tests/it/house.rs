//! Reads `src` and checks the rules that no compiler checks (CONVENTIONS, DESIGN §2): which room may import from which,
//! who may name what, what a file is called, and how long a function is.

use crate::support::{
    rooms::{self, Import},
    source::{self, Source},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// More rooms are more than a newcomer keeps in mind.
const MOST_ROOMS: usize = 12;
/// The floor of each room, from the lowest.
const FLOORS: [&str; MOST_ROOMS] = [
    "error", "runtime", "text", "net", "relay", "session", "report", "control", "tools", "server", "cli",
    "main",
];
/// A function fits a screen.
const FUNCTION_LINES: usize = 70;
/// The walk through one connection's life takes a newcomer half an hour.
const WALK_FILES: usize = 10;
const WALK_LINES: usize = 1300;

fn sources() -> Vec<Source> {
    let sources = source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 20, "only {} files", sources.len());
    sources
}

/// A line for each import.
fn list<'a>(imports: impl IntoIterator<Item = &'a Import>) -> String {
    let line = |Import { file, path, .. }: &Import| format!("  {file} imports {path}\n");
    imports.into_iter().map(line).collect()
}

#[test]
fn every_room_has_a_floor() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().filter_map(|source| rooms::room(&source.path)).collect();
    let unknown: Vec<&&str> = rooms.iter().filter(|room| !FLOORS.contains(room)).collect();
    assert!(unknown.is_empty(), "no floor is known of {unknown:?}, which are rooms of src");
}

#[test]
fn rooms_import_only_from_floors_below() {
    let imports = rooms::imports(&sources());
    assert!(!imports.is_empty(), "no file imports anything");
    let upward = rooms::upward(&imports, &FLOORS);
    assert!(upward.is_empty(), "not from a floor to one below it, of {FLOORS:?}:\n{}", list(upward));
}

#[test]
fn no_rooms_import_each_other() {
    let imports = rooms::imports(&sources());
    let mut report = String::new();
    for cycle in rooms::cycles(&imports) {
        let is_inside = |import: &&Import| cycle.contains(&*import.from) && cycle.contains(&*import.to);
        report += &format!("{cycle:?} import each other:\n{}", list(imports.iter().filter(is_inside)));
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn a_function_fits_a_screen() {
    let sources = sources();
    let functions =
        || sources.iter().flat_map(|source| source.functions().into_iter().map(move |it| (source, it)));
    assert!(functions().count() > 100, "only {} functions", functions().count());
    let long: Vec<String> = functions()
        .filter(|(_, function)| function.lines > FUNCTION_LINES)
        .map(|(source, function)| format!("{}: {} has {} lines", source.path, function.name, function.lines))
        .collect();
    assert!(long.is_empty(), "longer than {FUNCTION_LINES} lines: {long:#?}");
}

#[test]
fn the_walk_of_the_tour_takes_half_an_hour() {
    let sources = sources();
    let tour = sources.iter().find(|source| source.path == "lib.rs").expect("lib.rs");
    let (_, walk) = tour.text.split_once("The code of this walk").expect("the tour names its files");
    let (walk, _) = walk.split_once("//! 1.").expect("the tour has steps");
    let files: Vec<&str> = walk.split('`').skip(1).step_by(2).collect();
    assert!((5..=WALK_FILES).contains(&files.len()), "{files:?}");
    let lines = |file: &&str| {
        let source = sources.iter().find(|source| source.path == **file);
        let code = &source.unwrap_or_else(|| panic!("the tour names {file}")).code;
        code.lines().filter(|line| !line.trim().is_empty()).count()
    };
    let lines: Vec<(&str, usize)> = files.iter().map(|file| (*file, lines(file))).collect();
    let sum: usize = lines.iter().map(|(_, lines)| lines).sum();
    assert!(sum <= WALK_LINES, "more than {WALK_LINES} lines of code: {sum}, {lines:?}");
}

#[test]
fn a_type_that_leaves_its_file_has_a_name_of_its_own() {
    let sources = sources();
    let mut files: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    // Each tool has words of its own.
    for source in sources.iter().filter(|source| !source.is_in(&["tools/"])) {
        for name in source.public_types() {
            files.entry(name).or_default().push(&source.path);
        }
    }
    assert!(files.len() > 20, "only {} types", files.len());
    files.retain(|_, files| files.len() > 1);
    assert!(files.is_empty(), "pub in several files: {files:#?}");
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
fn only_runtime_names_the_async_runtime_and_the_channel_crate() {
    only(&["runtime/"], &["async_std", "async_io", "async_global_executor", "async_signal", "async_task"]);
    only(&["runtime/"], &["flume", "mpsc"]);
}

#[test]
fn only_the_command_line_names_its_parser() {
    only(&["cli/"], &["argh"]);
}

#[test]
fn a_crate_for_one_thing_is_named_in_one_place() {
    only(&["report/metrics.rs"], &["prometheus_client"]);
    only(&["tools/top/"], &["ratatui", "crossterm"]);
    only(&["net/http/"], &["httparse"]);
    only(&["cli/config_file.rs", "cli/config_file/"], &["toml", "annotate_snippets"]);
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
    let supervisor = sources().into_iter().find(|source| source.path == "server/supervisor.rs");
    let supervisor = supervisor.expect("server/supervisor.rs");
    for word in ["Socket", "TcpStream", "Listener", "socket2", "rustix"] {
        assert!(!supervisor.names(word), "it names {word}");
    }
}

#[test]
fn nothing_outside_tests_unwraps() {
    only(&[], &["unwrap()", "todo!", "unimplemented!"]);
}

/// What waits for the processor may keep it for ms, in which the thread sees no event: only who then rests may yield.
#[test]
fn a_thread_yields_its_processor_only_where_that_is_watched() {
    only(&["runtime/pace.rs"], &["thread::yield_now", "sched_yield"]);
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
