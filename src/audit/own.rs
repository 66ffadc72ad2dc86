//! This program's own proxy, started as a child for an audit of itself. It ends with this.

use crate::runtime::clock::within;
use futures::channel::oneshot;
use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// It starts within milliseconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// This program's file, also where another one has taken its name since.
const BINARY: &str = "/proc/self/exe";

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
        command.args(["--upstream", &origin.to_string()]);
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
