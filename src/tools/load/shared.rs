//! The state that the threads of one run share with the thread that watches it: counts, a wish to stop, the seconds so far.

use crate::{
    runtime::mailbox::Sender,
    tools::load::{run::Phase, timeline::Timeline},
};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

pub struct Shared {
    stop: AtomicBool,
    phase: AtomicUsize,
    /// Clients that have made their first steps.
    ready: AtomicUsize,
    made: AtomicU64,
    /// Threads whose clients have made their first steps.
    there: AtomicUsize,
    /// Threads that still run.
    running: AtomicUsize,
    timeline: Mutex<Timeline>,
    /// The watcher is told that something is new. A lost message is made up for by the next.
    watcher: Sender<()>,
}

impl Shared {
    pub fn new(threads: usize, watcher: Sender<()>) -> Self {
        Shared {
            stop: AtomicBool::new(false),
            phase: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            made: AtomicU64::new(0),
            there: AtomicUsize::new(0),
            running: AtomicUsize::new(threads),
            timeline: Mutex::new(Timeline::new(threads)),
            watcher,
        }
    }

    /// Asks every thread to come to its end.
    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// How far the foremost thread is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Ramp,
            1 => Phase::WarmUp,
            2 => Phase::Window,
            _ => Phase::End,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as usize, Relaxed);
        self.tell();
    }

    pub fn ready(&self) -> usize {
        self.ready.load(Relaxed)
    }

    pub(super) fn note_ready(&self) {
        self.ready.fetch_add(1, Relaxed);
    }

    pub fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    pub(super) fn note_made(&self) {
        self.made.fetch_add(1, Relaxed);
    }

    /// The clients of a thread have made their first steps.
    pub(super) fn note_there(&self) {
        self.there.fetch_add(1, SeqCst);
    }

    /// Whether those of every thread have. One that failed is not waited for.
    pub(super) fn are_all_there(&self) -> bool {
        self.there.load(SeqCst) >= self.running.load(SeqCst)
    }

    pub fn is_running(&self) -> bool {
        self.running.load(SeqCst) > 0
    }

    pub(super) fn note_end(&self) {
        self.running.fetch_sub(1, SeqCst);
        self.tell();
    }

    pub fn timeline(&self) -> MutexGuard<'_, Timeline> {
        // Every change under the lock is one call.
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self) {
        let _ = self.watcher.try_send(());
    }
}
