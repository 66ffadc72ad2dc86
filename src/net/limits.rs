//! The descriptor limit: raised to what the system allows, shared out among sessions and pipes, and what an actor does that
//! reaches it.

use crate::{
    net::{
        ceiling,
        pipe::{self, PIPE_DESCRIPTORS, PIPES_MAX},
    },
    runtime::{
        limit::{Rank, WaitPlace, WaitQueue, descriptors},
        shard::shared,
    },
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Standard streams, epolls, signals and listeners (about 20), lookups under way (32), connections to the admin server (16)
/// and for control.
const RESERVED_DESCRIPTORS: usize = 96;
/// Of the reserve, what no session gets whatever the limit of sessions: the connections to the admin server and for control
/// (17 each), and what operators have the server open. A part of few descriptors.
const OPERATORS_DESCRIPTORS: usize = 48;
const OPERATORS_SHARE: usize = 8;
/// A shard's epoll, its eventfd, its way to ask the kernel, and its spare number.
const DESCRIPTORS_A_SHARD: usize = 4;
/// A shard's socket, and the one that it has made for the far leg of the next session.
const DESCRIPTORS_A_LISTENER: usize = 2;
/// The client's socket and the upstream's.
const DESCRIPTORS_A_SESSION: usize = 2;
/// Pipes get at most this part of the descriptors; bulk transfers run on few sessions at a time.
const PIPES_SHARE: usize = 16;
/// The limit if the system sets none; epoll and ports end long before.
const UNLIMITED: u64 = 1 << 20;
/// A limit that leaves fewer sessions than this is hardly meant: the usual one, 1024 descriptors, leaves 435.
const SESSIONS_FEW: usize = 256;
/// What is proposed in the place of such a limit: some 1,900 sessions.
const DESCRIPTORS_PROPOSED: usize = 4096;

/// A shortage that comes and goes is told at most this often.
const SHORTAGE_TOLD_EVERY: Duration = Duration::from_secs(30);

/// Descriptors of the shards beyond the first.
#[derive(Default)]
struct OfShards(AtomicUsize);

/// Raises the limit as [`raise_descriptor_limit`], and reserves what `shards` hold, each with as many `listeners`, and the last
/// descriptors for operators.
pub fn reserve(shards: usize, listeners: usize) -> usize {
    shared::<OfShards>().0.store(beyond_the_first(shards, listeners), Relaxed);
    let descriptors = raise_descriptor_limit();
    ceiling::set(of_sessions(descriptors));
    descriptors
}

/// The others are for operators.
fn of_sessions(descriptors: usize) -> usize {
    descriptors - (descriptors / OPERATORS_SHARE).min(OPERATORS_DESCRIPTORS)
}

fn beyond_the_first(shards: usize, listeners: usize) -> usize {
    shards.saturating_sub(1) * (DESCRIPTORS_A_SHARD + DESCRIPTORS_A_LISTENER * listeners)
}

fn reserved() -> usize {
    RESERVED_DESCRIPTORS + shared::<OfShards>().0.load(Relaxed)
}

/// How many sessions and pipes the descriptors of the process allow at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub sessions: usize,
    pub pipes: usize,
}

/// Raises the soft limit on descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(UNLIMITED).min(UNLIMITED);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: limit.maximum });
    descriptor_limit()
}

/// Reads the limit again, which another program may have changed (prlimit(1)), and gives pipes and operators their share of it.
pub fn read_again() {
    let descriptors = descriptor_limit();
    ceiling::set(of_sessions(descriptors));
    if pipe::count().1 > 0 {
        pipe::set_limit(share(descriptors).pipes.max(1));
    }
}

/// How an actor that needs one descriptor after the other gets through a shortage: it queues with the others.
pub struct Shortage {
    queue: Arc<WaitQueue>,
    rank: Rank,
    place: Option<WaitPlace>,
    told: Option<Instant>,
}

impl Shortage {
    /// In the program's queue.
    pub fn new(rank: Rank) -> Self {
        Self::in_queue(descriptors(), rank)
    }

    pub fn in_queue(queue: Arc<WaitQueue>, rank: Rank) -> Self {
        Shortage { queue, rank, place: None, told: None }
    }

    /// Waits while there is a shortage, until it is this actor's turn to try. Cancel-safe.
    pub async fn turn(&mut self) {
        // Those of a lower rank come first: dials of sessions that have begun.
        if self.place.is_none() && self.queue.waiting() > 0 {
            self.place = Some(self.queue.join(self.rank));
        }
        if let Some(place) = &mut self.place {
            place.turn().await;
        }
    }

    /// There was no descriptor. The next try is at its turn in the queue; says whether that is to be told.
    pub fn note(&mut self) -> bool {
        pipe::give_back();
        read_again();
        self.place.get_or_insert_with(|| self.queue.join(self.rank)).failed();
        let is_told = self.told.is_none_or(|last| last.elapsed() >= SHORTAGE_TOLD_EVERY);
        if is_told {
            self.told = Some(Instant::now());
        }
        is_told
    }

    /// There was one: if it waited for that, the limit may be another.
    pub fn end(&mut self) {
        if self.place.take().is_some() {
            read_again();
        }
    }

    /// It needs none now.
    pub fn leave(&mut self) {
        self.place = None;
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("max-sessions {sessions} needs {needed} descriptors, but the limit is {limit} (ulimit -n)")]
pub struct TooManySessions {
    sessions: usize,
    needed: usize,
    limit: usize,
}

impl TooManySessions {
    /// Fails if `sessions` at once, of which some `dial`, may run out of descriptors.
    pub fn check(sessions: usize, dial: bool) -> Result<(), Self> {
        Self::beside(reserved(), sessions, dial)
    }

    /// The same of a server that is to begin, with as many `shards`, each with as many `listeners`.
    pub fn of_start(shards: usize, listeners: usize, sessions: usize, dial: bool) -> Result<(), Self> {
        let reserved = RESERVED_DESCRIPTORS + beyond_the_first(shards, listeners);
        Self::beside(reserved, sessions, dial)
    }

    fn beside(reserved: usize, sessions: usize, dial: bool) -> Result<(), Self> {
        let each = if dial { DESCRIPTORS_A_SESSION } else { 1 };
        let needed = sessions.saturating_mul(each).saturating_add(reserved);
        let limit = descriptor_limit();
        if needed > limit { Err(TooManySessions { sessions, needed, limit }) } else { Ok(()) }
    }

    /// With what the limit allows, and how to raise it.
    pub fn warning(&self) -> String {
        let (allowed, needed) = (share(self.limit).sessions, self.needed);
        format!("{self}: new connections may wait for descriptors; it allows {allowed}, {}", raise_to(needed))
    }
}

/// What is to be said of a default of sessions that `descriptors` make small; none if it is not.
pub fn few_sessions(descriptors: usize) -> Option<String> {
    let sessions = share(descriptors).sessions;
    let why = || {
        let raise = raise_to(DESCRIPTORS_PROPOSED);
        format!(
            "max-sessions is {sessions}, because the limit is {descriptors} descriptors (ulimit -n); {raise}"
        )
    };
    (sessions < SESSIONS_FEW).then(why)
}

fn raise_to(descriptors: usize) -> String {
    format!("raise it with 'ulimit -n {descriptors}', or LimitNOFILE={descriptors} of a service")
}

fn descriptor_limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Shares `descriptors` out among sessions and pipes; at least one session.
pub fn share(descriptors: usize) -> Share {
    let usable = descriptors.saturating_sub(reserved());
    let pipes = (usable / PIPES_SHARE / PIPE_DESCRIPTORS).min(PIPES_MAX);
    let sessions = (usable - pipes * PIPE_DESCRIPTORS) / DESCRIPTORS_A_SESSION;
    Share { sessions: sessions.max(1), pipes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_never_passes_the_limit() {
        for descriptors in [0, 100, 256, 1024, 20_000, 1 << 20] {
            let Share { sessions, pipes } = share(descriptors);
            assert!(sessions >= 1 && pipes <= PIPES_MAX);
            if descriptors > RESERVED_DESCRIPTORS + DESCRIPTORS_A_SESSION {
                assert!(sessions * 2 + pipes * 2 + RESERVED_DESCRIPTORS <= descriptors, "{descriptors}");
            }
        }
        assert_eq!(share(20_000), Share { sessions: 9440, pipes: 512 });
    }

    #[test]
    fn operators_have_the_last_descriptors_and_the_default_of_sessions_needs_none_of_them() {
        assert_eq!([0, 64, 100, 1024].map(of_sessions), [0, 56, 88, 976]);
        for descriptors in [256, 1024, 1 << 20] {
            let Share { sessions, pipes } = share(descriptors);
            let most = sessions * DESCRIPTORS_A_SESSION + pipes * PIPE_DESCRIPTORS;
            assert!(most + RESERVED_DESCRIPTORS - OPERATORS_DESCRIPTORS <= of_sessions(descriptors));
        }
    }

    #[test]
    fn a_limit_that_leaves_few_sessions_is_told_with_how_to_raise_it() {
        let raise = "raise it with 'ulimit -n 4096', or LimitNOFILE=4096 of a service";
        let told = format!("max-sessions is 1, because the limit is 64 descriptors (ulimit -n); {raise}");
        assert_eq!(few_sessions(64), Some(told));
        assert!(few_sessions(500).unwrap().starts_with("max-sessions is 190, "));
        // The usual limit, and the one that is proposed.
        assert_eq!((share(1024).sessions, few_sessions(1024)), (435, None));
        assert!(share(DESCRIPTORS_PROPOSED).sessions > 1800);
        let asked = TooManySessions { sessions: 1000, needed: 2096, limit: 500 };
        let raise = "raise it with 'ulimit -n 2096', or LimitNOFILE=2096 of a service";
        assert!(asked.warning().ends_with(&format!("; it allows 190, {raise}")), "{}", asked.warning());
    }
}
