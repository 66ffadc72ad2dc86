//! What is between two half-loops, in one direction: a bounded mailbox of chunks, and how the stream ended.
//!
//! If the sender goes without [`LinkSender::finish`], the link is aborted. If the receiver goes, the sender knows at once.

use crate::{
    relay::chunk::Chunk,
    runtime::{
        latch::Latch,
        mailbox::{Mailbox, Refused, Sender, mailbox},
    },
};
use futures::{FutureExt, future::Either};
use std::{
    future::{poll_fn, ready},
    rc::Rc,
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
    address: Sender<Parcel>,
    gone: Rc<Latch>,
}

pub struct LinkReceiver {
    mailbox: Mailbox<Parcel>,
    gone: Rc<Latch>,
}

/// Lets the sender's half-loop look at its gate again; it may belong to another actor.
pub struct Nudge(Rc<Latch>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverGone;

pub fn link() -> (LinkSender, LinkReceiver) {
    let (address, mailbox) = mailbox(LINK_CHUNKS);
    let gone = Rc::new(Latch::default());
    (LinkSender { address, gone: gone.clone() }, LinkReceiver { mailbox, gone })
}

impl LinkSender {
    /// Waits for room, then sends a chunk, which is lost if the receiver is gone. Not cancel-safe.
    pub fn send(&self, chunk: Chunk) -> impl Future<Output = Result<(), ReceiverGone>> {
        // Only a chunk that has to wait is held, and in a box: the half-loop would keep its place all the time.
        match self.address.try_send(Parcel::Data(chunk)) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(Refused::Closed(_)) => Either::Left(ready(Err(ReceiverGone))),
            Err(Refused::Full(parcel)) => {
                Either::Right(Box::pin(self.address.send(parcel)).map(|sent| sent.map_err(|_| ReceiverGone)))
            }
        }
    }

    /// Ends the stream after all that was sent.
    pub async fn finish(&self) -> Result<(), ReceiverGone> {
        Box::pin(self.address.send(Parcel::Fin)).await.map_err(|_| ReceiverGone)
    }

    /// Ends when the receiver is gone.
    pub fn closed(&self) -> impl Future<Output = ()> {
        poll_fn(|context| self.gone.poll_raised(context))
    }
}

impl LinkReceiver {
    /// The next parcel; none after an abort, and after `Fin`. Cancel-safe.
    pub async fn next(&mut self) -> Option<Parcel> {
        self.mailbox.next().await
    }

    /// What wakes the half-loop that sends here.
    pub fn nudge(&self) -> Nudge {
        Nudge(self.gone.clone())
    }
}

impl Nudge {
    pub fn wake(&self) {
        self.0.nudge();
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.gone.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::buffer::Buffer,
        runtime::{clock::within, shard},
    };
    use futures::executor::block_on;
    use std::{pin::pin, task::Poll, time::Duration};

    #[test]
    fn a_sender_that_goes_without_an_end_is_an_abort() {
        let (sender, mut receiver) = link();
        block_on(sender.send(Chunk::Bytes(Buffer::holding(b"x")))).unwrap();
        drop(sender);
        assert!(matches!(block_on(receiver.next()), Some(Parcel::Data(_))));
        assert!(block_on(receiver.next()).is_none());
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
