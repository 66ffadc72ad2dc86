//! The control socket: encodes the operator's verbs as lines of JSON.

use crate::{
    control::{
        lines::LineSocket,
        place,
        protocol::{Line, ListedFault, PlanAnswer, ReadyAnswer, Request, TapItem},
    },
    error::{Error, reason},
    net::{
        listener::{ListenSocket, Listener},
        socket::Socket,
    },
    report::{format::Format, json::EventLine, reporter::Reporter},
    runtime::{clock::within, task::yield_now},
    server::{
        fault_orders,
        operator::{Operator, Readiness, Refusal},
        plan::Mistakes,
        side_door::{SideDoor, Silence},
        taps::OperatorTaps,
    },
    session::event::Event,
    text::safe::SafeText,
};
use futures::{FutureExt, select_biased};
use serde::Serialize;
use std::{io, path::PathBuf, pin::pin, rc::Rc, time::Duration};

/// Operators at once, and one that waits until another gives way. No session gets the descriptors of these
/// ([`crate::net::ceiling`]).
const CONNECTIONS_MAX: usize = 16;
/// Of the control socket.
const BACKLOG: i32 = 16;
/// At the end of the server, for taps that tell how the last sessions ended. Short: idle operators delay the end as well.
pub const LAST_WORDS: Duration = Duration::from_millis(250);
/// A request is short; the longest names some thousand sessions to cut.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A client that asks nothing for this long can connect again.
const REQUEST_WAIT: Duration = Duration::from_secs(60);
/// A client that takes nothing of an answer for this long will not take the rest.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// A client that takes nothing of a tap for this long has gone; until then it only loses pieces.
const TAP_WRITE_WAIT: Duration = Duration::from_secs(60);
/// Lines are gathered up to about this size and written at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Makes the control socket; none if it is off. If the default place cannot be used, it warns and makes none either:
/// the server is worth more than its control.
///
/// A `group` may use it too. The default place is in a folder that no group can enter. At a path, it may be `passed`.
pub fn bind(
    place: &place::Control,
    group: Option<&str>,
    passed: Option<ListenSocket>,
    warn: impl FnOnce(String),
) -> Result<Option<Listener>, Error> {
    match place {
        place::Control::At(path) => {
            let bound = passed.map_or_else(|| ListenSocket::bind_private(path, BACKLOG), Ok);
            let bound = bound.and_then(Listener::open).map_err(|error| {
                Error::new(format!("cannot make the control socket {}", path.display()), error)
            })?;
            if let Some(group) = group {
                place::open_to(path, group)
                    .map_err(|error| Error::new(format!("cannot let group {group} use it"), error))?;
            }
            Ok(Some(bound))
        }
        place::Control::Off | place::Control::Default if group.is_some() => {
            let why = "it needs a --control PATH: the user's own folder is closed to groups";
            Err(Error::new("cannot use --group", io::Error::other(why)))
        }
        place::Control::Off => Ok(None),
        place::Control::Default => {
            let folder = place::folder();
            let bound = place::prepare(&folder, std::process::id())
                .and_then(|path| Listener::bind_private(&path, BACKLOG));
            if let Err(error) = &bound {
                let folder = folder.display();
                let reason = reason(error);
                warn(format!("no control socket in {folder}: {reason}; choose a --control path, or off"));
            }
            Ok(bound.ok())
        }
    }
}

/// Serves operators on `listener`, which is a socket's file as well: that goes with it.
pub fn start(listener: Listener, operator: Operator, reporter: Reporter) -> SideDoor {
    let serve = move |socket, silence| Conversation::new(socket, silence, operator.clone()).serve();
    SideDoor::start(listener, CONNECTIONS_MAX, "control", reporter, serve)
}

/// A control connection. It ends when its client does, or is too slow.
struct Conversation {
    lines: LineSocket,
    silence: Rc<Silence>,
    operator: Operator,
    /// Lines on their way out.
    unwritten: String,
}

/// Why a request has no complete answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum Incomplete {
    Lost(#[from] io::Error),
    Refused(#[from] Refusal),
}

/// An event as the log tells it to machines, and as it tells it to people.
#[derive(Serialize)]
struct FollowedEvent<'a> {
    #[serde(flatten)]
    event: EventLine<'a>,
    line: String,
}

impl<'a> From<&'a Event> for FollowedEvent<'a> {
    fn from(event: &'a Event) -> Self {
        let mut line = String::new();
        Format::default().line(event, &mut line);
        FollowedEvent { event: EventLine(event), line: line.trim_end().to_owned() }
    }
}

/// What a plan changes; or every line of what is wrong with it.
fn plan_answer(answer: Result<Vec<String>, Mistakes>) -> PlanAnswer {
    match answer {
        Ok(lines) => PlanAnswer { ok: true, lines: lines.iter().map(|line| line.as_str().into()).collect() },
        Err(mistakes) => PlanAnswer { ok: false, lines: mistakes.text.lines().map(SafeText::from).collect() },
    }
}

/// The client has said something, or has gone.
fn ended_by_client(more: io::Result<bool>) -> io::Result<()> {
    if more? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl Conversation {
    fn new(socket: Socket, silence: Rc<Silence>, operator: Operator) -> Self {
        Conversation { lines: LineSocket::new(socket), silence, operator, unwritten: String::new() }
    }

    async fn serve(mut self) {
        // Why it ended concerns only its client, which knows.
        let _ = self.converse().await;
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.push(&self.operator.greeting());
        self.flush(WRITE_WAIT).await?;
        loop {
            let request = within(Some(REQUEST_WAIT), self.lines.next(LINE_BYTES_MAX));
            let line = self.silence.during(request).await;
            let line = match line.ok_or(io::ErrorKind::TimedOut)? {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.push_last(Err(error.to_string()));
                    return self.flush(WRITE_WAIT).await;
                }
                Err(error) => return Err(error),
            };
            let last = match serde_json::from_slice(&line) {
                Ok(request) => match self.follow(request).await {
                    Ok(matching) => Ok(matching),
                    Err(Incomplete::Lost(error)) => return Err(error),
                    Err(refused) => Err(refused.to_string()),
                },
                Err(error) => Err(format!("it is not a request: {error}")),
            };
            self.push_last(last);
            self.flush(WRITE_WAIT).await?;
        }
    }

    /// Follows a request, and says how many sessions there were to choose from if that was a part of it.
    async fn follow(&mut self, request: Request) -> Result<Option<usize>, Incomplete> {
        match request {
            Request::List(choice) => {
                let (list, matching) = self.operator.list(&choice).await;
                self.items(list).await?;
                return Ok(Some(matching));
            }
            Request::Show { session } => {
                let detail = self.operator.show(session).await?;
                self.push_item(&detail);
            }
            Request::Closed { session: Some(session), .. } => {
                self.push_item(&self.operator.ended(session).await?);
            }
            Request::Closed { session: None, last } => {
                self.items(self.operator.closed(last).await).await?;
            }
            Request::Stats { history } => self.push_item(&self.operator.stats(history).await?),
            Request::Get { setting } => {
                self.operator.get(setting)?.iter().for_each(|value| self.push_item(value));
            }
            Request::Cut { sessions, listener: None, fin } => self.operator.cut(sessions, fin).await?,
            Request::Cut { listener: Some(name), fin, .. } => self.operator.cut_listener(&name, fin).await?,
            Request::Tap(choice) => {
                let taps = self.operator.tap(&choice).await?;
                self.tap(taps).await?;
            }
            Request::Events => self.events().await?,
            Request::Pause => self.operator.pause(),
            Request::Resume => self.operator.resume(),
            Request::Drain => self.operator.drain().await,
            Request::Ready => {
                let ready = self.operator.ready().await;
                let is_ready = ready == Readiness::Accepting;
                self.push_item(&ReadyAnswer { ready: is_ready, state: ready.name().into() });
            }
            Request::Reload => {
                let answer = self.operator.reload().await?;
                self.push_item(&plan_answer(answer));
            }
            Request::Diff { file } => {
                let answer = self.operator.diff(file.map(PathBuf::from)).await;
                self.push_item(&plan_answer(answer));
            }
            Request::Explain { question } => {
                let lines = self.operator.explain(&question)?;
                self.push_item(&plan_answer(Ok(lines)));
            }
            Request::Server { upstream: Some(upstream), address: Some(address), state: Some(state) } => {
                self.operator.set_server(&upstream, &address, state)?;
            }
            Request::Server { upstream, .. } => {
                self.operator.group_servers(upstream.as_deref())?.iter().for_each(|one| self.push_item(one));
            }
            Request::FaultList { listener } => {
                self.faults(fault_orders::list(&self.operator, listener.as_deref())).await?;
            }
            Request::FaultAdd { listener, fault } => {
                self.faults(fault_orders::add(&self.operator, listener, &fault).await).await?;
            }
            Request::FaultUpdate { listener, name, fault } => {
                self.faults(fault_orders::update(&self.operator, &listener, name, &fault).await).await?;
            }
            Request::FaultRemove { listener, name, all } => {
                self.faults(fault_orders::remove(&self.operator, listener, name, all).await).await?;
            }
            Request::Set { setting, value } => self.operator.set(setting, value).await?,
        }
        Ok(None)
    }

    async fn items(&mut self, items: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
        for item in items {
            self.push_item(&item);
            if self.unwritten.len() >= BATCH_BYTES {
                self.flush(WRITE_WAIT).await?;
                // Thousands of sessions are milliseconds of work, and traffic has the same thread.
                yield_now().await;
            }
        }
        Ok(())
    }

    /// The faults that a request was about.
    async fn faults(&mut self, faults: Result<Vec<ListedFault>, Refusal>) -> Result<(), Incomplete> {
        Ok(self.items(faults?.into_iter()).await?)
    }

    /// Shows taps until their sessions have ended and no more come. Any line of the client ends them.
    async fn tap(&mut self, mut taps: OperatorTaps) -> io::Result<()> {
        loop {
            let item = select_biased! {
                item = pin!(taps.next().fuse()) => item,
                more = pin!(self.lines.read_more().fuse()) => return ended_by_client(more),
            };
            let Some(item) = item else { return Ok(()) };
            self.push_item(&item);
            while self.unwritten.len() < BATCH_BYTES
                && let Some(Some(item)) = taps.next().now_or_never()
            {
                self.push_item(&item);
            }
            self.flush(TAP_WRITE_WAIT).await?;
        }
    }

    /// Tells what sessions say, as the log would, until the server ends. Any line of the client ends it.
    async fn events(&mut self) -> io::Result<()> {
        let mut followed = self.operator.events();
        loop {
            let event = select_biased! {
                event = pin!(followed.shown.next().fuse()) => event,
                more = pin!(self.lines.read_more().fuse()) => return ended_by_client(more),
            };
            let Some(event) = event else { return Ok(()) };
            self.push_item(&FollowedEvent::from(&event));
            while self.unwritten.len() < BATCH_BYTES
                && let Some(event) = followed.shown.try_next()
            {
                self.push_item(&FollowedEvent::from(&event));
            }
            let lost = followed.take_lost();
            if lost > 0 {
                self.push_item(&TapItem::Lost { lost, session: 0 });
            }
            self.flush(TAP_WRITE_WAIT).await?;
        }
    }

    fn push_item(&mut self, item: &impl Serialize) {
        self.push(&Line::Item { item });
    }

    fn push_last(&mut self, last: Result<Option<usize>, String>) {
        self.push(&match last {
            Ok(matching) => Line::<()>::Done { ok: true, matching },
            Err(error) => Line::Failed { error: SafeText::from(error.as_str()) },
        });
    }

    fn push(&mut self, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("these lines have string keys");
        self.unwritten.push_str(&text);
        self.unwritten.push('\n');
    }

    /// Writes what was pushed; gives up if the client takes nothing for `wait`.
    async fn flush(&mut self, wait: Duration) -> io::Result<()> {
        let text = std::mem::take(&mut self.unwritten);
        self.lines.write(&text, wait).await
    }
}
