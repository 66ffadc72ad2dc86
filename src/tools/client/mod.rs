//! The client: asks a server and prints the answer, or asks it many times and prints how that went.
//!
//! It ends with the answer, at the first failure, or when a deadline passes. It reads and writes only the streams that it
//! is given.

mod fleet;
mod http;
mod input;
mod output;
pub mod settings;
mod tally;
mod tcp;

pub use output::Output;

use crate::{
    net::{
        dial::{Destination, dial},
        options::{KEEPALIVE, Options},
    },
    tools::{
        client::settings::{Client, Input, Target, get},
        failure::Failure,
        own_header::own_header,
    },
};
use input::Payload;
use std::io::Read;
use tcp::Words;

pub struct Streams {
    /// What a `tcp://` client sends, if it is told nothing else.
    pub input: Box<dyn Read + Send>,
    /// Where the answer goes.
    pub answer: Output,
    /// Where progress and the summary of many runs go.
    pub notes: Output,
}

/// What each run of a client does; nothing in it changes.
struct Plan {
    server: Destination,
    config: Client,
}

/// Asks as often as `config` says. The error is why the answer is not complete; of many runs, the most frequent reason.
pub async fn run(config: Client, mut streams: Streams) -> Result<(), Failure> {
    let (Target::Http { endpoint: own, .. } | Target::Tcp(own)) = &config.target;
    let endpoint = config.via.as_ref().unwrap_or(own).clone();
    let plan = Plan { server: Destination { endpoint, overrides: config.overrides.clone() }, config };
    // A request is all that an http server is sent.
    let input = match &plan.config.target {
        Target::Http { .. } => &Input::Text(Vec::new()),
        Target::Tcp(_) => &plan.config.input,
    };
    if plan.config.parallel.max(plan.config.repeat) > 1 {
        let kept = input::keep(input, streams.input).await?;
        return fleet::run(plan, kept, streams.notes).await;
    }
    let payload = input::open(input, streams.input).await?;
    let end = plan.ask(payload, Some(&mut streams.answer)).await;
    // What came is shown whole before what went wrong.
    let shown = streams.answer.finish().await.map_err(|error| Failure::output(&error));
    end.and(shown)
}

impl Plan {
    /// Asks once and returns how many bytes came back.
    async fn ask(&self, payload: Payload, output: Option<&mut Output>) -> Result<u64, Failure> {
        let options = Options { keepalive: Some(KEEPALIVE), ..Options::default() };
        let dialled = dial(&self.server, &options, self.config.connect_timeout, &[]).await?;
        let (peer, idle) = (self.server.endpoint.to_string(), self.config.idle_timeout);
        let header = own_header(self.config.send_proxy, &dialled.socket);
        let header = header.map_err(|error| Failure::lost(&peer, &error, 0))?;
        match &self.config.target {
            Target::Http { host, path, .. } => {
                let request = get(host, path, "Accept: */*\r\nConnection: close\r\n");
                let request = [header, request.into_bytes()].concat();
                http::ask(dialled.socket, &peer, request, self.config.body, output, idle).await
            }
            Target::Tcp(_) => {
                // Standard input may stay open when the server is done; a text or a file ends by itself.
                let endless = self.config.input == Input::Stdin;
                tcp::talk(dialled.socket, &peer, Words { header, payload }, endless, output, idle).await
            }
        }
    }
}
