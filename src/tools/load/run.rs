//! Clients in parallel: all make their first steps, the load warms up, operations count for a time, then all end.

use crate::{
    net::{address::Address, proxy_header::ProxyVersion},
    runtime::{
        clock::{sleep, sleep_until, within},
        mailbox::mailbox,
    },
    tools::{
        load::{
            arrivals::Rate,
            client::client,
            failure::Failure,
            report::Report,
            script::Script,
            shared::{Progress, Shared},
            stage::Stage,
            watch::Watch,
        },
        tls::TargetTls,
    },
};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use std::{
    future::{pending, poll_fn},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// How many clients may be at their first steps at once: well within a listener's usual backlog.
const STARTING_AT_ONCE: usize = 64;
/// How long all clients together may take for their first steps; then the run goes on with those that are there.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the last operations and the steps after them may take.
const END_LIMIT: Duration = Duration::from_secs(10);
/// The same if a user stopped the run, and waits.
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks at operations that take too long, and at whether the run is to stop.
const SWEEP_EVERY: Duration = Duration::from_millis(50);
/// Between two looks whether the other threads are there: they begin at most this far apart.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Address,
    /// Of a target that speaks it.
    pub tls: Option<TargetTls>,
    /// Send a PROXY header first on each connection.
    pub send_proxy: Option<ProxyVersion>,
    pub connections: usize,
    pub script: Script,
    pub warm_up: Duration,
    pub window: Duration,
    /// The most operations of all clients together, without those of the warm-up.
    pub operations: Option<u64>,
    /// Send this instead of the pattern.
    pub message: Option<Arc<[u8]>>,
    /// Count what is received, and compare it with nothing.
    pub blind: bool,
    /// When operations are due; none: as soon as the one before has ended.
    pub rate: Option<Rate>,
    /// The most new connections a second.
    pub connect_rate: Option<Rate>,
    /// The longest that an operation, or connecting, may take.
    pub timeout: Option<Duration>,
    /// End at once if the first connections cannot be made.
    pub needs_target: bool,
}

impl Plan {
    /// One client without a script, a window, or any of the options.
    pub fn to(target: SocketAddr) -> Self {
        Plan {
            target: Address::Tcp(target),
            tls: None,
            send_proxy: None,
            connections: 1,
            script: Script::default(),
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
            operations: None,
            message: None,
            blind: false,
            rate: None,
            connect_rate: None,
            timeout: None,
            needs_target: false,
        }
    }

    /// How long the first steps of all clients take at least.
    fn ramp(&self) -> Duration {
        self.connect_rate.map_or(Duration::ZERO, |rate| {
            rate.first + Duration::from_secs_f64(self.connections as f64 / rate.per_second)
        })
    }
}

/// How far a run is, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Clients make their first steps.
    #[default]
    Ramp,
    /// The load runs, and nothing counts.
    WarmUp,
    /// Operations count.
    Window,
    /// Those under way come to their end.
    End,
}

struct Crowd<'a> {
    stage: &'a Stage<'a>,
    clients: FuturesUnordered<LocalBoxFuture<'a, ()>>,
    born: usize,
    ended: usize,
}

/// Runs `plan` on this thread alone, under [`crate::runtime::shard`]; `at` is called at the begin of each phase after the
/// ramp. `seed` tells this run's patterns from those of others.
pub async fn run(plan: &Plan, seed: u64, at: impl FnMut(Phase)) -> Report {
    let (watcher, _news) = mailbox(1);
    drive(plan, &Shared::new(1, watcher), seed, 0, at).await
}

/// The same as the thread of this number of those that share the run.
pub async fn drive(
    plan: &Plan,
    shared: &Shared,
    seed: u64,
    thread: usize,
    mut at: impl FnMut(Phase),
) -> Report {
    let mut enter = |phase| {
        shared.enter(phase);
        at(phase);
    };
    let stage = Stage::new(plan, shared, seed, thread);
    let mut crowd = Crowd { stage: &stage, clients: FuturesUnordered::new(), born: 0, ended: 0 };
    crowd.clients.push(stage.arrivals.dispatch().boxed_local());
    crowd.clients.push(sweep(&stage).boxed_local());
    let start_limit = START_LIMIT + plan.ramp();
    within(Some(start_limit), crowd.until(|crowd| crowd.stage.started.get() >= crowd.wanted())).await;
    crowd.meet_others().await;
    enter(Phase::WarmUp);
    if !plan.warm_up.is_zero() {
        stage.open(plan.warm_up);
        within(Some(plan.warm_up), crowd.until_ended()).await;
    }
    enter(Phase::Window);
    if stage.stopped.get() {
        stage.close_window(Instant::now(), stage.room.moved());
        // Clients that wait for the begin go on to their end.
        stage.open(Duration::ZERO);
    } else {
        let (begin, before) = stage.open_window();
        crowd.clients.push(count_seconds(&stage, begin).boxed_local());
        within(Some(plan.window), crowd.until_ended()).await;
        stage.close_window(begin, before);
        stage.end_slice();
    }
    stage.leave_timeline();
    enter(Phase::End);
    let in_time = plan.timeout.map_or(END_LIMIT, |limit| limit + 2 * SWEEP_EVERY);
    let limit = if stage.stopped.get() { STOP_LIMIT } else { in_time };
    // What takes longer than that is late; asked to stop, it only has no more time.
    stage.stopped.set(false);
    let all_but_holders = |crowd: &Crowd<'_>| crowd.ended + crowd.stage.holding.get() >= crowd.born;
    within(Some(limit), crowd.until(all_but_holders)).await;
    let left = crowd.born.saturating_sub(crowd.ended + stage.holding.get());
    let busy = stage.watches.borrow().iter().filter(|watch| watch.is_busy()).count().min(left);
    drop(crowd);
    if limit == STOP_LIMIT {
        stage.report.borrow_mut().given_up = busy as u64;
    } else {
        (0..left).for_each(|_| stage.fail(Failure::TimedOut));
    }
    stage.report.into_inner()
}

/// Looks now and then for what takes too long, and whether the run is to stop. It never ends.
async fn sweep(stage: &Stage<'_>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let now = Instant::now();
        if let Some(limit) = stage.plan.timeout {
            stage.watches.borrow().iter().for_each(|watch| watch.sweep(now, limit));
        }
        if stage.shared.progress().stopped && !stage.over.get() {
            stage.stopped.set(true);
        }
    }
}

/// Tells each whole second of the window. It never ends.
async fn count_seconds(stage: &Stage<'_>, begin: Instant) {
    let mut next = begin;
    while stage.counting.get() {
        next += SECOND;
        sleep_until(next).await;
        if stage.counting.get() {
            stage.end_slice();
        }
    }
    pending().await
}

impl<'a> Crowd<'a> {
    /// How many clients there are to be: fewer than planned if this machine gives no more connections.
    fn wanted(&self) -> usize {
        let limited = self.stage.report.borrow().limit.is_some();
        if limited { self.born } else { self.stage.plan.connections }
    }

    /// Lets clients be born and run until `done`, or until the run is to stop.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        poll_fn(|context| {
            loop {
                let started = self.stage.started.get();
                while self.born < self.wanted()
                    && self.born < started + STARTING_AT_ONCE
                    && !self.stage.over.get()
                {
                    let watch = Rc::<Watch>::default();
                    self.stage.watches.borrow_mut().push(watch.clone());
                    self.clients.push(client(self.stage, watch).boxed_local());
                    self.born += 1;
                }
                let step = self.clients.poll_next_unpin(context);
                self.ended += usize::from(matches!(step, Poll::Ready(Some(()))));
                if done(self) || self.stage.stopped.get() {
                    return Poll::Ready(());
                }
                if !matches!(step, Poll::Ready(Some(()))) && self.stage.started.get() == started {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    /// Waits until the clients of the other threads are there too: what counts is to run at the same time on all.
    async fn meet_others(&mut self) {
        let shared = self.stage.shared;
        shared.progress().there += 1;
        // One that failed is not waited for.
        let is_early = |progress: &Progress| progress.there < progress.running;
        while is_early(&shared.progress()) && !self.stage.stopped.get() {
            within(Some(LOOK_EVERY), self.until(|_| false)).await;
        }
    }

    async fn until_ended(&mut self) {
        self.until(|crowd| crowd.ended == crowd.wanted()).await;
    }
}
