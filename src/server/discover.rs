//! Discovery: asks again and again which servers a group has, and has the group take them as its members.
//!
//! An answer that is missing or useless changes nothing: the servers of the last one stay.

use crate::{
    error::reason,
    net::{
        dial::Destination,
        dns::{LookupFailure, NameServers, RECORDS_MAX, RecordKind, Service},
        endpoint::{Endpoint, Host},
        resolve::resolve,
    },
    runtime::random::jittered,
    server::plan::{Discover, REFRESH_MIN, ServerSource},
    session::group::Group,
    text::units::listed,
};
use futures::{StreamExt, future::join, stream};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// An answer with more servers is refused as a whole.
pub const SERVERS_MAX: usize = RECORDS_MAX;
/// Targets of SRV records that are asked for at once: each takes two sockets.
const TARGETS_AT_ONCE: usize = 8;
/// After a failure, and at most after many.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// What a target without a weight gets of the smallest weight (RFC 2782 leaves it open).
const NO_WEIGHT_PART: u64 = 10;
/// Weights are told apart by the number of a target's addresses up to this one's divisors.
const PARTS_MAX: u64 = 60;
/// Servers that a line names.
const NAMED: usize = 8;

/// The part of an actor that asks.
pub struct Discoverer {
    group: Arc<Group>,
    discover: Discover,
    /// Whether its servers are checked.
    checked: bool,
    warn: Rc<dyn Fn(String)>,
    failures_in_a_row: u32,
    known: Known,
}

/// The last addresses of each name and family: if a server fails to say one family, they stay. At most [`SERVERS_MAX`] names.
type Known = RefCell<BTreeMap<(String, bool), Vec<IpAddr>>>;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    servers: BTreeMap<SocketAddr, Part>,
    /// None if the answer does not say how long it holds.
    ttl: Option<Duration>,
    /// Why a part of it is missing; the last answer of that part is in its place.
    missing: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    weight: u32,
    backup: bool,
}

impl Discoverer {
    pub fn new(group: Arc<Group>, discover: Discover, checked: bool, warn: Rc<dyn Fn(String)>) -> Self {
        Discoverer { group, discover, checked, warn, failures_in_a_row: 0, known: Known::default() }
    }

    /// Asks once. The group has what came of it; says when to ask again.
    pub async fn ask(&mut self) -> Duration {
        let answer = self.look_up().await.and_then(|answer| match answer.servers.len() {
            0 => Err(answer.missing.unwrap_or_else(|| "the answer names no server".to_owned())),
            1..=SERVERS_MAX => Ok(answer),
            _ => Err(format!("the answer names more than {SERVERS_MAX} servers")),
        });
        match answer {
            Ok(answer) => {
                self.take(&answer);
                if let Some(why) = answer.missing {
                    return self.fail(&why);
                }
                self.note_success();
                let time = answer.ttl.map_or(self.discover.refresh, |ttl| ttl.min(self.discover.refresh));
                jittered(time).max(REFRESH_MIN)
            }
            Err(why) => self.fail(&why),
        }
    }

    fn note_success(&mut self) {
        if self.failures_in_a_row > 0 {
            (self.warn)(format!("upstream {}: {} answers again", self.group.name, self.discover.source));
        }
        self.failures_in_a_row = 0;
    }

    fn take(&self, answer: &Answer) {
        let destination = |address: &SocketAddr| Destination {
            endpoint: Endpoint::Tcp { host: Host::Ip(address.ip()), port: address.port() },
            overrides: [].into(),
        };
        let wanted =
            answer.servers.iter().map(|(address, part)| (destination(address), part.weight, part.backup));
        let (came, left) = self.group.set_members(&wanted.collect::<Vec<_>>(), &[], self.checked);
        let changes = [(came, "joined"), (left, "left")].into_iter().filter(|(who, _)| !who.is_empty());
        let changes: Vec<_> = changes.map(|(who, verb)| format!("{} {verb}", listed(&who, NAMED))).collect();
        if !changes.is_empty() {
            (self.warn)(format!("upstream {}: {}", self.group.name, changes.join("; ")));
        }
    }

    fn fail(&mut self, why: &str) -> Duration {
        if self.failures_in_a_row == 0 {
            let (name, source) = (&self.group.name, &self.discover.source);
            let stays = match self.group.members().len() {
                0 => "it has no server yet".to_owned(),
                1 => "its server stays".to_owned(),
                count => format!("its {count} servers stay"),
            };
            (self.warn)(format!("upstream {name}: {source}: {why}; {stays}"));
        }
        let pause = RETRY.saturating_mul(2_u32.saturating_pow(self.failures_in_a_row)).min(RETRY_MAX);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        jittered(pause).max(RETRY)
    }

    async fn look_up(&self) -> Result<Answer, String> {
        let part = Part { weight: 1, backup: false };
        match &self.discover.source {
            ServerSource::Dns { name, port } => {
                let (addresses, ttl) = match self.discover.resolver {
                    None => {
                        let found = resolve(name, *port, &[]).await.map_err(|error| reason(&error))?;
                        (found.iter().map(SocketAddr::ip).collect(), None)
                    }
                    Some(address) => {
                        let found = self.addresses(&NameServers::one(address), name).await;
                        found.map_err(|failure| match failure {
                            LookupFailure::NoRecord(_) => "the name has no address".to_owned(),
                            failure => failure.to_string(),
                        })?
                    }
                };
                let servers = addresses.into_iter().map(|ip| (SocketAddr::new(ip, *port), part));
                Ok(Answer { servers: servers.collect(), ttl, missing: None })
            }
            ServerSource::Srv { name } => {
                let servers = match self.discover.resolver {
                    None => NameServers::system().await,
                    Some(address) => NameServers::one(address),
                };
                self.services(&servers, name).await
            }
        }
    }

    /// All addresses of a name, and how long they hold.
    async fn addresses(
        &self,
        servers: &NameServers,
        name: &str,
    ) -> Result<(Vec<IpAddr>, Option<Duration>), LookupFailure> {
        let families = [(RecordKind::A, false), (RecordKind::Aaaa, true)];
        let [v4, v6] = families.map(|(kind, _)| servers.look_up(name, kind));
        let (v4, v6) = join(v4, v6).await;
        let (mut all, mut ttl, mut failure) = (Vec::new(), None::<Duration>, None);
        for ((_, is_v6), found) in families.into_iter().zip([v4, v6]) {
            let key = (name.to_owned(), is_v6);
            let mut known = self.known.borrow_mut();
            match found {
                Ok(records) => {
                    ttl = Some(ttl.map_or(records.ttl, |ttl| ttl.min(records.ttl)));
                    all.extend(&records.addresses);
                    if known.len() < 2 * SERVERS_MAX || known.contains_key(&key) {
                        known.insert(key, records.addresses);
                    }
                    continue;
                }
                Err(why @ LookupFailure::Unknown(_)) => {
                    all.extend(known.get(&key).into_iter().flatten());
                    failure = Some(why);
                }
                Err(why) => {
                    known.remove(&key);
                    // What is not known counts for more than what is not there.
                    failure = failure.or(Some(why));
                }
            }
        }
        match failure {
            Some(why) if ttl.is_none() => Err(why),
            _ => Ok((all, ttl)),
        }
    }

    fn last_addresses(&self, name: &str) -> Vec<IpAddr> {
        let known = self.known.borrow();
        [false, true]
            .into_iter()
            .filter_map(|is_v6| known.get(&(name.to_owned(), is_v6)))
            .flatten()
            .copied()
            .collect()
    }

    /// The servers of SRV records: each target with all its addresses.
    async fn services(&self, servers: &NameServers, name: &str) -> Result<Answer, String> {
        let found = servers.look_up(name, RecordKind::Srv).await.map_err(|failure| failure.to_string())?;
        let mut targets: Vec<String> = found.services.iter().filter_map(target).collect();
        targets.sort_unstable();
        targets.dedup();
        // What is no target any more is forgotten.
        self.known.borrow_mut().retain(|(name, _), _| targets.contains(name));
        let look_up = |target: String| async move {
            let (found, missing) = match self.addresses(servers, &target).await {
                Ok(found) => (found, None),
                Err(LookupFailure::Unknown(why)) => ((self.last_addresses(&target), None), Some(why)),
                Err(_) => ((Vec::new(), None), None),
            };
            (target, found, missing)
        };
        let mut looked_up = stream::iter(targets).map(look_up).buffer_unordered(TARGETS_AT_ONCE);
        let (mut addresses, mut ttl, mut missing) = (BTreeMap::new(), found.ttl, None);
        while let Some((target, (all, its_ttl), why)) = looked_up.next().await {
            ttl = its_ttl.map_or(ttl, |its_ttl| ttl.min(its_ttl));
            missing = missing.or(why.map(|why| format!("{target} {why}")));
            addresses.insert(target, all);
        }
        let of = |service: &Service| {
            let found = target(service).and_then(|target| addresses.get(&target));
            found.cloned().unwrap_or_default()
        };
        let services: Vec<_> = found.services.iter().map(|service| (service, of(service))).collect();
        Ok(Answer { servers: shares(&services), ttl: Some(ttl), missing })
    }
}

/// The name to ask for, as it is; none of the root, which means that the service is not there.
fn target(service: &Service) -> Option<String> {
    let name = service.target.to_string();
    let name = name.trim_end_matches('.');
    (!name.is_empty()).then(|| format!("{}.", name.to_ascii_lowercase()))
}

/// What each address gets. The lowest priority serves, those above it are backups. Weights count within a priority: a weight
/// of 0 is a tenth of the smallest other one; addresses of one target share its weight. One address in two records of a
/// priority has both weights, in records of two priorities it belongs to the lower one.
fn shares(services: &[(&Service, Vec<IpAddr>)]) -> BTreeMap<SocketAddr, Part> {
    let mut priorities: Vec<u16> = services
        .iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(service, _)| service.priority)
        .collect();
    priorities.sort_unstable();
    priorities.dedup();
    let mut shares = BTreeMap::new();
    for priority in &priorities {
        let own =
            || services.iter().filter(|(service, all)| service.priority == *priority && !all.is_empty());
        let backup = *priority != priorities[0];
        let smallest = own().map(|(service, _)| service.weight).filter(|weight| *weight > 0).min();
        let smallest = smallest.map_or(NO_WEIGHT_PART, u64::from);
        // Such that a tenth, and each address's part, are whole numbers.
        let has_none = own().any(|(service, _)| service.weight == 0);
        let scale = if has_none && smallest % NO_WEIGHT_PART != 0 { NO_WEIGHT_PART } else { 1 };
        let parts = own().map(|(_, addresses)| addresses.len() as u64).fold(1, least_common_multiple);
        let mut sums = BTreeMap::<SocketAddr, u64>::new();
        for (service, addresses) in own() {
            let weight = match service.weight {
                0 => smallest * scale / NO_WEIGHT_PART,
                weight => u64::from(weight) * scale,
            };
            let each = (weight * parts / addresses.len() as u64).max(1);
            for ip in addresses {
                *sums.entry(SocketAddr::new(*ip, service.port)).or_default() += each;
            }
        }
        for (address, weight) in sums {
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            shares.entry(address).or_insert(Part { weight, backup });
        }
    }
    shares
}

/// At most [`PARTS_MAX`].
fn least_common_multiple(one: u64, other: u64) -> u64 {
    let (mut a, mut b) = (one, other);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let multiple = one / a.max(1) * other;
    if multiple > PARTS_MAX { PARTS_MAX } else { multiple }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::dns::fake::{Asked, Data, FakeNameServer, Rcode, answer},
        runtime::{clock::within, lock::Lock, shard::run},
        session::group::GroupSettings,
    };
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A zone that a test may change: names and kinds, with the code and the records of their answer. What it does not have
    /// does not exist; no code is silence.
    type Zone = Arc<Lock<BTreeMap<String, (Option<Rcode>, Vec<(u32, Data)>)>>>;

    struct Scene {
        fake: FakeNameServer,
        zone: Zone,
        group: Arc<Group>,
        discoverer: Discoverer,
        told: Rc<RefCell<Vec<String>>>,
    }

    impl Scene {
        fn new(source: ServerSource) -> Self {
            let zone = Zone::default();
            let shown = zone.clone();
            let fake = FakeNameServer::start(move |asked: &Asked<'_>| {
                let nothing = (Some(Rcode::NXDOMAIN), Vec::new());
                let (code, records) = shown.lock().get(&asked.text).cloned().unwrap_or(nothing);
                let name = asked.text.split_once(' ').unwrap().0;
                let records: Vec<_> = records.into_iter().map(|(ttl, data)| (name, ttl, data)).collect();
                code.map(|code| {
                    let mut answer = answer(asked.query, code, &records);
                    if answer.len() > 4096 && !asked.over_tcp {
                        answer.truncate(name.len() + 18);
                        answer[2] |= 2;
                    }
                    answer
                })
                .into_iter()
                .collect()
            });
            let group = Arc::new(Group::new("web".into(), false, GroupSettings::default()));
            let refresh = Duration::from_secs(5);
            let discover = Discover { source, refresh, resolver: Some(fake.address) };
            let told = Rc::<RefCell<Vec<String>>>::default();
            let lines = told.clone();
            let warn = Rc::new(move |line| lines.borrow_mut().push(line));
            let discoverer = Discoverer::new(group.clone(), discover, false, warn);
            Scene { fake, zone, group, discoverer, told }
        }

        fn dns() -> Self {
            Scene::new(ServerSource::Dns { name: "web.test".into(), port: 80 })
        }

        fn srv() -> Self {
            Scene::new(ServerSource::Srv { name: "_db._tcp.test".into() })
        }

        /// Records for `web.test A`; all hold for a minute.
        fn set(&self, question: &str, records: &[Data]) {
            let records = records.iter().map(|data| (60, data.clone())).collect();
            self.zone.lock().insert(question.into(), (Some(Rcode::NOERROR), records));
        }

        fn fails(&self, question: &str, code: Option<Rcode>) {
            self.zone.lock().insert(question.into(), (code, Vec::new()));
        }

        async fn ask(&mut self) -> Duration {
            within(Some(LIMIT), self.discoverer.ask()).await.expect("a question has limits")
        }

        /// The members, each with its weight; a backup in brackets.
        fn members(&self) -> Vec<String> {
            let member = |one: crate::session::group::Member| {
                let told = format!("{} {}", one.server.address(), one.weight);
                if one.backup { format!("({told})") } else { told }
            };
            self.group.members().into_iter().map(member).collect()
        }

        fn told(&self) -> Vec<String> {
            self.told.take()
        }
    }

    const A: &str = "web.test A";
    const AAAA: &str = "web.test AAAA";

    #[test]
    fn addresses_join_and_leave_and_those_that_leave_keep_their_sessions() {
        run(async {
            let mut scene = Scene::dns();
            scene.set(A, &[Data::A("10.0.0.2"), Data::A("10.0.0.1"), Data::A("10.0.0.1")]);
            scene.set(AAAA, &[Data::Aaaa("fd00::1")]);
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.1:80 1", "10.0.0.2:80 1", "[fd00::1]:80 1"]);
            assert_eq!(scene.told(), ["upstream web: 10.0.0.1:80, 10.0.0.2:80, [fd00::1]:80 joined"]);
            let place = scene.group.choose(None, &[]).unwrap();
            scene.set(A, &[Data::A("10.0.0.3"), Data::A("10.0.0.2")]);
            scene.ask().await;
            assert_eq!(scene.told(), ["upstream web: 10.0.0.3:80 joined; 10.0.0.1:80 left"]);
            assert_eq!(scene.members(), ["10.0.0.2:80 1", "10.0.0.3:80 1", "[fd00::1]:80 1"]);
            assert_eq!((place.server.address(), place.server.live()), ("10.0.0.1:80".into(), 1));
            scene.ask().await;
            assert_eq!(scene.told(), [""; 0], "the same answer is not worth a line");
        })
        .unwrap();
    }

    #[test]
    fn an_answer_is_asked_for_again_when_it_does_not_hold_any_more_but_not_within_a_second() {
        run(async {
            let mut scene = Scene::dns();
            for (ttl, least, most) in [(0, 1.0, 1.0), (2, 1.8, 2.2), (3600, 4.5, 5.5)] {
                let records = vec![(ttl, Data::A("10.0.0.1"))];
                scene.zone.lock().insert(A.into(), (Some(Rcode::NOERROR), records));
                let pause = scene.ask().await.as_secs_f64();
                assert!((least..=most).contains(&pause), "{pause} s for {ttl} s");
            }
        })
        .unwrap();
    }

    #[test]
    fn a_failure_changes_nothing_and_is_told_once_and_asked_again_less_and_less_often() {
        run(async {
            let mut scene = Scene::dns();
            scene.set(A, &[Data::A("10.0.0.1"), Data::A("10.0.0.2")]);
            scene.ask().await;
            let (members, fake) = (scene.members(), scene.fake.address);
            scene.told();
            scene.fails(A, Some(Rcode::SERVFAIL));
            let mut pauses = vec![scene.ask().await];
            let told = format!(
                "upstream web: dns:web.test:80: name server {fake}: it says SERVFAIL; its 2 servers stay"
            );
            assert_eq!(scene.told(), [told]);
            scene.fails(A, Some(Rcode::NXDOMAIN));
            pauses.push(scene.ask().await);
            scene.fails(A, Some(Rcode::NOERROR));
            pauses.push(scene.ask().await);
            let many = vec![Data::A("10.0.0.9"); 1000];
            scene.set(A, &many);
            for _ in 0..4 {
                pauses.push(scene.ask().await);
                assert_eq!((scene.members(), scene.told()), (members.clone(), vec![]));
            }
            for (pause, seconds) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
                assert!((seconds * 0.9..=seconds * 1.1).contains(&pause.as_secs_f64()), "{pauses:?}");
            }
            scene.set(A, &[Data::A("10.0.0.1"), Data::A("10.0.0.2")]);
            scene.ask().await;
            assert_eq!(scene.told(), ["upstream web: dns:web.test:80 answers again"]);
            assert_eq!((scene.members(), scene.discoverer.failures_in_a_row), (members, 0));
        })
        .unwrap();
    }

    #[test]
    fn silence_ends_and_changes_nothing() {
        run(async {
            let mut scene = Scene::dns();
            scene.fails(A, None);
            scene.fails(AAAA, None);
            let begin = Instant::now();
            scene.ask().await;
            assert!(begin.elapsed() < Duration::from_secs(10));
            let told = scene.told();
            assert!(told[0].ends_with("; it has no server yet") && told.len() == 1, "{told:?}");
        })
        .unwrap();
    }

    #[test]
    fn if_one_family_fails_its_last_addresses_stay() {
        run(async {
            let mut scene = Scene::dns();
            scene.set(A, &[Data::A("10.0.0.1")]);
            scene.set(AAAA, &[Data::Aaaa("fd00::1")]);
            scene.ask().await;
            scene.set(A, &[Data::A("10.0.0.2")]);
            scene.fails(AAAA, Some(Rcode::SERVFAIL));
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.2:80 1", "[fd00::1]:80 1"]);
            scene.fails(AAAA, Some(Rcode::NOERROR));
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.2:80 1"]);
            scene.fails(AAAA, Some(Rcode::SERVFAIL));
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.2:80 1"], "what is known to be gone does not come back");
        })
        .unwrap();
    }

    #[test]
    fn the_lowest_priority_serves_with_its_weights_and_the_others_are_backups() {
        run(async {
            let mut scene = Scene::srv();
            scene.set(
                "_db._tcp.test SRV",
                &[
                    Data::Srv(20, 5, 5433, "c.test"),
                    Data::Srv(10, 3, 5432, "a.test"),
                    Data::Srv(10, 0, 5432, "B.Test"),
                    Data::Srv(0, 1, 5432, "."),
                    Data::Srv(5, 1, 5432, "gone.test"),
                ],
            );
            scene.set("a.test A", &[Data::A("10.0.0.1")]);
            scene.set("b.test A", &[Data::A("10.0.0.2")]);
            scene.set("c.test AAAA", &[Data::Aaaa("fd00::3")]);
            scene.ask().await;
            let expected = ["10.0.0.1:5432 30", "10.0.0.2:5432 3", "([fd00::3]:5433 5)"];
            assert_eq!(scene.members(), expected, "{:?}", scene.told());
            let mut asked = scene.fake.asked();
            asked.sort_unstable();
            let names = ["a.test", "b.test", "c.test", "gone.test"];
            let mut targets: Vec<_> =
                names.iter().flat_map(|name| ["A", "AAAA"].map(|kind| format!("{name} {kind}"))).collect();
            targets.insert(0, "_db._tcp.test SRV".into());
            assert_eq!(asked, targets, "the search list of the system is not for a server that is named");
            scene.fails("b.test A", Some(Rcode::NXDOMAIN));
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.1:5432 3", "([fd00::3]:5433 5)"]);
            scene.told();
            scene.fails("a.test A", Some(Rcode::SERVFAIL));
            scene.set("c.test A", &[Data::A("10.0.0.4")]);
            scene.ask().await;
            let expected = ["10.0.0.1:5432 3", "(10.0.0.4:5433 5)", "([fd00::3]:5433 5)"];
            assert_eq!(scene.members(), expected, "the last of what a server fails to say, and what it says");
            let why = format!("a.test. name server {}: it says SERVFAIL", scene.fake.address);
            let told = format!("upstream web: srv:_db._tcp.test: {why}; its 3 servers stay");
            assert_eq!(scene.told(), ["upstream web: 10.0.0.4:5433 joined".to_owned(), told]);
            scene.set("a.test A", &[Data::A("10.0.0.1")]);
            scene.ask().await;
            assert_eq!(scene.told(), ["upstream web: srv:_db._tcp.test answers again"]);
        })
        .unwrap();
    }

    #[test]
    fn a_service_that_is_decidedly_not_there_keeps_its_last_servers() {
        run(async {
            let mut scene = Scene::srv();
            scene.set("_db._tcp.test SRV", &[Data::Srv(1, 1, 80, "a.test")]);
            scene.set("a.test A", &[Data::A("10.0.0.1")]);
            scene.ask().await;
            scene.set("_db._tcp.test SRV", &[Data::Srv(0, 0, 0, ".")]);
            scene.ask().await;
            assert_eq!(scene.members(), ["10.0.0.1:80 1"]);
            let told = "upstream web: srv:_db._tcp.test: the answer names no server; its server stays";
            assert_eq!(scene.told()[1], told);
        })
        .unwrap();
    }

    #[test]
    fn too_many_servers_are_refused_as_a_whole() {
        run(async {
            let mut scene = Scene::srv();
            let records: Vec<Data> = (0..300).map(|port| Data::Srv(1, 1, port, "a.test")).collect();
            scene.set("_db._tcp.test SRV", &records);
            scene.set("a.test A", &[Data::A("10.0.0.1"), Data::A("10.0.0.2")]);
            scene.ask().await;
            assert_eq!(scene.members(), [""; 0]);
            let told = scene.told();
            assert!(told[0].contains("the answer names more than 512 servers"), "{told:?}");
            assert_eq!(scene.fake.asked().len(), 4, "one target is asked for once; once over TCP");
        })
        .unwrap();
    }

    #[test]
    fn the_systems_resolver_knows_localhost() {
        run(async {
            let mut scene = Scene::new(ServerSource::Dns { name: "localhost".into(), port: 7 });
            scene.discoverer.discover.resolver = None;
            let pause = scene.ask().await.as_secs_f64();
            assert!((4.5..=5.5).contains(&pause));
            assert!(scene.members().contains(&"127.0.0.1:7 1".to_owned()), "{:?}", scene.members());
            assert_eq!(scene.fake.asked(), [""; 0]);
        })
        .unwrap();
    }

    /// The weights that SRV records give: priority, weight, and the last numbers of the addresses; the result with a minus for
    /// a backup.
    fn shared(records: &[(u16, u16, &[u8])]) -> Vec<(u8, i64)> {
        let service = |(priority, weight, _): &(u16, u16, &[u8])| Service {
            priority: *priority,
            weight: *weight,
            port: 80,
            target: "x.test".parse().unwrap(),
        };
        let services: Vec<_> = records.iter().map(service).collect();
        let address = |last: &u8| IpAddr::from([10, 0, 0, *last]);
        let addresses = records.iter().map(|(_, _, all)| all.iter().map(address).collect());
        let services: Vec<_> = services.iter().zip(addresses).collect();
        let last =
            |address: SocketAddr| address.ip().to_string().rsplit('.').next().unwrap().parse().unwrap();
        let signed = |part: Part| if part.backup { -i64::from(part.weight) } else { part.weight.into() };
        shares(&services).into_iter().map(|(address, part)| (last(address), signed(part))).collect()
    }

    #[test]
    fn weights_are_those_of_rfc_2782() {
        assert_eq!(shared(&[]), []);
        assert_eq!(shared(&[(1, 1, &[1]), (1, 3, &[2])]), [(1, 1), (2, 3)], "1 and 3 stay 1 and 3");
        assert_eq!(shared(&[(1, 0, &[1]), (1, 0, &[2])]), [(1, 1), (2, 1)]);
        assert_eq!(shared(&[(1, 0, &[1]), (1, 7, &[2]), (1, 9, &[3])]), [(1, 7), (2, 70), (3, 90)]);
        assert_eq!(shared(&[(1, 0, &[1]), (1, 10, &[2]), (1, 25, &[3])]), [(1, 1), (2, 10), (3, 25)]);
        assert_eq!(shared(&[(9, 2, &[1]), (3, 0, &[2]), (4, 0, &[3])]), [(1, -2), (2, 1), (3, -1)]);
        assert_eq!(shared(&[(1, 1, &[1, 2]), (1, 1, &[3])]), [(1, 1), (2, 1), (3, 2)], "they share it");
        assert_eq!(shared(&[(1, 1, &[1, 2, 3]), (1, 1, &[4, 5])]), [(1, 2), (2, 2), (3, 2), (4, 3), (5, 3)]);
        assert_eq!(shared(&[(1, 1, &[1]), (1, 2, &[1]), (2, 9, &[1, 2])]), [(1, 3), (2, -9)]);
        assert_eq!(shared(&[(1, 1, &[]), (2, 4, &[2]), (3, 4, &[3])]), [(2, 4), (3, -4)]);
        let many: Vec<u8> = (1..=127).collect();
        let heavy = shared(&[(1, u16::MAX, &many), (1, u16::MAX, &[200]), (1, 0, &[201])]);
        assert!(heavy.iter().all(|(_, weight)| *weight > 0), "{heavy:?}");
        let each = heavy.iter().take(127).map(|(_, weight)| weight).sum::<i64>();
        let whole = heavy.iter().find(|(last, _)| *last == 200).unwrap().1;
        assert!((each - whole).abs() < whole / 100, "{each} of {whole}");
    }

    #[test]
    fn a_line_names_a_few_servers() {
        let names: Vec<String> = (1..=10).map(|number| number.to_string()).collect();
        assert_eq!(listed(&names[..8], NAMED), "1, 2, 3, 4, 5, 6, 7, 8");
        assert_eq!(listed(&names, NAMED), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
