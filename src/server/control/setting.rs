//! What an operator may change in a running server; sessions to come follow it.

use crate::server::control::Facts;
use std::time::Duration;

/// As on the command line: beyond any machine.
const SESSIONS_MAX: usize = 1_000_000_000;
/// Ten years, as on the command line: far below what a clock or a timer can add.
const MILLISECONDS_MAX: u64 = 10 * 31_557_600 * 1000;

impl Facts {
    /// Changes one limit: a number of sessions, or milliseconds; none is off.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn set(&self, setting: &str, value: Option<u64>) -> Result<(), String> {
        if setting == "max-sessions" {
            let limit = value.and_then(|value| usize::try_from(value).ok());
            let limit = limit.filter(|limit| (1..=SESSIONS_MAX).contains(limit));
            let wrong = || format!("max-sessions is a number of at least 1 and at most {SESSIONS_MAX}");
            self.slots.set_limit(limit.ok_or_else(wrong)?);
            return Ok(());
        }
        if value.is_some_and(|ms| ms == 0 || ms > MILLISECONDS_MAX) {
            return Err(format!("{setting} is from 1 to {MILLISECONDS_MAX} milliseconds, or off"));
        }
        let limit = value.map(Duration::from_millis);
        let mut known = true;
        self.deadlines.change(|deadlines| match setting {
            "connect-timeout" => deadlines.connect = limit,
            "idle-timeout" => deadlines.idle = limit,
            "half-close-timeout" => deadlines.half_close = limit,
            "stall-timeout" => deadlines.stall = limit,
            "max-lifetime" => deadlines.lifetime = limit,
            "drain-timeout" => deadlines.drain = limit,
            _ => known = false,
        });
        if known { Ok(()) } else { Err(format!("there is no setting '{setting}'")) }
    }
}
