//! What a client does: steps before, steps that are one operation and are repeated, steps after.

use std::time::Duration;

/// One thing that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connects to the target.
    Connect,
    /// Connects, where there is no connection or the peer has ended it.
    Reconnect,
    /// Tells the peer the seed of the connection's pattern.
    TellSeed,
    /// Sends so many bytes of the pattern (or of the message in its place), and reads meanwhile.
    Send(u64),
    /// Waits until so many more bytes have come, each as the pattern says.
    Expect(u64),
    /// As [`Step::Expect`]; nothing more may have come.
    ExpectExactly(u64),
    /// Takes whatever comes until the peer ends its stream.
    ExpectRest,
    /// Waits for a whole HTTP answer, and closes the connection where the answer says so.
    ExpectAnswer,
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
