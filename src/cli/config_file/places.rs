//! Options of `proxy` that a file may have for all of its listeners, or for one: what ends TLS where no route says it, and how
//! servers are spoken to whose table does not say it. They stand at the top, in `[defaults]` or in a listener; the nearest
//! place counts.

use crate::{
    cli::{
        config_file::{mistakes::Found, section::Section, tls},
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
use std::{ops::Range, path::PathBuf};

/// What ends TLS of clients. They belong together: all are taken from one place.
const OF_CLIENTS: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];
/// In place of a certificate: TLS does not end here, whatever a farther place says.
const OFF: &str = "off";

/// Places from the nearest to the farthest, each with how it is named.
#[derive(Clone)]
pub struct Places<'t>(Vec<(String, Section<'t>)>);

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
        let is_off = section.word("tls-cert").is_some_and(|(text, _)| text == OFF);
        (!is_off).then_some((name, section))
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
