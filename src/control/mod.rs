//! The control socket: an operator looks into a running server, and changes it. JSON lines over a UNIX socket.
//!
//! The server's first line is a greeting. Each line of the client is a request; the answer is any number of lines that
//! hold an `item`, and then one that holds `"ok": true` or an `error`. See the README for the keys.

pub mod answer;
pub mod connection;
mod list;
pub mod place;
pub mod protocol;
pub mod rates;
pub mod server;
mod setting;
mod tap;
