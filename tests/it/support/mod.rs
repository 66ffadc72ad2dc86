//! What the tests are made of: the program under test, the other ends of its connections, and what can be seen of both.

pub mod api;
pub mod data_path;
pub mod fake;
pub mod lines;
pub mod manager;
pub mod openmetrics;
pub mod operator;
pub mod pattern;
pub mod port;
pub mod proc;
pub mod program;
pub mod rooms;
pub mod scrape;
pub mod screen;
pub mod server;
pub mod source;
pub mod stream;
pub mod svg;
pub mod terminal;
pub mod tls;
pub mod tls_records;
pub mod wait;
