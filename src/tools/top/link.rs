//! The two tasks that talk to the server: the link asks, and the tap shows the bytes of one session over a control
//! connection of its own. Each ends with its owner or with the server.

use crate::{
    control::{
        client::{ControlClient, Trouble},
        protocol::{
            Choice, EndedSession, ListedSession, Request, ServerStats, SessionDetail, TapChoice, TapItem,
        },
    },
    runtime::{
        clock::sleep,
        mailbox::{Mailbox, Sender, mailbox},
        task::{Task, spawn},
    },
    text::safe::SafeText,
    tools::top::actor::Event,
};
use serde::de::IgnoredAny;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A look and some cuts may wait while one look is under way.
const QUESTIONS: usize = 8;
/// The server drops a client that asks nothing for a minute. The link asks often; if it has not, it was stopped.
const STOPPED: Duration = Duration::from_secs(30);
/// Bytes of a piece that are shown: some lines of the screen. The server sends no more.
const PIECE_BYTES: usize = 512;
/// This many pieces are shown...
const PIECES_AT_ONCE: usize = 32;
/// ...in this time. A person cannot read more, and what is not taken costs the server little: it counts it as lost.
const PIECES_TIME: Duration = Duration::from_millis(100);

pub enum Question {
    /// How it goes, with a page of its sessions, and everything about one.
    Look {
        choice: Choice,
        session: Option<u64>,
    },
    Cut {
        session: u64,
        fin: bool,
    },
}

pub enum Answer {
    Look(Box<Look>),
    Cut {
        session: u64,
        /// Why it was not cut.
        refused: Option<SafeText>,
    },
}

#[derive(Default)]
pub struct Look {
    pub stats: Option<ServerStats>,
    pub rows: Vec<ListedSession>,
    pub matching: usize,
    pub choice: Choice,
    pub session: Option<(u64, Details)>,
}

/// A session, alive or not.
pub enum Details {
    Alive(Box<SessionDetail>),
    Ended(SafeText),
}

pub enum Tapped {
    Item(TapItem),
    /// The tap is over: with its session, or for this reason.
    Over(Option<SafeText>),
}

/// The way to the server. Dropping it ends the link.
pub struct Link {
    questions: Sender<Question>,
    _task: Task<()>,
}

/// A tap of one session. Dropping it ends the tap.
pub struct Tap {
    /// Marks what this tap shows: what another tap showed is old.
    pub number: u64,
    pub session: u64,
    _task: Task<()>,
}

impl Link {
    /// Asks `client`, and tells `events` what it answers.
    pub fn start(client: ControlClient, events: Sender<Event>) -> Self {
        let (address, questions) = mailbox(QUESTIONS);
        Link { questions: address, _task: spawn(ask(client, questions, events, STOPPED)) }
    }

    /// Asks without waiting; false if the server is far behind.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }
}

impl Tap {
    /// Taps `session` of the server at `path`, and tells `events` what it shows.
    pub fn start(path: PathBuf, number: u64, session: u64, events: Sender<Event>) -> Self {
        let task = spawn(async move {
            let end = show(&path, number, session, &events).await;
            let reason = end.err().map(|trouble| SafeText::from(trouble.to_string().as_str()));
            let _ = events.send(Event::Tap { number, told: Tapped::Over(reason) }).await;
        });
        Tap { number, session, _task: task }
    }
}

/// Tells what a tap shows, at the pace of a reader, until the session ends.
async fn show(path: &Path, number: u64, session: u64, events: &Sender<Event>) -> Result<(), Trouble> {
    let mut client = ControlClient::connect(path).await?;
    client
        .send(&Request::Tap(TapChoice {
            session: Some(session),
            limit: Some(PIECE_BYTES),
            ..TapChoice::default()
        }))
        .await?;
    let (mut begin, mut shown) = (Instant::now(), 0);
    while let Some(item) = client.next_item().await? {
        // If the actor has gone, this task is dropped.
        let _ = events.send(Event::Tap { number, told: Tapped::Item(item) }).await;
        shown += 1;
        if begin.elapsed() >= PIECES_TIME {
            (begin, shown) = (Instant::now(), 0);
        } else if shown >= PIECES_AT_ONCE {
            sleep(PIECES_TIME.saturating_sub(begin.elapsed())).await;
        }
    }
    Ok(())
}

/// Asks until the actor goes or the server does not answer. A connection that was lost after such a silence of ours is made
/// anew.
async fn ask(
    mut client: ControlClient,
    mut questions: Mailbox<Question>,
    events: Sender<Event>,
    stopped: Duration,
) {
    let mut last = Instant::now();
    while let Some(question) = questions.next().await {
        // Before the question: we may be stopped in the middle of it.
        let begin = Instant::now();
        let mut answer = follow(&mut client, &question).await;
        if answer.is_err()
            && last.elapsed() >= stopped
            && let Some(again) = connect_again(&client).await
        {
            client = again;
            answer = follow(&mut client, &question).await;
        }
        last = begin;
        let is_lost = answer.is_err();
        if events.send(Event::Answer(answer.map_err(Into::into))).await.is_err() || is_lost {
            return;
        }
    }
}

/// Another connection to the same server; none if it has gone.
async fn connect_again(client: &ControlClient) -> Option<ControlClient> {
    let again = ControlClient::connect(&client.path).await.ok()?;
    (again.greeting.pid == client.greeting.pid).then_some(again)
}

async fn follow(client: &mut ControlClient, question: &Question) -> Result<Answer, Trouble> {
    match question {
        Question::Look { choice, session } => look(client, choice.clone(), *session).await,
        Question::Cut { session, fin } => {
            let request = Request::Cut { sessions: vec![*session], fin: *fin };
            let refused = match client.ask::<IgnoredAny>(&request).await {
                Ok(_) => None,
                Err(Trouble::Refused(reason)) => Some(reason),
                Err(lost) => return Err(lost),
            };
            Ok(Answer::Cut { session: *session, refused })
        }
    }
}

async fn look(client: &mut ControlClient, choice: Choice, session: Option<u64>) -> Result<Answer, Trouble> {
    let rows = client.ask(&Request::List(choice.clone())).await?;
    let matching = client.matching;
    let session = match session {
        Some(session) => details(client, session).await?.map(|details| (session, details)),
        None => None,
    };
    let stats = client.ask(&Request::Stats { history: false }).await?.pop();
    Ok(Answer::Look(Box::new(Look { stats, rows, matching, choice, session })))
}

async fn details(client: &mut ControlClient, session: u64) -> Result<Option<Details>, Trouble> {
    match client.ask(&Request::Show { session }).await {
        Ok(mut items) => return Ok(items.pop().map(|detail| Details::Alive(Box::new(detail)))),
        Err(Trouble::Refused(_)) => {}
        Err(lost) => return Err(lost),
    }
    match client.ask::<EndedSession>(&Request::Closed { session: Some(session), last: None }).await {
        Ok(mut items) => Ok(items.pop().map(|ended| Details::Ended(ended.verdict))),
        Err(Trouble::Refused(_)) => Ok(Some(Details::Ended("the server does not remember how".into()))),
        Err(lost) => Err(lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard;
    use futures::future::join;
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::{UnixListener, UnixStream},
        thread,
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
        let at = path.clone();
        let is_answered = shard::run(async move {
            let (address, mut events) = mailbox(QUESTIONS);
            let (questions, asked) = mailbox(QUESTIONS);
            let client = ControlClient::connect(&at).await.unwrap();
            let looks = async move {
                let mut look = async || {
                    let _ = questions.try_send(Question::Look { choice: Choice::default(), session: None });
                    matches!(events.next().await, Some(Event::Answer(Ok(_))))
                };
                assert!(look().await, "the first");
                look().await
            };
            join(ask(client, asked, address, stopped), looks).await.1
        })
        .unwrap();
        if !is_answered {
            // The second server still waits for its client, or the client has left it.
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
