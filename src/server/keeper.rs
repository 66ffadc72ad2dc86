//! The keepers of groups: each checks the servers of its group and discovers them, until it is dropped.

use crate::{
    runtime::{
        clock::{sleep, within},
        mailbox::{Mailbox, mailbox},
        task::{Task, spawn},
    },
    server::{
        discover::{Discoverer, Discovery},
        groups::Groups,
        health::Checkers,
        plan::PlannedUpstream,
    },
    session::{
        context::Context,
        deadline::CONNECT_TIMEOUT,
        group::{Group, Server},
    },
};
use futures::future::{LocalBoxFuture, join_all};
use std::{future::pending, rc::Rc, sync::Arc, time::Duration};

/// What the keepers of a server share.
#[derive(Clone)]
pub struct Surroundings {
    pub context: Arc<Context>,
    /// Tells a line that concerns no session.
    pub warn: Rc<dyn Fn(String)>,
    /// Cuts the sessions of a server that went down, in a group that wants that.
    pub on_down: Rc<OnDown>,
}

pub type OnDown = dyn Fn(&Group, &Server) -> LocalBoxFuture<'static, ()>;

/// The keepers of the groups of a plan.
#[derive(Default)]
pub struct Keepers(Vec<Keeper>);

/// Its owner decides how long a group is kept; dropping it ends every check and every question.
pub struct Keeper {
    group: Arc<Group>,
    /// Ends once the first question has its answer, or has failed.
    first: Mailbox<()>,
    discovery: Option<Arc<Discovery>>,
    _task: Task<()>,
}

impl Keepers {
    /// Keeps these groups and no others; a group that was kept goes on as it is. Returns once the servers of each are known,
    /// but does not wait longer than a session would wait for one.
    pub async fn keep(&mut self, groups: &Groups, surroundings: &Surroundings) {
        let mut before = std::mem::take(&mut self.0);
        for (planned, group) in groups.planned() {
            let found = before.iter().position(|keeper| Arc::ptr_eq(&keeper.group, group));
            let start = || Keeper::start(group.clone(), planned, surroundings.clone());
            self.0.push(found.map_or_else(start, |at| before.swap_remove(at)));
        }
        drop(before);
        let ready = self.0.iter_mut().map(|keeper| {
            let limit = keeper.group.settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
            keeper.ready(limit)
        });
        join_all(ready).await;
    }

    /// How the servers of groups are discovered, by the names of these.
    pub fn discoveries(&self) -> impl Iterator<Item = (&str, &Arc<Discovery>)> {
        self.0.iter().filter_map(|keeper| Some((keeper.group.name.as_str(), keeper.discovery()?)))
    }
}

impl Keeper {
    /// Begins, on this thread's shard. One group has one keeper at a time.
    pub fn start(group: Arc<Group>, planned: &PlannedUpstream, surroundings: Surroundings) -> Self {
        let (check, discover) = (planned.check.clone(), planned.discover.clone());
        let is_checked = check.is_some();
        let mut checkers = check.map(|check| Checkers::new(group.clone(), check, surroundings.clone()));
        let discoverer =
            discover.map(|discover| Discoverer::new(group.clone(), discover, is_checked, surroundings.warn));
        let discovery = discoverer.as_ref().map(Discoverer::state);
        let (answered, first) = mailbox(1);
        let task = async move {
            let mut follow = || checkers.iter_mut().for_each(Checkers::follow);
            follow();
            let mut answered = Some(answered);
            let Some(mut discoverer) = discoverer else {
                drop(answered.take());
                return pending().await;
            };
            loop {
                let pause = discoverer.ask().await;
                drop(answered.take());
                follow();
                sleep(pause).await;
            }
        };
        Keeper { group, first, discovery, _task: spawn(task) }
    }

    /// Waits until the servers of the group are known, or cannot be known now, at most for `limit`. Without discovery they
    /// are known.
    pub async fn ready(&mut self, limit: Duration) {
        within(Some(limit), self.first.next()).await;
    }

    /// How the servers are discovered; none if they are given.
    pub fn discovery(&self) -> Option<&Arc<Discovery>> {
        self.discovery.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::dns::fake::{Data, FakeNameServer, Rcode, answer},
        runtime::shard::run,
        server::plan::{Check, Discover, REFRESH, ServerSource},
        session::group::{GroupSettings, Standing},
    };
    use futures::{FutureExt, future::ready};
    use std::{
        cell::RefCell,
        net::{SocketAddr, TcpListener},
        time::Instant,
    };

    const LIMIT: Duration = Duration::from_secs(20);

    fn surroundings() -> (Surroundings, Rc<RefCell<Vec<String>>>) {
        let told = Rc::<RefCell<Vec<String>>>::default();
        let lines = told.clone();
        let warn = Rc::new(move |line| lines.borrow_mut().push(line));
        let on_down = Rc::new(|_: &Group, _: &Server| ready(()).boxed_local());
        (Surroundings { context: Context::sample(), warn, on_down }, told)
    }

    /// An upstream whose servers a name server tells.
    fn discovered(name: &str, resolver: SocketAddr, port: u16) -> PlannedUpstream {
        let source = ServerSource::Dns { name: "a.test".into(), port };
        PlannedUpstream {
            name: name.into(),
            is_address: false,
            servers: Vec::new(),
            discover: Some(Discover { source, refresh: REFRESH, resolver: Some(resolver) }),
            settings: GroupSettings::default(),
            check: Some(Check { every: Duration::from_millis(20), ..Check::default() }),
        }
    }

    async fn until(what: impl Fn() -> bool) {
        let look = async {
            while !what() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        within(Some(LIMIT), look).await.expect("it comes to that");
    }

    #[test]
    fn what_is_discovered_is_known_at_the_start_and_is_checked() {
        let works = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = works.local_addr().unwrap().port();
        let fake = FakeNameServer::start(|asked| {
            let records = [("a.test", 1, Data::A("127.0.0.1")), ("a.test", 1, Data::A("127.0.0.2"))];
            let records = if asked.text.ends_with(" A") { &records[..] } else { &[] };
            vec![answer(asked.query, Rcode::NOERROR, records)]
        });
        run(async {
            let (surroundings, _) = surroundings();
            let groups = Groups::new(&[discovered("db", fake.address, port)], &Groups::default());
            let mut keepers = Keepers::default();
            keepers.keep(&groups, &surroundings).await;
            let group = groups.find("db").unwrap().clone();
            assert_eq!(group.members().len(), 2, "they are known when this returns");
            let standing = |at: usize| group.servers()[at].1.clone();
            until(|| standing(0) == Standing::Up && matches!(standing(1), Standing::Down { .. })).await;
            let (_, discovery) = keepers.discoveries().next().unwrap();
            until(|| discovery.count() >= (2, 0)).await;
        })
        .unwrap();
    }

    #[test]
    fn a_group_that_stays_is_kept_on_and_one_that_goes_is_asked_for_no_more() {
        let fake = FakeNameServer::start(|asked| {
            let records = [("a.test", 0, Data::A("127.0.0.1"))];
            let records = if asked.text.ends_with(" A") { &records[..] } else { &[] };
            vec![answer(asked.query, Rcode::NOERROR, records)]
        });
        run(async {
            let (surroundings, _) = surroundings();
            let (stays, goes) = (discovered("stays", fake.address, 1), discovered("goes", fake.address, 2));
            let before = Groups::new(&[stays.clone(), goes], &Groups::default());
            let mut keepers = Keepers::default();
            keepers.keep(&before, &surroundings).await;
            let states: Vec<_> = keepers.discoveries().map(|(_, state)| state.clone()).collect();
            let after = Groups::new(&[stays], &before);
            keepers.keep(&after, &surroundings).await;
            let left = keepers.discoveries().map(|(name, state)| (name.to_owned(), state.clone()));
            let left: Vec<_> = left.collect();
            assert_eq!(left.len(), 1);
            assert!(left[0].0 == "stays" && Arc::ptr_eq(&left[0].1, &states[0]));
            let count = states[1].count();
            until(|| states[0].count().0 >= 3).await;
            assert_eq!(states[1].count(), count);
        })
        .unwrap();
    }

    #[test]
    fn the_start_does_not_wait_for_a_silent_name_server_longer_than_a_session_would() {
        let fake = FakeNameServer::start(|_| Vec::new());
        run(async {
            let (surroundings, _) = surroundings();
            let mut planned = discovered("db", fake.address, 1);
            planned.settings.connect_timeout = Some(Duration::from_millis(50));
            let groups = Groups::new(&[planned], &Groups::default());
            let begin = Instant::now();
            Keepers::default().keep(&groups, &surroundings).await;
            assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
            assert!(groups.find("db").unwrap().choose(None, &[]).is_none());
        })
        .unwrap();
    }
}
