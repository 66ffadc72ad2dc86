//! Bytes and their ends: chunks, links, legs, and the pump around a leg. No addresses of peers, no targets.

pub mod beside;
pub mod chunk;
pub mod direction;
pub mod early;
pub mod gate;
pub mod leg;
pub mod link;
pub mod pump;
pub mod stream;

#[cfg(test)]
mod tests;
