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
        limits,
        listener::{AcceptError, ListenSocket, Listener, classify},
        pipe,
    },
    report::reporter::Reporter,
    runtime::{
        clock::sleep,
        limit::{Rank, Slot, Slots, WaitPlace, WaitQueue, descriptors},
        mailbox::{self, Mailbox, mailbox},
        task::{Task, contain, spawn},
    },
    server::supervisors::Admission,
    session::target::{CurrentListening, Listening},
};
use futures::{
    FutureExt,
    future::{Either, Fuse, FusedFuture, select},
    pin_mut,
};
use std::{
    io,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// A shortage that comes and goes is reported at most this often.
const SHORTAGE_REPORTED_EVERY: Duration = Duration::from_secs(30);

/// How long an acceptor that is to end waits for descriptors before it tries again.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(250);

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

/// Where connections come from: a listener, or a fake of one.
pub(super) trait Accepts: 'static {
    type Accepted;

    /// What its next connection waits for if there is no descriptor.
    const RANK: Rank;

    fn readable(&self) -> impl Future<Output = ()>;

    /// Takes one connection, with all the descriptors that it needs.
    fn try_accept(&mut self) -> io::Result<Self::Accepted>;
}

/// A listener of sessions. If they dial, it first makes the socket of the far leg and then accepts: a session that begins has
/// both of its descriptors. That costs no call, for the dial has one less to make.
struct SessionListener {
    listener: Listener,
    current: Arc<CurrentListening>,
    /// For the next session.
    reserved: Option<Reserved>,
}

impl Accepts for SessionListener {
    type Accepted = (OwnedFd, Address, Option<Reserved>, Arc<Listening>);
    const RANK: Rank = Rank::Accept;

    async fn readable(&self) {
        self.current.get().faults.entrance.opened().await;
        self.listener.readable().await;
        if let Some(rate) = &self.current.get().accept_rate {
            rate.take().await;
        }
    }

    fn try_accept(&mut self) -> io::Result<Self::Accepted> {
        let SessionListener { listener, current, reserved } = self;
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
        Ok((accepted, client, reserved.take(), listening))
    }
}

struct Actor<L, H, W> {
    /// The listener's, in a line.
    name: String,
    listener: L,
    slots: Slots,
    /// Where an accepted connection goes, with its slot.
    hand_on: H,
    warn: W,
    shortage_told: Option<Instant>,
    /// Where it waits for descriptors, and its place there while it does.
    queue: Arc<WaitQueue>,
    place: Option<WaitPlace>,
    /// A word asks for an end after the kernel's queue is served; its end, for one at once.
    stop: Mailbox<()>,
    is_patient: bool,
}

impl Acceptor {
    /// Accepts on `socket`; each connection takes one of the `slots` and goes to a supervisor.
    /// Fails if this thread's shard cannot wait for the socket.
    pub fn start(
        socket: ListenSocket,
        current: Arc<CurrentListening>,
        slots: Slots,
        mut admission: Admission,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let reserved = current.get().target.reserve().ok().flatten();
        let hand_on = move |from: &SessionListener, (accepted, client, reserved, listening), slot| {
            let local = from.listener.local_address_of(&accepted);
            admission.admit(Connection { accepted, reserved, client, listening, local, slot })
        };
        let name = socket.address().to_string();
        let listener = SessionListener { listener: Listener::open(socket)?, current, reserved };
        Ok(Self::over(name, listener, slots, hand_on, move |text| reporter.warn(text)))
    }

    /// As [`Acceptor::start`], for any connections.
    pub(super) fn over<L: Accepts, F: Future<Output = ()> + 'static>(
        name: String,
        listener: L,
        slots: Slots,
        hand_on: impl FnMut(&L, L::Accepted, Slot) -> F + 'static,
        warn: impl Fn(String) + Clone + 'static,
    ) -> Self {
        let (address, stop) = mailbox(1);
        let (queue, place) = (descriptors(), None);
        let (shortage_told, is_patient) = (None, false);
        let actor =
            Actor { name, listener, slots, hand_on, warn, shortage_told, queue, place, stop, is_patient };
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

impl<L: Accepts, H, F, W: Fn(String) + Clone> Actor<L, H, W>
where
    H: FnMut(&L, L::Accepted, Slot) -> F,
    F: Future<Output = ()>,
{
    async fn run(self) {
        let (name, warn) = (self.name.clone(), self.warn.clone());
        if let Err(panicked) = contain(self.accept_all()).await {
            warn(format!("{name} stops accepting: {panicked}"));
        }
    }

    async fn accept_all(mut self) {
        while let Some(slot) = self.next_slot().await {
            match self.listener.try_accept() {
                Ok(accepted) => {
                    if self.place.take().is_some() {
                        limits::read_again();
                    }
                    (self.hand_on)(&self.listener, accepted, slot).await;
                }
                Err(error) => match classify(&error) {
                    AcceptError::Connection => self.place = None,
                    AcceptError::Resources => {
                        // First: a slot that is given back counts as something freed, for which the next try would not wait.
                        drop(slot);
                        self.note_shortage(&error);
                    }
                    AcceptError::Fatal => {
                        return (self.warn)(format!("{} stops accepting: {}", self.name, reason(&error)));
                    }
                },
            }
        }
        while let Some(slot) = self.last_slot().await {
            match self.listener.try_accept() {
                Ok(accepted) => (self.hand_on)(&self.listener, accepted, slot).await,
                Err(error) => match classify(&error) {
                    _ if error.kind() == io::ErrorKind::WouldBlock => return,
                    AcceptError::Connection => {}
                    AcceptError::Resources if self.is_patient => {
                        drop(slot);
                        sleep(SHORTAGE_PAUSE).await;
                    }
                    AcceptError::Resources | AcceptError::Fatal => return,
                },
            }
        }
    }

    /// A slot for a connection that the kernel holds when the actor is to end; an end at once does not wait for one.
    async fn last_slot(&mut self) -> Option<Slot> {
        if self.is_patient {
            let (slots, stopped) = (self.slots.take(), self.stop.next());
            pin_mut!(slots, stopped);
            if let Either::Left((slot, _)) = select(slots, stopped).await {
                return Some(slot);
            }
            self.is_patient = false;
        }
        self.slots.take().now_or_never()
    }

    /// A slot for the next connection, once that and descriptors may be there; none when the actor is stopped.
    async fn next_slot(&mut self) -> Option<Slot> {
        let Actor { listener, slots, queue, place, stop, is_patient, .. } = self;
        let wait = async {
            listener.readable().await;
            // Dials of sessions that have begun come first.
            if place.is_none() && queue.waiting() > 0 {
                *place = Some(queue.join(L::RANK));
            }
            if let Some(place) = place {
                place.turn().await;
            }
            if let Some(slot) = slots.take().now_or_never() {
                return slot;
            }
            // What it lacks is not a descriptor.
            *place = None;
            slots.take().await
        };
        let stopped = stop.next();
        pin_mut!(wait, stopped);
        match select(wait, stopped).await {
            Either::Left((slot, _)) => Some(slot),
            Either::Right((word, _)) => {
                *is_patient = word.is_some();
                None
            }
        }
    }

    /// The next try is at its turn in the queue.
    fn note_shortage(&mut self, error: &io::Error) {
        pipe::give_back();
        limits::read_again();
        let queue = &self.queue;
        self.place.get_or_insert_with(|| queue.join(L::RANK)).failed();
        if self.shortage_told.is_none_or(|last| last.elapsed() >= SHORTAGE_REPORTED_EVERY) {
            self.shortage_told = Some(Instant::now());
            let (name, reason) = (&self.name, reason(error));
            (self.warn)(format!("{name} pauses accepting until there are descriptors again: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{clock::within, shard};
    use rustix::io::Errno;
    use std::{cell::RefCell, collections::VecDeque, future::pending};

    /// What an attempt to accept comes to.
    #[derive(Clone, Copy)]
    enum Attempt {
        Connects(u8),
        Fails(Errno),
        Panics,
    }

    /// A listener whose attempts are known before.
    struct Script(VecDeque<Attempt>);

    impl Accepts for Script {
        type Accepted = u8;
        const RANK: Rank = Rank::Accept;

        async fn readable(&self) {
            if self.0.is_empty() {
                pending::<()>().await;
            }
        }

        fn try_accept(&mut self) -> io::Result<u8> {
            match self.0.pop_front() {
                Some(Attempt::Connects(number)) => Ok(number),
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
        let (taken, told) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let (_address, stop) = mailbox(1);
        let actor = Actor {
            name: "script".to_owned(),
            listener: Script(script.iter().copied().collect()),
            slots: Slots::new(slots),
            hand_on: |_: &Script, number, slot| {
                taken.borrow_mut().push((number, slot));
                std::future::ready(())
            },
            warn: |text| told.borrow_mut().push(text),
            shortage_told: None,
            queue: queue.clone(),
            place: None,
            stop,
            is_patient: false,
        };
        let end = shard::run(within(Some(Duration::from_secs(1)), actor.run())).unwrap();
        let taken = taken.into_inner().into_iter().map(|(number, _)| number).collect();
        (taken, told.into_inner(), end.is_some())
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
        let told = "script pauses accepting until there are descriptors again: too many open files";
        assert_eq!(run(&script, 9), (vec![1, 2], vec![told.to_owned()], false));
    }

    #[test]
    fn a_listener_that_fails_or_panics_ends_alone_and_is_told() {
        for (fault, why) in
            [(Fails(Errno::INVAL), "invalid argument"), (Panics, "internal fault: on purpose")]
        {
            let told = format!("script stops accepting: {why}");
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
