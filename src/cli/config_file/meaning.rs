//! What a file means: the plan of its tables, and all that is wrong between its keys.

use crate::{
    cli::{
        commands::Run,
        config_file::{
            faults::{Fault, Found, Severity, SourceText},
            form::{self, Destined},
            keys::{Options, repeats},
            listened::Listened,
            section::{Section, Word},
            shape::in_order,
            warnings,
        },
        words::nearest,
    },
    net::{
        dial::{Destination, Override},
        network::Network,
    },
    server::plan::{
        Check, Discover, Lead, Plan, PlannedListener, PlannedRoute, PlannedServer, PlannedTarget,
        PlannedUpstream, REFRESH, REFRESH_MIN,
    },
    session::{
        group::{Balance, EJECT, Eject, GroupSettings},
        route::{Condition, ServerName},
        sources::SourceLimit,
    },
};
use std::{collections::BTreeMap, fs::File, io, ops::Range, path::Path, sync::Arc};
use strum::VariantArray;

/// Options of the command line by their names, without dashes, with the words of each.
pub type Given = BTreeMap<String, Vec<String>>;

/// A file on its way to a plan.
pub struct Meaning<'a> {
    pub source: &'a SourceText,
    pub options: &'a Options,
    pub found: &'a mut Found,
    /// What the command line says; it wins.
    pub typed: &'a Given,
    /// Addresses of names, for every server.
    overrides: Arc<[Override]>,
    /// The names of the tables of upstreams.
    tables: Vec<String>,
    /// The bare addresses that routes lead to.
    addresses: Vec<PlannedUpstream>,
    /// The upstreams' tables that a route leads to.
    used: Vec<String>,
}

/// The option whose limit is another one in each of three places.
const PER_SOURCE: &str = "max-per-source";

impl<'a> Meaning<'a> {
    pub fn new(source: &'a SourceText, options: &'a Options, found: &'a mut Found, typed: &'a Given) -> Self {
        let (overrides, tables) = (Arc::default(), Vec::new());
        Meaning { source, options, found, typed, overrides, tables, addresses: Vec::new(), used: Vec::new() }
    }

    /// The plan, if its parts make one.
    pub fn plan(&mut self, top: &Section<'_>) -> Option<Plan> {
        let defaults = top.section("defaults");
        let of_top = self.options_of(top);
        let of_defaults = defaults.as_ref().map(|section| self.options_of(section)).unwrap_or_default();
        let program = self.run(&[&of_top, &without(&of_defaults, PER_SOURCE), self.typed]);
        self.overrides = program.as_ref().map(|run| run.resolve.clone().into()).unwrap_or_default();
        let upstreams = top.named("upstream");
        self.tables = upstreams.iter().map(|(name, _)| name.clone()).collect();
        let mut listened = Listened::default();
        let shared = [&without(&of_top, PER_SOURCE), &of_defaults];
        let listeners = top.named("listener");
        if listeners.is_empty() {
            self.missing(
                "listener",
                top.span.clone(),
                "there is no listener",
                "begin one with a line [listener.NAME]",
            );
        }
        let listeners: Vec<_> = listeners
            .iter()
            .map(|(name, section)| self.listener(name, section, shared, &mut listened))
            .collect();
        if let Some((text, span)) = top.word("metrics") {
            listened
                .add("metrics", &text, &span, |span, text| error(self.found, self.source, span, text, ""));
        }
        let mut planned: Vec<_> =
            upstreams.iter().map(|(name, section)| self.upstream(name, section)).collect();
        for (name, section) in top.named("tls") {
            self.tls(&name, &section);
        }
        warnings::unused(self, &upstreams);
        planned.extend(std::mem::take(&mut self.addresses));
        Some(program?.plan(listeners.into_iter().flatten().collect(), planned))
    }

    /// The options of the command line that a section has.
    fn options_of(&self, section: &Section<'_>) -> Given {
        let mut given = Given::new();
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

    /// The options of several places, of which later ones win.
    fn run(&self, places: &[&Given]) -> Option<Run> {
        let mut all = Given::new();
        places.iter().for_each(|place| all.extend((*place).clone()));
        Run::of(&all).ok()
    }

    fn listener(
        &mut self,
        name: &str,
        section: &Section<'_>,
        [top, defaults]: [&Given; 2],
        listened: &mut Listened,
    ) -> Option<PlannedListener> {
        let own = self.options_of(section);
        let typed = without(self.typed, PER_SOURCE);
        let run = self.run(&[top, defaults, &own, &typed])?;
        let of_listener = |key: &str| own.get(key).or_else(|| defaults.get(key)).is_some();
        let per_source: Option<SourceLimit> = run.source_limit().filter(|_| of_listener(PER_SOURCE));
        let listens = section.read_all("listen", form::listen);
        if !section.has("listen") {
            self.missing(
                "listen",
                section.span.clone(),
                &format!("`listen` is missing: listener `{name}` has no address"),
                "write listen = \":8080\" below it",
            );
        }
        for (text, span) in section.words("listen") {
            listened.add(name, &text, &span, |span, text| error(self.found, self.source, span, text, ""));
        }
        let routes = self.routes(name, section);
        warnings::of_listener(self, section, &routes);
        let target = PlannedTarget::Routes(routes.into_iter().map(|(route, _)| route).collect());
        let endpoints = listens.into_iter().map(|(endpoint, _)| endpoint).collect();
        let mut planned = run.listener(Some(name.to_owned()), endpoints, target, run.connect_timeout);
        planned.mode = section.read("mode", form::mode);
        planned.max_per_source = per_source;
        warnings::access(self, section, &planned.access);
        Some(planned)
    }

    /// The routes of a listener, each with its place; after them, where the rest leads.
    fn routes(&mut self, name: &str, section: &Section<'_>) -> Vec<(PlannedRoute, Range<usize>)> {
        let mut routes = Vec::new();
        for route in section.sections("route") {
            if let Some(lead) = self.lead(&route) {
                let condition = condition(&route);
                routes.push((PlannedRoute { condition, lead }, route.span.clone()));
            }
        }
        if let Some(upstream) = section.word("upstream")
            && let Some(lead) = self.upstream_of(upstream)
        {
            routes
                .push((PlannedRoute { condition: Condition::default(), lead }, section.key_span("upstream")));
        }
        if !section.has("upstream") && !section.has("route") {
            self.missing(
                "upstream",
                section.span.clone(),
                &format!("`upstream` is missing: listener `{name}` leads nowhere"),
                "write upstream = \"NAME\" or \"host:port\", or routes [[listener.NAME.route]]",
            );
        }
        routes
    }

    fn lead(&mut self, route: &Section<'_>) -> Option<Lead> {
        let refuses = route.truth("refuse") == Some(true);
        if let Some(upstream) = route.word("upstream") {
            if refuses {
                let text = "`refuse` cannot be true: the route has an `upstream`";
                self.error(route.key_span("refuse"), text.to_owned(), "leave one of them out");
            }
            return self.upstream_of(upstream);
        }
        if refuses {
            return Some(Lead::Refuse);
        }
        if !route.has("upstream") {
            self.missing(
                "upstream",
                route.span.clone(),
                "`upstream` is missing: the route leads nowhere",
                "write upstream = \"NAME\", or refuse = true",
            );
        }
        None
    }

    /// Where a route leads that names an upstream.
    fn upstream_of(&mut self, (text, span): Word) -> Option<Lead> {
        match form::upstream(&text).ok()? {
            Destined::Address(endpoint) => {
                let planned = PlannedUpstream::address(endpoint, self.overrides.clone());
                let name = planned.name.clone();
                if !self.addresses.iter().any(|other| other.name == name) {
                    self.addresses.push(planned);
                }
                Some(Lead::Upstream(name))
            }
            Destined::Table(name) if self.tables.contains(&name) => {
                self.used.push(name.clone());
                Some(Lead::Upstream(name))
            }
            Destined::Table(name) => {
                if !self.found.may_have_meant(self.source, &name) {
                    let help = match nearest(&name, self.tables.iter().map(String::as_str)) {
                        Some(meant) => format!("did you mean \"{meant}\"?"),
                        None => format!(
                            "begin it with a line [upstream.{name}], or write an address with its port"
                        ),
                    };
                    self.error(
                        span,
                        format!("`upstream` cannot be \"{name}\": there is no upstream of this name"),
                        &help,
                    );
                }
                None
            }
        }
    }

    fn upstream(&mut self, name: &str, section: &Section<'_>) -> PlannedUpstream {
        let servers = self.servers(section);
        let discover = self.discover(section);
        let learns = section.has("discover");
        if !learns && !section.has("servers") {
            self.missing(
                "servers",
                section.span.clone(),
                &format!("`servers` is missing: upstream `{name}` has no server"),
                "write servers = [\"host:port\"], or discover = \"dns:NAME:PORT\"",
            );
        }
        if learns && section.has("servers") {
            let later = section.key_span("discover").start > section.key_span("servers").start;
            let (second, first) = if later { ("discover", "servers") } else { ("servers", "discover") };
            let text = format!("`{second}` does not go with `{first}`: an upstream has one of them");
            self.error(section.key_span(second), text, "leave one of them out");
        }
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            let text =
                format!("`upstream` cannot be named {name}: a number is a port, where a route names it");
            self.error(section.span.clone(), text, "put a letter into the name");
        }
        let check = match (section.section("check"), section.truth("check")) {
            (Some(check), _) => Some(self.check(&check)),
            (None, truth) => truth.unwrap_or(false).then(Check::default),
        };
        let settings = settings(section);
        PlannedUpstream { name: name.to_owned(), is_address: false, servers, discover, settings, check }
    }

    fn servers(&mut self, section: &Section<'_>) -> Vec<PlannedServer> {
        let mut servers: Vec<PlannedServer> = Vec::new();
        let Some(list) = section.value("servers") else { return servers };
        let toml::de::DeValue::Array(list) = list.get_ref() else { return servers };
        if list.is_empty() {
            let text = "`servers` cannot be []: the upstream has no server";
            self.error(section.key_span("servers"), text.to_owned(), "write servers = [\"host:port\"]");
        }
        for one in list.iter() {
            let table = match one.get_ref() {
                toml::de::DeValue::Table(table) => Some(Section { table, span: one.span() }),
                _ => None,
            };
            let word = match &table {
                Some(table) => table.word("address"),
                None => crate::cli::config_file::shape::words(one).into_iter().next(),
            };
            if table.as_ref().is_some_and(|table| !table.has("address")) {
                let text = "`address` is missing: the server is nowhere";
                self.missing("address", one.span(), text, "write { address = \"host:port\" }");
            }
            let Some((text, span)) = word else { continue };
            let Ok(endpoint) = form::address(&text) else { continue };
            if servers.iter().any(|server| server.destination.endpoint == endpoint) {
                let text = format!("`servers` has \"{text}\" twice");
                self.error(span, text, "give it a weight, in place of listing it again");
                continue;
            }
            let destination = Destination { endpoint, overrides: self.overrides.clone() };
            let number = |key| table.as_ref().and_then(|table| table.number(key));
            let backup = table.as_ref().and_then(|table| table.truth("backup")).unwrap_or(false);
            servers.push(PlannedServer { destination, weight: number("weight").unwrap_or(1), backup });
        }
        servers
    }

    fn discover(&mut self, section: &Section<'_>) -> Option<Discover> {
        for key in ["refresh", "resolver"].into_iter().filter(|key| section.has(key)) {
            if !section.has("discover") {
                let text = format!("`{key}` goes with `discover`, and upstream has none");
                self.error(section.key_span(key), text, "leave it out");
            }
        }
        let refresh = section.read("refresh", form::time).unwrap_or(REFRESH);
        if refresh < REFRESH_MIN {
            let (text, span) = section.word("refresh")?;
            let text = format!("`refresh` is {text}, and 1s is the least: it is taken as 1s");
            self.warn(span, text, "write refresh = \"1s\" or more");
        }
        let source = section.read("discover", form::discover)?;
        let resolver = section.read("resolver", form::resolver);
        Some(Discover { source, refresh: refresh.max(REFRESH_MIN), resolver })
    }

    fn check(&mut self, section: &Section<'_>) -> Check {
        let default = Check::default();
        let every = section.read("every", form::time).unwrap_or(default.every);
        let timeout = section.read("timeout", form::time).unwrap_or(default.timeout);
        if timeout > every {
            let key = if section.has("timeout") { "timeout" } else { "every" };
            let span = section.word(key).map_or(section.span.clone(), |(_, span)| span);
            let text = format!(
                "a check may take {}, and the next begins after {}: it is slower than its interval",
                humantime::format_duration(timeout),
                humantime::format_duration(every)
            );
            self.warn(span, text, "make timeout shorter, or every longer");
        }
        let bytes = |key| section.read(key, crate::cli::values::escaped).unwrap_or_default();
        Check {
            every,
            timeout,
            fall: section.number("fall").unwrap_or(default.fall),
            rise: section.number("rise").unwrap_or(default.rise),
            send: bytes("send"),
            expect: bytes("expect"),
        }
    }

    /// The files that a table names must be there, whoever uses it.
    fn tls(&mut self, name: &str, section: &Section<'_>) {
        let several = section.sections("certs");
        if several.is_empty() && !section.has("certs") {
            self.pair(name, section);
        }
        if section.has("certs") && section.has("cert") {
            let text = "`cert` does not go with `certs`: the certificates stand in one of them";
            self.error(section.key_span("cert"), text.to_owned(), "leave one of them out");
        }
        several.iter().for_each(|pair| self.pair(name, pair));
        self.file(section, "client-ca");
    }

    /// A certificate and its key.
    fn pair(&mut self, name: &str, section: &Section<'_>) {
        for key in ["cert", "key"] {
            if section.has(key) {
                self.file(section, key);
            } else {
                let text = format!("`{key}` is missing: tls `{name}` needs a certificate and its key");
                self.missing(key, section.span.clone(), &text, &format!("write {key} = \"/path/of/a.pem\""));
            }
        }
    }

    fn file(&mut self, section: &Section<'_>, key: &str) {
        let Some((path, span)) = section.word(key).filter(|(path, _)| !path.is_empty()) else { return };
        if let Err(error) = readable(Path::new(&path)) {
            let shown = self.source.shown(&span);
            let reason = crate::error::reason(&error);
            self.error(span, format!("`{key}` cannot be {shown}: {reason}"), "name a file that can be read");
        }
    }

    /// Checks that what a route says of TLS exists.
    pub fn tls_of_routes(&mut self, top: &Section<'_>) {
        let tables: Vec<String> = top.named("tls").into_iter().map(|(name, _)| name).collect();
        for (_, listener) in top.named("listener") {
            for (text, span) in listener.sections("route").iter().filter_map(|route| route.word("tls")) {
                if tables.contains(&text)
                    || form::name(&text).is_err()
                    || self.found.may_have_meant(self.source, &text)
                {
                    continue;
                }
                let help = match nearest(&text, tables.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("begin it with a line [tls.{text}]"),
                };
                self.error(span, format!("`tls` cannot be \"{text}\": there is no [tls.{text}]"), &help);
            }
        }
        for (_, upstream) in top.named("upstream") {
            let Some(tls) = upstream.section("tls") else { continue };
            ["ca", "cert", "key"].iter().for_each(|key| self.file(&tls, key));
            if tls.truth("verify") == Some(false) {
                let text =
                    "`verify` is false: anybody between here and the server can read and change what is sent";
                self.warn(tls.key_span("verify"), text.to_owned(), "name its authority in `ca`");
            }
        }
    }

    /// Whether a route leads to the table of an upstream.
    pub fn is_used(&self, name: &str) -> bool {
        self.used.iter().any(|used| used == name)
    }

    /// Something is missing, unless a line that is no TOML has it.
    fn missing(&mut self, key: &str, span: Range<usize>, text: &str, help: &str) {
        if !self.found.may_have_meant(self.source, key) {
            self.error(span, text.to_owned(), help);
        }
    }

    fn error(&mut self, span: Range<usize>, text: String, help: &str) {
        error(self.found, self.source, span, text, help);
    }

    pub fn warn(&mut self, span: Range<usize>, text: String, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.found.add(self.source, Fault { severity: Severity::Warning, span, text, help });
    }
}

fn error(found: &mut Found, source: &SourceText, span: Range<usize>, text: String, help: &str) {
    let help = (!help.is_empty()).then(|| help.to_owned());
    found.add(source, Fault { severity: Severity::Error, span, text, help });
}

fn without(given: &Given, key: &str) -> Given {
    let mut given = given.clone();
    given.remove(key);
    given
}

fn condition(route: &Section<'_>) -> Condition {
    let bare = |(value, _)| value;
    Condition {
        from: route.read_all("from", str::parse::<Network>).into_iter().map(|(network, _)| network).collect(),
        sni: route.read_all("sni", ServerName::parse).into_iter().map(|(name, _)| name).collect(),
        alpn: route.words("alpn").into_iter().map(bare).collect(),
    }
}

fn settings(section: &Section<'_>) -> GroupSettings {
    let balance =
        |text: &str| Balance::VARIANTS.iter().find(|one| one.name() == text).copied().ok_or_else(String::new);
    let duration = |key| section.read(key, crate::cli::values::duration).flatten();
    let eject = match section.section("eject") {
        Some(eject) => Some(Eject {
            failures: eject.number("failures").unwrap_or(EJECT.failures),
            time: eject.read("for", form::time).unwrap_or(EJECT.time),
        }),
        None if section.has("eject") => None,
        None => Some(EJECT),
    };
    GroupSettings {
        balance: section.read("balance", balance).unwrap_or_default(),
        connect_timeout: duration("connect-timeout"),
        retries: section.number("retries"),
        eject,
        slow_start: duration("slow-start"),
        cut_on_down: section.word("on-down").is_some_and(|(text, _)| text == "cut"),
    }
}

/// Whether a file can be read.
fn readable(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    Ok(())
}
