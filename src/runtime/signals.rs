//! Signals as streams: SIGINT and SIGTERM for a server or a client, whose SIGHUP keeps its default (the end, unless `nohup`
//! asked otherwise), and those that concern a program that has the whole terminal.

use async_signal::{Signal, Signals};
use futures::StreamExt;
use rustix::process::kill_current_process_group;
use std::io;

/// The signals that ask this program to stop. The default action is back when it is dropped.
pub struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// Takes the signals over from the default action.
    pub fn new() -> io::Result<Self> {
        Ok(StopSignals { signals: Signals::new([Signal::Int, Signal::Term])? })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        while !matches!(self.signals.next().await, Some(Ok(_))) {}
    }
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
    /// Takes the signals over from their default actions.
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
