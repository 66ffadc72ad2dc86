//! One direction between two half-loops: a bounded mailbox of pieces, and how the stream ended.
//!
//! A sender that goes without [`LinkSender::finish`] is an abort. A receiver that goes is told to the sender at once.

use crate::{
    relay::chunk::Chunk,
    runtime::mailbox::{Address, Mailbox, Refused, mailbox},
    session::cause::Cause,
};
use futures::{FutureExt, future::Either, task::AtomicWaker};
use std::{
    future::{poll_fn, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

/// Pieces that may wait in a link. With the one being read and the one being written that is three pieces a direction:
/// 192 KiB as pipes, 48 KiB as buffers.
pub const LINK_CHUNKS: usize = 1;

/// What crosses a link.
pub enum Parcel {
    /// The next piece.
    Data(Chunk),
    /// The end of the stream; everything came before it.
    Fin,
    /// The stream was cut off.
    Reset(Cause),
}

/// The end that pieces go into.
pub struct LinkSender {
    address: Address<Parcel>,
    gone: Arc<Gone>,
}

/// The end that pieces come out of.
pub struct LinkReceiver {
    mailbox: Mailbox<Parcel>,
    gone: Arc<Gone>,
}

/// The receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverGone;

#[derive(Default)]
struct Gone {
    flag: AtomicBool,
    waker: AtomicWaker,
}

/// A link.
#[must_use]
pub fn link() -> (LinkSender, LinkReceiver) {
    let (address, mailbox) = mailbox(LINK_CHUNKS);
    let gone = Arc::new(Gone::default());
    (LinkSender { address, gone: gone.clone() }, LinkReceiver { mailbox, gone })
}

impl LinkSender {
    /// Waits for room, then sends a piece. Not cancel-safe.
    ///
    /// # Errors
    /// Where the receiver is gone; the piece is lost with it.
    pub fn send(&self, chunk: Chunk) -> impl Future<Output = Result<(), ReceiverGone>> + Send {
        // Only a piece that has to wait is held, and in a box: the half-loop would keep its place all the time.
        match self.address.try_send(Parcel::Data(chunk)) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(Refused::Closed(_)) => Either::Left(ready(Err(ReceiverGone))),
            Err(Refused::Full(parcel)) => {
                Either::Right(Box::pin(self.address.send(parcel)).map(|sent| sent.map_err(|_| ReceiverGone)))
            }
        }
    }

    /// Ends the stream after all that was sent.
    ///
    /// # Errors
    /// Where the receiver is gone.
    pub async fn finish(&self) -> Result<(), ReceiverGone> {
        Box::pin(self.address.send(Parcel::Fin)).await.map_err(|_| ReceiverGone)
    }

    /// Cuts the stream off after all that was sent, without waiting.
    pub fn reset(self, cause: Cause) {
        // A full link drops the parcel; the receiver then sees the sender gone, which is an abort as well.
        let _ = self.address.try_send(Parcel::Reset(cause));
    }

    /// Ends when the receiver is gone.
    pub fn closed(&self) -> impl Future<Output = ()> + Send {
        poll_fn(|context| {
            self.gone.waker.register(context.waker());
            if self.gone.flag.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl LinkReceiver {
    /// The next parcel. After `Fin` or `Reset` there is none, and asking gives `Reset`. Cancel-safe.
    pub async fn next(&mut self) -> Parcel {
        self.mailbox.next().await.unwrap_or(Parcel::Reset(Cause::Internal))
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.gone.flag.store(true, Ordering::Release);
        self.gone.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffer;
    use futures::{FutureExt, executor::block_on};

    #[test]
    fn a_sender_that_goes_without_an_end_is_an_abort() {
        let (sender, mut receiver) = link();
        block_on(sender.send(Chunk::Bytes(Buffer::holding(b"x")))).unwrap();
        drop(sender);
        assert!(matches!(block_on(receiver.next()), Parcel::Data(_)));
        assert!(matches!(block_on(receiver.next()), Parcel::Reset(_)));
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
