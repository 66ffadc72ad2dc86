//! The supervisors of all shards as one: where acceptors bring connections, and operators their questions.

use crate::{
    report::{tally::Tally, verdict::Ended},
    runtime::{clock::sleep, lock::Lock},
    server::{
        acceptor::Connection,
        books::{Books, Remembered},
        supervisor::{IdleSupervisor, Supervisor},
    },
    session::{
        context::Context,
        faults::{fault::Fault, stage::FaultEnd},
        record::Record,
    },
    text::safe::SafeText,
};
use futures::future::join_all;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Connections that an acceptor may take to another shard in each [`MOVES_EVERY`]: the hand-over costs some 10 µs, so that
/// this is at most a hundredth of a processor. Where connections are short, the kernel spreads them well enough.
const MOVES: u32 = 100;
const MOVES_EVERY: Duration = Duration::from_millis(100);

/// How soon after an order to end sessions it is looked whether they are over; each time twice as long.
const ENDS_LOOK: Duration = Duration::from_millis(1);
/// How long that is done: an end by FIN takes some hundred µs, if the peers take it at all.
const ENDS_WAIT: Duration = Duration::from_millis(16);

/// What the supervisors of a server share.
pub struct Common {
    pub context: Arc<Context>,
    /// The number of the session that began last.
    pub last_id: AtomicU64,
}

/// The supervisors of a server, in the order of their shards.
#[derive(Clone)]
pub struct Supervisors {
    /// It only grows.
    supervisors: Arc<Lock<Arc<[Supervisor]>>>,
    common: Arc<Common>,
    remembered: Arc<Remembered>,
}

#[derive(Clone, Copy, Debug)]
pub struct SupervisorState {
    /// Sessions that ever began; they are numbered from 1.
    pub opened: u64,
    pub draining: bool,
}

/// Where an acceptor brings its connections: to its own shard, or to one that has fewer sessions.
pub struct Admission {
    supervisors: Supervisors,
    own: usize,
    /// Moves that are left until an instant.
    moves: (u32, Instant),
}

impl Supervisors {
    /// A supervisor for each of `shards`, to be begun there.
    pub fn new(
        common: Common,
        books: Books,
        remembered: Arc<Remembered>,
        shards: usize,
    ) -> (Self, Vec<IdleSupervisor>) {
        let common = Arc::new(common);
        let (supervisors, idle): (Vec<_>, _) =
            (0..shards).map(|_| Supervisor::new(common.clone(), books.clone())).unzip();
        let supervisors = Arc::new(Lock::new(supervisors.into()));
        (Supervisors { supervisors, common, remembered }, idle)
    }

    /// Another supervisor, for a shard that is to be started; [`Supervisors::publish`] makes it one of these.
    pub fn make(&self) -> (Supervisor, IdleSupervisor) {
        Supervisor::new(self.common.clone(), Books::new(&[], self.remembered.clone()))
    }

    /// It runs. It takes no sessions yet.
    pub fn publish(&self, supervisor: Supervisor) {
        supervisor.set_takes(false);
        let mut list = self.supervisors.lock();
        *list = list.iter().cloned().chain([supervisor]).collect();
    }

    /// The first `shards` of them take new sessions from now on.
    pub fn set_taking(&self, shards: usize) {
        self.all().iter().enumerate().for_each(|(number, one)| one.set_takes(number < shards));
    }

    /// All of them, in the order of their shards.
    fn all(&self) -> Arc<[Supervisor]> {
        self.supervisors.lock().clone()
    }

    /// For an acceptor of this shard.
    pub fn admission(&self, shard: usize) -> Admission {
        Admission { supervisors: self.clone(), own: shard, moves: (MOVES, Instant::now()) }
    }

    /// Lets live sessions finish for at most `limit`, then cuts the rest; the supervisors end with the last.
    pub async fn drain(&self, limit: Option<Duration>) {
        join_all(self.all().iter().map(|one| one.drain(limit))).await;
    }

    pub async fn cut(&self) {
        join_all(self.all().iter().map(Supervisor::cut)).await;
    }

    /// How many sessions live.
    pub fn live(&self) -> usize {
        self.all().iter().map(Supervisor::live).sum()
    }

    /// The records of all live sessions, in the order of their numbers; none if the supervisors have ended.
    pub async fn list(&self) -> Vec<Arc<Record>> {
        let lists = join_all(self.all().iter().map(|one| one.ask(|live| live.list()))).await;
        let mut records: Vec<_> = lists.into_iter().flatten().flatten().collect();
        records.sort_unstable_by_key(|record| record.id);
        records
    }

    pub async fn find(&self, id: u64) -> Option<Arc<Record>> {
        let found = join_all(self.all().iter().map(|one| one.ask(move |live| live.find(id)))).await;
        found.into_iter().flatten().flatten().next()
    }

    /// The newest `count` of the sessions that ended, the newest last.
    pub fn closed(&self, count: usize) -> Vec<Arc<Ended>> {
        self.remembered.newest(count)
    }

    /// The session with this number, if it has ended and is remembered.
    pub fn ended(&self, id: u64) -> Option<Arc<Ended>> {
        self.remembered.find(id)
    }

    /// How far they are, without a look at the sessions, of which there may be many; none if one of them cannot answer and
    /// no drain is under way, or if all have ended.
    pub async fn state(&self) -> Option<SupervisorState> {
        let drain = join_all(self.all().iter().map(|one| one.ask(|live| live.draining))).await;
        let draining = drain.contains(&Some(true));
        let all_answer = drain.iter().all(Option::is_some);
        let opened = self.common.last_id.load(Relaxed);
        (draining || all_answer).then_some(SupervisorState { opened, draining })
    }

    /// The sums of all sessions, live ones included; none if the supervisors have ended.
    pub async fn tally(&self) -> Option<Tally> {
        let tallies = join_all(self.all().iter().map(|one| one.ask(|live| live.tally()))).await;
        tallies.into_iter().flatten().reduce(|mut sum, tally| {
            sum.add(&tally);
            sum
        })
    }

    /// Ends sessions by RST, or by `fin` after what is under way; says which of them are not there.
    pub async fn cut_some(&self, mut ids: Vec<u64>, fin: bool) -> Vec<u64> {
        // One that is named twice is there the first time only.
        ids.sort_unstable();
        ids.dedup();
        for supervisor in &*self.all() {
            let asked = ids.clone();
            ids = supervisor.ask(move |live| live.cut(asked, fin)).await.unwrap_or(ids);
        }
        ids
    }

    /// Ends the sessions of a listener, by its name, before it returns: by FIN, and by RST those of which faults hold bytes, which
    /// are not handed on, and those whose peers take nothing for 16 ms. If it is `by` a fault, that is their cause.
    pub async fn end_sessions_of(&self, listener: &str, by: Option<&Fault>) {
        let of_listener = async || {
            let mut records = self.list().await;
            records.retain(|record| record.listening.faults.listener() == listener);
            records
        };
        let ids = |records: &[Arc<Record>]| records.iter().map(|record| record.id).collect::<Vec<_>>();
        let (held, free): (Vec<_>, Vec<_>) = of_listener().await.into_iter().partition(|one| one.is_held());
        if let Some(fault) = by {
            held.iter().for_each(|record| fault.end(record, FaultEnd::Reset));
            free.iter().for_each(|record| fault.end(record, FaultEnd::Fin));
        }
        self.cut_some(ids(&held), false).await;
        free.iter().for_each(|record| record.forgive());
        let free = ids(&free);
        self.cut_some(free.clone(), true).await;
        let left = async || {
            let mut left = of_listener().await;
            left.retain(|record| free.contains(&record.id));
            ids(&left)
        };
        let mut pause = ENDS_LOOK;
        while pause < ENDS_WAIT && !left().await.is_empty() {
            sleep(pause).await;
            pause *= 2;
        }
        self.cut_some(left().await, false).await;
    }

    /// Ends the sessions that are at a server of a group, by RST.
    pub async fn cut_sessions_of(&self, group: &str, server: &str) {
        let is_at = |record: &&Arc<Record>| {
            let choice = record.choice();
            let is =
                |text: &Option<SafeText>, wanted: &str| text.as_ref().is_some_and(|text| *text == wanted);
            choice.is_some_and(|choice| is(&choice.upstream_group, group) && is(&choice.server, server))
        };
        let records = self.list().await;
        self.cut_some(records.iter().filter(is_at).map(|record| record.id).collect(), false).await;
    }
}

impl Admission {
    /// Makes a session of the connection.
    pub fn admit(&mut self, connection: Connection) -> impl Future<Output = ()> + use<> {
        let supervisor = self.choose();
        async move { supervisor.admit(connection).await }
    }

    /// The supervisor of this shard, unless another has fewer sessions and a move is left.
    fn choose(&mut self) -> Supervisor {
        let all = self.supervisors.all();
        let own = &all[self.own];
        let taking = all.iter().filter(|one| one.takes());
        let Some(emptiest) = taking.min_by_key(|one| one.live()) else { return own.clone() };
        if !own.takes() {
            return emptiest.clone();
        }
        if own.live() <= emptiest.live() {
            return own.clone();
        }
        if self.moves.1.elapsed() >= MOVES_EVERY {
            self.moves = (MOVES, Instant::now());
        }
        if self.moves.0 == 0 {
            return own.clone();
        }
        self.moves.0 -= 1;
        emptiest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::address::Address,
        runtime::{
            blocking::blocking,
            clock::within,
            limit::Slots,
            mailbox::{Mailbox, mailbox},
            shard::run,
            task::spawn,
        },
        session::{
            cause::Cause,
            event::{Event, Events, What},
            listening::Listening,
            target::Target,
        },
    };
    use socket2::SockRef;
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
        os::fd::OwnedFd,
    };

    const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

    /// Supervisors of sessions that echo, with the events of these.
    fn supervisors(shards: usize) -> (Supervisors, Vec<IdleSupervisor>, Arc<Listening>, Mailbox<Event>) {
        let (address, events) = mailbox(64);
        let context = Context::sample_telling(Events::new(Some(address), Arc::default()));
        let listening: Arc<_> = Record::sample(1, Target::Echo).listening.clone();
        let remembered = Arc::new(Remembered::new(1));
        let books = Books::new(std::slice::from_ref(&listening), remembered.clone());
        let common = Common { context, last_id: AtomicU64::new(0) };
        let (supervisors, idle) = Supervisors::new(common, books, remembered, shards);
        (supervisors, idle, listening, events)
    }

    /// A connection, and its client.
    async fn connection(listening: &Arc<Listening>, slots: &Slots) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        // As a socket that a listener of ours accepted is born.
        SockRef::from(&accepted).set_linger(Some(Duration::ZERO)).unwrap();
        let (local, slot) = (Address::Tcp(listener.local_addr().unwrap()), slots.take().await);
        let (accepted, client_address) = (OwnedFd::from(accepted), Address::Tcp(peer));
        let listening = listening.clone();
        let connection =
            Connection { accepted, reserved: None, client: client_address, listening, local, slot };
        (connection, client)
    }

    #[test]
    fn a_supervisor_that_is_lost_closes_its_sessions_and_tells_it() {
        run(async {
            let (supervisors, idle, listening, mut events) = supervisors(1);
            let sessions = spawn(idle.into_iter().next().unwrap().run());
            let (connection, mut client) = connection(&listening, &Slots::new(1)).await;
            supervisors.admission(0).admit(connection).await;
            let opened = within(LIMIT, events.next()).await.flatten().unwrap();
            assert!(matches!(opened.what, What::Open { session: 1, .. }));
            drop(sessions);
            let closed = within(LIMIT, events.next()).await.flatten().unwrap();
            assert!(matches!(closed.what, What::Close(close) if close.cause == Cause::Internal));
            let read = blocking(move || client.read(&mut [0])).await;
            assert!(read.is_err(), "it is reset");
            assert_eq!(supervisors.live(), 0);
        })
        .unwrap();
    }

    #[test]
    fn a_connection_stays_on_its_shard_unless_another_has_fewer() {
        run(async {
            // They are not begun: what is admitted waits.
            let (supervisors, _idle, listening, _events) = supervisors(2);
            let slots = Slots::new(9);
            let mut admissions = [0, 1].map(|shard| supervisors.admission(shard));
            let mut clients = Vec::new();
            for (shard, live) in [(0, [1, 0]), (0, [1, 1]), (1, [1, 2]), (1, [2, 2]), (0, [3, 2])] {
                let (connection, client) = connection(&listening, &slots).await;
                admissions[shard].admit(connection).await;
                clients.push(client);
                assert_eq!([0, 1].map(|shard: usize| supervisors.all()[shard].live()), live);
            }
            admissions[0].moves = (0, Instant::now() + Duration::from_secs(3600));
            let (connection, _client) = connection(&listening, &slots).await;
            admissions[0].admit(connection).await;
            assert_eq!(supervisors.all()[0].live(), 4, "no move is left");
        })
        .unwrap();
    }
}
