//! What is between two half-loops of a shard, in one direction: a bounded queue of chunks, and how the stream ended.
//!
//! If the sender goes without [`Parcel::Fin`], the link is aborted. If the receiver goes, the sender knows at once.
//! While the receiver waits for a chunk, the sender may write it itself, to where the receiver would ([`LinkSender::deliver`]).

use crate::{
    relay::{beside::Beside, chunk::Chunk, direction::Direction, leg::Leg},
    runtime::local::{Between, LocalReceiver, LocalSender, Next, ReceiverGone, local},
};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Chunks that may wait in a link. With the one being read and the one being written that is three chunks a direction:
/// 192 KiB as pipes, 48 KiB as buffers.
pub const LINK_CHUNKS: usize = 1;

pub enum Parcel {
    Data(Chunk),
    /// The end of the stream; everything came before it.
    Fin,
}

/// What waits for room, if anything does. It is in a box: the half-loop would keep its place all the time.
pub type Waiting = Option<Box<Chunk>>;

/// It derefs to its `Offer`, as the receiver does.
pub struct LinkSender(LocalSender<Chunk, Offer, LINK_CHUNKS>);

pub struct LinkReceiver(LocalReceiver<Chunk, Offer, LINK_CHUNKS>);

/// Where the receiver writes, and what is beside the link.
#[derive(Default)]
struct Offer {
    sink: Cell<Option<Rc<Leg>>>,
    beside: Beside,
}

impl Offer {
    /// Whether the sink must be given again what the sender tried to write.
    fn sink_has_begun(&self) -> bool {
        let sink = self.sink.take();
        let has_begun = sink.as_ref().is_some_and(|leg| leg.has_begun());
        self.sink.set(sink);
        has_begun
    }
}

/// Wakes the half-loops at both ends of a link, which may belong to other actors.
pub struct Nudge(Rc<Between<Chunk, Offer, LINK_CHUNKS>>);

pub fn link() -> (LinkSender, LinkReceiver) {
    let (sender, receiver) = local();
    (LinkSender(sender), LinkReceiver(receiver))
}

impl LinkSender {
    /// Writes what can be written of `chunk` in the receiver's place, if the receiver waits for it and nothing acts on the
    /// stream; says whether that was all. The rest is to be sent.
    pub fn deliver(&self, chunk: &mut Chunk, direction: &Direction) -> bool {
        if !self.0.is_idle() || !direction.gate.is_open() {
            return false;
        }
        let Some(sink) = self.0.sink.take() else { return false };
        let written = sink.try_write(chunk);
        self.0.sink.set(Some(sink));
        match written {
            Ok(count) => {
                direction.add_delivered(count);
                if direction.gate.take_awaited() {
                    self.0.rouse_receiver();
                }
                chunk.is_empty()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                // The end of the writing is the receiver's, as if it had written itself.
                self.0.beside.fail(error);
                self.0.wake_receiver();
                true
            }
        }
    }

    /// Sends what `waits`, if anything does, once there is room.
    pub fn send_waiting(&self, mut waits: Waiting) -> impl Future<Output = Result<(), ReceiverGone>> {
        poll_fn(move |context| self.poll_send(&mut waits, context))
    }

    /// Sends without waiting; what has no room comes back.
    pub fn try_send(&self, chunk: Chunk) -> Waiting {
        match self.pass_by(Parcel::Data(chunk)) {
            Some(Parcel::Data(chunk)) => self.0.try_send(chunk).err().map(Box::new),
            _ => None,
        }
    }

    /// Ends the stream after all that was sent. The end needs no room.
    pub fn end(&self) {
        if self.pass_by(Parcel::Fin).is_some() {
            self.0.end();
        }
    }

    /// A chain that takes parcels gets it at once, if none waits before it. Else it comes back.
    fn pass_by(&self, parcel: Parcel) -> Option<Parcel> {
        let left = if self.0.has_message() { Some(parcel) } else { self.0.beside.take_in(parcel) };
        if left.is_none() {
            self.0.wake_receiver();
        }
        left
    }

    /// Sends what `waits`, if anything does.
    pub fn poll_send(&self, waits: &mut Waiting, context: &Context<'_>) -> Poll<Result<(), ReceiverGone>> {
        self.0.poll_send(waits, context)
    }

    /// Ready when the receiver is gone.
    pub fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        self.0.poll_closed(context)
    }
}

impl LinkReceiver {
    /// Lets the sender write to `sink` while this waits for a parcel.
    pub fn offer(&self, sink: Rc<Leg>) {
        self.0.sink.set(Some(sink));
    }

    /// The next parcel, once what acts on the `direction` lets it pass; none after an abort, and after `Fin`. Cancel-safe.
    /// Errors: that of a write which the sender did.
    pub fn receive(&self, direction: &Direction) -> impl Future<Output = io::Result<Option<Parcel>>> {
        poll_fn(|context| {
            // A chain that takes nothing does not ask the link, and is to be nudged nevertheless.
            self.0.listen(context);
            let is_begun = || self.0.sink_has_begun();
            self.0.beside.poll_next(direction, is_begun, |context| self.poll_next(context), context)
        })
    }

    /// Polls the receiver's writing. While it waits, what acts on the `direction` does so.
    pub fn meanwhile<W: Future + Unpin>(
        &self,
        write: &mut W,
        direction: &Direction,
        context: &mut Context<'_>,
    ) -> Poll<W::Output> {
        let writing = Pin::new(write).poll(context);
        if writing.is_pending() {
            self.0.beside.keep_time(direction, |context| self.poll_next(context), context);
            self.0.listen(context);
        }
        writing
    }

    /// What is next in the link.
    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Parcel>> {
        self.0.poll_next(context).map(|next| match next {
            Next::Message(chunk) => Some(Parcel::Data(chunk)),
            Next::All => Some(Parcel::Fin),
            Next::Gone => None,
        })
    }

    /// Whether a chunk is there.
    pub fn has_chunk(&self) -> bool {
        self.0.has_message()
    }

    /// What wakes the half-loops at both ends.
    pub fn nudge(&self) -> Nudge {
        Nudge(self.0.between())
    }
}

impl Nudge {
    /// Has both half-loops look at their gate again.
    pub fn wake(&self) {
        self.0.wake_sender();
        self.0.wake_receiver();
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        // They go with their owner, and not with the sender.
        self.0.sink.take();
        self.0.beside.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::buffer::Buffer,
        relay::gate::{Chain, Chains},
        runtime::{clock::within, shard},
    };
    use futures::{FutureExt, executor::block_on};
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Poll,
        time::Duration,
    };

    #[test]
    fn a_sender_that_goes_without_an_end_is_an_abort() {
        let (sender, receiver) = link();
        block_on(sender.send(Chunk::Bytes(Buffer::holding(b"x")))).unwrap();
        drop(sender);
        assert!(matches!(block_on(receiver.receive(&Direction::new())), Ok(Some(Parcel::Data(_)))));
        assert!(matches!(block_on(receiver.receive(&Direction::new())), Ok(None)));
    }

    #[test]
    fn a_nudge_has_the_half_loop_polled_that_waits_to_send() {
        let (sender, receiver) = link();
        let nudge = receiver.nudge();
        let mut polls = 0;
        let mut closed = pin!(poll_fn(|context| sender.poll_closed(context)));
        let polled_again = poll_fn(|context| {
            polls += 1;
            assert!(closed.as_mut().poll(context).is_pending());
            nudge.wake();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert!(shard::run(within(Some(Duration::from_secs(20)), polled_again)).unwrap().is_some());
    }

    /// Takes all, if it is not closed, and passes nothing on; counts what it was given.
    #[derive(Clone, Default)]
    struct Keeper {
        taken: Arc<AtomicUsize>,
        is_closed: bool,
    }

    impl Chains for Keeper {
        fn chain(&self) -> Option<Box<dyn Chain>> {
            Some(Box::new(self.clone()))
        }

        fn act(&self) -> bool {
            true
        }
    }

    impl Chain for Keeper {
        fn takes(&self) -> bool {
            !self.is_closed
        }

        fn take(&mut self, _parcel: Option<Parcel>) {
            self.taken.fetch_add(1, Relaxed);
        }

        fn poll_next(&mut self, _context: &mut Context<'_>) -> Poll<Option<Parcel>> {
            Poll::Pending
        }

        fn keep_time(&mut self, _context: &mut Context<'_>) {}

        fn is_over(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_chain_takes_what_comes_while_its_receiver_is_busy_and_goes_with_it() {
        let (direction, keeper) = (Direction::new(), Keeper::default());
        direction.gate.act(Arc::new(keeper.clone()));
        let (sender, receiver) = link();
        let data = || Chunk::Bytes(Buffer::holding(b"x"));
        assert!(sender.try_send(data()).is_none());
        assert!(receiver.receive(&direction).now_or_never().is_none());
        assert_eq!(keeper.taken.load(Relaxed), 1, "what waited in the link, first");
        for _ in 0..3 * LINK_CHUNKS {
            assert!(sender.try_send(data()).is_none());
        }
        assert_eq!(keeper.taken.load(Relaxed), 1 + 3 * LINK_CHUNKS);
        assert!(!receiver.has_chunk());
        drop(receiver);
        assert_eq!(Arc::strong_count(&keeper.taken), 2, "the direction's, and this one");
    }

    #[test]
    fn a_nudge_reaches_a_receiver_also_while_its_chain_takes_nothing_or_it_writes() {
        for writes in [false, true] {
            let direction = Direction::new();
            direction.gate.act(Arc::new(Keeper { is_closed: true, ..Keeper::default() }));
            let (_sender, receiver) = link();
            let (nudge, mut polls) = (receiver.nudge(), 0);
            let mut next = pin!(receiver.receive(&direction));
            let polled_again = poll_fn(|context| {
                polls += 1;
                if writes {
                    let mut write = std::future::pending::<()>();
                    assert!(receiver.meanwhile(&mut write, &direction, context).is_pending());
                } else {
                    assert!(next.as_mut().poll(context).is_pending());
                }
                nudge.wake();
                if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
            });
            assert!(
                shard::run(within(Some(Duration::from_secs(20)), polled_again)).unwrap().is_some(),
                "{writes}"
            );
        }
    }

    #[test]
    fn a_receiver_that_goes_is_told_to_the_sender() {
        let (sender, receiver) = link();
        let mut closed = Box::pin(poll_fn(|context| sender.poll_closed(context)));
        assert!(closed.as_mut().now_or_never().is_none());
        drop(receiver);
        assert!(closed.now_or_never().is_some());
    }
}
