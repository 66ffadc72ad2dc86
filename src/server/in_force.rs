//! The plan that is in force, and the step to the next one: all that it needs is opened before anything is changed.

use crate::{
    error::{Error, reason},
    net::{
        address::Address,
        dial::{Destination, is_loop},
        endpoint::Endpoint,
        listener::{AcceptErrors, ListenSocket},
        options::Options,
    },
    runtime::lock::Lock,
    server::{
        groups::{self, Groups, Shared},
        plan::Plan,
    },
    session::{
        sources::SourceCounts,
        target::{CurrentListening, Listening},
    },
};
use std::{collections::HashMap, io, sync::Arc};

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
    shared: HashMap<String, Shared>,
}

/// An address that is listened on.
#[derive(Clone)]
pub struct ListenAddress {
    pub endpoint: Endpoint,
    pub current: Arc<CurrentListening>,
    pub errors: Arc<AcceptErrors>,
}

/// The plan in force, as its readers share it.
#[derive(Clone, Default)]
pub struct PlanInForce(Arc<Lock<Arc<InForce>>>);

/// A plan that can be put in force: its sockets are open.
pub struct Prepared {
    pub next: InForce,
    pub opened: Vec<Opened>,
    /// Listeners of addresses that stay, with what sessions to come are to know.
    pub kept: Vec<(Arc<CurrentListening>, Arc<Listening>)>,
    /// Addresses that are not listened on any more.
    pub closed: Vec<Arc<CurrentListening>>,
}

/// An address that was opened, with a socket for each shard.
pub struct Opened {
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
    pub fn listenings(&self) -> Vec<Arc<Listening>> {
        self.addresses.iter().map(|one| one.current.get()).collect()
    }

    pub fn own_addresses(&self) -> Vec<Address> {
        self.listenings().iter().map(|one| one.address.clone()).collect()
    }

    /// Whether some session may have to dial.
    pub fn dials(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.listeners.iter().any(|one| one.target.dials()))
    }

    /// Opens what `plan` needs and this one does not have; each new address gets a socket for each of the `threads`.
    /// Fails if something cannot be opened; what was opened is closed again, and nothing has changed.
    pub fn prepare(&self, plan: Plan, threads: usize) -> Result<Prepared, Error> {
        let groups = Groups::new(&plan.upstreams, &self.groups);
        let per_source = plan.max_per_source;
        let per_source = per_source.map(|limit| SourceCounts::with_limit(self.per_source.as_ref(), limit));
        let (mut opened, mut kept, mut addresses) = (Vec::new(), Vec::new(), Vec::<ListenAddress>::new());
        let mut shared = HashMap::new();
        for planned in &plan.listeners {
            let congestion = &planned.congestion;
            congestion
                .check()
                .map_err(|error| Error::new(format!("cannot use --congestion {congestion}"), error))?;
            for endpoint in &planned.endpoints {
                let key = planned.name.clone().unwrap_or_else(|| endpoint.to_string());
                let of_listener = shared.entry(key.clone()).or_insert_with(|| Shared::new(planned, self.shared.get(&key)));
                let listening = |address| of_listener.listening(plan.log, &groups, per_source.as_ref(), address);
                let is_used = |one: &ListenAddress| addresses.iter().any(|used| Arc::ptr_eq(&used.current, &one.current));
                let there = self.addresses.iter().find(|one| one.endpoint == *endpoint && !is_used(one));
                if let Some(there) = there {
                    kept.push((there.current.clone(), listening(there.current.get().address.clone())));
                    addresses.push(there.clone());
                    continue;
                }
                let sockets = open(endpoint, planned.backlog, &groups::options(planned), threads)?;
                let (address, errors) = (sockets[0].address().clone(), sockets[0].errors());
                let current = Arc::new(CurrentListening::new(listening(address)));
                addresses.push(ListenAddress { endpoint: endpoint.clone(), current: current.clone(), errors });
                opened.push(Opened { current, sockets });
            }
        }
        let stays = |one: &&ListenAddress| addresses.iter().any(|next| Arc::ptr_eq(&next.current, &one.current));
        let closed = self.addresses.iter().filter(|one| !stays(one)).map(|one| one.current.clone()).collect();
        let next = InForce { plan: Some(plan), groups, addresses, per_source, shared };
        next.refuse_loops()?;
        Ok(Prepared { next, opened, kept, closed })
    }

    fn refuse_loops(&self) -> Result<(), Error> {
        let own = self.own_addresses();
        let upstreams = self.plan.iter().flat_map(|plan| &plan.upstreams);
        upstreams.flat_map(|one| &one.servers).try_for_each(|server| refuse_loop(&server.destination, &own))
    }
}

/// A socket for each of the `threads`, before any accepts.
fn open(endpoint: &Endpoint, backlog: i32, options: &Options, threads: usize) -> Result<Vec<ListenSocket>, Error> {
    let mut sockets = vec![listen(endpoint, "--listen", backlog, options)?];
    for _ in 1..threads {
        let another = sockets[0].another(backlog, options);
        sockets.push(another.map_err(|error| cannot_listen(endpoint, "--listen", &error))?);
    }
    Ok(sockets)
}

/// Listens; `flag` is the option that names the address.
pub fn listen(endpoint: &Endpoint, flag: &str, backlog: i32, options: &Options) -> Result<ListenSocket, Error> {
    ListenSocket::bind(endpoint, backlog, options).map_err(|error| cannot_listen(endpoint, flag, &error))
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
