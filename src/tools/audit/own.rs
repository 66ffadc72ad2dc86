//! This program's own proxy, started as a child for an audit of itself. It ends with the audit, even if the audit is killed.
//!
//! The child begins as an audit too: it asks the kernel to kill it with its parent, and becomes the proxy (`exec` keeps that
//! wish, prctl(2)). A server that starts knows nothing of this.

use crate::{runtime::clock::within, tools::audit::settings::Audit};
use futures::channel::oneshot;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::{
    env,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

/// It usually starts within milliseconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// This program's file, even if another one has taken its name since.
const BINARY: &str = "/proc/self/exe";

/// Tells the child what it is, by spaces: the audit's process number, the address of the origin, and options of the proxy.
const CHILD: &str = "SWITCHBOARD_AUDIT_CHILD";
/// The proxy of a child ends TLS, with a certificate of its own.
const ENDS_TLS: &str = "--tls-self-signed";
/// It gets a PROXY header of each client: all come from here.
const WANTS_HEADER: &str = "--accept-proxy=127.0.0.0/8";

/// In the child of an audit: becomes its proxy, and returns only if that fails. In any other process it returns none.
pub fn become_proxy() -> Option<io::Error> {
    let child = env::var(CHILD).ok()?;
    let mut words = child.split(' ');
    let parent = Pid::from_raw(words.next()?.parse().ok()?)?;
    let origin = words.next()?;
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Some(error.into());
    }
    // A parent that ended before that call sends no signal.
    if getppid() != Some(parent) {
        return Some(io::Error::other("the audit that started this is gone"));
    }
    let mut command = Command::new(BINARY);
    command.arg0("switchboard").args(["proxy", "--listen", "127.0.0.1:0", "--upstream", origin]);
    Some(command.args(["--control", "off", "--log", "off"]).args(words).env_remove(CHILD).exec())
}

pub struct OwnProxy {
    pub address: SocketAddr,
    _child: Killed,
}

impl OwnProxy {
    /// Starts a proxy to `origin` for an audit like this, and waits for its start line.
    pub async fn start(origin: SocketAddr, config: &Audit) -> io::Result<Self> {
        let mut child = format!("{} {origin}", process::id());
        for (option, is_wanted) in
            [(ENDS_TLS, config.tls.is_some()), (WANTS_HEADER, config.send_proxy.is_some())]
        {
            if is_wanted {
                child += &format!(" {option}");
            }
        }
        let mut command = Command::new(BINARY);
        command.args(["audit", "--self"]).env(CHILD, child);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Killed(command.spawn()?);
        let errors = child.0.stderr.take();
        let (sender, receiver) = oneshot::channel();
        thread::spawn(move || read_errors(errors, sender));
        let line = within(Some(START_LIMIT), receiver).await;
        let said = |text: &str| io::Error::other(text.to_owned());
        let line =
            line.ok_or_else(|| said("it does not start"))?.map_err(|_| said("it ended at its start"))?;
        let address = listening_address(&line).ok_or_else(|| said(&line))?;
        Ok(OwnProxy { address, _child: child })
    }
}

/// Hands over the start line, or else what was said last, and reads on: the child must not wait for us.
fn read_errors(errors: Option<impl io::Read>, start: oneshot::Sender<String>) {
    let (mut start, mut last) = (Some(start), None);
    for line in errors.into_iter().flat_map(|errors| BufReader::new(errors).lines()).map_while(Result::ok) {
        if listening_address(&line).is_some()
            && let Some(start) = start.take()
        {
            // The audit may have given up.
            let _ = start.send(line);
        } else {
            last = Some(line);
        }
    }
    if let Some((start, last)) = start.zip(last) {
        let _ = start.send(last);
    }
}

/// The address in `listening on ADDRESS, …`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split(',').next()?.parse().ok()
}

/// A child that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Either fails only if the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a child is taken to have said first.
    fn told(said: &str) -> Option<String> {
        let (sender, mut receiver) = oneshot::channel();
        read_errors(Some(said.as_bytes()), sender);
        receiver.try_recv().unwrap_or_default()
    }

    #[test]
    fn the_start_line_may_come_after_a_warning_and_without_one_the_last_line_counts() {
        let start = "listening on 127.0.0.1:5, proxying to 127.0.0.1:6";
        assert_eq!(told(&format!("max-sessions is 1\n{start}\nmore\n")).as_deref(), Some(start));
        assert_eq!(told("a warning\ncannot listen\n").as_deref(), Some("cannot listen"));
        assert_eq!(told(""), None);
    }
}
