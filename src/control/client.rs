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

/// Which running server is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerChoice {
    /// The only one.
    #[default]
    Only,
    /// The one with this control socket.
    At(PathBuf),
    /// The one with this pid, or with a listener of this name, address or `:port`.
    Like(String),
}

impl ServerChoice {
    /// What a user typed: a path, or what a server is known by.
    pub fn of(text: &str) -> Self {
        if text.contains('/') { ServerChoice::At(text.into()) } else { ServerChoice::Like(text.to_owned()) }
    }
}

impl ControlClient {
    /// Connects to the server that is meant.
    pub async fn find(choice: &ServerChoice) -> Result<Self, Trouble> {
        if let ServerChoice::At(path) = choice {
            return Self::connect(path).await;
        }
        let running = Self::running().await?;
        if let (ServerChoice::Only, [(path, _)]) = (choice, &running[..]) {
            // What is wrong with it is told.
            return Self::connect(path).await;
        }
        let is_meant = |greeting: &Greeting| match choice {
            ServerChoice::Like(text) => greeting.is_meant(text),
            ServerChoice::Only | ServerChoice::At(_) => true,
        };
        let choices = choices(&running);
        let count = running.len();
        let mut meant: Vec<Self> = running
            .into_iter()
            .filter_map(|(_, client)| client.ok())
            .filter(|client| is_meant(&client.greeting))
            .collect();
        match (meant.len(), choice) {
            (1, ServerChoice::Like(_)) => Ok(meant.remove(0)),
            (0, ServerChoice::Like(text)) => {
                let text = SafeText::from(text.as_str());
                Err(Trouble::Lost(format!("no server is '{text}'; these run:{choices}")))
            }
            (several, ServerChoice::Like(text)) => {
                let text = SafeText::from(text.as_str());
                Err(Trouble::Lost(format!("'{text}' may be {several} servers; choose one:{choices}")))
            }
            _ => Err(Trouble::Lost(format!("{count} servers run; choose one:{choices}"))),
        }
    }

    /// Every server of this user, by the path of its socket: a connection to it, or why there is none. At least one.
    pub async fn running() -> Result<Vec<(PathBuf, Result<Self, Trouble>)>, Trouble> {
        let folder = place::folder();
        let running = place::running(&folder).map_err(|error| {
            Trouble::Lost(format!("cannot look for servers: {}", crate::error::reason(&error)))
        })?;
        if running.is_empty() {
            return Err(Trouble::Lost(format!(
                "no server of this user runs with a control socket in {}; name another with --control PATH",
                folder.display()
            )));
        }
        let mut clients = Vec::new();
        for (_, path) in running {
            let client = Self::connect(&path).await;
            clients.push((path, client));
        }
        Ok(clients)
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

/// A line for each server: the option that chooses it, and what it is.
fn choices(running: &[(PathBuf, Result<ControlClient, Trouble>)]) -> String {
    let line = |(path, client): &(PathBuf, Result<ControlClient, Trouble>)| match client {
        Ok(ControlClient { greeting, .. }) => {
            let (name, about, pid) = (greeting.short_name(), greeting.about(), greeting.pid);
            format!("\n  -s {name:10} {about}, pid {pid}  (--control {})", path.display())
        }
        Err(_) => format!("\n  --control {}  (does not answer)", path.display()),
    };
    running.iter().map(line).collect()
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
    use crate::{control::protocol::ServerStats, runtime::shard};
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
        let asked = shard::run(async move {
            let mut client = ControlClient::connect(&path).await.unwrap();
            client.collect::<ServerStats>(&Request::Stats { history: false }, bytes_max).await.unwrap_err()
        });
        (asked.unwrap().to_string(), floods.join().unwrap())
    }

    #[test]
    fn a_server_is_meant_by_its_pid_a_name_an_address_or_a_port() {
        let text = r#"{"switchboard":1,"pid":4711,"mode":"proxy","listeners":["127.0.0.1:8002","[::1]:9002"],"names":["web","[::1]:9002"]}"#;
        let greeting: Greeting = serde_json::from_str(text).unwrap();
        for text in ["4711", "web", "127.0.0.1:8002", ":8002", "8002", ":9002"] {
            assert!(greeting.is_meant(text), "{text}");
        }
        for text in ["471", "we", ":80", "002", ":002", ""] {
            assert!(!greeting.is_meant(text), "{text}");
        }
        assert_eq!(greeting.short_name(), "web");
        let greeting: Greeting = serde_json::from_str(
            r#"{"switchboard":1,"pid":1,"listeners":["[::1]:80"],"names":["[::1]:80"]}"#,
        )
        .unwrap();
        assert_eq!(greeting.short_name(), ":80");
        assert_eq!(ServerChoice::of("./a.sock"), ServerChoice::At("./a.sock".into()));
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
