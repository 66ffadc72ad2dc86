//! A leg over a real connection: what is copied and what crosses as a pipe, and each way it ends.

use super::Reading;
use crate::{
    net::{
        buffer::{BUFFER_BYTES, Buffer},
        socket::Socket,
        tls::{
            client::{ClientTls, ClientTlsFiles},
            server::ServerTls,
        },
        tls_socket::TlsSocket,
    },
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::{Direction, Ways},
        gate::{Chain, Chains, ChunkWatcher},
        leg::{Leg, LegReader, LegWriter},
        link::{Parcel, link},
        pump::{LegEnd, pump},
    },
    runtime::{
        clock::{sleep, within},
        shard,
        task::yield_now,
    },
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, future::join};
use proptest::prelude::Rng;
use socket2::SockRef;
use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    thread,
    time::Duration,
};

/// Longer than anything healthy takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
const WHOLE: [u8; BUFFER_BYTES] = [b'w'; BUFFER_BYTES];

/// A leg and its peer.
fn accepted() -> (Rc<Leg>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (Rc::new(Leg::Plain(socket(accepted))), peer)
}

/// As one that a listener of ours accepted is born.
fn socket(stream: TcpStream) -> Socket {
    stream.set_nonblocking(true).unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    Socket::new(OwnedFd::from(stream), true).unwrap()
}

/// Both ends of a connection that speaks TLS.
async fn secured() -> (Leg, Leg) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = socket(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let far = socket(listener.accept().unwrap().0);
    let server = ServerTls::self_signed(&["a.test".to_owned()], &[]).unwrap();
    let server = TlsSocket::server(far, server.config(), &[]).unwrap();
    let files = ClientTlsFiles { verify: false, resume: false, ..ClientTlsFiles::default() };
    let client = ClientTls::load(files).unwrap();
    let (client, greeted) = join(TlsSocket::connect(near, &client, "a.test"), server.handshake()).await;
    greeted.unwrap();
    (Leg::Tls(Box::new(client.unwrap())), Leg::Tls(Box::new(server)))
}

/// Runs `test` on a leg and its peer.
fn on_leg(test: impl AsyncFnOnce(Rc<Leg>, TcpStream)) {
    let run = async {
        let (leg, peer) = accepted();
        within(Some(LIMIT), test(leg, peer)).await.expect("the test ends");
    };
    shard::run(run).unwrap();
}

/// Has the peer send `bytes`, and waits until the leg could read `unread` in all.
async fn arrive(leg: &Leg, mut peer: &TcpStream, bytes: &[u8], unread: usize) {
    peer.write_all(bytes).unwrap();
    let Leg::Plain(socket) = leg else { unreachable!("it speaks no TLS") };
    while socket.unread() as usize != unread {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The next chunk as its length, and whether it is in memory.
async fn read(reader: &mut LegReader<'_>, direction: &Direction) -> Option<(usize, bool)> {
    let chunk = reader.read(direction).await.unwrap()?;
    assert!(chunk.bytes().is_none_or(|bytes| bytes.len() == chunk.len()));
    Some((chunk.len(), chunk.bytes().is_some()))
}

struct Blind;

impl ChunkWatcher for Blind {
    fn show(&self, _: u64, _: &[u8]) {}
}

#[test]
fn bulk_crosses_as_pipes_except_while_something_watches() {
    on_leg(async |leg, peer| {
        let (direction, mut reader) = (Direction::new(), LegReader::new(&leg, true));
        arrive(&leg, &peer, &[WHOLE, WHOLE].concat(), 2 * BUFFER_BYTES).await;
        assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, true)));
        assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, false)));
        // Nothing there is no reason to copy from then on.
        assert!(reader.read(&direction).now_or_never().is_none());
        arrive(&leg, &peer, &WHOLE, BUFFER_BYTES).await;
        assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, false)));
        let watcher = direction.gate.watch(Arc::new(Blind));
        arrive(&leg, &peer, &WHOLE, BUFFER_BYTES).await;
        assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, true)));
        direction.gate.unwatch(&watcher);
        arrive(&leg, &peer, b"short", 5).await;
        assert_eq!(read(&mut reader, &direction).await, Some((5, false)));
        arrive(&leg, &peer, b"short", 5).await;
        assert_eq!(read(&mut reader, &direction).await, Some((5, true)));
    });
}

#[test]
fn bulk_is_copied_if_splicing_is_off_or_the_receiver_takes_no_pipes() {
    for splice in [true, false] {
        on_leg(async |leg, peer| {
            let (direction, mut reader) = (Direction::new(), LegReader::new(&leg, splice));
            if splice {
                direction.gate.copy();
            }
            arrive(&leg, &peer, &[WHOLE, WHOLE].concat(), 2 * BUFFER_BYTES).await;
            for _ in 0..2 {
                assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, true)));
            }
        });
    }
}

#[test]
fn a_gate_that_ends_the_stream_lets_pass_what_had_come_and_no_more() {
    on_leg(async |leg, peer| {
        let (direction, mut reader) = (Direction::new(), LegReader::new(&leg, true));
        arrive(&leg, &peer, &[&WHOLE[..], b"in time"].concat(), BUFFER_BYTES + 7).await;
        direction.gate.finish();
        assert_eq!(read(&mut reader, &direction).await, Some((BUFFER_BYTES, true)));
        arrive(&leg, &peer, b"late", 11).await;
        assert_eq!(read(&mut reader, &direction).await, Some((7, true)));
        assert_eq!(read(&mut reader, &direction).await, None);
    });
}

#[test]
fn either_kind_of_chunk_is_written_whole_and_the_end_after_it() {
    on_leg(async |leg, mut peer| {
        let direction = Direction::new();
        let (mut reader, mut writer) = (LegReader::new(&leg, true), LegWriter::new(&leg));
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(2 * BUFFER_BYTES).collect();
        arrive(&leg, &peer, &sent, sent.len()).await;
        for _ in 0..2 {
            let mut chunk = reader.read(&direction).await.unwrap().unwrap();
            while !chunk.is_empty() {
                let before = chunk.len();
                let count = writer.write(&mut chunk).await.unwrap();
                assert_eq!(chunk.len(), before - count);
            }
        }
        poll_fn(|context| writer.poll_finish(context)).await.unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
    });
}

#[test]
fn a_dropped_leg_resets_its_peer_and_a_closed_one_does_not() {
    on_leg(async |leg, mut peer| {
        let Leg::Plain(socket) = &*leg else { unreachable!("it speaks no TLS") };
        assert!(socket.local_address().ok() == peer.peer_addr().ok().map(crate::net::address::Address::Tcp));
        leg.close();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    });
    on_leg(async |leg, mut peer| {
        drop(leg);
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_leg_is_lost_when_its_peer_resets_it_and_not_when_it_ends_its_stream() {
    on_leg(async |leg, peer| {
        let mut lost = poll_fn(|context| leg.socket().poll_aborted(context));
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(within(Some(Duration::from_millis(50)), &mut lost).await, None);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        lost.await;
    });
}

#[test]
fn a_lost_leg_has_ended_once_its_stream_has() {
    on_leg(async |leg, peer| {
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        poll_fn(|context| leg.socket().poll_aborted(context)).await;
        // What it has received is still read.
        for (reading, is_over) in [(Reading::Ended, true), (Reading::GoesOn, false)] {
            let (direction, (to_link, _receiver), (_sender, from_link)) = (Direction::new(), link(), link());
            let ways = Ways { incoming: &direction, outgoing: &direction };
            let end = pump(reading, LegWriter::new(&leg), to_link, from_link, ways).now_or_never();
            assert_eq!(matches!(end, Some(LegEnd::PeerGone(_))), is_over, "{end:?}");
        }
    });
}

#[test]
fn a_reset_is_read_as_an_error_after_what_came_before_it() {
    on_leg(async |leg, peer| {
        let (direction, mut reader) = (Direction::new(), LegReader::new(&leg, true));
        arrive(&leg, &peer, b"before", 6).await;
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(read(&mut reader, &direction).await, Some((6, true)));
        let error = reader.read(&direction).await.err().map(|error| error.kind());
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_leg_settles_once_its_peer_has_all_that_was_written() {
    on_leg(async |leg, mut peer| {
        let mut writer = LegWriter::new(&leg);
        let mut written = 0;
        while let Some(count) = writer.write(&mut Chunk::Bytes(Buffer::holding(&WHOLE))).now_or_never() {
            written += count.unwrap();
        }
        assert_eq!(within(Some(Duration::from_millis(50)), leg.settle()).await, None);
        let reading = thread::spawn(move || {
            peer.read_exact(&mut vec![0; written]).unwrap();
            peer
        });
        leg.settle().await;
        drop(leg);
        let mut peer = reading.join().unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_second_half_of_a_leg_ends_when_the_leg_is_closed_and_the_first_at_once() {
    for peer_ends_first in [true, false] {
        on_leg(async |leg, mut peer| {
            let direction = Direction::new();
            let ((to_link, from_leg), (to_leg, from_link)) = (link(), link());
            let ways = Ways { incoming: &direction, outgoing: &direction };
            let mut pump =
                Box::pin(pump(LegReader::new(&leg, true), LegWriter::new(&leg), to_link, from_link, ways));
            if peer_ends_first {
                peer.shutdown(Shutdown::Write).unwrap();
                while !direction.ended() {
                    assert!(poll_fn(|context| Poll::Ready(pump.as_mut().poll(context))).await.is_pending());
                    yield_now().await;
                }
                to_leg.finish().await.unwrap();
            } else {
                to_leg.finish().await.unwrap();
                assert!(poll_fn(|context| Poll::Ready(pump.as_mut().poll(context))).await.is_pending());
                assert_eq!(peer.read(&mut [0]).unwrap(), 0);
                peer.shutdown(Shutdown::Write).unwrap();
            }
            assert!(matches!(pump.await, LegEnd::Clean));
            peer.set_nonblocking(true).unwrap();
            let before = peer.read(&mut [0]);
            assert_eq!(before.is_ok(), !peer_ends_first, "{before:?}");
            leg.close();
            peer.set_nonblocking(false).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
            drop(from_leg);
        });
    }
}

#[test]
fn a_leg_that_is_closed_without_having_been_read_to_its_end_has_sent_its_fin_before() {
    on_leg(async |leg, mut peer| {
        let direction = Direction::new();
        let ((to_link, _from_leg), (to_leg, from_link)) = (link(), link());
        // The gate ends the stream, and not its sender.
        direction.gate.finish();
        to_leg.finish().await.unwrap();
        let ways = Ways { incoming: &direction, outgoing: &direction };
        assert!(matches!(
            pump(LegReader::new(&leg, true), LegWriter::new(&leg), to_link, from_link, ways).await,
            LegEnd::Clean
        ));
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    });
}

/// What each leg of two that are joined is sent, and the pieces in which its peer sends.
type Sent = Vec<Vec<u8>>;

/// Joins two legs, has both peers send and end, and returns what each received and how the legs ended.
async fn join_legs(
    [near, far]: [(Rc<Leg>, TcpStream); 2],
    copies: bool,
    sent: [Sent; 2],
) -> ([Vec<u8>; 2], [LegEnd; 2]) {
    let (up, down) = (Direction::new(), Direction::new());
    if copies {
        // With an act at the gate no chunk is delivered in the receiver's place.
        [&up, &down].iter().for_each(|direction| direction.gate.copy());
    }
    let peers: Vec<_> = [(&near.1, sent[0].clone()), (&far.1, sent[1].clone())]
        .map(|(peer, pieces)| {
            let [mut reads, mut writes] = [peer, peer].map(|peer| peer.try_clone().unwrap());
            let writing = thread::spawn(move || {
                pieces.iter().for_each(|piece| writes.write_all(piece).unwrap());
                writes.shutdown(Shutdown::Write).unwrap();
            });
            thread::spawn(move || {
                let mut received = Vec::new();
                reads.read_to_end(&mut received).unwrap();
                writing.join().unwrap();
                received
            })
        })
        .into();
    let ((up_sender, up_receiver), (down_sender, down_receiver)) = (link(), link());
    let ways = |incoming, outgoing| Ways { incoming, outgoing };
    let ends = join(
        pump(
            LegReader::new(&near.0, true),
            LegWriter::new(&near.0),
            up_sender,
            down_receiver,
            ways(&up, &down),
        ),
        pump(
            LegReader::new(&far.0, true),
            LegWriter::new(&far.0),
            down_sender,
            up_receiver,
            ways(&down, &up),
        ),
    )
    .await;
    for direction in [&up, &down] {
        assert!(direction.ended() && direction.waiting() == 0);
    }
    [near.0, far.0].into_iter().for_each(Leg::close);
    let received = peers.into_iter().map(|peer| peer.join().unwrap()).collect::<Vec<_>>();
    (received.try_into().unwrap(), [ends.0, ends.1])
}

#[test]
fn joined_legs_deliver_the_same_whether_a_chunk_crosses_the_link_or_not() {
    let mut random =
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for copies in [false, true] {
        for round in 0..12 {
            let piece = |number: u64| {
                let size = match random.next_u32() % 4 {
                    0 => 1,
                    1 => random.next_u32() as usize % 2000,
                    _ => random.next_u32() as usize % (4 * BUFFER_BYTES),
                };
                (0..size).map(|at| (at as u64 * 31 + number * 7) as u8).collect::<Vec<u8>>()
            };
            let mut pieces = (0..2 * round).map(piece).collect::<Vec<_>>();
            let other = pieces.split_off(round as usize);
            let sent = [pieces, other];
            let wanted = [sent[1].concat(), sent[0].concat()];
            on_leg(async |near, near_peer| {
                let (far, far_peer) = accepted();
                let legs = [(near, near_peer), (far, far_peer)];
                let (received, ends) = join_legs(legs, copies, sent).await;
                assert!(received == wanted, "round {round}, copies: {copies}");
                assert!(matches!(ends, [LegEnd::Clean, LegEnd::Clean]), "{ends:?}");
            });
        }
    }
}

#[test]
fn a_write_that_fails_in_the_receivers_place_ends_the_receivers_leg() {
    on_leg(async |near, near_peer| {
        let (far, far_peer) = accepted();
        let (up, down) = (Direction::new(), Direction::new());
        let ((up_sender, up_receiver), (down_sender, down_receiver)) = (link(), link());
        let near_ways = Ways { incoming: &up, outgoing: &down };
        let mut near_pump = pin!(pump(
            LegReader::new(&near, true),
            LegWriter::new(&near),
            up_sender,
            down_receiver,
            near_ways
        ));
        let far_ways = Ways { incoming: &down, outgoing: &up };
        let mut far_pump =
            pin!(pump(LegReader::new(&far, true), LegWriter::new(&far), down_sender, up_receiver, far_ways));
        // Both wait. Then the far peer goes, and our side does not know it yet.
        assert!(poll_fn(|context| Poll::Ready(near_pump.as_mut().poll(context))).await.is_pending());
        assert!(poll_fn(|context| Poll::Ready(far_pump.as_mut().poll(context))).await.is_pending());
        SockRef::from(&far_peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far_peer);
        (&near_peer).write_all(b"lost").unwrap();
        while up.received() == 0 {
            assert!(poll_fn(|context| Poll::Ready(near_pump.as_mut().poll(context))).await.is_pending());
            yield_now().await;
        }
        assert_eq!((up.received(), up.delivered()), (4, 0));
        let end = far_pump.await;
        assert!(
            matches!(&end, LegEnd::PeerGone(error) if error.kind() == ErrorKind::ConnectionReset),
            "{end:?}"
        );
        assert!(matches!(near_pump.await, LegEnd::OtherGone));
    });
}

#[test]
fn a_leg_of_tls_is_a_byte_stream_in_any_steps_that_ends_when_it_is_closed() {
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(5 * BUFFER_BYTES + 1).collect();
    let run = async {
        let (near, far) = secured().await;
        for (from, to) in [(&near, &far), (&far, &near)] {
            let write = async {
                let mut from = from;
                from.write_all(&sent).await.unwrap();
                from.close().await.unwrap();
            };
            let read = async {
                let (mut to, mut received) = (to, Vec::new());
                // No divisor of what a record or a buffer holds.
                let mut room = [0; 1021];
                loop {
                    match to.read(&mut room).await.unwrap() {
                        0 => return received,
                        count => received.extend_from_slice(&room[..count]),
                    }
                }
            };
            let ((), received) = join(write, read).await;
            assert!(received == sent, "{} bytes came", received.len());
        }
    };
    shard::run(within(Some(LIMIT), run)).unwrap().expect("the test ends");
}

/// Counts how often what is to act on the stream was asked for.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Chains for Asked {
    fn chain(&self) -> Option<Box<dyn Chain>> {
        self.0.fetch_add(1, Relaxed);
        None
    }

    fn act(&self) -> bool {
        true
    }
}

#[test]
fn nothing_begins_to_act_on_a_chunk_of_which_tls_has_encrypted_a_part() {
    let run = async {
        let (near, far) = secured().await;
        let (leg, direction, asked) = (Rc::new(near), Direction::new(), Arc::<Asked>::default());
        let (sender, receiver) = link();
        receiver.offer(leg.clone());
        assert!(receiver.receive(&direction).now_or_never().is_none());
        // The sender writes in the receiver's place, until the peer's kernel is full.
        let mut count = 0;
        let mut chunk = loop {
            let mut chunk = Chunk::Bytes(Buffer::holding(&WHOLE));
            count += 1;
            if !sender.deliver(&mut chunk, &direction) {
                break chunk;
            }
        };
        assert!(leg.has_begun() && chunk.len() == BUFFER_BYTES);
        assert!(sender.try_send(chunk).is_none());
        direction.gate.act(asked.clone());
        let Ok(Some(Parcel::Data(begun))) = receiver.receive(&direction).await else { panic!("it passes") };
        assert_eq!((begun.len(), asked.0.load(Relaxed)), (BUFFER_BYTES, 0));
        chunk = begun;
        let write = async {
            let mut writer = LegWriter::new(&leg);
            while !chunk.is_empty() {
                writer.write(&mut chunk).await.unwrap();
            }
            // What comes next is acted on.
            assert!(receiver.receive(&direction).now_or_never().is_none());
            poll_fn(|context| leg.poll_finish(context)).await.unwrap();
        };
        let mut received = Vec::new();
        let mut far = &far;
        join(write, async { far.read_to_end(&mut received).await.unwrap() }).await;
        assert!(received == WHOLE.repeat(count), "{} bytes came", received.len());
        assert_eq!(asked.0.load(Relaxed), 1);
    };
    shard::run(within(Some(LIMIT), run)).unwrap().expect("the test ends");
}
