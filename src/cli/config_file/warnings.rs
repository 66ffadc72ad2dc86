//! What is legal in a file, and probably wrong.

use crate::{
    cli::config_file::{meaning::PlacedRoute, mistakes::Found, section::Section},
    net::network::{Access, Network},
};
use std::collections::BTreeSet;

/// Each route is compared with all before it.
const COMPARED_MAX: usize = 1000;

/// An upstream that no route leads to.
pub fn unused(found: &mut Found<'_>, upstreams: &[(String, Section<'_>)], used: &BTreeSet<String>) {
    for (name, section) in upstreams {
        if !used.contains(name) && !found.may_have_meant(name) {
            let text = format!("upstream '{name}' is not used: no route leads to it");
            found.warn(section.span.clone(), text, "name it in a route, or leave it out");
        }
    }
}

/// A route that a former one shadows.
pub fn shadowed(found: &mut Found<'_>, listener: &str, routes: &[PlacedRoute]) {
    for (index, later) in routes.iter().enumerate().take(COMPARED_MAX) {
        let covers = |former: &PlacedRoute| {
            former.is_whole && later.is_whole && former.route.condition.covers(&later.route.condition)
        };
        if let Some(former) = routes[..index].iter().position(covers) {
            let text = format!(
                "no connection takes route {listener}#{}: {listener}#{} comes first, and fits all of them",
                index + 1,
                former + 1
            );
            found.warn(later.span.clone(), text, "put it before that route, or leave it out");
        }
    }
}

/// Permissions without a UNIX socket that has a file.
pub fn mode(found: &mut Found<'_>, section: &Section<'_>) {
    let is_unix = |text: &str| text.starts_with("unix:") && !text.starts_with("unix:@");
    if section.has("mode") && !section.words("listen").iter().any(|(text, _)| is_unix(text)) {
        let text = "'mode' is for UNIX sockets with a file, and the listener has none";
        found.warn(section.key_span("mode"), text, "leave it out");
    }
}

/// A source in both `allow` and `deny`.
pub fn access(found: &mut Found<'_>, section: &Section<'_>, access: &Access) {
    for (text, span) in section.words("allow") {
        let networks = text.split(',').filter_map(|one| one.trim().parse::<Network>().ok());
        for allowed in networks {
            if let Some(denied) = access.deny.iter().find(|denied| denied.covers(&allowed)) {
                let text = format!("'allow' has {allowed}, and 'deny' has {denied}, which counts first");
                found.warn(span.clone(), text, "leave one of them out");
            }
        }
    }
}
