//! Signals as streams: those that ask a server or a tool to stop, and those that concern a program that has the whole
//! terminal. Every other signal keeps its default: most end the process.

use async_signal::{Signal, Signals};
use futures::StreamExt;
use rustix::process::kill_current_process_group;
use std::{fs, io};

/// The signals that ask this program to stop. The default action is back when it is dropped.
pub struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// SIGINT and SIGTERM.
    pub fn new() -> io::Result<Self> {
        Ok(StopSignals { signals: Signals::new([Signal::Int, Signal::Term])? })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        while !matches!(self.signals.next().await, Some(Ok(_))) {}
    }
}

/// A signal to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerSignal {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP: its terminal has gone, or it is to read its configuration again.
    Hangup,
}

/// The signals to a server. The default actions are back when it is dropped.
pub struct ServerSignals {
    signals: Signals,
}

impl ServerSignals {
    /// SIGHUP is left alone if the process was started to ignore it (`nohup`), unless it is `wanted` for another reason.
    pub fn new(wants_hangup: bool) -> io::Result<Self> {
        let mut signals = Signals::new([Signal::Int, Signal::Term])?;
        if wants_hangup || !is_hangup_ignored() {
            signals.add_signals([Signal::Hup])?;
        }
        Ok(ServerSignals { signals })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) -> ServerSignal {
        loop {
            match self.signals.next().await {
                Some(Ok(Signal::Hup)) => return ServerSignal::Hangup,
                Some(Ok(_)) => return ServerSignal::Stop,
                Some(Err(_)) | None => {}
            }
        }
    }
}

/// SIGUSR2, which asks a server to start its program anew. The default action, which ends the process, is back when it is
/// dropped.
pub struct UpgradeSignals {
    signals: Signals,
}

impl UpgradeSignals {
    pub fn new() -> io::Result<Self> {
        Ok(UpgradeSignals { signals: Signals::new([Signal::Usr2])? })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        while !matches!(self.signals.next().await, Some(Ok(_))) {}
    }
}

/// Whether the process ignores SIGHUP, as its mask of ignored signals says (proc_pid_status(5)).
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (rustix::process::Signal::HUP.as_raw() - 1) & 1 == 1)
}

/// A signal to a program that has the whole terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalSignal {
    /// It is to end: SIGINT, SIGTERM, SIGQUIT, or SIGHUP because the terminal has gone.
    Stop,
    /// It was stopped and goes on (SIGCONT).
    Continued,
    /// The terminal has another size (SIGWINCH).
    Resized,
}

/// The signals to a program that has the whole terminal. The default actions are back when it is dropped.
pub struct TerminalSignals {
    signals: Signals,
}

impl TerminalSignals {
    pub fn new() -> io::Result<Self> {
        let signals = [Signal::Int, Signal::Term, Signal::Quit, Signal::Hup, Signal::Cont, Signal::Winch];
        Ok(TerminalSignals { signals: Signals::new(signals)? })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) -> TerminalSignal {
        loop {
            match self.signals.next().await {
                Some(Ok(Signal::Cont)) => return TerminalSignal::Continued,
                Some(Ok(Signal::Winch)) => return TerminalSignal::Resized,
                Some(Ok(_)) => return TerminalSignal::Stop,
                Some(Err(_)) | None => {}
            }
        }
    }
}

/// Stops this program and what was started with it, as the terminal does at Ctrl-Z: the shell then has the terminal.
/// It may go on for a moment.
pub fn stop_here() {
    // The kernel does not stop a program that no shell could let go on.
    let _ = kill_current_process_group(rustix::process::Signal::TSTP);
}
