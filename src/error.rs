//! The one error type: which side, doing what, and why it failed.

use std::{fmt, io};

/// On which side of the program an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer that connected to us.
    Client,
    /// The peer that we connected to.
    Upstream,
    /// This program.
    Server,
}

/// An operation that failed. Its text is one lower-case sentence without a full stop.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
pub struct Error {
    /// Where it failed.
    pub side: Side,
    /// What was being done, with the value that it was done to: `cannot listen on 127.0.0.1:80`.
    pub operation: String,
    /// Why.
    pub source: io::Error,
}

impl Error {
    /// An error of this program itself.
    pub fn server(operation: impl Into<String>, source: io::Error) -> Self {
        Error { side: Side::Server, operation: operation.into(), source }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Upstream => "upstream",
            Side::Server => "server",
        })
    }
}

/// An error in words; one of the system begins in lower case and without the number that the standard library adds.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or(&text).to_lowercase(),
        None => text,
    }
}
