//! Sockets, pipes and buffers: everything that holds a descriptor of a session.

pub mod address;
pub mod endpoint;
