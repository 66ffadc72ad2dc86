//! How a running server gets its plan again: by whom it was started, from where it came.

use crate::server::plan::Plan;
use std::{fmt, path::Path, sync::Arc};

/// Reads the plan again; of another file, if one is given.
#[derive(Clone)]
pub struct Load(Arc<Read>);

type Read = dyn Fn(Option<&Path>) -> Result<LoadedPlan, LoadFaults> + Send + Sync;

/// A plan as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedPlan {
    pub plan: Plan,
    /// What is legal in it and probably wrong: a line each, `FILE:LINE:COLUMN: warning: text`.
    pub warnings: Vec<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct LoadFaults {
    /// All that is wrong, as a person reads it: lines with their ends.
    pub text: String,
    /// A line for each fault, `FILE:LINE:COLUMN: error: text`. At least one.
    pub lines: Vec<String>,
}

impl Load {
    pub fn new(
        read: impl Fn(Option<&Path>) -> Result<LoadedPlan, LoadFaults> + Send + Sync + 'static,
    ) -> Self {
        Load(Arc::new(read))
    }

    /// Reads files, which may take as long as a disk does.
    pub fn read(&self, other: Option<&Path>) -> Result<LoadedPlan, LoadFaults> {
        (self.0)(other)
    }
}

impl LoadFaults {
    /// The first of them.
    pub fn first(&self) -> &str {
        self.lines.first().map_or(&*self.text, String::as_str)
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Load {}
