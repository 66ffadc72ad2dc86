//! The faults of a listener, each a table with the keys of a toxic.

use crate::{
    cli::config_file::{
        form,
        mistakes::Found,
        section::Section,
        shape::{in_order, share, whole},
    },
    net::{endpoint::Endpoint, network::Network},
    server::listener_faults,
    session::faults::{
        fault::{FaultPlan, FaultStream, Schedule, Scope, Toxicity, Values},
        kind::FaultKind,
        set::FAULTS_MAX,
    },
};
use std::collections::HashSet;

/// Keys that say which sessions are hit.
const OF_THE_SCOPE: [&str; 6] = ["toxicity", "clients", "sessions", "skip", "count", "every"];

/// The faults of a listener's table; what is wrong with one has been told.
pub fn faults(
    found: &mut Found<'_>,
    listener: &str,
    endpoints: &[Endpoint],
    section: &Section<'_>,
) -> Vec<FaultPlan> {
    let (mut faults, mut names) = (Vec::new(), HashSet::new());
    for one in section.sections("fault") {
        let Some(plan) = fault(found, &one) else { continue };
        if let Err(reason) = listener_faults::check(plan.kind, endpoints) {
            let text = format!("fault '{}' cannot be: {reason}", plan.name);
            found.error(one.key_span("type"), text, "");
        }
        if !names.insert(plan.name.clone()) {
            let text = format!("'fault' has '{}' twice in listener '{listener}'", plan.name);
            let span = one.word("name").map_or(one.span.clone(), |(_, span)| span);
            found.error(span, text, "give it another name");
        }
        if faults.len() == FAULTS_MAX {
            let text = format!("listener '{listener}' has more than {FAULTS_MAX} faults");
            found.error(one.span.clone(), text, "leave some out");
        }
        faults.push(plan);
    }
    faults
}

fn fault(found: &mut Found<'_>, section: &Section<'_>) -> Option<FaultPlan> {
    if !section.has("type") {
        let help = "write type = \"latency\", or another kind of 'switchboard help faults'";
        section.missing(found, "type", "the fault does nothing", help);
    }
    let kind = section.read("type", form::fault_kind)?;
    let stream = section.word("stream").map_or(FaultStream::Downstream, |(text, _)| {
        if text == FaultStream::Upstream.name() { FaultStream::Upstream } else { FaultStream::Downstream }
    });
    let given = section.word("name").map(|(name, _)| name);
    let toxicity = section.value("toxicity").and_then(|value| share(value.get_ref()));
    let number = |key| section.whole(key).unwrap_or_default();
    let sessions = section.words("sessions").into_iter();
    let plan = FaultPlan {
        name: given.unwrap_or_else(|| FaultPlan::default_name(kind, stream)),
        kind,
        stream,
        values: values(found, kind, section),
        toxicity: toxicity.and_then(|share| Toxicity::new(share).ok()).unwrap_or(Toxicity::ALWAYS),
        scope: Scope {
            clients: section.read_all("clients", str::parse::<Network>),
            sessions: sessions.filter_map(|(text, _)| text.parse().ok()).collect(),
            skip: number("skip"),
            count: number("count"),
            every: number("every"),
        },
        schedule: Schedule {
            after_ms: number("after_ms"),
            expires_ms: number("expires_ms"),
            on_ms: number("on_ms"),
            off_ms: number("off_ms"),
        },
    };
    check(found, &plan, section);
    Some(plan)
}

/// The attributes of a kind that a table has.
fn values(found: &mut Found<'_>, kind: FaultKind, section: &Section<'_>) -> Values {
    let mut values = Values::default();
    let Some(table) = section.section("attributes") else { return values };
    for (key, value) in in_order(table.table) {
        let (name, known) = (key.get_ref(), kind.page().attributes);
        let Some(at) = kind.index(name) else {
            let names: Vec<&str> = known.iter().map(|one| one.name).collect();
            let text = format!("'{}' is no attribute of {}", found.source.shown(&key.span()), kind.name());
            found.error(key.span(), text, &form::instead(name, &names, &kind.takes()));
            continue;
        };
        match whole(value.get_ref()).filter(|number| *number <= known[at].max) {
            Some(number) => values[at] = number,
            None => {
                let of = match known[at].unit.name() {
                    "" => String::new(),
                    unit => format!(" of {unit}"),
                };
                let (shown, max) = (found.source.shown(&value.span()), known[at].max);
                let text =
                    format!("'{name}' cannot be {shown}: it must be a whole number{of} from 0 to {max}");
                found.error(value.span(), text, "");
            }
        }
    }
    values
}

/// Tells what cannot be, where it stands.
fn check(found: &mut Found<'_>, plan: &FaultPlan, section: &Section<'_>) {
    let Err(reason) = plan.check() else { return };
    let place = if plan.kind.check(&plan.values).is_err() {
        Some("attributes")
    } else if (plan.schedule.on_ms == 0) != (plan.schedule.off_ms == 0) {
        ["on_ms", "off_ms"].into_iter().find(|key| section.has(key))
    } else {
        OF_THE_SCOPE.into_iter().find(|key| section.has(key))
    };
    let span = place.map_or(section.span.clone(), |key| section.key_span(key));
    found.error(span, format!("fault '{}' cannot be: {reason}", plan.name), "");
}
