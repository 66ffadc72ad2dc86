//! The client: asks a server and prints the answer, or asks it many times and prints how that went.
//!
//! It ends with the answer, at the first failure, or when a deadline passes. It reads and writes only the streams that it
//! is given.

mod failure;
mod feed;
mod fleet;
mod http;
mod idle;
mod input;
mod output;
pub mod settings;
mod tally;
mod tcp;
mod tee;
mod wire;

pub use output::Output;

use crate::{
    net::{
        dial::{Destination, dial},
        options::{KEEPALIVE, Options},
    },
    tools::{
        client::settings::{Client, Input, Target},
        failure::Failure,
    },
};
use input::{Kept, Payload};
use std::io::Read;

/// What a client reads and writes.
pub struct Streams {
    /// What a `tcp://` client sends, where it is told nothing else.
    pub input: Box<dyn Read + Send>,
    /// Where the answer goes.
    pub answer: Output,
    /// Where progress and the summary of many runs go.
    pub notes: Output,
}

/// What each run of a client does; nothing in it changes.
struct Plan {
    /// Where it connects.
    server: Destination,
    config: Client,
}

/// Asks as often as `config` says.
///
/// # Errors
/// Why the answer is not complete; of many runs, the most frequent reason.
pub async fn run(config: Client, mut streams: Streams) -> Result<(), Failure> {
    let is_http = matches!(config.target, Target::Http { .. });
    let plan = Plan::new(config);
    let input = &plan.config.input;
    if plan.config.parallel.max(plan.config.repeat) > 1 {
        let kept = if is_http { Kept::nothing() } else { input::keep(input, streams.input).await? };
        return fleet::run(plan, kept, streams.notes).await;
    }
    let payload = if is_http { Kept::nothing().payload() } else { input::open(input, streams.input).await? };
    let end = plan.ask(payload, Some(&mut streams.answer)).await;
    // What came is shown whole before what went wrong.
    let shown = streams.answer.finish().await.map_err(|error| Failure::output(&error));
    end.and(shown)
}

impl Plan {
    fn new(config: Client) -> Self {
        let (Target::Http { endpoint: own, .. } | Target::Tcp(own)) = &config.target;
        let endpoint = config.via.clone().unwrap_or_else(|| own.clone());
        let server = Destination { endpoint, overrides: config.overrides.clone() };
        Plan { server, config }
    }

    /// Asks once and returns how many bytes came back.
    async fn ask(&self, payload: Payload, output: Option<&mut Output>) -> Result<u64, Failure> {
        let options = Options { keepalive: Some(KEEPALIVE), ..Options::default() };
        let dialled = dial(&self.server, &options, self.config.connect_timeout, &[]).await?;
        let peer = self.server.endpoint.to_string();
        let idle = self.config.idle_timeout;
        match &self.config.target {
            Target::Http { host, path, .. } => {
                let question = http::Question { peer: &peer, host, path, body: self.config.body };
                http::ask(dialled.socket, &question, output, idle).await
            }
            Target::Tcp(_) => {
                // Nobody ends standard input when the server is done; a text or a file ends by itself.
                let endless = self.config.input == Input::Stdin;
                tcp::talk(dialled.socket, &peer, payload, endless, output, idle).await
            }
        }
    }
}
