//! What a server leaves to the process that takes over from it, beside its sockets: the proxies that its API made, its faults
//! with what they go on from, and the ports of listeners that a fault has closed. It is JSON, and a proxy and a toxic in it are
//! those of the API.
//!
//! Nothing of that changes while it is written and read: who wants to change something waits, and is refused once the other
//! process has taken over.

use crate::{
    control::toxic,
    error::Error,
    net::{address::Address, endpoint::Endpoint},
    runtime::clock::now_ns,
    server::{
        breaker::Breaker,
        in_force::{self, BoundPlace, InForce, PlanInForce},
        listener_faults,
        plan::Plan,
        scenario::{ScenarioPlace, ScenarioProgress},
        toxiproxy::{self, NewProxy, Proxies, ProxyRequest},
    },
    session::faults::{
        fault::{Fault, FaultPlan},
        set::{FaultSet, LeftFault},
    },
};
use futures::lock::OwnedMutexGuard;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{cell::OnceCell, io, net::SocketAddr, rc::Rc, sync::Arc};

/// What is not said is as at any start.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Handover {
    /// What the faults' draws follow from.
    pub seed: Option<u64>,
    /// Those of the API, in the order of the plan; none: there is no API, or it did not answer yet.
    proxies: Option<Vec<Map<String, Value>>>,
    listeners: Vec<LeftListener>,
    /// Where the scenario goes on.
    scenario_ms: u64,
    scenario_step: usize,
}

/// A listener, by its key.
#[derive(Serialize, Deserialize)]
struct LeftListener {
    key: String,
    /// How many sessions began there: draws count on.
    begun: u64,
    is_down: bool,
    /// Where it comes back to: the endpoint, its number among equal ones, and its address.
    places: Vec<(String, usize, SocketAddr)>,
    faults: Vec<LeftToxic>,
    /// Connections of our own that wait in its queues.
    own: Vec<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
struct LeftToxic {
    toxic: Map<String, Value>,
    is_of_file: bool,
    /// By the kernel's monotonic clock, which both processes have.
    began_ns: u64,
    /// Sessions that its scope has met.
    places: u64,
}

/// What it is collected from.
#[derive(Clone)]
pub struct Estate {
    in_force: PlanInForce,
    breaker: Breaker,
    /// There once the API answers.
    pub proxies: Rc<OnceCell<Rc<Proxies>>>,
    pub scenario: Rc<ScenarioProgress>,
}

/// While it is there, nothing of an [`Estate`] is changed.
pub struct Frozen {
    _proxies: Option<OwnedMutexGuard<()>>,
    _faults: OwnedMutexGuard<()>,
}

impl Estate {
    /// Without an API and a scenario, as long as these do not run.
    pub fn new(in_force: &PlanInForce, breaker: &Breaker) -> Self {
        let (proxies, scenario) = Default::default();
        Estate { in_force: in_force.clone(), breaker: breaker.clone(), proxies, scenario }
    }

    /// Waits until what is under way has been done.
    pub async fn freeze(&self) -> Frozen {
        // A change of a proxy waits for orders about faults, and not the other way round.
        let _proxies = match self.proxies.get() {
            Some(proxies) => Some(proxies.hold().await),
            None => None,
        };
        Frozen { _proxies, _faults: self.breaker.hold().await }
    }

    pub fn handover(&self) -> Handover {
        let in_force = self.in_force.get();
        let listeners = in_force.planned().map(|(key, planned, set)| LeftListener {
            key: key.clone(),
            begun: set.begun(),
            is_down: planned.is_down,
            places: in_force.held_places(key).into_iter().filter_map(written).collect(),
            // Sessions are numbered anew, and those that are named stay here.
            faults: set
                .all()
                .iter()
                .filter(|fault| fault.plan().scope.sessions.is_empty())
                .map(|fault| LeftToxic::of(fault))
                .collect(),
            own: set.entrance.own().into_iter().filter_map(tcp).collect(),
        });
        let proxies = self.proxies.get().map(|proxies| {
            let plan = in_force.plan.iter().flat_map(|plan| &plan.listeners);
            let known = plan.filter_map(|planned| proxies.line(planned.name.as_deref()?));
            known.filter_map(|line| line.as_object().cloned()).collect()
        });
        let ScenarioPlace { ms: scenario_ms, step: scenario_step } = self.scenario.place();
        let (seed, listeners) = (in_force.seed(), listeners.collect());
        Handover { seed, proxies, listeners, scenario_ms, scenario_step }
    }
}

impl LeftToxic {
    fn of(fault: &Fault) -> Self {
        let toxic = toxic::encode(fault).as_object().cloned().unwrap_or_default();
        let (is_of_file, began_ns, places) = (fault.is_of_file, fault.began_ns, fault.places());
        LeftToxic { toxic, is_of_file, began_ns, places }
    }

    fn plan(&self) -> Result<FaultPlan, String> {
        toxic::decode(&self.toxic).map_err(|error| error.to_string())
    }

    fn left(&self) -> Result<LeftFault, String> {
        let (is_of_file, began_ns, places) = (self.is_of_file, self.began_ns, self.places);
        Ok(LeftFault { plan: self.plan()?, is_of_file, began_ns, places })
    }
}

impl Handover {
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its keys are texts")
    }

    /// Errors: they are none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))
    }

    pub fn scenario(&self) -> ScenarioPlace {
        ScenarioPlace { ms: self.scenario_ms, step: self.scenario_step }
    }

    /// The plan, with the listeners of the API as they are left, and closed those that a fault has closed.
    /// Errors: what is left cannot be.
    pub fn adapt(&self, mut plan: Plan) -> Result<Plan, Error> {
        if let (Some(api), Some(proxies)) = (plan.api.clone(), &self.proxies) {
            let read = |object: &Map<String, Value>| {
                let request = ProxyRequest::read(object).map_err(|error| error.to_string())?;
                let mut proxy = request.into_new().map_err(|error| error.to_string())?;
                let of_file = self.left(&proxy.name).map(|left| &left.faults[..]).unwrap_or_default().iter();
                let of_file = of_file.filter(|fault| fault.is_of_file).map(LeftToxic::plan);
                proxy.toxics = of_file.collect::<Result<_, _>>()?;
                let listen = proxy.enabled.then(|| toxiproxy::listen_endpoint(&proxy.listen)).transpose()?;
                Ok::<_, String>((proxy, listen))
            };
            let proxies: Vec<(NewProxy, Option<Endpoint>)> =
                proxies.iter().map(read).collect::<Result<_, _>>().map_err(wrong)?;
            (plan.listeners, plan.upstreams) = (Vec::new(), Vec::new());
            plan = toxiproxy::with_api(plan, api.endpoint, api.template, proxies);
        }
        for left in self.listeners.iter().filter(|left| left.is_down) {
            // The listener itself may be gone.
            let _ = in_force::set_down(&mut plan, &left.key, true);
        }
        Ok(plan)
    }

    fn left(&self, key: &str) -> Option<&LeftListener> {
        self.listeners.iter().find(|left| left.key == key)
    }

    /// What the first plan follows.
    pub fn in_force(&self, plan: &Plan) -> Result<InForce, Error> {
        let mut before = InForce::default();
        if let Some(seed) = plan.seed.or(self.seed) {
            before.set_seed(seed);
        }
        for left in &self.listeners {
            let faults = left.faults.iter().map(LeftToxic::left).collect::<Result<_, _>>().map_err(wrong)?;
            let places = left.places.iter().map(read).collect::<Result<_, _>>().map_err(wrong)?;
            let own = left.own.iter().map(|own| Address::Tcp(*own)).collect();
            before.inherit(&left.key, places, LeftFaults { begun: left.begun, faults, own });
        }
        Ok(before)
    }
}

/// What the faults of a listener go on from.
pub struct LeftFaults {
    begun: u64,
    faults: Vec<LeftFault>,
    own: Vec<Address>,
}

impl LeftFaults {
    /// Has the faults of a listener that is to be there go on, before its first session.
    pub fn go_on(&self, set: &Arc<FaultSet>) {
        set.resume(self.begun, &self.faults);
        if listener_faults::stalls(set, now_ns()) {
            set.entrance.begin_shut();
            self.own.iter().for_each(|own| set.entrance.expect(own.clone()));
        }
    }
}

fn wrong(why: String) -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidData, why);
    Error::new("cannot take over what the running process leaves", source)
}

fn tcp(address: Address) -> Option<SocketAddr> {
    match address {
        Address::Tcp(address) => Some(address),
        Address::Unix(_) => None,
    }
}

fn written(place: BoundPlace) -> Option<(String, usize, SocketAddr)> {
    Some((place.endpoint.to_string(), place.nth, tcp(place.address)?))
}

fn read((endpoint, nth, address): &(String, usize, SocketAddr)) -> Result<BoundPlace, String> {
    Ok(BoundPlace::at(endpoint.parse()?, *nth, Address::Tcp(*address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::reporter::Reporter,
        runtime::{
            clock::{sleep, within},
            limit::Slots,
            mailbox::mailbox,
            shard,
        },
        server::{
            books::{Books, Remembered},
            listener_faults::ListenerFaults,
            operator::{OperatedServer, Operator},
            scenario::Scenario,
            supervisors::{Common, Supervisors},
        },
        session::{context::Context, faults::kind::FaultKind},
    };
    use std::{
        collections::VecDeque,
        net::TcpStream,
        sync::atomic::AtomicU64,
        time::{Duration, Instant, SystemTime},
    };

    fn handover() -> Handover {
        let toxic = Fault::new(FaultPlan::sample(FaultKind::Latency, [5, 1, 0]), false);
        let listener = LeftListener {
            key: "127.0.0.1:0".to_owned(),
            begun: 7,
            is_down: true,
            places: vec![("127.0.0.1:0".to_owned(), 1, "127.0.0.1:99".parse().unwrap())],
            faults: vec![LeftToxic::of(&toxic)],
            own: vec!["[::1]:5".parse().unwrap()],
        };
        Handover {
            seed: Some(u64::MAX),
            proxies: Some(Vec::new()),
            listeners: vec![listener],
            scenario_ms: 9,
            scenario_step: 2,
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let bytes = handover().bytes();
        assert_eq!(Handover::read(&bytes).unwrap().bytes(), bytes);
        // Another version may leave less, or more.
        let read = Handover::read(br#"{"later":[1]}"#).unwrap();
        assert_eq!(read.bytes(), Handover::default().bytes());
    }

    #[test]
    fn what_is_cut_short_or_wrong_is_an_error() {
        let bytes = handover().bytes();
        for end in 0..bytes.len() {
            assert!(Handover::read(&bytes[..end]).is_err(), "{end}");
        }
        let mut wrong = handover();
        wrong.listeners[0].faults[0].toxic.insert("type".to_owned(), "gravity".into());
        let left = wrong.listeners[0].faults[0].left().map(drop);
        assert_eq!(left, Err("invalid toxic type".to_owned()));
        wrong.listeners[0].places[0].0 = "nonsense".to_owned();
        assert!(read(&wrong.listeners[0].places[0]).is_err());
    }

    /// Without shards.
    fn supervisors() -> Supervisors {
        let (context, remembered) = (Context::sample(), Arc::new(Remembered::new(1)));
        let common = Common { context, last_id: AtomicU64::new(0) };
        let books = Books::new(&[], remembered.clone());
        Supervisors::new(common, books, remembered, 0).0
    }

    #[test]
    fn a_listener_whose_stall_ends_before_the_first_look_at_it_opens() {
        let mut stall = FaultPlan::sample(FaultKind::AcceptStall, [0; 3]);
        stall.schedule.expires_ms = 3_600_000;
        let listener = LeftListener {
            key: "web".to_owned(),
            begun: 0,
            is_down: false,
            places: Vec::new(),
            faults: vec![LeftToxic::of(&Fault::new(stall, false))],
            own: Vec::new(),
        };
        let handover = Handover { listeners: vec![listener], ..Handover::default() };
        let plan = Plan::sample_echo(1);
        shard::run(async {
            let before = handover.in_force(&plan).unwrap();
            let prepared = before.prepare(plan, 1, VecDeque::new()).unwrap();
            let in_force = PlanInForce::default();
            in_force.set(prepared.next);
            let supervisors = supervisors();
            let (reporter, _finish) = Reporter::start(None).unwrap();
            let (mut faults, _flapper) =
                ListenerFaults::start(&in_force, &supervisors, &mailbox(1).0, &reporter);
            let set = in_force.get().faults("web").unwrap();
            assert!(set.entrance.is_shut());
            faults.follow(now_ns() + 7_200_000_000_000).await;
            assert!(!set.entrance.is_shut());
            // The queue has places for more than one again.
            let (_, address) = in_force.get().sockets("web").remove(0);
            let limit = Duration::from_secs(20);
            let connect =
                || TcpStream::connect_timeout(&address.unwrap(), limit).map_err(|error| error.kind());
            let clients: Result<Vec<_>, _> = (0..4).map(|_| connect()).collect();
            assert_eq!(clients.map(|clients| clients.len()), Ok(4));
        })
        .unwrap();
    }

    #[test]
    fn a_step_of_a_scenario_that_waits_for_an_upgrade_is_left_to_the_other_process() {
        let steps = r#"[{"at_ms":0,"add":{"type":"noop"}},{"at_ms":0,"add":{"type":"noop","name":"x"}}]"#;
        shard::run(async {
            let (in_force, supervisors, ending) = (PlanInForce::default(), supervisors(), Arc::default());
            in_force.set(InForce::default().prepare(Plan::sample_echo(1), 1, VecDeque::new()).unwrap().next);
            let (reporter, _finish) = Reporter::start(None).unwrap();
            let orders = mailbox(1).0;
            let (breaker, _task) = Breaker::start(&in_force, &supervisors, &reporter, &orders, &ending);
            let estate = Estate::new(&in_force, &breaker);
            let operator = Operator::new(OperatedServer {
                breaker,
                in_force: in_force.clone(),
                load: None,
                began: Instant::now(),
                started: SystemTime::now(),
                slots: Slots::new(1),
                drain_timeout: Arc::default(),
                supervisor: supervisors,
                events: reporter.events().clone(),
                ending,
                orders,
            });
            let frozen = estate.freeze().await;
            let scenario = Scenario::parse(steps).unwrap();
            let events = reporter.events().clone();
            let _scenario =
                scenario.start(ScenarioPlace::default(), estate.scenario.clone(), operator, events);
            sleep(Duration::from_millis(20)).await;
            assert_eq!(estate.handover().scenario(), ScenarioPlace::default());
            drop(frozen);
            let is_done = async {
                while estate.handover().scenario().ms == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            assert_eq!(within(Some(Duration::from_secs(20)), is_done).await, Some(()));
            assert_eq!(in_force.get().faults("web").unwrap().all().len(), 2);
        })
        .unwrap();
    }
}
