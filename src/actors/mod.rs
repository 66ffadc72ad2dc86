//! One actor a file. They talk over mailboxes and links; each ends when its owner lets go.

pub mod acceptor;
pub mod admin;
pub mod context;
pub mod deadline;
pub mod delivery;
pub mod dump;
pub mod reporter;
pub mod session;
pub mod supervisor;
pub mod upstream;
