//! The reporter actor: turns events into lines on stdout, and warnings into lines on stderr.
//!
//! It is two threads, one a stream, because a write to a terminal or a pipe may block for as long as its reader likes.
//! No actor waits for them: what a full mailbox does not take is dropped and counted. They end when the last [`Reporter`]
//! is gone and everything is written.

use crate::{
    report::format::Format,
    runtime::{
        clock::within,
        lock::Lock,
        mailbox::{Mailbox, Sender, mailbox},
    },
    session::event::{Event, Events, What},
    text::escape::Escaped,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::nice,
    stdio,
};
use std::{
    io,
    ops::Range,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

/// Events that may wait for a slow reader of stdout. A burst of 2,000 connects and closes fits; with `--dump`, each holds
/// up to `--dump-limit` bytes (4 KiB): 32 MiB.
const EVENTS: usize = 8192;
/// Warnings that may wait for a slow reader of stderr: a line each, and rare.
const WARNINGS: usize = 64;
/// Lines are gathered up to this size and written at once.
const BATCH_BYTES: usize = 64 * 1024;
/// What a pipe takes whole (`PIPE_BUF`, pipe(7)): at an upgrade two processes write to the same one, and lines stay lines.
const AT_ONCE_BYTES: usize = 4096;
/// Between an event that finds the reporter idle and its line. Each wake-up costs the traffic more than
/// the events themselves, so there is at most one in this time; a person does not see it.
const GATHER: Duration = Duration::from_millis(2);
/// Added to the niceness of the reporter's thread (setpriority(2)): if traffic wants every core, lines wait, and are
/// dropped and counted if they wait too long.
const NICENESS: i32 = 10;

/// Where lines for the operator go. Cheap to clone; it never waits.
#[derive(Clone)]
pub struct Reporter {
    events: Events,
    format: Arc<Lock<Format>>,
    warnings: Sender<String>,
}

/// The reporter's end.
pub struct Finish {
    /// Each thread holds an address and never sends; the mailbox ends when both are gone.
    threads: Mailbox<()>,
}

impl Reporter {
    /// Starts reporting in `format`; without a format, only warnings are told.
    pub fn start(format: Option<Format>) -> io::Result<(Self, Finish)> {
        let (running, threads) = mailbox(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let (warnings, mut inbox) = mailbox::<String>(WARNINGS);
        let alive = running.clone();
        thread::Builder::new().name("warnings".into()).spawn(move || {
            let _alive = alive;
            while let Some(line) = inbox.next_blocking() {
                let _ = write_all(stdio::stderr(), format!("{line}\n").as_bytes());
            }
        })?;
        let mut events = None;
        let wanted = Arc::new(Lock::new(format.unwrap_or_default()));
        if format.is_some() {
            let format = wanted.clone();
            let (address, inbox) = mailbox(EVENTS);
            let (text, ends, rest) = (String::new(), vec![0], Vec::new());
            let lines = Lines { format, inbox, dropped: dropped.clone(), told: 0, text, ends, rest };
            thread::Builder::new().name("reporter".into()).spawn(move || {
                let _alive = running;
                // If it is refused, the lines cost what they cost.
                let _ = nice(NICENESS);
                lines.run();
            })?;
            events = Some(address);
        }
        let reporter = Reporter { events: Events::new(events, dropped), format: wanted, warnings };
        Ok((reporter, Finish { threads }))
    }

    /// Where sessions say what happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Events to come are told in another format, unless the reporter was started without one.
    pub fn set_format(&self, format: Format) {
        *self.format.lock() = format;
    }

    /// Tells the operator, on stderr, of something that concerns no single session.
    pub fn warn(&self, text: impl AsRef<str>) {
        let _ = self.warnings.try_send(Escaped(text.as_ref().as_bytes()).to_string());
    }
}

impl Finish {
    /// Waits until everything is written, at most for `limit`: a reader that never reads must not hold up the end.
    pub async fn wait(mut self, limit: Duration) {
        within(Some(limit), self.threads.next()).await;
    }
}

/// The thread that owns stdout.
struct Lines {
    format: Arc<Lock<Format>>,
    inbox: Mailbox<Event>,
    dropped: Arc<AtomicU64>,
    /// How many of the dropped lines a line has told of.
    told: u64,
    text: String,
    /// Where the first of them begins, and where each ends.
    ends: Vec<usize>,
    /// What is missing of a line that was written in part. It is written before any other: one event is one line.
    rest: Vec<u8>,
}

impl Lines {
    fn run(mut self) {
        let mut idle = true;
        while let Some(event) = self.inbox.next_blocking() {
            if idle {
                thread::sleep(GATHER);
            }
            let (mut next, format) = (Some(event), *self.format.lock());
            while let Some(event) = next {
                format.line(&event, &mut self.text);
                self.ends.push(self.text.len());
                next = (self.text.len() < BATCH_BYTES).then(|| self.inbox.try_next()).flatten();
            }
            idle = self.text.len() < BATCH_BYTES;
            self.write();
        }
        if self.dropped.load(Ordering::Relaxed) > self.told {
            self.write();
        }
    }

    /// Writes the gathered lines, and that some were dropped. A reader that is gone, or a disk that is full, loses lines;
    /// there may be room for later ones.
    fn write(&mut self) {
        let (lines, dropped) = (self.ends.len() - 1, self.dropped.load(Ordering::Relaxed));
        if dropped > self.told {
            let what = What::Dropped { lines: dropped - self.told };
            self.format.lock().line(&Event { at: SystemTime::now(), what }, &mut self.text);
            self.ends.push(self.text.len());
        }
        let bytes = self.text.as_bytes();
        let told = match write_all(stdio::stdout(), &self.rest) {
            Err(Cut { written }) => {
                self.rest.drain(..written);
                0
            }
            Ok(()) => {
                self.rest.clear();
                match write_lines(stdio::stdout(), bytes, &self.ends) {
                    Ok(()) => self.ends.len() - 1,
                    Err(Cut { written }) => {
                        let begun = self.ends.partition_point(|end| *end < written);
                        self.rest.extend_from_slice(&bytes[written..self.ends[begun]]);
                        begun
                    }
                }
            }
        };
        if told > lines || dropped == self.told {
            self.told = dropped;
        }
        self.dropped.fetch_add(lines.saturating_sub(told) as u64, Ordering::Relaxed);
        self.text.clear();
        self.ends.truncate(1);
    }
}

/// Not everything could be written.
struct Cut {
    written: usize,
}

/// Writes lines of these `ends`.
fn write_lines(to: BorrowedFd<'_>, bytes: &[u8], ends: &[usize]) -> Result<(), Cut> {
    for piece in pieces(ends) {
        let begin = piece.start;
        write_all(to, &bytes[piece]).map_err(|cut| Cut { written: begin + cut.written })?;
    }
    Ok(())
}

/// Whole lines, as many as go into a pipe at once, or one that is longer. The first of `ends` is where the first begins.
fn pieces(ends: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let begin = *ends.get(next)?;
        let fit = ends.partition_point(|end| *end <= begin + AT_ONCE_BYTES) - 1;
        next = fit.max(next + 1);
        ends.get(next).map(|end| begin..*end)
    })
}

/// Writes all of `bytes`, also to a descriptor that another program made non-blocking.
fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Cut> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(to, &bytes[written..]) {
            Ok(0) => return Err(Cut { written }),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None)
                    .map_err(|_| Cut { written })?;
            }
            Err(_) => return Err(Cut { written }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_lines_that_a_pipe_takes_at_once() {
        let of = |ends: &[usize]| pieces(ends).map(|piece| (piece.start, piece.end)).collect::<Vec<_>>();
        assert!(of(&[0]).is_empty());
        assert_eq!(of(&[0, 10, 20]), [(0, 20)]);
        assert_eq!(of(&[0, 2000, 4096, 4097]), [(0, 4096), (4096, 4097)]);
        assert_eq!(of(&[0, 10, 5000, 5010]), [(0, 10), (10, 5000), (5000, 5010)]);
    }
}
