//! What sessions said, as lines, sentences and metrics.

pub mod format;
pub mod histogram;
pub mod json;
pub mod metrics;
pub mod reporter;
pub mod tally;
pub mod text;
pub mod verdict;
