//! Listeners beside the traffic: few connections at once, each served by a task of its own. If they are full, the one that
//! has been silent longest gives way to the next: idle connections keep out no operator and no health check.

use crate::{
    net::{address::Address, listener::Listener, socket::Socket},
    report::reporter::Reporter,
    runtime::{
        clock::{Sleep, now_ns, sleep, within},
        limit::{Rank, Slot, Slots},
        mailbox::{Mailbox, mailbox},
        task::{Panicked, Task, spawn},
        waker::WakerCell,
    },
    server::acceptor::{Acceptor, Accepts},
};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, LocalBoxFuture, abortable},
    stream::FuturesUnordered,
};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

impl Accepts for Listener {
    type Accepted = (Socket, Address);
    const RANK: Rank = Rank::Operator;

    fn readable(&self) -> impl Future<Output = ()> {
        self.readable()
    }

    fn try_accept(&mut self) -> io::Result<Self::Accepted> {
        Listener::try_accept(self)
    }
}

/// A listener whose connections are served by a task each, a few at once. Dropping it closes the listener and ends every
/// connection.
pub struct SideDoor {
    // Dropped first: no connection comes any more.
    acceptor: Option<Acceptor>,
    connections: Task<()>,
}

/// A request that is not there after this time is not on its way: the connection is silent. Far longer than reading what has
/// arrived takes, and short enough for hundreds of silent connections to be passed in a second.
const SILENT_AFTER: Duration = Duration::from_millis(50);

/// Since when a connection has been silent, that is, between two requests. Only then it may have to give way.
pub struct Silence {
    /// By [`now_ns`]; 0 while a request is under way.
    since_ns: Cell<u64>,
    /// The actor, if a connection waits for room.
    door: Rc<WakerCell>,
}

impl Silence {
    pub fn begin(&self) {
        self.since_ns.set(now_ns());
        self.door.wake();
    }

    pub fn end(&self) {
        self.since_ns.set(0);
    }

    /// The connection is silent until `wait` ends.
    pub async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        self.begin();
        let value = wait.await;
        self.end();
        value
    }
}

impl SideDoor {
    /// Serves at most `at_once` connections of `listener`; `name` is what one is called in a line.
    pub fn start<F: Future<Output = ()> + 'static>(
        listener: Listener,
        at_once: usize,
        name: &'static str,
        reporter: Reporter,
        serve: impl Fn(Socket, Rc<Silence>) -> F + 'static,
    ) -> Self {
        let (address, arrivals) = mailbox(1);
        let hand_on = move |_: &Listener, (socket, _), slot| {
            let address = address.clone();
            async move {
                let _ = address.send((socket, slot)).await;
            }
        };
        // One connection more is accepted, for which another has to give way.
        let slots = Slots::new(at_once + 1);
        let tell = reporter.clone();
        let tell_end = move |text| tell.warn(text);
        let acceptor = Acceptor::over(listener.address().to_string(), listener, slots, hand_on, tell_end);
        let warn = move |panicked| reporter.warn(format!("a {name} connection: {panicked}"));
        let connections = spawn(Actor::new(at_once, arrivals, serve, warn).run());
        SideDoor { acceptor: Some(acceptor), connections }
    }

    /// Closes the listener; what waits there is left to another program that has the same socket.
    pub fn leave(&mut self) {
        self.acceptor = None;
    }

    /// Closes the listener, and ends the connections that do not end within `last_words`.
    pub async fn stop(self, last_words: Duration) {
        if let Some(acceptor) = self.acceptor {
            acceptor.stop().await;
        }
        let _ = within(Some(last_words), self.connections).await;
    }
}

/// All that can wake the actor of a [`SideDoor`].
enum Event<T> {
    Arrived(T, Slot),
    /// The acceptor has ended.
    NoMore,
    /// One of those that are served, while another waits.
    SilentLongest(usize),
    Ended(u64, Result<(), Panicked>),
}

struct Actor<T: 'static, S, W> {
    at_once: usize,
    arrivals: Mailbox<(T, Slot)>,
    serve: S,
    warn: W,
    /// It waits until another has given way.
    waiting: Option<(T, Slot)>,
    served: Vec<Served>,
    last_number: u64,
    ends: FuturesUnordered<LocalBoxFuture<'static, (u64, Result<(), Panicked>)>>,
    /// Woken when a silence begins.
    begun: Rc<WakerCell>,
    /// Until the silence that is longest is long enough; set while a connection waits for room.
    long_enough: Option<Sleep>,
}

/// A connection that is served.
struct Served {
    number: u64,
    silence: Rc<Silence>,
    abort: AbortHandle,
}

impl<T: 'static, S, W: Fn(Panicked), F: Future<Output = ()> + 'static> Actor<T, S, W>
where
    S: Fn(T, Rc<Silence>) -> F,
{
    fn new(at_once: usize, arrivals: Mailbox<(T, Slot)>, serve: S, warn: W) -> Self {
        let (served, ends, begun) = (Vec::new(), FuturesUnordered::new(), Rc::default());
        let (waiting, long_enough) = (None, None);
        Actor { at_once, arrivals, serve, warn, waiting, served, last_number: 0, ends, begun, long_enough }
    }

    /// Ends with the acceptor, after the last connection.
    async fn run(mut self) {
        loop {
            match poll_fn(|context| self.poll_event(context)).await {
                Event::Arrived(connection, slot) => self.waiting = Some((connection, slot)),
                Event::SilentLongest(index) => self.served.swap_remove(index).abort.abort(),
                Event::Ended(number, end) => self.note_end(number, end),
                Event::NoMore => break,
            }
            if self.served.len() < self.at_once
                && let Some((connection, slot)) = self.waiting.take()
            {
                self.begin(connection, slot);
            }
        }
        while let Some((number, end)) = self.ends.next().await {
            self.note_end(number, end);
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event<T>> {
        if let Poll::Ready(Some((number, end))) = self.ends.poll_next_unpin(context) {
            return Poll::Ready(Event::Ended(number, end));
        }
        if self.waiting.is_none() {
            let arrival = self.arrivals.poll_next(context);
            return arrival.map(|arrival| match arrival {
                Some((connection, slot)) => Event::Arrived(connection, slot),
                None => Event::NoMore,
            });
        }
        self.begun.register(context);
        let since = |served: &Served| served.silence.since_ns.get();
        let silent = self.served.iter().enumerate().map(|(index, served)| (since(served), index));
        let Some((since, index)) = silent.filter(|(since, _)| *since > 0).min() else { return Poll::Pending };
        let left = SILENT_AFTER.saturating_sub(Duration::from_nanos(now_ns().saturating_sub(since)));
        if left.is_zero() {
            return Poll::Ready(Event::SilentLongest(index));
        }
        self.long_enough.insert(sleep(left)).poll_unpin(context).map(|()| Event::SilentLongest(index))
    }

    fn begin(&mut self, connection: T, slot: Slot) {
        self.last_number += 1;
        let number = self.last_number;
        let silence = Rc::new(Silence { since_ns: Cell::new(0), door: self.begun.clone() });
        let (conversation, abort) = abortable((self.serve)(connection, silence.clone()));
        let task = spawn(async move {
            let _ = conversation.await;
            drop(slot);
        });
        self.ends.push(task.map(move |end| (number, end)).boxed_local());
        self.served.push(Served { number, silence, abort });
    }

    fn note_end(&mut self, number: u64, end: Result<(), Panicked>) {
        self.served.retain(|served| served.number != number);
        end.unwrap_or_else(&self.warn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{mailbox::Sender, shard::run};
    use std::future::pending;

    /// What connections of this name do; each tells its name when it begins, and again when it ends.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Visit {
        Silent(u8),
        Asks(u8),
    }

    struct Told(Visit, Sender<Visit>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.1.try_send(self.0);
        }
    }

    #[test]
    fn the_connection_that_is_silent_longest_gives_way_and_none_with_a_request_under_way() {
        const AT_ONCE: usize = 3;
        let (tell, mut told) = mailbox(16);
        let (arrive, arrivals) = mailbox(16);
        let serve = move |visit: Visit, silence: Rc<Silence>| {
            let told = Told(visit, tell.clone());
            async move {
                let _ = told.1.try_send(visit);
                match visit {
                    Visit::Silent(_) => silence.during(pending::<()>()).await,
                    Visit::Asks(_) => pending().await,
                }
            }
        };
        run(async {
            let _door = spawn(Actor::new(AT_ONCE, arrivals, serve, |_| {}).run());
            let slots = Slots::new(16);
            use Visit::{Asks, Silent};
            let arrives = async |visit| assert!(arrive.try_send((visit, slots.take().await)).is_ok());
            let next = async |told: &mut Mailbox<Visit>| {
                within(Some(Duration::from_secs(10)), told.next()).await.flatten()
            };
            for visit in [Silent(1), Asks(2), Silent(3)] {
                arrives(visit).await;
                assert_eq!(next(&mut told).await, Some(visit));
            }
            for (visit, gives_way) in [(Silent(4), Silent(1)), (Asks(5), Silent(3)), (Asks(6), Silent(4))] {
                arrives(visit).await;
                let mut two = [next(&mut told).await, next(&mut told).await];
                two.sort_by_key(|one| *one == Some(visit));
                assert_eq!(two, [Some(gives_way), Some(visit)]);
            }
            arrives(Silent(7)).await;
            assert_eq!(within(Some(Duration::from_millis(100)), told.next()).await, None);
        })
        .unwrap();
    }
}
