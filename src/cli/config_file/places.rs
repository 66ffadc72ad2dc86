//! Options of `proxy` that a file may have for all of its listeners, or for one: what ends TLS where no route says it, and how
//! servers are spoken to whose table does not say it. They stand at the top, in `[defaults]` or in a listener; the nearest
//! place counts.

use crate::{
    cli::{
        config_file::{
            form::{self, Destined},
            mistakes::Found,
            section::Section,
            tls,
        },
        values,
    },
    net::{
        proxy_header::ProxyVersion,
        tls::{
            client::{ClientTls, ClientTlsFiles},
            files::TlsFault,
        },
    },
};
use std::{collections::BTreeSet, ops::Range, path::PathBuf};

/// What ends TLS of clients. They belong together: all are taken from one place.
const OF_CLIENTS: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];
/// In place of a certificate: TLS does not end here, whatever a farther place says.
const OFF: &str = "off";

/// How servers are spoken to that have no table. Each is taken from the nearest place.
const OF_SERVERS: [&str; 4] = ["upstream-tls", "upstream-ca", "upstream-name", "send-proxy"];
/// Of those, what is nothing without TLS.
const OF_SERVERS_TLS: [&str; 2] = ["upstream-ca", "upstream-name"];

/// Places from the nearest to the farthest, each with how it is named.
#[derive(Clone)]
pub struct Places<'t>(Vec<(String, Section<'t>)>);

/// What the routes of a listener lead to.
pub struct Destinations {
    has_address: bool,
    /// Whether TLS is spoken to one of the addresses.
    pub over_tls: bool,
    /// The names of tables.
    tables: BTreeSet<String>,
}

/// How servers are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub send_proxy: Option<ProxyVersion>,
    pub speaks_tls: bool,
    pub ca: Option<PathBuf>,
    /// The name that certificates must have; none: that of each server.
    pub name: Option<String>,
}

impl<'t> Places<'t> {
    /// Those of all listeners.
    pub fn of_file(top: &Section<'t>) -> Self {
        let defaults = top.section("defaults").map(|section| ("[defaults]".to_owned(), section));
        Places(defaults.into_iter().chain([("the top".to_owned(), top.clone())]).collect())
    }

    /// The same, and a listener before them.
    pub fn of_listener(&self, name: &str, section: &Section<'t>) -> Self {
        let own = (format!("listener {name}"), section.clone());
        Places([own].into_iter().chain(self.0.clone()).collect())
    }

    /// The nearest place with one of these keys.
    fn nearest(&self, keys: &[&str]) -> Option<&(String, Section<'t>)> {
        self.0.iter().find(|(_, section)| keys.iter().any(|key| section.has(key)))
    }

    pub fn manner(&self) -> Manner {
        let of = |key| self.nearest(&[key]).map(|(_, section)| section);
        Manner {
            send_proxy: of("send-proxy").and_then(|section| section.read("send-proxy", str::parse)),
            speaks_tls: of("upstream-tls").and_then(|section| section.truth("upstream-tls")) == Some(true),
            ca: of("upstream-ca")
                .and_then(|section| section.word("upstream-ca"))
                .map(|(path, _)| path.into()),
            name: of("upstream-name").and_then(|section| section.read("upstream-name", values::host_name)),
        }
    }

    /// The place that says what ends TLS of clients; none if no place does, or the nearest says that nothing does.
    pub fn ending_tls(&self) -> Option<(&str, &Section<'t>)> {
        let (name, section) = self.nearest(&OF_CLIENTS)?;
        (!is_off(section)).then_some((name, section))
    }

    /// How TLS is spoken to servers whose certificates must have `name`, if no place says another one; what is not right
    /// with the system's authorities is told at `span`.
    pub fn client(
        &self,
        found: &mut Found<'_>,
        span: &Range<usize>,
        name: Option<String>,
    ) -> Option<ClientTls> {
        let manner = self.manner();
        let name = manner.name.or(name);
        match self.nearest(&["upstream-ca"]) {
            Some((_, section)) => {
                let files = ClientTlsFiles { ca: manner.ca, name, ..ClientTlsFiles::default() };
                let loaded = ClientTls::load(files);
                let tell = |mistake: &TlsFault| tls::tell_at(found, section, "upstream-ca", mistake);
                loaded.map_err(|mistakes| mistakes.iter().for_each(tell)).ok()
            }
            None => tls::plain_client(found, span, name),
        }
    }
}

impl Destinations {
    /// Those of a listener's section, whose nearest place may say that all its addresses are spoken to by TLS.
    pub fn of(section: &Section<'_>, manner: &Manner) -> Self {
        let routes = section.sections("route");
        let words = routes.iter().chain([section]).filter_map(|route| route.word("upstream"));
        let mut led = Destinations { has_address: false, over_tls: false, tables: BTreeSet::new() };
        for (text, _) in words {
            match form::upstream(&text) {
                Ok(Destined::Address(address)) => {
                    led.has_address = true;
                    led.over_tls |= address.is_tls || manner.speaks_tls;
                }
                Ok(Destined::Table(name)) => drop(led.tables.insert(name)),
                Err(_) => {}
            }
        }
        led
    }

    /// Tells what a listener says of servers that is for none of them.
    pub fn judge(&self, found: &mut Found<'_>, listener: &str, section: &Section<'_>) {
        if self.has_address && !self.over_tls {
            let why = format!("which is not spoken to the addresses of listener '{listener}'");
            return without_tls(found, section, &why);
        }
        if self.has_address || self.tables.is_empty() {
            return;
        }
        let tables: Vec<_> = self.tables.iter().map(|name| format!("[upstream.{name}]")).collect();
        let tables = tables.join(" and ");
        for key in OF_SERVERS.into_iter().filter(|key| section.has(key)) {
            let text = format!(
                "'{key}' is not used: it is for addresses, and listener '{listener}' leads only to {tables}"
            );
            let shown = section.word(key).map(|(_, span)| found.source.shown(&span)).unwrap_or_default();
            let form = match key {
                "upstream-tls" => format!("tls = {}", section.truth(key).unwrap_or(true)),
                "upstream-ca" => format!("tls = {{ ca = {shown} }}"),
                "upstream-name" => format!("tls = {{ name = {shown} }}"),
                _ => format!("{key} = {shown}"),
            };
            found.warn(section.key_span(key), text, &format!("write {form} in {tables}, or leave it out"));
        }
    }
}

/// Tells keys about TLS to servers where it is not spoken; `why` says where.
pub fn without_tls(found: &mut Found<'_>, section: &Section<'_>, why: &str) {
    let is_right = |key: &str| match key {
        "upstream-name" => section.read(key, values::host_name).is_some(),
        _ => section.word(key).is_some(),
    };
    if found.may_have_meant("upstream-tls") {
        return;
    }
    for key in OF_SERVERS_TLS.into_iter().filter(|key| is_right(key)) {
        let text = format!("'{key}' is about TLS, {why}");
        found.error(section.key_span(key), text, "write upstream-tls = true, or leave it out");
    }
}

/// Tells what stands beside `tls-cert = "off"` as if TLS ended.
pub fn beside_off(found: &mut Found<'_>, section: &Section<'_>) {
    for key in ["tls-key", "client-ca"].into_iter().filter(|key| is_off(section) && section.has(key)) {
        let text = format!("'{key}' goes with a certificate, and 'tls-cert' is \"{OFF}\": TLS does not end");
        found.error(section.key_span(key), text, "name the certificate in tls-cert, or leave it out");
    }
}

fn is_off(section: &Section<'_>) -> bool {
    section.word("tls-cert").is_some_and(|(text, _)| text == OFF)
}
