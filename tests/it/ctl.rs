//! `switchboard ctl`: an operator looks into a running server, and changes it.

mod change;
mod closed;
mod list;
mod people;
mod socket;
mod tap;
