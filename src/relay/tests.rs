//! The half-loops under every schedule: sources and sinks that step few bytes, block and fail where the test says.

mod leg;
mod stream;

use crate::{
    net::buffer::Buffer,
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::{Direction, Ways},
        link::{LinkSender, link},
        pump::{LegEnd, ReadEnd, WriteEnd, pump, read_into, write_from},
    },
    runtime::{local::ReceiverGone, shard::run},
};
use futures::{FutureExt, future::join};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

impl LinkSender {
    /// Waits for room, then sends a chunk, which is lost if the receiver is gone.
    pub fn send(&self, chunk: Chunk) -> impl Future<Output = Result<(), ReceiverGone>> {
        self.send_waiting(self.try_send(chunk))
    }

    /// Ends the stream after all that was sent.
    pub fn finish(&self) -> impl Future<Output = Result<(), ReceiverGone>> {
        self.end();
        self.send_waiting(None)
    }
}

/// One step of a source or sink: how often it blocks before it, and how many bytes it moves.
type Step = (u8, u8);

/// Blocks `times`, each time waking itself at once.
async fn block(mut times: u8) {
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Gives `bytes` in steps, then ends or fails.
struct Scripted {
    bytes: VecDeque<u8>,
    steps: VecDeque<Step>,
    /// Blocks left before the next step; kept across cancelled reads.
    fails: bool,
}

impl ChunkSource for Scripted {
    fn read(&mut self, _: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
        Box::pin(self.next())
    }
}

impl Scripted {
    async fn next(&mut self) -> io::Result<Option<Chunk>> {
        let (blocks, size) = self.steps.front().copied().unwrap_or((0, 1));
        block(blocks).await;
        self.steps.pop_front();
        let size = usize::from(size).clamp(1, self.bytes.len().max(1));
        if self.bytes.is_empty() {
            return if self.fails { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(None) };
        }
        let piece: Vec<u8> = self.bytes.drain(..size).collect();
        Ok(Some(Chunk::Bytes(Buffer::holding(&piece))))
    }
}

/// What came out at the far end.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    finished: bool,
}

/// Takes bytes in steps; fails after `room` bytes, if it has a limit.
struct Choosy {
    steps: VecDeque<Step>,
    room: Option<usize>,
    written: Arc<Mutex<Written>>,
}

impl ChunkSink for Choosy {
    fn write(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Unpin {
        Box::pin(self.written(chunk))
    }

    fn poll_finish(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        self.written.lock().unwrap().finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Choosy {
    async fn written(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        let (blocks, size) = self.steps.pop_front().unwrap_or((0, u8::MAX));
        block(blocks).await;
        let Chunk::Bytes(buffer) = chunk else { unreachable!("the source gives bytes") };
        let mut count = usize::from(size.max(1)).min(buffer.bytes().len());
        if let Some(room) = &mut self.room {
            if *room == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            count = count.min(*room);
            *room -= count;
        }
        self.written.lock().unwrap().bytes.extend_from_slice(&buffer.bytes()[..count]);
        buffer.written(count);
        Ok(count)
    }
}

fn steps() -> impl Strategy<Value = VecDeque<Step>> {
    prop::collection::vec_deque((0u8..4, any::<u8>()), 0..40)
}

proptest! {
    #[test]
    fn what_was_accepted_is_delivered_in_order_and_the_end_is_the_right_one(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        reads in steps(),
        writes in steps(),
        source_fails: bool,
        room in prop::option::of(0usize..2500),
    ) {
        let written = Arc::new(Mutex::new(Written::default()));
        let source = Scripted { bytes: bytes.clone().into(), steps: reads, fails: source_fails };
        let sink = Choosy { steps: writes, room, written: written.clone() };
        let (direction, (sender, receiver)) = (Direction::new(), link());
        let (read, write) = run(join(
            read_into(source, sender, &direction),
            write_from(receiver, sink, &direction),
        )).unwrap();
        let written = written.lock().unwrap();
        prop_assert!(bytes.starts_with(&written.bytes));
        prop_assert_eq!(direction.delivered(), written.bytes.len() as u64);
        let sink_failed = room.is_some_and(|room| room < bytes.len());
        match (sink_failed, source_fails) {
            (true, _) => {
                prop_assert_eq!(Some(written.bytes.len()), room);
                prop_assert!(!written.finished);
                prop_assert!(matches!(write, WriteEnd::Failed(_)));
            }
            (false, true) => {
                prop_assert_eq!(&written.bytes, &bytes);
                prop_assert!(!written.finished);
                prop_assert!(matches!(read, ReadEnd::Failed(_)));
                prop_assert!(matches!(write, WriteEnd::Aborted));
            }
            (false, false) => {
                prop_assert_eq!(&written.bytes, &bytes);
                prop_assert!(written.finished && direction.ended());
                prop_assert!(matches!(read, ReadEnd::Finished));
                prop_assert!(matches!(write, WriteEnd::Finished));
            }
        }
    }

    #[test]
    fn an_echo_ends_clean_only_where_all_came_back(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        reads in steps(),
        writes in steps(),
        source_fails: bool,
        room in prop::option::of(0usize..2500),
    ) {
        let written = Arc::new(Mutex::new(Written::default()));
        let source = Scripted { bytes: bytes.clone().into(), steps: reads, fails: source_fails };
        let sink = Choosy { steps: writes, room, written: written.clone() };
        let direction = Direction::new();
        let (sender, receiver) = link();
        let ways = Ways { incoming: &direction, outgoing: &direction };
        let end = run(pump(source, sink, sender, receiver, ways)).unwrap();
        let written = written.lock().unwrap();
        let whole = written.bytes == bytes && written.finished;
        prop_assert_eq!(matches!(end, LegEnd::Clean), whole);
        prop_assert_eq!(whole, !source_fails && room.is_none_or(|room| room >= bytes.len()));
    }
}

/// How reading goes, as the table of [`super::pump`] says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    GoesOn,
    Ended,
    Failed,
    Refused,
}

/// How writing goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    GoesOn,
    Ended,
    Aborted,
    Failed,
}

/// Gives no byte.
impl ChunkSource for Reading {
    fn read(&mut self, _: &Direction) -> impl Future<Output = io::Result<Option<Chunk>>> + Unpin {
        poll_fn(|_| match self {
            Reading::GoesOn | Reading::Refused => Poll::Pending,
            Reading::Ended => Poll::Ready(Ok(None)),
            Reading::Failed => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        })
    }
}

#[test]
fn a_reader_of_a_silent_source_ends_when_its_receiver_goes() {
    let (direction, (sender, receiver)) = (Direction::new(), link());
    let mut reading = pin!(read_into(Reading::GoesOn, sender, &direction));
    assert!(reading.as_mut().now_or_never().is_none());
    drop(receiver);
    assert!(matches!(reading.now_or_never(), Some(ReadEnd::Refused)));
}

/// What both together mean; none if the leg goes on.
fn end_of(reading: Reading, writing: Writing) -> Option<LegEnd> {
    let (direction, (to_link, receiver), (sender, from_link)) = (Direction::new(), link(), link());
    let room = (writing == Writing::Failed).then_some(0);
    let sink = Choosy { steps: VecDeque::new(), room, written: Arc::default() };
    let ways = Ways { incoming: &direction, outgoing: &direction };
    let leg = pin!(pump(reading, sink, to_link, from_link, ways));
    let _receiver = (reading != Reading::Refused).then_some(receiver);
    match writing {
        Writing::GoesOn | Writing::Aborted => {}
        Writing::Ended => run(sender.finish()).unwrap().unwrap(),
        Writing::Failed => run(sender.send(Chunk::Bytes(Buffer::holding(b"x")))).unwrap().unwrap(),
    }
    let _sender = (writing != Writing::Aborted).then_some(sender);
    // A shard, for the clock.
    run(async { leg.now_or_never() }).unwrap()
}

#[test]
fn both_ends_together_say_how_the_leg_ended() {
    const EACH: [Writing; 4] = [Writing::GoesOn, Writing::Ended, Writing::Aborted, Writing::Failed];
    let row = |reading| {
        EACH.map(|writing| match end_of(reading, writing) {
            None => "goes on",
            Some(LegEnd::Clean) => "clean",
            Some(LegEnd::PeerGone(_)) => "peer gone",
            Some(LegEnd::OtherGone) => "other gone",
        })
    };
    assert_eq!(row(Reading::GoesOn), ["goes on", "goes on", "other gone", "goes on"]);
    assert_eq!(row(Reading::Ended), ["goes on", "clean", "other gone", "peer gone"]);
    assert_eq!(row(Reading::Failed), ["peer gone"; 4]);
    assert_eq!(row(Reading::Refused), ["goes on", "other gone", "other gone", "peer gone"]);
}

#[test]
fn an_abort_of_the_other_side_comes_after_what_it_sent() {
    let written = Arc::new(Mutex::new(Written::default()));
    let sink = Choosy { steps: VecDeque::new(), room: None, written: written.clone() };
    let direction = Direction::new();
    let (sender, receiver) = link();
    let send = async {
        sender.send(Chunk::Bytes(Buffer::holding(b"tail"))).await.unwrap();
        drop(sender);
    };
    let (end, ()) = run(join(write_from(receiver, sink, &direction), send)).unwrap();
    assert!(matches!(end, WriteEnd::Aborted));
    assert_eq!(written.lock().unwrap().bytes, b"tail");
}
