//! What a client does: steps before, steps that are one operation and are repeated, steps after.

use std::time::Duration;

/// One thing that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connects to the target.
    Connect,
    /// Tells the peer the seed of the connection's pattern.
    TellSeed,
    /// Sends so many bytes of the pattern, and reads meanwhile.
    Send(u64),
    /// Waits until so many more bytes have come, each as the pattern says.
    Expect(u64),
    /// Waits for the end of the peer's stream, with nothing before it.
    ExpectEnd,
    /// Compares the peer's count of what it received with what was sent.
    ExpectTotal,
    /// Does nothing for a time. Where it comes first in an operation, it is not part of its latency.
    Pause(Duration),
    /// Ends our stream.
    HalfClose,
    /// Closes the connection.
    Close,
    /// Keeps the connection until the run is over; it is then reset.
    Hold,
}

/// The steps of one client.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Once, at the begin.
    pub before: Vec<Step>,
    /// One operation; repeated until the run is over. Where it is empty, the script is played once.
    pub each: Vec<Step>,
    /// Once, at the end.
    pub after: Vec<Step>,
}
