//! The client's deadline for silence.

use crate::runtime::clock::{TICK, coarse_ms, sleep};
use std::time::Duration;

/// Ends when nothing has moved for `limit`. `last_moved` says when something last did, in milliseconds of [`coarse_ms`]; none
/// while it is not the server that is waited for. Never ends without a limit.
pub async fn idle(limit: Option<Duration>, last_moved: impl Fn() -> Option<u64>) -> Duration {
    let Some(limit) = limit else { return std::future::pending().await };
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    loop {
        let now = coarse_ms();
        let due = last_moved().unwrap_or(now).saturating_add(limit_ms);
        if due <= now {
            return limit;
        }
        // The coarse clock may lag by a tick; a deadline never comes early.
        sleep(Duration::from_millis(due - now) + TICK).await;
    }
}
