//! The acceptor actor: owns one listening socket and only accepts. Every listener of a server has one: those of sessions,
//! and those of operators and scrapers ([`crate::server::side_door`]).
//!
//! It ends when it is stopped, after taking what the kernel has already accepted for it. It also ends if its listener
//! fails: a line says so, and nothing but this listener ends.

use crate::{
    error::reason,
    net::{
        address::Address,
        listener::{AcceptError, Listener, classify},
        socket::Socket,
    },
    report::reporter::Reporter,
    runtime::{
        clock::sleep,
        limit::{Slot, Slots},
        mailbox::{self, Mailbox, mailbox},
        task::{Task, contain, spawn},
    },
    server::supervisor::Supervisor,
    session::target::Listening,
};
use futures::{
    FutureExt,
    future::{Either, Fuse, FusedFuture, select},
    pin_mut,
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Out of descriptors or memory, how long to wait before accepting again: short enough to serve within a second of
/// relief, long enough to cost nothing.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(250);
/// A shortage that comes and goes is reported at most this often.
const SHORTAGE_REPORTED_EVERY: Duration = Duration::from_secs(30);

pub struct Connection {
    pub socket: Socket,
    pub client: Address,
    pub listening: Arc<Listening>,
    /// Our address in it; not the listener's if that takes every interface.
    pub local: Address,
    pub slot: Slot,
}

/// A running acceptor. Dropping it closes the listener at once.
pub struct Acceptor {
    task: Fuse<Task<()>>,
    stop: Option<mailbox::Sender<()>>,
}

/// Where connections come from: a listener, or a fake of one.
pub(super) trait Accepts: Send + Sync + 'static {
    type Accepted: Send;

    /// What it is called in a line.
    fn name(&self) -> String;

    fn readable(&self) -> impl Future<Output = ()> + Send;

    fn try_accept(&self) -> io::Result<Self::Accepted>;
}

impl Accepts for Listener {
    type Accepted = (Socket, Address);

    fn name(&self) -> String {
        self.address().to_string()
    }

    fn readable(&self) -> impl Future<Output = ()> + Send {
        self.readable()
    }

    fn try_accept(&self) -> io::Result<(Socket, Address)> {
        self.try_accept()
    }
}

struct Actor<L, H, W> {
    listener: L,
    slots: Slots,
    /// Where an accepted connection goes, with its slot.
    hand_on: H,
    warn: W,
    shortage_told: Option<Instant>,
    stop: Mailbox<()>,
}

impl Acceptor {
    /// Accepts on `listener`; each connection takes a place of `slots` and goes to the supervisor.
    pub fn start(
        listener: Listener,
        listening: Arc<Listening>,
        slots: Slots,
        supervisor: Supervisor,
        reporter: Reporter,
    ) -> Self {
        let hand_on = move |listener: &Listener, (socket, client), slot| {
            let (listening, local) = (listening.clone(), listener.local_address_of(&socket));
            let supervisor = supervisor.clone();
            async move { supervisor.admit(Connection { socket, client, listening, local, slot }).await }
        };
        Self::over(listener, slots, hand_on, move |text| reporter.warn(text))
    }

    /// As [`Acceptor::start`], for any connections.
    pub(super) fn over<L: Accepts, F: Future<Output = ()> + Send + 'static>(
        listener: L,
        slots: Slots,
        hand_on: impl FnMut(&L, L::Accepted, Slot) -> F + Send + 'static,
        warn: impl Fn(String) + Clone + Send + 'static,
    ) -> Self {
        let (address, stop) = mailbox(1);
        let actor = Actor { listener, slots, hand_on, warn, shortage_told: None, stop };
        Acceptor { task: spawn(actor.run()).fuse(), stop: Some(address) }
    }

    /// Waits for the end. Without [`Acceptor::stop`] it comes only if the listener failed. Cancel-safe.
    pub async fn ended(&mut self) {
        if !self.task.is_terminated() {
            let _ = (&mut self.task).await;
        }
    }

    /// Takes the connections that are already there, then closes the listener.
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
        let (name, warn) = (self.listener.name(), self.warn.clone());
        if let Err(panicked) = contain(self.accept_all()).await {
            warn(format!("{name} stops accepting: {panicked}"));
        }
    }

    async fn accept_all(mut self) {
        while let Some(slot) = self.next_slot().await {
            match self.listener.try_accept() {
                Ok(accepted) => (self.hand_on)(&self.listener, accepted, slot).await,
                Err(error) => match classify(&error) {
                    AcceptError::Connection => {}
                    AcceptError::Resources => {
                        drop(slot);
                        self.pause(&error).await;
                    }
                    AcceptError::Fatal => {
                        let name = self.listener.name();
                        return (self.warn)(format!("{name} stops accepting: {}", reason(&error)));
                    }
                },
            }
        }
        while let Some(slot) = self.slots.take().now_or_never() {
            match self.listener.try_accept() {
                Ok(accepted) => (self.hand_on)(&self.listener, accepted, slot).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if classify(&error) == AcceptError::Connection => {}
                Err(_) => return,
            }
        }
    }

    /// A place for the next connection, once one is there; none when the actor is stopped.
    async fn next_slot(&mut self) -> Option<Slot> {
        let Actor { listener, slots, stop, .. } = self;
        let wait = async {
            listener.readable().await;
            slots.take().await
        };
        let stopped = stop.next();
        pin_mut!(wait, stopped);
        match select(wait, stopped).await {
            Either::Left((slot, _)) => Some(slot),
            Either::Right(_) => None,
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        if self.shortage_told.is_none_or(|last| last.elapsed() >= SHORTAGE_REPORTED_EVERY) {
            self.shortage_told = Some(Instant::now());
            let (name, reason) = (self.listener.name(), reason(error));
            (self.warn)(format!("{name} pauses accepting until there are descriptors again: {reason}"));
        }
        sleep(SHORTAGE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{clock::within, inline};
    use rustix::io::Errno;
    use std::{cell::RefCell, collections::VecDeque, future::pending, sync::Mutex};

    /// What an attempt to accept comes to.
    #[derive(Clone, Copy)]
    enum Attempt {
        Connects(u8),
        Fails(Errno),
        Panics,
    }

    /// A listener whose attempts are known before.
    struct Script(Mutex<VecDeque<Attempt>>);

    impl Accepts for Script {
        type Accepted = u8;

        fn name(&self) -> String {
            "script".to_owned()
        }

        async fn readable(&self) {
            if self.0.lock().unwrap().is_empty() {
                pending::<()>().await;
            }
        }

        fn try_accept(&self) -> io::Result<u8> {
            let attempt = self.0.lock().unwrap().pop_front();
            match attempt {
                Some(Attempt::Connects(number)) => Ok(number),
                Some(Attempt::Fails(errno)) => Err(errno.into()),
                Some(Attempt::Panics) => panic!("on purpose"),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }

    /// Accepts all of the script; returns what was handed on, what was told, and whether the acceptor ended by itself.
    fn run(script: &[Attempt], places: usize) -> (Vec<u8>, Vec<String>, bool) {
        let (taken, told) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let (_address, stop) = mailbox(1);
        let actor = Actor {
            listener: Script(Mutex::new(script.iter().copied().collect())),
            slots: Slots::new(places),
            hand_on: |_: &Script, number, slot| {
                taken.borrow_mut().push((number, slot));
                std::future::ready(())
            },
            warn: |text| told.borrow_mut().push(text),
            shortage_told: None,
            stop,
        };
        let end = inline::run(within(Some(4 * SHORTAGE_PAUSE), actor.run())).unwrap();
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
    fn without_a_place_a_connection_waits() {
        assert_eq!(run(&[Connects(1), Connects(2)], 1), (vec![1], vec![], false));
    }
}
