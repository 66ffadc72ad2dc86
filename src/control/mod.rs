//! The control socket as both ends know it: where it is, what crosses it, and the client's end.

pub mod client;
pub mod find;
pub mod place;
pub mod protocol;
