//! Child processes that never outlive this one: ended when dropped, and all of them at a signal.

use crate::{command, usage};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{self, BufRead, BufReader, Read},
    process::{self, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};
use switchboard::runtime::signals::StopSignals;

/// How long a child may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(2);
/// How long a child may take to say its first line.
const LINE_LIMIT: Duration = Duration::from_secs(10);
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

static LIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child process. Dropping it ends it, and the processes that it started.
pub struct Child {
    process: process::Child,
}

impl Child {
    /// Starts a child; the streams that `command` does not set are silent.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let process = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot start {:?}: {error}", command.get_program()))
        })?;
        live().push(process.id());
        Ok(Child { process })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// When the first line of its standard error came, where that is a pipe.
    pub fn first_error_line(&mut self) -> io::Result<Instant> {
        first_line(self.process.stderr.take()).map(|(_, when)| when)
    }

    /// The first line of its standard output, where that is a pipe.
    pub fn first_line(&mut self) -> io::Result<String> {
        first_line(self.process.stdout.take()).map(|(line, _)| line)
    }

    /// Its standard error, where that is a pipe.
    pub fn take_stderr(&mut self) -> Option<process::ChildStderr> {
        self.process.stderr.take()
    }

    /// Asks it to end as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(&[self.pid()], Signal::INT);
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let family = usage::family(self.pid());
        signal(&family, Signal::TERM);
        if !self.ends_within(END_LIMIT) {
            signal(&family, Signal::KILL);
            let _ = self.process.wait();
        }
        live().retain(|pid| *pid != self.process.id());
    }
}

/// A command whose streams are silent.
pub fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// From now on, SIGINT and SIGTERM end every child and then this program.
pub fn end_all_on_signal() -> io::Result<()> {
    let mut signals = StopSignals::new()?;
    thread::spawn(move || {
        futures::executor::block_on(signals.next());
        // The lock is kept to the end: no child is started any more.
        let live = live();
        live.iter().for_each(|pid| signal(&usage::family(*pid), Signal::KILL));
        command::remove_files();
        process::exit(INTERRUPTED);
    });
    Ok(())
}

fn live() -> MutexGuard<'static, Vec<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

fn first_line(stream: Option<impl Read + Send + 'static>) -> io::Result<(String, Instant)> {
    let stream = stream.ok_or_else(|| io::Error::other("the child's stream is not a pipe"))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let read = reader.read_line(&mut line);
        let _ = sender.send((line, Instant::now(), read));
        // A child that finds its stream closed might fail.
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    match receiver.recv_timeout(LINE_LIMIT) {
        Ok((line, when, Ok(count))) if count > 0 => Ok((line.trim_end().to_owned(), when)),
        Ok((_, _, Err(error))) => Err(error),
        _ => Err(io::Error::other("the child ended or said nothing")),
    }
}
