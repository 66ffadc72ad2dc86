//! The flapper: closes listeners and cuts their sessions while a fault says so, and opens them again after it.
//!
//! It is an actor of its own because the server puts plans in force, and tells the breaker of each: the breaker must not wait
//! for the server.

use crate::{
    error::Error,
    report::reporter::Reporter,
    runtime::{
        clock::within,
        lock::Lock,
        mailbox::{self, Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{
        in_force::{self, InForce, PlanInForce},
        operator::{ServerOrder, change_plan},
        supervisors::Supervisors,
    },
    session::faults::{fault::Fault, kind::FaultKind},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long it waits to open a listener again whose address another program has taken.
const RETRY: Duration = Duration::from_secs(1);

/// What the flapper is told.
pub struct Flaps {
    wanted: Arc<Lock<Wanted>>,
    nudge: mailbox::Sender<()>,
}

#[derive(Default)]
struct Wanted {
    /// The keys of the listeners that are to be closed.
    down: BTreeSet<String>,
    /// Dropped once the flapper has tried to have it so.
    askers: Vec<mailbox::Sender<()>>,
}

pub struct Flapper {
    wanted: Arc<Lock<Wanted>>,
    nudges: Mailbox<()>,
    /// Listeners that could not be opened again, which has been told.
    failed: BTreeSet<String>,
    reporter: Reporter,
    in_force: PlanInForce,
    supervisors: Supervisors,
    orders: mailbox::Sender<ServerOrder>,
}

impl Flaps {
    /// Has these listeners be closed, and others that were closed for that open, unless that is so.
    pub fn set_down(&self, down: BTreeSet<String>, is_so: bool) {
        let mut wanted = self.wanted.lock();
        if wanted.down != down || !is_so {
            wanted.down = down;
            // A nudge that waits says the same.
            let _ = self.nudge.try_send(());
        }
    }

    /// Ends, without a message, once the flapper has tried to have the listeners be as it was told last.
    pub fn followed(&self) -> Mailbox<()> {
        let (asker, followed) = mailbox(1);
        self.wanted.lock().askers.push(asker);
        let _ = self.nudge.try_send(());
        followed
    }
}

impl Flapper {
    /// It ends with the handle, or with the task.
    pub fn start(
        in_force: PlanInForce,
        supervisors: Supervisors,
        orders: mailbox::Sender<ServerOrder>,
        reporter: Reporter,
    ) -> (Flaps, Task<()>) {
        let (nudge, nudges) = mailbox(1);
        let wanted = Arc::<Lock<Wanted>>::default();
        let flaps = Flaps { wanted: wanted.clone(), nudge };
        let flapper =
            Flapper { wanted, nudges, failed: BTreeSet::new(), reporter, in_force, supervisors, orders };
        (flaps, spawn(flapper.run()))
    }

    async fn run(mut self) {
        let mut is_done = true;
        while within((!is_done).then_some(RETRY), self.nudges.next()).await != Some(None) {
            is_done = self.follow().await;
        }
    }

    /// Closes and opens what is to be; whether all of it is.
    async fn follow(&mut self) -> bool {
        let (wanted, _askers) = {
            let mut wanted = self.wanted.lock();
            (wanted.down.clone(), std::mem::take(&mut wanted.askers))
        };
        let down = self.in_force.get().down();
        for name in wanted.difference(&down) {
            if let Some(Ok(())) = self.set_down(name, true).await {
                let set = self.in_force.get().faults(name);
                let flap = set.and_then(|set| set.all().into_iter().find(|fault| is_flap(fault)));
                self.supervisors.end_sessions_of(name, flap.as_deref()).await;
            }
        }
        let mut is_done = true;
        for name in down.difference(&wanted) {
            let Some(opened) = self.set_down(name, false).await else { return true };
            // The listener itself may be gone.
            is_done &= opened.is_ok() || !self.in_force.get().down().contains(name);
            self.tell(name, opened.err());
        }
        // Another order may have had it stay closed, or removed it.
        let down = self.in_force.get().down();
        self.failed.retain(|name| down.contains(name));
        is_done
    }

    /// Says once that a listener could not be opened again, and then that it is open.
    fn tell(&mut self, name: &str, failure: Option<Error>) {
        let in_force = self.in_force.get();
        let Some((_, planned, set)) = in_force.planned().find(|(key, ..)| *key == name) else { return };
        let known = in_force.name_of(set);
        match failure {
            Some(error) if planned.is_down && self.failed.insert(name.to_owned()) => {
                self.reporter.warn(format!("cannot open listener {known} again after a flap: {error}"));
            }
            // Operators may not want it any more.
            _ if planned.is_open() && self.failed.remove(name) => {
                self.reporter.warn(format!("listener {known} is open again"));
            }
            _ => {}
        }
    }

    /// None: the server is ending, and changes nothing any more.
    async fn set_down(&self, name: &str, is_down: bool) -> Option<Result<(), Error>> {
        let name = name.to_owned();
        let edit = Box::new(move |plan: &mut _, _: &InForce| in_force::set_down(plan, &name, is_down));
        change_plan(&self.orders, edit).await
    }
}

fn is_flap(fault: &Fault) -> bool {
    fault.plan().kind == FaultKind::Flap
}
