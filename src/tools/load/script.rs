//! What a client does: steps before, steps that are one operation and are repeated, steps after.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Connect,
    /// Connects, if there is no connection or the peer has ended it.
    Reconnect,
    /// Tells the peer the seed of the connection's pattern.
    TellSeed,
    /// Sends this many bytes of the pattern or message, and reads meanwhile.
    Send(u64),
    /// Waits until this many more bytes have come, each as the pattern says.
    Expect(u64),
    /// As [`Step::Expect`]; nothing more may have come.
    ExpectExactly(u64),
    /// Takes whatever comes until the peer ends its stream.
    ExpectRest,
    /// Waits for a whole HTTP answer, and closes the connection if the answer says so.
    ExpectAnswer,
    /// Waits for the end of the peer's stream, with nothing before it.
    ExpectEnd,
    /// Compares the peer's count of what it received with what was sent.
    ExpectTotal,
    /// Does nothing for a time. At the begin of an operation it is not part of the latency.
    Pause(Duration),
    HalfClose,
    Close,
    /// Keeps the connection until the run is over; it is then reset.
    Hold,
}

#[derive(Clone, Debug, Default)]
pub struct Script {
    pub before: Vec<Step>,
    /// One operation; repeated until the run is over. Without a step here, the script is played once.
    pub each: Vec<Step>,
    pub after: Vec<Step>,
}
