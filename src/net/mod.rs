//! Sockets, pipes and buffers: everything that holds a descriptor or the bytes of a session.

pub mod address;
pub mod buffer;
pub mod ceiling;
pub mod client_hello;
pub mod dial;
pub mod dns;
pub mod endpoint;
pub mod filler;
pub mod http;
pub mod kernel;
pub mod limits;
pub mod listener;
pub mod network;
pub mod options;
pub mod passed;
pub mod pipe;
pub mod proxy_header;
pub mod resolve;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod tls_socket;
