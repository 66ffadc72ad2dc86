//! Every wait of a test has a limit.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything healthy takes on a busy machine; a wait that reaches it fails the test.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Looks for something until it is there, and fails the test after `limit`.
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
