//! What `switchboard top` is told: which server, how often, and what to show first.

use crate::{
    control::{client::ServerChoice, protocol::Sort},
    net::network::Network,
};
use std::time::Duration;

/// A person can follow two changes a second.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// A rate takes a quarter of a second to measure.
pub const INTERVAL_MIN: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// By default all that run.
    pub server: ServerChoice,
    pub interval: Duration,
    pub sort: Sort,
    pub from: Option<Network>,
    pub colour: bool,
    /// The terminal shows plain characters and 8 colours.
    pub plain: bool,
}
