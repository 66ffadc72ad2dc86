//! Many clients at once, each many times: progress while it lasts, a summary at the end. Answers are not printed.

use crate::{
    net::limits::raise_descriptor_limit,
    runtime::{
        clock::sleep,
        lock::Lock,
        task::{self, Task},
    },
    tools::{
        client::{Plan, input::Kept, output::Output, tally::Tally},
        failure::{Failure, Fault},
    },
};
use futures::future::{Either, join_all, pending, select};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Standard streams, epolls, a file to send, lookups under way.
const RESERVED_DESCRIPTORS: usize = 64;
/// How often progress is shown: as often as a person can read it.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Goes to the begin of the line and clears it (ECMA-48 §8.3.41, EL).
const CLEAR_LINE: &str = "\r\x1b[K";

struct Fleet {
    plan: Plan,
    kept: Kept,
    total: u64,
    next: AtomicU64,
    tally: Lock<Tally>,
}

/// Runs the plan as often as it says. The error is the most frequent failure.
pub async fn run(plan: Plan, kept: Kept, mut notes: Output) -> Result<(), Failure> {
    let (parallel, repeat) = (plan.config.parallel, plan.config.repeat);
    let descriptors = raise_descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS).max(1);
    let clients = parallel.min(descriptors);
    if clients < parallel {
        let text = format!(
            "switchboard: {clients} clients at once in place of {parallel}: raise the descriptor limit (ulimit -n) for more\n"
        );
        notes.note(text).await;
    }
    let total = (parallel as u64).saturating_mul(repeat as u64);
    let (next, tally) = (AtomicU64::new(0), Lock::default());
    let fleet = Arc::new(Fleet { plan, kept, total, next, tally });
    let begin = Instant::now();
    let workers: Vec<Task<()>> = (0..clients).map(|_| task::spawn(fleet.clone().work())).collect();
    watch(workers, &fleet, &mut notes).await;
    let took = begin.elapsed();
    let (summary, worst) = {
        let tally = fleet.tally.lock();
        (tally.summary(clients, took), tally.worst())
    };
    notes.note(summary).await;
    worst.map_or(Ok(()), Err)
}

impl Fleet {
    /// Runs one after the other until all have begun.
    async fn work(self: Arc<Self>) {
        while self.next.fetch_add(1, Relaxed) < self.total {
            let begin = Instant::now();
            let end = self.plan.ask(self.kept.clone().payload(), None, None).await;
            self.tally.lock().add(end, begin.elapsed());
        }
    }
}

/// Waits for all workers, and shows on a terminal how far they are.
async fn watch(workers: Vec<Task<()>>, fleet: &Fleet, notes: &mut Output) {
    let mut done = join_all(workers);
    let ends = loop {
        let pause =
            if notes.is_terminal { Either::Left(sleep(PROGRESS_EVERY)) } else { Either::Right(pending()) };
        match select(done, pause).await {
            Either::Left((ends, _)) => break ends,
            Either::Right(((), still)) => done = still,
        }
        let line = fleet.tally.lock().progress(fleet.total);
        notes.note(format!("{CLEAR_LINE}{line}")).await;
    };
    if notes.is_terminal {
        notes.note(CLEAR_LINE.to_owned()).await;
    }
    for panicked in ends.into_iter().filter_map(Result::err) {
        fleet.tally.lock().add(Err(Failure::new(Fault::Internal, panicked.to_string())), Duration::ZERO);
    }
}
