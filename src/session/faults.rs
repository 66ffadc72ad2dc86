//! Faults: what breaks a session on purpose. A [fault] has a [kind], and belongs to the [set] of a listener.
//!
//! A session that begins, or is there when a fault comes, [meets](faulted) every fault of its listener once: the fault's scope,
//! and one draw of a seeded lot, decide whether it is hit. Those that hit it act in one of three places, by their kind: in the
//! [chain] at the gate of a direction, at the opening of a leg, or at the listener itself. Each kind is one page in
//! [`kinds`].
//!
//! A session that no fault hits costs nothing: its gates are open.

pub mod chain;
pub mod entrance;
pub mod fault;
pub mod faulted;
pub mod held;
pub mod kind;
pub mod kinds;
pub mod set;
pub mod stage;
pub mod words;
