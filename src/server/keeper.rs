//! The keeper of a group: checks its servers, and discovers them, until it is dropped.

use crate::{
    runtime::{
        clock::within,
        mailbox::{Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{
        discover::{Discoverer, Discovery},
        health::Checkers,
        plan::PlannedUpstream,
    },
    session::{
        context::Context,
        group::{Group, Server},
    },
};
use std::{future::pending, rc::Rc, sync::Arc, time::Duration};

/// What the keepers of a server share.
#[derive(Clone)]
pub struct Surroundings {
    pub context: Arc<Context>,
    /// Tells a line that concerns no session.
    pub warn: Rc<dyn Fn(String)>,
    /// Cuts the sessions of a server that went down, in a group that wants that.
    pub on_down: Rc<dyn Fn(&Group, &Server)>,
}

/// Its owner decides how long a group is kept; dropping it ends every check and every question.
pub struct Keeper {
    /// Ends once the first question has its answer, or has failed.
    first: Mailbox<()>,
    discovery: Option<Arc<Discovery>>,
    _task: Task<()>,
}

impl Keeper {
    /// Begins, on this thread's shard. One group has one keeper at a time.
    pub fn start(group: Arc<Group>, planned: &PlannedUpstream, surroundings: Surroundings) -> Self {
        let mut checkers =
            planned.check.clone().map(|check| Checkers::new(group.clone(), check, surroundings.clone()));
        let discoverer = planned
            .discover
            .clone()
            .map(|discover| Discoverer::new(group, discover, planned.check.is_some(), surroundings.warn));
        let discovery = discoverer.as_ref().map(|discoverer| discoverer.state());
        let (answered, first) = mailbox(1);
        let task = async move {
            if let Some(checkers) = &mut checkers {
                checkers.follow();
            }
            let Some(mut discoverer) = discoverer else {
                drop(answered);
                return pending().await;
            };
            let mut answered = Some(answered);
            loop {
                let pause = discoverer.ask().await;
                answered.take();
                if let Some(checkers) = &mut checkers {
                    checkers.follow();
                }
                crate::runtime::clock::sleep(pause).await;
            }
        };
        Keeper { first, discovery, _task: spawn(task) }
    }

    /// Waits until the servers of the group are known, or cannot be known now, at most for `limit`. Without discovery they
    /// are known.
    pub async fn ready(&mut self, limit: Option<Duration>) {
        within(limit, self.first.next()).await;
    }

    /// How the servers are discovered; none if they are given.
    pub fn discovery(&self) -> Option<&Arc<Discovery>> {
        self.discovery.as_ref()
    }
}
