//! Switchboard: a TCP multiplexer built of actors.
//!
//! An acceptor takes connections and hands each to a session. By mode the session echoes the bytes, or opens an upstream
//! and relays both ways. A connection through it ends exactly as a direct one would.
//!
//! ```text
//!                 ┌──────────┐ admit ┌────────────┐ start, cut
//!   connect ────▶ │ acceptor │─────▶ │ supervisor │──────────┐
//!                 └──────────┘       └────────────┘          ▼
//!   ┌────────┐           ┌───────────────────────┐    link up     ┌──────────────────────┐            ┌──────────┐
//!   │        │──bytes──▶ │ read_into   session   │ ─────────────▶ │ write_from  upstream │ ──bytes──▶ │          │
//!   │ client │           │             (socket)  │                │             (socket) │            │ upstream │
//!   │        │◀──bytes── │ write_from            │ ◀───────────── │ read_into            │ ◀──bytes── │          │
//!   └────────┘           └───────────────────────┘    link down   └──────────────────────┘            └──────────┘
//!                                    └───────── events ─────▶ reporter ─────▶ stdout
//! ```
//!
//! Every byte stream is two half-loops: `read_into` (socket to link) and `write_from` (link to socket). In echo mode the
//! session's link leads back to itself. What crosses a link is a piece, the end (`Fin`), or an abort (`Reset`).
//!
//! # In reading order
//! 1. [`server::server`]: from the command line to the drain.
//! 2. [`server::acceptor`]: only accepts.
//! 3. [`server::supervisor`]: the set of live sessions.
//! 4. [`session::session`]: one client connection; [`session::upstream`]: the connection that it dialled.
//! 5. [`relay::half`]: the two half-loops; [`relay::link`]: what is between them; [`relay::pump`]: what their ends mean.
//! 6. [`relay::leg`]: copying and splicing; [`net::socket`]: the two ways to end a connection.
//!
//! # Invariants
//! - A link or a socket that is dropped without having been finished is an abort: nothing that fails looks like a clean end.
//! - A reset never destroys what was relayed before it: the peer's acknowledgement is awaited first, within limits
//!   ([`net::socket::settle`]).
//! - Every mailbox is bounded and has one consumer; there is no cycle of awaited sends; the data path never waits for an
//!   observer.
//! - Every wait on a peer has a limit, and each limit a named cause ([`session::cause::Cause`]).
//! - A task has one owner and ends when the owner lets go; a panic ends one session.
//! - Only [`runtime`] names the async runtime and the channel crate, only [`cli`] the argument parser.
//!
//! # What is deliberately absent
//! No second executor thread (async-std's one reactor makes two threads slower than one), no TLS, no protocol parsing on
//! the relay's path, no retry of a dial after the client has been told, no configuration file, no platform but Linux, no
//! unsafe code.
#![forbid(unsafe_code)]

pub mod cli;
pub mod control;
pub mod error;
pub mod net;
pub mod relay;
pub mod report;
pub mod runtime;
pub mod server;
pub mod session;
pub mod text;
pub mod tools;
