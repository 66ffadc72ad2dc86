//! Prints the bytes of a session as they flow, until it ends.

use crate::{
    control::client::Lines,
    report::format::{Dump, Format, Log},
    session::event::{Event, Side, What},
    text::{escape::Terminal, hex::unhex},
    tools::ctl::{Failure, Streams, report::text, settings::Show, written},
};
use jiff::Timestamp;
use serde_json::Value;
use std::{io, time::SystemTime};

/// Prints what the tap of `session` tells; as JSON lines without `show`.
pub fn run(
    lines: &mut Lines,
    session: u64,
    show: Option<Show>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    lines.wait_for_ever()?;
    let mut terminal = streams.is_terminal.then(Terminal::default);
    while let Some(item) = lines.item()? {
        let done = match show {
            None => writeln!(streams.out, "{item}").and_then(|()| streams.out.flush()),
            Some(show) => print(&item, session, show, terminal.as_mut(), streams),
        };
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
        written(done)?;
    }
    Ok(())
}

fn print(
    item: &Value,
    session: u64,
    show: Show,
    terminal: Option<&mut Terminal>,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    if let Some(lost) = item["lost"].as_u64() {
        return writeln!(streams.notes, "{lost} pieces were lost: this tap was too slow");
    }
    if item["ended"].is_string() {
        let ended = text(&item["ended"]);
        return writeln!(streams.notes, "session {session} has ended: {ended}");
    }
    let Some(bytes) = item["hex"].as_str().and_then(unhex) else { return Ok(()) };
    match show {
        Show::Raw => match terminal {
            // Nothing that a peer sends may control the terminal.
            Some(terminal) => {
                let mut safe = String::new();
                terminal.push(&bytes, &mut safe);
                streams.out.write_all(safe.as_bytes())?;
            }
            None => streams.out.write_all(&bytes)?,
        },
        Show::Text | Show::Hex => {
            let dump = if show == Show::Hex { Dump::Hex } else { Dump::Text };
            let mut shown = String::new();
            Format { log: Log::Text, dump, colour: false }.line(&event(item, session, bytes), &mut shown);
            streams.out.write_all(shown.as_bytes())?;
        }
    }
    streams.out.flush()
}

/// The event that a server with `--dump` would have told.
fn event(item: &Value, session: u64, bytes: Vec<u8>) -> Event {
    let at = text(&item["ts"]).parse::<Timestamp>().map_or_else(|_| SystemTime::now(), SystemTime::from);
    let from = if item["from"] == "client" { Side::Client } else { Side::Upstream };
    let offset = item["offset"].as_u64().unwrap_or(0);
    Event { at, what: What::Data { session, from, offset, bytes: bytes.len(), shown: bytes.into() } }
}
