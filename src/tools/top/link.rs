//! The link actor: a thread that asks the server over its control socket. It ends with its owner or the server.

use crate::{
    control::{
        client::{Lines, Trouble},
        protocol::{Choice, Request},
    },
    runtime::mailbox::{Address, Mailbox, mailbox},
    tools::{ctl::Failure, top::actor::Event},
};
use futures::executor::block_on;
use serde_json::Value;
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// A look and some cuts may wait while one look is under way.
const QUESTIONS: usize = 8;
/// Whoever asks nothing for a minute is dropped by the server. We ask often, and so were stopped where we have not.
const STOPPED: Duration = Duration::from_secs(30);

/// What the server is asked.
pub enum Question {
    /// How it goes, with a page of its sessions, and everything about one.
    Look {
        /// Which sessions, on which page.
        choice: Choice,
        /// The one to be told all about.
        session: Option<u64>,
    },
    /// To end a session.
    Cut {
        /// Its number.
        session: u64,
        /// By FIN after what is under way, and not by RST.
        fin: bool,
    },
}

/// What the server answers.
pub enum Answer {
    /// To a look.
    Look(Box<Look>),
    /// To a cut.
    Cut {
        /// The session.
        session: u64,
        /// Why it was not cut.
        refused: Option<String>,
    },
}

/// A server at one moment.
#[derive(Default)]
pub struct Look {
    /// What `stats` tells.
    pub stats: Value,
    /// Sessions of the page.
    pub rows: Vec<Value>,
    /// How many sessions there are to choose from.
    pub matching: usize,
    /// What was asked for.
    pub choice: Choice,
    /// All about the session that was asked for.
    pub session: Option<(u64, Details)>,
}

/// A session, alive or not.
pub enum Details {
    /// What `show` tells.
    Alive(Value),
    /// How the session ended.
    Ended(String),
}

/// The way to the server.
pub struct Link {
    questions: Address<Question>,
}

impl Link {
    /// Asks over `lines`, and tells `events` what is answered.
    ///
    /// # Errors
    /// Where there is no thread.
    pub fn start(lines: Lines, events: Address<Event>) -> io::Result<Self> {
        let (address, questions) = mailbox(QUESTIONS);
        thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || ask(lines, questions, &events, STOPPED))?;
        Ok(Link { questions: address })
    }

    /// Asks without waiting; false where the server is far behind.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }
}

/// Asks until nobody listens or answers. A connection that was lost after so long a silence of ours is made anew.
fn ask(mut lines: Lines, mut questions: Mailbox<Question>, events: &Address<Event>, stopped: Duration) {
    let mut last = Instant::now();
    while let Some(question) = questions.next_blocking() {
        // Before the question: we may be stopped in the middle of it.
        let begin = Instant::now();
        let mut answer = follow(&mut lines, &question);
        if answer.is_err()
            && last.elapsed() >= stopped
            && let Some(again) = connect_again(&lines)
        {
            lines = again;
            answer = follow(&mut lines, &question);
        }
        last = begin;
        let is_lost = answer.is_err();
        if block_on(events.send(Event::Answer(answer))).is_err() || is_lost {
            return;
        }
    }
}

/// Another connection to the same server; none where it has gone.
fn connect_again(lines: &Lines) -> Option<Lines> {
    Lines::connect(&lines.path).ok().filter(|again| again.greeting["pid"] == lines.greeting["pid"])
}

fn follow(lines: &mut Lines, question: &Question) -> Result<Answer, Failure> {
    match question {
        Question::Look { choice, session } => look(lines, choice.clone(), *session),
        Question::Cut { session, fin } => cut(lines, *session, *fin),
    }
}

fn look(lines: &mut Lines, choice: Choice, session: Option<u64>) -> Result<Answer, Failure> {
    let mut look = Look { rows: lines.ask(&Request::List(choice.clone()))?, choice, ..Look::default() };
    look.matching = lines.last["matching"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or(0);
    look.session = match session {
        Some(session) => Some((session, details(lines, session)?)),
        None => None,
    };
    look.stats = lines.ask(&Request::Stats)?.pop().unwrap_or_default();
    Ok(Answer::Look(Box::new(look)))
}

fn details(lines: &mut Lines, session: u64) -> Result<Details, Trouble> {
    match lines.ask(&Request::Show { session }) {
        Ok(mut items) => return Ok(Details::Alive(items.pop().unwrap_or_default())),
        Err(Trouble::Refused(_)) => {}
        Err(lost) => return Err(lost),
    }
    match lines.ask(&Request::Closed { session: Some(session), last: None }) {
        Ok(items) => {
            let verdict = items.first().and_then(|item| item["verdict"].as_str()).unwrap_or("it is over");
            Ok(Details::Ended(verdict.to_owned()))
        }
        Err(Trouble::Refused(_)) => Ok(Details::Ended("the server does not remember how".to_owned())),
        Err(lost) => Err(lost),
    }
}

fn cut(lines: &mut Lines, session: u64, fin: bool) -> Result<Answer, Failure> {
    match lines.ask(&Request::Cut { sessions: vec![session], fin }) {
        Ok(_) => Ok(Answer::Cut { session, refused: None }),
        Err(Trouble::Refused(reason)) => Ok(Answer::Cut { session, refused: Some(reason) }),
        Err(lost) => Err(lost.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::{UnixListener, UnixStream},
    };

    /// A server of this number: greets, answers one look and hangs up.
    fn serve_one_look(listener: &UnixListener, pid: u32) {
        let (mut stream, _) = listener.accept().unwrap();
        writeln!(stream, r#"{{"switchboard":1,"pid":{pid}}}"#).unwrap();
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        for _ in ["list", "stats"] {
            requests.read_line(&mut String::new()).unwrap();
            writeln!(stream, r#"{{"ok":true}}"#).unwrap();
        }
    }

    /// Whether a second look is answered, by the server of this number, after the first one has hung up.
    fn is_answered_again(stopped: Duration, pid: u32) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            serve_one_look(&listener, 1);
            serve_one_look(&listener, pid);
        });
        let (address, mut events) = mailbox(QUESTIONS);
        let (questions, asked) = mailbox(QUESTIONS);
        let lines = Lines::connect(&path).unwrap();
        let asker = thread::spawn(move || ask(lines, asked, &address, stopped));
        let mut look = || {
            let _ = questions.try_send(Question::Look { choice: Choice::default(), session: None });
            matches!(events.next_blocking(), Some(Event::Answer(Ok(_))))
        };
        assert!(look(), "the first");
        let is_answered = look();
        drop(questions);
        asker.join().unwrap();
        if !is_answered {
            // Nobody has come to the second server, or has stayed.
            drop(UnixStream::connect(&path));
        }
        let _ = server.join();
        is_answered
    }

    #[test]
    fn a_server_that_has_dropped_us_while_we_were_stopped_is_asked_again() {
        assert!(is_answered_again(Duration::ZERO, 1));
        assert!(!is_answered_again(Duration::ZERO, 2), "it is another server");
        assert!(!is_answered_again(STOPPED, 1), "it hung up on us");
    }
}
