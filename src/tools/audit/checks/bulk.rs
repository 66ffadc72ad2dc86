//! A big transfer whose sender closes as soon as it has handed over the last byte.

use crate::{
    runtime::clock::sleep,
    tools::audit::{
        ground::{Ground, Talk, Way},
        observation::Record,
        side::Side,
    },
};
use futures::join;
use std::time::Duration;

/// More than the buffers on the way hold.
const BULK_BYTES: u64 = 8 * 1024 * 1024;
/// The reader begins late: then all buffers are full, and the sender is gone long before its last byte arrives.
const LATE: Duration = Duration::from_millis(300);

/// The client uploads and closes.
pub async fn upload_and_close(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    pour(client, origin).await;
}

/// The origin replies and closes.
pub async fn reply_and_close(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    pour(origin, client).await;
}

async fn pour(sender: Side<'_>, reader: Side<'_>) {
    let send = async move {
        sender.send(BULK_BYTES).await;
        sender.close();
    };
    let read = async move {
        sleep(LATE).await;
        reader.read_to_end().await;
        reader.close();
    };
    join!(send, read);
}
