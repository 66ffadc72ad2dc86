//! The control actor: owns the control socket, and a task for each of its connections.
//!
//! It ends when its [`Control`] is stopped, and its connections with it.

pub mod answer;
pub mod connection;
mod list;
pub mod rates;
mod setting;
mod tap;

use crate::{
    control::place,
    error::{Error, reason},
    net::{
        address::Address,
        listener::{AcceptError, Listener, classify},
    },
    runtime::{
        clock::{sleep, within},
        limit::Slots,
        mailbox::{self, Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{control::connection::Connection, supervisor::Supervisor},
    session::{context::CurrentDeadlines, event::Mode},
};
use futures::{FutureExt, StreamExt, select_biased, stream::FuturesUnordered};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Operators at once; the next waits in the socket's backlog. Each has a descriptor of the reserve.
const CONNECTIONS: usize = 16;
/// Of the control socket.
const BACKLOG: i32 = 16;
/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(250);
/// At the end of the server, for taps that tell how the last sessions ended; short, for idle operators delay it as well.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What a server tells its operators, and how it is reached.
pub struct Facts {
    /// Its mode.
    pub mode: Mode,
    /// Where it listens.
    pub listeners: Vec<Address>,
    /// When it began.
    pub began: Instant,
    /// The limit of sessions at once.
    pub slots: Slots,
    /// The deadlines of sessions to come.
    pub deadlines: Arc<CurrentDeadlines>,
    /// Its sessions.
    pub supervisor: Supervisor,
    /// Asks for a drain.
    pub drain: mailbox::Address<()>,
}

/// A running control actor.
pub struct Control {
    task: Task<()>,
    stop: mailbox::Address<()>,
}

/// Makes the control socket; none where it is off. Where the default place cannot be used `warn` is told so, and there is
/// none either: the server is worth more than its control.
///
/// # Errors
/// Where the socket cannot be made at the place that the operator gave.
pub fn bind(place: &place::Control, warn: impl FnOnce(String)) -> Result<Option<Listener>, Error> {
    match place {
        place::Control::Off => Ok(None),
        place::Control::At(path) => Listener::bind_private(path, BACKLOG)
            .map(Some)
            .map_err(|error| Error::new(format!("cannot make the control socket {}", path.display()), error)),
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

impl Control {
    /// Serves operators on `listener`.
    #[must_use]
    pub fn start(listener: Listener, facts: Facts) -> Self {
        let (address, stop) = mailbox(1);
        Control { task: spawn(run(listener, Arc::new(facts), stop)), stop: address }
    }

    /// Removes the socket, and ends every connection, once it had a moment for its last words.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

enum Event {
    Readable,
    Finished,
    Stopped,
}

async fn run(listener: Listener, facts: Arc<Facts>, mut stop: Mailbox<()>) {
    let mut connections = FuturesUnordered::new();
    loop {
        match next_event(&listener, &mut connections, &mut stop).await {
            Event::Finished => {}
            Event::Stopped => {
                drop(listener);
                let all_ended = async { while connections.next().await.is_some() {} };
                let _ = within(Some(LAST_WORDS), all_ended).await;
                return;
            }
            Event::Readable => match listener.try_accept() {
                Ok((socket, _)) => connections.push(spawn(Connection::new(socket, facts.clone()).serve())),
                Err(error) => match classify(&error) {
                    AcceptError::Connection => {}
                    AcceptError::Resources => sleep(PAUSE).await,
                    AcceptError::Fatal => return,
                },
            },
        }
    }
}

async fn next_event(
    listener: &Listener,
    connections: &mut FuturesUnordered<Task<()>>,
    stop: &mut Mailbox<()>,
) -> Event {
    let full = connections.len() >= CONNECTIONS;
    let readable = async {
        if full {
            std::future::pending::<()>().await;
        }
        listener.readable().await;
    };
    let finished = async {
        if connections.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    let (mut readable, mut finished) = (std::pin::pin!(readable.fuse()), std::pin::pin!(finished.fuse()));
    select_biased! {
        _ = stop.next().fuse() => Event::Stopped,
        () = finished => Event::Finished,
        () = readable => Event::Readable,
    }
}
