//! One way each to print a thing: what peers sent, hexadecimal digits, moments, amounts, tables.

pub mod columns;
pub mod escape;
pub mod hex;
pub mod markdown;
pub mod moment;
pub mod plain;
pub mod safe;
pub mod table;
pub mod topics;
pub mod units;
pub mod wrap;

use std::io::{self, Write};

/// Writes `text` whole. A reader that has seen enough, as `head` does, is no error.
pub fn print(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let end = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    end.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Whether the user's environment lets programs write in colour: `NO_COLOR` is not set, or empty (no-color.org), and the
/// terminal is not `dumb`.
pub fn takes_colour() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
