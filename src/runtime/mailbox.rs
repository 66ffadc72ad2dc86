//! Bounded mailboxes: the one file that names flume, and that fences its traps.
//!
//! - One consumer: a [`Mailbox`] cannot be cloned (a second taker on a flume channel can lose wake-ups).
//! - A send that waits takes the message by value and is awaited to its end by its owner; it must not be an
//!   arm of a select, because flume's `send_async` may lose the message when it is dropped.
//! - A dropped mailbox drops what it still holds at once, not when the last address goes.

use futures::{FutureExt, Stream, executor::block_on};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Cheap to clone.
pub struct Sender<T> {
    sender: flume::Sender<T>,
}

/// It has one owner.
pub struct Mailbox<T: 'static> {
    // The stream keeps one registered waiter over many polls; a new receive future a poll would allocate each time.
    stream: flume::r#async::RecvStream<'static, T>,
}

/// A bounded queue whose owner waits for messages by means of its own: no message takes a lock for a waiter.
pub struct MessageQueue<T> {
    receiver: flume::Receiver<T>,
}

/// The mailbox is gone; the message comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why a message was not taken at once; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    Full(T),
    Closed(T),
}

/// A mailbox for `capacity` messages (at least 1: flume's 0 is not a rendezvous for async senders).
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Mailbox<T>) {
    let (sender, receiver) = flume::bounded(capacity.max(1));
    (Sender { sender }, Mailbox { stream: receiver.into_stream() })
}

/// A queue for `capacity` messages, of which only [`Sender::try_send`] may be used.
pub fn queue<T>(capacity: usize) -> (Sender<T>, MessageQueue<T>) {
    let (sender, receiver) = flume::bounded(capacity.max(1));
    (Sender { sender }, MessageQueue { receiver })
}

impl<T> MessageQueue<T> {
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    pub fn try_next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Sender<T> {
    pub fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        self.sender.try_send(message).map_err(|error| match error {
            flume::TrySendError::Full(message) => Refused::Full(message),
            flume::TrySendError::Disconnected(message) => Refused::Closed(message),
        })
    }

    /// Waits for room, then delivers. Not cancel-safe: a dropped send may lose the message.
    pub async fn send(&self, message: T) -> Result<(), Closed<T>> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(message)) => Err(Closed(message)),
            Err(Refused::Full(message)) => {
                self.sender.send_async(message).await.map_err(|error| Closed(error.into_inner()))
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { sender: self.sender.clone() }
    }
}

impl<T> Mailbox<T> {
    /// The next message; none when every address is gone and all was taken. Cancel-safe.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.stream).poll_next(context)
    }

    pub fn try_next(&mut self) -> Option<T> {
        self.next().now_or_never().flatten()
    }

    /// For an actor that is a thread.
    pub fn next_blocking(&mut self) -> Option<T> {
        block_on(self.next())
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        while self.try_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn messages_arrive_in_order_and_the_end_is_seen() {
        let (address, mut mailbox) = mailbox(2);
        address.try_send(1).unwrap();
        address.try_send(2).unwrap();
        assert_eq!(address.try_send(3), Err(Refused::Full(3)));
        drop(address);
        assert_eq!(block_on(mailbox.next()), Some(1));
        assert_eq!(block_on(mailbox.next()), Some(2));
        assert_eq!(block_on(mailbox.next()), None);
    }

    #[test]
    fn a_waiting_send_is_delivered_when_there_is_room() {
        let (address, mut mailbox) = mailbox(1);
        address.try_send(1).unwrap();
        let mut send = Box::pin(address.send(2));
        assert!(send.as_mut().now_or_never().is_none());
        assert_eq!(mailbox.try_next(), Some(1));
        assert_eq!(block_on(send), Ok(()));
        assert_eq!(block_on(mailbox.next()), Some(2));
    }

    #[test]
    fn a_dropped_mailbox_drops_its_messages_and_refuses_more() {
        let (address, mailbox) = mailbox(4);
        let message = Arc::new(());
        address.try_send(message.clone()).unwrap();
        drop(mailbox);
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(matches!(address.try_send(message), Err(Refused::Closed(_))));
    }

    #[test]
    fn a_mailbox_that_goes_ends_a_waiting_send() {
        let (address, mailbox) = mailbox(1);
        address.try_send(1).unwrap();
        let mut send = Box::pin(address.send(2));
        assert!(send.as_mut().now_or_never().is_none());
        drop(mailbox);
        // Whether it was taken and dropped, or came back, it does not wait any more.
        let _ = block_on(send);
        assert_eq!(address.try_send(3), Err(Refused::Closed(3)));
    }
}
