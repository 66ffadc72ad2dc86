//! A group of servers: the state of each, how many sessions it has, and the choice among them. No I/O: actors of the server
//! check and discover, sessions say how their connects went.

use crate::{
    net::{
        dial::{Destination, Reserved},
        proxy_header::ProxyVersion,
    },
    runtime::lock::Lock,
};
use std::{
    fmt::{self, Write},
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Servers that are tried after the first one, as HAProxy does; a refusal costs no time and does not count.
pub const RETRIES: u32 = 2;
/// Connects that fail in a row until a server is set aside, and for how long the first time.
pub const EJECT: Eject = Eject { failures: 3, time: Duration::from_secs(10) };
/// A server that fails again and again is asked at least this often.
const EJECTED_MAX: Duration = Duration::from_secs(5 * 60);
/// What a recovered server gets of its weight at first, in percent.
const SLOW_START_PERCENT: u64 = 10;
/// Servers that a choice names: more would not fit a line.
const NAMED: usize = 8;

/// How a group deals with its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    pub balance: Balance,
    /// To resolve and connect, for one server; `None`: the listener's `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// Further servers that are tried; those that refuse at once cost no time and do not count, unless it is less than
    /// [`RETRIES`], which is the default.
    pub retries: Option<u32>,
    /// `None`: no server is set aside for failed connects.
    pub eject: Option<Eject>,
    /// How long a server that recovers takes to its whole weight; `None`: it has it at once.
    pub slow_start: Option<Duration>,
    /// Whether the sessions of a server that goes down are cut.
    pub cut_on_down: bool,
    /// The version of the PROXY header that a server is sent first; `None`: none is sent.
    pub send_proxy: Option<ProxyVersion>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Balance {
    /// By turns, spread smoothly.
    #[default]
    RoundRobin,
    /// The fewest sessions for its weight; equal ones by turns.
    LeastSessions,
    /// The same source to the same server, whichever others come and go (rendezvous hashing).
    Source,
    /// Of two at random the one with fewer sessions for its weight.
    TwoChoices,
}

/// When a server is set aside whose connects fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eject {
    /// In a row.
    pub failures: u32,
    /// The first time; it doubles, up to five minutes.
    pub time: Duration,
}

pub struct Group {
    /// Of a bare address, that address.
    pub name: String,
    /// It has no name of its own: it is one address, of which nothing needs to be told.
    pub is_address: bool,
    pub settings: GroupSettings,
    members: Lock<Members>,
}

#[derive(Default)]
struct Members {
    present: Vec<Member>,
    /// Servers that left while they had sessions.
    leaving: Vec<Arc<Server>>,
    /// Servers that the first members to come may be among.
    former: Vec<Arc<Server>>,
    random: u64,
}

/// A server as a member of a group.
#[derive(Clone)]
pub struct Member {
    pub server: Arc<Server>,
    pub weight: u32,
    pub backup: bool,
    /// Its turn (nginx's smooth weighted round robin): the highest comes next.
    turn: i64,
}

/// One server, as a plan has it reached.
pub struct Server {
    pub destination: Destination,
    /// The hash of its address.
    key: u64,
    /// It outlives the plan that names the server, and goes with its address, whatever that is resolved to.
    past: Arc<Past>,
}

#[derive(Default)]
struct Past {
    live: AtomicUsize,
    sessions: AtomicU64,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    check: Checked,
    /// Checks in a row that went the other way than `check` says.
    against: u32,
    /// When the last check began.
    checked: Option<Instant>,
    operator: Option<Admin>,
    /// Connects of sessions that failed in a row.
    failures: u32,
    /// How often it was set aside since a connect succeeded, and until when.
    ejections: u32,
    ejected: Option<(Instant, String)>,
    /// When it recovered.
    recovered: Option<Instant>,
}

/// What checks say of a server.
#[derive(Clone, Debug, Default)]
enum Checked {
    /// It is up, or is not checked.
    #[default]
    Up,
    /// Its first check has no answer yet.
    Awaited,
    Down {
        since: Instant,
        why: String,
    },
}

/// What an operator says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// It takes no new sessions.
    Draining,
    /// The same, and it is expected to be down.
    Maintenance,
}

/// How a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Up,
    /// Its first check has no answer yet.
    Awaited,
    Down {
        since: Instant,
        why: String,
    },
    /// Set aside because connects failed.
    Ejected {
        until: Instant,
        why: String,
    },
    Draining,
    Maintenance,
    /// It is in the group no more; its sessions live.
    Leaving,
}

/// A server that was chosen for a session.
pub struct Place {
    pub server: Arc<Server>,
    /// Why this one, in words; empty for a bare address.
    pub why: String,
    /// No server was up: this one is the last resort.
    pub is_last_resort: bool,
    pub seat: Seat,
}

/// A session counts for its server until this is dropped.
pub struct Seat(Arc<Server>);

/// A change of a server that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Up,
    Down(String),
    Ejected(Duration, String),
}

impl Balance {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Server {
    fn new(destination: Destination, check: Checked) -> Self {
        let state = Lock::new(State { check, ..State::default() });
        let key = hash(destination.endpoint.to_string().as_bytes());
        Server { destination, key, past: Arc::new(Past { state, ..Past::default() }) }
    }

    /// The same server, which the plan has reached so from now on.
    fn reached_by(self: &Arc<Self>, destination: &Destination) -> Arc<Self> {
        if self.destination == *destination {
            return self.clone();
        }
        let (destination, past) = (destination.clone(), self.past.clone());
        Arc::new(Server { destination, key: self.key, past })
    }

    /// Whether both are one server.
    pub fn is(&self, other: &Server) -> bool {
        Arc::ptr_eq(&self.past, &other.past)
    }

    /// As it is named: an address, or a name with its port.
    pub fn address(&self) -> String {
        self.destination.endpoint.to_string()
    }

    /// Sessions that are here, or on their way.
    pub fn live(&self) -> usize {
        self.past.live.load(Relaxed)
    }

    /// Sessions that ever reached it.
    pub fn sessions(&self) -> u64 {
        self.past.sessions.load(Relaxed)
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let state = self.past.state.lock();
        match (&state.operator, &state.check, &state.ejected) {
            (Some(Admin::Maintenance), _, _) => Standing::Maintenance,
            (Some(Admin::Draining), _, _) => Standing::Draining,
            (None, Checked::Down { since, why }, _) => Standing::Down { since: *since, why: why.clone() },
            (None, Checked::Awaited, _) => Standing::Awaited,
            (None, Checked::Up, Some((until, why))) if *until > now => {
                Standing::Ejected { until: *until, why: why.clone() }
            }
            (None, Checked::Up, _) => Standing::Up,
        }
    }

    fn is_up(&self, now: Instant) -> bool {
        let state = self.past.state.lock();
        let is_ejected = state.ejected.as_ref().is_some_and(|(until, _)| *until > now);
        state.operator.is_none() && matches!(state.check, Checked::Up) && !is_ejected
    }

    /// How much it may be preferred among those that are not up: whose check is awaited before those that are down; none if
    /// an operator said no.
    fn last_resort(&self) -> Option<u8> {
        let state = self.past.state.lock();
        match (&state.operator, &state.check) {
            (Some(_), _) => None,
            (None, Checked::Awaited) => Some(0),
            (None, Checked::Up) => Some(1),
            (None, Checked::Down { .. }) => Some(2),
        }
    }

    /// Notes how a check went; `fall` and `rise` are how many in a row change the state.
    pub fn note_check(&self, result: Result<(), String>, fall: u32, rise: u32) -> Option<Change> {
        let mut state = self.past.state.lock();
        let (now, is_good) = (Instant::now(), result.is_ok());
        let mut was_ejected = false;
        if is_good {
            was_ejected = state.ejected.take().is_some_and(|(until, _)| until > now);
            (state.ejections, state.failures) = (0, 0);
        }
        let agrees = match (&state.check, is_good) {
            (Checked::Up, good) => good,
            (Checked::Down { .. }, good) => !good,
            (Checked::Awaited, _) => false,
        };
        if agrees {
            state.against = 0;
            return was_ejected.then_some(Change::Up);
        }
        state.against += 1;
        let needed = match (&state.check, is_good) {
            // The first answer counts at once.
            (Checked::Awaited, _) => 1,
            (_, true) => rise,
            (_, false) => fall,
        };
        if state.against < needed {
            return None;
        }
        state.against = 0;
        match result {
            Ok(()) => {
                let was_down = matches!(state.check, Checked::Down { .. });
                state.recovered = was_down.then_some(now);
                state.check = Checked::Up;
                Some(Change::Up)
            }
            Err(why) => {
                state.check = Checked::Down { since: now, why: why.clone() };
                Some(Change::Down(why))
            }
        }
    }

    /// When its next check is due, with one in each `period`.
    pub fn next_check(&self, period: Duration) -> Instant {
        let now = Instant::now();
        self.past.state.lock().checked.map_or(now, |last| (last + period).max(now))
    }

    pub fn note_check_begun(&self) {
        self.past.state.lock().checked = Some(Instant::now());
    }

    /// It is not checked any more.
    pub fn forget_checks(&self) {
        let mut state = self.past.state.lock();
        (state.check, state.against) = (Checked::Up, 0);
    }

    /// What an operator says of it; none: it is as well as it is.
    pub fn set_admin(&self, admin: Option<Admin>) {
        let mut state = self.past.state.lock();
        state.operator = admin;
        if admin.is_none() {
            (state.ejected, state.ejections, state.failures) = (None, 0, 0);
        }
    }

    /// What it gets now, as its weight times a hundred.
    fn weight_now(&self, weight: u32, slow_start: Option<Duration>, now: Instant) -> u64 {
        let whole = u64::from(weight) * 100;
        let (Some(time), Some(begin)) = (slow_start, self.past.state.lock().recovered) else { return whole };
        let gone = now.saturating_duration_since(begin);
        if gone >= time {
            return whole;
        }
        let rest =
            u64::try_from(gone.as_millis() * u128::from(100 - SLOW_START_PERCENT) / time.as_millis().max(1));
        (u64::from(weight) * (SLOW_START_PERCENT + rest.unwrap_or(0))).max(1)
    }
}

/// Of its members at one instant: what a choice needs of each that may be chosen.
struct Candidate {
    index: usize,
    /// Times a hundred.
    weight: u64,
    live: usize,
}

impl Group {
    pub fn new(name: String, is_address: bool, settings: GroupSettings) -> Self {
        // Any seed will do: it only spreads.
        let members = Members { random: hash(name.as_bytes()), ..Members::default() };
        Group { name, is_address, settings, members: Lock::new(members) }
    }

    /// Sets who its members are: destination, weight, and whether it is a backup. One that is there already keeps its state
    /// and its turn; else one of `known` with that address brings its state; a new one that is `checked` waits for its first
    /// check. A server that leaves keeps its sessions. Of an address that is named twice, the first counts.
    /// Returns the addresses that came and those that left.
    pub fn set_members(
        &self,
        wanted: &[(Destination, u32, bool)],
        known: &[Arc<Server>],
        checked: bool,
    ) -> (Vec<String>, Vec<String>) {
        let mut members = self.members.lock();
        let before = std::mem::take(&mut members.present);
        let leaving = std::mem::take(&mut members.leaving);
        let former = if wanted.is_empty() { Vec::new() } else { std::mem::take(&mut members.former) };
        let mut came = Vec::new();
        let is_same = |one: &Destination, other: &Destination| one.endpoint == other.endpoint;
        let first = |at: usize| !wanted[..at].iter().any(|(other, ..)| is_same(other, &wanted[at].0));
        let present: Vec<Member> = wanted
            .iter()
            .enumerate()
            .filter(|(at, _)| first(*at))
            .map(|(_, (destination, weight, backup))| {
                let is_it = |server: &Server| is_same(&server.destination, destination);
                let there = before.iter().find(|member| is_it(&member.server));
                let turn = there.map_or(0, |member| member.turn);
                let found = there.map(|member| &member.server);
                let others = || leaving.iter().chain(&former).chain(known);
                let found = found.or_else(|| others().find(|server| is_it(server)));
                if there.is_none() {
                    came.push(destination.endpoint.to_string());
                }
                let new = || {
                    let check = if checked { Checked::Awaited } else { Checked::Up };
                    Arc::new(Server::new(destination.clone(), check))
                };
                let server = found.map_or_else(new, |server| server.reached_by(destination));
                Member { server, weight: *weight, backup: *backup, turn }
            })
            .collect();
        let stays = |server: &Arc<Server>| present.iter().any(|member| member.server.is(server));
        let gone: Vec<_> = before.into_iter().map(|member| member.server).filter(|one| !stays(one)).collect();
        let left = gone.iter().map(|server| server.address()).collect();
        members.leaving = leaving.into_iter().filter(|one| !stays(one)).chain(gone).collect();
        members.leaving.retain(|server| server.live() > 0);
        members.present = present;
        (came, left)
    }

    /// Has those of `servers` that are among the next members bring their states: until these are known, it may be a while.
    pub fn remember(&self, servers: Vec<Arc<Server>>) {
        self.members.lock().former = servers;
    }

    /// Has the servers that left `former`, or that are not in this one, shown here until their last session has ended.
    pub fn inherit(&self, former: &Group) {
        let there = former.servers();
        let mut members = self.members.lock();
        for (server, _) in there {
            let is_here = members.present.iter().any(|member| member.server.is(&server))
                || members.leaving.iter().any(|one| one.is(&server));
            if !is_here && server.live() > 0 {
                members.leaving.push(server);
            }
        }
    }

    /// Shows no servers as leaving that are members of a group again.
    pub fn give_up(&self, members: &[Arc<Server>]) {
        self.members.lock().leaving.retain(|server| !members.iter().any(|one| one.is(server)));
    }

    /// The members, in their order.
    pub fn members(&self) -> Vec<Member> {
        self.members.lock().present.clone()
    }

    /// All servers with a session or a place here, and how each stands.
    pub fn servers(&self) -> Vec<(Arc<Server>, Standing)> {
        let now = Instant::now();
        let mut members = self.members.lock();
        members.leaving.retain(|server| server.live() > 0);
        let present =
            members.present.iter().map(|member| (member.server.clone(), member.server.standing(now)));
        let leaving = members.leaving.iter().map(|server| (server.clone(), Standing::Leaving));
        present.chain(leaving).collect()
    }

    /// A socket for a session to come, of the family that the first server probably has.
    pub fn reserve(&self) -> io::Result<Option<Reserved>> {
        let first = self.members.lock().present.first().map(|member| member.server.clone());
        first.map(|server| server.destination.reserve()).transpose()
    }

    /// A server for a session of `source`, past those that were `tried`; none if none is left.
    pub fn choose(&self, source: Option<IpAddr>, tried: &[Arc<Server>]) -> Option<Place> {
        let now = Instant::now();
        let mut members = self.members.lock();
        let (candidates, is_last_resort) = self.candidates(&members.present, tried, now);
        let index = self.pick(&candidates, source, &mut members)?;
        let why =
            if self.is_address { String::new() } else { self.why(&candidates, index, &members, source, now) };
        let server = members.present[index].server.clone();
        server.past.live.fetch_add(1, Relaxed);
        let seat = Seat(server.clone());
        Some(Place { server, why, is_last_resort, seat })
    }

    /// Whether a server is left for a session past those that were `tried`.
    pub fn has_more(&self, tried: &[Arc<Server>]) -> bool {
        let members = self.members.lock();
        !self.candidates(&members.present, tried, Instant::now()).0.is_empty()
    }

    /// The order in which servers would be tried if each of them failed, without a change of their turns.
    pub fn order(&self, source: Option<IpAddr>) -> Vec<Arc<Server>> {
        let copy = Group::new(self.name.clone(), true, self.settings.clone());
        {
            let (from, mut to) = (self.members.lock(), copy.members.lock());
            (to.present, to.random) = (from.present.clone(), from.random);
        }
        let mut tried = Vec::new();
        while let Some(server) = copy.peek(source, &tried) {
            tried.push(server);
        }
        tried
    }

    fn peek(&self, source: Option<IpAddr>, tried: &[Arc<Server>]) -> Option<Arc<Server>> {
        let mut members = self.members.lock();
        let (candidates, _) = self.candidates(&members.present, tried, Instant::now());
        let index = self.pick(&candidates, source, &mut members)?;
        Some(members.present[index].server.clone())
    }

    /// Those who may be chosen: members that are up; else backups that are; else, as a last resort, those that are not.
    fn candidates(&self, present: &[Member], tried: &[Arc<Server>], now: Instant) -> (Vec<Candidate>, bool) {
        let of = |index: usize, member: &Member| {
            let weight = member.server.weight_now(member.weight, self.settings.slow_start, now);
            Candidate { index, weight, live: member.server.live() }
        };
        let untried = |member: &Member| !tried.iter().any(|one| one.is(&member.server));
        let pick = |wanted: &dyn Fn(&Member) -> bool| -> Vec<Candidate> {
            let all = present.iter().enumerate().filter(|(_, member)| untried(member) && wanted(member));
            all.map(|(index, member)| of(index, member)).collect()
        };
        for backup in [false, true] {
            let up = pick(&|member| member.backup == backup && member.server.is_up(now));
            if !up.is_empty() {
                return (up, false);
            }
        }
        for (rank, backup) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
            let down = pick(&|member| member.backup == backup && member.server.last_resort() == Some(rank));
            if !down.is_empty() {
                return (down, true);
            }
        }
        (Vec::new(), true)
    }

    /// The member to choose, by its place.
    fn pick(&self, candidates: &[Candidate], source: Option<IpAddr>, members: &mut Members) -> Option<usize> {
        match (self.settings.balance, candidates) {
            (_, []) => None,
            (_, [only]) => Some(only.index),
            (Balance::RoundRobin, all) => Some(next_turn(all.iter(), &mut members.present)),
            (Balance::LeastSessions, all) => {
                let least = all.iter().min_by(|one, other| compare_load(one, other))?;
                let equal = all.iter().filter(|one| compare_load(one, least).is_eq());
                Some(next_turn(equal, &mut members.present))
            }
            (Balance::Source, all) => {
                let source = source.map(|ip| ip.to_canonical().to_string()).unwrap_or_default();
                let source = hash(source.as_bytes());
                let score =
                    |one: &Candidate| rendezvous(source, members.present[one.index].server.key, one.weight);
                let scores = all.iter().map(|one| (score(one), one.index));
                scores.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, index)| index)
            }
            (Balance::TwoChoices, all) => {
                let mut random = || {
                    members.random = mix(members.random.wrapping_add(GOLDEN));
                    members.random
                };
                let one = weighted(all, random())?;
                let rest: Vec<&Candidate> =
                    all.iter().filter(|candidate| candidate.index != one.index).collect();
                let other = rest.get(usize::try_from(random() % rest.len() as u64).unwrap_or(0))?;
                Some(if compare_load(other, one).is_lt() { other.index } else { one.index })
            }
        }
    }

    /// The choice in words: what counted, and which servers did not.
    fn why(
        &self,
        candidates: &[Candidate],
        chosen: usize,
        members: &Members,
        source: Option<IpAddr>,
        now: Instant,
    ) -> String {
        let load = |one: &Candidate| format!("{}/{}", one.live, members.present[one.index].weight);
        let own = candidates.iter().find(|one| one.index == chosen).map(load).unwrap_or_default();
        let all: Vec<String> = candidates.iter().take(NAMED).map(load).collect();
        let all = all.join(", ");
        let mut why = match (self.settings.balance, candidates.len()) {
            (_, 1) => "the only one".to_owned(),
            (Balance::RoundRobin, _) => "round robin: its turn".to_owned(),
            (Balance::LeastSessions, _) => format!("least sessions: {own} of {all}"),
            (Balance::Source, _) => match source {
                Some(ip) => format!("source {}", ip.to_canonical()),
                None => "source unknown".to_owned(),
            },
            (Balance::TwoChoices, _) => format!("two choices: {own}"),
        };
        if members.present[chosen].backup {
            why += ", a backup";
        }
        for member in members.present.iter().take(NAMED) {
            let standing = member.server.standing(now);
            if standing != Standing::Up {
                let _ = write!(why, "; {} {}", member.server.address(), StandingAt { standing, now });
            }
        }
        why
    }

    /// Whether a session may try another server after `tried` of them, of which it has waited for some until the limit.
    pub fn may_try(&self, tried: usize, waited: u32) -> bool {
        match self.settings.retries {
            Some(retries) if retries < RETRIES => tried <= retries as usize,
            retries => waited <= retries.unwrap_or(RETRIES),
        }
    }

    /// Notes that a session's connect to a server succeeded.
    pub fn note_connected(&self, server: &Server) {
        server.past.sessions.fetch_add(1, Relaxed);
        let mut state = server.past.state.lock();
        if state.failures > 0 || state.ejections > 0 {
            (state.failures, state.ejections, state.ejected) = (0, 0, None);
        }
    }

    /// Notes that a session's connect failed. Too many in a row set the server aside, unless it is the last one.
    pub fn note_failed(&self, server: &Arc<Server>, why: &str) -> Option<Change> {
        let eject = self.settings.eject?;
        let now = Instant::now();
        let members = self.members.lock();
        let is_other = |member: &&Member| !member.server.is(server);
        let others_serve = members.present.iter().filter(is_other).any(|member| member.server.is_up(now));
        let mut state = server.past.state.lock();
        state.failures = state.failures.saturating_add(1);
        let is_ejected = state.ejected.as_ref().is_some_and(|(until, _)| *until > now);
        let counts = matches!(state.check, Checked::Up) && state.operator.is_none() && !is_ejected;
        if !counts || !others_serve || state.failures < eject.failures {
            return None;
        }
        let time =
            eject.time.saturating_mul(2_u32.saturating_pow(state.ejections)).min(EJECTED_MAX.max(eject.time));
        state.ejections = state.ejections.saturating_add(1);
        state.failures = 0;
        state.ejected = Some((now + time, why.to_owned()));
        Some(Change::Ejected(time, why.to_owned()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.past.live.fetch_sub(1, Relaxed);
    }
}

/// A standing in words, at an instant.
pub struct StandingAt {
    pub standing: Standing,
    pub now: Instant,
}

impl fmt::Display for StandingAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| time.as_secs();
        match &self.standing {
            Standing::Up => f.write_str("up"),
            Standing::Awaited => f.write_str("waits for its first check"),
            Standing::Down { since, why } => {
                write!(f, "down {} s: {why}", seconds(self.now.saturating_duration_since(*since)))
            }
            Standing::Ejected { until, why } => {
                let left = until.saturating_duration_since(self.now);
                write!(f, "ejected for {} s more: {why}", seconds(left).max(1))
            }
            Standing::Draining => f.write_str("draining"),
            Standing::Maintenance => f.write_str("maintenance"),
            Standing::Leaving => f.write_str("leaving"),
        }
    }
}

impl Standing {
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Up => "up",
            Standing::Awaited | Standing::Down { .. } => "down",
            Standing::Ejected { .. } => "ejected",
            Standing::Draining => "draining",
            Standing::Maintenance => "maintenance",
            Standing::Leaving => "leaving",
        }
    }
}

impl Change {
    /// The state that it leads to.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Up => "up",
            Change::Down(_) => "down",
            Change::Ejected(..) => "ejected",
        }
    }

    pub fn why(&self) -> Option<&str> {
        match self {
            Change::Up => None,
            Change::Down(why) | Change::Ejected(_, why) => Some(why),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Up => f.write_str("is up"),
            Change::Down(why) => write!(f, "is down: {why}"),
            Change::Ejected(time, why) => write!(f, "is set aside for {} s: {why}", time.as_secs()),
        }
    }
}

/// Smooth weighted round robin: each gets its weight, the highest is chosen and pays for all.
fn next_turn<'a>(candidates: impl Iterator<Item = &'a Candidate>, present: &mut [Member]) -> usize {
    let (mut total, mut best) = (0, None);
    for candidate in candidates {
        let weight = i64::try_from(candidate.weight).unwrap_or(i64::MAX);
        total += weight;
        let turn = &mut present[candidate.index].turn;
        *turn += weight;
        if best.is_none_or(|(highest, _)| *turn > highest) {
            best = Some((*turn, candidate.index));
        }
    }
    let chosen = best.map_or(0, |(_, index)| index);
    present[chosen].turn -= total;
    chosen
}

/// By sessions for the weight.
fn compare_load(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    let load = |of: &Candidate, weight: u64| of.live as u128 * u128::from(weight);
    load(one, other.weight).cmp(&load(other, one.weight))
}

/// One of them, each as probable as its weight.
fn weighted(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    let total: u64 = candidates.iter().map(|one| one.weight).sum();
    let mut at = random % total.max(1);
    candidates.iter().find(|one| {
        let is_it = at < one.weight;
        at = at.saturating_sub(one.weight);
        is_it
    })
}

/// Weighted rendezvous hashing: the highest score wins. A server that leaves moves only its own sources.
fn rendezvous(source: u64, server: u64, weight: u64) -> f64 {
    let hash = mix(source ^ mix(server.wrapping_add(GOLDEN)));
    // In (0, 1): 53 bits are what a float holds.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -(weight as f64) / uniform.ln()
}

/// 2^64 divided by the golden ratio, the step of SplitMix64 (Steele, Lea, Flood 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a, mixed: the same in every process and every release, so that a fleet chooses alike.
fn hash(bytes: &[u8]) -> u64 {
    const BEGIN: u64 = 0xcbf2_9ce4_8422_2325;
    mix(bytes.iter().fold(BEGIN, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finish of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dial::Override;
    use std::collections::BTreeMap;

    const CHOICES: usize = 10_000;

    fn destination(address: &str) -> Destination {
        Destination { endpoint: address.parse().unwrap(), overrides: [].into() }
    }

    /// Servers by their last number, with their weights: 10.0.0.NUMBER:80; a backup has a minus before its weight.
    fn wanted(servers: &[(u8, i32)]) -> Vec<(Destination, u32, bool)> {
        let one = |&(number, weight): &(u8, i32)| {
            (destination(&format!("10.0.0.{number}:80")), weight.unsigned_abs(), weight < 0)
        };
        servers.iter().map(one).collect()
    }

    fn group(balance: Balance, servers: &[(u8, i32)]) -> Group {
        let settings = GroupSettings { balance, eject: Some(EJECT), ..GroupSettings::default() };
        let group = Group::new("db".into(), false, settings);
        group.set_members(&wanted(servers), &[], false);
        group
    }

    fn number(server: &Server) -> u8 {
        let address = server.address();
        address.strip_prefix("10.0.0.").unwrap().strip_suffix(":80").unwrap().parse().unwrap()
    }

    fn source(number: usize) -> IpAddr {
        IpAddr::from([192, 0, (number >> 8) as u8, number as u8])
    }

    fn server(group: &Group, wanted: u8) -> Arc<Server> {
        let members = group.members();
        members.into_iter().find(|member| number(&member.server) == wanted).unwrap().server
    }

    fn choose(group: &Group) -> u8 {
        number(&group.choose(None, &[]).unwrap().server)
    }

    /// How many of many sessions, each of which ends at once, go to which server.
    fn spread(group: &Group) -> BTreeMap<u8, usize> {
        let mut spread = BTreeMap::new();
        for at in 0..CHOICES {
            let place = group.choose(Some(source(at)), &[]).unwrap();
            *spread.entry(number(&place.server)).or_default() += 1;
        }
        spread
    }

    /// Fails if a server's part differs from its weight's by more than that many percent of it.
    #[track_caller]
    fn assert_balanced(spread: &BTreeMap<u8, usize>, weights: &[(u8, i32)], percent: f64) {
        let total: i32 = weights.iter().map(|(_, weight)| weight).sum();
        for (number, weight) in weights {
            let due = CHOICES as f64 * f64::from(*weight) / f64::from(total);
            let got = spread.get(number).copied().unwrap_or(0) as f64;
            assert!((got - due).abs() <= due * percent / 100.0, "{number} has {got} of {due}: {spread:?}");
        }
    }

    fn fail_check(server: &Server) -> Option<Change> {
        server.note_check(Err("connect refused".into()), 1, 1)
    }

    fn pass_check(server: &Server) -> Option<Change> {
        server.note_check(Ok(()), 1, 1)
    }

    /// Connects that fail until the server is set aside, and for how long.
    fn fail_connects(group: &Group, server: &Arc<Server>) -> (usize, Option<Duration>) {
        for count in 1..=10 {
            if let Some(Change::Ejected(time, _)) = group.note_failed(server, "connect refused") {
                return (count, Some(time));
            }
        }
        (10, None)
    }

    /// Has the time that a server is set aside for pass.
    fn end_ejection(server: &Server) {
        let mut state = server.past.state.lock();
        let (until, _) = state.ejected.as_mut().unwrap();
        *until = Instant::now();
    }

    #[test]
    fn turns_are_smooth_as_those_of_nginx() {
        let group = group(Balance::RoundRobin, &[(1, 5), (2, 1), (3, 1)]);
        let turns: Vec<u8> = (0..14).map(|_| choose(&group)).collect();
        assert_eq!(turns, [1, 1, 2, 1, 3, 1, 1, 1, 1, 2, 1, 3, 1, 1]);
    }

    #[test]
    fn sessions_go_to_servers_by_their_weights() {
        let weights = [(1, 1), (2, 2), (3, 7)];
        for (balance, percent) in [(Balance::RoundRobin, 0.1), (Balance::LeastSessions, 0.1)] {
            assert_balanced(&spread(&group(balance, &weights)), &weights, percent);
        }
        // By chance: of a tenth of the sessions, the standard deviation is 3 %.
        let group = group(Balance::TwoChoices, &weights);
        assert_balanced(&spread(&group), &weights, 6.0);
    }

    #[test]
    fn long_sessions_go_to_servers_by_their_weights() {
        for balance in [Balance::RoundRobin, Balance::LeastSessions, Balance::TwoChoices] {
            let weights = [(1, 1), (2, 2), (3, 7)];
            let group = group(balance, &weights);
            let places: Vec<_> = (0..CHOICES).map(|_| group.choose(None, &[]).unwrap()).collect();
            let live = group.members().iter().map(|one| (number(&one.server), one.server.live())).collect();
            assert_balanced(&live, &weights, 2.0);
            drop(places);
            assert!(group.members().iter().all(|one| one.server.live() == 0), "{balance:?}");
        }
    }

    #[test]
    fn the_least_loaded_server_for_its_weight_is_chosen_and_equal_ones_take_turns() {
        let group = group(Balance::LeastSessions, &[(1, 1), (2, 1), (3, 2)]);
        let turns: Vec<u8> = (0..4).map(|_| choose(&group)).collect();
        assert_eq!(turns, [3, 1, 2, 3], "all are idle");
        let mut places: Vec<_> = (0..4).map(|_| group.choose(None, &[]).unwrap()).collect();
        let live = |places: &[Place]| {
            let mut live: Vec<u8> = places.iter().map(|place| number(&place.server)).collect();
            live.sort_unstable();
            live
        };
        assert_eq!(live(&places), [1, 2, 3, 3]);
        places.retain(|place| number(&place.server) != 2);
        let next = group.choose(None, &[]).unwrap();
        assert_eq!(number(&next.server), 2, "{}", next.why);
        assert_eq!(next.why, "least sessions: 0/1 of 1/1, 0/1, 2/2");
    }

    #[test]
    fn a_source_keeps_its_server_while_others_come_and_go() {
        let all = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)];
        let map = |group: &Group| -> Vec<u8> {
            let server = |at| number(&group.choose(Some(source(at)), &[]).unwrap().server);
            (0..CHOICES).map(server).collect()
        };
        let group = group(Balance::Source, &all);
        let before = map(&group);
        assert_balanced(&spread(&group), &all, 5.0);
        fail_check(&server(&group, 3));
        let without = map(&group);
        for (at, (before, without)) in before.iter().zip(&without).enumerate() {
            assert!(*without != 3 && (*before == 3 || before == without), "{at}: {before}, {without}");
        }
        pass_check(&server(&group, 3));
        assert_eq!(map(&group), before, "they come back");
        group.set_members(&wanted(&[(5, 1), (4, 1), (3, 1), (2, 1), (1, 1)]), &[], false);
        assert_eq!(map(&group), before, "the order does not count");
        group.set_members(&wanted(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]), &[], false);
        for (before, with) in before.iter().zip(&map(&group)) {
            assert!(*with == 6 || with == before, "only to the new one");
        }
    }

    #[test]
    fn sources_are_spread_by_weights_and_the_mapped_form_of_an_address_is_that_address() {
        let weights = [(1, 1), (2, 2), (3, 7)];
        let group = group(Balance::Source, &weights);
        assert_balanced(&spread(&group), &weights, 8.0);
        for at in 0..100 {
            let IpAddr::V4(v4) = source(at) else { unreachable!() };
            let mapped = IpAddr::V6(v4.to_ipv6_mapped());
            let [one, other] =
                [mapped, v4.into()].map(|ip| number(&group.choose(Some(ip), &[]).unwrap().server));
            assert_eq!(one, other);
        }
    }

    #[test]
    fn of_two_choices_the_less_loaded_is_taken() {
        let group = group(Balance::TwoChoices, &[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let _places: Vec<_> = (0..400).map(|_| group.choose(None, &[]).unwrap()).collect();
        // Purely by chance the difference would be some 40.
        let live: Vec<usize> = group.members().iter().map(|one| one.server.live()).collect();
        assert!(live.iter().max().unwrap() - live.iter().min().unwrap() <= 8, "{live:?}");
    }

    #[test]
    fn a_backup_serves_only_if_no_other_is_up() {
        let group = group(Balance::RoundRobin, &[(1, 1), (9, -1), (2, 1)]);
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [1, 2]);
        fail_check(&server(&group, 1));
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [2]);
        fail_check(&server(&group, 2));
        let place = group.choose(None, &[]).unwrap();
        assert_eq!((number(&place.server), place.is_last_resort), (9, false));
        let why = "the only one, a backup; 10.0.0.1:80 down 0 s: connect refused; 10.0.0.2:80 down 0 s: ";
        assert!(place.why.starts_with(why), "{}", place.why);
        pass_check(&server(&group, 2));
        assert_eq!(choose(&group), 2);
    }

    #[test]
    fn a_backup_is_tried_after_all_others_failed_for_this_session() {
        let group = group(Balance::RoundRobin, &[(9, -1), (1, 1), (2, 1)]);
        let mut tried = Vec::new();
        while let Some(place) = group.choose(None, &tried) {
            tried.push(place.server.clone());
        }
        assert_eq!(tried.iter().map(|one| number(one)).collect::<Vec<_>>(), [1, 2, 9]);
        assert!(group.has_more(&tried[..2]) && !group.has_more(&tried));
    }

    #[test]
    fn the_last_resort_is_first_who_is_unknown_then_who_is_set_aside_then_who_is_down() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1), (8, -1)]);
        fail_check(&server(&group, 1));
        assert_eq!(fail_connects(&group, &server(&group, 2)), (3, Some(EJECT.time)));
        fail_check(&server(&group, 8));
        group.set_members(&wanted(&[(1, 1), (2, 1), (8, -1), (3, 1), (4, 1)]), &[], true);
        server(&group, 4).set_admin(Some(Admin::Maintenance));
        let mut tried = Vec::new();
        while let Some(place) = group.choose(None, &tried) {
            assert!(place.is_last_resort);
            tried.push(place.server.clone());
        }
        let order: Vec<u8> = tried.iter().map(|one| number(one)).collect();
        assert_eq!(order, [3, 2, 1, 8], "and never who is in maintenance");
        assert_eq!(group.order(None).iter().map(|one| number(one)).collect::<Vec<_>>(), order);
    }

    #[test]
    fn to_ask_for_the_order_changes_no_turn() {
        let group = group(Balance::RoundRobin, &[(1, 5), (2, 1), (3, 1)]);
        let mut turns = Vec::new();
        for _ in 0..7 {
            let order: Vec<u8> = group.order(None).iter().map(|one| number(one)).collect();
            assert_eq!(order.len(), 3);
            turns.push(choose(&group));
            assert_eq!(order[0], turns[turns.len() - 1]);
        }
        assert_eq!(turns, [1, 1, 2, 1, 3, 1, 1]);
    }

    #[test]
    fn three_failed_connects_in_a_row_set_a_server_aside_and_each_time_for_twice_as_long() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let server = server(&group, 1);
        group.note_failed(&server, "connect refused");
        group.note_failed(&server, "connect refused");
        group.note_connected(&server);
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(fail_connects(&group, &server), (3, Some(Duration::from_secs(seconds))));
            assert_eq!(server.standing(Instant::now()).name(), "ejected");
            assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [2]);
            assert_eq!(fail_connects(&group, &server), (10, None), "those that were under way do not count");
            end_ejection(&server);
            server.past.state.lock().failures = 0;
            assert_eq!(server.standing(Instant::now()), Standing::Up);
        }
        group.note_connected(&server);
        assert_eq!(fail_connects(&group, &server), (3, Some(EJECT.time)), "a success begins anew");
    }

    #[test]
    fn a_session_counts_for_the_server_that_it_reaches() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let first = group.choose(None, &[]).unwrap().server;
        group.note_failed(&first, "connect refused");
        let second = group.choose(None, std::slice::from_ref(&first)).unwrap().server;
        group.note_connected(&second);
        assert_eq!([first.sessions(), second.sessions()], [0, 1]);
    }

    #[test]
    fn the_last_server_is_never_set_aside() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1), (3, 1)]);
        let [one, two, three] = [1, 2, 3].map(|number| server(&group, number));
        fail_check(&one);
        assert_eq!(fail_connects(&group, &two).1, Some(EJECT.time));
        assert_eq!(fail_connects(&group, &three), (10, None), "of the others, one is down and one set aside");
        pass_check(&one);
        assert_eq!(fail_connects(&group, &three).1, Some(EJECT.time));
    }

    #[test]
    fn a_server_that_a_check_took_down_is_not_set_aside_beside_that() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let one = server(&group, 1);
        fail_check(&one);
        assert_eq!(fail_connects(&group, &one), (10, None));
        assert_eq!(pass_check(&one), Some(Change::Up));
        assert_eq!(one.standing(Instant::now()), Standing::Up);
    }

    #[test]
    fn a_good_check_ends_the_time_aside_and_says_so() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let one = server(&group, 1);
        fail_connects(&group, &one);
        assert_eq!(one.note_check(Ok(()), 3, 2), Some(Change::Up));
        assert_eq!(one.standing(Instant::now()), Standing::Up);
        assert_eq!(one.note_check(Ok(()), 3, 2), None);
        assert_eq!(fail_connects(&group, &one), (3, Some(EJECT.time)), "it begins anew");
    }

    #[test]
    fn without_an_ejection_no_server_is_set_aside() {
        let mut group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        group.settings.eject = None;
        assert_eq!(fail_connects(&group, &server(&group, 1)), (10, None));
    }

    #[test]
    fn so_many_checks_in_a_row_change_the_state() {
        let group = group(Balance::RoundRobin, &[(1, 1)]);
        let one = server(&group, 1);
        let mut note = |is_good: bool| {
            let result = if is_good { Ok(()) } else { Err("no answer within 1 s".to_owned()) };
            one.note_check(result, 3, 2).map(|change| change.name())
        };
        let good_ends_a_row = [false, false, true, false, false].map(&mut note);
        assert_eq!(good_ends_a_row, [None; 5]);
        assert_eq!(note(false), Some("down"));
        assert_eq!([false, true, false, true].map(&mut note), [None; 4]);
        assert_eq!(note(true), Some("up"));
    }

    #[test]
    fn a_new_server_waits_for_its_first_check_unless_no_other_is_up() {
        let group = group(Balance::RoundRobin, &[(1, 1)]);
        group.set_members(&wanted(&[(1, 1), (2, 1), (3, 1)]), &[], true);
        assert_eq!(server(&group, 1).standing(Instant::now()), Standing::Up);
        assert_eq!(server(&group, 2).standing(Instant::now()), Standing::Awaited);
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [1]);
        assert_eq!(server(&group, 2).note_check(Ok(()), 3, 2), Some(Change::Up), "the first counts");
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(server(&group, 3).note_check(Err("x".into()), 3, 2), Some(Change::Down("x".into())));
        for number in [1, 2] {
            server(&group, number).set_admin(Some(Admin::Draining));
        }
        group.set_members(&wanted(&[(1, 1), (2, 1), (3, 1), (4, 1)]), &[], true);
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_server_that_recovers_grows_to_its_weight() {
        let mut group = group(Balance::RoundRobin, &[(1, 10), (2, 10)]);
        let time = Duration::from_secs(3600);
        group.settings.slow_start = Some(time);
        let one = server(&group, 1);
        let part = || {
            let spread = spread(&group);
            spread.get(&1).copied().unwrap_or(0) as f64 / spread[&2] as f64
        };
        assert!((part() - 1.0).abs() < 0.01, "not at the start");
        fail_check(&one);
        pass_check(&one);
        for (gone, percent) in [(0.0, 10.0), (0.5, 55.0), (0.9, 91.0), (1.0, 100.0), (2.0, 100.0)] {
            one.past.state.lock().recovered = Instant::now().checked_sub(time.mul_f64(gone));
            assert!((part() * 100.0 - percent).abs() < 1.5, "{} after {gone}: {}", percent, part() * 100.0);
        }
    }

    #[test]
    fn a_new_server_has_its_whole_weight_at_its_first_good_check() {
        let mut group = group(Balance::RoundRobin, &[(1, 1)]);
        group.settings.slow_start = Some(Duration::from_secs(3600));
        group.set_members(&wanted(&[(1, 1), (2, 1)]), &[], true);
        pass_check(&server(&group, 2));
        assert_balanced(&spread(&group), &[(1, 1), (2, 1)], 0.1);
    }

    #[test]
    fn an_operator_takes_a_server_out_and_gives_it_back() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let one = server(&group, 1);
        for (admin, name) in [(Admin::Draining, "draining"), (Admin::Maintenance, "maintenance")] {
            one.set_admin(Some(admin));
            assert_eq!(one.standing(Instant::now()).name(), name);
            assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [2]);
            pass_check(&one);
            assert_eq!(one.standing(Instant::now()).name(), name, "a check does not change that");
        }
        server(&group, 2).set_admin(Some(Admin::Draining));
        assert!(group.choose(None, &[]).is_none() && !group.has_more(&[]), "not even as a last resort");
        one.set_admin(None);
        assert_eq!(choose(&group), 1);
        server(&group, 2).set_admin(None);
        fail_connects(&group, &one);
        one.set_admin(None);
        assert_eq!(one.standing(Instant::now()), Standing::Up, "an operator ends the time aside too");
    }

    #[test]
    fn a_server_that_leaves_keeps_its_sessions_and_is_shown_until_the_last_ends() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1), (3, 1)]);
        let place = group.choose(None, &[]).unwrap();
        assert_eq!(number(&place.server), 1);
        let (came, left) = group.set_members(&wanted(&[(3, 1), (4, 1)]), &[], false);
        assert_eq!(came, ["10.0.0.4:80"]);
        assert_eq!(left, ["10.0.0.1:80", "10.0.0.2:80"]);
        let shown = || -> Vec<(u8, &str)> {
            group.servers().iter().map(|(one, standing)| (number(one), standing.name())).collect()
        };
        assert_eq!(shown(), [(3, "up"), (4, "up"), (1, "leaving")]);
        assert_eq!(spread(&group).into_keys().collect::<Vec<_>>(), [3, 4]);
        drop(place);
        assert_eq!(shown(), [(3, "up"), (4, "up")]);
    }

    #[test]
    fn states_are_kept_by_address() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let place = group.choose(None, &[]).unwrap();
        group.note_connected(&place.server);
        fail_check(&server(&group, 1));
        group.set_members(&wanted(&[(2, 7), (1, -2)]), &[], true);
        let one = server(&group, 1);
        assert_eq!((one.standing(Instant::now()).name(), one.live(), one.sessions()), ("down", 1, 1));
        group.set_members(&wanted(&[(2, 1)]), &[], true);
        group.set_members(&wanted(&[(1, 1)]), &[], true);
        assert!(Arc::ptr_eq(&one, &server(&group, 1)), "it comes back while it is leaving");
        let other = Group::new("other".into(), false, GroupSettings::default());
        let known: Vec<_> = group.servers().into_iter().map(|(server, _)| server).collect();
        other.set_members(&wanted(&[(7, 1), (1, 1)]), &known, true);
        assert!(Arc::ptr_eq(&one, &server(&other, 1)), "a new group knows it too");
        assert_eq!(server(&other, 7).standing(Instant::now()), Standing::Awaited);
        drop(place);
        assert_eq!(one.live(), 0);
    }

    #[test]
    fn a_server_keeps_its_state_and_its_turn_if_its_name_is_resolved_in_another_way() {
        let group = group(Balance::RoundRobin, &[(1, 1), (2, 1)]);
        let _place = group.choose(None, &[]).unwrap();
        server(&group, 1).set_admin(Some(Admin::Maintenance));
        let mut next = wanted(&[(1, 1), (2, 1)]);
        let address = "10.9.9.9".parse().unwrap();
        let other = Override { host: "a".into(), port: 1, addresses: vec![address] };
        next.iter_mut().for_each(|(destination, ..)| destination.overrides = [other.clone()].into());
        assert_eq!(group.set_members(&next, &[], true), (Vec::new(), Vec::new()));
        let shown = group.servers();
        assert_eq!(shown.len(), 2, "none of them left");
        assert_eq!((shown[0].1.name(), shown[0].0.live()), ("maintenance", 1));
        assert_eq!(shown[1].1, Standing::Up);
        assert!(shown.iter().all(|(one, _)| one.destination.overrides[..] == [other.clone()]));
        let former = server(&group, 2);
        group.set_members(&wanted(&[(2, 1), (1, 1)]), &[], true);
        assert!(!group.has_more(std::slice::from_ref(&former)), "it was tried, as it was reached before");
        assert_eq!(fail_connects(&group, &former), (10, None), "it is the last one");
    }

    #[test]
    fn an_address_that_is_named_twice_is_one_server() {
        let group = group(Balance::RoundRobin, &[(1, 1), (1, 3), (2, 1)]);
        assert_eq!(group.members().len(), 2);
        assert_eq!(group.members()[0].weight, 1);
    }

    #[test]
    fn retries_are_counted_and_refusals_cost_none_if_the_number_is_not_given() {
        let mut group = group(Balance::RoundRobin, &[(1, 1)]);
        assert!(group.may_try(50, 0) && group.may_try(3, RETRIES) && !group.may_try(3, RETRIES + 1));
        group.settings.retries = Some(1);
        assert!(group.may_try(1, 1) && !group.may_try(2, 0));
    }

    #[test]
    fn without_members_there_is_no_choice() {
        let group = group(Balance::Source, &[]);
        assert!(group.choose(None, &[]).is_none() && group.order(None).is_empty());
        assert!(group.reserve().unwrap().is_none());
    }
}
