//! Bytes and their ends: pieces, links, and the two half-loops around a connection. No addresses, no modes.

pub mod chunk;
pub mod duplex;
pub mod ends;
pub mod flow;
pub mod half;
pub mod link;

#[cfg(test)]
mod tests;
