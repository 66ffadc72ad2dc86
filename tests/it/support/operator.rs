//! A server with a control socket, and an operator who talks to it, by `switchboard ctl` or line by line.

use crate::support::{
    program::{self, binary},
    server::{Launch, Output, Server},
    wait::LIMIT,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
};
use tempfile::TempDir;

/// A server whose control socket is in a folder of the test's own.
pub struct Operated {
    pub server: Server,
    pub socket: PathBuf,
    _folder: Option<TempDir>,
}

/// What a run of `ctl` printed, and how it ended.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Operated {
    pub fn start(mode: &str, flags: &[&str]) -> Operated {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("control");
        let control = ["--control", socket.to_str().unwrap()];
        let flags = [flags, &control].concat();
        let server = Launch { mode, flags: &flags, shell: None, output: Output::Read }.start();
        Operated { server, socket, _folder: Some(folder) }
    }

    pub fn proxy(upstream: impl ToString, flags: &[&str]) -> Operated {
        Operated::start("proxy", &[&["--upstream", &upstream.to_string()], flags].concat())
    }

    /// Starts `run FILE` with this text, which has `listeners` addresses to listen on, after what every file begins with.
    pub fn run(text: &str, listeners: usize) -> Operated {
        let folder = TempDir::new().unwrap();
        let text =
            format!("control = {:?}\nlog = \"json\"\nthreads = 2\n{text}", folder.path().join("control"));
        let server = Server::run(&folder.path().join("file.toml"), &text, listeners);
        Operated { socket: folder.path().join("control"), server, _folder: Some(folder) }
    }

    /// A server with a socket in a folder that the test keeps.
    pub fn of(server: Server, socket: PathBuf) -> Operated {
        Operated { server, socket, _folder: None }
    }

    /// The command line of `ctl` with these words, to this server.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = binary();
        command.arg("ctl").args(words).arg("--control").arg(&self.socket);
        command
    }

    pub fn ctl(&self, words: &[&str]) -> Run {
        run(self.command(words))
    }

    /// What `ctl … --json` tells, one value a line.
    pub fn json(&self, words: &[&str]) -> Vec<Value> {
        let run = self.ctl(&[words, &["--json"]].concat());
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What `ctl fault …` says, which succeeds.
    #[track_caller]
    pub fn fault(&self, words: &str) -> String {
        let words: Vec<&str> = ["fault"].into_iter().chain(words.split(' ')).collect();
        let run = self.ctl(&words);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.stdout
    }

    pub fn faults(&self) -> Vec<Value> {
        self.json(&["fault", "list"])
    }

    /// The one live session.
    pub fn only_session(&self) -> Value {
        let mut sessions = self.json(&["list"]);
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions.remove(0)
    }

    /// `ctl` fails with code 1 and one line that says `why`.
    pub fn assert_fails(&self, words: &[&str], why: &str) {
        let run = self.ctl(words);
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{words:?}: {}", run.stderr);
    }

    pub fn talk(&self) -> Talk {
        Talk::connect(&self.socket)
    }
}

/// Runs to the end, which every command but `tap` has at once.
pub fn run(command: Command) -> Run {
    let program::Run { code, stdout, stderr } = program::run_text(command);
    Run { code: code.unwrap(), stdout, stderr }
}

/// A control connection, line by line.
pub struct Talk {
    pub stream: BufReader<UnixStream>,
    pub greeting: Value,
}

impl Talk {
    pub fn connect(socket: &std::path::Path) -> Talk {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let mut talk = Talk { stream: BufReader::new(stream), greeting: Value::Null };
        talk.greeting = talk.line().unwrap();
        talk
    }

    pub fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; none where the server ended the connection.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))),
            Err(error) => panic!("no line: {error}"),
        }
    }

    /// The last line of an answer.
    pub fn last(&mut self) -> Value {
        loop {
            let line = self.line().expect("the answer has an end");
            if line.get("item").is_none() {
                return line;
            }
        }
    }
}
