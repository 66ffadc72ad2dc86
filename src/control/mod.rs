//! The control socket as both ends know it: its place, what crosses it, and the client's end.

pub mod client;
pub mod lines;
pub mod place;
pub mod protocol;
pub mod toxic;
