//! What the threads of one run share with the thread that watches it.

use crate::{
    runtime::{lock::Lock, mailbox::Sender},
    tools::load::{run::Phase, timeline::Timeline},
};
use std::sync::MutexGuard;

pub struct Shared {
    progress: Lock<Progress>,
    /// The watcher is told that something is new. A lost message is made up for by the next.
    watcher: Sender<()>,
}

/// How far a run is. No change of it happens more than once a connection.
#[derive(Default)]
pub struct Progress {
    /// Every thread is to come to its end.
    pub stopped: bool,
    /// Of the foremost thread.
    pub phase: Phase,
    /// Clients that have made their first steps.
    pub ready: usize,
    /// Connections that were made.
    pub made: u64,
    /// Threads whose clients have made their first steps.
    pub there: usize,
    /// Threads that still run.
    pub running: usize,
    pub timeline: Timeline,
}

impl Shared {
    pub fn new(threads: usize, watcher: Sender<()>) -> Self {
        let timeline = Timeline::new(threads);
        let progress = Progress { running: threads, timeline, ..Progress::default() };
        Shared { progress: Lock::new(progress), watcher }
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut progress = self.progress();
        progress.phase = progress.phase.max(phase);
        self.tell();
    }

    pub(super) fn note_end(&self) {
        self.progress().running -= 1;
        self.tell();
    }

    pub(super) fn tell(&self) {
        let _ = self.watcher.try_send(());
    }
}
