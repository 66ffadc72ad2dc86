//! Routes: what decides where a connection leads. A pure match over what is known of it.

use crate::{
    net::{dial::Reserved, network::Network, tls::server::ServerTls},
    session::{group::Group, record::Record},
    text::units::counted,
};
use rustls::pki_types::DnsName;
use std::{fmt, io, net::IpAddr, sync::Arc};

/// The routes of a listener, in their order.
pub struct Routes {
    /// The listener's name.
    listener: String,
    routes: Vec<Route>,
}

/// A condition, and where a connection leads for which it holds; none: it is refused.
pub struct Route {
    pub condition: Condition,
    pub group: Option<Arc<Group>>,
    /// Ends TLS here.
    pub tls: Option<ServerTls>,
}

/// The route that a connection takes.
pub struct Chosen<'a> {
    /// Its number, from 1.
    pub number: usize,
    pub route: &'a Route,
}

/// What a route asks of a connection. What is empty asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The source's networks, of which one must have it.
    pub from: Vec<Network>,
    /// Server names (RFC 6066 §3), of which one must be the hello's.
    pub sni: Vec<ServerName>,
    /// Protocols (RFC 7301), of which the hello must offer one.
    pub alpn: Vec<String>,
}

/// A server name, or with `*.` before it any name with one label more. Without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(String);

/// What is known of a connection when its route is chosen.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// None of a UNIX socket.
    pub source: Option<IpAddr>,
    pub sni: Option<&'a str>,
    pub alpn: Vec<&'a str>,
}

/// Why a condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    From { source: Option<IpAddr>, wanted: Vec<Network> },
    Sni { sni: Option<String>, wanted: Vec<ServerName> },
    Alpn { alpn: Vec<String>, wanted: Vec<String> },
}

impl Routes {
    pub fn new(listener: String, routes: Vec<Route>) -> Self {
        Routes { listener, routes }
    }

    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The groups that routes lead to.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.routes.iter().filter_map(|route| route.group.as_ref())
    }

    /// Whether a ClientHello decides, or TLS ends here.
    pub fn hear(&self) -> bool {
        let hears = |route: &Route| {
            let Condition { sni, alpn, .. } = &route.condition;
            route.tls.is_some() || !sni.is_empty() || !alpn.is_empty()
        };
        self.routes.iter().any(hears)
    }

    /// Whether TLS is spoken to where a session leads.
    pub fn speak_tls(&self, record: &Record) -> bool {
        self.groups().any(|group| group.settings.tls.is_some())
            && self
                .choose(&record.facts())
                .and_then(|chosen| chosen.route.group.as_ref())
                .is_some_and(|group| group.settings.tls.is_some())
    }

    /// The first whose condition holds.
    pub fn choose(&self, facts: &Facts<'_>) -> Option<Chosen<'_>> {
        let numbered = || self.routes.iter().enumerate();
        let (index, route) = numbered().find(|(_, route)| route.condition.check(facts).is_ok())?;
        Some(Chosen { number: index + 1, route })
    }

    /// Where a session with these facts goes.
    /// Errors: why it goes nowhere.
    pub fn lead(&self, facts: &Facts<'_>) -> Result<(Chosen<'_>, &Group), String> {
        let chosen = self.choose(facts).ok_or_else(|| format!("no route of {} fits", self.listener))?;
        let group = chosen.route.group.as_ref();
        let group = group.ok_or_else(|| format!("{} refuses it", self.name(chosen.number)))?;
        Ok((chosen, group))
    }

    /// As it is named: `web#2`.
    pub fn name(&self, number: usize) -> String {
        format!("{}#{number}", self.listener)
    }

    /// What is told of a choice: its name, and what was found; none if there is no other route and no condition.
    pub fn description(&self, chosen: &Chosen<'_>, facts: &Facts<'_>) -> Option<String> {
        let condition = &chosen.route.condition;
        if self.routes.len() == 1 && condition.is_empty() {
            return None;
        }
        let mut told = self.name(chosen.number);
        if let Some(sni) = facts.sni.filter(|_| !condition.sni.is_empty()) {
            told += &format!(" sni={sni}");
        }
        if let Some(alpn) = condition.alpn.iter().find(|one| facts.alpn.contains(&one.as_str())) {
            told += &format!(" alpn={alpn}");
        }
        if let Some(source) = facts.source.filter(|_| !condition.from.is_empty()) {
            told += &format!(" from={}", source.to_canonical());
        }
        Some(told)
    }

    /// A socket for the far leg of a session to come, of the first route that leads anywhere.
    pub fn reserve(&self) -> io::Result<Option<Reserved>> {
        let first = self.groups().next();
        first.map_or(Ok(None), |group| group.reserve())
    }
}

impl fmt::Display for Routes {
    /// `to db:5432`, `to db` or `by 3 routes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.routes[..] {
            [Route { condition, group: Some(group), tls: _ }] if condition.is_empty() => {
                write!(f, "to {}", group.name)
            }
            routes => write!(f, "by {}", counted(routes.len(), "route")),
        }
    }
}

impl Condition {
    /// Whether it asks nothing, so that every connection fits.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() && self.sni.is_empty() && self.alpn.is_empty()
    }

    /// The first that does not hold.
    /// Errors: what was asked, and what is there.
    pub fn check(&self, facts: &Facts<'_>) -> Result<(), Mismatch> {
        let is_from = |source| self.from.iter().any(|network| network.contains(source));
        if !self.from.is_empty() && !facts.source.is_some_and(is_from) {
            return Err(Mismatch::From { source: facts.source, wanted: self.from.clone() });
        }
        let is_named = |sni: &str| self.sni.iter().any(|name| name.matches(sni));
        if !self.sni.is_empty() && !facts.sni.is_some_and(is_named) {
            return Err(Mismatch::Sni { sni: facts.sni.map(str::to_owned), wanted: self.sni.clone() });
        }
        if !self.alpn.is_empty()
            && !facts.alpn.iter().any(|offered| self.alpn.iter().any(|one| one == offered))
        {
            let alpn = facts.alpn.iter().map(|&one| one.to_owned()).collect();
            return Err(Mismatch::Alpn { alpn, wanted: self.alpn.clone() });
        }
        Ok(())
    }

    /// Whether every connection that fits `other` fits this one too, as far as can be seen.
    pub fn covers(&self, other: &Condition) -> bool {
        let all = |covered: bool, own_is_empty: bool, other_is_empty: bool| {
            own_is_empty || (!other_is_empty && covered)
        };
        let from = other.from.iter().all(|one| self.from.iter().any(|wide| wide.covers(one)));
        let sni = other.sni.iter().all(|one| self.sni.iter().any(|wide| wide.covers(one)));
        let alpn = other.alpn.iter().all(|one| self.alpn.contains(one));
        all(from, self.from.is_empty(), other.from.is_empty())
            && all(sni, self.sni.is_empty(), other.sni.is_empty())
            && all(alpn, self.alpn.is_empty(), other.alpn.is_empty())
    }
}

impl ServerName {
    /// Errors: why the text is no server name, as a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form =
            "write a host name like www.example.com, or *.example.com for its names with one label more";
        let bare = text.strip_prefix("*.").unwrap_or(text);
        // What no hello can ask for, no route can name.
        if DnsName::try_from(bare).is_err() || bare.ends_with('.') {
            return Err(format!("it is no server name; {form}"));
        }
        Ok(ServerName(text.to_ascii_lowercase()))
    }

    fn matches(&self, sni: &str) -> bool {
        match self.0.strip_prefix("*.") {
            Some(parent) => sni
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
            None => self.0.eq_ignore_ascii_case(sni),
        }
    }

    fn covers(&self, other: &ServerName) -> bool {
        self == other || (!other.0.starts_with("*.") && self.matches(&other.0))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mismatch {
    /// `sni b.test is not a.test`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::From { source, wanted } => missed(f, "from", source.as_ref(), wanted),
            Mismatch::Sni { sni, wanted } => missed(f, "sni", sni.as_ref(), wanted),
            Mismatch::Alpn { alpn, wanted } => {
                let offered = (!alpn.is_empty()).then(|| alpn.join(" or "));
                missed(f, "alpn", offered.as_ref(), wanted)
            }
        }
    }
}

fn missed<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    found: Option<&impl fmt::Display>,
    wanted: &[T],
) -> fmt::Result {
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let wanted = wanted.join(" or ");
    match found {
        Some(found) => write!(f, "{key} {found} is not {wanted}"),
        None => write!(f, "no {key}, and it must be {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(from: &[&str], sni: &[&str], alpn: &[&str]) -> Condition {
        Condition {
            from: from.iter().map(|text| text.parse().unwrap()).collect(),
            sni: sni.iter().map(|text| ServerName::parse(text).unwrap()).collect(),
            alpn: alpn.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    fn facts<'a>(source: &str, sni: Option<&'a str>, alpn: &[&'a str]) -> Facts<'a> {
        Facts { source: source.parse().ok(), sni, alpn: alpn.to_vec() }
    }

    #[test]
    fn an_empty_condition_holds_for_every_connection() {
        assert_eq!(Condition::default().check(&Facts::default()), Ok(()));
    }

    #[test]
    fn each_key_must_hold_with_one_of_its_values() {
        let both = condition(&["10.0.0.0/8", "::1"], &["a.test", "*.b.test"], &["h2", "http/1.1"]);
        for (source, sni, alpn) in [
            ("10.1.2.3", "A.TEST", "h2"),
            ("::ffff:10.1.2.3", "x.b.test", "http/1.1"),
            ("::1", "a.test", "h2"),
        ] {
            assert_eq!(
                both.check(&facts(source, Some(sni), &["other", alpn])),
                Ok(()),
                "{source} {sni} {alpn}"
            );
        }
        let told = |source, sni, alpn| both.check(&facts(source, sni, alpn)).unwrap_err().to_string();
        assert_eq!(told("11.0.0.1", Some("a.test"), &["h2"]), "from 11.0.0.1 is not 10.0.0.0/8 or ::1");
        assert_eq!(told("10.0.0.1", Some("b.test"), &["h2"]), "sni b.test is not a.test or *.b.test");
        assert_eq!(told("10.0.0.1", Some("x.y.b.test"), &["h2"]), "sni x.y.b.test is not a.test or *.b.test");
        assert_eq!(told("10.0.0.1", None, &["h2"]), "no sni, and it must be a.test or *.b.test");
        assert_eq!(told("10.0.0.1", Some("a.test"), &["x"]), "alpn x is not h2 or http/1.1");
        assert_eq!(told("10.0.0.1", Some("a.test"), &[]), "no alpn, and it must be h2 or http/1.1");
    }

    #[test]
    fn a_condition_covers_what_asks_at_least_as_much() {
        let wide = condition(&["10.0.0.0/8"], &["*.a.test"], &[]);
        assert!(wide.covers(&condition(&["10.1.0.0/16"], &["x.a.test", "*.a.test"], &["h2"])));
        assert!(!wide.covers(&condition(&["10.1.0.0/16"], &["x.y.a.test"], &[])));
        assert!(!wide.covers(&condition(&[], &["x.a.test"], &[])), "one without a source is wider");
        assert!(!wide.covers(&condition(&["0.0.0.0/0"], &["x.a.test"], &[])));
        assert!(Condition::default().covers(&wide));
    }

    #[test]
    fn what_is_no_host_name_is_no_server_name() {
        for wrong in [
            "",
            "*",
            "*.",
            "a..b",
            "a b",
            "a.test/",
            "*a.test",
            "a.*.test",
            "-a.test",
            "10.0.0.1",
            &"a".repeat(64),
        ] {
            assert!(ServerName::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ServerName::parse("_a-1.Example.com").is_ok());
    }
}
