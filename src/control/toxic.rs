//! A fault as JSON: what toxiproxy calls a toxic. Its API and the control socket write and read the same object.
//!
//! It is read as Go's decoder does, for clients lean on that: keys in any case, null is as good as nothing, unknown keys are
//! ignored. It is written as toxiproxy writes it; what is ours stands in it only where it was set.

use crate::{
    net::network::Network,
    session::faults::{
        fault::{ATTRIBUTES_MAX, Fault, FaultPlan, FaultStream, Schedule, Scope, Toxicity, Values},
        kind::FaultKind,
        set::FaultChange,
    },
};
use serde_json::{Map, Number, Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// Attributes that toxiproxy's own kinds do not have there: its clients get them only where they were set.
const OWN_ATTRIBUTES: [(FaultKind, &str); 2] =
    [(FaultKind::Bandwidth, "burst"), (FaultKind::Bandwidth, "shared")];

/// Why an object is no toxic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToxicError {
    #[error("bad request body: {0}")]
    Body(String),
    #[error("stream was invalid, can be either upstream or downstream")]
    Stream,
    /// `invalid toxic type`, with the reason where there is one.
    #[error("{0}")]
    Kind(String),
    /// Its numbers cannot be.
    #[error("{0}")]
    Wrong(String),
}

/// What an object says, all but its attributes, which are read last.
pub struct ToxicDraft<'a> {
    pub name: String,
    kind: FaultKind,
    stream: FaultStream,
    toxicity: Option<f32>,
    scope: Scope,
    schedule: Schedule,
    attributes: Option<&'a Map<String, Value>>,
}

/// What is wrong with a text that is no JSON, without its place.
pub fn why_no_json(error: &serde_json::Error) -> String {
    let why = error.to_string();
    why.split(" at line ").next().unwrap_or(&why).to_owned()
}

/// The fault that an object describes, checked.
pub fn decode(toxic: &Map<String, Value>) -> Result<FaultPlan, ToxicError> {
    ToxicDraft::read(toxic)?.plan()
}

/// What an object changes of a fault of this kind: attributes, toxicity, or both. The set checks them.
pub fn decode_change(kind: FaultKind, change: &Map<String, Value>) -> Result<FaultChange, ToxicError> {
    let toxicity = share(change)?;
    let values = match object(change, "attributes")? {
        Some(attributes) => values(kind, attributes)?,
        None => Default::default(),
    };
    Ok(FaultChange { values, toxicity: toxicity.map(checked_share).transpose()? })
}

/// A fault as an object.
pub fn encode(fault: &Fault) -> Value {
    Value::Object(object_of(&fault.plan()))
}

/// The same, with what it has done so far.
pub fn encode_with_stats(fault: &Fault) -> Value {
    let mut toxic = object_of(&fault.plan());
    let counts = &fault.counts;
    toxic.insert(
        "stats".to_owned(),
        json!({
            "seen": counts.seen.load(Relaxed),
            "hit": counts.hit.load(Relaxed),
            "passed_bytes": counts.passed.load(Relaxed),
            "held_bytes": counts.held.load(Relaxed),
            "swallowed_bytes": counts.swallowed.load(Relaxed),
            "passed_runs": counts.runs.load(Relaxed),
            "delayed_us": counts.delayed_ns.load(Relaxed) / 1000,
            "resets": counts.resets.load(Relaxed),
            "cuts": counts.cuts.load(Relaxed),
        }),
    );
    Value::Object(toxic)
}

/// The value of a key, in any case; none if it is null. Of several, the last that says something.
pub fn field<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut named = of.iter().filter(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
    named.next_back().map(|(_, value)| value)
}

/// Errors: it is no text.
pub fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, ToxicError> {
    read(of, name, "a text", Value::as_str)
}

/// Errors: it is neither true nor false.
pub fn flag(of: &Map<String, Value>, name: &str) -> Result<Option<bool>, ToxicError> {
    read(of, name, "true or false", Value::as_bool)
}

/// Errors: it is no array.
pub fn array<'a>(of: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Vec<Value>>, ToxicError> {
    read(of, name, "an array", Value::as_array)
}

fn object<'a>(of: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, ToxicError> {
    read(of, name, "an object", Value::as_object)
}

/// A whole number from 0.
fn count(of: &Map<String, Value>, name: &str) -> Result<u64, ToxicError> {
    read(of, name, "a whole number from 0", Value::as_u64).map(Option::unwrap_or_default)
}

fn read<'a, T>(
    of: &'a Map<String, Value>,
    name: &str,
    form: &str,
    take: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, ToxicError> {
    let wrong = || ToxicError::Body(format!("{name} is {form}"));
    field(of, name).map(|value| take(value).ok_or_else(wrong)).transpose()
}

impl<'a> ToxicDraft<'a> {
    /// Reads all but the attributes. The stream is judged before the type.
    pub fn read(toxic: &'a Map<String, Value>) -> Result<Self, ToxicError> {
        let (name, kind, stream) = (text(toxic, "name")?, text(toxic, "type")?, text(toxic, "stream")?);
        let (toxicity, attributes) = (share(toxic)?, object(toxic, "attributes")?);
        let (scope, schedule) = (scope(toxic)?, schedule(toxic)?);
        let stream = stream.map_or(Ok(FaultStream::default()), stream_named)?;
        let kind = FaultKind::named(kind.unwrap_or_default()).map_err(ToxicError::Kind)?;
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let name = name.unwrap_or_else(|| FaultPlan::default_name(kind, stream));
        Ok(ToxicDraft { name, kind, stream, toxicity, scope, schedule, attributes })
    }

    /// The fault, with its attributes, checked.
    pub fn plan(self) -> Result<FaultPlan, ToxicError> {
        let ToxicDraft { name, kind, stream, toxicity, scope, schedule, attributes } = self;
        let told = attributes.map(|attributes| values(kind, attributes)).transpose()?.unwrap_or_default();
        let toxicity = toxicity.map_or(Ok(Toxicity::ALWAYS), checked_share)?;
        let values: Values = told.map(Option::unwrap_or_default);
        let plan = FaultPlan { name, kind, stream, values, toxicity, scope, schedule };
        plan.check().map_err(ToxicError::Wrong)?;
        Ok(plan)
    }
}

fn stream_named(name: &str) -> Result<FaultStream, ToxicError> {
    let all = [FaultStream::Upstream, FaultStream::Downstream];
    all.into_iter().find(|stream| name.eq_ignore_ascii_case(stream.name())).ok_or(ToxicError::Stream)
}

/// A toxicity, whatever its size.
fn share(of: &Map<String, Value>) -> Result<Option<f32>, ToxicError> {
    #[expect(clippy::cast_possible_truncation, reason = "toxiproxy keeps it so")]
    let single = |value: &Value| value.as_f64().map(|share| share as f32).filter(|share| share.is_finite());
    read(of, "toxicity", "a number", single)
}

fn checked_share(share: f32) -> Result<Toxicity, ToxicError> {
    Toxicity::new(share).map_err(ToxicError::Wrong)
}

/// The attributes of a kind that an object has, by their places; others are ignored.
fn values(
    kind: FaultKind,
    attributes: &Map<String, Value>,
) -> Result<[Option<u64>; ATTRIBUTES_MAX], ToxicError> {
    let mut values = [None; ATTRIBUTES_MAX];
    for (attribute, value) in kind.page().attributes.iter().zip(&mut values) {
        let name = attribute.name;
        let Some(number) = read(attributes, name, "a whole number", Value::as_i64)? else { continue };
        let wrong = |_| ToxicError::Wrong(format!("{name} is at least 0, and not {number}"));
        *value = Some(u64::try_from(number).map_err(wrong)?);
    }
    Ok(values)
}

fn scope(toxic: &Map<String, Value>) -> Result<Scope, ToxicError> {
    let network = |value: &Value| {
        let text = value.as_str().ok_or_else(|| "each is a text".to_owned())?;
        text.parse::<Network>()
    };
    let clients = array(toxic, "clients")?.into_iter().flatten().map(network);
    let sessions = array(toxic, "sessions")?.into_iter().flatten().map(Value::as_u64);
    let wrong_client = |why| ToxicError::Body(format!("clients has networks: {why}"));
    let wrong_session = || ToxicError::Body("sessions has whole numbers from 0".to_owned());
    Ok(Scope {
        clients: clients.collect::<Result<_, _>>().map_err(wrong_client)?,
        sessions: sessions.collect::<Option<_>>().ok_or_else(wrong_session)?,
        skip: count(toxic, "skip")?,
        count: count(toxic, "count")?,
        every: count(toxic, "every")?,
    })
}

fn schedule(toxic: &Map<String, Value>) -> Result<Schedule, ToxicError> {
    Ok(Schedule {
        after_ms: count(toxic, "after_ms")?,
        expires_ms: count(toxic, "expires_ms")?,
        on_ms: count(toxic, "on_ms")?,
        off_ms: count(toxic, "off_ms")?,
    })
}

fn object_of(plan: &FaultPlan) -> Map<String, Value> {
    let is_own = |name| OWN_ATTRIBUTES.contains(&(plan.kind, name));
    let attributes = plan.kind.attributes(&plan.values);
    let told = attributes.filter(|(attribute, value)| *value > 0 || !is_own(attribute.name));
    let attributes: Map<_, _> =
        told.map(|(attribute, value)| (attribute.name.to_owned(), value.into())).collect();
    let mut toxic = Map::new();
    let mut put = |key: &str, value: Value| toxic.insert(key.to_owned(), value);
    put("attributes", attributes.into());
    put("name", plan.name.as_str().into());
    put("type", plan.kind.name().into());
    put("stream", plan.stream.name().into());
    put("toxicity", share_value(plan.toxicity));
    let Scope { clients, sessions, skip, count, every } = &plan.scope;
    if !clients.is_empty() {
        put("clients", clients.iter().map(ToString::to_string).collect());
    }
    if !sessions.is_empty() {
        put("sessions", sessions.as_slice().into());
    }
    let Schedule { after_ms, expires_ms, on_ms, off_ms } = plan.schedule;
    let numbers = [
        ("skip", *skip),
        ("count", *count),
        ("every", *every),
        ("after_ms", after_ms),
        ("expires_ms", expires_ms),
        ("on_ms", on_ms),
        ("off_ms", off_ms),
    ];
    for (key, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        put(key, number.into());
    }
    toxic
}

/// With the digits that a single float needs: 0.2, where its value as a double is 0.20000000298.
fn share_value(share: Toxicity) -> Value {
    let text = share.to_string();
    let number = text.parse::<u64>().ok().map(Number::from);
    let number = number.or_else(|| text.parse().ok().and_then(Number::from_f64));
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(toxic: &str) -> Map<String, Value> {
        serde_json::from_str(toxic).unwrap()
    }

    fn read_back(toxic: &str) -> Value {
        encode(&Fault::new(decode(&map(toxic)).unwrap(), false))
    }

    #[track_caller]
    fn assert_refused(toxic: &str, why: &str) {
        assert_eq!(decode(&map(toxic)).unwrap_err().to_string(), why, "{toxic}");
    }

    #[test]
    fn a_toxic_has_exactly_five_keys_and_all_attributes() {
        let whole = json!({
            "attributes": {"latency": 0, "jitter": 0}, "name": "latency_downstream", "type": "latency",
            "stream": "downstream", "toxicity": 1,
        });
        for toxic in [
            r#"{"type":"latency"}"#,
            r#"{"Type":"latency","NAME":"","Stream":"DownStream","Toxicity":1.0,"Attributes":{"LATENCY":0}}"#,
            r#"{"type":"latency","name":null,"stream":null,"toxicity":null,"attributes":null}"#,
            r#"{"type":"latency","attributes":{"jitter":null,"other":"x"},"other":[1],"skip":0}"#,
        ] {
            assert_eq!(read_back(toxic), whole, "{toxic}");
        }
    }

    #[test]
    fn what_is_ours_stands_where_it_was_set() {
        assert_eq!(read_back(r#"{"type":"bandwidth"}"#)["attributes"].to_string(), r#"{"rate":0}"#);
        let toxic = json!({
            "attributes": {"rate": 10, "shared": 1, "burst": 7}, "name": "all of it", "type": "bandwidth",
            "stream": "upstream", "toxicity": 0.2, "clients": ["10.0.0.0/8", "::1"], "sessions": [3, 9],
            "skip": 1, "count": 2, "every": 3, "after_ms": 4, "expires_ms": 5, "on_ms": 6, "off_ms": 7,
        });
        assert_eq!(read_back(&toxic.to_string()), toxic);
    }

    #[test]
    fn a_share_is_shown_as_it_was_given() {
        for share in ["0", "1", "0.2", "0.1", "0.333", "0.00001"] {
            let shown = &read_back(&format!(r#"{{"type":"noop","toxicity":{share}}}"#))["toxicity"];
            assert_eq!(shown.as_f64(), share.parse().ok(), "{shown}");
        }
        assert_eq!(read_back(r#"{"type":"noop","toxicity":1}"#)["toxicity"].to_string(), "1");
    }

    #[test]
    fn the_stream_is_judged_before_the_type_and_the_type_before_the_attributes() {
        let stream = "stream was invalid, can be either upstream or downstream";
        assert_refused(r#"{"type":"no","stream":"x","attributes":{"latency":1.5}}"#, stream);
        assert_refused(r#"{"type":"latency","stream":""}"#, stream);
        assert_refused(r#"{"type":"no","attributes":{"latency":1.5}}"#, "invalid toxic type");
        assert_refused("{}", "invalid toxic type");
        assert_refused(r#"{"type":"Latency"}"#, "invalid toxic type");
        let why = "invalid toxic type: packet loss is invisible above TCP; use hiccup";
        assert_refused(r#"{"type":"packet_loss","attributes":{"loss_rate":1}}"#, why);
        let draft = map(r#"{"type":"latency","name":"taken","attributes":{"latency":1.5}}"#);
        assert_eq!(ToxicDraft::read(&draft).map(|draft| draft.name).ok().as_deref(), Some("taken"));
    }

    #[test]
    fn wrong_forms_and_numbers_are_refused_with_the_reason() {
        let latency = |rest: &str| format!(r#"{{"type":"latency",{rest}}}"#);
        for (rest, why) in [
            (r#""attributes":{"latency":1.5}"#, "bad request body: latency is a whole number"),
            (r#""attributes":{"latency":1.0}"#, "bad request body: latency is a whole number"),
            (r#""attributes":{"latency":"1"}"#, "bad request body: latency is a whole number"),
            (
                r#""attributes":{"latency":9223372036854775808}"#,
                "bad request body: latency is a whole number",
            ),
            (r#""attributes":[]"#, "bad request body: attributes is an object"),
            (r#""name":1"#, "bad request body: name is a text"),
            (r#""stream":true"#, "bad request body: stream is a text"),
            (r#""toxicity":"1""#, "bad request body: toxicity is a number"),
            (r#""toxicity":1e39"#, "bad request body: toxicity is a number"),
            (r#""every":-1"#, "bad request body: every is a whole number from 0"),
            (r#""sessions":[1.5]"#, "bad request body: sessions has whole numbers from 0"),
            (r#""clients":[1]"#, "bad request body: clients has networks: each is a text"),
            (r#""attributes":{"jitter":-5}"#, "jitter is at least 0, and not -5"),
            (r#""toxicity":2"#, "toxicity is a share from 0 to 1, and not 2"),
            (r#""toxicity":-1"#, "toxicity is a share from 0 to 1, and not -1"),
            (r#""on_ms":5"#, "on_ms and off_ms go together: a cycle has both"),
        ] {
            assert_refused(&latency(rest), why);
        }
        let longest = latency(r#""attributes":{"latency":9223372036854775807}"#);
        let why = decode(&map(&longest)).unwrap_err().to_string();
        assert!(why.starts_with("latency is at most "), "{why}");
    }

    #[test]
    fn a_change_has_what_it_names() {
        let change = |text: &str| decode_change(FaultKind::Latency, &map(text));
        let told = |text: &str| change(text).map(|one| (one.values, one.toxicity.map(Toxicity::get))).ok();
        assert_eq!(told("{}"), Some(([None; ATTRIBUTES_MAX], None)));
        let all_null = r#"{"Name":null,"Stream":null,"Toxicity":null,"attributes":{"Jitter":5}}"#;
        assert_eq!(told(all_null), Some(([None, Some(5), None], None)));
        assert_eq!(told(r#"{"toxicity":0}"#), Some(([None; ATTRIBUTES_MAX], Some(0.0))));
        for wrong in [r#"{"toxicity":"x"}"#, r#"{"toxicity":3}"#, r#"{"attributes":{"latency":0.5}}"#] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stats_stand_beside_the_keys() {
        let fault = Fault::new(FaultPlan::sample(FaultKind::Noop, [0; ATTRIBUTES_MAX]), false);
        fault.counts.seen.store(3, Relaxed);
        fault.counts.delayed_ns.store(5_999, Relaxed);
        let stats = &encode_with_stats(&fault)["stats"];
        assert_eq!((stats["seen"].as_u64(), stats["delayed_us"].as_u64()), (Some(3), Some(5)));
        assert_eq!(encode(&fault).get("stats"), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
            prop::sample::select(vec!["latency", "slicer", "flap", "upstream", "10.0.0.0/8"])
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any_key(), inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn any_key() -> impl Strategy<Value = String> {
        let known =
            "type Type name stream toxicity attributes latency jitter average_size size_variation delay
            clients sessions skip count every after_ms expires_ms on_ms off_ms";
        prop_oneof![
            prop::sample::select(known.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
            ".{0,4}",
        ]
    }

    proptest! {
        #[test]
        fn no_json_panics_and_what_is_read_comes_back(
            pairs in prop::collection::vec((any_key(), any_json()), 0..8),
            kind in prop::sample::select(vec!["latency", "slicer", "bandwidth", "flap", "other"]),
        ) {
            let mut toxic: Map<_, _> = pairs.into_iter().collect();
            let _ = decode(&toxic);
            let _ = decode_change(FaultKind::Latency, &toxic);
            toxic.insert("type".to_owned(), kind.into());
            if let Ok(plan) = decode(&toxic) {
                let shown = encode(&Fault::new(plan.clone(), false));
                let again = decode(shown.as_object().unwrap());
                prop_assert_eq!(again, Ok(plan));
            }
        }
    }
}
