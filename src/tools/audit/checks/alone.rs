//! Checks in which the client does not speak first, or the origin is not there: nothing else runs meanwhile.
//!
//! Without a label an arrival may be a health check of the proxy. So a check does the same to every arrival, and what counts
//! is what its own client sees, or the arrival that fits best.

use crate::{
    net::{address::Address, socket::Socket},
    runtime::clock::{sleep, within},
    tools::audit::{
        checks::{PART_BYTES, REQUEST_BYTES},
        ground::{Ground, Way},
        label::Label,
        observation::{End, Record},
        origin::{Absence, Arrival, Unlabelled},
        side::PATIENCE,
    },
};
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    join, pin_mut,
    stream::FuturesUnordered,
};
use std::{
    future::{pending, poll_fn},
    time::{Duration, Instant},
};

/// Connections of `connect-and-go`: a difference that shows at times has its chances.
const VISITS: usize = 5;
/// How long a visit may take to be seen.
const VISIT_LIMIT: Duration = Duration::from_secs(3);
/// How long an arrival that fits better than one that was seen may take.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);
/// Time for the proxy to ask for a connection that it does not get yet. If it takes longer, the data is not that early.
const DIALLING: Duration = Duration::from_millis(300);

/// The client connects and closes.
pub async fn connect_and_go(ground: &Ground, way: Way, record: &Record) {
    let arrivals = ground.origin.take_unlabelled(way == Way::Through);
    for _ in 0..VISITS {
        let Some(socket) = ground.connect(way, record).await else { return };
        let peer = direct_peer(way, &socket);
        socket.close();
        let best = best_end(&arrivals, peer.as_ref()).await;
        if best != End::Fin {
            record.origin.note(best);
            return;
        }
    }
    record.origin.note(End::Fin);
}

/// The end of the visit: FIN as soon as an arrival has that, or else how another one ended.
async fn best_end(arrivals: &Unlabelled<'_>, peer: Option<&Address>) -> End {
    let mut best = End::NeverReached;
    let mut until = Instant::now() + VISIT_LIMIT;
    // With one that never ends, there is always a next one to wait for.
    let mut ends = FuturesUnordered::from_iter([pending().left_future()]);
    loop {
        let next = arrivals.next(peer);
        pin_mut!(next);
        let left = until.saturating_duration_since(Instant::now());
        match within(Some(left), select(next, ends.select_next_some())).await {
            Some(Either::Left((arrival, _))) => {
                best = best.min(End::Stuck);
                ends.push(visit_end(arrival).right_future());
            }
            Some(Either::Right((End::Fin, _))) => return End::Fin,
            Some(Either::Right((end, _))) => {
                (best, until) = (best.min(end), until.min(Instant::now() + AFTERTHOUGHT));
            }
            None => return best,
        }
    }
}

/// How a visit ends at the origin.
async fn visit_end(arrival: Arrival) -> End {
    let end = match arrival.ended {
        Some(end) => end,
        None => first_read(&arrival.socket).await,
    };
    if end == End::Fin {
        arrival.socket.close();
    }
    end
}

/// How a stream without a byte ends.
async fn first_read(socket: &Socket) -> End {
    match poll_fn(|context| socket.poll_read(context, &mut [0])).await {
        Ok(0) => End::Fin,
        Ok(_) => End::Stuck,
        Err(error) => End::of(&error),
    }
}

/// A direct client's arrival is known by its address.
fn direct_peer(way: Way, socket: &Socket) -> Option<Address> {
    if way == Way::Direct { socket.local_address().ok() } else { None }
}

/// The origin speaks first; the client waits for that, and then asks.
pub async fn speaks_first(ground: &Ground, way: Way, record: &Record) {
    let arrivals = ground.origin.take_unlabelled(way == Way::Through);
    let Some(socket) = ground.connect(way, record).await else { return };
    let (peer, label) = (direct_peer(way, &socket), ground.label());
    let client = ground.client(socket, label, record);
    let ask = async {
        if client.read(REQUEST_BYTES).await && client.say(&label.bytes()).await {
            client.send(REQUEST_BYTES).await;
        }
        client.read_to_end().await;
        client.finish();
    };
    let answer = async {
        let greeted = greeted(ground, &arrivals, peer.as_ref(), label, record);
        let Some(socket) = within(Some(PATIENCE), greeted).await else {
            return record.origin.note(End::NeverReached);
        };
        let origin = ground.origin(socket, label, record);
        origin.read(REQUEST_BYTES).await;
        origin.finish();
        origin.read_to_end().await;
        origin.close();
    };
    join!(ask, answer);
    client.close();
}

/// Greets every arrival; the one that answers with `label` is the client's.
async fn greeted(
    ground: &Ground,
    arrivals: &Unlabelled<'_>,
    peer: Option<&Address>,
    label: Label,
    record: &Record,
) -> Socket {
    // With one that never ends, there is always a next one to wait for.
    let mut greetings = FuturesUnordered::from_iter([pending().left_future()]);
    loop {
        let next = arrivals.next(peer);
        pin_mut!(next);
        match select(next, greetings.select_next_some()).await {
            Either::Left((arrival, _)) => {
                record.origin.sent.set(REQUEST_BYTES);
                greetings.push(greet(ground, arrival.socket, label).right_future());
            }
            Either::Right((Some(socket), _)) => return socket,
            Either::Right((None, _)) => {}
        }
    }
}

/// Greets one arrival; gives it back if it answers with `label`.
async fn greet(ground: &Ground, socket: Socket, label: Label) -> Option<Socket> {
    let scratch = Record::default();
    let side = ground.origin(socket, label, &scratch);
    let is_known = side.send(REQUEST_BYTES).await && side.hear(&label.bytes()).await;
    is_known.then(|| side.into_socket())
}

/// The origin resets every connection as soon as it is there.
pub async fn reset_at_once(ground: &Ground, way: Way, record: &Record) {
    let arrivals = ground.origin.take_unlabelled(way == Way::Through);
    let Some(socket) = ground.connect(way, record).await else { return };
    let peer = direct_peer(way, &socket);
    let client = ground.client(socket, ground.label(), record);
    let reset_all = async {
        loop {
            drop(arrivals.next(peer.as_ref()).await);
        }
    };
    let see = async move {
        client.read_to_end().await;
        client.close();
    };
    pin_mut!(reset_all, see);
    select(see, reset_all).await;
}

/// Nothing listens at the origin's address.
pub async fn refused(ground: &Ground, way: Way, record: &Record) {
    let Ok(_absence) = ground.origin.refuse() else { return };
    let Some(socket) = ground.connect(way, record).await else { return };
    let client = ground.client(socket, ground.label(), record);
    client.read_to_end().await;
    client.close();
}

/// The client speaks before the origin can be reached, and the other side's kernel has it all by then.
///
/// The origin's queue is full, so that its kernel does not answer the proxy's connection request until it comes again. A
/// direct client cannot speak that early: it speaks at once.
pub async fn early_data(ground: &Ground, way: Way, record: &Record) {
    let absence = if way == Way::Through { fill_queue(ground).await } else { None };
    let label = ground.label();
    let arrival = ground.origin.expect(label);
    let Some(socket) = ground.connect(way, record).await else { return };
    let client = ground.client(socket, label, record);
    if !(client.say(&label.bytes()).await && client.send(PART_BYTES).await) {
        return;
    }
    client.settle().await;
    if absence.is_some() {
        sleep(DIALLING).await;
    }
    drop(absence);
    let answer = async {
        let Some(Ok(arrival)) = within(Some(PATIENCE), arrival).await else {
            return record.origin.note(End::NeverReached);
        };
        let origin = ground.origin(arrival.socket, label, record);
        origin.read(PART_BYTES).await;
        origin.send(PART_BYTES).await;
        origin.read_to_end().await;
        origin.finish();
        origin.close();
    };
    let ask = async {
        if client.read(PART_BYTES).await {
            client.finish();
            client.read_to_end().await;
        }
    };
    join!(ask, answer);
    client.close();
}

/// The origin's queue is full until this is dropped.
struct FullQueue<'a> {
    _absence: Absence<'a>,
    _filler: Socket,
}

/// Puts one connection into the origin's queue, which then has no room for another.
async fn fill_queue(ground: &Ground) -> Option<FullQueue<'_>> {
    let absence = ground.origin.hold().ok()?;
    let label = ground.label();
    // It is not awaited, and no stranger either.
    drop(ground.origin.expect(label));
    let scratch = Record::default();
    let filler = ground.client(ground.connect(Way::Direct, &scratch).await?, label, &scratch);
    let is_there = filler.say(&label.bytes()).await;
    is_there.then(|| FullQueue { _absence: absence, _filler: filler.into_socket() })
}
