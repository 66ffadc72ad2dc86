//! The link actor: a thread that asks the server over its control socket. It ends with its owner or the server.

use crate::{
    control::protocol::{Choice, Request},
    ctl::{
        Failure,
        lines::{Lines, Trouble},
    },
    mailbox::{Address, Mailbox, mailbox},
    top::actor::Event,
};
use futures::executor::block_on;
use serde_json::Value;
use std::{io, thread};

/// A look and some cuts may wait while one look is under way.
const QUESTIONS: usize = 8;
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
        thread::Builder::new().name("link".to_owned()).spawn(move || ask(lines, questions, &events))?;
        Ok(Link { questions: address })
    }

    /// Asks without waiting; false where the server is far behind.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }
}

fn ask(mut lines: Lines, mut questions: Mailbox<Question>, events: &Address<Event>) {
    while let Some(question) = questions.next_blocking() {
        let answer = match question {
            Question::Look { choice, session } => look(&mut lines, choice, session),
            Question::Cut { session, fin } => cut(&mut lines, session, fin),
        };
        let is_lost = answer.is_err();
        if block_on(events.send(Event::Answer(answer))).is_err() || is_lost {
            return;
        }
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
