//! What is legal in a file, and probably wrong.

use crate::{
    cli::config_file::{meaning::Meaning, section::Section},
    net::network::{Access, Network},
    server::plan::PlannedRoute,
};
use std::ops::Range;

/// An upstream that no route leads to.
pub fn unused(meaning: &mut Meaning<'_>, upstreams: &[(String, Section<'_>)]) {
    for (name, section) in upstreams {
        if !meaning.is_used(name) && !meaning.found.may_have_meant(meaning.source, name) {
            let text = format!("upstream `{name}` is not used: no route leads to it");
            meaning.warn(section.span.clone(), text, "");
        }
    }
}

/// A route that a former one shadows; a mode without a UNIX socket.
pub fn of_listener(
    meaning: &mut Meaning<'_>,
    section: &Section<'_>,
    routes: &[(PlannedRoute, Range<usize>)],
) {
    for (index, (route, span)) in routes.iter().enumerate() {
        let former = routes[..index].iter().position(|(former, _)| former.condition.covers(&route.condition));
        if let Some(former) = former {
            let text = format!(
                "no connection takes this route: route {} before it fits all of its connections",
                former + 1
            );
            meaning.warn(span.clone(), text, "put it before that route, or leave it out");
        }
    }
    let is_unix = |(text, _): &(String, Range<usize>)| text.starts_with("unix:");
    if section.has("mode") && !section.words("listen").iter().any(is_unix) {
        let text = "`mode` is of UNIX sockets, and the listener has none".to_owned();
        meaning.warn(section.key_span("mode"), text, "");
    }
}

/// A source in both `allow` and `deny`.
pub fn access(meaning: &mut Meaning<'_>, section: &Section<'_>, access: &Access) {
    for (text, span) in section.words("allow") {
        let networks = text.split(',').filter_map(|one| one.trim().parse::<Network>().ok());
        for allowed in networks {
            if let Some(denied) = access.deny.iter().find(|denied| denied.covers(&allowed)) {
                let text = format!(
                    "`{allowed}` of `allow` may not connect: `deny` has `{denied}`, which counts first"
                );
                meaning.warn(span.clone(), text, "");
            }
        }
    }
}
