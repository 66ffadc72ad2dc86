//! A fault: what it is told to be, and what it has done.

use crate::{
    net::network::Network,
    runtime::{clock::now_ns, lock::Lock},
    session::{
        faults::{kind::FaultKind, kinds::bandwidth::Bucket, stage::FaultEnd},
        outcome::Outcome,
        record::Record,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use strum::IntoStaticStr;

/// A kind has as many attributes at most.
pub const ATTRIBUTES_MAX: usize = 3;

/// The attributes of a fault, in the order of its kind's page.
pub type Values = [u64; ATTRIBUTES_MAX];

/// The direction in which a fault acts, as toxiproxy names it: after the peer that receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FaultStream {
    /// From the client to the upstream.
    Upstream,
    #[default]
    Downstream,
}

/// Nanoseconds of the clock; what 64 bits do not hold is 584 years away.
pub fn ms_as_ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// The share of sessions that a fault hits, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Toxicity(f32);

/// What a fault is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Unique in its listener, over both streams.
    pub name: String,
    pub kind: FaultKind,
    pub stream: FaultStream,
    pub values: Values,
    pub toxicity: Toxicity,
    pub scope: Scope,
    pub schedule: Schedule,
}

/// Which sessions may be hit. What is empty or 0 asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The source's networks, of which one must have it.
    pub clients: Vec<Network>,
    /// The sessions' numbers, of which one must be it.
    pub sessions: Vec<u64>,
    /// As many sessions that would be hit are spared first.
    pub skip: u64,
    /// As many are hit at most.
    pub count: u64,
    /// One of as many is hit.
    pub every: u64,
}

/// When a fault acts, in milliseconds from its creation. What is 0 limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub after_ms: u64,
    /// After that it removes itself.
    pub expires_ms: u64,
    /// It acts for `on_ms`, then pauses for `off_ms`, and so on.
    pub on_ms: u64,
    pub off_ms: u64,
}

/// A fault of a listener.
pub struct Fault {
    /// Its plan as it is now, and how often that has changed.
    plan: Lock<(Arc<FaultPlan>, u64)>,
    /// When it was made, in nanoseconds of [`now_ns`].
    pub began_ns: u64,
    /// A file gives it; none that an operator added.
    pub is_of_file: bool,
    /// Sessions that its scope has met so far, without those that are to be spared for another reason.
    places: AtomicU64,
    pub counts: FaultCounts,
    /// What its sessions may spend, if they share that.
    pub(super) bucket: Arc<Lock<Bucket>>,
}

/// What a fault has done so far.
#[derive(Default)]
pub struct FaultCounts {
    /// Sessions that met it.
    pub seen: AtomicU64,
    /// Of these, those that it hit.
    pub hit: AtomicU64,
    /// Bytes that passed it.
    pub passed: AtomicU64,
    /// Bytes that wait before it now.
    pub held: AtomicU64,
    /// Bytes that it took away.
    pub swallowed: AtomicU64,
    /// Runs of bytes that passed it.
    pub runs: AtomicU64,
    /// The time that they waited before it, summed up.
    pub delayed_ns: AtomicU64,
    /// Sessions that it ended by RST.
    pub resets: AtomicU64,
    /// Sessions that it ended by FIN.
    pub cuts: AtomicU64,
}

impl FaultStream {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Toxicity {
    pub const ALWAYS: Self = Toxicity(1.0);

    /// Errors: it is no share.
    pub fn new(share: f32) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            return Ok(Toxicity(share));
        }
        Err(format!("toxicity is a share from 0 to 1, and not {share}"))
    }

    pub fn get(self) -> f32 {
        self.0
    }

    /// Whether it hits a session whose lot is `drawn`, from 0 to below 1.
    pub fn hits(self, drawn: f64) -> bool {
        drawn < f64::from(self.0)
    }
}

// It is never NaN.
impl Eq for Toxicity {}

impl fmt::Display for Toxicity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FaultPlan {
    /// The name that toxiproxy gives one that has none.
    pub fn default_name(kind: FaultKind, stream: FaultStream) -> String {
        format!("{}_{}", kind.name(), stream.name())
    }

    /// Errors: what cannot be, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.kind.check(&self.values)?;
        let Schedule { on_ms, off_ms, .. } = self.schedule;
        if (on_ms == 0) != (off_ms == 0) {
            return Err("on_ms and off_ms go together: a cycle has both".to_owned());
        }
        if self.kind.is_of_listener() && (self.toxicity != Toxicity::ALWAYS || self.scope != Scope::default())
        {
            let name = self.kind.name();
            return Err(format!("{name} is of the listener as a whole: it takes no share and no scope"));
        }
        Ok(())
    }
}

impl Scope {
    /// Whether it may have this session at all.
    pub fn has(&self, source: Option<IpAddr>, session: u64) -> bool {
        let has_client = |source: IpAddr| self.clients.iter().any(|network| network.contains(source));
        (self.clients.is_empty() || source.is_some_and(has_client))
            && (self.sessions.is_empty() || self.sessions.contains(&session))
    }

    /// Whether it hits the session that comes at `place` among those that it may have, from 0.
    pub fn hits(&self, place: u64) -> bool {
        let Some(after) = place.checked_sub(self.skip) else { return false };
        let every = self.every.max(1);
        (after + 1).is_multiple_of(every) && (self.count == 0 || after / every < self.count)
    }
}

impl Schedule {
    /// Whether a fault acts at `now_ns` that was made at `began_ns`; and when that changes next.
    pub fn acts(&self, began_ns: u64, now_ns: u64) -> (bool, Option<u64>) {
        let begin = began_ns.saturating_add(ms_as_ns(self.after_ms));
        if now_ns < begin {
            return (false, Some(begin));
        }
        if let Some(end) = self.expiry_ns(began_ns)
            && now_ns >= end
        {
            return (false, None);
        }
        let expiry = self.expiry_ns(began_ns);
        let (on, off) = (ms_as_ns(self.on_ms), ms_as_ns(self.off_ms));
        if on == 0 || off == 0 {
            return (true, expiry);
        }
        let cycle = on.saturating_add(off);
        let within = (now_ns - begin) % cycle;
        let is_on = within < on;
        let next = now_ns.saturating_add(if is_on { on - within } else { cycle - within });
        (is_on, Some(expiry.map_or(next, |expiry| expiry.min(next))))
    }

    /// When the fault removes itself.
    pub fn expiry_ns(&self, began_ns: u64) -> Option<u64> {
        (self.expires_ms > 0).then(|| began_ns.saturating_add(ms_as_ns(self.expires_ms)))
    }
}

impl Fault {
    pub fn new(plan: FaultPlan, is_of_file: bool) -> Self {
        Fault {
            plan: Lock::new((Arc::new(plan), 0)),
            began_ns: now_ns(),
            is_of_file,
            places: AtomicU64::new(0),
            counts: FaultCounts::default(),
            bucket: Arc::default(),
        }
    }

    /// One that goes on from what it was in another process.
    pub(super) fn resumed(plan: FaultPlan, is_of_file: bool, began_ns: u64, places: u64) -> Self {
        Fault { began_ns, places: AtomicU64::new(places), ..Fault::new(plan, is_of_file) }
    }

    /// Sessions that its scope has met.
    pub fn places(&self) -> u64 {
        self.places.load(Relaxed)
    }

    pub fn plan(&self) -> Arc<FaultPlan> {
        self.plan.lock().0.clone()
    }

    /// The plan, and how often it has changed.
    pub fn revision(&self) -> (Arc<FaultPlan>, u64) {
        self.plan.lock().clone()
    }

    pub(super) fn change(&self, plan: FaultPlan) {
        let mut current = self.plan.lock();
        *current = (Arc::new(plan), current.1 + 1);
    }

    /// Notes that it ends a session, which is to be told so.
    pub fn end(&self, record: &Record, end: FaultEnd) {
        record.conclude(Outcome::Fault { plan: self.plan(), end });
        let count = if end == FaultEnd::Fin { &self.counts.cuts } else { &self.counts.resets };
        count.fetch_add(1, Relaxed);
    }

    /// The place of the next session that its scope may have.
    pub(super) fn next_place(&self) -> u64 {
        self.places.fetch_add(1, Relaxed)
    }

    /// When its schedule had it begin to act, in nanoseconds of [`now_ns`].
    pub fn acting_since_ns(&self) -> u64 {
        self.began_ns.saturating_add(ms_as_ns(self.plan().schedule.after_ms))
    }

    /// Whether it acts now, and when that changes next.
    pub fn acts(&self, now_ns: u64) -> (bool, Option<u64>) {
        self.plan().schedule.acts(self.began_ns, now_ns)
    }
}

/// A plan of one kind, for tests.
#[cfg(test)]
impl FaultPlan {
    pub fn sample(kind: FaultKind, values: Values) -> Self {
        let stream = FaultStream::default();
        FaultPlan {
            name: FaultPlan::default_name(kind, stream),
            kind,
            stream,
            values,
            toxicity: Toxicity::ALWAYS,
            scope: Scope::default(),
            schedule: Schedule::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_spares_the_first_and_hits_as_many_as_it_says() {
        let hits = |scope: Scope| (0..9).filter(|place| scope.hits(*place)).collect::<Vec<_>>();
        assert_eq!(hits(Scope::default()), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(hits(Scope { skip: 2, count: 3, ..Scope::default() }), [2, 3, 4]);
        assert_eq!(hits(Scope { every: 3, ..Scope::default() }), [2, 5, 8]);
        assert_eq!(hits(Scope { every: 2, skip: 1, count: 2, ..Scope::default() }), [2, 4]);
    }

    #[test]
    fn a_schedule_says_when_it_changes_next() {
        const MS: u64 = 1_000_000;
        let schedule = Schedule { after_ms: 10, expires_ms: 100, on_ms: 20, off_ms: 5 };
        for (now, acts) in [
            (0, (false, Some(10))),
            (10, (true, Some(30))),
            (29, (true, Some(30))),
            (30, (false, Some(35))),
            (35, (true, Some(55))),
            (99, (true, Some(100))),
            (100, (false, None)),
        ] {
            let (is_on, next) = schedule.acts(7 * MS, (7 + now) * MS);
            assert_eq!((is_on, next.map(|ns| ns / MS - 7)), acts, "{now}");
        }
        let longest =
            Schedule { after_ms: u64::MAX, on_ms: u64::MAX, off_ms: u64::MAX, expires_ms: u64::MAX };
        assert!(!longest.acts(u64::MAX, u64::MAX - 1).0);
    }
}
