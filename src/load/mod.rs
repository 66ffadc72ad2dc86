//! The load engine: scripted clients that run in parallel, verify every byte they receive, and time every operation.
//!
//! [`run::run`] plays one [`script::Script`] on many connections and gives a [`report::Report`]. A peer that knows the
//! pattern (a source, a sink) is built from [`connection::Connection`], as the clients are. Everything here runs on one
//! thread under [`crate::runtime::inline`]; sending and receiving allocate nothing.

mod client;
pub mod connection;
pub mod failure;
pub mod pattern;
pub mod report;
pub mod room;
pub mod run;
pub mod script;
mod stage;
#[cfg(test)]
mod tests;
