//! A bounded queue between two tasks of one shard. They wake each other by two cells: no message takes an allocation or a lock
//! for a waiter. What both have to know beside the messages (`X`) stands between them.
//!
//! The queue itself is there from the first message until the receiver waits for another: between two that are silent there
//! is none. The shard keeps some for the next two that speak. That there is nothing more to come takes no place in it.

use crate::runtime::{
    mailbox::{MessageQueue, Refused, Sender, queue as queue_of},
    shard::own,
    waker::WakerCell,
};
use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    task::{Context, Poll},
};

/// Empty queues that a shard keeps: making one takes three allocations, and a short connection uses three.
const SPARE_QUEUES: usize = 16;

pub struct LocalSender<T: 'static, X, const N: usize> {
    between: Rc<Between<T, X, N>>,
}

pub struct LocalReceiver<T: 'static, X, const N: usize> {
    between: Rc<Between<T, X, N>>,
}

/// What both ends know. It derefs to what their owner put there.
pub struct Between<T: 'static, X, const N: usize> {
    queue: Cell<Option<Queue<T>>>,
    sender: WakerCell,
    sender_gone: Cell<bool>,
    /// The sender said that this was all, and the receiver was not told yet.
    is_all: Cell<bool>,
    /// The sender waits for room.
    lacks_room: Cell<bool>,
    receiver: WakerCell,
    receiver_gone: Cell<bool>,
    /// The receiver waits for a message.
    is_idle: Cell<bool>,
    more: X,
}

type Queue<T> = (Sender<T>, MessageQueue<T>);

/// Empty queues for `N` messages.
struct SpareQueues<T, const N: usize>(RefCell<Vec<Queue<T>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverGone;

/// What a receiver gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    Message(T),
    /// The sender said that this was all.
    All,
    /// The sender is gone.
    Gone,
}

/// A queue for `N` messages.
pub fn local<T, X: Default, const N: usize>() -> (LocalSender<T, X, N>, LocalReceiver<T, X, N>) {
    let between = Rc::new(Between {
        queue: Cell::default(),
        sender: WakerCell::default(),
        sender_gone: Cell::default(),
        is_all: Cell::default(),
        lacks_room: Cell::default(),
        receiver: WakerCell::default(),
        receiver_gone: Cell::default(),
        is_idle: Cell::default(),
        more: X::default(),
    });
    (LocalSender { between: between.clone() }, LocalReceiver { between })
}

impl<T, const N: usize> Default for SpareQueues<T, N> {
    fn default() -> Self {
        SpareQueues(RefCell::default())
    }
}

impl<T, const N: usize> SpareQueues<T, N> {
    fn take(&self) -> Queue<T> {
        let spare = self.0.borrow_mut().pop();
        spare.unwrap_or_else(|| queue_of(N))
    }

    fn give(&self, queue: Queue<T>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < SPARE_QUEUES {
            spare.push(queue);
        }
    }
}

impl<T, X, const N: usize> LocalSender<T, X, N> {
    /// Sends without waiting; what has no room comes back. What has no receiver is dropped.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        self.is_idle.set(false);
        if self.is_closed() {
            return Ok(());
        }
        let queue = self.between.queue.take().unwrap_or_else(|| own::<SpareQueues<T, N>>().take());
        let sent = queue.0.try_send(message);
        self.between.queue.set(Some(queue));
        match sent {
            Err(Refused::Full(message) | Refused::Closed(message)) => return Err(message),
            Ok(()) => self.receiver.wake(),
        }
        Ok(())
    }

    /// Says that this was all, once what was sent is taken. It takes no waiting.
    pub fn end(&self) {
        self.is_all.set(true);
        self.between.wake_receiver();
    }

    /// Sends the message that `waits`, if one does, once there is room for it; fails if the receiver is gone.
    pub fn poll_send(
        &self,
        waits: &mut Option<Box<T>>,
        context: &Context<'_>,
    ) -> Poll<Result<(), ReceiverGone>> {
        let refused = waits.take().and_then(|message| self.try_send(*message).err());
        let Some(message) = refused else {
            return Poll::Ready(if self.is_closed() { Err(ReceiverGone) } else { Ok(()) });
        };
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

impl<T, X, const N: usize> LocalReceiver<T, X, N> {
    /// The next message; when all were taken, how they ended.
    pub fn poll_next(&self, context: &Context<'_>) -> Poll<Next<T>> {
        let next = self.try_next();
        self.is_idle.set(next.is_none());
        if let Some(message) = next {
            if self.lacks_room.replace(false) {
                self.sender.wake();
            }
            return Poll::Ready(Next::Message(message));
        }
        if self.is_all.replace(false) {
            return Poll::Ready(Next::All);
        }
        if self.sender_gone.get() {
            return Poll::Ready(Next::Gone);
        }
        self.between.give_queue_back();
        self.receiver.register(context);
        Poll::Pending
    }

    /// Has [`Between::wake_receiver`] wake this task, though it asks for no message.
    pub fn listen(&self, context: &Context<'_>) {
        self.receiver.register(context);
    }

    fn try_next(&self) -> Option<T> {
        let mut queue = self.between.queue.take()?;
        let next = queue.1.try_next();
        self.between.queue.set(Some(queue));
        next
    }

    pub fn between(&self) -> Rc<Between<T, X, N>> {
        self.between.clone()
    }
}

impl<T, X, const N: usize> Between<T, X, N> {
    /// There is no queue any more, nor what was in it.
    fn give_queue_back(&self) {
        if let Some(queue) = self.queue.take().filter(|(_, queue)| queue.is_empty()) {
            own::<SpareQueues<T, N>>().give(queue);
        }
    }

    /// Whether a message is there.
    pub fn has_message(&self) -> bool {
        let queue = self.queue.take();
        let has = queue.as_ref().is_some_and(|(_, queue)| !queue.is_empty());
        self.queue.set(queue);
        has
    }

    /// Whether the receiver waits, with nothing queued.
    pub fn is_idle(&self) -> bool {
        self.is_idle.get()
    }

    pub fn wake_sender(&self) {
        self.sender.wake();
    }

    /// Has the receiver's task polled, which goes on waiting for a message.
    pub fn rouse_receiver(&self) {
        self.receiver.wake();
    }

    /// Has the receiver look again, though no message comes.
    pub fn wake_receiver(&self) {
        self.is_idle.set(false);
        self.rouse_receiver();
    }
}

impl<T, X, const N: usize> Deref for Between<T, X, N> {
    type Target = X;

    fn deref(&self) -> &X {
        &self.more
    }
}

impl<T, X, const N: usize> Deref for LocalSender<T, X, N> {
    type Target = Between<T, X, N>;

    fn deref(&self) -> &Between<T, X, N> {
        &self.between
    }
}

impl<T, X, const N: usize> Deref for LocalReceiver<T, X, N> {
    type Target = Between<T, X, N>;

    fn deref(&self) -> &Between<T, X, N> {
        &self.between
    }
}

impl<T, X, const N: usize> Drop for LocalSender<T, X, N> {
    fn drop(&mut self) {
        self.sender_gone.set(true);
        self.receiver.wake();
    }
}

impl<T, X, const N: usize> Drop for LocalReceiver<T, X, N> {
    fn drop(&mut self) {
        self.receiver_gone.set(true);
        self.between.give_queue_back();
        self.sender.wake();
    }
}
