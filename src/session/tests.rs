//! Sessions, targets and contexts for tests.

use crate::{
    net::{address::Address, dial::Destination, options::Options},
    runtime::{limit::Slots, mailbox},
    session::{
        context::{Context, CurrentDeadlines},
        deadline::Deadlines,
        event::Events,
        record::Record,
        target::{Listening, Target},
    },
};
use std::sync::Arc;

impl Record {
    pub fn sample(id: u64, target: Target) -> Arc<Self> {
        Self::sample_from(id, target, "127.0.0.1:1")
    }

    pub fn sample_from(id: u64, target: Target, client: &str) -> Arc<Self> {
        let [address, client] = ["127.0.0.1:8002", client].map(|text| Address::Tcp(text.parse().unwrap()));
        let listening = Listening { name: address.to_string(), address: address.clone(), target };
        Arc::new(Record::new(id, Arc::new(listening), address, client))
    }
}

impl Context {
    /// Its events are not told.
    pub fn sample(deadlines: Deadlines) -> Arc<Self> {
        Self::sample_telling(deadlines, Events::new(None, Arc::default()))
    }

    pub fn sample_telling(deadlines: Deadlines, events: Events) -> Arc<Self> {
        Arc::new(Context {
            deadlines: Arc::new(CurrentDeadlines::new(deadlines)),
            splice: true,
            dump_limit: None,
            options: Options::default(),
            own: Vec::new(),
            slots: Slots::new(1),
            events,
            alive: mailbox::mailbox(1).0,
        })
    }
}

impl Target {
    pub fn upstream(endpoint: &str) -> Self {
        Target::Upstream(Arc::new(Destination { endpoint: endpoint.parse().unwrap(), overrides: [].into() }))
    }
}
