//! `switchboard top`: the running servers on the whole terminal. One actor owns what is shown. The keyboard and the screen's
//! writer, which the terminal may block, are threads; the links to the servers and the taps are tasks. They tell the actor
//! what happens.
//!
//! It ends when its user leaves, at a signal, or with the last server; the terminal is given back whichever way it ends.

mod actor;
mod detail;
mod ended;
mod keyboard;
mod keys;
mod link;
mod log;
mod paint;
mod screen;
pub mod settings;
mod state;
mod table;
pub mod tty;
mod writer;

use crate::{
    control::client::{ControlClient, ServerChoice},
    error::Error,
    runtime::signals::TerminalSignals,
    tools::{ctl::Failure, top::settings::Top},
};
use actor::Actor;
use std::fs::File;
use tty::Tty;

/// Shows the running servers, or the one that is meant, on the terminal of these streams until the user leaves.
pub async fn run(config: Top, input: File, output: File) -> Result<(), Failure> {
    let tty = Tty::open(input, output)?;
    let finds = config.server == ServerChoice::Only;
    let mut clients = Vec::new();
    if finds {
        let mut failure = None;
        for (_, client) in ControlClient::running().await? {
            match client {
                Ok(client) => clients.push(client),
                Err(trouble) => failure = Some(trouble),
            }
        }
        if let (true, Some(failure)) = (clients.is_empty(), failure) {
            return Err(failure.into());
        }
    } else {
        clients.push(ControlClient::find(&config.server).await?);
    }
    // Before the terminal is taken over: no signal may end the program without giving it back.
    let signals = TerminalSignals::new().map_err(|error| Error::new("cannot take signals over", error))?;
    let _taken = tty.clone().take()?;
    Actor::start(config, clients, finds, signals, tty)?.run().await
}
