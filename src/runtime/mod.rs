//! The only folder that names the async runtime: executor, tasks, time, signals, readiness.
//!
//! async-std is the owner's choice and is discontinued (RUSTSEC-2025-0052); its parts (async-io, async-executor,
//! blocking) are maintained. Everything else is written against this folder, which is the whole cost of leaving.

pub mod clock;
pub mod executor;
pub mod inline;
pub mod latch;
pub mod limit;
pub mod lock;
pub mod mailbox;
pub mod pace;
pub mod readiness;
pub mod signals;
pub mod source;
pub mod task;
