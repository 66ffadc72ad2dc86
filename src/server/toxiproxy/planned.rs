//! A proxy of the API in a plan: a listener of its name, and the address that it leads to.

use crate::{
    net::endpoint::{Endpoint, Host},
    server::{
        listener_faults,
        plan::{Lead, Plan, PlannedApi, PlannedListener, PlannedTarget, PlannedUpstream},
        toxiproxy::request::NewProxy,
    },
    session::faults::kind::FaultKind,
    text::safe::SafeText,
};
use std::{
    collections::HashSet,
    net::{SocketAddr, ToSocketAddrs},
};

/// What the address of a UNIX socket begins with.
const UNIX: &str = "unix:";

/// Where a proxy is to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyPlace {
    /// Nowhere yet; there once it is enabled, if that is a place.
    Off(Option<Endpoint>),
    /// Where it does.
    Same,
    At(Endpoint),
}

/// A proxy, as it is to be in a plan.
pub struct ProxyLine {
    pub name: String,
    pub upstream: String,
    pub listen: ProxyPlace,
}

/// Puts proxies in a plan, each in its turn, or in place of the one of its name. `template` is what a listener is beside that.
pub fn put(plan: &mut Plan, template: &PlannedListener, proxies: Vec<ProxyLine>) {
    for ProxyLine { name, upstream, listen } in proxies {
        let upstream = PlannedUpstream::address(upstream_endpoint(&upstream), [].into());
        let target = PlannedTarget::to(upstream.name.clone());
        let place = plan.listeners.iter().position(|one| one.name.as_ref() == Some(&name));
        let former = place.map_or(template, |place| &plan.listeners[place]);
        let enabled = !matches!(listen, ProxyPlace::Off(_));
        let endpoints = match listen {
            ProxyPlace::At(endpoint) | ProxyPlace::Off(Some(endpoint)) => vec![endpoint],
            ProxyPlace::Off(None) | ProxyPlace::Same => former.endpoints.clone(),
        };
        let planned = PlannedListener { name: Some(name), endpoints, target, enabled, ..former.clone() };
        match place {
            Some(place) => plan.listeners[place] = planned,
            None => plan.listeners.push(planned),
        }
        if !plan.upstreams.iter().any(|one| one.name == upstream.name) {
            plan.upstreams.push(upstream);
        }
    }
    forget_unused(plan);
}

/// A plan with the API at `endpoint`, and proxies to begin with, each with where it listens; none if it is not enabled. Each has a
/// name of its own.
pub fn with_api(
    mut plan: Plan,
    endpoint: Endpoint,
    template: PlannedListener,
    proxies: Vec<(NewProxy, Option<Endpoint>)>,
) -> Plan {
    let line = |(proxy, listen): &(NewProxy, Option<Endpoint>)| ProxyLine {
        name: proxy.name.clone(),
        upstream: proxy.upstream.clone(),
        listen: match listen {
            Some(endpoint) => ProxyPlace::At(endpoint.clone()),
            None => ProxyPlace::Off(listen_endpoint(&proxy.listen).ok()),
        },
    };
    put(&mut plan, &template, proxies.iter().map(line).collect());
    let faults = proxies.iter().map(|(proxy, _)| &proxy.toxics);
    plan.listeners.iter_mut().zip(faults).for_each(|(planned, faults)| planned.faults.clone_from(faults));
    let proxies = proxies.into_iter().map(|(proxy, _)| proxy).collect();
    Plan { api: Some(PlannedApi { endpoint, template, proxies }), ..plan }
}

/// Removes the proxies of these names.
pub fn remove(plan: &mut Plan, names: &[String]) {
    plan.listeners.retain(|one| one.name.as_ref().is_none_or(|name| !names.contains(name)));
    forget_unused(plan);
}

/// Addresses that no listener leads to any more.
fn forget_unused(plan: &mut Plan) {
    let mut used = HashSet::new();
    for listener in &plan.listeners {
        if let PlannedTarget::Routes(routes) = &listener.target {
            used.extend(routes.iter().filter_map(|route| match &route.lead {
                Lead::Upstream(name) => Some(name),
                Lead::Refuse => None,
            }));
        }
    }
    plan.upstreams.retain(|upstream| used.contains(&upstream.name));
}

/// What a text is as an address to connect to. One that is none fails once a connection is to be made.
fn upstream_endpoint(text: &str) -> Endpoint {
    match Endpoint::parse(text, None) {
        Ok(endpoint @ (Endpoint::Tcp { .. } | Endpoint::Unix(_))) => endpoint,
        Ok(Endpoint::Passed(_)) | Err(_) => {
            Endpoint::Tcp { host: Host::Name(SafeText::from(text).as_str().to_owned()), port: 0 }
        }
    }
}

/// The endpoint that a proxy's `listen` means, with its name resolved, IPv4 first; this may block. All wildcards are one.
/// Errors: why it is none, in Go's words.
pub fn listen_endpoint(text: &str) -> Result<Endpoint, String> {
    if text.is_empty() {
        return Ok(Endpoint::loopback(0));
    }
    if text.starts_with(UNIX) {
        return text.parse();
    }
    let (host, port) = split(text)?;
    let port = port.parse::<u16>().map_err(|_| match port.parse::<i64>() {
        Ok(_) => format!("address {port}: invalid port"),
        Err(_) => format!("lookup tcp/{port}: unknown port"),
    })?;
    if host.is_empty() {
        return Ok(Endpoint::Tcp { host: Host::Any, port });
    }
    let found: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(|_| format!("lookup {host}: no such host"))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    let first = first.ok_or_else(|| format!("lookup {host}: no such host"))?;
    Ok(match first.ip() {
        ip if ip.is_unspecified() => Endpoint::Tcp { host: Host::Any, port },
        ip => Endpoint::Tcp { host: Host::Ip(ip), port },
    })
}

/// Errors: why a proxy whose `listen` this is cannot have a fault of this kind. It looks no name up.
pub fn check_kind(kind: FaultKind, listen: &str) -> Result<(), String> {
    match listen.starts_with(UNIX).then(|| listen_endpoint(listen)) {
        Some(Ok(endpoint)) => listener_faults::check(kind, &[endpoint]),
        Some(Err(_)) | None => Ok(()),
    }
}

/// The host, without brackets, and the port.
fn split(text: &str) -> Result<(&str, &str), String> {
    let wrong = |why: &str| format!("address {text}: {why}");
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("missing port in address"))?;
    match host.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(inner) => Ok((inner, port)),
            None if text.ends_with(']') => Err(wrong("missing port in address")),
            None => Err(wrong("missing ']' in address")),
        },
        None if host.contains(':') => Err(wrong("too many colons in address")),
        None => Ok((host, port)),
    }
}

/// Whether two endpoints are one place to listen at. A port that the kernel chooses is never the same.
pub fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    one == other && !matches!(one, Endpoint::Tcp { port: 0, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_text_means_one_endpoint_however_it_is_spelled() {
        for (text, endpoint) in [
            ("", "127.0.0.1:0"),
            ("localhost:0", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:80", ":80"),
            ("[::]:80", ":80"),
            (":80", ":80"),
            ("unix:/tmp/a", "unix:/tmp/a"),
        ] {
            assert_eq!(listen_endpoint(text).map(|one| one.to_string()).as_deref(), Ok(endpoint), "{text}");
        }
        let same = |one, other| is_same(&listen_endpoint(one).unwrap(), &listen_endpoint(other).unwrap());
        assert!(same("localhost:80", "127.0.0.1:80") && same("0.0.0.0:80", "[::]:80"));
        assert!(!same("127.0.0.1:0", "127.0.0.1:0") && !same("127.0.0.1:80", "0.0.0.0:80"));
    }

    #[test]
    fn a_listen_text_that_is_none_is_refused_in_the_words_of_go() {
        for (text, why) in [
            ("nonsense", "address nonsense: missing port in address"),
            ("80", "address 80: missing port in address"),
            ("::1:80", "address ::1:80: too many colons in address"),
            ("[::1]", "address [::1]: missing port in address"),
            ("[::1:80", "address [::1:80: missing ']' in address"),
            ("localhost:65536", "address 65536: invalid port"),
            ("localhost:", "lookup tcp/: unknown port"),
            ("no host:80", "lookup no host: no such host"),
        ] {
            assert_eq!(listen_endpoint(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn an_upstream_text_is_never_refused() {
        for (text, endpoint) in
            [("localhost:9", "localhost:9"), ("nonsense", "nonsense:0"), ("a b\n:x", "a b :x:0"), ("", ":0")]
        {
            assert_eq!(upstream_endpoint(text).to_string(), endpoint, "{text:?}");
        }
    }
}
