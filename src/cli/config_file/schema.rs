//! The JSON Schema (2020-12) of a file, for editors: made from the keys that the reader uses.

use crate::{
    cli::config_file::{
        form::{KeyForm, Value},
        keys::{FileOptions, Key, Kind, repeats, value_of},
    },
    session::faults::kind::{Attribute, FaultKind},
};
use argh::FlagInfo;
use serde_json::{Map, Value as Json, json};
use strum::VariantArray;

/// `off`, or numbers with units.
const DURATION: &str = "^(off|([0-9]+ *[a-zA-Zµ]+ *)+)$";

/// The schema as a file: readable, with its last line end.
pub fn text() -> String {
    let options = FileOptions::new();
    let definitions: Map<String, Json> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Top)
        .map(|kind| (name(kind).to_owned(), table(kind, &options)))
        .collect();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of switchboard",
        "$defs": definitions,
    });
    if let (Json::Object(schema), Json::Object(top)) = (&mut schema, table(Kind::Top, &options)) {
        schema.extend(top);
    }
    format!("{schema:#}\n")
}

/// The name of a table's definition.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Top => "file",
        Kind::Defaults => "defaults",
        Kind::Listener => "listener",
        Kind::Route => "route",
        Kind::Fault => "fault",
        Kind::Upstream => "upstream",
        Kind::Server => "server",
        Kind::Check => "check",
        Kind::Eject => "eject",
        Kind::UpstreamTls => "upstream-tls",
        Kind::Tls => "tls",
        Kind::Certificate => "certificate",
    }
}

fn table(kind: Kind, options: &FileOptions) -> Json {
    let mut properties: Map<String, Json> = options
        .names()
        .filter(|name| kind.takes(name))
        .filter_map(|name| Some((name, options.find(name)?)))
        .map(|(name, flag)| (name.to_owned(), described(option(flag), flag.description)))
        .collect();
    properties.extend(kind.own().iter().map(|key| (key.name.to_owned(), described(form(key), key.about))));
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(mut schema: Json, about: &str) -> Json {
    if let Json::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), about.into());
    }
    schema
}

fn reference(kind: Kind) -> Json {
    json!({ "$ref": format!("#/$defs/{}", name(kind)) })
}

/// A list, or one in place of it.
fn many(one: &Json) -> Json {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

fn form(key: &Key) -> Json {
    match &key.form {
        KeyForm::One(what) => value(*what),
        KeyForm::Many(what) => many(&value(*what)),
        KeyForm::Number(range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        KeyForm::Numbers(range) => {
            many(&json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }))
        }
        KeyForm::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        KeyForm::Attributes => attributes(),
        KeyForm::Truth => json!({ "type": "boolean" }),
        KeyForm::Table(kind) => reference(*kind),
        KeyForm::Tables(kind) => json!({ "type": "array", "items": reference(*kind) }),
        KeyForm::Named(kind) => json!({
            "type": "object",
            "patternProperties": { "^[A-Za-z0-9_-]+$": reference(*kind) },
            "additionalProperties": false,
        }),
        KeyForm::TableOrTruth(kind) => json!({ "anyOf": [reference(*kind), { "type": "boolean" }] }),
        KeyForm::TableOrOff(kind) => json!({ "anyOf": [reference(*kind), { "enum": ["off", false] }] }),
        KeyForm::Servers => {
            let one = json!({ "anyOf": [value(Value::Address), reference(Kind::Server)] });
            json!({ "type": "array", "items": one, "minItems": 1 })
        }
    }
}

/// Those of all kinds of faults; the reader knows which kind has which.
fn attributes() -> Json {
    let all = FaultKind::VARIANTS.iter().flat_map(|kind| kind.page().attributes);
    let number = |one: &Attribute| (one.name.to_owned(), json!({ "type": "integer", "minimum": 0 }));
    let properties: Map<String, Json> = all.map(number).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn value(what: Value) -> Json {
    match what {
        Value::Listen | Value::Upstream | Value::Address => json!({ "type": ["string", "integer"] }),
        Value::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
        Value::Time => json!({ "type": "string", "pattern": DURATION }),
        Value::TimeOrOff => {
            json!({ "anyOf": [{ "type": "string", "pattern": DURATION }, { "const": false }] })
        }
        Value::Mode => json!({ "type": "string", "pattern": "^[0-7]{3,4}$" }),
        Value::Discover => json!({ "type": "string", "pattern": "^(dns|srv):" }),
        Value::Protocol | Value::FaultName => json!({ "type": "string", "minLength": 1 }),
        _ if !what.words().is_empty() => json!({ "enum": what.words() }),
        _ => json!({ "type": "string" }),
    }
}

/// An option of the command line, by what the help says that it takes: `N|off`, `TIME`, `text|json|off`.
fn option(flag: &FlagInfo<'static>) -> Json {
    let taken = value_of(flag);
    let words: Vec<&str> = taken.split('|').collect();
    let is_choice = words.iter().all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    let one = if taken == "TIME" {
        value(Value::TimeOrOff)
    } else if is_choice {
        let off = words.contains(&"off").then_some(json!(false));
        let words: Vec<Json> = words.into_iter().map(Json::from).chain(off).collect();
        json!({ "enum": words })
    } else {
        json!({ "type": ["string", "integer", "boolean"] })
    };
    if repeats(flag) { many(&one) } else { one }
}
