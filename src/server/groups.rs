//! The groups of a plan's upstreams, and the listeners that lead to them, as sessions know both.

use crate::{
    net::{
        address::{Address, EscapedAddress},
        options::Options,
        tls::server::ServerTls,
    },
    report::format::{Dump, Log},
    runtime::limit::Rate,
    server::plan::{Lead, Plan, PlannedListener, PlannedTarget, PlannedTls, PlannedUpstream},
    session::{
        context::{CurrentDeadlines, Settings},
        faults::set::{FaultGround, FaultSet},
        group::{Group, Server},
        listening::{Listening, Refusals},
        opening::OpeningRules,
        route::{Route, Routes},
        sources::SourceCounts,
        target::Target,
    },
};
use std::sync::Arc;

/// A group for each upstream of a plan.
#[derive(Clone, Default)]
pub struct Groups(Vec<(PlannedUpstream, Arc<Group>)>);

impl Groups {
    /// The groups of `upstreams`. A group that does not change stays; servers keep their states, known by their address:
    /// that in the group of the same name, else that in one which has it no more.
    pub fn new(upstreams: &[PlannedUpstream], before: &Groups) -> Self {
        let mut left: Vec<Arc<Server>> = before.all().flat_map(|group| left_by(group, upstreams)).collect();
        let next = |planned: &PlannedUpstream| {
            let former = before.former(planned, upstreams);
            (planned.clone(), next_group(planned, former, &mut left))
        };
        let groups = Groups(upstreams.iter().map(next).collect());
        let members: Vec<_> = groups.all().flat_map(|group| group.members()).map(|one| one.server).collect();
        for (planned, group) in groups.planned() {
            if let Some((_, former)) = before.former(planned, upstreams)
                && !Arc::ptr_eq(group, former)
            {
                group.inherit(former);
            }
            group.give_up(&members);
        }
        groups
    }

    /// The group that `planned` follows: that of its name; else one that is gone and was discovered in the same way, for no
    /// address tells whose servers a discovered group will have.
    fn former(
        &self,
        planned: &PlannedUpstream,
        upstreams: &[PlannedUpstream],
    ) -> Option<&(PlannedUpstream, Arc<Group>)> {
        let was = |name: &str| self.0.iter().find(|(other, _)| other.name == name);
        if let Some(same) = was(&planned.name) {
            return Some(same);
        }
        // A group that is gone is followed by one.
        let first = upstreams.iter().find(|one| was(&one.name).is_none() && has_same_source(one, planned))?;
        let is_gone = |other: &PlannedUpstream| !upstreams.iter().any(|one| one.name == other.name);
        let mut gone = self.0.iter().filter(|(other, _)| is_gone(other) && has_same_source(other, planned));
        gone.next().filter(|_| first.name == planned.name)
    }

    /// They are in force: what checks said of servers that are not checked any more does not count.
    pub fn begin(&self) {
        let unchecked = self.0.iter().filter(|(planned, _)| planned.check.is_none());
        let members = unchecked.flat_map(|(_, group)| group.members());
        members.for_each(|member| member.server.forget_checks());
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.0.iter().map(|(_, group)| group)
    }

    /// Each with its plan.
    pub fn planned(&self) -> impl Iterator<Item = (&PlannedUpstream, &Arc<Group>)> {
        self.0.iter().map(|(planned, group)| (planned, group))
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Group>> {
        self.all().find(|group| group.name == name)
    }

    /// What a listener leads to; a route to an upstream that the plan does not have refuses. `tls`: what ends TLS, by its name.
    pub fn target(&self, listener: String, planned: &PlannedTarget, tls: &[PlannedTls]) -> Target {
        let routes = match planned {
            PlannedTarget::Echo => return Target::Echo,
            PlannedTarget::Origin => return Target::Origin,
            PlannedTarget::Routes(routes) => routes.iter().map(|route| Route {
                condition: route.condition.clone(),
                tls: ends_tls(route.tls.as_deref(), tls),
                group: match &route.lead {
                    Lead::Upstream(name) => self.find(name).cloned(),
                    Lead::Refuse => None,
                },
            }),
        };
        Target::Upstream(Arc::new(Routes::new(listener, routes.collect())))
    }
}

/// What ends TLS under a name.
fn ends_tls(name: Option<&str>, all: &[PlannedTls]) -> Option<ServerTls> {
    all.iter().find(|one| Some(one.name.as_str()) == name).map(|one| one.tls.clone())
}

/// What all addresses of a listener share.
#[derive(Clone)]
pub struct ListenerState {
    planned: PlannedListener,
    deadlines: Arc<CurrentDeadlines>,
    accept_rate: Option<Arc<Rate>>,
    /// Its own.
    per_source: Option<Arc<SourceCounts>>,
    faults: Arc<FaultSet>,
}

impl ListenerState {
    /// Of a listener that was there before, sources stay counted; if it has not changed, what an operator set stays too.
    pub fn new(
        name: &str,
        planned: &PlannedListener,
        former: Option<&ListenerState>,
        ground: &FaultGround,
    ) -> Self {
        if let Some(former) = former.filter(|former| former.planned == *planned) {
            return former.clone();
        }
        let new = || {
            let faults = FaultSet::new(name.to_owned(), ground.clone());
            // Before its first session.
            faults.follow_file(&planned.faults);
            Arc::new(faults)
        };
        let counts = former.and_then(|former| former.per_source.as_ref());
        ListenerState {
            planned: planned.clone(),
            deadlines: Arc::new(CurrentDeadlines::new(planned.deadlines)),
            accept_rate: planned.accept_rate.map(|rate| Arc::new(Rate::new(rate))),
            per_source: planned.max_per_source.map(|limit| SourceCounts::with_limit(counts, limit)),
            faults: former.map_or_else(new, |former| former.faults.clone()),
        }
    }

    /// What breaks its sessions on purpose.
    pub fn faults(&self) -> &Arc<FaultSet> {
        &self.faults
    }

    /// As it is planned.
    pub fn planned(&self) -> &PlannedListener {
        &self.planned
    }

    /// The listener as the sessions of one of its addresses know it.
    pub fn listening(
        &self,
        plan: &Plan,
        groups: &Groups,
        of_program: Option<&Arc<SourceCounts>>,
        address: Address,
    ) -> Arc<Listening> {
        let planned = &self.planned;
        let name = planned.name.clone().unwrap_or_else(|| EscapedAddress(&address).to_string());
        let shows = planned.dump != Dump::Off && plan.log != Log::Off;
        Arc::new(Listening {
            target: groups.target(name.clone(), &planned.target, &plan.tls),
            name,
            given_name: planned.name.as_deref().map(Arc::from),
            address,
            access: planned.access.clone(),
            opening: OpeningRules {
                accept_proxy: planned.accept_proxy.clone(),
                tls: ends_tls(planned.tls.as_deref(), &plan.tls),
            },
            refusals: Refusals::default(),
            accept_rate: self.accept_rate.clone(),
            per_source: of_program.into_iter().chain(&self.per_source).cloned().collect(),
            faults: self.faults.clone(),
            settings: Settings {
                deadlines: self.deadlines.clone(),
                splice: planned.splice,
                dump_limit: shows.then_some(planned.dump_limit),
                options: options(planned),
            },
        })
    }
}

/// The options of the sockets of a listener's sessions.
pub fn options(planned: &PlannedListener) -> Options {
    let (keepalive, congestion) = (planned.keepalive, planned.congestion.clone());
    Options { keepalive, congestion, ..Options::default() }
}

/// The group of `planned`, which follows `former`. Of the servers that others `left`, it takes those that it has.
fn next_group(
    planned: &PlannedUpstream,
    former: Option<&(PlannedUpstream, Arc<Group>)>,
    left: &mut Vec<Arc<Server>>,
) -> Arc<Group> {
    if let Some((other, group)) = former
        && other == planned
    {
        return group.clone();
    }
    let group = Group::new(planned.name.clone(), planned.is_address, planned.settings.clone());
    // Those of a group that is gone are among the others.
    let own = former.filter(|(other, _)| other.name == planned.name);
    let own: Vec<_> = own.map(|(_, group)| servers(group)).unwrap_or_default();
    let known: Vec<_> = own.iter().chain(&*left).cloned().collect();
    let fixed = planned.servers.iter();
    let mut wanted: Vec<_> =
        fixed.map(|server| (server.destination.clone(), server.weight, server.backup)).collect();
    if let Some((_, former)) = former.filter(|(other, _)| has_same_source(other, planned)) {
        // What was discovered stays until the next answer.
        let members = former.members().into_iter();
        wanted = members.map(|one| (one.server.destination.clone(), one.weight, one.backup)).collect();
    }
    group.set_members(&wanted, &known, planned.check.is_some());
    // A server has one group.
    let members = group.members();
    left.retain(|server| !members.iter().any(|one| one.server.is(server)));
    if planned.discover.is_some() && members.is_empty() {
        group.remember(own);
    }
    Arc::new(group)
}

/// Whether both are discovered, and in the same way.
fn has_same_source(one: &PlannedUpstream, other: &PlannedUpstream) -> bool {
    let source = |of: &PlannedUpstream| of.discover.as_ref().map(|discover| discover.source.clone());
    source(one).is_some() && source(one) == source(other)
}

fn servers(group: &Arc<Group>) -> Vec<Arc<Server>> {
    group.servers().into_iter().map(|(server, _)| server).collect()
}

/// The servers of a group that it has no more among the `upstreams` that come.
fn left_by(group: &Arc<Group>, upstreams: &[PlannedUpstream]) -> Vec<Arc<Server>> {
    let next = upstreams.iter().find(|next| next.name == group.name);
    let has = |planned: &PlannedUpstream, server: &Server| {
        let mut all = planned.servers.iter();
        planned.discover.is_some() || all.any(|one| one.destination.endpoint == server.destination.endpoint)
    };
    let mut all = servers(group);
    all.retain(|server| !next.is_some_and(|next| has(next, server)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::dial::{Destination, Override},
        server::plan::{Check, Discover, PlannedServer, REFRESH, ServerSource},
        session::group::{Admin, GroupSettings, Standing},
    };
    use std::time::Instant;

    fn planned(name: &str, ports: &[u16]) -> PlannedUpstream {
        let server = |port: &u16| PlannedServer {
            destination: Destination {
                endpoint: format!("10.0.0.1:{port}").parse().unwrap(),
                overrides: [].into(),
            },
            weight: 1,
            backup: false,
        };
        PlannedUpstream {
            name: name.into(),
            is_address: false,
            servers: ports.iter().map(server).collect(),
            discover: None,
            settings: GroupSettings::default(),
            check: Some(Check::default()),
        }
    }

    fn server(groups: &Groups, name: &str, at: usize) -> Arc<Server> {
        groups.find(name).unwrap().members()[at].server.clone()
    }

    #[test]
    fn a_server_keeps_its_state_over_every_change_of_its_group_and_with_it_into_another() {
        let before = Groups::new(&[planned("a", &[1, 2])], &Groups::default());
        let (one, two) = (server(&before, "a", 0), server(&before, "a", 1));
        one.note_check(Err("x".into()), 1, 1);
        let same = Groups::new(&[planned("a", &[1, 2])], &before);
        assert!(Arc::ptr_eq(before.find("a").unwrap(), same.find("a").unwrap()), "nothing has changed");
        let changed = Groups::new(&[planned("a", &[3, 1])], &same);
        assert!(Arc::ptr_eq(&server(&changed, "a", 1), &one));
        assert!(matches!(one.standing(Instant::now()), Standing::Down { .. }));
        let renamed = Groups::new(&[planned("b", &[1, 2])], &before);
        assert!(Arc::ptr_eq(&server(&renamed, "b", 0), &one) && Arc::ptr_eq(&server(&renamed, "b", 1), &two));
        let moved = Groups::new(&[planned("a", &[2]), planned("b", &[1])], &before);
        assert!(Arc::ptr_eq(&server(&moved, "b", 0), &one) && Arc::ptr_eq(&server(&moved, "a", 0), &two));
    }

    fn discovered(name: &str, source: &str) -> PlannedUpstream {
        let source = ServerSource::Srv { name: source.into() };
        let discover = Discover { source, refresh: REFRESH, resolver: None };
        PlannedUpstream { discover: Some(discover), ..planned(name, &[]) }
    }

    /// Has discovery find these.
    fn find(groups: &Groups, name: &str, ports: &[u16]) {
        let found: Vec<_> =
            planned("", ports).servers.into_iter().map(|one| (one.destination, 1, false)).collect();
        groups.find(name).unwrap().set_members(&found, &[], true);
    }

    #[test]
    fn a_server_keeps_its_state_if_its_name_is_resolved_in_another_way_also_in_another_group() {
        let before = Groups::new(&[planned("a", &[1])], &Groups::default());
        server(&before, "a", 0).set_admin(Some(Admin::Maintenance));
        let overrides: Arc<[_]> = [Override { host: "x".into(), port: 1, addresses: Vec::new() }].into();
        for name in ["a", "b"] {
            let mut other = planned(name, &[1]);
            other.servers[0].destination.overrides = overrides.clone();
            let after = Groups::new(&[other], &before);
            assert_eq!(server(&after, name, 0).standing(Instant::now()), Standing::Maintenance);
            assert_eq!(server(&after, name, 0).destination.overrides, overrides);
        }
    }

    #[test]
    fn discovered_servers_keep_their_states_if_the_group_has_another_name_or_another_source() {
        let before = Groups::new(&[discovered("a", "x.test")], &Groups::default());
        find(&before, "a", &[1, 2]);
        let two = server(&before, "a", 1);
        two.set_admin(Some(Admin::Maintenance));
        let renamed = Groups::new(&[discovered("c", "y.test"), discovered("b", "x.test")], &before);
        assert!(server(&renamed, "b", 1).is(&two), "it is there at once");
        assert!(renamed.find("c").unwrap().members().is_empty());
        for (moved, name) in [(renamed, "b"), (Groups::new(&[discovered("a", "y.test")], &before), "a")] {
            find(&moved, name, &[3, 2]);
            assert!(server(&moved, name, 1).is(&two));
        }
        let split = Groups::new(&[discovered("b", "x.test"), discovered("c", "x.test")], &before);
        assert!(server(&split, "b", 1).is(&two) && split.find("c").unwrap().members().is_empty());
    }

    #[test]
    fn a_server_that_moves_into_another_group_is_shown_only_there() {
        let before = Groups::new(&[planned("a", &[1, 2]), planned("b", &[3])], &Groups::default());
        let one = server(&before, "a", 0);
        one.note_check(Ok(()), 1, 1);
        let _place = before.find("a").unwrap().choose(None, &[]).unwrap();
        assert_eq!(one.live(), 1);
        let shown = |groups: &Groups, name: &str| -> Vec<String> {
            let servers = groups.find(name).unwrap().servers().into_iter();
            servers.map(|(server, standing)| format!("{} {}", server.address(), standing.name())).collect()
        };
        let gone = Groups::new(&[planned("a", &[2]), planned("b", &[3])], &before);
        assert_eq!(shown(&gone, "a"), ["10.0.0.1:2 down", "10.0.0.1:1 leaving"]);
        for before in [before, gone] {
            let moved = Groups::new(&[planned("a", &[2]), planned("b", &[3, 1])], &before);
            assert_eq!(shown(&moved, "a"), ["10.0.0.1:2 down"]);
            assert_eq!(shown(&moved, "b"), ["10.0.0.1:3 down", "10.0.0.1:1 up"]);
        }
    }

    #[test]
    fn two_groups_never_share_a_server() {
        let before = Groups::new(&[planned("a", &[1])], &Groups::default());
        let one = server(&before, "a", 0);
        let both = Groups::new(&[planned("b", &[1]), planned("a", &[1, 2])], &before);
        assert!(Arc::ptr_eq(&server(&both, "a", 0), &one) && !Arc::ptr_eq(&server(&both, "b", 0), &one));
        let split = Groups::new(&[planned("c", &[1]), planned("d", &[1])], &before);
        assert!(Arc::ptr_eq(&server(&split, "c", 0), &one) && !Arc::ptr_eq(&server(&split, "d", 0), &one));
    }

    #[test]
    fn servers_that_are_checked_no_more_count_as_up() {
        let before = Groups::new(&[planned("a", &[1])], &Groups::default());
        server(&before, "a", 0).note_check(Err("x".into()), 1, 1);
        let unchecked = PlannedUpstream { check: None, ..planned("a", &[1]) };
        let after = Groups::new(&[unchecked], &before);
        assert_ne!(server(&after, "a", 0).standing(Instant::now()), Standing::Up, "it is not in force yet");
        after.begin();
        assert_eq!(server(&after, "a", 0).standing(Instant::now()), Standing::Up);
    }
}
