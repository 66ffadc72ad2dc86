//! Many connections at once: each gets its own bytes, and all of them.

use crate::tools::audit::{
    checks::REQUEST_BYTES,
    ground::{Ground, Talk, Way},
    observation::{Beside, End, Record},
};
use futures::{future::join_all, join};

/// Few enough for the default limits of every proxy that was tried.
const CONNECTIONS: usize = 100;

/// All are open before any of them speaks, and all have spoken before any of them ends.
pub async fn many(ground: &Ground, way: Way, record: &Record) {
    let records: Vec<Record> = (0..CONNECTIONS).map(|_| Record::default()).collect();
    let talks = join_all(records.iter().map(|record| ground.open(way, record))).await;
    let talks: Vec<Talk> = talks.into_iter().flatten().collect();
    join_all(talks.iter().map(exchange)).await;
    join_all(talks.iter().map(end)).await;
    for Talk { client, origin, .. } in talks {
        client.close();
        origin.close();
    }
    for one in &records {
        record.client.add(&one.client);
        record.origin.add(&one.origin);
    }
    let whole = records.iter().filter(|record| is_whole(record)).count();
    *record.beside.borrow_mut() = Some(Beside::Whole { whole, of: CONNECTIONS });
}

async fn exchange(Talk { client, origin, .. }: &Talk<'_>) {
    join!(client.send(REQUEST_BYTES), origin.send(REQUEST_BYTES), client.read(REQUEST_BYTES), async {
        origin.read(REQUEST_BYTES).await
    });
}

async fn end(Talk { client, origin, .. }: &Talk<'_>) {
    client.finish();
    origin.finish();
    join!(client.read_to_end(), origin.read_to_end());
}

fn is_whole(record: &Record) -> bool {
    let seen = record.observation();
    [seen.client, seen.origin].iter().all(|seen| {
        seen.received == REQUEST_BYTES
            && seen.missing() == 0
            && seen.wrong_at.is_none()
            && seen.end == End::Fin
    })
}
