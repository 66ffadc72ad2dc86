//! The faults that act at a listener as a whole: what they have done to it, and what is to be done now.

use crate::{
    net::{endpoint::Endpoint, filler::Filler, listener::ListenHandle},
    report::reporter::Reporter,
    runtime::{
        clock::sleep,
        mailbox::{self, Mailbox},
        task::Task,
    },
    server::{
        flapper::{Flapper, Flaps},
        in_force::{InForce, PlanInForce},
        operator::ServerOrder,
        supervisors::Supervisors,
    },
    session::faults::{
        fault::{Fault, ms_as_ns},
        kind::FaultKind,
        set::FaultSet,
    },
};
use futures::future::join_all;
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// The kernel chooses among the sockets of an address by chance: that as many connections as this for each of them all miss
/// one that has a place has a chance of 1 in 10 million.
const FILLERS_A_SOCKET: usize = 16;
/// Fillers at once; each takes a descriptor.
const FILLERS_MAX: usize = 256;
/// Within one machine a connection is there at once, unless the processor is busy.
const FILL_WAIT: Duration = Duration::from_millis(5);
/// If the queues are not full after this number of rounds, something else takes from them.
const ROUNDS_MAX: usize = 64;

/// Kept by the breaker.
pub struct ListenerFaults {
    in_force: PlanInForce,
    /// By the listener's key.
    stalled: HashMap<String, Stalled>,
    flaps: Flaps,
}

/// A listener that accepts nothing. Dropping it gives it back.
struct Stalled {
    set: Arc<FaultSet>,
    sockets: Vec<ListenSocketPlace>,
    backlog: i32,
    /// Connected to the sockets above, each in the place of another.
    fillers: Vec<Filler>,
    /// Whether the queues of all sockets are.
    is_full: bool,
}

/// A socket, and its address if that is of TCP.
type ListenSocketPlace = (ListenHandle, Option<SocketAddr>);

impl ListenerFaults {
    /// With what closes and opens listeners, which runs for as long as the task is there.
    pub fn start(
        in_force: &PlanInForce,
        supervisors: &Supervisors,
        orders: &mailbox::Sender<ServerOrder>,
        reporter: &Reporter,
    ) -> (Self, Task<()>) {
        let (flaps, task) =
            Flapper::start(in_force.clone(), supervisors.clone(), orders.clone(), reporter.clone());
        (ListenerFaults { in_force: in_force.clone(), stalled: HashMap::new(), flaps }, task)
    }

    /// Has the listeners be as their faults say at `now_ns`; when that changes next.
    pub async fn follow(&mut self, now_ns: u64) -> Option<u64> {
        let in_force = self.in_force.get();
        let (mut next, mut stalled, mut down) = (None::<u64>, BTreeSet::new(), BTreeSet::new());
        for (key, _, set) in in_force.planned() {
            for fault in set.all() {
                let Some(act) = act_of(&fault, now_ns) else { continue };
                next = [next, act.change_ns].into_iter().flatten().min();
                match act.kind {
                    _ if !act.acts => {}
                    FaultKind::AcceptStall => _ = stalled.insert(key.clone()),
                    _ => _ = down.insert(key.clone()),
                }
            }
        }
        let is_so = in_force.down() == down;
        self.flaps.set_down(down, is_so);
        self.stall(&in_force, &stalled).await;
        next
    }

    /// Ends once flaps have closed and opened what they are to, or could not.
    pub fn flapped(&self) -> Mailbox<()> {
        self.flaps.followed()
    }

    /// Has these listeners, by their keys, accept nothing, at those sockets too that have come since they did; others
    /// accept again.
    async fn stall(&mut self, in_force: &InForce, keys: &BTreeSet<String>) {
        for (key, planned, set) in in_force.planned() {
            // One of the same name that is gone has had other faults.
            self.stalled.retain(|one, stalled| one != key || Arc::ptr_eq(&stalled.set, set));
            // A former process may have shut it, for a fault that has ended since.
            let is_shut = keys.contains(key) || set.entrance.is_shut();
            if is_shut && !self.stalled.contains_key(key) {
                self.stalled.insert(key.clone(), Stalled::new(set.clone()));
            }
            // One that is about to go gives back what is planned now.
            if let Some(stalled) = self.stalled.get_mut(key) {
                stalled.backlog = planned.backlog;
                stalled.set_sockets(in_force.sockets(key));
            }
        }
        self.stalled.retain(|key, _| keys.contains(key));
        join_all(self.stalled.values_mut().filter(|one| !one.is_full).map(Stalled::fill)).await;
    }
}

/// What a fault of a listener does now.
struct Act {
    kind: FaultKind,
    acts: bool,
    change_ns: Option<u64>,
}

/// None: it is no fault of a listener.
fn act_of(fault: &Fault, now_ns: u64) -> Option<Act> {
    let plan = fault.plan();
    if !plan.kind.is_of_listener() {
        return None;
    }
    let (mut acts, mut change_ns) = fault.acts(now_ns);
    if plan.kind == FaultKind::Flap && acts {
        let [up, down, _] = plan.values.map(ms_as_ns);
        let within = now_ns.saturating_sub(fault.acting_since_ns()) % up.saturating_add(down).max(1);
        acts = within < down;
        let turn_ns =
            now_ns.saturating_add(if acts { down - within } else { up.saturating_add(down) - within });
        change_ns = Some(change_ns.map_or(turn_ns, |other| other.min(turn_ns)));
    }
    Some(Act { kind: plan.kind, acts, change_ns })
}

impl Stalled {
    /// Of a listener with these faults, without its sockets.
    fn new(set: Arc<FaultSet>) -> Self {
        // A former process may have left some, that wait still.
        if !set.entrance.is_shut() {
            set.entrance.forget(None);
        }
        Stalled { set, sockets: Vec::new(), backlog: 0, fillers: Vec::new(), is_full: false }
    }

    /// Those that are new are to be filled.
    fn set_sockets(&mut self, sockets: Vec<ListenSocketPlace>) {
        let is_known =
            |(socket, _): &ListenSocketPlace| self.sockets.iter().any(|(known, _)| known.is_same(socket));
        self.is_full &= sockets.iter().all(is_known);
        self.sockets = sockets;
    }

    /// Shuts the entrance, and takes the place that each queue has.
    async fn fill(&mut self) {
        self.set.entrance.shut().await;
        // The sockets of some may have been closed.
        self.fillers.retain(Filler::is_connected);
        self.sockets.iter().for_each(|(socket, _)| socket.set_backlog(0));
        let mut addresses: Vec<SocketAddr> =
            self.sockets.iter().filter_map(|(_, address)| *address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            let sockets = self.sockets.iter().filter(|(_, at)| *at == Some(address)).count();
            for _ in 0..ROUNDS_MAX {
                if !self.add_fillers(address, sockets).await {
                    break;
                }
            }
        }
        self.is_full = true;
    }

    /// Tries to connect often enough to find a queue with a place; whether there was one.
    async fn add_fillers(&mut self, address: SocketAddr, sockets: usize) -> bool {
        let count = (sockets * FILLERS_A_SOCKET).min(FILLERS_MAX);
        let connect = |filler: &Filler| {
            self.set.entrance.expect(filler.address.clone());
            filler.connect().is_ok()
        };
        // Without descriptors, those that there are have to do.
        let fillers: Vec<Filler> =
            (0..count).map_while(|_| Filler::open(address).ok()).filter(connect).collect();
        sleep(FILL_WAIT).await;
        let (connected, waiting): (Vec<_>, Vec<_>) = fillers.into_iter().partition(Filler::is_connected);
        waiting.iter().for_each(|filler| self.set.entrance.forget(Some(&filler.address)));
        let found = !connected.is_empty();
        self.fillers.extend(connected);
        found
    }
}

impl Drop for Stalled {
    /// First the queues have room again, then the fillers go, then acceptors take who waits: fillers, which they know, and
    /// clients.
    fn drop(&mut self) {
        self.sockets.iter().for_each(|(socket, _)| socket.set_backlog(self.backlog));
        self.fillers.clear();
        if !self.sockets.iter().any(|(socket, _)| socket.is_open()) {
            self.set.entrance.forget(None);
        }
        self.set.entrance.open();
    }
}

/// Whether a fault has a listener accept nothing at `now_ns`.
pub fn stalls(set: &FaultSet, now_ns: u64) -> bool {
    let acts = |fault: &Arc<Fault>| {
        act_of(fault, now_ns).is_some_and(|act| act.acts && act.kind == FaultKind::AcceptStall)
    };
    set.all().iter().any(acts)
}

/// Errors: why a listener at `endpoints` cannot have a fault of this kind, in a sentence.
pub fn check(kind: FaultKind, endpoints: &[Endpoint]) -> Result<(), String> {
    let is_unix = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Unix(_));
    if kind == FaultKind::AcceptStall && endpoints.iter().any(is_unix) {
        let why = "a UNIX socket drops no requests, so that its clients would not time out";
        return Err(format!("accept_stall is of TCP: {why}"));
    }
    Ok(())
}
