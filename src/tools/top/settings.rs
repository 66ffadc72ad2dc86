//! What `switchboard top` is told: which server, how often, and what to show first.

use crate::{control::protocol::Sort, net::network::Network};
use std::{path::PathBuf, time::Duration};

/// A person can follow two changes a second.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// A rate takes a quarter of a second to measure.
pub const INTERVAL_MIN: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The server's control socket; `None`: that of the one server that runs.
    pub control: Option<PathBuf>,
    pub interval: Duration,
    pub sort: Sort,
    pub from: Option<Network>,
    pub colour: bool,
}
