//! Single bytes: each is on its way at once, and an urgent one does not harm the stream around it.

use crate::{
    audit::{
        checks::PART_BYTES,
        ground::{Ground, Talk, Way},
        observation::{Beside, Record},
        side::Side,
    },
    runtime::clock::sleep,
};
use futures::join;
use std::time::{Duration, Instant};

/// Enough for quarters; with Nagle's algorithm on the way they take three seconds.
const ROUNDS: usize = 40;
/// Long enough for a proxy to have sent the first byte on by itself, so that the second one comes while it is not
/// acknowledged.
const GAP: Duration = Duration::from_millis(2);

/// Two bytes one after the other, in turns. Nagle's algorithm (RFC 9293 §3.7.4) would hold the second back until the first
/// is acknowledged, which its receiver puts off.
pub async fn one_byte_writes(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    let mut delays = Vec::new();
    for _ in 0..ROUNDS {
        for (from, to) in [(&client, &origin), (&origin, &client)] {
            match two_bytes(from, to).await {
                Some(delay) => delays.push(delay),
                None => return,
            }
        }
    }
    delays.sort_unstable();
    let [quarter, three_quarters] = [delays[delays.len() / 4], delays[delays.len() * 3 / 4]];
    *record.beside.borrow_mut() = Some(Beside::Delay { quarter, three_quarters });
    client.finish();
    origin.finish();
    join!(client.read_to_end(), origin.read_to_end());
    client.close();
    origin.close();
}

/// How long the second one took; none where they did not both arrive.
async fn two_bytes(from: &Side<'_>, to: &Side<'_>) -> Option<Duration> {
    if !from.send(1).await {
        return None;
    }
    sleep(GAP).await;
    let sent = Instant::now();
    (from.send(1).await && to.read(2).await).then(|| sent.elapsed())
}

/// Bytes, an urgent one (RFC 9293 §3.8.5) and more bytes, one way and then the other. The urgent byte itself is not judged: it is no
/// part of the stream, and RFC 6093 §3.4 says that middleboxes take it out.
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
