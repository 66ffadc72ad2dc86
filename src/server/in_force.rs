//! The plan that is in force, and the step to the next one: all that it needs is opened before anything is changed.

use crate::{
    error::{Error, reason},
    net::{
        address::{Address, EscapedAddress, is_abstract},
        dial::{Destination, is_loop},
        endpoint::Endpoint,
        listener::{AcceptErrors, HeldPort, ListenHandle, ListenSocket},
        options::Options,
        passed::listener_name,
    },
    runtime::lock::Lock,
    server::{
        groups::{self, Groups, ListenerState},
        handover::LeftFaults,
        listener_faults,
        plan::{Plan, PlannedListener},
    },
    session::{
        faults::set::{FaultGround, FaultSet},
        listening::{CurrentListening, Listening},
        sources::SourceCounts,
    },
    text::escape::Escaped,
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::{self, Permissions},
    hash::Hash,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

/// What sessions to come are given, and operators are shown. It does not change: the next plan makes another one.
#[derive(Default)]
pub struct InForce {
    /// None before the first.
    pub plan: Option<Plan>,
    pub groups: Groups,
    /// In the order of the plan.
    pub addresses: Vec<ListenAddress>,
    /// Of all listeners together.
    per_source: Option<Arc<SourceCounts>>,
    /// By the listener's name.
    shared: HashMap<String, ListenerState>,
    /// Where listeners were bound that are not open now, by the listener's key: they come back to the same ports.
    places: HashMap<String, Vec<BoundPlace>>,
    /// What a former process leaves, by the listener's key; before the first plan.
    left: HashMap<String, LeftFaults>,
    /// None before the first.
    ground: Option<FaultGround>,
}

/// An address that is listened on.
#[derive(Clone)]
pub struct ListenAddress {
    pub endpoint: Endpoint,
    /// Which of its listener's equal endpoints that is, from 0: each with port 0 is another one.
    nth: usize,
    pub current: Arc<CurrentListening>,
    pub errors: Arc<AcceptErrors>,
    /// Its listener's, as it is now.
    planned: PlannedListener,
    /// Of the sockets that there are now.
    handles: Arc<Lock<Vec<ListenHandle>>>,
}

impl ListenAddress {
    /// At sockets that are new.
    fn new(
        (endpoint, nth): (&Endpoint, usize),
        planned: &PlannedListener,
        sockets: &[ListenSocket],
        listening: Arc<Listening>,
    ) -> Self {
        let handles = sockets.iter().map(ListenSocket::handle).collect::<Vec<_>>();
        ListenAddress {
            endpoint: endpoint.clone(),
            nth,
            current: Arc::new(CurrentListening::new(listening)),
            errors: sockets[0].errors(),
            planned: planned.clone(),
            handles: Arc::new(Lock::new(handles)),
        }
    }

    /// The name under which its sockets are passed on.
    fn passing_name(&self) -> String {
        listener_name(self.planned.name.as_deref(), &self.endpoint)
    }

    /// Another socket of it, for one more shard.
    fn another(&self, socket: &mut ListenSocket) -> io::Result<ListenSocket> {
        let planned = as_opened(&self.planned, &self.current.get().faults);
        let another = socket.another(planned.backlog, &groups::options(&planned))?;
        self.handles.lock().push(another.handle());
        Ok(another)
    }

    /// Where it is bound, for a listener that is planned so.
    fn place(&self, planned: &PlannedListener) -> BoundPlace {
        let hold = || self.handles.lock().iter().find_map(|handle| handle.hold(&groups::options(planned)));
        let held = if planned.is_down { hold().map(Arc::new) } else { None };
        let (endpoint, address) = (self.endpoint.clone(), self.current.get().address.clone());
        BoundPlace { held, was_open: true, ..BoundPlace::at(endpoint, self.nth, address) }
    }

    /// Whether it is listened on still.
    fn is_open(&self) -> bool {
        self.handles.lock().iter().any(ListenHandle::is_open)
    }
}

/// Where an endpoint of a listener was bound.
#[derive(Clone)]
pub struct BoundPlace {
    pub endpoint: Endpoint,
    /// As of a [`ListenAddress`].
    pub nth: usize,
    pub address: Address,
    /// This process has listened there, and said so.
    was_open: bool,
    /// While a fault has closed the listener: no other program is to get its port by chance.
    held: Option<Arc<HeldPort>>,
}

impl BoundPlace {
    pub fn at(endpoint: Endpoint, nth: usize, address: Address) -> Self {
        BoundPlace { endpoint, nth, address, was_open: false, held: None }
    }

    fn is_of(&self, endpoint: &Endpoint, nth: usize) -> bool {
        self.endpoint == *endpoint && self.nth == nth
    }
}

/// The plan in force, as its readers share it.
#[derive(Clone, Default)]
pub struct PlanInForce(Arc<Lock<Arc<InForce>>>);

/// A plan that can be put in force: its sockets are open.
pub struct Prepared {
    pub next: InForce,
    pub opened: Vec<Opened>,
    pub kept: Vec<Kept>,
    /// Addresses that are not listened on any more.
    pub closed: Vec<Arc<CurrentListening>>,
}

/// An address that stays, with what sessions to come are to know.
pub struct Kept {
    address: ListenAddress,
    /// Its listener's, as it was.
    former: PlannedListener,
    next: Arc<Listening>,
}

impl Kept {
    /// Sockets that stay as they were are not touched.
    pub fn put_in_force(self) {
        let ListenAddress { endpoint, current, planned, handles, .. } = self.address;
        let options = groups::options(&planned);
        let has_options = options == groups::options(&self.former);
        // A fault that has shut the entrance keeps the queue full; it gives it its new length at its end.
        let has_backlog = planned.backlog == self.former.backlog || self.next.faults.entrance.is_shut();
        for socket in &*handles.lock() {
            if !has_options {
                socket.set_options(&options);
            }
            if !has_backlog {
                socket.set_backlog(planned.backlog);
            }
        }
        if let (Endpoint::Unix(path), Some(mode)) = (&endpoint, planned.mode)
            && !is_abstract(path)
        {
            let _ = fs::set_permissions(path, Permissions::from_mode(mode));
        }
        current.set(self.next);
    }
}

/// An address that was opened, with a socket for each shard.
pub struct Opened {
    /// A fault had closed it.
    pub is_back: bool,
    pub current: Arc<CurrentListening>,
    pub sockets: Vec<ListenSocket>,
}

impl PlanInForce {
    pub fn get(&self) -> Arc<InForce> {
        self.0.lock().clone()
    }

    pub fn set(&self, next: InForce) {
        *self.0.lock() = Arc::new(next);
    }
}

impl InForce {
    /// The seed that a former process had; before the first plan.
    pub fn set_seed(&mut self, seed: u64) {
        self.ground = Some(FaultGround::new(Some(seed)));
    }

    /// What a former process leaves of a listener; before the first plan.
    pub fn inherit(&mut self, listener: &str, places: Vec<BoundPlace>, faults: LeftFaults) {
        self.places.insert(listener.to_owned(), places);
        self.left.insert(listener.to_owned(), faults);
    }

    /// Where a listener comes back to that a fault has closed.
    pub fn held_places(&self, listener: &str) -> Vec<BoundPlace> {
        let places = self.places.get(listener).into_iter().flatten();
        places.filter(|place| place.held.is_some()).cloned().collect()
    }

    pub fn listenings(&self) -> Vec<Arc<Listening>> {
        self.addresses.iter().map(|one| one.current.get()).collect()
    }

    /// The sockets of each listener, by the name under which they are passed on.
    pub fn handles(&self) -> impl Iterator<Item = (String, ListenHandle)> {
        self.addresses.iter().flat_map(|one| {
            let name = one.passing_name();
            let handles = one.handles.lock().clone();
            handles.into_iter().map(move |handle| (name.clone(), handle))
        })
    }

    /// The listener of this name, or the only one.
    /// Errors: which there are.
    pub fn listening(&self, name: Option<&str>) -> Result<Arc<Listening>, String> {
        let all = self.listenings();
        let names = || {
            let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            names.dedup();
            names.join(", ")
        };
        match name {
            Some(name) => {
                let found = all.iter().find(|one| one.name == name);
                found.cloned().ok_or_else(|| format!("there is no listener '{name}'; there is {}", names()))
            }
            None if all.iter().all(|one| one.name == all[0].name) && !all.is_empty() => Ok(all[0].clone()),
            None => Err(format!("which listener is missing; write listener=NAME, of {}", names())),
        }
    }

    /// The faults of a listener, whether or not it is listened on.
    pub fn faults(&self, listener: &str) -> Option<Arc<FaultSet>> {
        let planned = self.shared.get(listener).map(|state| state.faults().clone());
        // One that is named by its address may have been planned with another one, as with port 0.
        planned.or_else(|| {
            let listenings = self.listenings().into_iter();
            let mut named = listenings.filter(|one| one.name == listener);
            named.next().map(|one| one.faults.clone()).or_else(|| {
                let (key, _) = self.closed_names().find(|(_, name)| name == listener)?;
                self.shared.get(key).map(|state| state.faults().clone())
            })
        })
    }

    /// The names of listeners that are not open and are known by the addresses that they had, each with its key.
    fn closed_names(&self) -> impl Iterator<Item = (&String, String)> {
        let is_unnamed =
            |key: &String| self.shared.get(key).is_some_and(|state| state.planned().name.is_none());
        let unnamed = self.places.iter().filter(move |(key, _)| is_unnamed(key));
        unnamed.flat_map(|(key, places)| {
            places.iter().map(move |place| (key, EscapedAddress(&place.address).to_string()))
        })
    }

    /// The name of the listener that has these faults, as operators know it.
    pub fn name_of(&self, faults: &Arc<FaultSet>) -> String {
        let listenings = self.listenings().into_iter();
        let mut own = listenings.filter(|one| Arc::ptr_eq(&one.faults, faults));
        let closed = || {
            let mut closed = self.closed_names().filter(|(key, _)| *key == faults.listener());
            closed.next().map_or_else(|| faults.listener().to_owned(), |(_, name)| name)
        };
        own.next().map_or_else(closed, |one| one.name.clone())
    }

    /// The faults of all listeners, by their names, in the order of these.
    pub fn all_faults(&self) -> Vec<(String, Arc<FaultSet>)> {
        let listenings = self.listenings().into_iter().rev();
        let names: HashMap<_, _> =
            listenings.map(|one| (Arc::as_ptr(&one.faults), one.name.clone())).collect();
        let named = |state: &ListenerState| {
            let faults = state.faults().clone();
            let name = names.get(&Arc::as_ptr(&faults)).cloned();
            (name.unwrap_or_else(|| self.name_of(&faults)), faults)
        };
        let mut all: Vec<_> = self.shared.values().map(named).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// What the faults' draws follow from.
    pub fn seed(&self) -> Option<u64> {
        self.ground.as_ref().map(|ground| ground.seed)
    }

    /// Those of files are as the plan says from now on. The sets that changed by that.
    pub fn begin_faults(&self) -> Vec<Arc<FaultSet>> {
        let changed = |state: &&ListenerState| state.faults().follow_file(&state.planned().faults);
        self.shared.values().filter(changed).map(|state| state.faults().clone()).collect()
    }

    /// Another socket of a listener's address, for one more shard.
    pub fn another(&self, of: &Arc<CurrentListening>, socket: &mut ListenSocket) -> io::Result<ListenSocket> {
        let address = self.addresses.iter().find(|one| Arc::ptr_eq(&one.current, of));
        address.expect("what is accepted at is in force").another(socket)
    }

    /// The open addresses of an endpoint that a listener of `next` may have: its own, else those that no other listener keeps
    /// and none `is_used`. Several listeners may have one endpoint, and one several times, if the kernel chooses its port.
    fn at(
        &self,
        (endpoint, nth): (&Endpoint, usize),
        planned: &PlannedListener,
        next: &Plan,
        is_used: impl Fn(&ListenAddress) -> bool,
    ) -> Vec<&ListenAddress> {
        let open = || self.addresses.iter().filter(|one| one.endpoint == *endpoint && one.is_open());
        let has_own = open().any(|one| key(&one.planned) == key(planned));
        let open: Vec<_> = open().filter(|one| !is_used(one)).collect();
        let is_kept = |former: &str| {
            let of_former = |one: &PlannedListener| {
                one.is_open() && one.endpoints.contains(endpoint) && key(one) == former
            };
            next.listeners.iter().any(of_former)
        };
        let formers = open.iter().map(|one| key(&one.planned));
        let former = if has_own { Some(key(planned)) } else { formers.into_iter().find(|one| !is_kept(one)) };
        open.into_iter().filter(|one| one.nth == nth && Some(key(&one.planned)) == former).collect()
    }

    /// Gives new sockets of these addresses their backlog, unless a fault keeps their queues full: one that ended before they
    /// were in force did not know them.
    pub fn give_backlog(&self, is_meant: impl Fn(&Arc<CurrentListening>) -> bool) {
        for ListenAddress { current, planned, handles, .. } in &self.addresses {
            if is_meant(current) && !current.get().faults.entrance.is_shut() {
                handles.lock().iter().for_each(|socket| socket.set_backlog(planned.backlog));
            }
        }
    }

    /// What ends TLS in `next` has what one of its name has learnt.
    fn leave_tls(&self, next: &Plan) {
        for next in &next.tls {
            let former = self.plan.iter().flat_map(|plan| &plan.tls).find(|former| former.name == next.name);
            former.iter().for_each(|former| next.tls.take_over(&former.tls));
        }
    }

    /// Whether operators want a listener to be listened on; none if there is none.
    pub fn is_enabled(&self, listener: &str) -> Option<bool> {
        self.shared.get(listener).map(|state| state.planned().enabled)
    }

    /// Where a listener is bound, in the order of its plan; while a fault has closed it, where it comes back to.
    pub fn bound(&self, listener: &str) -> Vec<Address> {
        let own = self.addresses.iter().filter(|one| key(&one.planned) == listener);
        let bound: Vec<_> = own.map(|one| one.current.get().address.clone()).collect();
        let is_down = |state: &ListenerState| state.planned().enabled && state.planned().is_down;
        if bound.is_empty() && self.shared.get(listener).is_some_and(is_down) {
            let places = self.places.get(listener).into_iter().flatten();
            return places.map(|place| place.address.clone()).collect();
        }
        bound
    }

    /// The sockets of a listener, each with its address if that is of TCP.
    pub fn sockets(&self, listener: &str) -> Vec<(ListenHandle, Option<SocketAddr>)> {
        let own = self.addresses.iter().filter(|one| key(&one.planned) == listener);
        let sockets = own.flat_map(|one| {
            let at = match &one.current.get().address {
                Address::Tcp(at) => Some(*at),
                Address::Unix(_) => None,
            };
            one.handles.lock().clone().into_iter().map(move |socket| (socket, at))
        });
        sockets.filter(|(socket, _)| socket.is_open()).collect()
    }

    /// Each listener as it is planned, with its faults, by the key that [`InForce::set_enabled`] takes.
    pub fn planned(&self) -> impl Iterator<Item = (&String, &PlannedListener, &Arc<FaultSet>)> {
        self.shared.iter().map(|(key, state)| (key, state.planned(), state.faults()))
    }

    /// Has a listener of `plan` be enabled or not. One that is not any more stays planned at the addresses that it was bound
    /// at, so that it comes back to the same ports.
    /// Errors: there is no such listener.
    pub fn set_enabled(&self, plan: &mut Plan, listener: &str, is_enabled: bool) -> Result<(), Error> {
        let planned = planned_in(plan, listener)?;
        if planned.enabled && !is_enabled {
            let bound: Vec<Endpoint> = self.bound(listener).iter().map(Endpoint::from).collect();
            if !bound.is_empty() && planned.endpoints != bound {
                // It stays known by what it was.
                planned.name.get_or_insert_with(|| listener.to_owned());
                planned.endpoints = bound;
            }
        }
        planned.enabled = is_enabled;
        Ok(())
    }

    /// The keys of the listeners that faults have closed.
    pub fn down(&self) -> BTreeSet<String> {
        let down = self.planned().filter(|(_, planned, _)| planned.is_down);
        down.map(|(key, ..)| key.clone()).collect()
    }

    /// Has the listeners of `plan` that a fault has closed stay closed.
    pub fn keep_down(&self, plan: &mut Plan) {
        for planned in &mut plan.listeners {
            planned.is_down = self.shared.get(&key(planned)).is_some_and(|state| state.planned().is_down);
        }
    }

    /// Where a listener that is planned so was bound last, at each of its endpoints.
    fn places(&self, planned: &PlannedListener) -> Vec<BoundPlace> {
        let key = key(planned);
        let open = self.addresses.iter().filter(|one| self::key(&one.planned) == key);
        let mut places: Vec<_> = open.map(|one| one.place(planned)).collect();
        if places.is_empty() {
            places = self.places.get(&key).cloned().unwrap_or_default();
        }
        places.retain(|place| planned.endpoints.contains(&place.endpoint));
        places
    }

    /// The plan, with the faults of files as operators and schedules have left them; none before the first.
    pub fn as_it_is(&self) -> Option<Plan> {
        let mut plan = self.plan.clone()?;
        self.keep_faults(&mut plan);
        Some(plan)
    }

    /// Has the faults that `plan` gives its listeners be as operators have left those of files.
    pub fn keep_faults(&self, plan: &mut Plan) {
        for planned in &mut plan.listeners {
            if let Some(state) = self.shared.get(&key(planned)) {
                let own = state.faults().all().into_iter().filter(|fault| fault.is_of_file);
                planned.faults = own.map(|fault| (*fault.plan()).clone()).collect();
            }
        }
    }

    pub fn own_addresses(&self) -> Vec<Address> {
        self.listenings().iter().map(|one| one.address.clone()).collect()
    }

    /// Whether listeners may lead to each other: those of toxiproxy's API are chained by its users.
    pub fn may_chain(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.api.is_some())
    }

    /// Where it listens, for people.
    pub fn address_texts(&self) -> Vec<String> {
        self.own_addresses().iter().map(ToString::to_string).collect()
    }

    /// Whether some session may have to dial.
    pub fn dials(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.listeners.iter().any(|one| one.target.dials()))
    }

    /// Opens what `plan` needs and this one does not have; each new address gets a socket for each of the `threads`. `passed`
    /// are the sockets that others opened, for each endpoint of each listener.
    /// Fails if something cannot be opened; what was opened is closed again, and nothing has changed.
    pub fn prepare(
        &self,
        plan: Plan,
        threads: usize,
        mut passed: VecDeque<Vec<Vec<ListenSocket>>>,
    ) -> Result<Prepared, Error> {
        let groups = Groups::new(&plan.upstreams, &self.groups);
        self.leave_tls(&plan);
        let per_source = plan.max_per_source;
        let per_source = per_source.map(|limit| SourceCounts::with_limit(self.per_source.as_ref(), limit));
        let (mut opened, mut kept, mut addresses) = (Vec::new(), Vec::new(), Vec::<ListenAddress>::new());
        let ground = self.ground.clone().unwrap_or_else(|| FaultGround::new(plan.seed));
        let (mut shared, mut places) = (HashMap::new(), HashMap::new());
        let mut counts = HashMap::new();
        for planned in &plan.listeners {
            check(planned, self.shared.get(&key(planned)))?;
            let (key, former_places) = (key(planned), self.places(planned));
            let of_listener = ListenerState::new(&key, planned, self.shared.get(&key), &ground);
            if let Some(left) = self.left.get(&key) {
                left.go_on(of_listener.faults());
            }
            let was_down = self.shared.get(&key).is_some_and(|former| former.planned().is_down);
            if !planned.is_open() {
                places.insert(key.clone(), held(planned, former_places.clone())?);
            }
            shared.insert(key.clone(), of_listener.clone());
            for endpoint in planned.endpoints.iter().filter(|_| planned.is_open()) {
                let nth = next_of(&mut counts, (key.clone(), endpoint.clone()));
                let listening = |address| of_listener.listening(&plan, &groups, per_source.as_ref(), address);
                let is_used = |one: &ListenAddress| {
                    addresses.iter().any(|used| Arc::ptr_eq(&used.current, &one.current))
                };
                let there = self.at((endpoint, nth), planned, &plan, is_used);
                let there: Vec<_> = there
                    .into_iter()
                    .map(|one| {
                        let address = ListenAddress { planned: planned.clone(), ..one.clone() };
                        let next = listening(one.current.get().address.clone());
                        kept.push(Kept { address: address.clone(), former: one.planned.clone(), next });
                        address
                    })
                    .collect();
                let passed = passed.pop_front().unwrap_or_default();
                let former: Vec<_> = former_places.iter().filter(|one| one.is_of(endpoint, nth)).collect();
                let is_back = was_down && former.iter().any(|one| one.was_open);
                let made = if there.is_empty() {
                    open_all(&former, endpoint, &as_opened(planned, of_listener.faults()), passed, threads)?
                } else {
                    Vec::new()
                };
                addresses.extend(there);
                for sockets in made {
                    let listening = listening(sockets[0].address().clone());
                    let address = ListenAddress::new((endpoint, nth), planned, &sockets, listening);
                    let current = address.current.clone();
                    addresses.push(address);
                    opened.push(Opened { is_back, current, sockets });
                }
            }
        }
        let stays =
            |one: &&ListenAddress| addresses.iter().any(|next| Arc::ptr_eq(&next.current, &one.current));
        let closed = self.addresses.iter().filter(|one| !stays(one)).map(|one| one.current.clone()).collect();
        let ground = Some(ground);
        let left = HashMap::new();
        let next = InForce { plan: Some(plan), groups, addresses, per_source, shared, places, left, ground };
        Ok(Prepared { next, opened, kept, closed })
    }
}

impl Prepared {
    /// Refuses it if a session would come back to it for ever; dropping it closes what was opened.
    pub fn without_loops(self) -> Result<Self, Error> {
        if self.next.may_chain() {
            return Ok(self);
        }
        let own = self.next.own_addresses();
        let upstreams = self.next.plan.iter().flat_map(|plan| &plan.upstreams);
        let mut servers = upstreams.flat_map(|one| &one.servers);
        servers.try_for_each(|server| refuse_loop(&server.destination, &own))?;
        Ok(self)
    }
}

/// What a listener is known by: its name, or its first address.
fn key(planned: &PlannedListener) -> String {
    let first = || planned.endpoints.first().map(ToString::to_string);
    planned.name.clone().or_else(first).unwrap_or_default()
}

/// Has a listener of `plan` be closed for a while, or not any more.
/// Errors: there is no such listener.
pub fn set_down(plan: &mut Plan, listener: &str, is_down: bool) -> Result<(), Error> {
    planned_in(plan, listener)?;
    // Of those without a name, several may be known by one.
    let known = plan.listeners.iter_mut().filter(|one| key(one) == listener);
    known.for_each(|one| one.is_down = is_down);
    Ok(())
}

fn planned_in<'a>(plan: &'a mut Plan, listener: &str) -> Result<&'a mut PlannedListener, Error> {
    plan.listeners.iter_mut().find(|one| key(one) == listener).ok_or_else(|| {
        let why = io::Error::new(io::ErrorKind::NotFound, "there is no such listener");
        Error::new(format!("cannot change listener '{}'", Escaped(listener.as_bytes())), why)
    })
}

/// Errors: what of a listener cannot be, whatever it is bound to.
fn check(planned: &PlannedListener, former: Option<&ListenerState>) -> Result<(), Error> {
    let congestion = &planned.congestion;
    congestion.check().map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
    let of_operators = former.into_iter().flat_map(|former| former.faults().all());
    let of_operators = of_operators.filter(|fault| !fault.is_of_file).map(|fault| fault.plan());
    let faults = planned.faults.iter().map(|plan| (plan.kind, plan.name.clone()));
    for (kind, name) in faults.chain(of_operators.map(|plan| (plan.kind, plan.name.clone()))) {
        listener_faults::check(kind, &planned.endpoints).map_err(|why| {
            let key = key(planned);
            let what = format!("cannot have {name} at listener '{}'", Escaped(key.as_bytes()));
            Error::new(what, io::Error::other(why))
        })?;
    }
    Ok(())
}

/// The number of one that is equal to those before it, from 0.
fn next_of<T: Eq + Hash>(counts: &mut HashMap<T, usize>, one: T) -> usize {
    let count = counts.entry(one).or_default();
    *count += 1;
    *count - 1
}

/// The places of a listener that is not open. If a fault has closed it, its ports are held, and each endpoint has one: the kernel
/// has chosen it before anybody asks.
fn held(planned: &PlannedListener, mut places: Vec<BoundPlace>) -> Result<Vec<BoundPlace>, Error> {
    if !(planned.enabled && planned.is_down) {
        places.iter_mut().for_each(|place| place.held = None);
        return Ok(places);
    }
    let (options, mut counts) = (groups::options(planned), HashMap::new());
    for endpoint in &planned.endpoints {
        let nth = next_of(&mut counts, endpoint);
        let place = places.iter_mut().find(|place| place.is_of(endpoint, nth));
        let held = match &place {
            Some(BoundPlace { held: Some(_), .. }) => continue,
            // Another program may have taken it: that is told when it is to be opened.
            Some(place) => HeldPort::bind(&Endpoint::from(&place.address), &options).ok().flatten(),
            None => HeldPort::bind(endpoint, &options)
                .map_err(|error| cannot_listen(endpoint, "--listen", &error))?,
        };
        let Some(held) = held.map(Arc::new) else { continue };
        match place {
            Some(place) => place.held = Some(held),
            None => {
                let place = BoundPlace::at(endpoint.clone(), nth, held.address().clone());
                places.push(BoundPlace { held: Some(held), ..place });
            }
        }
    }
    Ok(places)
}

/// A listener as its new sockets are to be: if a fault has shut its entrance, their queues have one place, which that takes.
fn as_opened(planned: &PlannedListener, faults: &FaultSet) -> PlannedListener {
    let backlog = if faults.entrance.is_shut() { 0 } else { planned.backlog };
    PlannedListener { backlog, ..planned.clone() }
}

/// The sockets of an endpoint, as [`open`] has them; at the addresses that it had before, if it had any.
fn open_all(
    former: &[&BoundPlace],
    endpoint: &Endpoint,
    planned: &PlannedListener,
    passed: Vec<Vec<ListenSocket>>,
    threads: usize,
) -> Result<Vec<Vec<ListenSocket>>, Error> {
    if former.is_empty() || !passed.is_empty() {
        return open(endpoint, planned, passed, threads);
    }
    let mut all = Vec::new();
    for place in former {
        all.extend(open(&Endpoint::from(&place.address), planned, Vec::new(), threads)?);
    }
    Ok(all)
}

/// The sockets of an endpoint, by their addresses: those that were passed, else its own. Each address has one for each of the
/// `threads`, or more.
fn open(
    endpoint: &Endpoint,
    planned: &PlannedListener,
    passed: Vec<Vec<ListenSocket>>,
    threads: usize,
) -> Result<Vec<Vec<ListenSocket>>, Error> {
    let (mut all, options) = (passed, groups::options(planned));
    for socket in all.iter().flatten() {
        socket.handle().set_options(&options);
        socket.handle().set_backlog(planned.backlog);
    }
    if all.is_empty() {
        // A socket without a file has no mode.
        let mode = planned.mode.filter(|_| matches!(endpoint, Endpoint::Unix(path) if !is_abstract(path)));
        let own = ListenSocket::bind(endpoint, planned.backlog, &options, mode);
        all.push(vec![own.map_err(|error| cannot_listen(endpoint, "--listen", &error))?]);
    }
    for sockets in &mut all {
        let first = sockets.len();
        for number in first..threads {
            let another = sockets[number % first].another(planned.backlog, &options);
            sockets.push(another.map_err(|error| cannot_listen(endpoint, "--listen", &error))?);
        }
    }
    Ok(all)
}

/// Listens; `flag` is the option that names the address.
pub fn listen(
    endpoint: &Endpoint,
    flag: &str,
    backlog: i32,
    options: &Options,
) -> Result<ListenSocket, Error> {
    ListenSocket::bind(endpoint, backlog, options, None)
        .map_err(|error| cannot_listen(endpoint, flag, &error))
}

fn cannot_listen(endpoint: &Endpoint, flag: &str, error: &io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; stop the program that uses it or choose another {flag} address")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; choose a {flag} port from 1024 up, or run with the right to bind it")
        }
        io::ErrorKind::AddrNotAvailable => format!("; choose a {flag} address of this machine"),
        _ => String::new(),
    };
    let why = io::Error::new(error.kind(), format!("{}{advice}", reason(error)));
    Error::new(format!("cannot listen on {endpoint}"), why)
}

/// An upstream that is one of our own listeners would connect to itself for ever.
fn refuse_loop(upstream: &Destination, own: &[Address]) -> Result<(), Error> {
    if is_loop(upstream, own) {
        let reason = io::Error::other(
            "it is this proxy's own listener; choose another --upstream or --listen address",
        );
        return Err(Error::new(format!("cannot relay to {}", upstream.endpoint), reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpStream, time::Duration};

    #[test]
    fn sockets_that_were_opened_during_a_stall_have_their_backlog_once_it_is_over() {
        let first = InForce::default().prepare(Plan::sample_echo(1), 1, VecDeque::new()).unwrap();
        let before = &first.next;
        let set = before.faults("web").unwrap();
        set.entrance.begin_shut();
        let Prepared { next, opened, .. } = before.prepare(Plan::sample_echo(2), 1, VecDeque::new()).unwrap();
        assert_eq!(opened.len(), 1, "the other stays");
        set.entrance.open();
        next.give_backlog(|current| Arc::ptr_eq(current, &opened[0].current));
        let Address::Tcp(address) = &opened[0].current.get().address else { panic!() };
        let connect = || TcpStream::connect_timeout(address, Duration::from_secs(20));
        let clients: Result<Vec<_>, _> = (0..4).map(|_| connect().map_err(|error| error.kind())).collect();
        assert_eq!(clients.map(|clients| clients.len()), Ok(4));
    }
}
