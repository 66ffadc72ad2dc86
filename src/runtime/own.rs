//! The sockets of a thread that takes their events itself ([`super::inline`]), and how it waits for them.

use crate::runtime::readiness::{NO_SOCKET, OWN, Registry, take_events};
use rustix::event::{
    PollFd, PollFlags, Timespec,
    epoll::{self, EventData, EventFlags},
    poll,
};
use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

/// What epoll_wait(2) counts in, upwards: so much earlier a wait has to end.
const COARSE_STEP: Duration = Duration::from_millis(1);
/// A wait shorter than this is left to ppoll(2), which counts in nanoseconds.
const FINE: Duration = Duration::from_millis(2);

/// The calling thread's own registry, in place of the actor's: sockets that the thread makes are registered in it, and
/// the thread takes their events itself. It ends when this and the sockets are dropped.
pub(super) struct Own {
    registry: Arc<Registry>,
}

impl Own {
    /// Opens one; a write to `interruption` (eventfd(2)) ends [`Own::wait`].
    pub(super) fn open(interruption: &OwnedFd) -> io::Result<Self> {
        let registry = Arc::new(Registry::open()?);
        let interest = EventFlags::IN | EventFlags::ET;
        epoll::add(&registry.epoll, interruption, EventData::new_u64(NO_SOCKET), interest)?;
        OWN.set(Some(registry.clone()));
        Ok(Own { registry })
    }

    /// Blocks the thread until there are events, at most for `limit`; calls `awake`; then wakes whom they concern.
    pub(super) fn wait(&self, limit: Option<Duration>, awake: impl FnOnce()) {
        // A limit beyond what the kernel's type holds is none.
        let timespec = |limit| Timespec::try_from(limit).ok();
        match limit {
            Some(limit) if !limit.is_zero() && limit < FINE => {
                // An error here is a signal, and then the wait has ended as well.
                let _ =
                    poll(&mut [PollFd::new(&self.registry.epoll, PollFlags::IN)], timespec(limit).as_ref());
                take_events(&self.registry, Some(&Timespec::default()), awake);
            }
            _ => {
                let limit = limit.map(|limit| limit.saturating_sub(COARSE_STEP)).and_then(timespec);
                take_events(&self.registry, limit.as_ref(), awake);
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        OWN.set(None);
    }
}
