//! What happened, said once: events, causes, counters and the formats they are shown in.

pub mod books;
pub mod cause;
pub mod dump;
pub mod escape;
pub mod event;
pub mod format;
pub mod histogram;
pub mod history;
pub mod json;
pub mod metrics;
pub mod moment;
pub mod queue;
pub mod record;
pub mod tap;
pub mod text;
pub mod verdict;
