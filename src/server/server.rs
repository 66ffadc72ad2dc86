//! A server from its start to its end: puts its plan in force, waits for signals and operators, drains.

use crate::{
    control::place::{self, Control},
    error::Error,
    net::{
        address::Address,
        endpoint::Endpoint,
        limits,
        listener::{ListenSocket, Listener},
        options::Options,
        passed::{AGENT, API, CONTROL, METRICS, Passable, Passed},
        pipe,
    },
    report::{
        format::{Dump, Format, Log},
        reporter::{Finish, Reporter},
    },
    runtime::{
        blocking::blocking,
        clock::{sleep, within},
        limit::Slots,
        lock::Lock,
        mailbox::{Mailbox, Sender, mailbox},
        signals::{ServerSignal, ServerSignals},
        task::Task,
    },
    server::{
        agent::Agent,
        books::{Books, Remembered},
        breaker::Breaker,
        certificates::CertificateWatch,
        control, diff,
        drain::Drain,
        handover::{Estate, Handover},
        health::Questions,
        http,
        in_force::{InForce, Kept, Opened, PlanInForce, Prepared, listen},
        keeper::{KeeperContext, Keepers},
        notify::Notify,
        operator::{Ending, OperatedServer, Operator, PlanEdit, ReloadReply, ServerOrder},
        plan::{DRAIN_TIMEOUT, LoadPlan, Mistakes, Plan},
        scenario::ScenarioPlace,
        shards::Shards,
        side_door::SideDoor,
        supervisor::ServerOutcome,
        supervisors::{Common, Supervisors},
        toxiproxy::{self, Proxies},
        upgrade::{Former, Inherited, Upgrade},
    },
    session::{context::Context, event::What},
    text::{plain::takes_unicode, takes_colour, units::duration},
};
use futures::{
    FutureExt,
    lock::{Mutex, OwnedMutexGuard},
    select_biased,
};
use std::{
    future::pending,
    io::{self, IsTerminal},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

/// After a drain, how long the last lines may take: a reader that never reads must not hold up the end.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Closing a socket takes some 10 µs; this is enough for any number of them.
const LAST_SOCKETS: Duration = Duration::from_secs(2);
/// After a cut, the operator wants the end at once.
const LAST_LINES_AFTER_CUT: Duration = Duration::from_millis(100);
/// An answer of the API that is under way has so long to be written.
const API_LAST_WORDS: Duration = Duration::from_millis(100);
/// Orders of operators that may wait while one is followed.
const ORDERS: usize = 4;

/// Runs a server until it is stopped. It says `notes` once it listens. Sockets that are `passed` are those of its listeners.
/// With `load`, it reads its plan again at SIGHUP.
/// Fails if it cannot listen, or if every listener has failed.
pub async fn run(
    plan: Plan,
    notes: Vec<String>,
    mut passed: Passed,
    load: Option<LoadPlan>,
) -> Result<ServerOutcome, Error> {
    let threads = plan.shards();
    let handover = passed.state.take().map_or(Ok(Handover::default()), |state| Handover::read(&state))?;
    let plan = handover.adapt(plan)?;
    let descriptors = limits::reserve(threads, plan.endpoints());
    set_pipes(&plan);
    let signals =
        ServerSignals::new(load.is_some()).map_err(|error| Error::new("cannot take signals over", error))?;
    let mut inherited = Inherited::claim(passed, &plan)?;
    let passed = std::mem::take(&mut inherited.endpoints);
    let prepared = handover.in_force(&plan)?.prepare(plan.clone(), threads, passed)?.without_loops()?;
    let metrics = open_metrics(&plan, inherited.metrics.take())?;
    let agent = open_agent(&plan, inherited.agent.take())?;
    let api = open_api(&plan, inherited.api.take())?;
    // A log that is off may be on after a reload.
    let wanted = (plan.log != Log::Off || load.is_some()).then(|| format(&plan));
    let (reporter, finish) =
        Reporter::start(wanted).map_err(|error| Error::new("cannot start the reporter", error))?;
    let shortage = match plan.max_sessions {
        Some(_) => plan.check_sessions().err().map(|shortage| shortage.warning()),
        None => limits::few_sessions(descriptors),
    };
    shortage.iter().for_each(|line| reporter.warn(line));
    let passed = inherited.control.take();
    let control = control::bind(&plan.control, plan.group.as_deref(), passed, |text| reporter.warn(text))?;
    let (alive, gone) = mailbox(1);
    let slots = Slots::new(plan.max_sessions.unwrap_or(limits::share(descriptors).sessions));
    let context = Context { own: Arc::default(), slots, events: reporter.events().clone(), alive };
    notes.iter().for_each(|note| reporter.warn(note));
    let left = inherited.left;
    left.iter().for_each(|name| reporter.warn(format!("no listener has the passed socket {name} any more")));
    let exposed = exposed(&prepared.next, [&metrics, &agent, &api]);
    let beside = Beside { control, metrics, agent, api };
    let mut running = Running::start(plan, prepared, context, beside, load, reporter).await?;
    running.start_scenario(handover.scenario());
    left.iter().for_each(|name| running.notify.forget(name));
    running.notify.started(inherited.former.is_some());
    inherited.former.map_or(Ok(()), Former::tell_ready)?;
    running.passable.take_files();
    exposed.iter().for_each(|line| running.reporter.warn(line));
    let outcome = running.until_stopped(signals).await;
    wind_up(gone, finish, outcome.as_ref().ok()).await;
    outcome
}

/// The actors of a server that accepts.
struct Running {
    in_force: PlanInForce,
    load: Option<LoadPlan>,
    context: Arc<Context>,
    ending: Arc<Ending>,
    /// From the begin of a drain to the cut.
    drain_timeout: Arc<Lock<Option<Duration>>>,
    remembered: Arc<Remembered>,
    /// What operators ask of the server as a whole.
    orders: Mailbox<ServerOrder>,
    operator: Operator,
    control: Option<SideDoor>,
    /// Control sockets of plans before, whose operators may still have an answer to get.
    retired: Vec<SideDoor>,
    metrics: Option<SideDoor>,
    agent: Option<Agent>,
    /// toxiproxy's.
    api: Option<SideDoor>,
    passable: Passable,
    notify: Notify,
    upgrade: Upgrade,
    breaker: Breaker,
    _breaker: Task<()>,
    /// What it leaves at an upgrade.
    estate: Estate,
    scenario: Option<Task<()>>,
    /// Held by a reload, or by a process that is being started: either passes on what the other leaves.
    turn: Arc<Mutex<()>>,
    keepers: Keepers,
    _certificates: CertificateWatch,
    surroundings: KeeperContext,
    supervisors: Supervisors,
    shards: Shards,
    /// A hangup came while the file was read.
    again: bool,
    reporter: Reporter,
}

/// The listeners beside the traffic, where there are any.
struct Beside {
    control: Option<Listener>,
    metrics: Option<Listener>,
    agent: Option<Listener>,
    api: Option<Listener>,
}

/// All that can wake a server.
enum Event {
    Stop,
    /// Its plan is to be read again; the answer goes there, if it was an operator who asked.
    Reload(Option<ReloadReply>),
    /// Its plan is to be another one.
    Change(PlanEdit, Sender<Result<(), Error>>),
    /// Another process has taken over.
    Replaced,
    Failed(io::Error),
}

impl Running {
    async fn start(
        plan: Plan,
        prepared: Prepared,
        context: Context,
        beside: Beside,
        load: Option<LoadPlan>,
        reporter: Reporter,
    ) -> Result<Self, Error> {
        let Prepared { next, opened, .. } = prepared;
        let (context, in_force) = (Arc::new(context), PlanInForce::default());
        let (slots, turn) = (context.slots.clone(), Arc::<Mutex<()>>::default());
        let remembered = Arc::new(Remembered::new(plan.remember));
        let books = Books::new(&next.listenings(), remembered.clone());
        let common = Common { context: context.clone(), last_id: AtomicU64::new(0) };
        let (supervisors, idle) = Supervisors::new(common, books, remembered.clone(), plan.shards());
        let (orders_address, orders) = mailbox(ORDERS);
        let drain_timeout = Arc::new(Lock::new(plan.drain_timeout));
        let (ending, passable) = (Arc::<Ending>::default(), Passable::default());
        let (breaker, breaker_task) =
            Breaker::start(&in_force, &supervisors, &reporter, &orders_address, &ending);
        let estate = Estate::new(&in_force, &breaker);
        let operator = Operator::new(OperatedServer {
            breaker: breaker.clone(),
            in_force: in_force.clone(),
            load: load.clone(),
            began: Instant::now(),
            started: SystemTime::now(),
            slots: slots.clone(),
            drain_timeout: drain_timeout.clone(),
            ending: ending.clone(),
            supervisor: supervisors.clone(),
            events: reporter.events().clone(),
            orders: orders_address,
        });
        let notify = Notify::start(supervisors.clone(), &next.address_texts(), passable.clone());
        let upgrade = Upgrade::start(&passable, &estate, &ending, &reporter, &turn)?;
        let shards = Shards::start(&supervisors, idle, &slots, &reporter, plan.busy_poll)?;
        let mut running = Running {
            surroundings: surroundings(&context, &reporter, &supervisors),
            _certificates: CertificateWatch::start(in_force.clone(), reporter.clone()),
            in_force,
            load,
            context,
            ending,
            drain_timeout,
            remembered,
            orders,
            operator,
            control: None,
            retired: Vec::new(),
            metrics: None,
            agent: None,
            api: None,
            passable,
            notify,
            upgrade,
            breaker,
            _breaker: breaker_task,
            estate,
            scenario: None,
            turn,
            keepers: Keepers::default(),
            supervisors,
            shards,
            again: false,
            reporter,
        };
        running.begin(&plan, next, opened, beside).await?;
        Ok(running)
    }

    /// Puts the first plan in force, and serves.
    async fn begin(
        &mut self,
        plan: &Plan,
        next: InForce,
        opened: Vec<Opened>,
        beside: Beside,
    ) -> Result<(), Error> {
        self.context.own.set(next.own_addresses(), next.may_chain());
        self.keepers.keep(&next.groups, &self.surroundings).await;
        self.put_in_force(next).await;
        // Operators and scrapers find the listeners; until then they wait in the kernel's queue.
        self.serve_beside(plan, beside);
        self.accept(opened).await.map_err(|error| Error::new("cannot accept", error))
    }

    /// Begins the scenario, or goes on with it from there.
    fn start_scenario(&mut self, from: ScenarioPlace) {
        let Some(scenario) = self.in_force.get().plan.as_ref().and_then(|plan| plan.scenario.clone()) else {
            return;
        };
        let (progress, events) = (self.estate.scenario.clone(), self.reporter.events().clone());
        self.scenario = Some(scenario.start(from, progress, self.operator.clone(), events));
    }

    /// Serves operators, scrapers and balancers.
    fn serve_beside(&mut self, plan: &Plan, beside: Beside) {
        self.serve_control(plan, beside.control);
        self.serve_metrics(plan, beside.metrics);
        self.serve_agent(beside.agent);
        self.serve_api(plan, beside.api);
    }

    fn serve_api(&mut self, plan: &Plan, listener: Option<Listener>) {
        let Some((listener, api)) = listener.zip(plan.api.as_ref()) else { return };
        self.passable.add(API, listener.handle());
        self.reporter.warn(format!("API on {}", listener.address()));
        let new = || Rc::new(Proxies::new(self.operator.clone(), api));
        let proxies = self.estate.proxies.get_or_init(new).clone();
        self.api = Some(toxiproxy::start(listener, proxies, self.reporter.clone()));
    }

    fn serve_control(&mut self, plan: &Plan, listener: Option<Listener>) {
        if let (Some(listener), Control::At(_)) = (&listener, &plan.control) {
            self.passable.add(CONTROL, listener.handle());
        }
        let start = |listener| control::start(listener, self.operator.clone(), self.reporter.clone());
        // The operator who asked for it has its answer first.
        self.retired.extend(std::mem::replace(&mut self.control, listener.map(start)));
    }

    fn serve_metrics(&mut self, plan: &Plan, listener: Option<Listener>) {
        self.metrics = listener.map(|listener| {
            self.passable.add(METRICS, listener.handle());
            self.reporter.warn(format!("metrics on {}", listener.address()));
            let host = plan.metrics.as_ref().and_then(Endpoint::name);
            http::start(listener, host, self.operator.clone(), self.reporter.clone())
        });
    }

    fn serve_agent(&mut self, listener: Option<Listener>) {
        self.agent = listener.map(|listener| {
            self.passable.add(AGENT, listener.handle());
            self.reporter.warn(format!("agent on {}", listener.address()));
            Agent::start(listener, self.operator.clone(), self.reporter.clone())
        });
    }

    /// Accepts at addresses that were opened, and says so of those that a fault had not closed.
    async fn accept(&self, opened: Vec<Opened>) -> io::Result<()> {
        for Opened { is_back, current, sockets } in opened {
            let listening = current.get();
            self.shards.accept(sockets, &current).await?;
            if !is_back {
                self.reporter.warn(format!("listening on {}, {}", listening.address, listening.target));
            }
        }
        Ok(())
    }

    async fn put_in_force(&mut self, next: InForce) {
        self.context.own.set(next.own_addresses(), next.may_chain());
        next.handles().for_each(|(name, handle)| self.passable.add(&name, handle));
        self.notify.moved(&next.address_texts());
        let changed = next.begin_faults();
        self.in_force.set(next);
        self.breaker.follow(changed).await;
    }

    async fn next_event(&mut self, signals: &mut ServerSignals) -> Event {
        if std::mem::take(&mut self.again) {
            return Event::Reload(None);
        }
        let orders = async {
            match self.orders.next().await {
                Some(ServerOrder::Drain) => Event::Stop,
                Some(ServerOrder::Reload(reply)) => Event::Reload(Some(reply)),
                Some(ServerOrder::Change(edit, reply)) => Event::Change(edit, reply),
                // No operator is left.
                None => pending().await,
            }
        };
        select_biased! {
            signal = signals.next().fuse() => match signal {
                ServerSignal::Hangup if self.load.is_some() => Event::Reload(None),
                ServerSignal::Stop | ServerSignal::Hangup => Event::Stop,
            },
            event = pin!(orders.fuse()) => event,
            () = pin!(self.upgrade.done().fuse()) => Event::Replaced,
            failure = pin!(self.shards.failed().fuse()) => Event::Failed(failure),
        }
    }

    async fn until_stopped(mut self, mut signals: ServerSignals) -> Result<ServerOutcome, Error> {
        let mut failure = None;
        loop {
            match self.next_event(&mut signals).await {
                Event::Stop | Event::Replaced => break,
                Event::Failed(error) => {
                    failure = Some(error);
                    break;
                }
                Event::Change(edit, reply) => {
                    let Some(turn) = self.await_turn(&mut signals).await else { break };
                    let answer = self.change(edit, turn).await;
                    let _ = reply.try_send(answer);
                }
                Event::Reload(reply) => {
                    let Some(answer) = self.reload(&mut signals).await else { break };
                    // An asker that is gone gets nothing.
                    let _ = reply.map(|reply| reply.try_send(answer));
                    for door in std::mem::take(&mut self.retired) {
                        door.stop(control::LAST_WORDS).await;
                    }
                }
            }
        }
        // Whatever ended the loop: what the other process has taken over is its own.
        let is_replaced = self.ending.is_replaced.load(Relaxed);
        self.begin_end(is_replaced);
        if is_replaced && let Some(mut api) = self.api.take() {
            // Its clients keep connections for their next request, which is for the process that has taken over.
            api.dismiss();
            api.stop(API_LAST_WORDS).await;
        }
        if failure.is_none() && !is_replaced {
            self.delay(&mut signals).await;
        }
        // Who asks for a reload now is told that the server is ending.
        drop(self.orders);
        self.shards.stop_accepting().await;
        self.agent.iter().for_each(Agent::go_down);
        let limit = match *self.drain_timeout.lock() {
            // Nothing is to wait for at a stop, but an upgrade is to be no sessions' end.
            Some(Duration::ZERO) if is_replaced => Some(DRAIN_TIMEOUT),
            limit => limit,
        };
        let mut drain = Drain::begin(self.supervisors, limit, self.reporter).await;
        let end = loop {
            let again = select_biased! {
                end = pin!(self.shards.ended().fuse()) => break end,
                // A terminal that goes sends a hangup, and its shell often another.
                signal = signals.next().fuse() => signal == ServerSignal::Stop,
                () = pin!(drain.count_down().fuse()) => false,
            };
            if again {
                drain.cut().await;
            }
        };
        drain.end(end.as_ref());
        self.context.events.onlookers().end();
        if let Some(control) = self.control {
            control.stop(control::LAST_WORDS).await;
        }
        failure.map_or(end, |failure| Err(Error::new("cannot go on accepting", failure)))
    }

    /// Before the drain: tells the manager, or leaves that and the listeners beside the traffic to the process that has
    /// taken over.
    fn begin_end(&mut self, is_replaced: bool) {
        self.upgrade.end();
        self.ending.is_stopping.store(true, Relaxed);
        if !is_replaced {
            return self.notify.stopping();
        }
        self.notify.fall_silent();
        // The other process goes on with it.
        self.scenario = None;
        // A control socket in the user's folder is named by its process, and stays.
        let control = self.control.as_mut().filter(|_| self.upgrade.has_passed(CONTROL));
        self.metrics.iter_mut().chain(control).for_each(SideDoor::leave);
        self.agent.iter_mut().for_each(Agent::leave);
    }

    /// Goes on accepting for a while: balancers notice late that this server is not ready any more. Another order to stop
    /// ends it.
    async fn delay(&mut self, signals: &mut ServerSignals) {
        let delay = self.in_force.get().plan.as_ref().map_or(Duration::ZERO, |plan| plan.drain_delay);
        if delay.is_zero() {
            return;
        }
        let time = duration(delay);
        self.reporter
            .warn(format!("stopping: not ready any more, accepting for {time}; again to drain at once"));
        let mut over = pin!(sleep(delay).fuse());
        loop {
            let order = select_biased! {
                signal = signals.next().fuse() => match signal {
                    ServerSignal::Stop => return,
                    ServerSignal::Hangup => continue,
                },
                order = pin!(self.orders.next().fuse()) => order,
                () = over => return,
            };
            match order {
                // Its listeners are as operators and faults want them until the drain begins.
                Some(ServerOrder::Change(edit, reply)) => {
                    // No process is being started any more: nothing holds it for long.
                    let turn = self.turn.clone().lock_owned().await;
                    let answer = self.change(edit, turn).await;
                    let _ = reply.try_send(answer);
                }
                // Who asks is told that the server is ending.
                Some(ServerOrder::Reload(_)) => {}
                Some(ServerOrder::Drain) | None => return,
            }
        }
    }

    /// Waits until the plan may be changed; none if the server is to stop before that, or another process has taken over.
    async fn await_turn(&mut self, signals: &mut ServerSignals) -> Option<OwnedMutexGuard<()>> {
        let mut turn = pin!(self.turn.clone().lock_owned().fuse());
        loop {
            select_biased! {
                turn = turn => return (!self.ending.is_replaced.load(Relaxed)).then_some(turn),
                signal = signals.next().fuse() => match signal {
                    ServerSignal::Hangup if self.load.is_some() => self.again = true,
                    ServerSignal::Stop | ServerSignal::Hangup => return None,
                },
            }
        }
    }

    /// Reads the plan again and puts it in force, or leaves everything as it is. Tells what it changed; none if the server is to
    /// stop before that, or another process has taken over.
    async fn reload(&mut self, signals: &mut ServerSignals) -> Option<Result<Vec<String>, Mistakes>> {
        self.notify.reloading();
        let answer = match self.read(signals).await? {
            Ok(next) => {
                let turn = self.await_turn(signals).await?;
                self.follow(next, turn).await
            }
            Err(mistakes) => Err(mistakes),
        };
        let (applied, lines) = match &answer {
            Ok(lines) if lines.is_empty() => (true, vec![NOTHING.to_owned()]),
            Ok(lines) => (true, lines.clone()),
            Err(mistakes) => (false, vec![mistakes.first.clone()]),
        };
        match &answer {
            Ok(_) => lines.iter().for_each(|line| self.reporter.warn(format!("reloaded: {line}"))),
            Err(mistakes) => {
                mistakes.text.lines().for_each(|line| self.reporter.warn(line));
                self.reporter.warn("reload refused: everything goes on as before");
                self.operator.note_refused_reload();
            }
        }
        self.reporter.events().tell(What::Config { applied, lines });
        self.notify.reloaded(answer.as_ref().err().map(|mistakes| mistakes.first.as_str()));
        Some(answer)
    }

    /// Reads the plan again; none if the server is to stop before that. What it reads may be slow, or never end.
    async fn read(&mut self, signals: &mut ServerSignals) -> Option<Result<Plan, Mistakes>> {
        let Some(load) = self.load.clone() else { return Some(Err(Mistakes::no_file())) };
        let mut plan = pin!(blocking(move || load(None)).fuse());
        loop {
            select_biased! {
                plan = plan => return Some(plan),
                signal = signals.next().fuse() => match signal {
                    ServerSignal::Stop => return None,
                    // What has changed since may have been read already.
                    ServerSignal::Hangup => self.again = true,
                },
            }
        }
    }

    /// Puts a plan in force; what that changes, in lines.
    async fn follow(&mut self, mut next: Plan, _turn: OwnedMutexGuard<()>) -> Result<Vec<String>, Mistakes> {
        let in_force = self.in_force.get();
        let Some(old) = &in_force.plan else { return Ok(Vec::new()) };
        in_force.keep_down(&mut next);
        let changes = diff::changes(&in_force.as_it_is().unwrap_or_else(|| old.clone()), &next);
        let threads = next.shards().max(self.shards.active());
        let prepared = in_force.prepare(next.clone(), threads, Default::default())?.without_loops()?;
        self.install(&in_force, old, next, prepared).await?;
        Ok(changes)
    }

    /// Puts the plan in force that `edit` makes. Its upstreams are not looked at before a session is to reach them.
    async fn change(&mut self, edit: PlanEdit, _turn: OwnedMutexGuard<()>) -> Result<(), Error> {
        let in_force = self.in_force.get();
        let Some(old) = &in_force.plan else { return Ok(()) };
        let mut next = old.clone();
        in_force.keep_faults(&mut next);
        edit(&mut next, &in_force)?;
        let threads = next.shards().max(self.shards.active());
        let prepared = in_force.prepare(next.clone(), threads, Default::default())?;
        self.install(&in_force, old, next, prepared).await
    }

    /// Puts in force what is prepared: first what may fail, in the order in which it can be taken back.
    async fn install(
        &mut self,
        in_force: &InForce,
        old: &Plan,
        next: Plan,
        prepared: Prepared,
    ) -> Result<(), Error> {
        let threads = next.shards();
        let doors = self.open_doors(old, &next)?;
        self.shards.grow(threads)?;
        let Prepared { next: coming, opened, kept, closed } = prepared;
        self.keepers.keep(&coming.groups, &self.surroundings).await;
        let fresh: Vec<_> = opened.iter().map(|one| one.current.clone()).collect();
        if let Err(error) = self.accept(opened).await {
            for listening in &fresh {
                self.shards.close(listening).await;
            }
            self.keepers.keep(&in_force.groups, &self.surroundings).await;
            return Err(Error::new("cannot accept", error));
        }
        // From here on nothing fails.
        kept.into_iter().for_each(Kept::put_in_force);
        coming.groups.begin();
        self.put_in_force(coming).await;
        self.in_force.get().give_backlog(|one| fresh.iter().any(|fresh| Arc::ptr_eq(fresh, one)));
        for listening in &closed {
            self.shards.close(listening).await;
        }
        if threads != self.shards.active() {
            let in_force = self.in_force.get();
            self.shards.set_active(threads, |of, socket| in_force.another(of, socket)).await;
            in_force.handles().for_each(|(name, handle)| self.passable.add(&name, handle));
            // The sockets of new shards are to be as their listeners' faults say.
            self.breaker.follow(Vec::new()).await;
            in_force.give_backlog(|_| true);
        }
        self.change_program(old, &next);
        self.serve_doors(&next, doors);
        self.notify.store();
        Ok(())
    }

    /// Opens the listeners beside the traffic that are other ones in `next`.
    fn open_doors(&self, old: &Plan, next: &Plan) -> Result<Doors, Error> {
        let changed = |differs: bool| differs.then_some(());
        let warn = |text: String| self.reporter.warn(text);
        let group = next.group.as_deref();
        Ok(Doors {
            metrics: changed(next.metrics != old.metrics).map(|()| open_metrics(next, None)).transpose()?,
            agent: changed(next.agent != old.agent).map(|()| open_agent(next, None)).transpose()?,
            control: match &next.control {
                // The same socket with another right.
                Control::At(path) if next.control == old.control && next.group != old.group => {
                    let opened = place::change_group(path, group);
                    opened
                        .map_err(|error| Error::new("cannot change who may use the control socket", error))?;
                    None
                }
                control if *control != old.control => Some(control::bind(control, group, None, warn)?),
                _ => None,
            },
        })
    }

    fn serve_doors(&mut self, plan: &Plan, doors: Doors) {
        if let Some(listener) = doors.metrics {
            self.serve_metrics(plan, listener);
        }
        if let Some(listener) = doors.agent {
            self.serve_agent(listener);
        }
        if let Some(listener) = doors.control {
            self.serve_control(plan, listener);
        }
    }

    /// Puts in force what concerns the whole program.
    /// What an operator has set stays where the plan says the same as before.
    fn change_program(&self, old: &Plan, plan: &Plan) {
        let descriptors = limits::reserve(self.shards.active(), plan.endpoints());
        set_pipes(plan);
        if plan.max_sessions != old.max_sessions {
            let most = limits::share(descriptors).sessions;
            self.context.slots.set_limit(plan.max_sessions.unwrap_or(most));
        }
        if plan.drain_timeout != old.drain_timeout {
            *self.drain_timeout.lock() = plan.drain_timeout;
        }
        self.remembered.set_keep(plan.remember);
        self.reporter.set_format(format(plan));
    }
}

/// Listeners beside the traffic that a reload opened; none where nothing changes.
struct Doors {
    metrics: Option<Option<Listener>>,
    agent: Option<Option<Listener>>,
    control: Option<Option<Listener>>,
}

/// What a reload says that changes nothing.
pub const NOTHING: &str = "nothing has changed";

/// Waits until every socket is closed, because the end of the process resets no connection whose stream to the peer has
/// ended, and until every line is written.
async fn wind_up(mut gone: Mailbox<()>, finish: Finish, outcome: Option<&ServerOutcome>) {
    within(Some(LAST_SOCKETS), gone.next()).await;
    let limit = if outcome == Some(&ServerOutcome::Cut) { LAST_LINES_AFTER_CUT } else { LAST_LINES };
    finish.wait(limit).await;
}

/// Gives pipes their share of the descriptors if a listener may use them.
fn set_pipes(plan: &Plan) {
    let splices = plan.listeners.iter().any(|listener| listener.splice);
    let pipes = limits::share(limits::raise_descriptor_limit()).pipes;
    pipe::set_limit(if splices { pipes } else { 0 });
}

fn open_metrics(plan: &Plan, passed: Option<ListenSocket>) -> Result<Option<Listener>, Error> {
    let listener = open_beside(plan.metrics.as_ref(), "--metrics", passed)?.transpose();
    listener.map_err(|error| Error::new("cannot serve metrics", error))
}

fn open_agent(plan: &Plan, passed: Option<ListenSocket>) -> Result<Option<Listener>, Error> {
    let listener = open_beside(plan.agent.as_ref(), "--agent", passed)?.transpose();
    listener.map_err(|error| Error::new("cannot serve the agent", error))
}

fn open_api(plan: &Plan, passed: Option<ListenSocket>) -> Result<Option<Listener>, Error> {
    let endpoint = plan.api.as_ref().map(|api| &api.endpoint);
    let listener = open_beside(endpoint, "--api", passed)?.transpose();
    listener.map_err(|error| Error::new("cannot serve the API", error))
}

/// A listener beside the traffic; none if it has no place.
fn open_beside(
    endpoint: Option<&Endpoint>,
    option: &'static str,
    passed: Option<ListenSocket>,
) -> Result<Option<io::Result<Listener>>, Error> {
    let socket = match (endpoint, passed) {
        (Some(endpoint), None) => Some(listen(endpoint, option, http::BACKLOG, &Options::default())?),
        (_, passed) => passed,
    };
    Ok(socket.map(Listener::open))
}

/// What the keepers of groups need of a server.
fn surroundings(context: &Arc<Context>, reporter: &Reporter, supervisors: &Supervisors) -> KeeperContext {
    let (reporter, supervisors) = (reporter.clone(), supervisors.clone());
    KeeperContext {
        questions: Questions::default(),
        context: context.clone(),
        warn: Rc::new(move |line| reporter.warn(line)),
        on_down: Rc::new(move |group, server| {
            let (supervisors, name, address) = (supervisors.clone(), group.name.clone(), server.address());
            async move { supervisors.cut_sessions_of(&name, &address).await }.boxed_local()
        }),
    }
}

/// The line that says which listeners other machines reach; none if they reach none.
fn exposed(next: &InForce, beside: [&Option<Listener>; 3]) -> Option<String> {
    let beyond_loopback = |address: &Address| address.ip().is_some_and(|ip| !ip.is_loopback());
    let own = next.own_addresses();
    let all = own.iter().chain(beside.into_iter().flatten().map(Listener::address));
    let found: Vec<String> =
        all.filter(|address| beyond_loopback(address)).map(ToString::to_string).collect();
    let verb = if found.len() == 1 { "is" } else { "are" };
    (!found.is_empty()).then(|| format!("{} {verb} reachable from other machines", found.join(" and ")))
}

fn format(plan: &Plan) -> Format {
    // One log for all listeners: what one of them shows is shown in its form.
    let dump = plan.listeners.iter().map(|listener| listener.dump).find(|dump| *dump != Dump::Off);
    let colour = io::stdout().is_terminal() && takes_colour();
    Format { log: plan.log, dump: dump.unwrap_or_default(), colour, ascii: !takes_unicode() }
}
