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
    error::reason,
    net::{
        address::EscapedAddress,
        dial::{Destination, Dialled, dial},
        options::{KEEPALIVE, Options},
    },
    relay::leg::Leg,
    runtime::clock::within,
    text::units::duration,
    tools::{
        client::settings::{Client, Input, Target, get},
        failure::{Failure, Fault},
        own_header::own_header,
        tls::TargetTls,
    },
};
use input::Payload;
use std::io::Read;
use tcp::Words;

pub struct Streams {
    /// What a client of `tcp://` or `tls://` sends, if it is told nothing else.
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
    if let Some(warning) = config.tls.as_ref().and_then(TargetTls::warning) {
        streams.notes.note(format!("switchboard: {warning}\n")).await;
    }
    let endpoint = config.via.as_ref().unwrap_or_else(|| config.target.endpoint()).clone();
    let plan = Plan { server: Destination { endpoint, overrides: config.overrides.clone() }, config };
    // A request is all that an http server is sent.
    let nothing = Input::Text(Vec::new());
    let input = if plan.config.target.is_http() { &nothing } else { &plan.config.input };
    if plan.config.parallel.max(plan.config.repeat) > 1 {
        let kept = input::keep(input, streams.input).await?;
        return fleet::run(plan, kept, streams.notes).await;
    }
    let payload = input::open(input, streams.input).await?;
    let notes = plan.config.verbose.then_some(&mut streams.notes);
    let end = plan.ask(payload, Some(&mut streams.answer), notes).await;
    // What came is shown whole before what went wrong.
    let shown = streams.answer.finish().await.map_err(|error| Failure::output(&error));
    end.and(shown)
}

/// What is told of a connection, each line marked as curl's are.
fn told(lines: &[String]) -> String {
    lines.iter().map(|line| format!("* {line}\n")).collect()
}

fn connected(dialled: &Dialled) -> String {
    let Dialled { address, local, resolve, connect, .. } = dialled;
    let mut text = format!("connected to {}", EscapedAddress(address));
    if let Some(local) = local {
        text += &format!(" from {}", EscapedAddress(local));
    }
    if let Some(resolve) = resolve {
        text += &format!(", resolved in {}", duration(*resolve));
    }
    text + &format!(", connected in {}", duration(*connect))
}

impl Plan {
    /// Asks once and returns how many bytes came back. `notes` are told of the connection.
    async fn ask(
        &self,
        payload: Payload,
        output: Option<&mut Output>,
        notes: Option<&mut Output>,
    ) -> Result<u64, Failure> {
        let (peer, idle) = (self.server.endpoint.to_string(), self.config.idle_timeout);
        let (leg, header) = self.open(&peer, notes).await?;
        match &self.config.target {
            Target::Http { host, path, .. } => {
                let request = get(host, path, "Accept: */*\r\nConnection: close\r\n");
                let request = [header, request.into_bytes()].concat();
                http::ask(leg, &peer, request, self.config.body, output, idle).await
            }
            Target::Tcp(_) | Target::Tls(_) => {
                // Standard input may stay open when the server is done; a text or a file ends by itself.
                let endless = self.config.input == Input::Stdin;
                tcp::talk(leg, &peer, Words { header, payload }, endless, output, idle).await
            }
        }
    }

    /// Connects, up to where the target's own bytes begin; the PROXY header that is still to come before them.
    async fn open(&self, peer: &str, mut notes: Option<&mut Output>) -> Result<(Leg, Vec<u8>), Failure> {
        let options = Options { keepalive: Some(KEEPALIVE), ..Options::default() };
        let limit = self.config.connect_timeout;
        let dialled = dial(&self.server, &options, limit, &[]).await?;
        if let Some(notes) = &mut notes {
            notes.note(told(&[connected(&dialled)])).await;
        }
        let Dialled { socket, resolve, connect, .. } = dialled;
        let header = own_header(self.config.send_proxy, &socket);
        let header = header.map_err(|error| Failure::lost(peer, &error, 0))?;
        let Some(tls) = &self.config.tls else { return Ok((Leg::Plain(socket), header)) };
        let left = limit.map(|limit| limit.saturating_sub(resolve.unwrap_or_default() + connect));
        match within(left, tls.open(socket, &header)).await {
            Some(Ok((leg, _))) => {
                if let Some(notes) = &mut notes {
                    notes.note(told(&tls.told(&leg))).await;
                }
                Ok((leg, Vec::new()))
            }
            Some(Err(error)) => Err(Failure::unreached(Fault::of_handshake(&error), peer, &reason(&error))),
            None => Err(Failure::late_handshake(peer, limit.unwrap_or_default())),
        }
    }
}
