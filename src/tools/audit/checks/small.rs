//! Single bytes: each is on its way at once, and an urgent one does not harm the stream around it.

use crate::{
    runtime::clock::sleep,
    tools::audit::{
        checks::{PART_BYTES, REQUEST_BYTES},
        ground::{Ground, Talk, Way},
        observation::{Beside, Record},
        side::Side,
    },
};
use futures::join;
use std::time::{Duration, Instant};

/// Enough for quarters; with Nagle's algorithm on the way they take two seconds.
const ROUNDS: usize = 20;
/// Whole messages before that, which tell how long the way is.
const MESSAGES: usize = 8;
/// Long enough for a proxy to have sent the first byte on by itself, so that the second one comes while it is not
/// acknowledged.
const GAP: Duration = Duration::from_millis(2);

/// Two bytes one after the other, in turns. Nagle's algorithm (RFC 9293 §3.7.4) would hold the second back until the first
/// is acknowledged, which its receiver puts off.
pub async fn one_byte_writes(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    let turns = [(&client, &origin), (&origin, &client)];
    let mut messages = Vec::new();
    for _ in 0..MESSAGES {
        for (from, to) in turns {
            match timed(from, to, REQUEST_BYTES).await {
                Some(delay) => messages.push(delay),
                None => return,
            }
        }
    }
    let mut delays = Vec::new();
    for _ in 0..ROUNDS {
        for (from, to) in turns {
            match two_bytes(from, to).await {
                Some(delay) => delays.push(delay),
                None => return,
            }
        }
    }
    delays.sort_unstable();
    messages.sort_unstable();
    *record.beside.borrow_mut() = Some(Beside::Delay {
        message: messages[messages.len() / 2],
        quarter: delays[delays.len() / 4],
        three_quarters: delays[delays.len() * 3 / 4],
    });
    client.finish();
    origin.finish();
    join!(client.read_to_end(), origin.read_to_end());
    client.close();
    origin.close();
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
pub async fn urgent(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    for (from, to) in [(&client, &origin), (&origin, &client)] {
        let send =
            async { from.send(PART_BYTES).await && from.send_urgent().await && from.send(PART_BYTES).await };
        if join!(send, to.read(2 * PART_BYTES)) != (true, true) {
            break;
        }
    }
    client.finish();
    origin.finish();
    join!(client.read_to_end(), origin.read_to_end());
    client.close();
    origin.close();
}
