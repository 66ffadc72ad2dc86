//! `switchboard top`: a running server on the whole terminal. One actor owns what is shown; the keyboard, the link to the
//! server, its tap and the screen's writer are threads that tell it what happens, because each of them may block.
//!
//! It ends when its user leaves, at a signal, or with the server; the terminal is given back whichever way it ends.

mod actor;
mod detail;
mod detail_view;
mod history;
mod keyboard;
mod keys;
mod link;
mod page;
mod paint;
mod screen;
pub mod settings;
mod state;
mod table;
mod tap;
mod text;
pub mod tty;
mod writer;

use crate::{
    control::find,
    error::reason,
    runtime::{executor::blocking, signals::TerminalSignals},
    tools::{ctl::Failure, top::settings::Top},
};
use actor::Actor;
use std::fs::File;
use tty::Tty;

/// Shows a running server on the terminal of these streams until the user leaves.
///
/// # Errors
/// Where they are no terminal, there is no server or several, or it goes away.
pub async fn run(config: Top, input: File, output: File) -> Result<(), Failure> {
    let tty = Tty::open(input, output)?;
    let control = config.control.clone();
    let lines = blocking(move || find::server(control.as_deref())).await?;
    // Before the terminal is taken over: no signal may end the program without giving it back.
    let signals = TerminalSignals::new()
        .map_err(|error| Failure(format!("cannot take signals over: {}", reason(&error))))?;
    let _taken = tty.clone().take()?;
    Actor::start(config, lines, signals, tty)?.run().await
}
