//! What a file listens on, so that an address that is listened on twice is found.

use crate::{
    cli::config_file::{form, mistakes::Found, section::Word},
    net::endpoint::{Endpoint, Host},
};
use std::{collections::HashMap, net::IpAddr};

/// By their ports; those without one have 0.
#[derive(Default)]
pub struct Listened(HashMap<u16, Vec<(Endpoint, String)>>);

impl Listened {
    /// Adds an address that `owner` listens on, which stands after `key`. It may be listened on already.
    pub fn add(&mut self, found: &mut Found<'_>, key: &str, owner: &str, (text, span): Word) {
        let Ok(endpoint) = form::listen(&text) else { return };
        let port = match endpoint {
            Endpoint::Tcp { port, .. } => port,
            _ => 0,
        };
        let same_port = self.0.entry(port).or_default();
        if let Some((other, first)) = same_port.iter().find(|(other, _)| overlap(other, &endpoint)) {
            let form = if *other == endpoint { String::new() } else { format!(" as {other}") };
            let text = format!("'{key}' cannot be \"{text}\": '{first}' listens on it already{form}");
            found.error(span, text, "choose another address");
        }
        same_port.push((endpoint, owner.to_owned()));
    }
}

/// Whether both cannot be listened on at once. Names are not resolved.
fn overlap(one: &Endpoint, other: &Endpoint) -> bool {
    let (Endpoint::Tcp { host, port }, Endpoint::Tcp { host: other_host, port: other_port }) = (one, other)
    else {
        return one == other;
    };
    // Port 0 is another one each time.
    *port != 0
        && port == other_port
        && (host == other_host || covers(host, other_host) || covers(other_host, host))
}

/// Whether a host is every address, the other one among them.
fn covers(wide: &Host, narrow: &Host) -> bool {
    match (wide, narrow) {
        (Host::Any, _) => true,
        (Host::Ip(wide), Host::Ip(narrow)) => {
            wide.is_unspecified() && matches!(wide, IpAddr::V4(_)) == narrow.is_ipv4()
        }
        _ => false,
    }
}
