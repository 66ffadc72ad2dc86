//! A network of this run's own, with one congestion control for all: the servers, the clients and the upstream.
//!
//! What the machine's control is would else decide the figures: one that paces (BBR) sets a timer for nearly every packet,
//! and a server that chooses its own control would be measured beside others that do not.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

/// The first argument of this program in the namespace.
const ENTERED: &str = "--in-namespace";
/// unshare(1) as root, and as anyone where the system allows it.
const WAYS: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
/// reno: every kernel has it, opens it to every namespace, and does not pace it.
const SET_UP: &str = "PATH=$PATH:/usr/sbin:/sbin; \
                      ip link set lo up && echo reno >/proc/sys/net/ipv4/tcp_congestion_control";
const CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Runs this program again in a namespace of its own, in this process. Returns in there, or where none is to be had; with
/// what the report is to say.
pub fn enter(arguments: &mut Vec<String>) -> io::Result<String> {
    if arguments.first().is_some_and(|first| first == ENTERED) {
        arguments.remove(0);
        return Ok(format!("a namespace of its own, {} for all", control()?));
    }
    let mut refusal = String::new();
    for way in WAYS {
        match unshare(way, SET_UP).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => {
                let mut command = unshare(way, &format!("{SET_UP} && exec \"$@\""));
                let command = command.arg(std::env::current_exe()?).arg(ENTERED).args(arguments);
                return Err(command.exec());
            }
            Ok(output) => refusal = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
            Err(error) => refusal = format!("unshare: {error}"),
        }
    }
    let text = format!("the machine's own, {} for all; a namespace was refused ({refusal})", control()?);
    eprintln!("compare: the network is {text}");
    Ok(text)
}

/// A command in a namespace that runs `script`, whose arguments are those that are added.
fn unshare(way: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", script, "sh"]);
    command
}

/// What a socket has that chooses nothing.
fn control() -> io::Result<String> {
    Ok(fs::read_to_string(CONTROL)?.trim().to_owned())
}
