//! A listener as its sessions know it: where they lead, who may connect, and what holds for all of them. A reload puts another
//! in its place; live sessions keep the one that they began with.

use crate::{
    net::{address::Address, network::Access},
    runtime::{limit::Rate, lock::Lock},
    session::{
        cause::Cause,
        context::Settings,
        faults::set::FaultSet,
        opening::OpeningRules,
        sources::{Counted, SourceCounts},
        target::Target,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Those who are not let in may come in any number, and each is counted in any case.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// A listener as its sessions know it. It does not change: after a reload, sessions to come know another one.
pub struct Listening {
    /// On the command line, its address.
    pub name: String,
    /// The same, if a file gives it.
    pub given_name: Option<Arc<str>>,
    pub address: Address,
    pub target: Target,
    pub access: Access,
    /// What clients say before their streams begin.
    pub opening: OpeningRules,
    /// Of connections that it does not let in.
    pub refusals: Refusals,
    /// Connections that it accepts in a second.
    pub accept_rate: Option<Arc<Rate>>,
    /// The limits for each source: the program's, and its own.
    pub per_source: Vec<Arc<SourceCounts>>,
    /// What breaks its sessions on purpose.
    pub faults: Arc<FaultSet>,
    pub settings: Settings,
}

/// The listener of an address as sessions to come know it; a reload puts another in its place.
pub struct CurrentListening(Lock<Arc<Listening>>);

/// Which of many refusals are told: one a second, with the number of those before it that were not.
#[derive(Default)]
pub struct Refusals(Lock<(Option<Instant>, u64)>);

impl Listening {
    /// Whether a session from `source` may begin; what it then counts for.
    /// Errors: the cause, and the reason in words.
    pub fn admit(&self, source: &Address) -> Result<Vec<Counted>, (Cause, Box<str>)> {
        self.judge(source)?;
        let counted = self.per_source.iter().filter_map(|counts| counts.enter(source).transpose());
        counted.collect::<Result<_, _>>().map_err(|why| (Cause::RefusedLimit, why))
    }

    /// Whether `allow` and `deny` let it in.
    /// Errors: as [`Listening::admit`].
    pub fn judge(&self, source: &Address) -> Result<(), (Cause, Box<str>)> {
        let refused = |denied| (Cause::RefusedAccess, format!("{source} may not connect: {denied}").into());
        self.access.judge(source.ip()).map_err(refused)
    }
}

impl CurrentListening {
    pub fn new(listening: Arc<Listening>) -> Self {
        CurrentListening(Lock::new(listening))
    }

    pub fn get(&self) -> Arc<Listening> {
        self.0.lock().clone()
    }

    pub fn set(&self, listening: Arc<Listening>) {
        *self.0.lock() = listening;
    }
}

impl Refusals {
    /// Whether the next one is to be told, and how many were not.
    pub fn tell(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let (last, untold) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < REFUSALS_TOLD_EVERY) {
            *untold += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(untold))
    }
}
