//! Trying the servers of a group, one after the other, until one is reached and ready for the client's stream.

use crate::{
    error::reason,
    net::{
        address::Address,
        dial::{DialError, DialFailureKind, Dialled, Reserved, dial_with},
        endpoint::Endpoint,
        options::Options,
        socket::Socket,
    },
    relay::{leg::Leg, link::LinkReceiver},
    runtime::{clock::within, task::yield_now},
    session::{
        cause::Cause,
        context::Context,
        event::What,
        group::{Group, Place},
        outcome::Outcome,
        preamble::Preamble,
        record::{Record, Tried},
    },
    text::{
        safe::SafeText,
        units::{counted, duration, milliseconds},
    },
};
use std::time::{Duration, Instant};

/// The servers of `group`, to be tried for the session of `record`.
pub(super) struct Attempts<'a> {
    pub group: &'a Group,
    pub options: &'a Options,
    pub record: &'a Record,
    pub context: &'a Context,
    /// What the client sends; the first of it goes with what a server gets before.
    pub up_receiver: &'a LinkReceiver,
}

/// A server that is reached, and ready for the client's stream.
pub(super) struct Reached {
    pub leg: Leg,
    pub address: Address,
    /// Our address towards it; none of a UNIX socket.
    pub local: Option<Address>,
    pub resolve: Option<Duration>,
    pub connect: Duration,
    pub place: Place,
}

/// No server was reached.
pub(super) struct NotReached {
    /// How long the last name took to resolve.
    pub resolve: Option<Duration>,
    pub outcome: Outcome,
}

impl NotReached {
    fn by(error: DialError) -> Self {
        NotReached { resolve: error.resolve, outcome: Outcome::NotReached(Box::new(error)) }
    }
}

impl Attempts<'_> {
    /// Tries until one is reached or none is left to try, the first with the socket that is `reserved`. Which of them could not
    /// be reached, and how it went.
    pub async fn run(&self, mut reserved: Option<Reserved>) -> (Vec<Tried>, Result<Reached, NotReached>) {
        let Attempts { group, record, context, .. } = *self;
        let limit = group.settings.connect_timeout.or(record.listening.settings.deadlines.get().connect);
        let (mut told, mut tried, mut last, mut waited) = (Vec::new(), Vec::new(), None, 0);
        loop {
            let Some(place) = group.choose(record.source().ip(), &tried) else { break };
            let (server, was_last_resort) = (place.server.clone(), place.is_last_resort);
            let begin = Instant::now();
            let error = match self.reach(place, reserved.take(), limit).await {
                Ok(reached) => {
                    group.note_connected(&server);
                    return (told, Ok(reached));
                }
                Err(error) => error,
            };
            // Being short of descriptors is no fault of the server.
            if error.kind == DialFailureKind::Resources {
                return (told, Err(NotReached::by(error)));
            }
            if let Some(change) = group.note_failed(&server, &error.text) {
                context.events.tell(What::server(group, &server, change));
            }
            let (cause, ms) = (Cause::from(error.kind), milliseconds(begin.elapsed()));
            told.push(Tried { server: SafeText::literal(&server.address()), error: cause.name().into(), ms });
            tried.push(server);
            waited += u32::from(error.kind != DialFailureKind::Refused);
            last = Some((error, was_last_resort));
            if !group.may_try(tried.len(), waited) {
                break;
            }
        }
        let Some((error, was_last_resort)) = last else {
            let why = format!("no server of {} takes sessions", group.name);
            return (told, Err(NotReached { resolve: None, outcome: Outcome::NoServer(why.into()) }));
        };
        let is_whole = tried.len() > 1 && !group.has_more(&tried);
        if group.is_address || !(is_whole || was_last_resort) {
            return (told, Err(NotReached::by(error)));
        }
        let servers = counted(tried.len(), "server");
        let why = format!("tried {servers} of {}; the last: {}", group.name, error.text);
        (told, Err(NotReached { resolve: error.resolve, outcome: Outcome::NoServer(why.into()) }))
    }

    /// Connects to the server of `place`, and has it ready for the client's stream, both within `limit`.
    // A plain function that returns an async block: an async function stores each argument twice, as passed and as used.
    fn reach(
        &self,
        place: Place,
        reserved: Option<Reserved>,
        limit: Option<Duration>,
    ) -> impl Future<Output = Result<Reached, DialError>> {
        async move {
            let own = self.context.own.of(&self.record.listening.address);
            let destination = &place.server.destination;
            let dialled = dial_with(reserved, destination, self.options, limit, &own).await?;
            let preamble = Preamble::of(&self.group.settings, self.record);
            if preamble.is_empty() {
                let Dialled { socket, address, local, resolve, connect } = dialled;
                return Ok(Reached { leg: Leg::Plain(socket), address, local, resolve, connect, place });
            }
            // Boxed: it is rare, and has room for a handshake.
            Box::pin(self.greeted(dialled, preamble, limit, place)).await
        }
    }

    /// Gives a server what comes before the client's stream, within what is left of `limit`.
    async fn greeted(
        &self,
        dialled: Dialled,
        preamble: Preamble<'_>,
        limit: Option<Duration>,
        place: Place,
    ) -> Result<Reached, DialError> {
        let Dialled { socket, address, local, resolve, connect } = dialled;
        let (endpoint, spent) = (&place.server.destination.endpoint, resolve.unwrap_or_default() + connect);
        let greeted = self.greet(socket, preamble, endpoint, limit, spent).await;
        let leg = greeted.map_err(|(kind, text)| DialError { kind, text, resolve })?;
        Ok(Reached { leg, address, local, resolve, connect, place })
    }

    async fn greet(
        &self,
        socket: Socket,
        preamble: Preamble<'_>,
        endpoint: &Endpoint,
        limit: Option<Duration>,
        spent: Duration,
    ) -> Result<Leg, (DialFailureKind, String)> {
        // What the client has sent by now goes with it.
        yield_now().await;
        let given = preamble.give(socket, endpoint, self.record, self.up_receiver.has_chunk());
        match within(limit.map(|limit| limit.saturating_sub(spent)), given).await {
            Some(given) => given.map_err(|error| {
                (DialFailureKind::Handshake, format!("no TLS with {endpoint}: {}", reason(&error)))
            }),
            None => {
                let limit = duration(limit.unwrap_or_default());
                let text = format!("{endpoint} did not finish the TLS handshake within {limit}");
                Err((DialFailureKind::TimedOut, text))
            }
        }
    }
}
