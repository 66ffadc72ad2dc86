//! Ending what is read from a socket, from outside its session. A [`Reading`] owns nothing.

use crate::runtime::readiness::{Registration, Registry};

/// The reading of one socket, for whoever may end it. It outlives the socket, and then does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading(u64);

impl Reading {
    /// As a number, for a place that holds only numbers.
    #[must_use]
    pub fn token(self) -> u64 {
        self.0
    }

    /// From [`Reading::token`].
    #[must_use]
    pub fn from_token(token: u64) -> Self {
        Reading(token)
    }

    /// Ends the stream that is read from the socket, after what is there already. To be called where the socket was made.
    pub fn end(self) {
        if let Some(source) = Registry::here().lock().find(self.0) {
            source.end_reading();
        }
    }
}

impl Registration {
    /// The socket's reading.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading(self.token)
    }
}
