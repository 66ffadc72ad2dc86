//! Clients in parallel: everyone makes the first steps, the load warms up, operations count for a time, then all end.

use crate::{
    load::{client::client, failure::Failure, report::Report, script::Script, stage::Stage},
    runtime::clock::within,
};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use std::{
    future::poll_fn,
    net::SocketAddr,
    task::Poll,
    time::{Duration, Instant},
};

/// How many clients may be at their first steps at once: well within a listener's usual backlog.
const STARTING_AT_ONCE: usize = 64;
/// How long all clients together may take for their first steps; then the run goes on with those that are there.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the last operations and the steps after them may take.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to load.
    pub target: SocketAddr,
    /// Clients in parallel.
    pub connections: usize,
    /// What each does.
    pub script: Script,
    /// How long the load runs before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub window: Duration,
    /// At most so many operations of all clients together, not counting those of the warm-up.
    pub operations: Option<u64>,
}

/// A moment that whoever runs a plan can act at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Every client has made its first steps, or failed at them.
    Started,
    /// Operations count from now on.
    Begin,
    /// Operations count no longer.
    End,
}

/// The clients of a run.
struct Crowd<'a> {
    stage: &'a Stage<'a>,
    clients: FuturesUnordered<LocalBoxFuture<'a, ()>>,
    born: usize,
    ended: usize,
}

/// Runs `plan`, under [`crate::runtime::inline`]; `at` is called at each [`Moment`].
///
/// `seed` tells this run's patterns from those of others.
pub async fn run(plan: &Plan, seed: u64, mut at: impl FnMut(Moment)) -> Report {
    let stage = Stage::new(plan, seed);
    let mut crowd = Crowd { stage: &stage, clients: FuturesUnordered::new(), born: 0, ended: 0 };
    within(Some(START_LIMIT), crowd.until(|stage, _| stage.started.get() == plan.connections)).await;
    at(Moment::Started);
    if !plan.warm_up.is_zero() {
        stage.open();
        within(Some(plan.warm_up), crowd.until_ended()).await;
    }
    at(Moment::Begin);
    let (begin, before) = (Instant::now(), stage.room.moved());
    stage.counting.set(true);
    stage.open();
    within(Some(plan.window), crowd.until_ended()).await;
    stage.close_window(begin, before);
    at(Moment::End);
    let all_but_holders = |stage: &Stage<'_>, ended: usize| ended + stage.holding.get() >= plan.connections;
    within(Some(END_LIMIT), crowd.until(all_but_holders)).await;
    let late = plan.connections.saturating_sub(crowd.ended + stage.holding.get());
    drop(crowd);
    (0..late).for_each(|_| stage.fail(Failure::TimedOut));
    stage.report.into_inner()
}

impl<'a> Crowd<'a> {
    /// Lets clients be born and run until `done`, which is told how many have ended.
    async fn until(&mut self, done: impl Fn(&Stage<'_>, usize) -> bool) {
        poll_fn(|context| {
            loop {
                let started = self.stage.started.get();
                while self.born < self.stage.plan.connections && self.born < started + STARTING_AT_ONCE {
                    self.clients.push(client(self.stage).boxed_local());
                    self.born += 1;
                }
                let step = self.clients.poll_next_unpin(context);
                self.ended += usize::from(matches!(step, Poll::Ready(Some(()))));
                if done(self.stage, self.ended) {
                    return Poll::Ready(());
                }
                if !matches!(step, Poll::Ready(Some(()))) && self.stage.started.get() == started {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    async fn until_ended(&mut self) {
        let all = self.stage.plan.connections;
        self.until(|_, ended| ended == all).await;
    }
}
