//! What `switchboard ctl` is told: which server, and what to ask of it.

use crate::control::protocol::Request;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctl {
    /// The server's control socket; `None`: that of the one server that runs.
    pub control: Option<PathBuf>,
    pub json: bool,
    pub request: Request,
    /// How a tap shows bytes.
    pub show: Show,
}

/// How a tap shows bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// Escaped, a line a piece.
    #[default]
    Text,
    /// As `xxd` shows them.
    Hex,
    /// As they are.
    Raw,
}
