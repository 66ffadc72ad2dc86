//! Listeners beside the traffic: few connections at once, each served by a task of its own. If they are full, the one that
//! has been silent longest gives way to the next: idle connections keep out no operator and no health check.

use crate::{
    net::{listener::Listener, socket::Socket},
    report::reporter::Reporter,
    runtime::{
        clock::{Sleep, now_ns, sleep, within},
        limit::{Rank, Slot, Slots},
        mailbox::{Mailbox, Sender, mailbox},
        task::{Panicked, Task, spawn},
        waker::WakerCell,
    },
    server::acceptor::{Acceptor, Accepts},
};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, select_biased, stream::FuturesUnordered};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// A listener, and where its connections go.
struct DoorListener {
    listener: Listener,
    arrivals: Sender<(Socket, Slot)>,
}

impl Accepts for DoorListener {
    const RANK: Rank = Rank::Operator;

    fn readable(&self) -> impl Future<Output = ()> {
        self.listener.readable()
    }

    fn try_accept(&mut self, slot: Slot) -> io::Result<impl Future<Output = ()>> {
        let (socket, _) = self.listener.try_accept()?;
        Ok(self.arrivals.send((socket, slot)).map(drop))
    }
}

/// A listener whose connections are served by a task each, a few at once. Dropping it closes the listener and ends every
/// connection.
pub struct SideDoor {
    // Dropped first: no connection comes any more.
    acceptor: Option<Acceptor>,
    connections: Task<()>,
    is_dismissed: Rc<Cell<bool>>,
}

/// A request that is not there after this time is not on its way: the connection is silent. Far longer than reading what has
/// arrived takes, and short enough for hundreds of silent connections to be passed in a second.
const SILENT_AFTER: Duration = Duration::from_millis(50);

/// How many connections a [`SideDoor`] serves, and when one of them gives way.
#[derive(Clone, Copy)]
pub struct DoorLimits {
    pub at_once: usize,
    /// Those that take their leave, beside them.
    pub leaving: usize,
    /// Only a connection that has been silent for longer gives way.
    pub silent_after: Duration,
}

/// Since when a connection has been silent, that is, between two requests. Only then it may have to give way.
pub struct Silence {
    /// By [`now_ns`]; 0 while a request is under way.
    since_ns: Cell<u64>,
    /// It is to give way, if it is silent still.
    is_asked: Cell<bool>,
    /// It does.
    gives_way: Cell<bool>,
    /// The actor, if a connection waits for room.
    door: Rc<WakerCell>,
    conversation: WakerCell,
}

impl Silence {
    fn new(door: Rc<WakerCell>) -> Self {
        let (since_ns, is_asked, gives_way) = Default::default();
        Silence { since_ns, is_asked, gives_way, door, conversation: WakerCell::default() }
    }

    pub fn begin(&self) {
        self.set(now_ns());
    }

    pub fn end(&self) {
        self.set(0);
    }

    fn set(&self, since_ns: u64) {
        self.since_ns.set(since_ns);
        self.is_asked.set(false);
        self.door.wake();
    }

    fn ask(&self) {
        self.is_asked.set(true);
        self.conversation.wake();
    }

    /// Waits until the connection has to give way; another takes its place then. A conversation that does not wait for that
    /// is dropped. Poll it after what may end the silence.
    pub async fn asked_to_leave(&self) {
        poll_fn(|context| {
            self.conversation.register(context);
            if !self.is_asked.take() {
                return Poll::Pending;
            }
            self.gives_way.set(true);
            self.door.wake();
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until a silence has lasted so long.
    pub async fn lasts(&self, longest: Duration) {
        loop {
            let lasted = match self.since_ns.get() {
                0 => Duration::ZERO,
                since_ns => Duration::from_nanos(now_ns().saturating_sub(since_ns)),
            };
            let left = longest.saturating_sub(lasted);
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
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
        let limits = DoorLimits { at_once, leaving: 0, silent_after: SILENT_AFTER };
        SideDoor::start_within(limits, listener, name, reporter, serve)
    }

    /// As [`SideDoor::start`].
    pub fn start_within<F: Future<Output = ()> + 'static>(
        limits: DoorLimits,
        listener: Listener,
        name: &'static str,
        reporter: Reporter,
        serve: impl Fn(Socket, Rc<Silence>) -> F + 'static,
    ) -> Self {
        let (address, arrivals) = mailbox(1);
        // One connection more is accepted, for which another has to give way.
        let slots = Slots::new(limits.at_once + 1 + limits.leaving);
        let called = listener.address().to_string();
        let listener = DoorListener { listener, arrivals: address };
        let acceptor = Acceptor::over(called, listener, slots, reporter.clone());
        let warn = move |panicked| reporter.warn(format!("a {name} connection: {panicked}"));
        let is_dismissed = Rc::<Cell<bool>>::default();
        let connections = spawn(Actor::new(limits, arrivals, serve, warn).run(is_dismissed.clone()));
        SideDoor { acceptor: Some(acceptor), connections, is_dismissed }
    }

    /// Closes the listener; what waits there is left to another program that has the same socket.
    pub fn leave(&mut self) {
        self.acceptor = None;
    }

    /// As [`SideDoor::leave`]; connections that are silent take their leave.
    pub fn dismiss(&mut self) {
        self.is_dismissed.set(true);
        self.leave();
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
    /// One that was silent longest, and is so still.
    GivesWay(usize),
    Ended(u64, Result<(), Panicked>),
}

struct Actor<T: 'static, S, W> {
    limits: DoorLimits,
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
}

impl<T: 'static, S, W: Fn(Panicked), F: Future<Output = ()> + 'static> Actor<T, S, W>
where
    S: Fn(T, Rc<Silence>) -> F,
{
    fn new(limits: DoorLimits, arrivals: Mailbox<(T, Slot)>, serve: S, warn: W) -> Self {
        let (served, ends, begun) = (Vec::new(), FuturesUnordered::new(), Rc::default());
        let (waiting, long_enough) = (None, None);
        Actor { limits, arrivals, serve, warn, waiting, served, last_number: 0, ends, begun, long_enough }
    }

    /// Ends with the acceptor, after the last connection; those that are silent then go first if it `is_dismissed`.
    async fn run(mut self, is_dismissed: Rc<Cell<bool>>) {
        loop {
            match poll_fn(|context| self.poll_event(context)).await {
                Event::Arrived(connection, slot) => self.waiting = Some((connection, slot)),
                Event::SilentLongest(index) => self.served[index].silence.ask(),
                Event::GivesWay(index) => drop(self.served.swap_remove(index)),
                Event::Ended(number, end) => self.note_end(number, end),
                Event::NoMore => break,
            }
            if self.served.len() < self.limits.at_once
                && let Some((connection, slot)) = self.waiting.take()
            {
                self.begin(connection, slot);
            }
        }
        if is_dismissed.get() {
            let silent = self.served.iter().filter(|served| served.silence.since_ns.get() > 0);
            silent.for_each(|served| served.silence.ask());
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
        if let Some(index) = self.served.iter().position(|served| served.silence.gives_way.get()) {
            return Poll::Ready(Event::GivesWay(index));
        }
        if self.served.iter().any(|served| served.silence.is_asked.get()) {
            return Poll::Pending;
        }
        let since = |served: &Served| served.silence.since_ns.get();
        let silent = self.served.iter().enumerate().map(|(index, served)| (since(served), index));
        let Some((since, index)) = silent.filter(|(since, _)| *since > 0).min() else { return Poll::Pending };
        let left =
            self.limits.silent_after.saturating_sub(Duration::from_nanos(now_ns().saturating_sub(since)));
        if left.is_zero() {
            return Poll::Ready(Event::SilentLongest(index));
        }
        self.long_enough.insert(sleep(left)).poll_unpin(context).map(|()| Event::SilentLongest(index))
    }

    fn begin(&mut self, connection: T, slot: Slot) {
        self.last_number += 1;
        let number = self.last_number;
        let silence = Rc::new(Silence::new(self.begun.clone()));
        let conversation = (self.serve)(connection, silence.clone());
        let asked = silence.clone();
        let task = spawn(async move {
            select_biased! {
                () = pin!(conversation.fuse()) => {}
                () = pin!(asked.asked_to_leave().fuse()) => {}
            }
            drop(slot);
        });
        self.ends.push(task.map(move |end| (number, end)).boxed_local());
        self.served.push(Served { number, silence });
    }

    fn note_end(&mut self, number: u64, end: Result<(), Panicked>) {
        self.served.retain(|served| served.number != number);
        end.unwrap_or_else(&self.warn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;
    use std::{future::pending, time::Instant};

    /// What connections of this name do; each tells its name when it begins, and again when it ends.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Visit {
        Silent(u8),
        Asks(u8),
        /// Silent; it says when it is asked to leave, and stays.
        Lingers(u8),
        /// Silent, until a request comes at the moment at which it is to leave.
        AsksAtLast(u8),
    }

    fn limits(at_once: usize) -> DoorLimits {
        DoorLimits { at_once, leaving: 0, silent_after: SILENT_AFTER }
    }

    struct Told(Visit, Sender<Visit>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.1.try_send(self.0);
        }
    }

    fn serving(tell: Sender<Visit>) -> impl Fn(Visit, Rc<Silence>) -> LocalBoxFuture<'static, ()> {
        move |visit, silence| {
            let told = Told(visit, tell.clone());
            let conversation = async move {
                let _ = told.1.try_send(visit);
                match visit {
                    Visit::Silent(_) => silence.during(pending::<()>()).await,
                    Visit::Asks(_) => pending().await,
                    Visit::Lingers(_) => {
                        silence.begin();
                        silence.asked_to_leave().await;
                        let _ = told.1.try_send(visit);
                        pending().await
                    }
                    Visit::AsksAtLast(_) => {
                        silence.begin();
                        poll_fn(|_| if silence.is_asked.get() { Poll::Ready(()) } else { Poll::Pending })
                            .await;
                        silence.end();
                        let _ = told.1.try_send(visit);
                        pending().await
                    }
                }
            };
            conversation.boxed_local()
        }
    }

    #[test]
    fn a_connection_may_linger_and_its_place_is_free_and_a_request_at_last_keeps_it() {
        let (tell, mut told) = mailbox(16);
        let (arrive, arrivals) = mailbox(16);
        run(async {
            let _door = spawn(Actor::new(limits(2), arrivals, serving(tell), |_| {}).run(Rc::default()));
            let slots = Slots::new(16);
            use Visit::{Asks, AsksAtLast, Lingers};
            let arrives = async |visit| assert!(arrive.try_send((visit, slots.take().await)).is_ok());
            let next = async |told: &mut Mailbox<Visit>| {
                within(Some(Duration::from_secs(10)), told.next()).await.flatten()
            };
            for visit in [AsksAtLast(1), Lingers(2)] {
                arrives(visit).await;
                assert_eq!(next(&mut told).await, Some(visit));
            }
            arrives(Asks(3)).await;
            for visit in [AsksAtLast(1), Lingers(2), Asks(3)] {
                assert_eq!(next(&mut told).await, Some(visit));
            }
            assert_eq!(slots.count().0, 3, "none of them has ended");
        })
        .unwrap();
    }

    #[test]
    fn a_silence_does_not_last_while_a_request_is_under_way() {
        const LONG: Duration = Duration::from_millis(20);
        run(async {
            let silence = Silence::new(Rc::default());
            silence.begin();
            silence.end();
            assert_eq!(within(Some(LONG * 5), silence.lasts(LONG)).await, None);
            silence.begin();
            let begin = Instant::now();
            silence.lasts(LONG).await;
            assert!(begin.elapsed() >= LONG);
        })
        .unwrap();
    }

    #[test]
    fn the_connection_that_is_silent_longest_gives_way_and_none_with_a_request_under_way() {
        const AT_ONCE: usize = 3;
        let (tell, mut told) = mailbox(16);
        let (arrive, arrivals) = mailbox(16);
        let serve = serving(tell);
        run(async {
            let _door = spawn(Actor::new(limits(AT_ONCE), arrivals, serve, |_| {}).run(Rc::default()));
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
