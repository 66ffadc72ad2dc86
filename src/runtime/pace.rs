//! The readiness actor's loop: how it looks for events, and how it waits if there are none.
//!
//! While any task has something to do, it only looks, between their turns. Once no task has, there are three ways to wait,
//! each far cheaper than the next if an event comes soon, and dearer if none does:
//! 1. look again and again (`--busy-poll`): no sleep at all, but the processor is taken;
//! 2. nap: sleep in the epoll itself, for `NAP` at most, because no other thread can wake this one meanwhile;
//! 3. sleep in the runtime's reactor, for which two threads change places.
//!
//! The last gaps say which: an event is expected to come as soon as the last ones did.

use crate::runtime::{
    executor::yield_now,
    readiness::{Registry, take_events},
    task::polls,
};
use async_io::Async;
use rustix::event::Timespec;
use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a nap may be. What another thread wakes (a resolved name, a timer, a signal) may be late by as much.
const NAP: Duration = Duration::from_millis(1);
const NAP_LIMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Turns that all tasks get between two looks: the woken run, then those that they woke, then it shows that none is left.
const TURNS: usize = 3;
/// Short gaps in a row that make another likely. One says nothing: an upstream's answer comes soon after every request, and
/// then nothing does.
const GAPS_BEFORE_LOOKING: u32 = 4;
const GAPS_BEFORE_NAPPING: u32 = 2;

/// Bulk was moved since the last wait. Buffers are deep there, and a sleep delays no peer.
static BULK: AtomicBool = AtomicBool::new(false);

/// Says that bulk is moved: looking again and again is not worth it.
pub fn note_bulk() {
    BULK.store(true, Ordering::Relaxed);
}

/// `busy_poll` is how long to look.
pub(super) async fn run(registry: Arc<Registry>, outer: Async<Arc<OwnedFd>>, busy_poll: Option<Duration>) {
    let look = |limit: &Timespec| take_events(&registry, Some(limit), || ()) > 0;
    let mut gaps = Gaps { look_limit: busy_poll.unwrap_or(Duration::ZERO), ..Gaps::default() };
    loop {
        if !all_wait().await {
            look(&AT_ONCE);
            continue;
        }
        let begin = Instant::now();
        loop {
            if gaps.below_look >= GAPS_BEFORE_LOOKING && begin.elapsed() < gaps.look_limit {
                if look(&AT_ONCE) {
                    break;
                }
                // Another program that wants this core gets it: it may be the peer that we look for.
                std::thread::yield_now();
                if all_wait().await {
                    continue;
                }
            } else if !look(if gaps.below_nap >= GAPS_BEFORE_NAPPING { &NAP_LIMIT } else { &AT_ONCE }) {
                // An error here would be the runtime's own; looking again is all that can be done.
                let _ = outer.readable().await;
                look(&AT_ONCE);
            }
            break;
        }
        gaps.note(begin.elapsed());
    }
}

/// Gives every other task its turns; says whether they have nothing to do.
async fn all_wait() -> bool {
    for _ in 0..TURNS {
        let before = polls();
        yield_now().await;
        // Our own poll is one.
        if polls() - before <= 1 {
            return true;
        }
    }
    false
}

/// How many of the last waits in a row were short.
#[derive(Default)]
struct Gaps {
    look_limit: Duration,
    below_look: u32,
    below_nap: u32,
}

impl Gaps {
    fn note(&mut self, gap: Duration) {
        let count = |limit: Duration, count: u32| if gap < limit { count.saturating_add(1) } else { 0 };
        self.below_look = count(self.look_limit, self.below_look);
        self.below_nap = count(NAP, self.below_nap);
        if BULK.swap(false, Ordering::Relaxed) {
            self.below_look = 0;
        }
    }
}
