//! The tasks that talk to servers: a link asks one, a tap shows the bytes of a session and events are followed over control
//! connections of their own. Each ends with its owner or with its server.

use crate::{
    control::{
        client::{ControlClient, Trouble},
        place,
        protocol::{
            Choice, EndedSession, ListedSession, Request, ServerStats, SessionDetail, Sort, TapChoice,
            TapItem,
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
use serde::{Deserialize, de::IgnoredAny};
use std::{
    future::ready,
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
/// How soon a server that starts is seen. Looking is a listing of one folder.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

pub enum Question {
    /// How it goes, with a page of its sessions, everything about one, and the last that ended.
    Look {
        choice: Choice,
        session: Option<u64>,
        ended: Option<usize>,
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
    /// The newest last.
    pub ended: Option<Vec<EndedSession>>,
}

/// A session, alive or not.
pub enum Details {
    Alive(Box<SessionDetail>),
    Ended(Box<EndedSession>),
    /// It has ended, and the server does not remember how.
    Forgotten,
}

pub enum Tapped {
    Item(TapItem),
    /// The tap is over: with its session, or for this reason.
    Over(Option<SafeText>),
}

/// An event of a server, as the log tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    #[serde(default)]
    pub line: SafeText,
    /// How many were lost before it.
    #[serde(default)]
    pub lost: u64,
    /// Of the end of a session.
    pub cause: Option<SafeText>,
}

/// The way to a server. Dropping it ends the link.
pub struct Link {
    questions: Sender<Question>,
    _task: Task<()>,
}

/// A tap of one session. Dropping it ends the tap.
pub struct Tap {
    /// Marks what this tap shows: what another tap showed is old.
    pub number: u64,
    /// The server's number, and the session's.
    pub of: (usize, u64),
    _task: Task<()>,
}

impl Link {
    /// Asks `client`, and tells `events` what it answers, for the server of this number.
    pub fn start(client: ControlClient, server: usize, events: Sender<Event>) -> Self {
        Self::over(ready(Ok(client)), server, events)
    }

    /// As [`Link::start`], of the server at `path`.
    pub fn connect(path: PathBuf, server: usize, events: Sender<Event>) -> Self {
        Self::over(async move { ControlClient::connect(&path).await }, server, events)
    }

    fn over(
        client: impl Future<Output = Result<ControlClient, Trouble>> + 'static,
        server: usize,
        events: Sender<Event>,
    ) -> Self {
        let (address, questions) = mailbox(QUESTIONS);
        let task = spawn(async move {
            match client.await {
                Ok(client) => ask(client, questions, server, events, STOPPED).await,
                Err(trouble) => {
                    let _ = events.send(Event::Answer { server, answer: Err(trouble.into()) }).await;
                }
            }
        });
        Link { questions: address, _task: task }
    }

    /// Asks without waiting; false if the server is far behind.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }
}

impl Tap {
    /// Taps a session of the server at `path`, and tells `events` what it shows.
    pub fn start(path: PathBuf, number: u64, of: (usize, u64), events: Sender<Event>) -> Self {
        let task = spawn(async move {
            let end = show(&path, number, of.1, &events).await;
            let reason = end.err().map(|trouble| SafeText::from(trouble.to_string().as_str()));
            let _ = events.send(Event::Tap { number, told: Tapped::Over(reason) }).await;
        });
        Tap { number, of, _task: task }
    }
}

/// Follows what the sessions of the server at `path` say, until it ends.
pub fn follow_events(path: PathBuf, server: usize, events: Sender<Event>) -> Task<()> {
    spawn(async move {
        let follow = async {
            let mut client = ControlClient::connect(&path).await?;
            client.send(&Request::Events).await?;
            while let Some(told) = client.next_item::<Told>().await? {
                let _ = events.send(Event::Told { server, told }).await;
            }
            Ok::<(), Trouble>(())
        };
        // Why it is over is told by the link.
        let _ = follow.await;
    })
}

/// Finds servers that start, besides those of the paths that are `known`.
pub fn find(mut known: Vec<PathBuf>, events: Sender<Event>) -> Task<()> {
    spawn(async move {
        loop {
            sleep(FOUND_WITHIN).await;
            let there = place::sockets(&place::folder());
            known.retain(|path| there.iter().any(|(_, socket)| socket == path));
            for (_, path) in there {
                if known.contains(&path) {
                    continue;
                }
                // One that does not answer is perhaps just being made.
                if let Ok(client) = ControlClient::connect(&path).await {
                    known.push(path.clone());
                    let greeting = Box::new(client.greeting);
                    let _ = events.send(Event::Found { path, greeting }).await;
                }
            }
        }
    })
}

/// Tells what a tap shows, at the pace of a reader, until the session ends.
async fn show(path: &Path, number: u64, session: u64, events: &Sender<Event>) -> Result<(), Trouble> {
    let mut client = ControlClient::connect(path).await?;
    let choice =
        TapChoice { session: Some(session), limit: Some(PIECE_BYTES), marks: true, ..TapChoice::default() };
    client.send(&Request::Tap(choice)).await?;
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
    server: usize,
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
        let answer = answer.map_err(Into::into);
        if events.send(Event::Answer { server, answer }).await.is_err() || is_lost {
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
        Question::Look { choice, session, ended } => look(client, choice.clone(), *session, *ended).await,
        Question::Cut { session, fin } => {
            let request = Request::Cut { sessions: vec![*session], listener: None, fin: *fin };
            let refused = match client.ask::<IgnoredAny>(&request).await {
                Ok(_) => None,
                Err(Trouble::Refused(reason)) => Some(reason),
                Err(lost) => return Err(lost),
            };
            Ok(Answer::Cut { session: *session, refused })
        }
    }
}

async fn look(
    client: &mut ControlClient,
    choice: Choice,
    session: Option<u64>,
    ended: Option<usize>,
) -> Result<Answer, Trouble> {
    let rows = match client.ask(&Request::List(choice.clone())).await {
        // An older server does not know every order.
        Err(Trouble::Refused(_)) => {
            client.ask(&Request::List(Choice { sort: Sort::Age, ..choice.clone() })).await?
        }
        rows => rows?,
    };
    let matching = client.matching;
    let session = match session {
        Some(session) => details(client, session).await?.map(|details| (session, details)),
        None => None,
    };
    let ended = match ended {
        Some(last) => Some(client.ask(&Request::Closed { session: None, last: Some(last) }).await?),
        None => None,
    };
    let stats = client.ask(&Request::Stats { history: true }).await?.pop();
    Ok(Answer::Look(Box::new(Look { stats, rows, matching, choice, session, ended })))
}

async fn details(client: &mut ControlClient, session: u64) -> Result<Option<Details>, Trouble> {
    match client.ask(&Request::Show { session }).await {
        Ok(mut items) => return Ok(items.pop().map(|detail| Details::Alive(Box::new(detail)))),
        Err(Trouble::Refused(_)) => {}
        Err(lost) => return Err(lost),
    }
    match client.ask(&Request::Closed { session: Some(session), last: None }).await {
        Ok(mut items) => Ok(items.pop().map(|ended| Details::Ended(Box::new(ended)))),
        Err(Trouble::Refused(_)) => Ok(Some(Details::Forgotten)),
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
                    let _ = questions.try_send(Question::Look {
                        choice: Choice::default(),
                        session: None,
                        ended: None,
                    });
                    matches!(events.next().await, Some(Event::Answer { answer: Ok(_), .. }))
                };
                assert!(look().await, "the first");
                look().await
            };
            join(ask(client, asked, 0, address, stopped), looks).await.1
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
