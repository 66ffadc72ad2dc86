//! Reads Rust source as far as the rules of the house need it: the code outside of comments, literals and tests, what it
//! imports, its functions, and the types that it lets others use.

use std::{fs, path::Path};

/// A source file.
pub struct Source {
    /// Below the root, with `/` between its parts.
    pub path: String,
    pub text: String,
    /// The text with spaces for comments, literals and what is only for tests. Every line stays where it was.
    pub code: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// From `fn` to the closing brace.
    pub lines: usize,
}

/// Every source file below `root`.
pub fn read(root: &Path) -> Vec<Source> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    parse(files)
}

/// The files of a crate, by path and text.
pub fn parse(files: impl IntoIterator<Item = (String, String)>) -> Vec<Source> {
    let mut test_modules = Vec::new();
    let mut sources = Vec::new();
    for (path, text) in files {
        let (code, modules) = without_tests(&without_comments_and_literals(&text));
        let folder = folder_of_modules(&path);
        test_modules.extend(modules.into_iter().map(|module| format!("{folder}{module}")));
        sources.push(Source { path, text, code });
    }
    for source in &mut sources {
        let is_of = |module: &String| {
            let rest = source.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if test_modules.iter().any(is_of) {
            source.code = String::new();
        }
    }
    sources
}

/// Where the modules are that a file declares; with a `/` at its end unless it is the root.
fn folder_of_modules(path: &str) -> String {
    let stem = path.strip_suffix(".rs").unwrap();
    let (folder, name) = stem.rsplit_once('/').map_or(("", stem), |(folder, name)| (folder, name));
    match (folder, name) {
        ("", "lib" | "main") => String::new(),
        (_, "mod") => format!("{folder}/"),
        _ => format!("{stem}/"),
    }
}

impl Source {
    /// Whether it is one of `places`: files, and folders with a `/` at their end.
    pub fn is_in(&self, places: &[&str]) -> bool {
        let is_at =
            |place: &&str| self.path == *place || (place.ends_with('/') && self.path.starts_with(place));
        places.iter().any(is_at)
    }

    /// Whether the code holds `word` with nothing of a name before or after it.
    pub fn names(&self, word: &str) -> bool {
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_of_name) && !after.is_some_and(is_of_name)
        })
    }

    /// How deep its module is below the crate's root, which is at 0.
    pub fn depth(&self) -> usize {
        folder_of_modules(&self.path).matches('/').count()
    }

    /// Every path of at least two parts that the code names, in a `use` or on the spot. A star is a part.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let tokens = tokens(&self.code);
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1).map(|token| token.text);
            let starts = at == 0 || tokens[at - 1].text != "::";
            if tokens[at].text == "use" && next != Some("<") {
                at = read_use(&tokens, at + 1, &[], &mut paths);
            } else if starts && tokens[at].is_name() && next == Some("::") {
                let mut path = vec![tokens[at].text.to_owned()];
                while tokens.get(at + 1).is_some_and(|token| token.text == "::")
                    && tokens.get(at + 2).is_some_and(Token::is_name)
                {
                    at += 2;
                    path.push(tokens[at].text.to_owned());
                }
                paths.push(path);
                at += 1;
            } else {
                at += 1;
            }
        }
        paths.retain(|path| path.len() > 1);
        paths
    }

    /// Every function that has a body.
    pub fn functions(&self) -> Vec<Function> {
        let tokens = tokens(&self.code);
        let is_function =
            |at: &usize| tokens[*at].text == "fn" && tokens.get(at + 1).is_some_and(Token::is_name);
        let function = |at: usize| {
            let end = end_of_item(&tokens, at);
            let lines = tokens[end].line - tokens[at].line + 1;
            (tokens[end].text == "}").then(|| Function { name: tokens[at + 1].text.to_owned(), lines })
        };
        (0..tokens.len()).filter(is_function).filter_map(function).collect()
    }

    /// The names of the types that other files may use: what is `pub` in any way.
    pub fn public_types(&self) -> Vec<String> {
        let tokens = tokens(&self.code);
        let name = |at: usize| {
            let mut at = at + 1;
            if tokens.get(at)?.text == "(" {
                at += tokens[at..].iter().position(|token| token.text == ")")? + 1;
            }
            let declares = ["struct", "enum", "union", "trait", "type"].contains(&tokens.get(at)?.text);
            declares.then(|| tokens[at + 1].text.to_owned())
        };
        (0..tokens.len()).filter(|at| tokens[*at].text == "pub").filter_map(name).collect()
    }
}

/// A name or number, `::`, or any other character by itself.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| is_of_name(c) && !c.is_ascii_digit())
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_of_name(first) {
                rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token { text: &rest[..length], line });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Reads the tree of a `use` from `at`; returns where it ends.
fn read_use(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                while tokens.get(at).is_some_and(|token| ["{", ","].contains(&token.text)) {
                    at = read_use(tokens, at + 1, &path, paths);
                }
                return at + 1;
            }
            "," | ";" | "}" => break,
            // The other name is none of the path.
            "as" => at += 1,
            "::" => {}
            part => path.push(part.to_owned()),
        }
        at += 1;
    }
    if path.len() > prefix.len() {
        paths.push(path);
    }
    at
}

/// Where the item ends that begins at `at`: at a `;`, or with its first block.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => open.push(token.text),
            ")" | "]" => drop(open.pop()),
            "}" => {
                open.pop();
                if open.is_empty() {
                    return at;
                }
            }
            ";" if open.is_empty() => return at,
            _ => {}
        }
    }
    tokens.len() - 1
}

/// The text with spaces for comments and literals.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_comment(&chars, at).or_else(|| end_of_literal(&chars, at));
        match end {
            Some(end) => {
                let end = end.min(chars.len());
                code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                code.push(chars[at]);
                at += 1;
            }
        }
    }
    code
}

fn end_of_comment(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    if rest.starts_with(&['/', '/']) {
        return Some(at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with(&['/', '*']) {
        return None;
    }
    let (mut depth, mut end) = (0_usize, at);
    while end < chars.len() {
        match chars[end..] {
            ['/', '*', ..] => (depth, end) = (depth + 1, end + 2),
            ['*', '/', ..] => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    Some(end)
}

fn end_of_literal(chars: &[char], at: usize) -> Option<usize> {
    match chars[at..] {
        ['"', ..] => Some(end_of_quoted(chars, at + 1, '"')),
        // A lifetime has no second quote.
        ['\'', '\\', ..] => Some(end_of_quoted(chars, at + 1, '\'')),
        ['\'', _, '\'', ..] => Some(at + 3),
        ['r', '"' | '#', ..] if at == 0 || !is_of_name(chars[at - 1]) || is_prefix(chars, at - 1) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let begin = at + 1 + hashes;
            // What has hashes and no quote is a raw name.
            (chars.get(begin) == Some(&'"')).then(|| end_of_raw(chars, begin + 1, hashes))
        }
        _ => None,
    }
}

/// Whether `b` or `c` stands there alone, as the prefix of a raw string.
fn is_prefix(chars: &[char], at: usize) -> bool {
    ['b', 'c'].contains(&chars[at]) && (at == 0 || !is_of_name(chars[at - 1]))
}

fn end_of_quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_raw(chars: &[char], mut at: usize, hashes: usize) -> usize {
    let is_end = |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).all(|c| *c == '#');
    while at < chars.len() && !is_end(at) {
        at += 1;
    }
    at + 1 + hashes
}

/// The code with spaces for each item that is only for tests, and the names of the modules among those that are files.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut rest, mut modules) = (String::new(), code, Vec::new());
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let length = MARK.len() + length_of_item(&rest[at + MARK.len()..]);
        let item = &rest[at..at + length];
        let words: Vec<&str> = item[MARK.len()..].split_whitespace().collect();
        if let [.., "mod", name] = words[..]
            && let Some(name) = name.strip_suffix(';')
        {
            modules.push(name.to_owned());
        }
        kept.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[at + length..];
    }
    (kept + rest, modules)
}

/// How long the text of an item is: to its `;`, or to the end of its first block. A field or an arm ends with its comma.
fn length_of_item(text: &str) -> usize {
    const ITEMS: [&str; 14] = [
        "pub", "fn", "mod", "use", "impl", "struct", "enum", "union", "trait", "type", "const", "static",
        "async", "extern",
    ];
    let mut first = text.trim_start();
    while let Some(attribute) = first.strip_prefix("#[") {
        first = attribute.split_once(']').map_or("", |(_, after)| after).trim_start();
    }
    let is_item =
        ITEMS.iter().any(|word| first.strip_prefix(word).is_some_and(|after| !after.starts_with(is_of_name)));
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => open += 1,
            // The end of what the last field or arm is in.
            '}' | ')' if open == 0 => return at,
            ')' | ']' => open -= 1,
            '}' => {
                open -= 1;
                if open == 0 {
                    return at + 1;
                }
            }
            ';' if open == 0 => return at + 1,
            ',' if open == 0 && !is_item => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{Function, Source, parse, read};
    use std::fs;
    use tempfile::TempDir;

    fn source(text: &str) -> Source {
        parse([("file.rs".to_owned(), text.to_owned())]).remove(0)
    }

    fn paths(text: &str) -> Vec<String> {
        source(text).paths().iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = r##"
            // one
            /* two /* three */ four */
            let text = "five // \" six";
            let raw = r#"seven " eight"#;
            let bytes = br"nine \";
            let chars = ['"', '\'', '\u{7f}', b'"'];
            fn after<'a>(r#type: &'a str) -> &'a str { type_ten }
        "##;
        let source = source(text);
        for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "u"] {
            assert!(!source.names(word), "{word} in {}", source.code);
        }
        for word in ["text", "raw", "bytes", "chars", "after", "type_ten"] {
            assert!(source.names(word), "{word} not in {}", source.code);
        }
        assert_eq!(source.code.lines().count(), text.lines().count());
    }

    #[test]
    fn what_is_only_for_tests_is_no_code() {
        let source = source(
            "fn kept() {}\n\
             #[cfg(test)]\n#[derive(Debug)]\npub(super) struct Gone<A, B> {\n    field: A,\n}\n\
             struct Has {\n    #[cfg(test)]\n    hidden: [u8; 2],\n    stays: u8,\n    #[cfg(test)]\n    last: u8\n}\n\
             #[cfg(test)]\nuse gone::{x, y};\n\
             #[cfg(test)]\nconst GONE: [u8; 2] = [1; 2];\n\
             fn between() {}\n\
             #[cfg(test)]\nmod tests {\n    fn gone() {}\n}\n\
             fn behind() {}\n",
        );
        for word in ["Gone", "hidden", "last", "gone", "GONE", "tests"] {
            assert!(!source.names(word), "{word} in {}", source.code);
        }
        for word in ["kept", "stays", "between", "behind"] {
            assert!(source.names(word), "{word} not in {}", source.code);
        }
    }

    #[test]
    fn files_of_test_modules_are_no_code() {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let sources = parse([
            file("lib.rs", "#[cfg(test)]\nmod whole;\nmod room;"),
            file("room/mod.rs", "#[cfg(test)]\nmod tests;\nmod page;"),
            file("room/page.rs", "#[cfg(test)]\nmod tests;\nfn kept() {}"),
            file("room/page/tests.rs", "fn gone() {}"),
            file("room/tests.rs", "fn gone() {}"),
            file("room/tests/more.rs", "fn gone() {}"),
            file("room/tests_of_a_user.rs", "fn kept() {}"),
            file("whole.rs", "fn gone() {}"),
        ]);
        let kept: Vec<&str> = sources
            .iter()
            .filter(|source| !source.functions().is_empty())
            .map(|source| &*source.path)
            .collect();
        assert_eq!(kept, ["room/page.rs", "room/tests_of_a_user.rs"]);
    }

    #[test]
    fn paths_are_found_in_uses_and_on_the_spot() {
        assert_eq!(
            paths(
                "use std::fs;\nuse crate::{\n    first::{B as C, self, d::{E, F}},\n    second::*,\n    third,\n};\n"
            ),
            [
                "std::fs",
                "crate::first::B",
                "crate::first::self",
                "crate::first::d::E",
                "crate::first::d::F",
                "crate::second::*",
                "crate::third"
            ]
        );
        assert_eq!(
            paths(
                "pub(in crate::a) fn f(x: crate::b::C<super::d::E>) -> impl Sized + use<'_> { g::<crate::h>::i() }"
            ),
            ["crate::a", "crate::b::C", "super::d::E", "crate::h"]
        );
        assert_eq!(
            paths("use super::super::net::Socket; // use crate::server::X;"),
            ["super::super::net::Socket"]
        );
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let text = "#[inline]\npub fn one(bytes: [u8; 2]) -> [u8; 2] { bytes }\n\
                    trait T {\n    fn none(&self);\n}\n\
                    fn three<F: Fn(fn(u8))>(\n    f: F) {\n    fn two() {\n    }}\n";
        let found: Vec<(String, usize)> =
            source(text).functions().into_iter().map(|Function { name, lines }| (name, lines)).collect();
        assert_eq!(found, [("one".into(), 1), ("three".into(), 4), ("two".into(), 2)]);
    }

    #[test]
    fn the_types_that_others_may_use_are_those_that_are_pub() {
        let text = "pub struct A;\npub(crate) enum B {}\npub(in crate::x) trait C {}\npub type D = A;\n\
                    struct E;\nimpl T for A {\n    type F = u8;\n}\npub fn g() {}\n#[cfg(test)]\npub struct H;\n";
        assert_eq!(source(text).public_types(), ["A", "B", "C", "D"]);
    }

    #[test]
    fn a_folder_is_read_with_all_below_it() {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for (path, text) in
            [("main.rs", "fn m() {}"), ("a/mod.rs", ""), ("a/b/c.rs", "fn c() {}"), ("a/d.md", "x")]
        {
            fs::write(folder.path().join(path), text).unwrap();
        }
        let sources = read(folder.path());
        let depths: Vec<(&str, usize)> =
            sources.iter().map(|source| (&*source.path, source.depth())).collect();
        assert_eq!(depths, [("a/b/c.rs", 3), ("a/mod.rs", 1), ("main.rs", 0)]);
    }
}
