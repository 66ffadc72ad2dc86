//! Starts the built binary as a server, reads what it prints, and ends it with the test.

use crate::support::{
    lines::Lines,
    proc::Process,
    program::{Program, binary, binary_in_shell},
    stream,
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ChildStdout, Command, Stdio},
    thread,
};

/// What becomes of the server's standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Every line is collected.
    Read,
    /// It is a pipe that is not read.
    Unread,
    /// It is a pipe whose reader is gone.
    Broken,
}

/// How to start a server.
pub struct Launch<'a> {
    /// `echo`, `proxy` or `origin`.
    pub mode: &'a str,
    /// Flags. Without `--listen` the server takes a free port, without `--log` it writes JSON, and without
    /// `--control` it has no control socket.
    pub flags: &'a [&'a str],
    /// A shell's words that run `"$0" "$@"`, to set limits and redirections first.
    pub shell: Option<&'a str>,
    pub output: Output,
}

impl Launch<'_> {
    /// The command, ready to be started.
    pub fn command(&self) -> Command {
        let mut command = self.shell.map_or_else(binary, binary_in_shell);
        command.arg(self.mode).args(self.flags);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--log", "json"), ("--control", "off")] {
            if !self.flags.iter().any(|given| given.starts_with(flag)) {
                command.args([flag, value]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the server and waits until it says that connections can be made.
    pub fn start(self) -> Server {
        let listeners = self.flags.iter().filter(|flag| flag.starts_with("--listen")).count().max(1);
        Server::of(self.command(), listeners, self.output)
    }
}

/// The address in `listening on ADDRESS, …`.
fn listening_address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    Some(rest.split(',').next()?.trim().to_owned())
}

/// A running server; dropping it kills it.
pub struct Server {
    program: Program,
    /// Where it listens, as its start lines say.
    pub addresses: Vec<String>,
    /// Its standard output.
    pub lines: Lines,
    /// Its standard error.
    pub errors: Lines,
    /// Its standard output with [`Output::Unread`].
    pub unread: Option<ChildStdout>,
}

impl Server {
    /// Starts `command`, of [`Launch::command`], and waits until it says that connections can be made at `listeners`
    /// addresses.
    pub fn of(mut command: Command, listeners: usize, output: Output) -> Server {
        let mut program = Program::start(&mut command);
        let errors = Lines::of(program.stderr.take().unwrap());
        let stdout = program.stdout.take().unwrap();
        let (lines, unread) = match output {
            Output::Read => (Lines::of(stdout), None),
            Output::Unread => (Lines::default(), Some(stdout)),
            Output::Broken => (Lines::default(), None),
        };
        let mut server = Server { program, addresses: Vec::new(), lines, errors, unread };
        server.addresses = within(LIMIT, "the start line", || {
            let exit = server.program.try_wait().unwrap();
            assert!(exit.is_none(), "it ended at start with {exit:?}: {:?}", server.errors.all());
            let found: Vec<String> =
                server.errors.all().iter().filter_map(|line| listening_address(line)).collect();
            (found.len() == listeners).then_some(found)
        });
        server
    }

    /// Starts a server of this mode; see [`Launch::flags`].
    pub fn start(mode: &str, flags: &[&str]) -> Server {
        Launch { mode, flags, shell: None, output: Output::Read }.start()
    }

    /// Starts `run FILE` with this text, which has `listeners` addresses to listen on.
    pub fn run(file: &Path, text: &str, listeners: usize) -> Server {
        fs::write(file, text).unwrap();
        let mut command = binary();
        command.arg("run").arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Server::of(command, listeners, Output::Read)
    }

    /// Starts `run FILE` with one listener, which leads to the upstream `db`: that table's text is given.
    pub fn of_upstream(file: &Path, upstream: &str) -> Server {
        // More threads than many machines have cores.
        let program = "control = \"off\"\nlog = \"json\"\nthreads = 4\n";
        let listener = "[listener.test]\nlisten = \"127.0.0.1:0\"\nupstream = \"db\"\n";
        Server::run(file, &format!("{program}{listener}[upstream.db]\n{upstream}"), 1)
    }

    pub fn echo(flags: &[&str]) -> Server {
        Server::start("echo", flags)
    }

    pub fn proxy(upstream: impl ToString, flags: &[&str]) -> Server {
        Server::start("proxy", &[&["--upstream", &upstream.to_string()], flags].concat())
    }

    /// Where its first listener is.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].parse().unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        stream::connect(self.address())
    }

    /// Clients of a server that echoes, in the order of their sessions' numbers: each has its answer before the next comes.
    pub fn greeted(&self, count: usize) -> Vec<TcpStream> {
        let greeted = |_| {
            let mut client = self.connect();
            stream::exchange(&mut client, b"hello");
            client
        };
        (0..count).map(greeted).collect()
    }

    pub fn process(&self) -> Process {
        self.program.process()
    }

    /// Every event line so far, parsed.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.lines.all().iter().map(parse).collect()
    }

    /// Waits for a line on its standard error with this text.
    pub fn await_warning(&self, text: &str) -> String {
        within(LIMIT, text, || self.errors.all().into_iter().find(|line| line.contains(text)))
    }

    /// Waits for an event of this kind that `wanted` accepts.
    pub fn await_event(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        within(LIMIT, &format!("the event {kind}"), || {
            self.events().into_iter().find(|event| event["event"] == kind && wanted(event))
        })
    }

    /// Waits for the close event of the session with this client.
    pub fn await_close(&self, client: SocketAddr) -> Value {
        let client = client.to_string();
        self.await_event("close", |event| event["client"] == *client)
    }

    /// Waits until `count` sessions have ended; returns their close events.
    pub fn await_closes(&self, count: usize) -> Vec<Value> {
        within(LIMIT, &format!("{count} close events"), || {
            let closes: Vec<Value> =
                self.events().into_iter().filter(|event| event["event"] == "close").collect();
            (closes.len() >= count).then_some(closes)
        })
    }

    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for the end of the process.
    pub fn await_exit(&mut self) -> i32 {
        self.program.await_exit()
    }

    /// Ends it by a signal that it does not handle.
    pub fn die_of(&mut self, signal: Signal) {
        self.signal(signal);
        let end = self.program.await_end();
        assert_eq!(end.signal(), Some(signal.as_raw()), "{end}");
    }

    /// Asks for a drain, and waits for the end of the process.
    pub fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.await_exit()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let tail = |lines: Vec<String>| lines[lines.len().saturating_sub(20)..].join("\n");
            eprintln!(
                "its standard error:\n{}\nits events:\n{}",
                tail(self.errors.all()),
                tail(self.lines.all())
            );
        }
    }
}
