//! This program's own proxy, started as a child for an audit of itself. It ends with this, also where this is killed.

use crate::runtime::clock::within;
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

/// It starts within milliseconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// This program's file, also where another one has taken its name since.
const BINARY: &str = "/proc/self/exe";

/// Tells the child whose it is: the process number of its parent.
const PARENT: &str = "SWITCHBOARD_AUDIT";

/// In the child of an audit: from now on the kernel ends this process with its parent (prctl(2), `PR_SET_PDEATHSIG`).
/// Nowhere else does it do anything.
///
/// # Errors
/// Where the parent is gone already, or the kernel refuses.
pub fn follow_parent() -> io::Result<()> {
    let parent = env::var(PARENT).ok().and_then(|number| number.parse().ok()).and_then(Pid::from_raw);
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that; then nobody is told any more.
    if getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::other("the audit that started this is gone"))
    }
}

/// A running proxy; dropping it kills it.
pub struct OwnProxy {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

struct Kill(Option<Child>);

impl OwnProxy {
    /// Starts a proxy to `origin`, and waits for its start line.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start(origin: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new(BINARY);
        command.arg0("switchboard").args([
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "off",
            "--log",
            "off",
        ]);
        command.args(["--upstream", &origin.to_string()]).env(PARENT, process::id().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut kill = Kill(Some(command.spawn()?));
        let errors = kill.0.as_mut().and_then(|child| child.stderr.take());
        let (sender, receiver) = oneshot::channel();
        thread::spawn(move || read_errors(errors, sender));
        let line = within(Some(START_LIMIT), receiver).await;
        let said = |text: &str| io::Error::other(text.to_owned());
        let line =
            line.ok_or_else(|| said("it does not start"))?.map_err(|_| said("it ended at its start"))?;
        let address = listening_address(&line).ok_or_else(|| said(&line))?;
        match kill.0.take() {
            Some(child) => Ok(OwnProxy { child, address }),
            None => Err(said("it is gone")),
        }
    }
}

/// Hands over the first line, and reads on so that the child never has to wait for us.
fn read_errors(errors: Option<impl io::Read>, first: oneshot::Sender<String>) {
    let mut first = Some(first);
    for line in errors.into_iter().flat_map(|errors| BufReader::new(errors).lines()).map_while(Result::ok) {
        if let Some(first) = first.take() {
            // Whoever waited for it may have given up.
            let _ = first.send(line);
        }
    }
}

/// The address in `listening on ADDRESS, …`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split(',').next()?.parse().ok()
}

fn end(child: &mut Child) {
    // Either fails only where it is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Kill {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(end);
    }
}

impl Drop for OwnProxy {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
