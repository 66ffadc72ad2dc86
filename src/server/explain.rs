//! What would become of a connection: which route it takes, why not the others, and which servers are tried in which order.
//! Nothing is resolved or dialled.

use crate::{
    net::network::Access,
    server::groups::Groups,
    session::{
        group::{Server, Standing, StandingAt},
        route::{Facts, Route, Routes},
        target::Target,
    },
};
use std::{net::IpAddr, str::FromStr, sync::Arc, time::Instant};

/// A connection that somebody asks about: `listener=web from=1.2.3.4 sni=a.test alpn=h2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// None: the only one there is.
    pub listener: Option<String>,
    /// None: of a UNIX socket, or not of interest.
    pub from: Option<IpAddr>,
    pub sni: Option<String>,
    pub alpn: Vec<String>,
}

/// How it is asked.
const FORM: &str = "write 'listener=web from=192.0.2.7 sni=a.test alpn=h2', of which each may be left out";

impl FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut question = Question::default();
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if value.is_empty() {
                return Err(format!("'{word}' of the question is no KEY=VALUE; {FORM}"));
            }
            let is_second = match key {
                "listener" => question.listener.replace(value.to_owned()).is_some(),
                "from" => {
                    let address = value.trim_matches(['[', ']']).parse().map_err(|_| {
                        format!("'from' of the question cannot be '{value}': it is no IP address")
                    })?;
                    question.from.replace(address).is_some()
                }
                "sni" => question.sni.replace(value.to_owned()).is_some(),
                "alpn" => {
                    let before = question.alpn.len();
                    question.alpn.extend(value.split(',').map(str::to_owned));
                    before > 0
                }
                _ => return Err(format!("'{key}' is no key of the question; {FORM}")),
            };
            if is_second {
                return Err(format!("'{key}' is given twice in the question; leave one out"));
            }
        }
        Ok(question)
    }
}

impl Question {
    /// What a listener would know of the connection.
    pub fn facts(&self) -> Facts<'_> {
        let alpn = self.alpn.iter().map(String::as_str).collect();
        Facts { source: self.from, sni: self.sni.as_deref(), alpn }
    }
}

/// What becomes of a connection of which `facts` are known, a line each: the routes with the reason why it does not take
/// them, then `upstream NAME: SERVER, SERVER` in the order in which they would be tried, or `refused: REASON`.
pub fn explain(access: &Access, target: &Target, groups: &Groups, facts: &Facts<'_>) -> Vec<String> {
    if let Err(denied) = access.judge(facts.source) {
        return vec![format!("refused: {denied}")];
    }
    let routes = match target {
        Target::Echo => return vec!["echo: what comes is sent back".to_owned()],
        Target::Origin => return vec!["origin: an HTTP server of this program answers".to_owned()],
        Target::Upstream(routes) => routes,
    };
    let chosen = routes.choose(facts);
    let number = chosen.as_ref().map(|chosen| chosen.number);
    let lines =
        routes.all().iter().enumerate().map(|(index, route)| line(routes, index + 1, route, number, facts));
    let mut lines: Vec<String> = lines.collect();
    lines.push(match chosen.map(|chosen| (chosen.number, chosen.route)) {
        None => "refused: no route".to_owned(),
        Some((number, Route { group: None, .. })) => {
            format!("refused: no route, as {} says", routes.name(number))
        }
        Some((_, Route { group: Some(group), .. })) => {
            let now = Instant::now();
            let order = group.order(facts.source);
            let server = |server: &Arc<Server>| match server.standing(now) {
                Standing::Up => server.address(),
                standing => format!("{} ({})", server.address(), StandingAt { standing, now }),
            };
            let servers: Vec<String> = order.iter().map(server).collect();
            let servers =
                if servers.is_empty() { discovered(groups, &group.name) } else { servers.join(", ") };
            format!("upstream {}: {servers}", group.name)
        }
    });
    lines
}

/// Whether a connection takes a route, if it takes that of `taken`.
fn line(routes: &Routes, number: usize, route: &Route, taken: Option<usize>, facts: &Facts<'_>) -> String {
    let name = routes.name(number);
    match (route.condition.check(facts), taken) {
        (Err(mismatch), _) => format!("route {name} no: {mismatch}"),
        (Ok(()), Some(taken)) if taken < number => {
            format!("route {name} no: {} comes first", routes.name(taken))
        }
        (Ok(()), _) => format!("route {name} yes"),
    }
}

/// Where the servers of a group are learnt of which none is known.
fn discovered(groups: &Groups, name: &str) -> String {
    let planned = groups.planned().map(|(planned, _)| planned).find(|planned| planned.name == name);
    let discover = planned.and_then(|planned| planned.discover.as_ref());
    discover.map_or("none".to_owned(), |discover| discover.source.to_string())
}
