//! A bounded queue between two tasks of one shard. They wake each other by two cells: no message takes an allocation or a lock
//! for a waiter. What both have to know beside the messages (`X`) stands between them.

use crate::runtime::{
    mailbox::{MessageQueue, Refused, Sender, queue},
    waker::WakerCell,
};
use std::{
    cell::Cell,
    ops::Deref,
    rc::Rc,
    task::{Context, Poll},
};

pub struct LocalSender<T, X> {
    queue: Sender<T>,
    between: Rc<Between<X>>,
}

pub struct LocalReceiver<T, X> {
    queue: MessageQueue<T>,
    between: Rc<Between<X>>,
}

/// What both ends know. It derefs to what their owner put there.
#[derive(Default)]
pub struct Between<X> {
    sender: WakerCell,
    sender_gone: Cell<bool>,
    /// The sender waits for room.
    lacks_room: Cell<bool>,
    receiver: WakerCell,
    receiver_gone: Cell<bool>,
    /// The receiver waits for a message.
    is_idle: Cell<bool>,
    more: X,
}

/// A queue for `capacity` messages.
pub fn local<T, X: Default>(capacity: usize) -> (LocalSender<T, X>, LocalReceiver<T, X>) {
    let (sender, receiver) = queue(capacity);
    let between = Rc::<Between<X>>::default();
    (LocalSender { queue: sender, between: between.clone() }, LocalReceiver { queue: receiver, between })
}

impl<T, X> LocalSender<T, X> {
    /// Sends without waiting; what has no room comes back. What has no receiver is dropped.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        self.is_idle.set(false);
        match self.queue.try_send(message) {
            Err(Refused::Full(message)) => return Err(message),
            Err(Refused::Closed(_)) => {}
            Ok(()) => self.receiver.wake(),
        }
        Ok(())
    }

    /// Sends the message that `waits`, if one does, once there is room for it.
    pub fn poll_send(&self, waits: &mut Option<Box<T>>, context: &Context<'_>) -> Poll<()> {
        let Some(message) = waits.take() else { return Poll::Ready(()) };
        let Err(message) = self.try_send(*message) else { return Poll::Ready(()) };
        *waits = Some(Box::new(message));
        self.lacks_room.set(true);
        self.sender.register(context);
        Poll::Pending
    }

    /// Ready when the receiver is gone.
    pub fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        self.sender.register(context);
        if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub fn is_closed(&self) -> bool {
        self.receiver_gone.get()
    }
}

impl<T, X> LocalReceiver<T, X> {
    /// The next message; none when the sender is gone and all was taken.
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<T>> {
        let next = self.queue.try_next();
        self.is_idle.set(next.is_none());
        if next.is_none() && !self.sender_gone.get() {
            self.receiver.register(context);
            return Poll::Pending;
        }
        if self.lacks_room.replace(false) {
            self.sender.wake();
        }
        Poll::Ready(next)
    }

    pub fn between(&self) -> Rc<Between<X>> {
        self.between.clone()
    }
}

impl<X> Between<X> {
    /// Whether the receiver waits, with nothing queued.
    pub fn is_idle(&self) -> bool {
        self.is_idle.get()
    }

    pub fn wake_sender(&self) {
        self.sender.wake();
    }

    /// Has the receiver look again, though no message comes.
    pub fn wake_receiver(&self) {
        self.is_idle.set(false);
        self.receiver.wake();
    }
}

impl<X> Deref for Between<X> {
    type Target = X;

    fn deref(&self) -> &X {
        &self.more
    }
}

impl<T, X> Deref for LocalSender<T, X> {
    type Target = Between<X>;

    fn deref(&self) -> &Between<X> {
        &self.between
    }
}

impl<T, X> Deref for LocalReceiver<T, X> {
    type Target = Between<X>;

    fn deref(&self) -> &Between<X> {
        &self.between
    }
}

impl<T, X> Drop for LocalSender<T, X> {
    fn drop(&mut self) {
        self.sender_gone.set(true);
        self.receiver.wake();
    }
}

impl<T, X> Drop for LocalReceiver<T, X> {
    fn drop(&mut self) {
        self.receiver_gone.set(true);
        while self.queue.try_next().is_some() {}
        self.sender.wake();
    }
}
