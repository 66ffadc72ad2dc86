//! How events are shown: the one entry to the formats.

use crate::{
    report::{json, text},
    session::event::Event,
};
use std::time::SystemTime;

/// How events are shown. Warnings never are: they go to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// For people, for machines, or not at all.
    pub log: Log,
    /// How payload is shown; with [`Dump::Off`] a data event has no line.
    pub dump: Dump,
    /// Whether text may be coloured; JSON never is.
    pub colour: bool,
}

impl Format {
    /// Appends what is shown of an event to `out`: complete lines, or nothing.
    pub fn line(&self, event: &Event, out: &mut String) {
        match self.log {
            Log::Text => text::text(event, self.dump, self.colour, out),
            Log::Json => json::json(event, self.dump, out),
            Log::Off => {}
        }
    }

    /// Appends the line that says how many lines could not be written.
    pub fn dropped(&self, at: SystemTime, lines: u64, out: &mut String) {
        match self.log {
            Log::Text => text::dropped(at, lines, self.colour, out),
            Log::Json => json::dropped(at, lines, out),
            Log::Off => {}
        }
    }
}

/// The format of the event lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// The format of payload in the event lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dump {
    /// No payload.
    #[default]
    Off,
    /// Escaped text.
    Text,
    /// As `xxd` shows it.
    Hex,
}

/// Enough to read a request's head; what is longer is cut with a note.
pub const DUMP_LIMIT_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
