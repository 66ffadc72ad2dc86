//! Which server is meant.

use crate::{
    control::{client::Lines, place},
    tools::ctl::{Failure, report::text},
};
use serde_json::Value;
use std::path::Path;

/// Connects to the server at `control`, or to the one that runs.
///
/// # Errors
/// Where there is none, or several to choose from.
pub fn server(control: Option<&Path>) -> Result<Lines, Failure> {
    if let Some(path) = control {
        return Lines::connect(path);
    }
    let folder = place::folder();
    let running = place::running(&folder)
        .map_err(|error| Failure(format!("cannot look for servers: {}", crate::error::reason(&error))))?;
    match &running[..] {
        [] => Err(Failure(format!(
            "no server of this user runs with a control socket in {}; name another with --control PATH",
            folder.display()
        ))),
        [(_, path)] => Lines::connect(path),
        several => {
            let choices = several.iter().map(|(_, path)| choice(path)).collect::<String>();
            Err(Failure(format!("{} servers run; choose one:{choices}", several.len())))
        }
    }
}

/// The option that chooses a server, and what the server is.
fn choice(path: &Path) -> String {
    let about = Lines::connect(path).map_or_else(
        |_| "does not answer".to_owned(),
        |lines| {
            let listeners = lines.greeting["listeners"].as_array().cloned().unwrap_or_default();
            let listeners: Vec<&str> = listeners.iter().filter_map(Value::as_str).collect();
            format!("{} on {}", text(&lines.greeting["mode"]), listeners.join(", "))
        },
    );
    format!("\n  --control {}  ({about})", path.display())
}
