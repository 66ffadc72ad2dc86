//! Switchboard: a TCP multiplexer built of actors.
#![forbid(unsafe_code)]

pub mod args;
pub mod config;
pub mod error;
pub mod io;
pub mod mailbox;
pub mod observe;
pub mod relay;
pub mod runtime;
