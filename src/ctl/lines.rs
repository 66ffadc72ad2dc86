//! The line-by-line talk with a server.

use crate::{
    control::{place, protocol::Request},
    ctl::{Failure, report::text},
};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// A server answers within milliseconds, after the quarter of a second that a rate takes.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A connection to a server's control socket.
pub struct Lines {
    stream: BufReader<UnixStream>,
    /// The server's first line.
    pub greeting: Value,
}

impl Lines {
    /// Connects to the control socket at `path`.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure(format!("no server answers at {}: {}", path.display(), reason(&error)))
        };
        let stream = place::connect(path, ANSWER_WAIT).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).map_err(failed)?;
        let mut lines = Lines { stream: BufReader::new(stream), greeting: Value::Null };
        lines.greeting = lines.next().map_err(failed)?;
        if lines.greeting.get("switchboard").is_none() {
            return Err(Failure(format!("what answers at {} is not switchboard", path.display())));
        }
        Ok(lines)
    }

    /// Asks, and collects the items of the answer.
    pub fn ask(&mut self, request: &Request) -> Result<Vec<Value>, Failure> {
        self.send(request)?;
        let mut items = Vec::new();
        while let Some(item) = self.item()? {
            items.push(item);
        }
        Ok(items)
    }

    /// Asks; [`Lines::item`] gives the answer.
    pub fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let line = serde_json::to_string(request).expect("a request has string keys");
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).map_err(|error| lost(&error))
    }

    /// From now on waits for items as long as they take.
    pub fn wait_for_ever(&mut self) -> Result<(), Failure> {
        self.stream.get_ref().set_read_timeout(None).map_err(|error| lost(&error))
    }

    /// The next item of the answer; none at its end.
    pub fn item(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = self.next().map_err(|error| lost(&error))?;
        if let Some(error) = line.get("error") {
            return Err(Failure(text(error)));
        }
        Ok(line.get_mut("item").map(Value::take))
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

fn lost(error: &io::Error) -> Failure {
    Failure(format!("the server does not answer: {}", reason(error)))
}

/// What a limit on waiting makes of an error of the kernel says nothing to a user.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => format!("it was silent for {} s", ANSWER_WAIT.as_secs()),
        _ => crate::error::reason(error).to_string(),
    }
}
