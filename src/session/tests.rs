//! Sessions, targets and contexts for tests.

use crate::{
    net::{address::Address, dial::Destination, network::Access, options::Options},
    runtime::{limit::Slots, mailbox},
    session::{
        context::{Context, CurrentDeadlines, Settings},
        deadline::Deadlines,
        event::Events,
        faults::set::{FaultGround, FaultSet},
        group::{Group, GroupSettings},
        listening::{Listening, Refusals},
        opening::OpeningRules,
        record::Record,
        route::{Condition, Route, Routes},
        target::Target,
    },
};
use std::sync::Arc;

impl Listening {
    pub fn sample(address: Address, target: Target) -> Arc<Self> {
        Arc::new(Listening {
            name: address.to_string(),
            given_name: None,
            address,
            target,
            access: Access::default(),
            opening: OpeningRules::default(),
            refusals: Refusals::default(),
            accept_rate: None,
            per_source: Vec::new(),
            faults: Arc::new(FaultSet::new(String::new(), FaultGround::default())),
            settings: Settings {
                deadlines: Arc::new(CurrentDeadlines::new(Deadlines::default())),
                splice: true,
                dump_limit: None,
                options: Options::default(),
            },
        })
    }
}

impl Record {
    pub fn sample(id: u64, target: Target) -> Arc<Self> {
        Self::sample_from(id, target, "127.0.0.1:1")
    }

    pub fn sample_from(id: u64, target: Target, client: &str) -> Arc<Self> {
        let [address, client] = ["127.0.0.1:8002", client].map(|text| Address::Tcp(text.parse().unwrap()));
        Arc::new(Record::new(id, Listening::sample(address.clone(), target), address, client))
    }
}

impl Context {
    /// Its events are not told.
    pub fn sample() -> Arc<Self> {
        Self::sample_telling(Events::new(None, Arc::default()))
    }

    pub fn sample_telling(events: Events) -> Arc<Self> {
        Arc::new(Context { own: Arc::default(), slots: Slots::new(1), events, alive: mailbox::mailbox(1).0 })
    }
}

impl Target {
    pub fn upstream(endpoint: &str) -> Self {
        let group = Group::new(endpoint.to_owned(), true, GroupSettings::default());
        let destination = Destination { endpoint: endpoint.parse().unwrap(), overrides: [].into() };
        group.set_members(&[(destination, 1, false)], &[], false);
        let route = Route { condition: Condition::default(), group: Some(Arc::new(group)), tls: None };
        Target::Upstream(Arc::new(Routes::new("test".to_owned(), vec![route])))
    }
}
