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
//! 1. [`server`]: from the command line to the drain.
//! 2. [`actors::acceptor`]: only accepts.
//! 3. [`actors::supervisor`]: the set of live sessions.
//! 4. [`actors::session`]: one client connection; [`actors::upstream`]: the connection that it dialled.
//! 5. [`relay::half`]: the two half-loops; [`relay::link`]: what is between them; [`relay::duplex`]: what their ends mean.
//! 6. [`relay::ends`]: copying and splicing; [`io::socket`]: the two ways to end a connection.
//!
//! Beside the path: [`io::dial`] (resolve, RFC 8305), [`actors::deadline`] (one sleeper a session), [`actors::admin`]
//! (metrics and health), [`observe`] (events, causes, formats, books), [`runtime`] (executor, clock, readiness and how it
//! waits), [`mailbox`] (the channels), [`args`] and [`config`]. [`control`] and [`ctl`] are the two ends of the control
//! socket; [`top`] makes a live screen of what comes over it. [`client`] asks a server, and [`origin`] is one. [`load`] is the load engine: scripted clients for
//! `benches/`, and [`load::command`] on top of it. [`audit`] holds the same conversations directly and through a proxy, and
//! compares what the ends saw.
//!
//! # Invariants
//! - A link or a socket that is dropped without having been finished is an abort: nothing that fails looks like a clean end.
//! - A reset never destroys what was relayed before it: the peer's acknowledgement is awaited first, within limits
//!   ([`io::settle`]).
//! - Every mailbox is bounded and has one consumer; there is no cycle of awaited sends; the data path never waits for an
//!   observer.
//! - Every wait on a peer has a limit, and each limit a named cause ([`observe::cause::Cause`]).
//! - A task has one owner and ends when the owner lets go; a panic ends one session.
//! - Imports point one way: `runtime`, `io`, `relay`, `actors`, `control`, `server`. Only [`runtime`] names the async runtime, only
//!   [`mailbox`] the channel crate, only [`args`] the argument parser, only [`top`] the crate that draws.
//!
//! # What is deliberately absent
//! No second executor thread (async-std's one reactor makes two threads slower than one), no TLS, no protocol parsing on
//! the relay's path, no retry of a dial after the client has been told, no configuration file, no platform but Linux, no
//! unsafe code.
#![forbid(unsafe_code)]

pub mod actors;
pub mod args;
pub mod audit;
pub mod client;
pub mod config;
pub mod control;
pub mod ctl;
pub mod error;
pub mod failure;
pub mod io;
pub mod load;
pub mod mailbox;
pub mod observe;
pub mod origin;
pub mod relay;
pub mod runtime;
pub mod server;
pub mod top;
