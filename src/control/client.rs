//! The line-by-line talk with a server.

use crate::{
    control::{place, protocol::Request},
    tools::ctl::{Failure, report::text},
};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// A server answers within milliseconds, after the quarter of a second that a rate takes.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A connection to a server's control socket.
pub struct Lines {
    stream: BufReader<UnixStream>,
    /// The control socket.
    pub path: PathBuf,
    /// The server's first line.
    pub greeting: Value,
    /// The last line of the last answer.
    pub last: Value,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Trouble {
    /// The server could not do it, and says why.
    Refused(String),
    /// The server does not answer.
    Lost(String),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Refused(text) | Trouble::Lost(text)) = trouble;
        Failure(text)
    }
}

/// Ends a conversation from another thread, when it is dropped.
pub struct Closer(UnixStream);

impl Drop for Closer {
    fn drop(&mut self) {
        // It fails only where the conversation has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Lines {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// Where nobody answers there, or somebody else.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure(format!("no server answers at {}: {}", path.display(), reason(&error)))
        };
        let stream = place::connect(path, ANSWER_WAIT).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).map_err(failed)?;
        let stream = BufReader::new(stream);
        let mut lines = Lines { stream, path: path.to_owned(), greeting: Value::Null, last: Value::Null };
        lines.greeting = lines.next().map_err(failed)?;
        if lines.greeting.get("switchboard").is_none() {
            return Err(Failure(format!("what answers at {} is not switchboard", path.display())));
        }
        Ok(lines)
    }

    /// What ends this conversation.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub fn closer(&self) -> io::Result<Closer> {
        self.stream.get_ref().try_clone().map(Closer)
    }

    /// Asks, and collects the items of the answer.
    ///
    /// # Errors
    /// Where the server refuses, or does not answer.
    pub fn ask(&mut self, request: &Request) -> Result<Vec<Value>, Trouble> {
        self.send(request)?;
        let mut items = Vec::new();
        while let Some(item) = self.item()? {
            items.push(item);
        }
        Ok(items)
    }

    /// Asks; [`Lines::item`] gives the answer.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn send(&mut self, request: &Request) -> Result<(), Trouble> {
        let line = serde_json::to_string(request).expect("a request has string keys");
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).map_err(|error| lost(&error))
    }

    /// From now on waits for items as long as they take.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn wait_for_ever(&mut self) -> Result<(), Trouble> {
        self.stream.get_ref().set_read_timeout(None).map_err(|error| lost(&error))
    }

    /// The next item of the answer; none at its end.
    ///
    /// # Errors
    /// Where the server refuses, or does not answer.
    pub fn item(&mut self) -> Result<Option<Value>, Trouble> {
        let mut line = self.next().map_err(|error| lost(&error))?;
        if let Some(error) = line.get("error") {
            return Err(Trouble::Refused(text(error)));
        }
        let item = line.get_mut("item").map(Value::take);
        if item.is_none() {
            self.last = line;
        }
        Ok(item)
    }

    fn next(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        serde_json::from_str(&line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it does not speak JSON"))
    }
}

fn lost(error: &io::Error) -> Trouble {
    Trouble::Lost(format!("the server does not answer: {}", reason(error)))
}

/// What a limit on waiting makes of an error of the kernel says nothing to a user.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => format!("it was silent for {} s", ANSWER_WAIT.as_secs()),
        _ => crate::error::reason(error).to_string(),
    }
}
