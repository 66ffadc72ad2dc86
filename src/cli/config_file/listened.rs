//! What a file listens on, so that an address that is listened on twice is found.

use crate::{
    cli::config_file::form,
    net::endpoint::{Endpoint, Host},
};
use std::{net::IpAddr, ops::Range};

#[derive(Default)]
pub struct Listened(Vec<(Endpoint, String)>);

impl Listened {
    /// Adds an address. If it is listened on already, `complain` is told where and why.
    pub fn add(
        &mut self,
        who: &str,
        text: &str,
        span: &Range<usize>,
        complain: impl FnOnce(Range<usize>, String),
    ) {
        let Ok(endpoint) = form::listen(text) else { return };
        if let Some((other, owner)) = self.0.iter().find(|(other, _)| overlap(other, &endpoint)) {
            let same = if *other == endpoint { String::new() } else { format!(" as `{other}`") };
            let text = format!("`{text}` of `{who}` is listened on twice: `{owner}` has it already{same}");
            complain(span.clone(), text);
        }
        self.0.push((endpoint, who.to_owned()));
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
