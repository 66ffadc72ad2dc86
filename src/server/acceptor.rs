//! The acceptor actor: owns one listening socket and only accepts. It never dials, resolves, logs or waits for a peer.
//!
//! It ends when its [`Acceptor`] is stopped, after taking what the kernel has already accepted for it.

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
        task::{self, Panicked, Task},
    },
    server::supervisor::Supervisor,
    session::target::Listening,
};
use futures::{
    FutureExt,
    future::{Either, select},
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
/// A shortage that comes and goes is told at most this often.
const SHORTAGE_REPORTED_EVERY: Duration = Duration::from_secs(30);

/// A connection that was accepted.
pub struct Connection {
    /// The client's socket.
    pub socket: Socket,
    /// The client's address.
    pub client: Address,
    /// The listener that it came to.
    pub listening: Arc<Listening>,
    /// Our address in it, which is another where the listener takes every interface.
    pub local: Address,
    /// Its place among the sessions.
    pub slot: Slot,
}

/// A running acceptor. Dropping it closes the listener at once.
pub struct Acceptor {
    task: Task<()>,
    stop: mailbox::Address<()>,
}

struct Actor {
    listener: Listener,
    listening: Arc<Listening>,
    slots: Slots,
    supervisor: Supervisor,
    reporter: Reporter,
    shortage_reported: Option<Instant>,
    stop: Mailbox<()>,
}

impl Acceptor {
    /// Starts accepting on `listener`; each connection takes a place of `slots` and goes to the supervisor.
    pub fn start(
        listener: Listener,
        listening: Arc<Listening>,
        slots: Slots,
        supervisor: Supervisor,
        reporter: Reporter,
    ) -> Self {
        let (address, stop) = mailbox(1);
        let actor = Actor { listener, listening, slots, supervisor, reporter, shortage_reported: None, stop };
        Acceptor { task: task::spawn(actor.run()), stop: address }
    }

    /// Ends by itself only where the listener failed.
    ///
    /// # Errors
    /// Where the actor panicked.
    pub async fn failed(&mut self) -> Result<(), Panicked> {
        (&mut self.task).await
    }

    /// Takes the connections that are already there, then closes the listener.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

impl Actor {
    async fn run(mut self) {
        while let Some(slot) = self.next_slot().await {
            if !self.accept(slot).await {
                return;
            }
        }
        while let Some(slot) = self.slots.take().now_or_never() {
            match self.listener.try_accept() {
                Ok((socket, client)) => self.admit(socket, client, slot).await,
                Err(error) if classify(&error) == AcceptError::Connection && !would_block(&error) => {}
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

    /// Takes one connection, where one is there; false where the listener failed.
    async fn accept(&mut self, slot: Slot) -> bool {
        match self.listener.try_accept() {
            Ok((socket, client)) => self.admit(socket, client, slot).await,
            Err(error) => match classify(&error) {
                AcceptError::Connection => {}
                AcceptError::Resources => self.pause(&error).await,
                AcceptError::Fatal => {
                    self.reporter.warn(format!(
                        "{} stops accepting: {}",
                        self.listener.address(),
                        reason(&error)
                    ));
                    return false;
                }
            },
        }
        true
    }

    async fn admit(&self, socket: Socket, client: Address, slot: Slot) {
        let (listening, local) = (self.listening.clone(), self.listener.local_address_of(&socket));
        self.supervisor.admit(Connection { socket, client, listening, local, slot }).await;
    }

    async fn pause(&mut self, error: &io::Error) {
        if self.shortage_reported.is_none_or(|last| last.elapsed() >= SHORTAGE_REPORTED_EVERY) {
            self.shortage_reported = Some(Instant::now());
            let address = self.listener.address();
            self.reporter.warn(format!(
                "{address} pauses accepting until there are descriptors again: {}",
                reason(error)
            ));
        }
        sleep(SHORTAGE_PAUSE).await;
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
