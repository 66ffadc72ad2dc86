//! What a session is joined to.

use crate::net::dial::Destination;
use std::sync::Arc;

/// What a server does with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Send back what comes.
    Echo,
    /// Relay to an upstream.
    Proxy(Arc<Destination>),
    /// Answer HTTP.
    Origin,
}
