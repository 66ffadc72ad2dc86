//! A reader that stalls for seconds and then goes on: nothing is lost, and the sender is held back meanwhile.

use crate::{
    runtime::clock::sleep,
    tools::audit::{
        checks::{PART_BYTES, UPLOAD_BYTES},
        ground::{Ground, Talk, Way},
        observation::{Beside, Record},
        side::Side,
    },
};
use futures::{channel::oneshot, join};
use std::time::Duration;

/// More than the buffers on the way hold, with the kernel's four (up to 32 MiB on a tuned machine). A proxy that takes all
/// of it does not hold the sender back.
const OFFER_BYTES: u64 = 128 * 1024 * 1024;
/// No byte was taken for this long: the sender is held back.
const STILL: Duration = Duration::from_secs(1);
/// How long the reader stalls at least.
const STALL: Duration = Duration::from_secs(2);

/// The client stalls.
pub async fn of_client(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    stall(&origin, &client, record).await;
    client.close();
    origin.close();
}

/// The origin stalls.
pub async fn of_origin(ground: &Ground, way: Way, record: &Record) {
    let Some(Talk { client, origin, .. }) = ground.open(way, record).await else { return };
    stall(&client, &origin, record).await;
    client.close();
    origin.close();
}

async fn stall(sender: &Side<'_>, reader: &Side<'_>, record: &Record) {
    let (stopped, has_stopped) = oneshot::channel();
    let send = async {
        let held = sender.send_until_held(OFFER_BYTES, STILL).await;
        *record.beside.borrow_mut() = Some(Beside::HeldBack { held, after: sender.sent() });
        // The reader waits for this.
        let _ = stopped.send(());
        sender.send(UPLOAD_BYTES).await;
        sender.finish();
    };
    let read = async {
        reader.read(PART_BYTES).await;
        let _ = join!(has_stopped, sleep(STALL));
        reader.read_to_end().await;
    };
    join!(send, read);
}
