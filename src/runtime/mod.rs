//! The only room that names the async runtime: shards, tasks, time, signals, readiness, mailboxes.
//!
//! async-std is the owner's choice and is discontinued (RUSTSEC-2025-0052); its parts (async-task, async-signal, blocking)
//! are maintained. Everything else is written against this room, which is the whole cost of leaving.

pub mod blocking;
pub mod clock;
pub mod limit;
pub mod local;
pub mod lock;
pub mod mailbox;
mod pace;
pub mod random;
pub mod readiness;
pub mod shard;
pub mod signals;
pub mod source;
pub mod task;
pub mod turn;
pub mod waker;
