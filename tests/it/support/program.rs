//! The built binary, as a test runs it: it ends with the test, however the test ends.
//!
//! A test that fails drops its programs, which kills them. If the process of the tests is killed, nothing is dropped:
//! then a watchdog kills the process group that all of them are in. It is a shell that waits for the end of a pipe,
//! because only the kernel closes what a killed process had open.

use crate::support::{
    proc::Process,
    wait::{LIMIT, within},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{OnceLock, mpsc::channel},
    thread,
};

const BINARY: &str = env!("CARGO_BIN_EXE_switchboard");

/// The binary's command line, to be completed.
pub fn binary() -> Command {
    guarded(Command::new(BINARY))
}

/// The same in a shell, whose `words` set limits and redirections, and end with `exec "$0" "$@"`.
pub fn binary_in_shell(words: &str) -> Command {
    let mut command = guarded(Command::new("sh"));
    command.args(["-c", words, BINARY]);
    command
}

/// Puts what is to be started into the group of the watchdog, on a terminal that shows everything.
fn guarded(mut command: Command) -> Command {
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
    static WATCHDOG: OnceLock<Child> = OnceLock::new();
    let group = WATCHDOG.get_or_init(start_watchdog).id();
    // What is shown does not depend on where the tests run.
    command.process_group(group.try_into().unwrap()).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command
}

/// Starts the shell that leads the group. Only this process has the other end of its standard input, to which it never
/// writes: the standard library opens descriptors close-on-exec.
fn start_watchdog() -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r _; kill -KILL 0"]).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A running program; dropping it kills it.
pub struct Program(Child);

impl Program {
    pub fn start(command: &mut Command) -> Program {
        Program(command.spawn().unwrap())
    }

    pub fn process(&self) -> Process {
        Process(self.id())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self), signal).unwrap();
    }

    /// Waits for its end.
    pub fn await_end(&mut self) -> ExitStatus {
        within(LIMIT, "the program ends", || self.try_wait().unwrap())
    }

    /// Waits for its end by itself; its exit code.
    pub fn await_exit(&mut self) -> i32 {
        let status = self.await_end();
        status.code().unwrap_or_else(|| panic!("it was killed: {status}"))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // Either fails only where the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deref for Program {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Program {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end, with the standard streams that `command` names; what it printed, and how it ended.
///
/// A program that does not end fails the test, and the watchdog kills it.
pub fn output(mut command: Command) -> Output {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(command.output()));
    receiver.recv_timeout(LIMIT).expect("the program ends").unwrap()
}

/// Runs a program to its end, with `input` at its standard input; what it printed, and how it ended.
pub fn run(command: Command, input: &[u8]) -> Output {
    assert_cmd::Command::from_std(command).write_stdin(input).timeout(LIMIT).output().unwrap()
}

/// What a run of the built binary printed, and how it ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the built binary to its end, with nothing to read.
pub fn run_binary(arguments: &[&str]) -> Run {
    let mut command = binary();
    command.args(arguments);
    run_text(command)
}

/// As [`run`], with nothing to read and text to print.
pub fn run_text(command: Command) -> Run {
    let output = run(command, b"");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[cfg(test)]
mod tests {
    use super::{Program, guarded};
    use crate::support::{
        server::Server,
        wait::{LIMIT, within},
    };
    use std::{env, fs, process::Command, thread};
    use tempfile::TempDir;

    /// The test runs itself, as the process of tests that is killed.
    #[test]
    fn a_server_ends_if_the_process_of_the_tests_is_killed() {
        const WHERE: &str = "SWITCHBOARD_TEST_TELLS_ITS_SERVER";
        if let Some(path) = env::var_os(WHERE) {
            let server = Server::echo(&[]);
            fs::write(path, format!("{}\n", server.process().0)).unwrap();
            loop {
                thread::park();
            }
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("server");
        let mut tests = guarded(Command::new(env::current_exe().unwrap()));
        let name = "support::program::tests::a_server_ends_if_the_process_of_the_tests_is_killed";
        let mut tests = Program::start(tests.args(["--exact", name, "--nocapture"]).env(WHERE, &path));
        let server: u32 = within(LIMIT, "its server runs", || {
            fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok()
        });
        assert!(fs::exists(format!("/proc/{server}")).unwrap());
        tests.kill();
        // If the new parent is slow to collect it, a zombie is left.
        let is_over =
            || fs::read_to_string(format!("/proc/{server}/stat")).map_or(true, |stat| stat.contains(") Z "));
        within(LIMIT, "its server ends", || is_over().then_some(()));
    }
}
