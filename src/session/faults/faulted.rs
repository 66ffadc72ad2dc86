//! The faults that one session has met, and which of them hit it.

use crate::{
    relay::gate::{Chain, Chains},
    runtime::{clock::now_ns, lock::Lock, random::Lot},
    session::{
        event::{Events, What},
        faults::{
            chain::FaultChain,
            fault::{Fault, FaultPlan, FaultStream},
            kind::{FaultKind, FaultPlace},
        },
        order::Order,
        record::Record,
    },
};
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

/// The faults of a session. It is there once the session has met one.
pub struct Faulted {
    met: Lock<Vec<Arc<Met>>>,
    /// How often the session met its faults: its chains learn by it that there is something new.
    meetings: AtomicU64,
    /// The session was told to heed them, and has not done so yet: one order at a time leaves room for others.
    is_told: AtomicBool,
    /// The bytes that wait in each direction, by its stream.
    held: [AtomicU64; 2],
    opening: OnceLock<Box<OpeningFaults>>,
    events: Events,
}

/// A fault, as one session met it.
pub struct Met {
    pub fault: Arc<Fault>,
    /// What was drawn for it, from 0 to below 1.
    drawn: f64,
    /// Its place among those that the fault's scope may have.
    place: OnceLock<u64>,
    hit: AtomicBool,
    /// Since when it hits the session, or did last, in nanoseconds of [`now_ns`]; 0: it never has.
    hit_since_ns: AtomicU64,
    told: AtomicBool,
}

/// What faults do to a session before its peers are joined.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OpeningFaults {
    /// The one that refuses it.
    pub refused_by: Option<Arc<FaultPlan>>,
    /// How long the dial waits.
    pub delay: Duration,
    /// The receive windows of the near and the far leg, in bytes; none: as ever.
    pub near_window: Option<u64>,
    pub far_window: Option<u64>,
}

impl Record {
    /// Meets the faults of its listener as it begins: those of its opening now or never.
    pub fn begin_faults(self: &Arc<Self>, events: &Events) {
        self.meet_faults(events, true);
        if let Some(faulted) = self.faulted() {
            faulted.opening.get_or_init(|| Box::new(faulted.open(self)));
        }
    }

    /// Meets the faults of its listener, perhaps again after they changed; its half-loops then have to look at their gates
    /// ([`Order::Heed`]).
    fn meet_faults(self: &Arc<Self>, events: &Events, begins: bool) {
        let set = &self.listening.faults;
        if set.is_empty() && self.faulted().is_none() {
            return;
        }
        let faulted = self.faulted_or(|| Faulted {
            met: Lock::default(),
            meetings: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            held: Default::default(),
            opening: OnceLock::new(),
            events: events.clone(),
        });
        faulted.meet(self, &set.all(), begins);
        for stream in [FaultStream::Upstream, FaultStream::Downstream] {
            if faulted.acts(Some(stream)) {
                let (direction, both) = self.direction_of(stream);
                direction.gate.act(Arc::new(SessionChains {
                    record: Arc::downgrade(self),
                    stream: (!both).then_some(stream),
                }));
            }
        }
    }

    /// Meets the faults of its listener as they are now, while it lives; its half-loops look at their gates.
    pub fn heed_faults(self: &Arc<Self>, events: &Events) {
        self.meet_faults(events, false);
        if let Some(faulted) = self.faulted() {
            faulted.have_heeded(self);
        }
    }

    /// The session does as [`Order::Heed`] says.
    pub fn note_heeded(&self) {
        if let Some(faulted) = self.faulted() {
            faulted.is_told.store(false, Release);
        }
    }

    /// Takes all faults off the session, which is to end for another reason.
    pub fn forgive(&self) {
        if let Some(faulted) = self.faulted() {
            faulted.met.lock().clear();
            faulted.meetings.fetch_add(1, Release);
            faulted.have_heeded(self);
        }
    }

    /// Whether a fault hits it and acts on its stream, or did as it began.
    pub fn is_faulted(&self) -> bool {
        self.faulted().is_some_and(|faulted| faulted.met.lock().iter().any(|met| met.hits()))
    }

    /// The names of the faults that hit it.
    pub fn hit_by(&self) -> Vec<String> {
        let met = self.faulted().map(Faulted::all).unwrap_or_default();
        met.iter().filter(|met| met.hits()).map(|met| met.fault.plan().name.clone()).collect()
    }

    /// What faults do before its peers are joined; none: nothing.
    pub fn opening_faults(&self) -> Option<&OpeningFaults> {
        self.faulted()?.opening.get().map(|opening| &**opening)
    }

    /// Whether faults hold bytes of it, or have taken some away.
    pub fn is_held(&self) -> bool {
        self.sides().iter().any(|(direction, _)| direction.gate.is_held())
    }
}

impl Faulted {
    fn have_heeded(&self, record: &Record) {
        if !self.is_told.swap(true, AcqRel) {
            record.orders.give(Order::Heed);
        }
    }

    /// In the order of the set.
    pub fn all(&self) -> Vec<Arc<Met>> {
        self.met.lock().clone()
    }

    /// The bytes that wait in the direction of a stream; of an echo in that of either.
    pub fn held(&self, stream: FaultStream) -> u64 {
        self.held[stream as usize].load(Relaxed)
    }

    pub(super) fn set_held(&self, stream: FaultStream, bytes: u64) {
        self.held[stream as usize].store(bytes, Relaxed);
    }

    pub(super) fn meetings(&self) -> u64 {
        self.meetings.load(Acquire)
    }

    /// One of an opening is met by a session that `begins` while it acts, and by no other.
    fn meet(&self, record: &Record, faults: &[Arc<Fault>], begins: bool) {
        let (mut met, now) = (self.met.lock(), now_ns());
        let known = |fault: &Arc<Fault>| met.iter().find(|met| Arc::ptr_eq(&met.fault, fault)).cloned();
        let may_meet = |fault: &Fault| match fault.plan().kind {
            FaultKind::SlowOpen if !record.listening.target.dials() => false,
            kind if matches!(kind.page().place, FaultPlace::Opening) => begins && fault.acts(now).0,
            _ => true,
        };
        let new = |fault: &Arc<Fault>| may_meet(fault).then(|| Met::new(fault, record));
        let next: Vec<_> = faults.iter().filter_map(|fault| known(fault).or_else(|| new(fault))).collect();
        next.iter().for_each(|met| met.judge(record));
        *met = next;
        self.meetings.fetch_add(1, Release);
    }

    /// Those that hit the session in this direction; none: in both, as one.
    pub(super) fn stages(&self, stream: Option<FaultStream>) -> Vec<Arc<Met>> {
        let of = |stream: FaultStream| {
            let is = move |met: &&Arc<Met>| met.acts_on(stream);
            self.met.lock().iter().filter(is).cloned().collect::<Vec<_>>()
        };
        match stream {
            Some(stream) => of(stream),
            None => [of(FaultStream::Upstream), of(FaultStream::Downstream)].concat(),
        }
    }

    /// Whether there are any.
    fn acts(&self, stream: Option<FaultStream>) -> bool {
        !self.stages(stream).is_empty()
    }

    fn open(&self, record: &Record) -> OpeningFaults {
        let mut opening = OpeningFaults::default();
        for met in self.all().iter().filter(|met| met.hits()) {
            let plan = met.fault.plan();
            match plan.kind {
                FaultKind::Refuse if opening.refused_by.is_none() => {
                    self.tell(met, record);
                    met.fault.counts.resets.fetch_add(1, Relaxed);
                    opening.refused_by = Some(plan.clone());
                }
                FaultKind::SlowOpen => {
                    self.tell(met, record);
                    let [delay, jitter, _] = plan.values;
                    let drawn = met.further_lot(record).up_to(jitter.saturating_mul(2));
                    opening.delay += Duration::from_millis((delay + drawn).saturating_sub(jitter));
                }
                FaultKind::Window => {
                    let window = match plan.stream {
                        FaultStream::Upstream => &mut opening.near_window,
                        FaultStream::Downstream => &mut opening.far_window,
                    };
                    *window = Some(window.map_or(plan.values[0], |other| other.min(plan.values[0])));
                    self.tell(met, record);
                }
                _ => {}
            }
        }
        opening
    }

    /// Says, once, that a fault does something to the session that a peer can notice.
    pub(super) fn tell(&self, met: &Met, record: &Record) {
        if !met.told.swap(true, Relaxed) {
            let (plan, listener) = (met.fault.plan(), &record.listening.name);
            self.events.tell_with(|| What::fault(Some(record.id), listener.clone(), &plan, "hit"));
        }
    }
}

impl Met {
    fn new(fault: &Arc<Fault>, record: &Record) -> Arc<Self> {
        fault.counts.seen.fetch_add(1, Relaxed);
        let mut met = Met {
            fault: fault.clone(),
            drawn: 0.0,
            place: OnceLock::new(),
            hit: AtomicBool::new(false),
            hit_since_ns: AtomicU64::new(0),
            told: AtomicBool::new(false),
        };
        met.drawn = met.lot(record).share();
        Arc::new(met)
    }

    /// What is drawn for it. The first draw says whether it hits.
    fn lot(&self, record: &Record) -> Lot {
        record.listening.faults.lot(record.ordinal(), &self.fault.plan().name)
    }

    /// What is drawn for it beside whether it hits.
    pub(super) fn further_lot(&self, record: &Record) -> Lot {
        let mut lot = self.lot(record);
        lot.draw();
        lot
    }

    pub fn hits(&self) -> bool {
        self.hit.load(Relaxed)
    }

    fn judge(&self, record: &Record) {
        let plan = self.fault.plan();
        let may_hit = !plan.kind.is_of_listener()
            && plan.scope.has(record.source().ip(), record.id)
            && plan.toxicity.hits(self.drawn);
        let hits = may_hit && plan.scope.hits(*self.place.get_or_init(|| self.fault.next_place()));
        if hits && !self.hits() {
            // One that comes to hit it again is no other session.
            if self.hit_since_ns.swap(now_ns(), Relaxed) == 0 {
                self.fault.counts.hit.fetch_add(1, Relaxed);
            }
        }
        self.hit.store(hits, Relaxed);
    }

    /// Since when it hits the session, in nanoseconds of [`now_ns`].
    pub(super) fn hit_since_ns(&self) -> u64 {
        self.hit_since_ns.load(Relaxed)
    }

    fn acts_on(&self, stream: FaultStream) -> bool {
        let plan = self.fault.plan();
        self.hits() && plan.stream == stream && matches!(plan.kind.page().place, FaultPlace::Direction(_))
    }
}

/// Makes the chains of a direction of a session.
struct SessionChains {
    record: Weak<Record>,
    /// None: both streams, which are one.
    stream: Option<FaultStream>,
}

impl Chains for SessionChains {
    fn chain(&self) -> Option<Box<dyn Chain>> {
        let record = self.record.upgrade()?;
        record.faulted()?;
        Some(Box::new(FaultChain::new(record, self.stream)))
    }

    fn act(&self) -> bool {
        let record = self.record.upgrade();
        let faulted = record.as_ref().and_then(|record| record.faulted());
        faulted.is_some_and(|faulted| faulted.acts(self.stream))
    }
}
