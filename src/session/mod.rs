//! One client connection, from its start to its end: its target, its deadlines, its record, and what it says of itself.

pub mod attempts;
pub mod cause;
pub mod context;
pub mod deadline;
pub mod delivery;
mod ends;
pub mod event;
pub mod faults;
pub mod group;
pub mod health;
pub mod introduction;
pub mod listening;
pub mod mark;
pub mod onlookers;
pub mod opening;
pub mod order;
pub mod origin;
pub mod outcome;
pub mod preamble;
pub mod record;
pub mod route;
#[expect(clippy::module_inception, reason = "the room is named after its main actor")]
pub mod session;
pub mod sources;
pub mod tap;
pub mod target;
#[cfg(test)]
mod tests;
pub mod upstream;
