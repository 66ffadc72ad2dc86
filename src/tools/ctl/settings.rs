//! What `switchboard ctl` is told: which server, and what to ask of it.

use crate::{
    session::event::Side,
    {control::protocol::Sort, net::network::Network},
};
use std::path::PathBuf;

/// One run of `switchboard ctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctl {
    /// The server's control socket; `None`: that of the one server that runs.
    pub control: Option<PathBuf>,
    /// Print what the server says as JSON lines.
    pub json: bool,
    /// What to ask.
    pub command: Command,
}

/// What to ask of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Its live sessions.
    List {
        /// The order of the lines.
        sort: Sort,
        /// Only clients of these addresses.
        from: Option<Network>,
    },
    /// Everything about one session.
    Show(u64),
    /// Sessions that ended.
    Closed {
        /// This one alone.
        session: Option<u64>,
        /// At most so many, the newest.
        last: Option<usize>,
    },
    /// Totals.
    Stats,
    /// End these sessions.
    Cut {
        /// Their numbers.
        sessions: Vec<u64>,
        /// By FIN after what is under way, and not by RST.
        fin: bool,
    },
    /// Show the bytes of a session as they flow.
    Tap {
        /// Its number.
        session: u64,
        /// Whose bytes; `None`: both sides'.
        from: Option<Side>,
        /// How they are shown.
        show: Show,
    },
    /// Accept no more connections.
    Pause,
    /// Accept again.
    Resume,
    /// As SIGTERM.
    Drain,
    /// Change a limit.
    Set {
        /// The option's name without its dashes.
        setting: String,
        /// A number of sessions, or milliseconds; `None` is off.
        value: Option<u64>,
    },
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
