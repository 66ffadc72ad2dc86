//! SIGINT and SIGTERM as a stream. SIGHUP keeps its default (the end, unless `nohup` asked otherwise).

use async_signal::{Signal, Signals};
use futures::StreamExt;
use std::io;

/// The signals that ask this program to stop. The default action is back when it is dropped.
pub struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// Takes the signals over from the default action.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(StopSignals { signals: Signals::new([Signal::Int, Signal::Term])? })
    }

    /// Ends at the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        while !matches!(self.signals.next().await, Some(Ok(_))) {}
    }
}
