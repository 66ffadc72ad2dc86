//! Switchboard: a TCP multiplexer built of actors.
#![forbid(unsafe_code)]

pub mod actors;
pub mod args;
pub mod config;
pub mod error;
pub mod io;
pub mod mailbox;
pub mod observe;
pub mod origin;
pub mod relay;
pub mod runtime;
pub mod server;
