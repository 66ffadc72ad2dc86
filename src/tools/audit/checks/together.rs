//! Checks that run beside each other: the client's label comes first on each connection.

use crate::{
    runtime::clock::sleep,
    tools::audit::{
        checks::{PART_BYTES, REPLY_BYTES, REQUEST_BYTES, UPLOAD_BYTES},
        ground::{Talk, Trial},
        observation::{Beside, End, Record, Seen},
        side::Side,
    },
};
use futures::{channel::oneshot, future::join_all, join};
use std::time::{Duration, Instant};

// Half-closed connections: one direction has ended, the other goes on.

pub async fn reply_after_half_close(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    let Talk { client, origin, .. } = &talk;
    client.expect_pause(trial.pause);
    let ask = async {
        client.send(REQUEST_BYTES).await;
        client.finish().await;
        client.read_to_end().await;
    };
    let answer = async {
        if origin.read_to_end().await {
            sleep(trial.pause).await;
            origin.send(REPLY_BYTES).await;
        }
        origin.finish().await;
    };
    join!(ask, answer);
    talk.close().await;
}

pub async fn upload_after_half_close(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    let Talk { client, origin, .. } = &talk;
    let ask = async {
        client.send(REQUEST_BYTES).await;
        if client.read_to_end().await {
            client.send(UPLOAD_BYTES).await;
        }
        client.finish().await;
    };
    let answer = async {
        origin.read(REQUEST_BYTES).await;
        origin.send(REPLY_BYTES).await;
        origin.finish().await;
        origin.read_to_end().await;
    };
    join!(ask, answer);
    talk.close().await;
}

/// The reply comes in the middle of an upload, which goes on only once the reply is there.
pub async fn early_reply(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    let Talk { client, origin, .. } = &talk;
    let ask = async {
        client.send(UPLOAD_BYTES / 2).await;
        client.read(PART_BYTES).await;
        client.send(UPLOAD_BYTES / 2).await;
        client.finish().await;
        client.read_to_end().await;
    };
    let answer = async {
        origin.read(UPLOAD_BYTES / 4).await;
        origin.send(PART_BYTES).await;
        origin.read_to_end().await;
        origin.finish().await;
    };
    join!(ask, answer);
    talk.close().await;
}

pub async fn idle(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    let Talk { client, origin, .. } = &talk;
    let exchange = async || {
        client.send(REQUEST_BYTES).await
            && origin.read(REQUEST_BYTES).await
            && origin.send(REQUEST_BYTES).await
            && client.read(REQUEST_BYTES).await
    };
    if exchange().await {
        sleep(trial.pause).await;
        exchange().await;
    }
    talk.part().await;
    talk.close().await;
}

// Aborts: a connection that one end resets must not look complete to the other.

pub async fn reset_before_reply(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    origin.reset();
    client.read_to_end().await;
    client.close().await;
}

/// The origin resets in the middle of its reply, once the client has read what was sent.
pub async fn reset_during_reply(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    join!(origin.send(PART_BYTES), client.read(PART_BYTES));
    origin.reset();
    client.read_to_end().await;
    client.close().await;
}

/// The origin resets when the other side's kernel has all of its reply, whether or not the client has read it.
pub async fn reset_after_reply(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    let reply = async {
        origin.send(PART_BYTES).await;
        origin.settle().await;
        origin.reset();
    };
    join!(reply, client.read_to_end());
    client.close().await;
}

/// The client resets in the middle of its upload, once the origin has read what was sent.
pub async fn client_reset(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    join!(client.send(PART_BYTES), origin.read(PART_BYTES));
    client.reset();
    origin.read_to_end().await;
    origin.close().await;
}

/// The client's stream of TLS ends in the middle of its upload by a FIN that no close_notify precedes.
pub async fn truncated_upload(trial: Trial<'_>) {
    truncate(trial, b"").await;
}

/// A record of application data that promises 16 KiB (RFC 8446 §5.1), and has four bytes.
const PART_OF_RECORD: [u8; 9] = *b"\x17\x03\x03\x40\x00part";

/// The same in the middle of a record.
pub async fn truncated_record(trial: Trial<'_>) {
    truncate(trial, &PART_OF_RECORD).await;
}

async fn truncate(trial: Trial<'_>, bytes: &[u8]) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    join!(client.send(PART_BYTES), origin.read(PART_BYTES));
    let _still_open = client.truncate(bytes).await;
    origin.read_to_end().await;
    origin.close().await;
}

// A big transfer whose sender closes as soon as it has handed over the last byte.

/// More than the buffers on the way hold.
const BULK_BYTES: u64 = 8 * 1024 * 1024;
/// The reader begins late: then all buffers are full, and the sender is gone long before its last byte arrives.
const LATE: Duration = Duration::from_millis(300);

pub async fn bulk_upload(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    pour(client, origin).await;
}

pub async fn bulk_reply(trial: Trial<'_>) {
    let Some(Talk { client, origin, .. }) = trial.open().await else { return };
    pour(origin, client).await;
}

async fn pour(sender: Side<'_>, reader: Side<'_>) {
    let send = async move {
        sender.send(BULK_BYTES).await;
        sender.close().await;
    };
    let read = async move {
        sleep(LATE).await;
        reader.read_to_end().await;
        reader.close().await;
    };
    join!(send, read);
}

// A reader that stalls for seconds and then goes on: nothing is lost, and the sender is held back meanwhile.

/// More than the buffers on the way hold, with the kernel's four (up to 32 MiB on a tuned machine). A proxy that takes all
/// of it does not hold the sender back.
const OFFER_BYTES: u64 = 128 * 1024 * 1024;
/// No byte was taken for this long: the sender is held back.
const STILL: Duration = Duration::from_secs(1);
/// How long the reader stalls at least.
const STALL: Duration = Duration::from_secs(2);

pub async fn stalled_client(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    stall(&talk.origin, &talk.client, trial.record).await;
    talk.close().await;
}

pub async fn stalled_origin(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    stall(&talk.client, &talk.origin, trial.record).await;
    talk.close().await;
}

async fn stall(sender: &Side<'_>, reader: &Side<'_>, record: &Record) {
    let (stopped, has_stopped) = oneshot::channel();
    let send = async {
        let held = sender.send_until_held(OFFER_BYTES, STILL).await;
        record.beside.replace(Some(Beside::HeldBack { held, after: sender.sent() }));
        // The reader waits for this.
        let _ = stopped.send(());
        sender.send(UPLOAD_BYTES).await;
        sender.finish().await;
    };
    let read = async {
        reader.read(PART_BYTES).await;
        let _ = join!(has_stopped, sleep(STALL));
        reader.read_to_end().await;
    };
    join!(send, read);
}

// Single bytes: each is on its way at once, and an urgent one does not harm the stream around it.

/// Enough for quarters; with Nagle's algorithm on the way they take two seconds.
const ROUNDS: usize = 20;
/// Whole messages before that, which tell how long the way is.
const MESSAGES: usize = 8;
/// Long enough for a proxy to have sent the first byte on by itself, so that the second one comes while it is not
/// acknowledged.
const GAP: Duration = Duration::from_millis(2);

/// Two bytes one after the other, in turns. Nagle's algorithm (RFC 9293 §3.7.4) would hold the second back until the first
/// is acknowledged, which its receiver puts off.
pub async fn one_byte_writes(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    let turns = [(&talk.client, &talk.origin), (&talk.origin, &talk.client)];
    let (mut messages, mut delays) = (Vec::new(), Vec::new());
    for (from, to) in turns.repeat(MESSAGES) {
        let Some(delay) = timed(from, to, REQUEST_BYTES).await else { return };
        messages.push(delay);
    }
    for (from, to) in turns.repeat(ROUNDS) {
        let Some(delay) = two_bytes(from, to).await else { return };
        delays.push(delay);
    }
    delays.sort_unstable();
    messages.sort_unstable();
    trial.record.beside.replace(Some(Beside::Delay {
        message: messages[messages.len() / 2],
        quarter: delays[delays.len() / 4],
        three_quarters: delays[delays.len() * 3 / 4],
    }));
    talk.part().await;
    talk.close().await;
}

/// How long the second byte took; none unless both arrived.
async fn two_bytes(from: &Side<'_>, to: &Side<'_>) -> Option<Duration> {
    if !from.send(1).await {
        return None;
    }
    sleep(GAP).await;
    let sent = Instant::now();
    (from.send(1).await && to.read(2).await).then(|| sent.elapsed())
}

/// How long `count` bytes took; none if they did not arrive.
async fn timed(from: &Side<'_>, to: &Side<'_>, count: u64) -> Option<Duration> {
    let sent = Instant::now();
    (from.send(count).await && to.read(count).await).then(|| sent.elapsed())
}

/// Bytes, an urgent one (RFC 9293 §3.8.5) and more bytes, one way and then the other. The urgent byte
/// itself is not judged: it is no part of the stream, programs are not to use it any more (RFC 6093 §5), and none of the
/// proxies that were tried passes it on.
pub async fn urgent(trial: Trial<'_>) {
    let Some(talk) = trial.open().await else { return };
    for (from, to) in [(&talk.client, &talk.origin), (&talk.origin, &talk.client)] {
        let send =
            async { from.send(PART_BYTES).await && from.send_urgent().await && from.send(PART_BYTES).await };
        if join!(send, to.read(2 * PART_BYTES)) != (true, true) {
            break;
        }
    }
    talk.part().await;
    talk.close().await;
}

// Many connections at once: each gets its own bytes, and all of them.

/// Few enough for the default limits of every proxy that was tried.
const CONNECTIONS: usize = 100;

/// All are open before any of them speaks, and all have spoken before any of them ends.
pub async fn many(trial: Trial<'_>) {
    let records: Vec<Record> = (0..CONNECTIONS).map(|_| Record::default()).collect();
    let trials: Vec<Trial<'_>> = records.iter().map(|record| Trial { record, ..trial }).collect();
    let talks: Vec<Talk> = join_all(trials.iter().map(Trial::open)).await.into_iter().flatten().collect();
    join_all(talks.iter().map(exchange)).await;
    join_all(talks.iter().map(Talk::part)).await;
    join_all(talks.into_iter().map(Talk::close)).await;
    let mut whole = 0;
    for one in &records {
        trial.record.client.update(|seen| seen.with(one.client.get()));
        trial.record.origin.update(|seen| seen.with(one.origin.get()));
        whole += usize::from([one.client.get(), one.origin.get()].into_iter().all(is_whole));
    }
    trial.record.beside.replace(Some(Beside::Whole { whole, of: CONNECTIONS }));
}

async fn exchange(Talk { client, origin, .. }: &Talk<'_>) {
    join!(client.send(REQUEST_BYTES), origin.send(REQUEST_BYTES), client.read(REQUEST_BYTES), async {
        origin.read(REQUEST_BYTES).await
    });
}

fn is_whole(seen: Seen) -> bool {
    seen.received == REQUEST_BYTES
        && seen.sent == REQUEST_BYTES
        && seen.wrong_at.is_none()
        && seen.end == End::Fin
}

/// Looks for the PROXY protocol's header, which the origin takes off each connection.
pub async fn proxy_header(trial: Trial<'_>) {
    let Some(mut talk) = trial.open().await else { return };
    trial.record.beside.replace(Some(Beside::Header(talk.header.take())));
    talk.part().await;
    talk.close().await;
}
