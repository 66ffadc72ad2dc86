//! The checks, by subject: each is a scenario for the two ends of a conversation, held directly and through the proxy.
//!
//! A scenario orders what the ends do by what they have seen, not by the clock: the origin resets when the client has
//! read the part, not when some time has passed. So a difference is one of the protocol, on a busy machine too.

pub mod alone;
pub mod bulk;
pub mod close;
pub mod crowd;
pub mod reset;
pub mod small;
pub mod stall;

/// A request: fits any buffer.
const REQUEST_BYTES: u64 = 4 * 1024;
/// A part of a reply, that any two buffers on the way hold.
const PART_BYTES: u64 = 64 * 1024;
/// A reply that is larger than a proxy's buffer.
const REPLY_BYTES: u64 = 256 * 1024;
/// An upload that is larger than that too.
const UPLOAD_BYTES: u64 = 1024 * 1024;
