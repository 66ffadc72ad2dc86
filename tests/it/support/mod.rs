//! What the tests are made of: the program under test, the other ends of its connections, and what can be seen of both.

pub mod crooked;
pub mod dead;
pub mod fake;
pub mod harness;
pub mod openmetrics;
pub mod operator;
pub mod pattern;
pub mod peer;
pub mod proc;
pub mod route;
pub mod scrape;
pub mod screen;
pub mod stream;
pub mod terminal;
pub mod web;
