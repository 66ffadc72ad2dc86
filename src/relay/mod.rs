//! Bytes and their ends: pieces, links, and the two half-loops around a connection. No addresses, no modes.

pub mod chunk;
pub mod direction;
pub mod half;
pub mod leg;
pub mod link;
pub mod pump;

#[cfg(test)]
mod tests;
