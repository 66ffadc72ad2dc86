//! `switchboard top`: a running server on the whole terminal. One actor owns what is shown. The keyboard and the screen's
//! writer, which the terminal may block, are threads; the link to the server and its tap are tasks. They tell the actor what
//! happens.
//!
//! It ends when its user leaves, at a signal, or with the server; the terminal is given back whichever way it ends.

mod actor;
mod detail;
mod history;
mod keyboard;
mod link;
mod paint;
mod screen;
pub mod settings;
mod state;
mod table;
pub mod tty;
mod writer;

use crate::{
    control::client::ControlClient,
    error::Error,
    runtime::signals::TerminalSignals,
    tools::{ctl::Failure, top::settings::Top},
};
use actor::Actor;
use std::fs::File;
use tty::Tty;

/// Shows a running server on the terminal of these streams until the user leaves.
pub async fn run(config: Top, input: File, output: File) -> Result<(), Failure> {
    let tty = Tty::open(input, output)?;
    let client = ControlClient::find(&config.server).await?;
    // Before the terminal is taken over: no signal may end the program without giving it back.
    let signals = TerminalSignals::new().map_err(|error| Error::new("cannot take signals over", error))?;
    let _taken = tty.clone().take()?;
    Actor::start(config, client, signals, tty)?.run().await
}
