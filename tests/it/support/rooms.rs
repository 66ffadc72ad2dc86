//! The rooms of a crate, which are the first parts of its files' paths, and what they import from each other.

use crate::support::source::Source;
use std::collections::BTreeSet;

/// The name that `main.rs` and the tests have for the library.
const LIBRARY: &str = "switchboard";

/// That a file names something of another room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub file: String,
    /// What it names, as it stands there.
    pub path: String,
    pub from: String,
    pub to: String,
}

/// The room of a file; none for the root of the library, which is the way to them all.
pub fn room(file: &str) -> Option<&str> {
    let first = file.split('/').next().unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib").then_some(room)
}

/// What the rooms import from each other.
pub fn imports(sources: &[Source]) -> Vec<Import> {
    let of_file = |source: &Source| {
        let from = room(&source.path)?.to_owned();
        let depth = source.depth();
        let import = |path: Vec<String>| {
            let to = room_of_path(&path, depth)?.to_owned();
            let (file, from) = (source.path.clone(), from.clone());
            (to != from).then(|| Import { file, path: path.join("::"), from, to })
        };
        Some(source.paths().into_iter().filter_map(import).collect::<Vec<_>>())
    };
    sources.iter().filter_map(of_file).flatten().collect()
}

/// The room that a path leads to from a module of this depth; none where it does not go by the crate's root.
fn room_of_path(path: &[String], depth: usize) -> Option<&str> {
    let parents = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => path.get(1),
        LIBRARY if depth == 0 => path.get(1),
        "super" if parents >= depth => path.get(parents).or(path.last()),
        _ => None,
    }
    .map(String::as_str)
}

/// The imports that do not lead from a floor to one below it, where `floors` names all rooms from the lowest to the
/// highest. An import from or to an unknown room is one of them.
pub fn upward<'a>(imports: &'a [Import], floors: &[&str]) -> Vec<&'a Import> {
    let floor = |room: &str| floors.iter().position(|known| *known == room);
    let leads_down = |import: &&Import| match (floor(&import.from), floor(&import.to)) {
        (Some(from), Some(to)) => to < from,
        _ => false,
    };
    imports.iter().filter(|import| !leads_down(import)).collect()
}

/// The strongly connected components of more than one room: the sets of rooms that import each other, directly or by
/// way of others of the set.
pub fn cycles(imports: &[Import]) -> BTreeSet<BTreeSet<&str>> {
    let rooms: BTreeSet<&str> = imports.iter().flat_map(|import| [&*import.from, &*import.to]).collect();
    let component = |room| {
        let others = reachable(imports, room).into_iter();
        others
            .filter(|other| reachable(imports, other).contains(room))
            .chain([room])
            .collect::<BTreeSet<&str>>()
    };
    rooms.into_iter().map(component).filter(|component| component.len() > 1).collect()
}

/// Every room that `from` imports from, directly or by way of others.
fn reachable<'a>(imports: &'a [Import], from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(room) = ahead.pop() {
        let next = imports.iter().filter(|import| import.from == room).map(|import| import.to.as_str());
        ahead.extend(next.filter(|next| found.insert(*next)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Import, cycles, imports, room, upward};
    use crate::support::source::parse;

    fn imports_of(files: &[(&str, &str)]) -> Vec<Import> {
        imports(&parse(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))))
    }

    fn edges(files: &[(&str, &str)]) -> Vec<(String, String)> {
        imports_of(files).into_iter().map(|Import { from, to, .. }| (from, to)).collect()
    }

    fn sets(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let imports = imports_of(files);
        cycles(&imports).iter().map(|set| set.iter().map(|room| (*room).to_owned()).collect()).collect()
    }

    fn files_upward(floors: &[&str], files: &[(&str, &str)]) -> Vec<String> {
        let imports = imports_of(files);
        upward(&imports, floors).iter().map(|import| format!("{} {}", import.file, import.path)).collect()
    }

    #[test]
    fn a_room_is_the_first_part_of_a_path() {
        for (file, expected) in [
            ("relay/pump.rs", Some("relay")),
            ("relay/mod.rs", Some("relay")),
            ("tools/top/table.rs", Some("tools")),
            ("relay.rs", Some("relay")),
            ("error.rs", Some("error")),
            ("main.rs", Some("main")),
            ("lib.rs", None),
        ] {
            assert_eq!(room(file), expected, "{file}");
        }
    }

    #[test]
    fn an_import_is_found_however_it_is_written() {
        for text in [
            "use crate::net::Socket;",
            "use crate::{error::Error, net};",
            "use crate::{\n    net::{self, dial},\n    relay::x,\n};",
            "pub use crate::net::*;",
            "fn f() -> crate::net::Socket {}",
            "impl crate::net::Dial for X {}",
            "use super::super::net::Socket;",
            "fn f(socket: &super::super::net::Socket) {}",
            "mod inner {\n    use super::super::super::net::Socket;\n}",
        ] {
            let edges = edges(&[("relay/pump.rs", text)]);
            assert!(edges.contains(&("relay".into(), "net".into())), "{text}: {edges:?}");
        }
        for file in ["relay/mod.rs", "relay.rs"] {
            assert_eq!(
                edges(&[(file, "use super::net::Socket;")]),
                [("relay".into(), "net".into())],
                "{file}"
            );
        }
    }

    #[test]
    fn what_stays_in_its_room_or_is_for_tests_is_no_import() {
        for text in [
            "use crate::relay::link;",
            "use super::link;",
            "use super::{chunk, link::Link};",
            "use std::net::TcpStream;",
            "// use crate::server::X;",
            "const TEXT: &str = \"crate::server::X\";",
            "#[cfg(test)]\nmod tests {\n    use crate::server::X;\n}",
            "pub(crate) fn f() {}",
        ] {
            assert_eq!(edges(&[("relay/pump.rs", text)]), [], "{text}");
        }
        assert_eq!(edges(&[("lib.rs", "pub use crate::server::X;")]), []);
    }

    #[test]
    fn main_names_the_library_by_its_name_and_no_other_file_does() {
        let text = "use switchboard::{cli::commands, report};\nfn f() { switchboard::server::run() }";
        let found = edges(&[("main.rs", text)]);
        let to: Vec<&str> = found.iter().map(|(_, to)| to.as_str()).collect();
        assert_eq!(to, ["cli", "report", "server"]);
        assert_eq!(edges(&[("relay/mod.rs", "use switchboard::server::run;")]), []);
    }

    #[test]
    fn what_leads_up_or_has_no_floor_is_upward() {
        let floors = ["error", "net", "relay", "main"];
        let files = [
            ("error.rs", ""),
            ("net/dial.rs", "use crate::error::Error;\nuse crate::relay::Link;"),
            ("relay/link.rs", "use crate::net::Socket;"),
            ("relay/pump.rs", "use crate::attic::Box;"),
            ("shed.rs", "use crate::error::Error;"),
            ("main.rs", "use switchboard::{error::Error, net, relay};"),
        ];
        let expected = [
            "net/dial.rs crate::relay::Link",
            "relay/pump.rs crate::attic::Box",
            "shed.rs crate::error::Error",
        ];
        assert_eq!(files_upward(&floors, &files), expected);
        assert_eq!(files_upward(&floors, &[files[2], files[5]]), [""; 0]);
    }

    #[test]
    fn rooms_that_import_each_other_are_found_also_by_way_of_others() {
        let (a_b, b_a) = (("a/x.rs", "use crate::b::B;"), ("b/y.rs", "use crate::a::A;"));
        assert_eq!(sets(&[a_b, b_a]), [["a", "b"]]);
        assert_eq!(sets(&[a_b, ("b/y.rs", "use crate::c::C;")]), [[""; 0]; 0]);
        // A ring of three with a way in and a way out, and a pair beside it.
        let files = [
            ("in.rs", "use crate::p::P;"),
            ("p.rs", "use crate::q::Q;"),
            ("q/a.rs", "use crate::r::R;"),
            ("q/b.rs", "use crate::out::O;"),
            ("r.rs", "fn f() { crate::p::f() }"),
            ("out.rs", ""),
            ("s.rs", "use crate::t::T;"),
            ("t.rs", "use super::s::S;"),
        ];
        assert_eq!(sets(&files), [vec!["p", "q", "r"], vec!["s", "t"]]);
        // Of files that are each innocent.
        assert_eq!(
            sets(&[("a/1.rs", "use crate::b::B;"), ("a/2.rs", ""), ("b.rs", "use crate::a::A;")]),
            [["a", "b"]]
        );
    }
}
