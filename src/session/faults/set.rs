//! The faults of a listener, in the order in which they were made. Operators change them; sessions meet them.

use crate::{
    runtime::{
        lock::Lock,
        random::{Lot, random},
    },
    session::faults::{
        entrance::Entrance,
        fault::{ATTRIBUTES_MAX, Fault, FaultPlan, Toxicity},
        held::HeldTotal,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Faults of one listener. Each costs a session that meets it some 100 bytes.
pub const FAULTS_MAX: usize = 1000;

/// What all faults of a server share.
#[derive(Clone, Default)]
pub struct FaultGround {
    /// What every lot is drawn from.
    pub seed: u64,
    pub held: HeldTotal,
}

/// The faults of a listener. It stays over reloads.
pub struct FaultSet {
    /// The listener's name.
    listener: String,
    ground: FaultGround,
    /// Sessions that began at the listener.
    begun: AtomicU64,
    /// The length of the list below.
    count: AtomicUsize,
    faults: Lock<Vec<Arc<Fault>>>,
    /// Where the listener's acceptors stand.
    pub entrance: Entrance,
}

/// What of a fault is to be another.
#[derive(Clone, Debug, Default)]
pub struct FaultChange {
    /// By their place; none: as before.
    pub values: [Option<u64>; ATTRIBUTES_MAX],
    pub toxicity: Option<Toxicity>,
}

/// A fault that another process leaves.
pub struct LeftFault {
    pub plan: FaultPlan,
    pub is_of_file: bool,
    /// In nanoseconds of [`now_ns`](crate::runtime::clock::now_ns), which all processes share.
    pub began_ns: u64,
    /// Sessions that its scope has met.
    pub places: u64,
}

/// Why a fault cannot be added or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultRefusal {
    #[error("toxic already exists")]
    Exists,
    #[error("toxic not found")]
    NotFound,
    #[error("a listener has at most {FAULTS_MAX} faults")]
    TooMany,
    /// This process changes nothing any more.
    #[error("{0}")]
    Ending(&'static str),
    #[error("{0}")]
    Wrong(String),
}

impl FaultGround {
    /// Without a seed, one that cannot be guessed. It is one that a file can give: whole numbers of TOML have a sign.
    pub fn new(seed: Option<u64>) -> Self {
        FaultGround { seed: seed.unwrap_or_else(|| random() >> 1), held: HeldTotal::default() }
    }
}

impl FaultSet {
    pub fn new(listener: String, ground: FaultGround) -> Self {
        FaultSet {
            listener,
            ground,
            begun: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            faults: Lock::default(),
            entrance: Entrance::default(),
        }
    }

    /// Sessions that began there.
    pub fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Has it go on from what another process leaves, in that order. Of those of files, the file says what they are now, and
    /// whether they are.
    pub fn resume(&self, begun: u64, left: &[LeftFault]) {
        self.begun.store(begun, Relaxed);
        self.change(|faults| {
            let mut others = std::mem::take(faults);
            for LeftFault { plan, is_of_file, began_ns, places } in left {
                let own = others.iter().position(|fault| fault.plan().name == plan.name);
                let own = own.map(|at| others.remove(at));
                let resumed =
                    |plan, is_of_file| Arc::new(Fault::resumed(plan, is_of_file, *began_ns, *places));
                faults.extend(match own.map(|fault| (fault.plan(), fault)) {
                    Some((now, _)) if (now.kind, now.stream) == (plan.kind, plan.stream) => {
                        Some(resumed((*now).clone(), true))
                    }
                    Some((_, another)) => Some(another),
                    None if *is_of_file => None,
                    None => Some(resumed(plan.clone(), false)),
                });
            }
            faults.append(&mut others);
        });
    }

    /// The number of a session that begins, from 0.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    pub fn listener(&self) -> &str {
        &self.listener
    }

    pub fn held(&self) -> &HeldTotal {
        &self.ground.held
    }

    /// In the order in which they were made.
    pub fn all(&self) -> Vec<Arc<Fault>> {
        if self.is_empty() { Vec::new() } else { self.faults.lock().clone() }
    }

    pub fn find(&self, name: &str) -> Option<Arc<Fault>> {
        self.all().into_iter().find(|fault| fault.plan().name == name)
    }

    /// What is drawn for a session and a fault: the same in each run with the same seed, whatever other faults there are.
    pub fn lot(&self, session: u64, fault: &str) -> Lot {
        Lot::of(&[
            &self.ground.seed.to_le_bytes(),
            self.listener.as_bytes(),
            &session.to_le_bytes(),
            fault.as_bytes(),
        ])
    }

    /// Puts a fault behind the others. Live sessions have to meet it.
    pub fn add(&self, plan: FaultPlan, is_of_file: bool) -> Result<Arc<Fault>, FaultRefusal> {
        plan.check().map_err(FaultRefusal::Wrong)?;
        self.change(|faults| {
            if faults.iter().any(|fault| fault.plan().name == plan.name) {
                return Err(FaultRefusal::Exists);
            }
            if faults.len() >= FAULTS_MAX {
                return Err(FaultRefusal::TooMany);
            }
            let fault = Arc::new(Fault::new(plan, is_of_file));
            faults.push(fault.clone());
            Ok(fault)
        })
    }

    /// Changes a fault, which keeps its place. Live sessions have to meet it again.
    pub fn update(&self, name: &str, change: &FaultChange) -> Result<Arc<Fault>, FaultRefusal> {
        self.change(|faults| {
            let fault =
                faults.iter().find(|fault| fault.plan().name == name).ok_or(FaultRefusal::NotFound)?;
            let mut plan = (*fault.plan()).clone();
            plan.toxicity = change.toxicity.unwrap_or(plan.toxicity);
            for (value, new) in plan.values.iter_mut().zip(change.values) {
                *value = new.unwrap_or(*value);
            }
            plan.check().map_err(FaultRefusal::Wrong)?;
            fault.change(plan);
            Ok(fault.clone())
        })
    }

    /// Live sessions have to learn it.
    pub fn remove(&self, name: &str) -> Result<Arc<Fault>, FaultRefusal> {
        self.change(|faults| {
            let at = faults.iter().position(|fault| fault.plan().name == name);
            Ok(faults.remove(at.ok_or(FaultRefusal::NotFound)?))
        })
    }

    /// Removes all; those that there were.
    pub fn clear(&self) -> Vec<Arc<Fault>> {
        self.change(std::mem::take)
    }

    /// Has those of a file be these. One that is there by its name keeps its place, and what it has done; those that an
    /// operator added stay. Says whether anything changed.
    pub fn follow_file(&self, plans: &[FaultPlan]) -> bool {
        self.change(|faults| {
            let before = faults.len();
            faults
                .retain(|fault| !fault.is_of_file || plans.iter().any(|plan| plan.name == fault.plan().name));
            let mut has_changed = faults.len() != before;
            for plan in plans {
                match faults.iter_mut().find(|fault| fault.plan().name == plan.name) {
                    Some(fault) if fault.is_of_file && *fault.plan() == *plan => {}
                    Some(fault) => {
                        let is = fault.plan();
                        if fault.is_of_file && (is.kind, is.stream) == (plan.kind, plan.stream) {
                            fault.change(plan.clone());
                        } else {
                            // An operator's gives way to it. One of another kind has other stages: it is another fault.
                            *fault = Arc::new(Fault::new(plan.clone(), true));
                        }
                        has_changed = true;
                    }
                    None => {
                        faults.push(Arc::new(Fault::new(plan.clone(), true)));
                        has_changed = true;
                    }
                }
            }
            has_changed
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Fault>>) -> T) -> T {
        let mut faults = self.faults.lock();
        let value = change(&mut faults);
        self.count.store(faults.len(), Relaxed);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_is_drawn_can_stand_in_a_file() {
        assert!((0..100).all(|_| i64::try_from(FaultGround::new(None).seed).is_ok()));
        assert_eq!(FaultGround::new(Some(u64::MAX)).seed, u64::MAX);
    }
}
