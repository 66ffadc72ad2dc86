//! A program on the calling thread alone: the thread itself waits for events, so that an event costs no hand-off
//! between threads. For measuring: each microsecond of ours would be taken for the server's.
//!
//! It drives the sockets that it makes, and a clock of its own. It has no tasks: what runs at once is one future made of many.

use crate::runtime::{
    clock,
    readiness::{NO_SOCKET, OWN, Registry, take_events},
};
use rustix::event::{
    EventfdFlags, PollFd, PollFlags, Timespec,
    epoll::{self, EventData, EventFlags},
    eventfd, poll,
};
use std::{
    io,
    num::NonZeroU64,
    os::fd::OwnedFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

/// What epoll_wait(2) counts in, upwards: so much earlier a wait has to end.
const COARSE_STEP: Duration = Duration::from_millis(1);
/// A wait shorter than this is left to ppoll(2), which counts in nanoseconds.
const FINE: Duration = Duration::from_millis(2);

/// The program's waker. On its own thread waking sets a flag; while that thread sleeps, others end its wait.
struct Alarm {
    event: OwnedFd,
    rung: AtomicBool,
    asleep: AtomicBool,
}

/// Runs `program` to its end. Only sleepers that the program makes itself are on its clock.
pub fn run<T>(program: impl Future<Output = T>) -> io::Result<T> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let own_sockets = OwnSockets::open(&event)?;
    let own_clock = clock::Own::open();
    // By default the kernel lets a timer be 50 µs late, to save wake-ups (prctl(2)).
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let alarm = Arc::new(Alarm { event, rung: AtomicBool::new(false), asleep: AtomicBool::new(false) });
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    let mut program = pin!(program);
    loop {
        alarm.rung.store(false, SeqCst);
        if let Poll::Ready(value) = program.as_mut().poll(&mut context) {
            return Ok(value);
        }
        let due = own_clock.wake_due();
        alarm.asleep.store(true, SeqCst);
        let limit = if alarm.rung.load(SeqCst) {
            Some(Duration::ZERO)
        } else {
            due.map(|due| due.saturating_duration_since(Instant::now()))
        };
        own_sockets.wait(limit, || alarm.asleep.store(false, SeqCst));
    }
}

/// The calling thread's own registry, in place of the actor's: sockets that the thread makes are registered in it, and
/// the thread takes their events itself. It ends when this and the sockets are dropped.
struct OwnSockets {
    registry: Arc<Registry>,
}

impl OwnSockets {
    /// A write to `interruption` (eventfd(2)) ends [`OwnSockets::wait`].
    fn open(interruption: &OwnedFd) -> io::Result<Self> {
        let registry = Arc::new(Registry::open()?);
        let interest = EventFlags::IN | EventFlags::ET;
        epoll::add(&registry.epoll, interruption, EventData::new_u64(NO_SOCKET), interest)?;
        OWN.set(Some(registry.clone()));
        Ok(OwnSockets { registry })
    }

    /// Blocks the thread until there are events, at most for `limit`; calls `awake`; then wakes the tasks that the events concern.
    fn wait(&self, limit: Option<Duration>, awake: impl FnOnce()) {
        // A limit beyond what the kernel's type holds is none.
        let timespec = |limit| Timespec::try_from(limit).ok();
        if let Some(limit) = limit.filter(|limit| !limit.is_zero() && *limit < FINE) {
            let mut epoll = [PollFd::new(&self.registry.epoll, PollFlags::IN)];
            // An error here is a signal, and then the wait has ended as well.
            let _ = poll(&mut epoll, timespec(limit).as_ref());
            take_events(&self.registry, Some(&Timespec::default()), awake);
        } else {
            let limit = limit.map(|limit| limit.saturating_sub(COARSE_STEP)).and_then(timespec);
            take_events(&self.registry, limit.as_ref(), awake);
        }
    }
}

impl Drop for OwnSockets {
    fn drop(&mut self) {
        OWN.set(None);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) && self.asleep.load(SeqCst) {
            // Only a counter at its limit refuses, and then the wait has ended already.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::oneshot;

    #[test]
    fn another_thread_ends_the_wait() {
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        let limit = Some(Duration::from_secs(10));
        assert_eq!(run(clock::within(limit, receiver)).unwrap(), Some(Ok(7)));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_sleep_ends_in_time() {
        let begin = Instant::now();
        run(async { clock::sleep(Duration::from_millis(20)).await }).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(20));
    }
}
