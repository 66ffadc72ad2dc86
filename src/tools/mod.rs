//! The commands beside the servers. Each has a folder and settings of its own, and none knows the server.

pub mod audit;
pub mod client;
pub mod ctl;
pub mod failure;
pub mod findings;
pub mod latencies;
pub mod load;
mod own_header;
mod page;
pub mod tls;
pub mod top;
