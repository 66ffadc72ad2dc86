//! The acceptor actor: owns one listening socket and only accepts. Every listener of a server has one on each shard: those of
//! sessions. Those of operators and scrapers ([`crate::server::side_door`]) have one.
//!
//! It ends when it is stopped, after taking what the kernel has accepted for it, if slots and descriptors allow. It also
//! ends if its listener fails: a line says so, and nothing but this listener ends.

use crate::{
    error::reason,
    net::{
        address::Address,
        dial::Reserved,
        limits::Shortage,
        listener::{AcceptError, ListenSocket, Listener, classify},
    },
    report::reporter::Reporter,
    runtime::{
        limit::{Rank, Slot, Slots},
        mailbox::{self, Mailbox, mailbox},
        task::{Task, contain, spawn},
    },
    server::supervisors::Admission,
    session::listening::{CurrentListening, Listening},
};
use futures::{
    FutureExt,
    future::{Either, Fuse, FusedFuture, select},
};
use std::{io, os::fd::OwnedFd, pin::pin, rc::Rc, sync::Arc};

/// A connection that was accepted, before a shard waits for its socket.
pub struct Connection {
    pub accepted: OwnedFd,
    /// For the far leg; none if there is none to dial.
    pub reserved: Option<Reserved>,
    pub client: Address,
    pub listening: Arc<Listening>,
    /// Our address in it; not the listener's if that takes every interface.
    pub local: Address,
    pub slot: Slot,
}

/// Dropping it closes the listener at once.
pub struct Acceptor {
    task: Fuse<Task<()>>,
    stop: Option<mailbox::Sender<()>>,
}

/// Where connections come from and go to: a listener, or a fake of one.
pub(super) trait Accepts: 'static {
    /// What its next connection waits for if there is no descriptor.
    const RANK: Rank;

    fn readable(&self) -> impl Future<Output = ()>;

    /// Takes one connection, with all the descriptors that it needs and its slot; the future hands it on.
    /// Drops the slot before it fails: a slot given back counts as a descriptor freed, and [`Shortage::note`] comes after.
    fn try_accept(&mut self, slot: Slot) -> io::Result<impl Future<Output = ()>>;
}

/// A listener of sessions. If they dial, it first makes the socket of the far leg and then accepts: a session that begins has
/// both of its descriptors. That costs no call, for the dial has one less to make.
struct SessionListener {
    listener: Listener,
    current: Arc<CurrentListening>,
    /// For the next session.
    reserved: Option<Reserved>,
    admission: Admission,
}

impl Accepts for SessionListener {
    const RANK: Rank = Rank::Accept;

    async fn readable(&self) {
        self.current.get().faults.entrance.opened().await;
        self.listener.readable().await;
        if let Some(rate) = &self.current.get().accept_rate {
            rate.take().await;
        }
    }

    fn try_accept(&mut self, slot: Slot) -> io::Result<impl Future<Output = ()>> {
        let SessionListener { listener, current, reserved, admission } = self;
        let listening = current.get();
        let entrance = &listening.faults.entrance;
        let prepare = || {
            if reserved.is_none() {
                *reserved = listening.target.reserve()?;
            }
            Ok(())
        };
        let accepted = match entrance.pass() {
            Some(_passing) => listener.try_accept_if(prepare),
            // Not asked of the kernel, so that the listener stays readable.
            None => Err(io::ErrorKind::WouldBlock.into()),
        };
        if accepted.as_ref().is_err_and(|error| classify(error) == AcceptError::Resources) {
            // Without a descriptor for the near leg, another actor needs this one more.
            *reserved = None;
        }
        if let (Err(_), Some(rate)) = (&accepted, &listening.accept_rate) {
            rate.give_back();
        }
        let (accepted, client) = accepted?;
        if entrance.is_own(&client) {
            // It was to fill the queue, and is no session.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let local = listener.local_address_of(&accepted);
        let reserved = reserved.take();
        Ok(admission.admit(Connection { accepted, reserved, client, listening, local, slot }))
    }
}

struct Actor<L> {
    listener: L,
    slots: Slots,
    shortage: Shortage,
    warn: Rc<dyn Fn(String)>,
    /// A word asks for an end after the kernel's queue is served; its end, for one at once.
    stop: Mailbox<()>,
    ending: Option<Ending>,
}

/// When the actor ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// After the connections that are there, however long that has to wait for slots and descriptors.
    Served,
    /// After those of them for which there are slots and descriptors.
    Soon,
}

impl Acceptor {
    /// Accepts on `socket`; each connection takes one of the `slots` and goes to a supervisor.
    /// Fails if this thread's shard cannot wait for the socket.
    pub fn start(
        socket: ListenSocket,
        current: Arc<CurrentListening>,
        slots: Slots,
        admission: Admission,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let reserved = current.get().target.reserve().ok().flatten();
        let name = socket.address().to_string();
        let listener = SessionListener { listener: Listener::bounded(socket)?, current, reserved, admission };
        Ok(Self::over(name, listener, slots, reporter))
    }

    /// As [`Acceptor::start`], for any connections; `name` is what the listener is called in a line.
    pub(super) fn over(name: String, listener: impl Accepts, slots: Slots, reporter: Reporter) -> Self {
        let (address, stop) = mailbox(1);
        let warn = Rc::new(move |text| reporter.warn(format!("{name} {text}")));
        let actor = Actor::new(listener, slots, warn, stop);
        Acceptor { task: spawn(actor.run()).fuse(), stop: Some(address) }
    }

    /// Waits for the end. Without [`Acceptor::stop`] it comes only if the listener failed. Cancel-safe.
    pub async fn ended(&mut self) {
        if !self.task.is_terminated() {
            let _ = (&mut self.task).await;
        }
    }

    /// Has it take the connections that are already there, however long that has to wait for slots, and then end.
    pub fn finish(&self) {
        // A second word says nothing new.
        let _ = self.stop.as_ref().map(|stop| stop.try_send(()));
    }

    /// Takes the connections that are already there, as far as there are slots for them, then closes the listener.
    pub async fn stop(mut self) {
        self.stop = None;
        self.ended().await;
    }
}

impl<L: Accepts> Actor<L> {
    fn new(listener: L, slots: Slots, warn: Rc<dyn Fn(String)>, stop: Mailbox<()>) -> Self {
        Actor { listener, slots, shortage: Shortage::new(L::RANK), warn, stop, ending: None }
    }

    async fn run(self) {
        let warn = self.warn.clone();
        if let Err(panicked) = contain(self.accept_all()).await {
            warn(format!("stops accepting: {panicked}"));
        }
    }

    async fn accept_all(mut self) {
        while let Some(slot) = self.next_slot().await {
            match self.listener.try_accept(slot) {
                Ok(hand_on) => {
                    self.shortage.end();
                    hand_on.await;
                }
                Err(error) => match (classify(&error), self.ending) {
                    (AcceptError::Connection, Some(_)) if error.kind() == io::ErrorKind::WouldBlock => return,
                    (AcceptError::Connection, _) => self.shortage.leave(),
                    (AcceptError::Resources, Some(Ending::Soon)) | (AcceptError::Fatal, Some(_)) => return,
                    (AcceptError::Resources, _) => {
                        if self.shortage.note() && self.ending.is_none() {
                            let reason = reason(&error);
                            (self.warn)(format!(
                                "pauses accepting until there are descriptors again: {reason}"
                            ));
                        }
                    }
                    (AcceptError::Fatal, None) => {
                        return (self.warn)(format!("stops accepting: {}", reason(&error)));
                    }
                },
            }
        }
    }

    /// A slot for the next connection, once that and descriptors may be there; none if the actor ends before.
    async fn next_slot(&mut self) -> Option<Slot> {
        while self.ending != Some(Ending::Soon) {
            let Actor { listener, slots, shortage, stop, ending, .. } = self;
            let is_open = ending.is_none();
            let wait = async {
                if is_open {
                    listener.readable().await;
                }
                shortage.turn().await;
                if let Some(slot) = slots.take().now_or_never() {
                    return slot;
                }
                // What it lacks is not a descriptor.
                shortage.leave();
                slots.take().await
            };
            match select(pin!(wait), pin!(stop.next())).await {
                Either::Left((slot, _)) => return Some(slot),
                Either::Right((Some(()), _)) => *ending = Some(Ending::Served),
                Either::Right((None, _)) => *ending = Some(Ending::Soon),
            }
        }
        self.slots.take().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{clock::within, limit::WaitQueue, shard};
    use rustix::io::Errno;
    use std::{
        cell::RefCell,
        collections::VecDeque,
        future::{pending, ready},
        time::Duration,
    };

    /// What an attempt to accept comes to.
    #[derive(Clone, Copy)]
    enum Attempt {
        Connects(u8),
        Fails(Errno),
        Panics,
    }

    /// A listener whose attempts are known before, and what it accepted.
    struct Script(VecDeque<Attempt>, Rc<RefCell<Vec<(u8, Slot)>>>);

    impl Accepts for Script {
        const RANK: Rank = Rank::Accept;

        async fn readable(&self) {
            if self.0.is_empty() {
                pending::<()>().await;
            }
        }

        fn try_accept(&mut self, slot: Slot) -> io::Result<impl Future<Output = ()>> {
            match self.0.pop_front() {
                Some(Attempt::Connects(number)) => {
                    self.1.borrow_mut().push((number, slot));
                    Ok(ready(()))
                }
                Some(Attempt::Fails(errno)) => Err(errno.into()),
                Some(Attempt::Panics) => panic!("on purpose"),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }

    /// Accepts all of the script; returns what was handed on, what was told, and whether the acceptor ended by itself.
    fn run(script: &[Attempt], slots: usize) -> (Vec<u8>, Vec<String>, bool) {
        run_in(&Arc::default(), script, slots)
    }

    fn run_in(queue: &Arc<WaitQueue>, script: &[Attempt], slots: usize) -> (Vec<u8>, Vec<String>, bool) {
        let (taken, told) = <(Rc<RefCell<Vec<_>>>, Rc<RefCell<Vec<_>>>)>::default();
        let (_address, stop) = mailbox(1);
        let (listener, lines) = (Script(script.iter().copied().collect(), taken.clone()), told.clone());
        let warn = Rc::new(move |text| lines.borrow_mut().push(text));
        let mut actor = Actor::new(listener, Slots::new(slots), warn, stop);
        actor.shortage = Shortage::in_queue(queue.clone(), Rank::Accept);
        let end = shard::run(within(Some(Duration::from_secs(1)), actor.run())).unwrap();
        let taken = taken.take().into_iter().map(|(number, _)| number).collect();
        (taken, told.take(), end.is_some())
    }

    use Attempt::{Connects, Fails, Panics};

    #[test]
    fn what_ends_one_connection_does_not_end_a_listener() {
        let script = [Fails(Errno::CONNABORTED), Connects(1), Fails(Errno::PROTO), Connects(2)];
        assert_eq!(run(&script, 9), (vec![1, 2], vec![], false));
    }

    #[test]
    fn a_shortage_is_told_once_and_accepting_goes_on() {
        let script = [Fails(Errno::MFILE), Connects(1), Fails(Errno::NFILE), Connects(2)];
        let told = "pauses accepting until there are descriptors again: too many open files";
        assert_eq!(run(&script, 9), (vec![1, 2], vec![told.to_owned()], false));
    }

    #[test]
    fn a_listener_that_fails_or_panics_ends_alone_and_is_told() {
        for (fault, why) in
            [(Fails(Errno::INVAL), "invalid argument"), (Panics, "internal fault: on purpose")]
        {
            let told = format!("stops accepting: {why}");
            assert_eq!(run(&[Connects(1), fault, Connects(2)], 9), (vec![1], vec![told], true));
        }
    }

    #[test]
    fn while_a_dial_waits_for_a_descriptor_nothing_is_accepted() {
        let queue = Arc::<WaitQueue>::default();
        let dial = queue.join(Rank::Dial);
        assert_eq!(run_in(&queue, &[Connects(1)], 9), (vec![], vec![], false));
        drop(dial);
        assert_eq!(run_in(&queue, &[Connects(1)], 9), (vec![1], vec![], false));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn without_a_slot_a_connection_waits() {
        assert_eq!(run(&[Connects(1), Connects(2)], 1), (vec![1], vec![], false));
    }
}
