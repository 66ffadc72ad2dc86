//! The client's end of a control connection: finds a server, asks, and gives the items of its answers.

use crate::{
    control::{
        lines::LineSocket,
        place,
        protocol::{Greeting, Line, Request},
    },
    runtime::clock::within,
    text::safe::SafeText,
};
use serde::de::DeserializeOwned;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A server answers within milliseconds, after the quarter of a second that a rate takes.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A program that was stopped goes on to find the limit passed, and the answer there all the same.
const LATE_LOOK: Duration = Duration::from_millis(100);
/// Another program may answer, and must not fill the memory. The longest true line refuses a cut: the longest
/// request (64 KiB) names some 13,000 sessions, and the error has some 55 bytes about each.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Of a whole answer that is kept, as it came and as items: some 350,000 live sessions, each a line of about 450 bytes and an
/// item of about 300.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

pub struct ControlClient {
    lines: LineSocket,
    pub path: PathBuf,
    pub greeting: Greeting,
    /// Of the last list: how many sessions there are to choose from.
    pub matching: usize,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The server could not do it, and says why.
    #[error("{0}")]
    Refused(SafeText),
    /// No server answers.
    #[error("{0}")]
    Lost(String),
}

impl ControlClient {
    /// Connects to the server at `control`, or to the one that runs.
    pub async fn find(control: Option<&Path>) -> Result<Self, Trouble> {
        if let Some(path) = control {
            return Self::connect(path).await;
        }
        let folder = place::folder();
        let running = place::running(&folder).map_err(|error| {
            Trouble::Lost(format!("cannot look for servers: {}", crate::error::reason(&error)))
        })?;
        match &running[..] {
            [] => Err(Trouble::Lost(format!(
                "no server of this user runs with a control socket in {}; name another with --control PATH",
                folder.display()
            ))),
            [(_, path)] => Self::connect(path).await,
            several => {
                let mut text = format!("{} servers run; choose one:", several.len());
                for (_, path) in several {
                    text += &choice(path).await;
                }
                Err(Trouble::Lost(text))
            }
        }
    }

    /// Connects to the control socket at `path`.
    pub async fn connect(path: &Path) -> Result<Self, Trouble> {
        let failed = |error: io::Error| {
            Trouble::Lost(format!("no server answers at {}: {}", path.display(), reason(&error)))
        };
        let mut lines = LineSocket::new(place::connect(path, ANSWER_WAIT).await.map_err(failed)?);
        let greeting = next(&mut lines, Some(ANSWER_WAIT)).await.map_err(failed)?;
        let greeting = match serde_json::from_slice(&greeting) {
            Ok(greeting) => greeting,
            Err(error) if error.is_data() => {
                return Err(Trouble::Lost(format!("what answers at {} is not switchboard", path.display())));
            }
            Err(error) => return Err(failed(unreadable(&error))),
        };
        Ok(ControlClient { lines, path: path.to_owned(), greeting, matching: 0 })
    }

    /// Asks, and collects the items of the answer.
    pub async fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<Vec<T>, Trouble> {
        self.collect(request, ANSWER_BYTES_MAX).await
    }

    async fn collect<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        bytes_max: usize,
    ) -> Result<Vec<T>, Trouble> {
        self.send(request).await?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        loop {
            let line = self.line(Some(ANSWER_WAIT)).await?;
            bytes += line.len() + size_of::<T>();
            if bytes > bytes_max {
                let mib = bytes_max >> 20;
                return Err(Trouble::Lost(format!(
                    "the answer takes more than {mib} MiB; ask for fewer sessions"
                )));
            }
            match self.item(&line)? {
                Some(item) => items.push(item),
                None => return Ok(items),
            }
        }
    }

    /// Asks for something whose items come when they come; [`ControlClient::next_item`] gives them.
    pub async fn send(&mut self, request: &Request) -> Result<(), Trouble> {
        let line = serde_json::to_string(request).expect("a request has string keys");
        self.lines.write(&format!("{line}\n"), ANSWER_WAIT).await.map_err(|error| lost(&error))
    }

    /// The next item of the answer, however long it takes to come; none at its end. Cancel-safe.
    pub async fn next_item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Trouble> {
        let line = self.line(None).await?;
        self.item(&line)
    }

    async fn line(&mut self, wait: Option<Duration>) -> Result<Vec<u8>, Trouble> {
        next(&mut self.lines, wait).await.map_err(|error| lost(&error))
    }

    fn item<T: DeserializeOwned>(&mut self, line: &[u8]) -> Result<Option<T>, Trouble> {
        match serde_json::from_slice(line) {
            Ok(Line::Item { item }) => Ok(Some(item)),
            Ok(Line::Failed { error }) => Err(Trouble::Refused(error)),
            Ok(Line::Done { matching, .. }) => {
                self.matching = matching.unwrap_or(0);
                Ok(None)
            }
            Err(error) => Err(lost(&unreadable(&error))),
        }
    }
}

async fn next(lines: &mut LineSocket, wait: Option<Duration>) -> io::Result<Vec<u8>> {
    let line = match within(wait, lines.next(LINE_BYTES_MAX)).await {
        None => within(Some(LATE_LOOK), lines.next(LINE_BYTES_MAX)).await,
        line => line,
    };
    line.ok_or(io::ErrorKind::TimedOut)??
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"))
}

/// The option that chooses a server, and what the server is.
async fn choice(path: &Path) -> String {
    let about = ControlClient::connect(path).await.map_or_else(
        |_| "does not answer".to_owned(),
        |client| {
            let listeners: Vec<_> = client.greeting.listeners.iter().map(SafeText::as_str).collect();
            format!("{} on {}", client.greeting.mode, listeners.join(", "))
        },
    );
    format!("\n  --control {}  ({about})", path.display())
}

/// The parser's own words are left out: they may quote what came.
fn unreadable(error: &serde_json::Error) -> io::Error {
    io::Error::other(if error.is_data() {
        "it says what this program does not know"
    } else {
        "it does not speak JSON"
    })
}

fn lost(error: &io::Error) -> Trouble {
    Trouble::Lost(format!("the server does not answer: {}", reason(error)))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut if error.get_ref().is_none() => {
            format!("it was silent for {} s", ANSWER_WAIT.as_secs())
        }
        io::ErrorKind::InvalidData => format!("it sent a line of more than {} MiB", LINE_BYTES_MAX >> 20),
        _ => crate::error::reason(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::protocol::ServerStats, runtime::inline};
    use std::{io::Write, os::unix::net::UnixListener, thread};

    /// Connects to a server that sends `lines` without end; gives how it was refused, and how many bytes it had sent by then.
    fn flooded(lines: &'static [u8], bytes_max: usize) -> (String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let floods = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"{\"switchboard\":1}\n").unwrap();
            let mut written = 0;
            while stream.write_all(lines).is_ok() {
                written += lines.len();
            }
            written
        });
        let asked = inline::run(async move {
            let mut client = ControlClient::connect(&path).await.unwrap();
            client.collect::<ServerStats>(&Request::Stats { history: false }, bytes_max).await.unwrap_err()
        });
        (asked.unwrap().to_string(), floods.join().unwrap())
    }

    #[test]
    fn a_false_server_does_not_fill_the_memory() {
        let (refused, sent) = flooded(&[b'x'; 4096], ANSWER_BYTES_MAX);
        assert_eq!(refused, "the server does not answer: it sent a line of more than 1 MiB");
        assert!(sent < 2 * LINE_BYTES_MAX, "{sent}");
        let (refused, sent) = flooded(b"{\"item\":{}}\n", 2 << 20);
        assert_eq!(refused, "the answer takes more than 2 MiB; ask for fewer sessions");
        assert!(sent < 2 << 20, "{sent}");
    }
}
