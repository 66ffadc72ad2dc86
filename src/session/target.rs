//! What a session is joined to.

use crate::net::dial::Upstream;
use std::sync::Arc;

/// What a server does with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Send back what comes.
    Echo,
    /// Relay to an upstream.
    Proxy(Arc<Upstream>),
    /// Answer HTTP.
    Origin,
}
