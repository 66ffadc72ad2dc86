//! The tables of upstreams: their servers, where they are learnt, and how they are chosen and checked.

use crate::{
    cli::{
        config_file::{
            form,
            mistakes::Found,
            places::{Manner, Places},
            section::{Section, Word},
            shape::words,
            tls,
        },
        values::{self, UpstreamAddress},
    },
    net::{
        dial::{Destination, Override},
        proxy_header::ProxyVersion,
        tls::client::ClientTls,
    },
    server::plan::{Check, Discover, PlannedServer, PlannedUpstream, REFRESH, REFRESH_MIN},
    session::group::{Balance, EJECT, Eject, GroupSettings},
};
use serde_spanned::Spanned;
use std::{collections::HashSet, sync::Arc};
use strum::VariantArray;
use toml::de::DeValue;

/// The upstream of a table; `overrides` are addresses of names.
pub fn upstream(
    found: &mut Found<'_>,
    overrides: &Arc<[Override]>,
    name: &str,
    section: &Section<'_>,
    places: &Places<'_>,
) -> PlannedUpstream {
    if !section.has("discover") && !section.has("servers") {
        let help = "write servers = [\"host:port\"], or discover = \"dns:NAME:PORT\"";
        section.missing(found, "servers", &format!("upstream '{name}' has no server"), help);
    }
    if section.has("discover") && section.has("servers") {
        let is_later = section.key_span("discover").start > section.key_span("servers").start;
        let (second, first) = if is_later { ("discover", "servers") } else { ("servers", "discover") };
        let text = format!("'{second}' does not go with '{first}': an upstream has one of them");
        found.error(section.key_span(second), text, "leave one of them out");
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = format!("'upstream' cannot be named {name}: where a route says so, it means a port");
        found.error(section.span.clone(), text, "put a letter into the name");
    }
    let discover = discover(found, section);
    let manner = places.manner();
    let speaks_tls = speaks_tls(found, section, &manner);
    let tls = if speaks_tls { client(found, section, discover.as_ref(), places) } else { None };
    let default = Check { tls: tls.clone(), ..Check::default() };
    let check = match (section.section("check"), section.truth("check")) {
        (Some(check_section), _) => {
            let mut check = check(found, &check_section, default);
            check.tls = match check_section.truth("tls") {
                Some(false) => None,
                // Of a server to which no session speaks TLS.
                Some(true) if tls.is_none() => client(found, section, discover.as_ref(), places),
                _ => tls.clone(),
            };
            Some(check)
        }
        (None, truth) => truth.unwrap_or(false).then_some(default),
    };
    PlannedUpstream {
        name: name.to_owned(),
        is_address: false,
        servers: servers(found, overrides, section),
        discover,
        settings: GroupSettings { tls, ..settings(section, &manner) },
        check,
    }
}

/// Whether TLS is spoken to servers of a table, by sessions or by checks, as the places say it that hold for all tables.
pub fn follows(section: &Section<'_>, manner: &Manner) -> bool {
    let is_tls = |(text, _): &Word| form::address(text).is_ok_and(|address| address.is_tls);
    let is_checked = || section.section("check").and_then(|check| check.truth("tls")) == Some(true);
    !section.has("tls") && (manner.speaks_tls || server_words(section).iter().any(is_tls) || is_checked())
}

/// Whether TLS is spoken to the servers of an upstream: its table says so, or their addresses do, or it is so everywhere.
fn speaks_tls(found: &mut Found<'_>, section: &Section<'_>, manner: &Manner) -> bool {
    let addresses = server_words(section).into_iter();
    let addresses: Vec<_> =
        addresses.filter_map(|(text, span)| Some((form::address(&text).ok()?.is_tls, span))).collect();
    let is_addressed = addresses.iter().any(|(is_tls, _)| *is_tls);
    let says = section.truth("tls").or(section.section("tls").map(|_| true));
    let says = says.or(manner.speaks_tls.then_some(true));
    let told = match says {
        Some(true) => None,
        Some(false) => addresses.iter().find(|(is_tls, _)| *is_tls).map(|(_, span)| (span, "'tls' is false")),
        None if is_addressed => addresses.iter().find(|(is_tls, _)| !is_tls).map(|(_, span)| {
            (
                span,
                "another one begins with tls://, and an upstream speaks TLS to all of its servers or to none",
            )
        }),
        None => None,
    };
    let is_clear = told.is_none();
    if let Some((span, why)) = told {
        let text = format!("'servers' cannot have {}: {why}", found.source.shown(span));
        found.error(span.clone(), text, "write tls = true for all, or another upstream for the others");
    }
    says.unwrap_or(is_addressed) && is_clear
}

/// How TLS is spoken to the servers of an upstream, whose certificates must have a name.
fn client(
    found: &mut Found<'_>,
    section: &Section<'_>,
    discover: Option<&Discover>,
    places: &Places<'_>,
) -> Option<ClientTls> {
    let table = section.section("tls");
    let is_named = match &table {
        Some(table) => table.has("name"),
        None => !section.has("tls") && places.manner().name.is_some(),
    };
    if !is_named {
        for (text, span) in server_words(section) {
            if form::address(&text).is_ok_and(|address| !address.has_name()) {
                tls::nameless(found, span, "write tls = { name = \"HOST\" }");
            }
        }
    }
    let name = discover.map(|discover| discover.source.certificate_name().to_owned());
    match table {
        Some(table) => tls::client(found, &table, name),
        None if !section.has("tls") => places.client(found, &section.span, name),
        None => tls::plain_client(found, &section.key_span("tls"), name),
    }
}

/// The addresses of a list of servers, each with its span.
fn server_words(section: &Section<'_>) -> Vec<Word> {
    let Some(DeValue::Array(list)) = section.value("servers").map(Spanned::get_ref) else {
        return Vec::new();
    };
    let word = |one| match Section::of(one) {
        Some(table) => table.word("address"),
        None => words(one).into_iter().next(),
    };
    list.iter().filter_map(word).collect()
}

fn servers(found: &mut Found<'_>, overrides: &Arc<[Override]>, section: &Section<'_>) -> Vec<PlannedServer> {
    let list = match section.value("servers").map(Spanned::get_ref) {
        Some(DeValue::Array(list)) => list,
        _ => return Vec::new(),
    };
    if list.is_empty() {
        let text = "'servers' cannot be []: the upstream has no server";
        found.error(section.key_span("servers"), text, "write servers = [\"host:port\"]");
    }
    let (mut servers, mut known) = (Vec::new(), HashSet::new());
    for one in list.iter() {
        let table = Section::of(one);
        let word = match &table {
            Some(table) => table.word("address"),
            None => words(one).into_iter().next(),
        };
        if let Some(table) = table.as_ref().filter(|table| !table.has("address")) {
            let help = "write { address = \"host:port\" }";
            table.missing(found, "address", "the server is nowhere", help);
        }
        let Some((text, span)) = word else { continue };
        let Ok(UpstreamAddress { endpoint, .. }) = form::address(&text) else { continue };
        if !known.insert(endpoint.clone()) {
            let text = format!("'servers' has \"{text}\" twice");
            found.error(span, text, "give it a weight, in place of listing it again");
            continue;
        }
        let destination = Destination { endpoint, overrides: overrides.clone() };
        let weight = table.as_ref().and_then(|table| table.number("weight")).unwrap_or(1);
        let backup = table.as_ref().and_then(|table| table.truth("backup")).unwrap_or(false);
        servers.push(PlannedServer { destination, weight, backup });
    }
    servers
}

fn discover(found: &mut Found<'_>, section: &Section<'_>) -> Option<Discover> {
    for key in ["refresh", "resolver"].into_iter().filter(|key| section.has(key)) {
        if !section.has("discover") {
            let text = format!("'{key}' goes with 'discover', which the upstream does not have");
            found.error(section.key_span(key), text, "leave it out");
        }
    }
    let refresh = section.read("refresh", form::time).unwrap_or(REFRESH);
    if refresh < REFRESH_MIN {
        let (text, span) = section.word("refresh")?;
        let text = format!("'refresh' is \"{text}\", which is taken as 1s, the least");
        found.warn(span, text, "write refresh = \"1s\" or more");
    }
    let source = section.read("discover", form::discover)?;
    let resolver = section.read("resolver", form::resolver);
    Some(Discover { source, refresh: refresh.max(REFRESH_MIN), resolver })
}

fn check(found: &mut Found<'_>, section: &Section<'_>, default: Check) -> Check {
    let every = section.read("every", form::time).unwrap_or(default.every);
    let timeout = section.read("timeout", form::time).unwrap_or(default.timeout);
    if timeout > every {
        let key = if section.has("timeout") { "timeout" } else { "every" };
        let span = section.word(key).map_or(section.span.clone(), |(_, span)| span);
        let [timeout, every] = [timeout, every].map(humantime::format_duration);
        let text =
            format!("'check' is slower than its interval: it may take {timeout}, and 'every' is {every}");
        found.warn(span, text, "make timeout shorter, or every longer");
    }
    let bytes = |key| section.read(key, values::escaped).unwrap_or_default();
    Check {
        every,
        timeout,
        fall: section.number("fall").unwrap_or(default.fall),
        rise: section.number("rise").unwrap_or(default.rise),
        send: bytes("send"),
        expect: bytes("expect"),
        ..default
    }
}

fn settings(section: &Section<'_>, manner: &Manner) -> GroupSettings {
    let balance =
        |text: &str| Balance::VARIANTS.iter().find(|one| one.name() == text).copied().ok_or(String::new());
    let duration = |key| section.read(key, values::duration).flatten();
    let eject = match section.section("eject") {
        Some(eject) => Some(Eject {
            failures: eject.number("failures").unwrap_or(EJECT.failures),
            time: eject.read("for", form::time).unwrap_or(EJECT.time),
        }),
        // It is off.
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
        send_proxy: match section.has("send-proxy") {
            true => section.read("send-proxy", str::parse::<ProxyVersion>),
            false => manner.send_proxy,
        },
        tls: None,
    }
}
