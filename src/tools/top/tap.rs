//! The tap actor: a thread that shows the bytes of one session, over a control connection of its own. It ends with its
//! [`Tap`], with the session, or with the server.

use crate::{
    control::{
        client::{Closer, Lines, Trouble},
        protocol::Request,
    },
    runtime::mailbox::Address,
    tools::{ctl::Failure, top::actor::Event},
};
use futures::executor::block_on;
use serde_json::Value;
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes of a piece that are shown: some lines of the screen. The server sends no more.
const PIECE_BYTES: usize = 512;
/// So many pieces are shown...
const PIECES_AT_ONCE: usize = 32;
/// ...in such a time. A person cannot read more, and what is not taken costs the server little: it counts it as lost.
const PIECES_TIME: Duration = Duration::from_millis(100);

/// A tap of one session. Dropping it ends the tap.
pub struct Tap {
    /// Of this tap; what another one told is old.
    pub number: u64,
    line: Arc<Mutex<Line>>,
}

/// What a tap tells.
pub enum Told {
    /// An item of the server.
    Item(Value),
    /// The tap is over: with its session, or for a reason.
    Over(Option<String>),
}

/// The connection of a tap, as far as its owner goes.
#[derive(Default)]
struct Line {
    is_over: bool,
    closer: Option<Closer>,
}

impl Tap {
    /// Taps `session` of the server at `path`, and tells `events` what it shows.
    ///
    /// # Errors
    /// Where there is no thread.
    pub fn start(path: PathBuf, number: u64, session: u64, events: Address<Event>) -> io::Result<Self> {
        let line = Arc::new(Mutex::new(Line::default()));
        let tap = Tap { number, line: line.clone() };
        thread::Builder::new().name("tap".to_owned()).spawn(move || {
            let tell = |told| block_on(events.send(Event::Tap { number, told })).ok();
            let end = attach(&path, session, &line).map(|lines| lines.and_then(|lines| show(lines, tell)));
            tell(Told::Over(end.unwrap_or_else(|failure| Some(failure.to_string()))));
        })?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        line.is_over = true;
        line.closer = None;
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection whose tap is on; none where its owner wants it no more.
fn attach(path: &std::path::Path, session: u64, line: &Mutex<Line>) -> Result<Option<Lines>, Failure> {
    let mut lines = Lines::connect(path)?;
    let closer = lines.closer().map_err(|error| Failure(format!("cannot tap: {error}")))?;
    {
        let mut line = lock(line);
        if line.is_over {
            return Ok(None);
        }
        line.closer = Some(closer);
    }
    lines.send(&Request::Tap { session, from: None, limit: Some(PIECE_BYTES) })?;
    lines.wait_for_ever()?;
    Ok(Some(lines))
}

/// Tells what a tap shows, at the pace of a reader; returns why it ended, where not with its session.
fn show(mut lines: Lines, tell: impl Fn(Told) -> Option<()>) -> Option<String> {
    let (mut begin, mut shown) = (Instant::now(), 0);
    loop {
        match lines.item() {
            Ok(Some(item)) => tell(Told::Item(item))?,
            Ok(None) => return None,
            Err(Trouble::Refused(reason) | Trouble::Lost(reason)) => return Some(reason),
        }
        shown += 1;
        if begin.elapsed() >= PIECES_TIME {
            (begin, shown) = (Instant::now(), 0);
        } else if shown >= PIECES_AT_ONCE {
            thread::sleep(PIECES_TIME.saturating_sub(begin.elapsed()));
        }
    }
}
