//! Checks in which the client does not speak first, or the origin is not there: nothing else runs meanwhile.
//!
//! Without a label an arrival may be a health check of the proxy. So a check does the same to every arrival, and what counts
//! is what its own client sees, or the arrival that fits best.

use crate::{
    net::{address::Address, socket::Socket},
    relay::leg::Leg,
    runtime::clock::{sleep, within},
    tools::audit::{
        checks::{PART_BYTES, REQUEST_BYTES},
        ground::{Trial, Way},
        label::Label,
        observation::{End, Record, Seen},
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

pub async fn connect_and_go(trial: Trial<'_>) {
    let mut arrivals = trial.ground.origin.take_unlabelled(trial.way == Way::Through);
    for _ in 0..VISITS {
        let Some(leg) = trial.connect_silently().await else { return };
        let peer = direct_peer(trial, &leg);
        let close = trial.client(leg, trial.ground.label()).close();
        let best = best_end(&mut arrivals, peer.as_ref());
        pin_mut!(close, best);
        let best = match select(best, close).await {
            Either::Left((best, _)) => best,
            Either::Right(((), best)) => best.await,
        };
        if best != End::Fin {
            trial.note_origin(best);
            return;
        }
    }
    trial.note_origin(End::Fin);
}

/// The end of the visit: FIN as soon as an arrival has that, or else how another one ended.
async fn best_end(arrivals: &mut Unlabelled<'_>, peer: Option<&Address>) -> End {
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
fn direct_peer(trial: Trial<'_>, leg: &Leg) -> Option<Address> {
    if trial.way == Way::Direct { leg.socket().local_address().ok() } else { None }
}

/// The origin speaks first; the client waits for that, and then asks.
pub async fn speaks_first(trial: Trial<'_>) {
    let mut arrivals = trial.ground.origin.take_unlabelled(trial.way == Way::Through);
    let Some(leg) = trial.connect_silently().await else { return };
    let (peer, label) = (direct_peer(trial, &leg), trial.ground.label());
    let client = trial.client(leg, label);
    let ask = async {
        if client.read(REQUEST_BYTES).await && client.say(&label.bytes()).await {
            client.send(REQUEST_BYTES).await;
        }
        client.read_to_end().await;
        client.finish().await;
    };
    let answer = async {
        let greeted = greeted(trial, &mut arrivals, peer.as_ref(), label);
        let Some(leg) = within(Some(PATIENCE), greeted).await else {
            return trial.note_origin(End::NeverReached);
        };
        let origin = trial.origin(leg, label);
        origin.read(REQUEST_BYTES).await;
        origin.finish().await;
        origin.read_to_end().await;
        origin.close().await;
    };
    join!(ask, answer);
    client.close().await;
}

/// Greets every arrival; the one that answers with `label` is the client's.
async fn greeted(
    trial: Trial<'_>,
    arrivals: &mut Unlabelled<'_>,
    peer: Option<&Address>,
    label: Label,
) -> Leg {
    // With one that never ends, there is always a next one to wait for.
    let mut greetings = FuturesUnordered::from_iter([pending().left_future()]);
    loop {
        let next = arrivals.next(peer);
        pin_mut!(next);
        match select(next, greetings.select_next_some()).await {
            Either::Left((arrival, _)) => {
                trial.record.client.update(|seen| Seen { sent: REQUEST_BYTES, ..seen });
                greetings.push(greet(trial, arrival.socket, label).right_future());
            }
            Either::Right((Some(leg), _)) => return leg,
            Either::Right((None, _)) => {}
        }
    }
}

/// Greets one arrival; gives it back if it answers with `label`.
async fn greet(trial: Trial<'_>, socket: Socket, label: Label) -> Option<Leg> {
    let scratch = Record::default();
    let side = Trial { record: &scratch, ..trial }.origin(socket, label);
    let is_known = side.send(REQUEST_BYTES).await && side.hear(&label.bytes()).await;
    is_known.then(|| side.into_leg())
}

pub async fn reset_at_once(trial: Trial<'_>) {
    let mut arrivals = trial.ground.origin.take_unlabelled(trial.way == Way::Through);
    let Some(leg) = trial.connect_silently().await else { return };
    let peer = direct_peer(trial, &leg);
    let client = trial.client(leg, trial.ground.label());
    let reset_all = async {
        loop {
            drop(arrivals.next(peer.as_ref()).await);
        }
    };
    let see = async move {
        client.read_to_end().await;
        client.close().await;
    };
    pin_mut!(reset_all, see);
    select(see, reset_all).await;
}

pub async fn refused(trial: Trial<'_>) {
    let Ok(_absence) = trial.ground.origin.refuse() else { return };
    let Some(leg) = trial.connect_silently().await else { return };
    let client = trial.client(leg, trial.ground.label());
    client.read_to_end().await;
    client.close().await;
}

/// The client speaks before the origin can be reached, and the other side's kernel has it all by then.
///
/// The origin's queue is full, so that its kernel does not answer the proxy's connection request until it comes again. A
/// direct client cannot speak that early: it speaks at once.
pub async fn early_data(trial: Trial<'_>) {
    let absence = if trial.way == Way::Through { fill_queue(trial).await } else { None };
    let label = trial.ground.label();
    let arrival = trial.ground.origin.expect(label);
    let Some(leg) = trial.connect().await else { return };
    let first = trial.first_bytes(&leg, &label.bytes());
    let client = trial.client(leg, label);
    if !(client.say(&first).await && client.send(PART_BYTES).await) {
        return;
    }
    client.settle().await;
    if absence.is_some() {
        sleep(DIALLING).await;
    }
    drop(absence);
    let answer = async {
        let Some(Ok(arrival)) = within(Some(PATIENCE), arrival).await else {
            return trial.note_origin(End::NeverReached);
        };
        let origin = trial.origin(arrival.socket, label);
        origin.read(PART_BYTES).await;
        origin.send(PART_BYTES).await;
        origin.read_to_end().await;
        origin.finish().await;
        origin.close().await;
    };
    let ask = async {
        if client.read(PART_BYTES).await {
            client.finish().await;
            client.read_to_end().await;
        }
    };
    join!(ask, answer);
    client.close().await;
}

/// The origin's queue is full until this is dropped.
struct FullQueue<'a> {
    _absence: Absence<'a>,
    _filler: Leg,
}

/// Puts one connection into the origin's queue, which then has no room for another.
async fn fill_queue(trial: Trial<'_>) -> Option<FullQueue<'_>> {
    let origin = &trial.ground.origin;
    let absence = origin.hold().ok()?;
    let label = trial.ground.label();
    // It is not awaited, and no stranger either.
    drop(origin.expect(label));
    let scratch = Record::default();
    let direct = Trial { way: Way::Direct, record: &scratch, ..trial };
    let filler = direct.client(direct.connect().await?, label);
    let is_there = filler.say(&label.bytes()).await;
    is_there.then(|| FullQueue { _absence: absence, _filler: filler.into_leg() })
}
