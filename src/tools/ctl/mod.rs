//! `switchboard ctl`: asks a running server over its control socket, and prints the answer.

mod report;
pub mod settings;

use crate::{
    control::{
        client::{ControlClient, Trouble},
        protocol::{Request, TapItem},
    },
    error::Error,
    text::escape::Terminal,
    tools::ctl::settings::{Ctl, Show},
};
use serde_json::Value;
use std::io::{self, Write};

/// Why it could not be done: one sentence for the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub(crate) String);

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Failure(trouble.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error.to_string())
    }
}

pub struct Streams {
    pub out: Box<dyn Write + Send>,
    /// What is to be said beside it.
    pub notes: Box<dyn Write + Send>,
    /// A person sees the answer at once.
    pub is_terminal: bool,
}

/// A reader such as `head` may have seen enough: that is no failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new("cannot write to standard output", error).into())
        }
        _ => Ok(()),
    }
}

/// Does what `config` says, and prints the answer.
pub async fn run(config: Ctl, mut streams: Streams) -> Result<(), Failure> {
    let mut client = ControlClient::find(config.control.as_deref()).await?;
    let request = &config.request;
    let text = match request {
        Request::Tap(choice) => {
            let session = choice.session.unwrap_or(0);
            client.send(request).await?;
            return tap(client, session, (!config.json).then_some(config.show), streams).await;
        }
        Request::List(_) if !config.json => report::list(&client.ask(request).await?),
        Request::Closed { .. } if !config.json => report::closed(&client.ask(request).await?),
        _ => {
            let items = client.ask::<Value>(request).await?;
            items
                .iter()
                .map(|item| if config.json { format!("{item}\n") } else { report::facts(item, "") })
                .collect()
        }
    };
    written(streams.out.write_all(text.as_bytes()).and_then(|()| streams.out.flush()))
}

/// Prints what the tap of `session` tells until the session ends; as JSON lines without `show`.
async fn tap(
    mut client: ControlClient,
    session: u64,
    show: Option<Show>,
    mut streams: Streams,
) -> Result<(), Failure> {
    let mut terminal = streams.is_terminal.then(Terminal::default);
    loop {
        let done = match show {
            None => {
                let Some(item) = client.next_item::<Value>().await? else { return Ok(()) };
                writeln!(streams.out, "{item}").and_then(|()| streams.out.flush())
            }
            Some(show) => {
                let Some(item) = client.next_item::<TapItem>().await? else { return Ok(()) };
                report::tapped(item, session, show, terminal.as_mut(), &mut streams)
            }
        };
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
        written(done)?;
    }
}
