//! A server: binds, starts the actors, answers its operators, drains.

pub mod acceptor;
pub mod agent;
pub mod books;
pub mod breaker;
pub mod certificates;
pub mod control;
pub mod diff;
pub mod discover;
mod drain;
pub mod explain;
pub mod fault_orders;
pub mod flapper;
pub mod groups;
pub mod handover;
pub mod health;
pub mod http;
pub mod in_force;
pub mod keeper;
pub mod listener_faults;
pub mod live;
pub mod notify;
pub mod operator;
pub mod plan;
pub mod rates;
pub mod scenario;
#[expect(clippy::module_inception, reason = "the room is named after its main item")]
pub mod server;
pub mod shards;
pub mod side_door;
pub mod supervisor;
pub mod supervisors;
pub mod taps;
pub mod toxiproxy;
pub mod upgrade;
