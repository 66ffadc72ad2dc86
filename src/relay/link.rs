//! What is between two half-loops of a shard, in one direction: a bounded queue of chunks, and how the stream ended.
//!
//! If the sender goes without [`LinkSender::finish`], the link is aborted. If the receiver goes, the sender knows at once.
//! While the receiver waits for a chunk, the sender may write it itself, to where the receiver would ([`LinkSender::deliver`]).

use crate::{
    relay::{chunk::Chunk, direction::Direction, leg::Leg},
    runtime::{
        mailbox::{MessageQueue, Refused, Sender, queue},
        waker::WakerCell,
    },
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Chunks that may wait in a link. With the one being read and the one being written that is three chunks a direction:
/// 192 KiB as pipes, 48 KiB as buffers.
pub const LINK_CHUNKS: usize = 1;

pub enum Parcel {
    Data(Chunk),
    /// The end of the stream; everything came before it.
    Fin,
}

pub struct LinkSender {
    queue: Sender<Parcel>,
    between: Rc<Between>,
}

pub struct LinkReceiver {
    queue: MessageQueue<Parcel>,
    between: Rc<Between>,
}

/// Lets the sender's half-loop look at its gate again; it may belong to another actor.
pub struct Nudge(Rc<Between>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverGone;

/// What each half-loop knows of the other.
#[derive(Default)]
struct Between {
    sender: WakerCell,
    sender_gone: Cell<bool>,
    /// The sender waits for room.
    lacks_room: Cell<bool>,
    receiver: WakerCell,
    receiver_gone: Cell<bool>,
    /// The receiver waits, and all that came before is written.
    is_idle: Cell<bool>,
    /// Where the receiver writes.
    sink: RefCell<Option<Rc<Leg>>>,
    /// Why the sender could not write there.
    fault: Cell<Option<Box<io::Error>>>,
}

pub fn link() -> (LinkSender, LinkReceiver) {
    let (sender, receiver) = queue(LINK_CHUNKS);
    let between = Rc::new(Between::default());
    (LinkSender { queue: sender, between: between.clone() }, LinkReceiver { queue: receiver, between })
}

impl LinkSender {
    /// Writes what can be written of `chunk` in the receiver's place, if the receiver waits for it and nothing acts on the
    /// stream; says whether that was all. The rest is to be sent.
    pub fn deliver(&self, chunk: &mut Chunk, direction: &Direction) -> bool {
        let Between { is_idle, sink, fault, receiver, .. } = &*self.between;
        if !is_idle.get() || !direction.gate.is_open() {
            return false;
        }
        let Some(sink) = &*sink.borrow() else { return false };
        match sink.try_write(chunk) {
            Ok(count) => {
                direction.add_delivered(count);
                chunk.is_empty()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                // The end of the writing is the receiver's, as if it had written itself.
                is_idle.set(false);
                fault.set(Some(Box::new(error)));
                receiver.wake();
                true
            }
        }
    }

    /// Waits for room, then sends a chunk, which is lost if the receiver is gone. Not cancel-safe.
    pub fn send(&self, chunk: Chunk) -> impl Future<Output = Result<(), ReceiverGone>> {
        // Only a chunk that has to wait is held, and in a box: the half-loop would keep its place all the time.
        let mut waits = self.try_send(Parcel::Data(chunk)).err().map(Box::new);
        poll_fn(move |context| {
            let sent = ready!(self.poll_send(&mut waits, context));
            Poll::Ready(sent.and_then(|()| self.receiver_is_there()))
        })
    }

    /// Ends the stream after all that was sent.
    pub fn finish(&self) -> impl Future<Output = Result<(), ReceiverGone>> {
        let mut waits = Some(Box::new(Parcel::Fin));
        poll_fn(move |context| self.poll_send(&mut waits, context))
    }

    /// Sends what `waits`, if anything does.
    pub fn poll_send(
        &self,
        waits: &mut Option<Box<Parcel>>,
        context: &Context<'_>,
    ) -> Poll<Result<(), ReceiverGone>> {
        let Some(parcel) = waits.take() else { return Poll::Ready(Ok(())) };
        let Err(parcel) = self.try_send(*parcel) else { return Poll::Ready(self.receiver_is_there()) };
        *waits = Some(Box::new(parcel));
        self.between.lacks_room.set(true);
        self.between.sender.register(context);
        Poll::Pending
    }

    /// Sends without waiting, or drops what has no receiver; what has no room comes back.
    pub fn try_send(&self, parcel: Parcel) -> Result<(), Parcel> {
        self.between.is_idle.set(false);
        match self.queue.try_send(parcel) {
            Err(Refused::Full(parcel)) => return Err(parcel),
            Err(Refused::Closed(_)) => {}
            Ok(()) => self.between.receiver.wake(),
        }
        Ok(())
    }

    fn receiver_is_there(&self) -> Result<(), ReceiverGone> {
        if self.between.receiver_gone.get() { Err(ReceiverGone) } else { Ok(()) }
    }

    /// Ends when the receiver is gone.
    pub fn closed(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            self.between.sender.register(context);
            if self.between.receiver_gone.get() { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl LinkReceiver {
    /// Lets the sender write to `sink` while this waits for a parcel.
    pub fn offer(&self, sink: Rc<Leg>) {
        *self.between.sink.borrow_mut() = Some(sink);
    }

    /// The next parcel; none after an abort, and after `Fin`. Cancel-safe.
    /// Errors: that of a write which the sender did.
    pub async fn next(&mut self) -> io::Result<Option<Parcel>> {
        poll_fn(|context| {
            let Between { sender, sender_gone, lacks_room, receiver, is_idle, fault, .. } = &*self.between;
            if let Some(error) = fault.take() {
                return Poll::Ready(Err(*error));
            }
            let next = self.queue.try_next();
            is_idle.set(next.is_none());
            match next {
                Some(parcel) => {
                    if lacks_room.replace(false) {
                        sender.wake();
                    }
                    Poll::Ready(Ok(Some(parcel)))
                }
                None if sender_gone.get() => Poll::Ready(Ok(None)),
                None => {
                    receiver.register(context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What wakes the half-loop that sends here.
    pub fn nudge(&self) -> Nudge {
        Nudge(self.between.clone())
    }
}

impl Nudge {
    pub fn wake(&self) {
        self.0.sender.wake();
    }
}

impl Drop for LinkSender {
    fn drop(&mut self) {
        self.between.sender_gone.set(true);
        self.between.receiver.wake();
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.between.receiver_gone.set(true);
        self.between.sink.take();
        while self.queue.try_next().is_some() {}
        self.between.sender.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::buffer::Buffer,
        runtime::{clock::within, shard},
    };
    use futures::{FutureExt, executor::block_on};
    use std::{pin::pin, task::Poll, time::Duration};

    #[test]
    fn a_sender_that_goes_without_an_end_is_an_abort() {
        let (sender, mut receiver) = link();
        block_on(sender.send(Chunk::Bytes(Buffer::holding(b"x")))).unwrap();
        drop(sender);
        assert!(matches!(block_on(receiver.next()), Ok(Some(Parcel::Data(_)))));
        assert!(matches!(block_on(receiver.next()), Ok(None)));
    }

    #[test]
    fn a_nudge_has_the_half_loop_polled_that_waits_to_send() {
        let (sender, receiver) = link();
        let nudge = receiver.nudge();
        let mut polls = 0;
        let mut closed = pin!(sender.closed());
        let polled_again = poll_fn(|context| {
            polls += 1;
            assert!(closed.as_mut().poll(context).is_pending());
            nudge.wake();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert!(shard::run(within(Some(Duration::from_secs(20)), polled_again)).unwrap().is_some());
    }

    #[test]
    fn a_receiver_that_goes_is_told_to_the_sender() {
        let (sender, receiver) = link();
        let mut closed = Box::pin(sender.closed());
        assert!(closed.as_mut().now_or_never().is_none());
        drop(receiver);
        assert!(closed.now_or_never().is_some());
    }
}
