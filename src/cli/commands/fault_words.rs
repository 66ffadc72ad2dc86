//! `ctl fault`: its words and options as what a server is asked for.

use crate::{
    cli::words::nearest,
    control::protocol::Request,
    net::network::Network,
    session::faults::{
        fault::{FaultPlan, FaultStream, Schedule, Scope, Toxicity, Values},
        kind::FaultKind,
    },
    tools::ctl::settings::Verb,
};
use serde_json::{Map, Value, json};
use strum::VariantArray;

/// What the options say of a fault that is to come.
#[derive(Debug, Default)]
pub struct FaultOptions {
    pub name: Option<String>,
    pub stream: FaultStream,
    pub share: Option<Toxicity>,
    pub clients: Vec<Network>,
    pub sessions: Vec<u64>,
    pub skip: u64,
    pub count: u64,
    pub every: u64,
    pub schedule: Schedule,
}

/// `add [LISTENER] KIND [VALUES…]`.
pub fn add(words: &[&str], options: FaultOptions) -> Result<Verb, String> {
    let is_kind = |word: &str| fault_kind(word).is_ok();
    let (listener, kind, values) = match *words {
        [] => return Err(format!("'fault add' needs a listener and a kind; {}", kinds())),
        [listener, kind, ref values @ ..] if is_kind(kind) => (Some(listener.to_owned()), kind, values),
        [kind, ref values @ ..] if is_kind(kind) => (None, kind, values),
        [listener] if options.sessions.is_empty() => {
            return Err(format!("the kind of the fault is missing after '{listener}'; {}", kinds()));
        }
        // It is none.
        [_, kind, ..] | [kind] => (None, kind, &[][..]),
    };
    let kind = fault_kind(kind)?;
    let told: Values = kind.read_values(values)?.map(Option::unwrap_or_default);
    let FaultOptions { name, stream, share, clients, sessions, skip, count, every, schedule } = options;
    let plan = FaultPlan {
        name: name.unwrap_or_else(|| FaultPlan::default_name(kind, stream)),
        kind,
        stream,
        values: told,
        toxicity: share.unwrap_or(Toxicity::ALWAYS),
        scope: Scope { clients, sessions, skip, count, every },
        schedule,
    };
    plan.check()?;
    Ok(Verb::Ask(Request::FaultAdd { listener, fault: toxic_of(&plan) }))
}

/// Errors: the values are none of any kind. That they are those of the fault's kind is known once the server has told it.
pub fn check_update(name: &str, words: &[&str]) -> Result<(), String> {
    let read = |kind: &FaultKind| kind.read_values(words).map(drop);
    if words.is_empty() || FaultKind::VARIANTS.iter().any(|kind| read(kind).is_ok()) {
        return Ok(());
    }
    let streams = [FaultStream::Upstream, FaultStream::Downstream];
    let is_named_by =
        |kind: &&FaultKind| streams.iter().any(|stream| FaultPlan::default_name(**kind, *stream) == name);
    FaultKind::VARIANTS.iter().find(is_named_by).map_or(Ok(()), read)?;
    Err(format!(
        "no kind of fault takes '{}'; 'switchboard help faults' has what each takes",
        words.join(" ")
    ))
}

/// The kind of this name, in which a dash is as good as an underline.
/// Errors: why there is none, and what is like it.
fn fault_kind(word: &str) -> Result<FaultKind, String> {
    FaultKind::named(&written(word)).map_err(|reason| match reason.split_once(": ") {
        Some((_, why)) => format!("there is no kind of fault '{word}': {why}"),
        None => {
            let like = nearest(word, FaultKind::VARIANTS.iter().map(|kind| kind.name()));
            let help = like.map_or_else(kinds, |like| format!("did you mean '{like}'?"));
            format!("there is no kind of fault '{word}'; {help}")
        }
    })
}

fn written(word: &str) -> String {
    word.replace('-', "_")
}

fn kinds() -> String {
    let names: Vec<_> = FaultKind::VARIANTS.iter().map(|kind| kind.name()).collect();
    format!("the kinds are {}", names.join(", "))
}

/// A fault that is to be added, as the server reads it.
fn toxic_of(plan: &FaultPlan) -> Map<String, Value> {
    let FaultPlan { name, kind, stream, values, toxicity, scope, schedule } = plan;
    let attributes: Map<_, _> =
        kind.attributes(values).map(|(one, value)| (one.name.to_owned(), value.into())).collect();
    let clients: Vec<_> = scope.clients.iter().map(ToString::to_string).collect();
    let toxic = json!({
        "name": name,
        "type": kind.name(),
        "stream": stream.name(),
        "attributes": attributes,
        "toxicity": f64::from(toxicity.get()),
        "clients": clients,
        "sessions": scope.sessions,
        "skip": scope.skip,
        "count": scope.count,
        "every": scope.every,
        "after_ms": schedule.after_ms,
        "expires_ms": schedule.expires_ms,
        "on_ms": schedule.on_ms,
        "off_ms": schedule.off_ms,
    });
    // What says nothing is left out.
    let says = |value: &Value| *value != json!(0) && *value != json!([]) && *value != json!({});
    let keys = toxic.as_object().cloned().unwrap_or_default().into_iter();
    keys.filter(|(key, value)| key == "toxicity" || says(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Config, Parsed, parse};
    use std::ffi::OsString;

    fn parsed(line: &str) -> Result<Verb, String> {
        let words = ["ctl", "fault"].into_iter().chain(line.split_whitespace());
        match parse(words.map(OsString::from), []).map_err(|error| error.to_string())? {
            Parsed::Run(Config::Ctl(ctl)) => Ok(ctl.verb),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn added(line: &str) -> Value {
        match parsed(line) {
            Ok(Verb::Ask(Request::FaultAdd { listener, fault })) => json!([listener, fault]),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn words_and_options_become_a_toxic() {
        let wanted = json!(["web", {
            "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1.0,
            "attributes": {"latency": 120, "jitter": 20},
        }]);
        assert_eq!(added("add web latency 120ms+-20ms"), wanted);
        let line = "add limit_data 100 --name x --up --share 50% --from 10.0.0.0/8,::1 --session 4,5 --skip 1 \
                    --count 2 --every 3 --after 1s --for 2m --on 3s --off 4ms";
        let wanted = json!([null, {
            "name": "x", "type": "limit_data", "stream": "upstream", "toxicity": 0.5,
            "attributes": {"bytes": 100}, "clients": ["10.0.0.0/8", "::1"], "sessions": [4, 5],
            "skip": 1, "count": 2, "every": 3,
            "after_ms": 1_000, "expires_ms": 120_000, "on_ms": 3_000, "off_ms": 4,
        }]);
        assert_eq!(added(line), wanted);
        // A listener may have the name of a kind.
        assert_eq!(added("add noop slow-close 1s")[0], "noop");
        assert_eq!(added("add noop")[0], Value::Null);
        assert_eq!(added("add noop")[1].get("attributes"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (line, wanted) in [
            ("add", "'fault add' needs a listener and a kind; the kinds are latency, "),
            ("add web", "the kind of the fault is missing after 'web'; the kinds are latency, "),
            ("add web latncy 5ms", "there is no kind of fault 'latncy'; did you mean 'latency'?"),
            (
                "add web packet_loss 5",
                "there is no kind of fault 'packet_loss': packet loss is invisible above TCP; use hiccup",
            ),
            ("add web latency 5bananas", "latency cannot be '5bananas': it is no amount of it"),
            ("add web latency 5ms --on 5s", "on_ms and off_ms go together"),
            ("add web latency 5ms --up --down", "option '--up' does not go with '--down'"),
            (
                "add web latency 5ms --share 12",
                "option '--share' cannot be '12': it is no share of the sessions",
            ),
            (
                "add web latency 5ms --session x",
                "option '--session' cannot be 'x': it is not the number of a session",
            ),
            ("add web latency 5ms --for off", "option '--for' cannot be 'off': it cannot be off"),
            (
                "add web flap 1s 1s --share 10%",
                "flap is of the listener as a whole: it takes no share and no scope",
            ),
            ("update web", "'fault update' needs a listener and the name of a fault"),
            ("update web slow", "'fault update' needs what is to change: values, or --share"),
            ("update web slow 5bananas", "no kind of fault takes '5bananas'; 'switchboard help faults' has"),
            ("update web latency_upstream 5bananas", "latency cannot be '5bananas': it is no amount of it"),
            ("update web slow lag=5ms", "no kind of fault takes 'lag=5ms'"),
            ("update web slow 1 2 3 4", "no kind of fault takes '1 2 3 4'"),
            ("remove web", "'fault remove' needs a listener and the name of a fault; or --all"),
            ("remove web slow --all", "option '--all' does not go with 'fault'"),
            ("list --skip 5", "option '--skip' does not go with 'fault'"),
            ("", "what to do with faults is missing; write fault list, add, update or remove"),
        ] {
            let told = parsed(line).unwrap_err();
            assert!(told.contains(wanted), "{line}: {told}");
        }
    }
}
