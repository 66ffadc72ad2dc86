//! Waiting until a peer has all that was written to it, so that a reset destroys nothing.

use crate::{
    net::{kernel as diag, socket::Socket},
    runtime::clock::sleep,
};
use futures::{
    future::{Either, select},
    pin_mut,
};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long a peer may acknowledge nothing before what is left is given up; a peer that pauses still gets it.
const STANDSTILL: Duration = Duration::from_secs(5);
/// However slowly the peer takes it.
const LONGEST: Duration = Duration::from_secs(60);
/// Where the kernel cannot be asked.
const BLIND_WAIT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Waits until the peer's kernel has acknowledged all that was written, or is known to be gone, or takes nothing more.
pub async fn settle(socket: &Socket) {
    let (Ok(local), Ok(peer)) = (socket.local_address(), socket.peer_address()) else { return };
    let begin = Instant::now();
    let (mut last, mut moved) = (None, begin);
    let mut pause = FIRST_PAUSE;
    loop {
        match diag::unacknowledged(&local, &peer) {
            Ok(0) => return,
            Ok(left) if last != Some(left) => (last, moved) = (Some(left), Instant::now()),
            Ok(_) if moved.elapsed() >= STANDSTILL || begin.elapsed() >= LONGEST => return,
            Ok(_) => {}
            // Gone, or a UNIX socket, whose peer has what was written at once.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return,
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => return,
            Err(_) => return sleep(BLIND_WAIT).await,
        }
        let aborted = socket.aborted();
        pin_mut!(aborted);
        if let Either::Left(((), _)) = select(aborted, sleep(pause)).await {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
