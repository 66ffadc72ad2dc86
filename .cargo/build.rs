//! Names the commit that is built, and its date, for `switchboard --version`: from the source, not from the clock, so that
//! two builds of one commit are the same. Outside a git checkout, and in one that is not ours, the version stands alone.

use std::{env, path::Path, process::Command};

fn main() {
    for path in ["src", "Cargo.toml", "Cargo.lock", ".cargo/build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    // Every commit and every checkout adds a line to it.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists())
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let version = commit().map_or(version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo:rustc-env=SWITCHBOARD_VERSION={version}");
}

/// `1a2b3c4d5e 2026-11-28`, and whether the source was changed since.
fn commit() -> Option<String> {
    // In a folder below another repository's root, HEAD is a commit of that one.
    git(&["rev-parse", "--show-prefix"]).filter(String::is_empty)?;
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = git(&["log", "-1", "--abbrev=10", "--format=%h %cs"])?;
    let changes = git(&["status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock", ".cargo"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}, changed") })
}

/// What git prints, without the line's end; nothing if it fails or is not there.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
