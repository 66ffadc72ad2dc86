//! One control connection: reads requests line by line, writes answers. It ends when its client does, or takes too long.

use crate::{
    control::protocol::{Greeting, Item, Last, Request, VERSION},
    net::{address::EscapedAddress, socket::Socket},
    report::json,
    runtime::{
        clock::{sleep, within},
        executor::yield_now,
    },
    server::control::{
        Facts, answer,
        rates::{Looks, Rates},
    },
};
use serde::Serialize;
use std::{io, sync::Arc, time::Duration};

/// A request is short; the longest names some thousand sessions to cut.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A client that asks nothing for so long can connect again.
const REQUEST_WAIT: Duration = Duration::from_secs(60);
/// A client that takes nothing of an answer for so long will not take the rest.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// Read at a time.
const READ_BYTES: usize = 4096;
/// Lines are gathered up to this size and written at once.
const BATCH_BYTES: usize = 64 * 1024;

/// A control connection.
pub struct Connection {
    socket: Socket,
    pub(super) facts: Arc<Facts>,
    /// What was read and not yet taken as lines.
    unread: Vec<u8>,
    /// Lines on their way out.
    unwritten: String,
    /// What this client's rates are measured from.
    pub(super) looks: Looks,
}

impl Connection {
    /// A connection to a server of these `facts`.
    #[must_use]
    pub fn new(socket: Socket, facts: Arc<Facts>) -> Self {
        Connection { socket, facts, unread: Vec::new(), unwritten: String::new(), looks: Looks::default() }
    }

    /// Serves until the client ends, or is given up.
    pub async fn serve(mut self) {
        // Why it ended concerns nobody but its client, who knows.
        let _ = self.converse().await;
    }

    async fn converse(&mut self) -> io::Result<()> {
        let greeting = Greeting {
            switchboard: VERSION,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            mode: self.facts.mode,
            listeners: self.facts.listeners.iter().map(|own| EscapedAddress(own).to_string()).collect(),
        };
        self.push(&greeting);
        self.flush(WRITE_WAIT).await?;
        while let Some(line) = self.next_line().await? {
            let last = match serde_json::from_slice(&line) {
                Ok(request) => self.follow(request).await?,
                Err(error) => Last::Failed { error: format!("it is not a request: {error}") },
            };
            self.push(&last);
            self.flush(WRITE_WAIT).await?;
        }
        Ok(())
    }

    async fn follow(&mut self, request: Request) -> io::Result<Last> {
        let supervisor = self.facts.supervisor.clone();
        match request {
            Request::List(choice) => return self.list(&choice).await,
            Request::Show { session } => {
                self.look().await;
                let draining = self.draining().await;
                let Some(record) = supervisor.find(session).await else {
                    return Ok(self.unknown(&[session]).await);
                };
                if let Some(rates) = self.looks.base() {
                    let detail = answer::detail(&record, rates, draining);
                    self.item(&detail).await?;
                }
            }
            Request::Closed { session: Some(session), .. } => match supervisor.ended(session).await {
                Some(ended) => self.item(&json::Remembered(&ended)).await?,
                None => return Ok(self.unknown(&[session]).await),
            },
            Request::Closed { session: None, last } => {
                for ended in supervisor.closed(last.unwrap_or(usize::MAX)).await {
                    self.item(&json::Remembered(&ended)).await?;
                }
            }
            Request::Stats => {
                let Some(overview) = supervisor.overview().await else { return Ok(ending()) };
                let stats = answer::stats(&overview, self.facts.began, &self.facts.slots);
                self.item(&stats).await?;
            }
            Request::Cut { sessions, fin } => {
                let missing = supervisor.cut_some(sessions, fin).await;
                if !missing.is_empty() {
                    return Ok(self.unknown(&missing).await);
                }
            }
            Request::Tap { session, from, limit } => return self.tap(session, from, limit).await,
            Request::Pause => self.facts.slots.set_paused(true),
            Request::Resume => self.facts.slots.set_paused(false),
            Request::Drain => {
                // A full mailbox holds the same already.
                let _ = self.facts.drain.try_send(());
            }
            Request::Set { setting, value } => {
                if let Err(error) = self.facts.set(&setting, value) {
                    return Ok(Last::Failed { error });
                }
            }
        }
        Ok(Last::OK)
    }

    /// Sees to it that the last look is a while ago, so that rates can be told.
    pub(super) async fn look(&mut self) {
        if self.looks.is_empty() {
            self.looks.note(Rates::look(&self.facts.supervisor.list().await));
        }
        let wait = self.looks.wait();
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    pub(super) async fn draining(&self) -> bool {
        self.facts.supervisor.overview().await.is_none_or(|overview| overview.draining)
    }

    /// What is wrong with the numbers of sessions.
    pub(super) async fn unknown(&self, sessions: &[u64]) -> Last {
        let supervisor = &self.facts.supervisor;
        // They are numbered from 1.
        let opened = supervisor.overview().await.map_or(0, |overview| overview.tally.opened);
        let mut errors = Vec::new();
        for session in sessions {
            errors.push(if supervisor.find(*session).await.is_some() {
                format!("session {session} is alive")
            } else if supervisor.ended(*session).await.is_some() {
                format!("session {session} has ended; 'ctl closed {session}' tells how")
            } else if (1..=opened).contains(session) {
                format!("session {session} has ended and is not remembered any more")
            } else {
                format!("there is no session {session}")
            });
        }
        Last::Failed { error: errors.join(", ") }
    }

    pub(super) async fn item(&mut self, item: &impl Serialize) -> io::Result<()> {
        self.push_item(item);
        if self.unwritten.len() >= BATCH_BYTES {
            self.flush(WRITE_WAIT).await?;
            // Thousands of sessions are milliseconds of work, and traffic has the same thread.
            yield_now().await;
        }
        Ok(())
    }

    pub(super) fn push_item(&mut self, item: &impl Serialize) {
        self.push(&Item { item });
    }

    /// Bytes of lines that are not written yet.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    fn push(&mut self, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("these lines have string keys");
        self.unwritten.push_str(&text);
        self.unwritten.push('\n');
    }

    /// Writes what was pushed; gives up where the client takes nothing for `wait`.
    pub(super) async fn flush(&mut self, wait: Duration) -> io::Result<()> {
        let text = std::mem::take(&mut self.unwritten);
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written = within(Some(wait), self.socket.write(rest)).await;
            rest = &rest[written.ok_or(io::ErrorKind::TimedOut)??..];
        }
        Ok(())
    }

    /// The next line without its end; none at the end of the stream.
    async fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.drain(..=end).take(end).collect();
                return Ok(Some(line));
            }
            if self.unread.len() >= LINE_BYTES_MAX {
                self.push(&Last::Failed { error: format!("a line has at most {LINE_BYTES_MAX} bytes") });
                self.flush(WRITE_WAIT).await?;
                return Ok(None);
            }
            if !within(Some(REQUEST_WAIT), self.read_more()).await.ok_or(io::ErrorKind::TimedOut)?? {
                // The last line may lack its end.
                let rest = std::mem::take(&mut self.unread);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Waits for more from the client; false at the end of its stream. Cancel-safe.
    pub(super) async fn read_more(&mut self) -> io::Result<bool> {
        let mut room = vec![0; READ_BYTES];
        loop {
            self.socket.readable().await;
            match self.socket.try_read(&mut room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.unread.extend_from_slice(&room[..count]);
                    return Ok(count > 0);
                }
            }
        }
    }
}

/// The supervisor is gone.
fn ending() -> Last {
    Last::Failed { error: "the server is ending".into() }
}
