//! What a file means: the plan of its tables, and all that is wrong between its keys.

use crate::{
    cli::{
        commands::Run,
        config_file::{
            faults,
            form::{self, Destined},
            keys::{FileOptions, repeats},
            listened::Listened,
            mistakes::Found,
            places::{self, Destinations, Places},
            section::{Section, Word},
            shape::in_order,
            tls,
            upstreams::{self, upstream},
            warnings,
        },
        values::UpstreamAddress,
    },
    control::place::Control,
    net::{dial::Override, network::Network},
    server::plan::{Lead, Plan, PlannedListener, PlannedRoute, PlannedTarget, PlannedTls, PlannedUpstream},
    session::{
        route::{Condition, ServerName},
        sources::SourceLimit,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// Options of the command line by their names, without dashes, with the words of each.
pub type GivenOptions = BTreeMap<String, Vec<String>>;

/// A file on its way to a plan.
pub struct Meaning<'f, 'a> {
    options: &'f FileOptions,
    found: &'f mut Found<'a>,
    /// What the command line says; it wins.
    typed: &'f GivenOptions,
    /// Addresses of names, for every server.
    overrides: Arc<[Override]>,
    /// The names of the tables of upstreams.
    tables: BTreeSet<String>,
    /// The names of the tables of TLS, and of those that a route has.
    tls: BTreeSet<String>,
    tls_used: BTreeSet<String>,
    /// What ends TLS where no route says it, by its name; none: it cannot be used.
    ended: BTreeMap<String, Option<PlannedTls>>,
    /// The bare addresses that routes lead to, and their names.
    addresses: Vec<PlannedUpstream>,
    known: BTreeSet<String>,
    /// The tables of upstreams that a route leads to.
    used: BTreeSet<String>,
    /// Whether a route leads to an address to which TLS is spoken.
    over_tls: bool,
}

/// A route, and where it stands.
pub struct PlacedRoute {
    pub route: PlannedRoute,
    pub span: Range<usize>,
    /// Whether its condition is all that the file says.
    pub is_whole: bool,
}

/// The listener of a route, and what is said at places nearer to it than its upstream.
struct Led<'l, 't> {
    listener: &'l str,
    of_file: &'l Places<'t>,
    places: &'l Places<'t>,
}

/// The option that limits each listener by itself, if it is not at the top.
const PER_SOURCE: &str = "max-per-source";

impl<'f, 'a> Meaning<'f, 'a> {
    pub fn new(options: &'f FileOptions, found: &'f mut Found<'a>, typed: &'f GivenOptions) -> Self {
        let (tables, tls, tls_used, ended, addresses, known, used) = Default::default();
        let (overrides, over_tls) = (Arc::default(), false);
        Meaning {
            options,
            found,
            typed,
            overrides,
            tables,
            tls,
            tls_used,
            ended,
            addresses,
            known,
            used,
            over_tls,
        }
    }

    /// The plan, if its parts make one.
    pub fn plan(mut self, top: &Section<'_>) -> Option<Plan> {
        let of_top = self.options_of(top);
        let of_defaults =
            top.section("defaults").map(|section| self.options_of(&section)).unwrap_or_default();
        let program = run(&[&of_top, &without(&of_defaults, PER_SOURCE), self.typed]);
        self.overrides = program.as_ref().map(|run| run.resolve.clone().into()).unwrap_or_default();
        let upstreams = top.named("upstream");
        self.tables = top.names("upstream").into_iter().collect();
        self.tls = top.names("tls").into_iter().collect();
        let shared = [&without(&of_top, PER_SOURCE), &of_defaults];
        let places = Places::of_file(top);
        let listeners = self.listeners(top, shared, &places);
        let planned = upstreams
            .iter()
            .map(|(name, section)| upstream(self.found, &self.overrides, name, section, &places));
        let mut planned: Vec<_> = planned.collect();
        warnings::unused(self.found, &upstreams, &self.used);
        self.shared_flags(top, &upstreams, &places);
        planned.append(&mut self.addresses);
        let mut tls = tls::tables(self.found, top, &self.tls_used);
        tls.extend(std::mem::take(&mut self.ended).into_values().flatten());
        let seed = top.whole("seed");
        let plan = Plan { tls, seed, ..program?.plan(listeners, planned) };
        if plan.group.is_some() && !matches!(plan.control, Control::At(_)) {
            let text = "'group' needs a 'control' path: the user's own folder is closed to groups";
            self.found.error(top.key_span("group"), text, "write control = \"/path/of/a.sock\"");
        }
        Some(plan)
    }

    /// Tells what is said for all listeners and tables, and is for none of them.
    fn shared_flags(&mut self, top: &Section<'_>, upstreams: &[(String, Section<'_>)], places: &Places<'_>) {
        let manner = places.manner();
        let is_followed =
            self.over_tls || upstreams.iter().any(|(_, section)| upstreams::follows(section, &manner));
        for section in [top.section("defaults"), Some(top.clone())].into_iter().flatten() {
            places::beside_off(self.found, &section);
            if !is_followed {
                let why = "which is not spoken: no listener and no table uses it";
                places::without_tls(self.found, &section, why);
            }
        }
    }

    /// The options of the command line that a section has.
    fn options_of(&self, section: &Section<'_>) -> GivenOptions {
        let mut given = GivenOptions::new();
        for (key, _) in in_order(section.table) {
            let key: &str = key.get_ref();
            let Some(flag) = self.options.find(key) else { continue };
            let words: Vec<String> = section.words(key).into_iter().map(|(text, _)| text).collect();
            let are_right = words.iter().all(|word| Run::check(flag.long, word).is_ok());
            if are_right && !words.is_empty() && (repeats(flag) || words.len() == 1) {
                given.insert(key.to_owned(), words);
            }
        }
        given
    }

    fn listeners<'t>(
        &mut self,
        top: &Section<'t>,
        shared: [&GivenOptions; 2],
        places: &Places<'t>,
    ) -> Vec<PlannedListener> {
        let listeners = top.named("listener");
        if listeners.is_empty() {
            top.missing(
                self.found,
                "listener",
                "the file has no listener",
                "begin one with a line [listener.NAME]",
            );
        }
        let mut listened = Listened::default();
        let mut planned = Vec::new();
        for (name, section) in &listeners {
            planned.extend(self.listener(name, section, shared, places));
            for (text, span) in section.words("listen") {
                listened.add(self.found, "listen", name, (text, span));
            }
        }
        for key in ["metrics", "agent"] {
            if let Some(word) = top.word(key) {
                listened.add(self.found, key, key, word);
            }
        }
        if let Some((path, span)) = top.word("control").filter(|(path, _)| path != "off") {
            listened.add(self.found, "control", "control", (format!("unix:{path}"), span));
        }
        planned
    }

    fn listener<'t>(
        &mut self,
        name: &str,
        section: &Section<'t>,
        [top, defaults]: [&GivenOptions; 2],
        places: &Places<'t>,
    ) -> Option<PlannedListener> {
        let own = self.options_of(section);
        let run = run(&[top, defaults, &own, &without(self.typed, PER_SOURCE)])?;
        let has_limit = own.contains_key(PER_SOURCE) || defaults.contains_key(PER_SOURCE);
        let per_source: Option<SourceLimit> = run.source_limit().filter(|_| has_limit);
        if !section.has("listen") {
            let help = "write listen = \":8080\", or another address";
            section.missing(self.found, "listen", &format!("listener '{name}' has no address"), help);
        }
        let routes = self.routes(name, section, places);
        warnings::shadowed(self.found, name, &routes);
        warnings::mode(self.found, section);
        let routes = routes.into_iter().map(|placed| placed.route).collect();
        let endpoints = section.read_all("listen", form::listen);
        let connect = run.connect_timeout;
        let mut planned =
            run.listener(Some(name.to_owned()), endpoints, PlannedTarget::Routes(routes), connect);
        planned.mode = section.read("mode", form::mode);
        planned.max_per_source = per_source;
        planned.faults = faults::faults(self.found, name, &planned.endpoints, section);
        warnings::access(self.found, section, &planned.access);
        Some(planned)
    }

    /// The routes of a listener; after them, where the rest leads.
    fn routes<'t>(&mut self, name: &str, section: &Section<'t>, places: &Places<'t>) -> Vec<PlacedRoute> {
        let own = Led { listener: name, of_file: places, places: &places.of_listener(name, section) };
        let ended = self.ended(own.places);
        places::beside_off(self.found, section);
        let destinations = Destinations::of(section, &own.places.manner());
        destinations.judge(self.found, name, section);
        self.over_tls |= destinations.over_tls;
        let mut routes = Vec::new();
        for route in section.sections("route") {
            let lead = self.lead(&route, &own);
            let (condition, is_whole) = condition(&route);
            let tls = tls::named(self.found, &self.tls, &route);
            self.tls_used.extend(tls.clone());
            let tls = tls.or_else(|| ended.clone().filter(|_| lead != Lead::Refuse));
            routes.push(PlacedRoute {
                route: PlannedRoute { condition, tls, lead },
                span: route.span.clone(),
                is_whole,
            });
        }
        if let Some(upstream) = section.word("upstream") {
            let (lead, condition) = (self.upstream_of(upstream, &own), Condition::default());
            let span = section.key_span("upstream");
            routes.push(PlacedRoute {
                route: PlannedRoute { condition, tls: ended, lead },
                span,
                is_whole: true,
            });
        }
        if !section.has("upstream") && !section.has("route") {
            let help = "write upstream = \"NAME\" or \"host:port\", or routes [[listener.NAME.route]]";
            section.missing(self.found, "upstream", &format!("listener '{name}' leads nowhere"), help);
        }
        routes
    }

    /// What ends TLS of a listener's routes that do not say it, by its name.
    fn ended(&mut self, places: &Places<'_>) -> Option<String> {
        let (place, section) = places.ending_tls()?;
        let name = format!("tls-cert of {place}");
        if !self.ended.contains_key(&name) {
            let planned = tls::of_place(self.found, &name, section);
            self.ended.insert(name.clone(), planned);
        }
        Some(name)
    }

    /// Where a route leads; if that cannot be told, it has been told why.
    fn lead(&mut self, route: &Section<'_>, led: &Led<'_, '_>) -> Lead {
        let refuses = route.truth("refuse") == Some(true);
        if refuses && route.has("upstream") {
            let text = "'refuse' cannot be true: the route has an 'upstream'";
            self.found.error(route.key_span("refuse"), text, "leave one of them out");
        }
        match route.word("upstream") {
            Some(upstream) => self.upstream_of(upstream, led),
            None => {
                if !refuses && !route.has("upstream") {
                    let help = "write upstream = \"NAME\", or refuse = true";
                    route.missing(self.found, "upstream", "the route leads nowhere", help);
                }
                Lead::Refuse
            }
        }
    }

    /// Where a route leads that names an upstream.
    fn upstream_of(&mut self, (text, span): Word, led: &Led<'_, '_>) -> Lead {
        match form::upstream(&text) {
            Err(_) => return Lead::Refuse,
            Ok(Destined::Address(address)) => return self.address_of(address, span, led),
            Ok(Destined::Table(_)) => {}
        }
        let is_there = self.tables.contains(&text);
        if !is_there && !self.found.may_have_meant(&text) {
            let names: Vec<&str> = self.tables.iter().map(String::as_str).collect();
            let new = format!("begin it with a line [upstream.{text}], or write an address with its port");
            let help = form::instead(&text, &names, &new);
            self.found.error(
                span,
                format!("'upstream' cannot be \"{text}\": there is no [upstream.{text}]"),
                &help,
            );
        }
        self.used.insert(text.clone());
        Lead::Upstream(text)
    }

    /// Where a route leads that has a bare address.
    fn address_of(&mut self, mut address: UpstreamAddress, span: Range<usize>, led: &Led<'_, '_>) -> Lead {
        let manner = led.places.manner();
        address.is_tls |= manner.speaks_tls;
        let mut name = address.to_string();
        if manner != led.of_file.manner() {
            // Another listener may lead there in another manner.
            name += &format!(" of listener {}", led.listener);
        }
        if self.known.insert(name.clone()) {
            let (is_tls, has_name) = (address.is_tls, address.has_name() || manner.name.is_some());
            let mut planned = PlannedUpstream::address(address.endpoint, self.overrides.clone());
            planned.settings.send_proxy = manner.send_proxy;
            let planned = match is_tls {
                true if !has_name => {
                    let help =
                        "write upstream-name = \"HOST\", or an upstream with tls = { name = \"HOST\" }";
                    tls::nameless(self.found, span, help);
                    None
                }
                true => led.places.client(self.found, &span, None).map(|tls| planned.over_tls(tls)),
                false => Some(planned),
            };
            self.addresses.extend(planned.map(|planned| PlannedUpstream { name: name.clone(), ..planned }));
        }
        Lead::Upstream(name)
    }
}

/// The options of several places, of which later ones win.
fn run(places: &[&GivenOptions]) -> Option<Run> {
    let mut all = GivenOptions::new();
    places.iter().for_each(|place| all.extend((*place).clone()));
    Run::of(&all).ok()
}

fn without(given: &GivenOptions, key: &str) -> GivenOptions {
    let mut given = given.clone();
    given.remove(key);
    given
}

/// What a route asks, and whether that is all that the file says.
fn condition(route: &Section<'_>) -> (Condition, bool) {
    let condition = Condition {
        from: route.read_all("from", str::parse::<Network>),
        sni: route.read_all("sni", ServerName::parse),
        alpn: route.read_all("alpn", |text| Ok(text.to_owned())),
    };
    let counts =
        [("from", condition.from.len()), ("sni", condition.sni.len()), ("alpn", condition.alpn.len())];
    let is_whole =
        counts.iter().all(|(key, count)| !route.has(key) || (*count > 0 && *count == route.words(key).len()));
    (condition, is_whole)
}
