//! The keepers of groups: each checks the servers of its group and discovers them, until it is dropped.

use crate::{
    runtime::{
        clock::{sleep, within},
        mailbox::{Mailbox, Sender, mailbox},
        task::{Task, contain, spawn},
    },
    server::{
        discover::Discoverer,
        groups::Groups,
        health::{Checkers, Questions},
        plan::PlannedUpstream,
    },
    session::{
        context::Context,
        deadline::CONNECT_TIMEOUT,
        group::{Group, Server},
    },
    text::units::duration,
};
use futures::future::{LocalBoxFuture, join_all};
use std::{future::pending, rc::Rc, sync::Arc, time::Duration};

/// After the first panic, and at most after many.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
const FAULT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the keepers of a server share.
#[derive(Clone)]
pub struct KeeperContext {
    pub context: Arc<Context>,
    /// Tells a line that concerns no session.
    pub warn: Rc<dyn Fn(String)>,
    /// Cuts the sessions of a server that went down, in a group that wants that.
    pub on_down: Rc<OnDown>,
    pub questions: Questions,
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
    _task: Task<()>,
}

impl Keepers {
    /// Keeps these groups and no others; a group that was kept goes on as it is. Returns once the servers of each are known,
    /// but does not wait longer than a session would wait for one.
    pub async fn keep(&mut self, groups: &Groups, surroundings: &KeeperContext) {
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
}

impl Keeper {
    /// Begins, on this thread's shard. One group has one keeper at a time.
    pub fn start(group: Arc<Group>, planned: &PlannedUpstream, surroundings: KeeperContext) -> Self {
        let (answered, first) = mailbox(1);
        let (of, planned) = (group.clone(), planned.clone());
        let task = async move {
            let mut answered = Some(answered);
            let (name, warn) = (format!("upstream {}", of.name), surroundings.warn.clone());
            let care = async || care(&of, &planned, &surroundings, &mut answered).await;
            persist(&name, "its checks and its discovery", &*warn, care).await;
        };
        Keeper { group, first, _task: spawn(task) }
    }

    /// Waits until the servers of the group are known, or cannot be known now, at most for `limit`. Without discovery they
    /// are known.
    pub async fn ready(&mut self, limit: Duration) {
        within(Some(limit), self.first.next()).await;
    }
}

/// Has the servers of a group checked and discovered; lets go of `answered` once they are known, or cannot be known now.
async fn care(
    group: &Arc<Group>,
    planned: &PlannedUpstream,
    surroundings: &KeeperContext,
    answered: &mut Option<Sender<()>>,
) {
    let check = planned.check.clone();
    let is_checked = check.is_some();
    let mut checkers = check.map(|check| Checkers::new(group.clone(), check, surroundings.clone()));
    let mut follow = || checkers.iter_mut().for_each(Checkers::follow);
    follow();
    let Some(discover) = planned.discover.clone() else {
        drop(answered.take());
        return pending().await;
    };
    let mut discoverer = Discoverer::new(group.clone(), discover, is_checked, surroundings.warn.clone());
    loop {
        let pause = discoverer.ask().await;
        drop(answered.take());
        follow();
        sleep(pause).await;
    }
}

/// Runs what has no end of its own, and begins it again if it panics: a fault in the care for one server or group is told, and
/// leaves none of them without.
pub async fn persist(name: &str, what: &str, warn: &dyn Fn(String), mut run: impl AsyncFnMut()) {
    let mut pause = FAULT_PAUSE;
    while let Err(panicked) = contain(run()).await {
        warn(format!("{name}: {panicked}; {what} begin again in {}", duration(pause)));
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(FAULT_PAUSE_MAX);
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
        cell::{Cell, RefCell},
        net::{SocketAddr, TcpListener},
        time::Instant,
    };

    const LIMIT: Duration = Duration::from_secs(20);

    fn surroundings() -> (KeeperContext, Rc<RefCell<Vec<String>>>) {
        let told = Rc::<RefCell<Vec<String>>>::default();
        let lines = told.clone();
        let warn = Rc::new(move |line| lines.borrow_mut().push(line));
        let on_down = Rc::new(|_: &Group, _: &Server| ready(()).boxed_local());
        (KeeperContext { context: Context::sample(), warn, on_down, questions: Questions::default() }, told)
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
            until_asked(&fake, 4).await;
        })
        .unwrap();
    }

    /// A name server that knows `a.test`; each answer holds for the shortest time.
    fn knows_a() -> FakeNameServer {
        FakeNameServer::start(|asked| {
            let records = [("a.test", 0, Data::A("127.0.0.1"))];
            let records = if asked.text.ends_with(" A") { &records[..] } else { &[] };
            vec![answer(asked.query, Rcode::NOERROR, records)]
        })
    }

    /// Waits until it was asked `count` times since the last look.
    async fn until_asked(fake: &FakeNameServer, count: usize) {
        let asked = Cell::new(0);
        until(|| asked.replace(asked.get() + fake.asked().len()) >= count).await;
    }

    #[test]
    fn a_group_that_stays_is_kept_on_and_one_that_goes_is_asked_for_no_more() {
        let [of_stays, of_goes] = [knows_a(), knows_a()];
        run(async {
            let (surroundings, _) = surroundings();
            let (stays, goes) =
                (discovered("stays", of_stays.address, 1), discovered("goes", of_goes.address, 2));
            let before = Groups::new(&[stays.clone(), goes], &Groups::default());
            let mut keepers = Keepers::default();
            keepers.keep(&before, &surroundings).await;
            assert_eq!([of_stays.asked().len(), of_goes.asked().len()], [2, 2], "each for both families");
            let after = Groups::new(&[stays], &before);
            keepers.keep(&after, &surroundings).await;
            assert_eq!(of_stays.asked(), [""; 0], "it does not begin anew");
            until_asked(&of_stays, 4).await;
            assert_eq!(of_goes.asked(), [""; 0]);
        })
        .unwrap();
    }

    #[test]
    fn a_fault_is_told_and_the_group_is_kept_on() {
        let fake = knows_a();
        run(async {
            let told = Rc::<RefCell<Vec<String>>>::default();
            let lines = told.clone();
            let warn = Rc::new(move |line: String| {
                lines.borrow_mut().push(line);
                assert!(lines.borrow().len() != 1, "on purpose");
            });
            let surroundings = KeeperContext { warn, ..surroundings().0 };
            let groups = Groups::new(&[discovered("db", fake.address, 1)], &Groups::default());
            let mut keepers = Keepers::default();
            keepers.keep(&groups, &surroundings).await;
            until_asked(&fake, 6).await;
            let fault =
                "upstream db: internal fault: on purpose; its checks and its discovery begin again in 1 s";
            assert_eq!(told.take(), ["upstream db: 127.0.0.1:1 joined", fault]);
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
