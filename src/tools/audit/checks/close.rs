//! Half-closed connections: one direction has ended, the other goes on.

use crate::{
    runtime::clock::sleep,
    tools::audit::{
        checks::{PART_BYTES, REPLY_BYTES, REQUEST_BYTES, UPLOAD_BYTES},
        ground::{Ground, Talk, Way},
        observation::Record,
    },
};
use futures::join;
use std::time::Duration;

/// The client ends its stream; the reply comes `pause` later.
pub async fn reply_after_half_close(ground: &Ground, way: Way, record: &Record, pause: Duration) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    client.expect_pause(pause);
    let ask = async {
        client.send(REQUEST_BYTES).await;
        client.finish();
        client.read_to_end().await;
    };
    let answer = async {
        if origin.read_to_end().await {
            sleep(pause).await;
            origin.send(REPLY_BYTES).await;
        }
        origin.finish();
    };
    join!(ask, answer);
    client.close();
    origin.close();
}

/// The origin ends its stream; the client's upload comes after that.
pub async fn upload_after_half_close(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    let ask = async {
        client.send(REQUEST_BYTES).await;
        if client.read_to_end().await {
            client.send(UPLOAD_BYTES).await;
        }
        client.finish();
    };
    let answer = async {
        origin.read(REQUEST_BYTES).await;
        origin.send(REPLY_BYTES).await;
        origin.finish();
        origin.read_to_end().await;
    };
    join!(ask, answer);
    client.close();
    origin.close();
}

/// The reply comes in the middle of an upload, which goes on only once the reply is there.
pub async fn early_reply(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    let ask = async {
        client.send(UPLOAD_BYTES / 2).await;
        client.read(PART_BYTES).await;
        client.send(UPLOAD_BYTES / 2).await;
        client.finish();
        client.read_to_end().await;
    };
    let answer = async {
        origin.read(UPLOAD_BYTES / 4).await;
        origin.send(PART_BYTES).await;
        origin.read_to_end().await;
        origin.finish();
    };
    join!(ask, answer);
    client.close();
    origin.close();
}

/// A word each way, silence, and another word each way.
pub async fn idle(ground: &Ground, way: Way, record: &Record, silence: Duration) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    let exchange = async || {
        client.send(REQUEST_BYTES).await
            && origin.read(REQUEST_BYTES).await
            && origin.send(REQUEST_BYTES).await
            && client.read(REQUEST_BYTES).await
    };
    if exchange().await {
        sleep(silence).await;
        exchange().await;
    }
    client.finish();
    origin.finish();
    join!(client.read_to_end(), origin.read_to_end());
    client.close();
    origin.close();
}
