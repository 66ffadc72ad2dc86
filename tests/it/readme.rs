//! Every command of the README is run, in its order; what it prints there it prints here, but for its numbers.

use crate::support::{
    lines::Lines,
    port,
    program::{Program, binary, run},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");
const MAKEFILE: &str = include_str!("../../Makefile");
/// The ports that the README names; a test takes free ones.
const PORTS: [&str; 9] = ["8001", "8003", "8080", "8081", "8474", "5432", "6379", "9100", "80"];
/// A newcomer reads no more.
const MOST_LINES: usize = 160;

/// A command, without its comment, and what it prints.
struct Example {
    command: &'static str,
    output: Vec<&'static str>,
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in README.split("```console\n").skip(1) {
        for line in block.split("\n```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(line) => {
                    let command = line.split(" #").next().unwrap().trim();
                    examples.push(Example { command, output: Vec::new() });
                }
                None => examples.last_mut().expect("a command comes first").output.push(line),
            }
        }
    }
    examples
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|char: char| !char.is_alphabetic()).filter(|word| word.len() > 2).collect()
}

/// What the README stands on: ports and folders of the test's own, and servers that run.
struct Stage {
    ports: HashMap<&'static str, String>,
    folder: TempDir,
    running: Vec<(Program, Lines, Lines)>,
}

impl Stage {
    fn new() -> Stage {
        let ports = PORTS.map(|port| (port, port::unused().port().to_string())).into();
        Stage { ports, folder: TempDir::new().unwrap(), running: Vec::new() }
    }

    /// The words of a command, as a shell reads them, with the ports and folders of the stage.
    fn words(&self, command: &str) -> Vec<String> {
        let folder = self.folder.path().to_str().unwrap();
        let is_digit = |char: char| char.is_ascii_digit();
        let word = |word: &str| {
            let mut text = String::new();
            let mut rest = word;
            while let Some(at) = rest.find(is_digit) {
                let end = rest[at..].find(|char| !is_digit(char)).map_or(rest.len(), |end| at + end);
                let number = &rest[at..end];
                text += &rest[..at];
                text += self.ports.get(number).map_or(number, String::as_str);
                rest = &rest[end..];
            }
            (text + rest).replace("/tmp/", &format!("{folder}/")).replace('\'', "")
        };
        command.split(' ').map(word).collect()
    }

    /// Writes the configuration of the README where it says.
    fn write_file(&self) {
        let (_, file) = README.split_once("```toml\n").unwrap();
        let text = self.words(file.split("```").next().unwrap()).join(" ");
        fs::write(self.folder.path().join("switchboard.toml"), text).unwrap();
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = binary();
        command.args(words).env("XDG_RUNTIME_DIR", self.folder.path());
        if words[0] == "origin" {
            command.args(["--listen", &self.ports["8003"]]);
        }
        if words[0] == "faults" {
            command.args(["--api", &self.ports["8474"]]);
        }
        command
    }

    fn play(&mut self, example: &Example) {
        let Example { command, output } = example;
        let words = self.words(command.strip_prefix("switchboard ").unwrap());
        if !["echo", "proxy", "run", "origin", "faults"].contains(&&*words[0]) {
            let ran = || run(self.command(&words), b"");
            // A session that has just ended is booked a moment later.
            let ran = match *words[0] == *"ctl" {
                true => within(LIMIT, command, || Some(ran()).filter(|ran| ran.status.success())),
                false => ran(),
            };
            let [out, err] =
                [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
            assert!(ran.status.success(), "{command}: {} {out}{err}", ran.status);
            assert_says(command, output, &[out, err].concat());
            return;
        }
        let stays = words.last().is_some_and(|word| word == "&");
        let words = &words[..words.len() - usize::from(stays)];
        let mut server = self.command(words);
        server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(&mut server);
        let (out, err) =
            (Lines::of(program.stdout.take().unwrap()), Lines::of(program.stderr.take().unwrap()));
        let listeners = words.iter().filter(|word| word.contains('=') || *word == "-l").count().max(1);
        within(LIMIT, command, || {
            assert!(program.try_wait().unwrap().is_none(), "{command}: {:?}", err.all());
            let says = if words[0] == "faults" { "API on" } else { "listening on" };
            let told = err.all().iter().filter(|line| line.starts_with(says)).count();
            (told == listeners).then_some(())
        });
        // What it prints of its clients comes later.
        assert_says(command, &output[..output.len().min(1)], &err.all().join("\n"));
        if stays {
            self.running.push((program, out, err));
        } else {
            program.signal(Signal::TERM);
            assert_eq!(program.await_exit(), 0, "{command}");
        }
    }
}

#[track_caller]
fn assert_says(command: &str, expected: &[&str], printed: &str) {
    for line in expected {
        let missing: Vec<_> = words(line).difference(&words(printed)).copied().collect();
        assert!(missing.is_empty(), "{command} does not print {missing:?} of {line:?}:\n{printed}");
    }
}

fn is_a_target(name: &str) -> bool {
    MAKEFILE.contains(&format!("\n{name}: "))
}

#[test]
fn every_command_works_and_prints_what_it_says() {
    let examples = examples();
    let mut stage = Stage::new();
    stage.write_file();
    let mut ran = 0;
    for example in &examples {
        match example.command.split_once(' ') {
            Some(("switchboard", _)) => {
                stage.play(example);
                ran += 1;
            }
            Some(("make", target)) => assert!(is_a_target(target), "{}", example.command),
            _ => assert_eq!(example.command, "cargo install --path ."),
        }
    }
    assert!(ran >= 13, "only {ran} commands");
    // What servers print of their clients.
    for example in
        examples.iter().filter(|example| example.output.len() > 1 && example.command.ends_with('&'))
    {
        let told: Vec<String> = stage.running.iter().flat_map(|(_, out, _)| out.all()).collect();
        assert_says(example.command, &example.output[1..], &told.join("\n"));
    }
    // The lab's test of the echo server, where there is nc.
    let lab = "echo \"Foobar\" | nc localhost 8001 -q 1";
    assert!(README.contains(lab));
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("command -v nc >/dev/null || {{ echo Foobar; exit; }}; {}", stage.words(lab).join(" ")),
    ]);
    assert_eq!(run(shell, b"").stdout, b"Foobar\n");
}

#[test]
fn a_command_in_its_text_can_be_given() {
    let prose = README.split("```").step_by(2);
    let mut found = 0;
    for code in prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)) {
        let words: Vec<&str> = code.split(' ').collect();
        match words[..] {
            ["make", target, ..] => assert!(is_a_target(target), "{code}"),
            // `help events` after another topic.
            ["switchboard", "help", ..] | ["help", _] => {
                let mut command = binary();
                command.args(words.iter().filter(|word| **word != "switchboard"));
                assert!(run(command, b"").status.success(), "{code}");
            }
            ["switchboard", name, ..] => {
                let mut command = binary();
                command.args([name, "--help"]);
                let help = String::from_utf8(run(command, b"").stdout).unwrap();
                for option in words.iter().filter(|word| word.starts_with("--")) {
                    assert!(help.contains(option), "{code}");
                }
            }
            _ => continue,
        }
        found += 1;
    }
    assert!(found > 15, "only {found}");
}

#[test]
fn it_is_short_and_names_files_and_functions_that_exist() {
    assert!(README.lines().count() <= MOST_LINES, "{} lines", README.lines().count());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let codes: Vec<&str> =
        README.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect();
    let files: Vec<&str> = codes
        .iter()
        .copied()
        .filter(|code| code.starts_with("src/") || code.starts_with("LICENSE"))
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        assert!(root.join(file).exists(), "{file}");
    }
    // What the lab's answers point at.
    let source: String = ["socket", "dial", "listener"]
        .iter()
        .map(|name| std::fs::read_to_string(root.join(format!("src/net/{name}.rs"))).unwrap())
        .collect();
    for name in ["stream_socket", "connecting", "bind_tcp", "try_accept", "try_read"] {
        assert!(codes.contains(&name) && source.contains(&format!("fn {name}(")), "{name}");
    }
    let (_, links) = README.split_once("](").unwrap();
    assert!(root.join(links.split(')').next().unwrap()).exists());
}
