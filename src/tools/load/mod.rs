//! The load engine, and `switchboard load` on top of it: clients in parallel that verify what they receive and time every
//! operation.
//!
//! [`run::run`] plays one [`script::Script`] on many connections and gives a [`report::Report`]; [`run::drive`] does so as one
//! of several threads that share the run. A peer that knows the pattern (a source, a sink) is built from
//! [`connection::Connection`], as the clients are. All of this runs under [`crate::runtime::shard`]; sending and receiving
//! allocate nothing. [`command`] runs it on one thread or on several, and prints what came of it.

pub mod arrivals;
mod client;
pub mod command;
pub mod condition;
pub mod connection;
pub mod content;
pub mod failure;
pub mod report;
pub mod room;
pub mod run;
pub mod script;
pub mod settings;
pub mod shared;
mod stage;
#[cfg(test)]
mod tests;
pub mod timeline;
mod watch;
