//! Sockets, pipes and buffers: everything that holds a descriptor or the bytes of a session.

pub mod address;
pub mod buffer;
pub mod congestion;
pub mod dial;
pub mod endpoint;
pub mod http;
pub mod kernel;
pub mod limits;
pub mod listener;
pub mod network;
pub mod open;
pub mod options;
pub mod own;
pub mod pipe;
pub mod refuse;
pub mod resolve;
pub mod settle;
pub mod socket;
pub mod socket_file;
pub mod splice;
pub mod stream;
pub mod tcp_info;
pub mod urgent;
