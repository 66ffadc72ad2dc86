//! What a reload changes, in words: one line for each listener, upstream and server that is another one afterwards.

use crate::{
    net::{
        dial::Override,
        tls::{
            client::{ClientTls, ClientTlsFiles},
            files::CertificatePair,
            server::{ClientCertificates, ServerTlsFiles},
        },
    },
    server::plan::{
        Check, Lead, Plan, PlannedListener, PlannedRoute, PlannedServer, PlannedTarget, PlannedUpstream,
    },
    session::{
        faults::fault::FaultPlan,
        group::{Eject, GroupSettings, RETRIES},
    },
    text::{escape::Escaped, units::duration},
};
use std::{collections::BTreeSet, fmt::Display, path::PathBuf, time::Duration};

/// The lines of a change from `old` to `new`; none if nothing changes.
pub fn changes(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    whole_program(old, new, &mut lines);
    listeners(old, new, &mut lines);
    certificates(old, new, &mut lines);
    upstreams(old, new, &mut lines);
    lines
}

/// `KEY: 10 to 20`.
fn changed(lines: &mut Vec<String>, key: &str, old: impl Display, new: impl Display) {
    let (old, new) = (old.to_string(), new.to_string());
    if old != new {
        lines.push(format!("{key}: {old} to {new}"));
    }
}

fn time(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "off".to_owned(), duration)
}

fn or_auto(value: Option<impl Display>) -> String {
    value.map_or_else(|| "auto".to_owned(), |value| value.to_string())
}

fn or_off(value: Option<impl Display>) -> String {
    value.map_or_else(|| "off".to_owned(), |value| value.to_string())
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}

fn whole_program(old: &Plan, new: &Plan, lines: &mut Vec<String>) {
    let limit = |plan: &Plan| or_off(plan.max_per_source.map(|limit| limit.sessions));
    let prefix = |plan: &Plan| or_off(plan.max_per_source.map(|limit| limit.prefix));
    changed(lines, "threads", or_auto(old.threads), or_auto(new.threads));
    changed(lines, "max-sessions", or_auto(old.max_sessions), or_auto(new.max_sessions));
    changed(lines, "max-per-source", limit(old), limit(new));
    if old.max_per_source.is_some() && new.max_per_source.is_some() {
        changed(lines, "source-prefix", prefix(old), prefix(new));
    }
    changed(lines, "drain-timeout", time(old.drain_timeout), time(new.drain_timeout));
    changed(lines, "drain-delay", duration(old.drain_delay), duration(new.drain_delay));
    changed(lines, "remember", old.remember, new.remember);
    // A shard looks as it began.
    changed(lines, "seed, from the next start", or_auto(old.seed), or_auto(new.seed));
    changed(lines, "busy-poll, from the next start", time(old.busy_poll), time(new.busy_poll));
    changed(lines, "metrics", or_off(old.metrics.as_ref()), or_off(new.metrics.as_ref()));
    changed(lines, "agent", or_off(old.agent.as_ref()), or_off(new.agent.as_ref()));
    for (key, differs) in [
        ("log", old.log != new.log),
        ("control", old.control != new.control),
        ("group", old.group != new.group),
        ("resolve", resolve(old).zip(resolve(new)).is_some_and(|(old, new)| old != new)),
    ] {
        if differs {
            lines.push(format!("{key}: another one"));
        }
    }
}

/// It holds for every server that is named; none if none is.
fn resolve(plan: &Plan) -> Option<&[Override]> {
    let mut servers = plan.upstreams.iter().flat_map(|upstream| &upstream.servers);
    servers.next().map(|server| &server.destination.overrides[..])
}

fn listener_name(listener: &PlannedListener) -> String {
    let first = || listener.endpoints.first().map(ToString::to_string).unwrap_or_default();
    listener.name.clone().unwrap_or_else(first)
}

fn listeners(old: &Plan, new: &Plan, lines: &mut Vec<String>) {
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    for former in &old.listeners {
        match new.listeners.iter().find(|one| listener_name(one) == listener_name(former)) {
            Some(next) => listener((old, former), (new, next), lines),
            None => gone.push(former),
        }
    }
    for next in &new.listeners {
        if !old.listeners.iter().any(|one| listener_name(one) == listener_name(next)) {
            came.push(next);
        }
    }
    for next in came {
        let name = listener_name(next);
        if let Some(index) = gone.iter().position(|former| former.endpoints == next.endpoints) {
            let former = gone.remove(index);
            lines.push(format!("listener {}: renamed to {name}", listener_name(former)));
            listener((old, former), (new, next), lines);
        } else {
            lines.push(format!("listener {name}: added, on {}", joined(&next.endpoints)));
        }
    }
    for former in gone {
        lines.push(format!(
            "listener {}: removed, from {}",
            listener_name(former),
            joined(&former.endpoints)
        ));
    }
}

/// Each listener stands beside its plan, which has what it leads to.
fn listener(
    (old_plan, old): (&Plan, &PlannedListener),
    (new_plan, new): (&Plan, &PlannedListener),
    lines: &mut Vec<String>,
) {
    let (name, mut own) = (listener_name(new), Vec::new());
    for endpoint in new.endpoints.iter().filter(|one| !old.endpoints.contains(one)) {
        own.push(format!("address {endpoint} added"));
    }
    for endpoint in old.endpoints.iter().filter(|one| !new.endpoints.contains(one)) {
        own.push(format!("address {endpoint} removed"));
    }
    target(&leads(old_plan, &old.target), &leads(new_plan, &new.target), &mut own);
    let limit = |one: &PlannedListener| or_off(one.max_per_source.map(|limit| limit.sessions));
    let mode = |one: &PlannedListener| {
        one.mode.map_or_else(|| "as it comes".to_owned(), |mode| format!("{mode:04o}"))
    };
    changed(&mut own, "mode", mode(old), mode(new));
    changed(&mut own, "allow", nets(&old.access.allow), nets(&new.access.allow));
    changed(&mut own, "deny", nets(&old.access.deny), nets(&new.access.deny));
    changed(&mut own, "accept-proxy", nets(&old.accept_proxy), nets(&new.accept_proxy));
    changed(&mut own, "tls", or_off(old.tls.as_ref()), or_off(new.tls.as_ref()));
    let rate = |one: &PlannedListener| or_off(one.accept_rate.map(|rate| format!("{rate}/s")));
    changed(&mut own, "accept-rate", rate(old), rate(new));
    changed(&mut own, "max-per-source", limit(old), limit(new));
    if let (Some(old), Some(new)) = (old.max_per_source, new.max_per_source) {
        changed(&mut own, "source-prefix", old.prefix, new.prefix);
    }
    changed(&mut own, "backlog", old.backlog, new.backlog);
    let (before, after) = (&old.deadlines, &new.deadlines);
    for (key, old, new) in [
        ("handshake-timeout", before.handshake, after.handshake),
        ("connect-timeout", before.connect, after.connect),
        ("idle-timeout", before.idle, after.idle),
        ("half-close-timeout", before.half_close, after.half_close),
        ("stall-timeout", before.stall, after.stall),
        ("max-lifetime", before.lifetime, after.lifetime),
    ] {
        changed(&mut own, key, time(old), time(new));
    }
    let on = |is_on: bool| if is_on { "auto" } else { "off" };
    changed(&mut own, "splice", on(old.splice), on(new.splice));
    changed(&mut own, "congestion", &old.congestion, &new.congestion);
    changed(&mut own, "dump-limit", old.dump_limit, new.dump_limit);
    for (key, differs) in [("keepalive", old.keepalive != new.keepalive), ("dump", old.dump != new.dump)] {
        if differs {
            own.push(format!("{key}: another one"));
        }
    }
    faults(&old.faults, &new.faults, &mut own);
    lines.extend(own.into_iter().map(|line| format!("listener {name}: {line}")));
}

fn faults(old: &[FaultPlan], new: &[FaultPlan], own: &mut Vec<String>) {
    let find = |plans: &[FaultPlan], name: &str| plans.iter().find(|plan| plan.name == name).cloned();
    for former in old {
        let name = Escaped(former.name.as_bytes());
        match find(new, &former.name) {
            None => own.push(format!("fault {name} removed: {}", former.in_words())),
            Some(next) if next != *former => {
                own.push(format!("fault {name} changed: {}", fault_changes(former, &next).join("; ")));
            }
            Some(_) => {}
        }
    }
    for next in new.iter().filter(|next| find(old, &next.name).is_none()) {
        own.push(format!("fault {} added: {}", Escaped(next.name.as_bytes()), next.in_words()));
    }
}

/// What a fault of the same name says otherwise.
fn fault_changes(old: &FaultPlan, new: &FaultPlan) -> Vec<String> {
    let mut own = Vec::new();
    let what = |plan: &FaultPlan| format!("{} {}", plan.kind.name(), plan.stream.name());
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let values = |plan: &FaultPlan| or(plan.kind.written(&plan.values), "none");
    changed(&mut own, "type", what(old), what(new));
    changed(&mut own, "attributes", values(old), values(new));
    let share = |plan: &FaultPlan| or(plan.toxicity.in_words(), "100%");
    changed(&mut own, "toxicity", share(old), share(new));
    let (scope, schedule) = ("all sessions", "always");
    changed(&mut own, "hits", or(old.scope.in_words(), scope), or(new.scope.in_words(), scope));
    changed(&mut own, "acts", or(old.schedule.in_words(), schedule), or(new.schedule.in_words(), schedule));
    own
}

/// Where a route leads.
#[derive(Clone, Copy)]
struct Led<'p> {
    route: &'p PlannedRoute,
    /// None: it refuses.
    upstream: Option<&'p PlannedUpstream>,
}

impl<'p> Led<'p> {
    /// The upstream if it is a bare address: what is said of that stands in the listener.
    fn address(self) -> Option<&'p PlannedUpstream> {
        self.upstream.filter(|upstream| upstream.is_address)
    }

    /// An upstream as the file names it; of an address, without the manner in which it is spoken to.
    fn shown(self) -> String {
        match (self.address(), &self.route.lead) {
            (Some(upstream), _) => joined(&upstream.servers.iter().map(address).collect::<Vec<_>>()),
            (None, Lead::Upstream(name)) => name.clone(),
            (None, Lead::Refuse) => String::new(),
        }
    }

    fn leads_as(self, other: Led<'_>) -> bool {
        let (route, other_route) = (self.route, other.route);
        route.condition == other_route.condition
            && route.tls == other_route.tls
            && (route.lead == Lead::Refuse) == (other_route.lead == Lead::Refuse)
            && self.shown() == other.shown()
    }

    /// Whether it takes all connections, and passes on what comes.
    fn is_plain(self) -> bool {
        self.route.condition.is_empty() && self.route.tls.is_none() && self.route.lead != Lead::Refuse
    }
}

/// The routes of a target with what they lead to; none of a target that has no routes.
fn leads<'p>(plan: &'p Plan, target: &'p PlannedTarget) -> Vec<Led<'p>> {
    let PlannedTarget::Routes(routes) = target else { return Vec::new() };
    let upstream = |route: &PlannedRoute| match &route.lead {
        Lead::Upstream(name) => plan.upstreams.iter().find(|upstream| upstream.name == *name),
        Lead::Refuse => None,
    };
    routes.iter().map(|route| Led { route, upstream: upstream(route) }).collect()
}

fn target(old: &[Led<'_>], new: &[Led<'_>], own: &mut Vec<String>) {
    let is_same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.leads_as(*new));
    match (old, new) {
        _ if is_same => {}
        ([old], [new]) if old.is_plain() && new.is_plain() => {
            own.push(format!("upstream {} to {}", old.shown(), new.shown()));
        }
        _ => own.push("routes changed".to_owned()),
    }
    let mut told = Vec::new();
    for new in new.iter().filter_map(|led| led.address()) {
        let olds = || old.iter().filter_map(|led| led.address());
        // An address may be there twice, with TLS and without it.
        let is_nearer = |former: &&PlannedUpstream| former.name == new.name;
        let is_there = |former: &&PlannedUpstream| former.servers == new.servers;
        let former = olds().find(is_nearer).or_else(|| olds().find(is_there)).or_else(|| olds().next());
        if let Some(former) = former {
            manner(&former.settings, &new.settings, &mut told);
        }
    }
    let mut known = BTreeSet::new();
    own.extend(told.into_iter().filter(|line| known.insert(line.clone())));
}

/// How the addresses of a listener are spoken to.
fn manner(old: &GroupSettings, new: &GroupSettings, own: &mut Vec<String>) {
    changed(own, "send-proxy", or_off(old.send_proxy), or_off(new.send_proxy));
    match (&old.tls, &new.tls) {
        (Some(old), Some(new)) => client_tls(old, new, ["upstream-tls", "upstream-ca", "upstream-name"], own),
        (old, new) => changed(own, "upstream-tls", on_or_off(old.is_some()), on_or_off(new.is_some())),
    }
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// What is said otherwise of TLS to servers; `keys` are those of all of it, of the authorities, and of the name.
fn client_tls(old: &ClientTls, new: &ClientTls, [all, ca, name]: [&str; 3], own: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (before, after) = (old.files(), new.files());
    let authorities = |files: &ClientTlsFiles| {
        files.ca.as_ref().map_or_else(|| "the system's".to_owned(), |path| path.display().to_string())
    };
    let expected = |files: &ClientTlsFiles| files.name.clone().unwrap_or_else(|| "the server's".to_owned());
    changed(own, ca, authorities(before), authorities(after));
    changed(own, name, expected(before), expected(after));
    let rest = |files: &ClientTlsFiles| ClientTlsFiles { ca: None, name: None, ..files.clone() };
    if before == after || rest(before) != rest(after) {
        own.push(format!("{all}: another one, or other certificates"));
    }
}

fn certificates(old: &Plan, new: &Plan, lines: &mut Vec<String>) {
    for former in &old.tls {
        let name = &former.name;
        match new.tls.iter().find(|next| next.name == *name) {
            None => lines.push(format!("tls {name}: removed")),
            Some(next) if next.files != former.files => {
                let files = former.files.as_ref().zip(next.files.as_ref());
                let own =
                    files.map_or_else(|| vec!["another one".to_owned()], |(old, new)| tls_files(old, new));
                lines.extend(own.into_iter().map(|line| format!("tls {name}: {line}")));
            }
            Some(next) if next.tls != former.tls => lines.push(format!("tls {name}: certificates renewed")),
            Some(_) => {}
        }
    }
    let came = new.tls.iter().filter(|next| !old.tls.iter().any(|former| former.name == next.name));
    lines.extend(came.map(|next| format!("tls {}: added", next.name)));
}

/// What the keys of a table of TLS say otherwise.
fn tls_files(old: &ServerTlsFiles, new: &ServerTlsFiles) -> Vec<String> {
    let mut own = Vec::new();
    let paths = |files: &ServerTlsFiles, of: fn(&CertificatePair) -> &PathBuf| {
        joined(&files.pairs.iter().map(|pair| of(pair).display()).collect::<Vec<_>>())
    };
    let ca =
        |files: &ServerTlsFiles| or_none(files.client_ca.as_ref().map(|path| path.display().to_string()));
    let wanted = |files: &ServerTlsFiles| match files.client_cert {
        ClientCertificates::Required => "required",
        ClientCertificates::Optional => "optional",
    };
    changed(&mut own, "cert", paths(old, |pair| &pair.cert), paths(new, |pair| &pair.cert));
    changed(&mut own, "key", paths(old, |pair| &pair.key), paths(new, |pair| &pair.key));
    changed(&mut own, "client-ca", ca(old), ca(new));
    changed(&mut own, "client-cert", wanted(old), wanted(new));
    let alpn = |files: &ServerTlsFiles| or_none((!files.alpn.is_empty()).then(|| joined(&files.alpn)));
    changed(&mut own, "alpn", alpn(old), alpn(new));
    own
}

fn upstreams(old: &Plan, new: &Plan, lines: &mut Vec<String>) {
    let named = |plan: &Plan| -> Vec<PlannedUpstream> {
        plan.upstreams.iter().filter(|one| !one.is_address).cloned().collect()
    };
    let (old, new) = (named(old), named(new));
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    for former in &old {
        match new.iter().find(|one| one.name == former.name) {
            Some(next) => upstream(former, next, lines),
            None => gone.push(former),
        }
    }
    came.extend(new.iter().filter(|next| !old.iter().any(|one| one.name == next.name)));
    for next in came {
        let is_same =
            |former: &&&PlannedUpstream| former.servers == next.servers && former.discover == next.discover;
        if let Some(index) = gone.iter().position(|former| is_same(&former)) {
            let former = gone.remove(index);
            lines.push(format!("upstream {}: renamed to {}", former.name, next.name));
            upstream(former, next, lines);
        } else {
            let servers: Vec<String> = next.servers.iter().map(address).collect();
            let with =
                if servers.is_empty() { String::new() } else { format!(", with {}", servers.join(", ")) };
            lines.push(format!("upstream {}: added{with}", next.name));
        }
    }
    for former in gone {
        lines.push(format!("upstream {}: removed", former.name));
    }
}

fn address(server: &PlannedServer) -> String {
    server.destination.endpoint.to_string()
}

fn upstream(old: &PlannedUpstream, new: &PlannedUpstream, lines: &mut Vec<String>) {
    let mut own = Vec::new();
    let addresses =
        |upstream: &PlannedUpstream| upstream.servers.iter().map(address).collect::<BTreeSet<_>>();
    let (before, after) = (addresses(old), addresses(new));
    own.extend(after.difference(&before).map(|one| format!("server {one} added")));
    own.extend(before.difference(&after).map(|one| format!("server {one} removed")));
    for server in &new.servers {
        if let Some(former) = old.servers.iter().find(|one| address(one) == address(server)) {
            let address = address(server);
            changed(&mut own, &format!("server {address} weight"), former.weight, server.weight);
            changed(&mut own, &format!("server {address} backup"), former.backup, server.backup);
        }
    }
    let (was, is) = (&old.settings, &new.settings);
    changed(&mut own, "balance", was.balance.name(), is.balance.name());
    let of_listener = |limit: Option<Duration>| limit.map_or_else(|| "the listener's".to_owned(), duration);
    changed(&mut own, "connect-timeout", of_listener(was.connect_timeout), of_listener(is.connect_timeout));
    changed(&mut own, "retries", was.retries.unwrap_or(RETRIES), is.retries.unwrap_or(RETRIES));
    changed(&mut own, "slow-start", time(was.slow_start), time(is.slow_start));
    let on_down = |cuts: bool| if cuts { "cut" } else { "keep" };
    changed(&mut own, "on-down", on_down(was.cut_on_down), on_down(is.cut_on_down));
    let eject = |eject: Option<Eject>| {
        or_off(eject.map(|eject| format!("{} failures for {}", eject.failures, duration(eject.time))))
    };
    changed(&mut own, "eject", eject(was.eject), eject(is.eject));
    changed(&mut own, "send-proxy", or_off(was.send_proxy), or_off(is.send_proxy));
    match (&was.tls, &is.tls) {
        (Some(old), Some(new)) => client_tls(old, new, ["tls", "tls.ca", "tls.name"], &mut own),
        (old, new) => changed(&mut own, "tls", on_or_off(old.is_some()), on_or_off(new.is_some())),
    }
    check(old.check.as_ref(), new.check.as_ref(), &mut own);
    if old.discover != new.discover {
        own.push("discover: another one".to_owned());
    }
    lines.extend(own.into_iter().map(|line| format!("upstream {}: {line}", new.name)));
}

/// What a check asks; other certificates are told of the upstream.
fn asked(check: &Check) -> (bool, Check) {
    (check.tls.is_some(), Check { tls: None, ..check.clone() })
}

fn check(old: Option<&Check>, new: Option<&Check>, own: &mut Vec<String>) {
    match (old, new) {
        (None, Some(_)) => own.push("check: added".to_owned()),
        (Some(_), None) => own.push("check: removed".to_owned()),
        (Some(old), Some(new)) if asked(old) != asked(new) => own.push("check: another one".to_owned()),
        _ => {}
    }
}

fn nets(networks: &[crate::net::network::Network]) -> String {
    if networks.is_empty() { "none".to_owned() } else { joined(networks) }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{proxy_header::ProxyVersion, tls::server::ServerTls},
        server::plan::PlannedTls,
        session::{
            faults::{fault::Toxicity, kind::FaultKind},
            sources::SourceLimit,
        },
    };
    use std::slice;

    #[test]
    fn what_is_done_with_tls_and_proxy_is_told() {
        let tls = ServerTls::self_signed(&["a.test".to_owned()], &[]).unwrap();
        let files = ServerTlsFiles {
            pairs: vec![CertificatePair { cert: "a.pem".into(), key: "a.key".into() }],
            client_ca: None,
            client_cert: ClientCertificates::Required,
            alpn: Vec::new(),
        };
        let with = |files: &ServerTlsFiles| Plan {
            tls: vec![PlannedTls { name: "www".into(), files: Some(files.clone()), tls: tls.clone() }],
            ..Plan::sample()
        };
        assert_eq!(changes(&Plan::sample(), &with(&files)), ["tls www: added"]);
        assert_eq!(changes(&with(&files), &Plan::sample()), ["tls www: removed"]);
        assert_eq!(changes(&with(&files), &with(&files)), [""; 0]);
        let other = ServerTlsFiles {
            pairs: vec![CertificatePair { cert: "b.pem".into(), key: "a.key".into() }],
            client_ca: Some("ca.pem".into()),
            client_cert: ClientCertificates::Optional,
            alpn: vec!["h2".into(), "http/1.1".into()],
        };
        let expected = [
            "tls www: cert: a.pem to b.pem",
            "tls www: client-ca: none to ca.pem",
            "tls www: client-cert: required to optional",
            "tls www: alpn: none to h2, http/1.1",
        ];
        assert_eq!(changes(&with(&files), &with(&other)), expected);
        let mut renewed = with(&files);
        renewed.tls[0].tls = ServerTls::self_signed(&["b.test".to_owned()], &[]).unwrap();
        assert_eq!(changes(&with(&files), &renewed), ["tls www: certificates renewed"]);
        let mut next = Plan::sample();
        next.listeners[0].target = PlannedTarget::ending_tls(Some("www".into()), "b:80".into());
        next.listeners[0].accept_proxy = vec!["10.0.0.0/8".parse().unwrap()];
        next.listeners[0].deadlines.handshake = Some(Duration::from_secs(3));
        let expected = [
            "listener web: routes changed",
            "listener web: accept-proxy: none to 10.0.0.0/8",
            "listener web: handshake-timeout: 10 s to 3 s",
        ];
        assert_eq!(changes(&Plan::sample(), &next), expected);
        let named = |send_proxy| {
            let mut plan = Plan::sample();
            (plan.upstreams[0].name, plan.upstreams[0].is_address) = ("db".into(), false);
            plan.upstreams[0].settings.send_proxy = send_proxy;
            plan
        };
        let lines = changes(&named(None), &named(Some(ProxyVersion::V2)));
        assert_eq!(lines, ["upstream db: send-proxy: off to v2"]);
    }

    #[test]
    fn faults_that_come_go_and_change_are_told() {
        let with = |faults: &[FaultPlan]| {
            let mut plan = Plan::sample();
            plan.listeners[0].faults = faults.to_vec();
            plan
        };
        let slow = FaultPlan::sample(FaultKind::Latency, [120, 20, 0]);
        let noop = FaultPlan::sample(FaultKind::Noop, [0; 3]);
        let lines = changes(&Plan::sample(), &with(slice::from_ref(&slow)));
        let wanted =
            "listener web: fault latency_downstream added: latency downstream, latency=120ms jitter=20ms";
        assert_eq!(lines, [wanted]);
        let mut slower = slow.clone();
        slower.values[0] = 2_000;
        slower.toxicity = Toxicity::new(0.25).unwrap();
        slower.scope.skip = 3;
        slower.schedule.expires_ms = 30_000;
        let lines = changes(&with(&[slow.clone(), noop.clone()]), &with(&[noop, slower]));
        let wanted = "listener web: fault latency_downstream changed: attributes: latency=120ms jitter=20ms to \
                      latency=2s jitter=20ms; toxicity: 100% to 25%; hits: all sessions to skip 3; \
                      acts: always to for 30s";
        assert_eq!(lines, [wanted]);
        let lines = changes(&with(slice::from_ref(&slow)), &Plan::sample());
        let wanted =
            "listener web: fault latency_downstream removed: latency downstream, latency=120ms jitter=20ms";
        assert_eq!(lines, [wanted]);
        let seeded = Plan { seed: Some(5), ..Plan::sample() };
        assert_eq!(changes(&Plan::sample(), &seeded), ["seed, from the next start: auto to 5"]);
    }

    #[test]
    fn what_makes_a_source_and_what_names_resolve_to_is_told() {
        assert_eq!(changes(&Plan::sample(), &Plan::sample()), [""; 0]);
        let mut next = Plan::sample();
        next.listeners[0].max_per_source = Some(SourceLimit { sessions: 2, prefix: 48 });
        assert_eq!(changes(&Plan::sample(), &next), ["listener web: source-prefix: 64 to 48"]);
        next.listeners[0].max_per_source = None;
        assert_eq!(changes(&Plan::sample(), &next), ["listener web: max-per-source: 2 to off"]);
        let mut next = Plan::sample();
        let other = Override { host: "b".into(), port: 80, addresses: Vec::new() };
        next.upstreams[0].servers[0].destination.overrides = [other].into();
        assert_eq!(changes(&Plan::sample(), &next), ["resolve: another one"]);
        next.upstreams.clear();
        assert_eq!(changes(&Plan::sample(), &next), [""; 0], "no server is named");
    }
}
