//! The breaker: adds faults to listeners, changes and removes them, and has live sessions meet what has changed. It removes
//! those that expire. One change comes after the other, from wherever it is asked for.
//!
//! Nothing here waits for a peer: sessions are told by an order, and do the rest.

use crate::{
    report::reporter::Reporter,
    runtime::{
        clock::{now_ns, sleep_until},
        mailbox::{self, Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{
        in_force::PlanInForce,
        listener_faults::{self, ListenerFaults},
        operator::{Ending, REPLACED, ServerOrder},
        supervisors::Supervisors,
    },
    session::{
        event::{Events, What},
        faults::{
            fault::{Fault, FaultPlan},
            kind::FaultKind,
            set::{FaultChange, FaultRefusal, FaultSet},
        },
    },
};
use futures::{
    FutureExt,
    lock::{Mutex, OwnedMutexGuard},
    select_biased,
};
use std::{
    future::pending,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Changes that may wait while one is made; who brings one more waits.
const CHANGES: usize = 16;

/// Ends with its last handle.
#[derive(Clone)]
pub struct Breaker {
    address: mailbox::Sender<Message>,
    /// Held by who gives an order, until the fault is as it says.
    turn: Arc<Mutex<()>>,
    ending: Arc<Ending>,
}

/// What is to become of the faults of a listener.
pub enum FaultOrder {
    Add(Box<FaultPlan>),
    Update(String, FaultChange),
    Remove(String),
    /// Removes all.
    Clear,
}

enum Message {
    /// Of the listener of this name.
    Order(String, FaultOrder, mailbox::Sender<Answer>),
    /// A plan that is in force changed these. The address is dropped when listeners and live sessions are as they say.
    Follow(Vec<Arc<FaultSet>>, mailbox::Sender<()>),
}

struct Answer {
    /// The fault that the order is about, or those that were removed.
    faults: Result<Vec<Arc<Fault>>, FaultRefusal>,
    /// Ends once the listener is closed or open, where the order was about that. The asker waits for it, and the actor does
    /// not: the server closes listeners, and the server waits for the actor.
    flapped: Option<Mailbox<()>>,
}

enum Event {
    Message(Message),
    /// Of a listener, by its name.
    Expired(Arc<FaultSet>, String),
    /// A fault of a listener as a whole begins, pauses or turns.
    Turned,
    /// No handle is left.
    End,
}

struct Actor {
    mailbox: Mailbox<Message>,
    in_force: PlanInForce,
    supervisors: Supervisors,
    events: Events,
    listeners: ListenerFaults,
    reporter: Reporter,
    is_seed_told: bool,
    /// When a fault of a listener as a whole begins, pauses or turns, in nanoseconds of [`now_ns`].
    turn_ns: Option<u64>,
    _flapper: Task<()>,
}

impl Breaker {
    /// The actor runs for as long as the task is there. Listeners are closed and opened by `orders`.
    pub fn start(
        in_force: &PlanInForce,
        supervisors: &Supervisors,
        reporter: &Reporter,
        orders: &mailbox::Sender<ServerOrder>,
        ending: &Arc<Ending>,
    ) -> (Self, Task<()>) {
        let (address, mailbox) = mailbox(CHANGES);
        let (listeners, _flapper) = ListenerFaults::start(in_force, supervisors, orders, reporter);
        let (in_force, supervisors, reporter) = (in_force.clone(), supervisors.clone(), reporter.clone());
        let actor = Actor {
            mailbox,
            in_force,
            supervisors,
            events: reporter.events().clone(),
            listeners,
            reporter,
            is_seed_told: false,
            turn_ns: None,
            _flapper,
        };
        (Breaker { address, turn: Arc::default(), ending: ending.clone() }, spawn(actor.run()))
    }

    /// Follows an order; live sessions have met the change when it is answered, and the listener is closed or open.
    /// Errors: why it cannot be; nothing has changed then.
    pub async fn order(&self, listener: &str, order: FaultOrder) -> Result<Vec<Arc<Fault>>, FaultRefusal> {
        let (reply, mut answer) = mailbox(1);
        let gone = || FaultRefusal::Ending("the server is ending");
        let turn = self.turn.lock().await;
        if self.ending.is_replaced.load(Relaxed) {
            return Err(FaultRefusal::Ending(REPLACED));
        }
        self.address.send(Message::Order(listener.to_owned(), order, reply)).await.map_err(|_| gone())?;
        let Answer { faults, flapped } = answer.next().await.ok_or_else(gone)?;
        drop(turn);
        if let Some(mut flapped) = flapped {
            flapped.next().await;
        }
        faults
    }

    /// No order is followed while the guard is there.
    pub async fn hold(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Has the live sessions of these listeners meet their faults, and the listeners that are in force be as theirs say.
    pub async fn follow(&self, changed: Vec<Arc<FaultSet>>) {
        let (done, mut followed) = mailbox(1);
        let _ = self.address.send(Message::Follow(changed, done)).await;
        followed.next().await;
    }
}

impl Actor {
    async fn run(mut self) {
        loop {
            match self.next_event().await {
                Event::Message(Message::Order(listener, order, reply)) => {
                    let faults = self.follow(&listener, order).await;
                    self.tell_seed();
                    let is_about = |wanted: fn(FaultKind) -> bool| {
                        faults.iter().flatten().any(|fault| wanted(fault.plan().kind))
                    };
                    if is_about(FaultKind::is_of_listener) {
                        self.turn().await;
                    }
                    let is_of_flap = is_about(|kind| kind == FaultKind::Flap);
                    let flapped = is_of_flap.then(|| self.listeners.flapped());
                    // An asker that is gone gets nothing.
                    let _ = reply.try_send(Answer { faults, flapped });
                }
                Event::Message(Message::Follow(changed, _done)) => {
                    self.tell_seed();
                    for set in changed {
                        self.spread(&set).await;
                    }
                    self.turn().await;
                }
                Event::Turned => self.turn().await,
                Event::Expired(set, name) => {
                    if let Ok(fault) = set.remove(&name) {
                        self.tell(&set, &fault, "expired");
                        self.spread(&set).await;
                        if fault.plan().kind.is_of_listener() {
                            self.turn().await;
                        }
                    }
                }
                Event::End => return,
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let (first, turn_ns) = (self.first_to_expire(), self.turn_ns);
        let at = |ns: u64| sleep_until(Instant::now() + Duration::from_nanos(ns.saturating_sub(now_ns())));
        let due = async {
            match (first, turn_ns) {
                (Some((ns, set, name)), turn_ns) if turn_ns.is_none_or(|turn_ns| ns <= turn_ns) => {
                    at(ns).await;
                    Event::Expired(set, name)
                }
                (_, Some(turn_ns)) => {
                    at(turn_ns).await;
                    Event::Turned
                }
                (_, None) => pending().await,
            }
        };
        select_biased! {
            message = self.mailbox.next().fuse() => message.map_or(Event::End, Event::Message),
            event = pin!(due.fuse()) => event,
        }
    }

    /// The fault that expires first, and when, in nanoseconds of [`now_ns`].
    fn first_to_expire(&self) -> Option<(u64, Arc<FaultSet>, String)> {
        let sets = self.in_force.get().all_faults().into_iter();
        let faults = sets.flat_map(|(_, set)| set.all().into_iter().map(move |fault| (set.clone(), fault)));
        let expiring = faults.filter_map(|(set, fault)| {
            let plan = fault.plan();
            Some((plan.schedule.expiry_ns(fault.began_ns)?, set, plan.name.clone()))
        });
        expiring.min_by_key(|(ns, ..)| *ns)
    }

    /// Says once what draws follow from, as soon as there may be any.
    fn tell_seed(&mut self) {
        let in_force = self.in_force.get();
        let has_api = in_force.plan.as_ref().is_some_and(|plan| plan.api.is_some());
        let draws = || has_api || in_force.all_faults().iter().any(|(_, set)| !set.is_empty());
        if let Some(seed) = in_force.seed().filter(|_| !self.is_seed_told && draws()) {
            self.is_seed_told = true;
            self.reporter.warn(format!("seed {seed}"));
        }
    }

    /// Has the listeners be as their faults say now.
    async fn turn(&mut self) {
        self.turn_ns = self.listeners.follow(now_ns()).await;
    }

    async fn follow(&self, listener: &str, order: FaultOrder) -> Result<Vec<Arc<Fault>>, FaultRefusal> {
        let in_force = self.in_force.get();
        let set = in_force.faults(listener).ok_or_else(|| {
            let names: Vec<_> = in_force.all_faults().into_iter().map(|(name, _)| name).collect();
            let names = names.join(", ");
            FaultRefusal::Wrong(format!("there is no listener '{listener}'; there is {names}"))
        })?;
        let (faults, did) = match order {
            FaultOrder::Add(plan) => {
                let planned = in_force.planned().find(|(.., faults)| Arc::ptr_eq(faults, &set));
                let endpoints = planned.map(|(_, planned, _)| &planned.endpoints[..]).unwrap_or_default();
                listener_faults::check(plan.kind, endpoints).map_err(FaultRefusal::Wrong)?;
                (vec![set.add(*plan, false)?], "added")
            }
            FaultOrder::Update(name, change) => (vec![set.update(&name, &change)?], "updated"),
            FaultOrder::Remove(name) => (vec![set.remove(&name)?], "removed"),
            FaultOrder::Clear => (set.clear(), "removed"),
        };
        faults.iter().for_each(|fault| self.tell(&set, fault, did));
        if !faults.is_empty() {
            self.spread(&set).await;
        }
        Ok(faults)
    }

    /// Has the live sessions of a listener meet its faults.
    async fn spread(&self, set: &Arc<FaultSet>) {
        for record in self.supervisors.list().await {
            if Arc::ptr_eq(&record.listening.faults, set) {
                record.heed_faults(&self.events);
            }
        }
    }

    fn tell(&self, set: &Arc<FaultSet>, fault: &Fault, did: &'static str) {
        let listener = self.in_force.get().name_of(set);
        self.events.tell(What::fault(None, listener, &fault.plan(), did));
    }
}
