//! Aborts: a connection that one end resets must not look complete to the other.

use crate::tools::audit::{
    checks::{PART_BYTES, REQUEST_BYTES},
    ground::{Ground, Talk, Way},
    observation::Record,
};
use futures::join;

/// The origin resets instead of a reply.
pub async fn before_reply(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    origin.reset();
    client.read_to_end().await;
    client.close();
}

/// The origin resets in the middle of its reply, once the client has read what was sent.
pub async fn during_reply(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    join!(origin.send(PART_BYTES), client.read(PART_BYTES));
    origin.reset();
    client.read_to_end().await;
    client.close();
}

/// The origin resets when the other side's kernel has all of its reply, whether or not the client has read it.
pub async fn after_reply(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    client.send(REQUEST_BYTES).await;
    origin.read(REQUEST_BYTES).await;
    let reply = async {
        origin.send(PART_BYTES).await;
        origin.settle().await;
        origin.reset();
    };
    join!(reply, client.read_to_end());
    client.close();
}

/// The client resets in the middle of its upload, once the origin has read what was sent.
pub async fn of_client(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    join!(client.send(PART_BYTES), origin.read(PART_BYTES));
    client.reset();
    origin.read_to_end().await;
    origin.close();
}
