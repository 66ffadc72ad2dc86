//! The shape of a file: that every key is known and takes what stands there, each by itself. It finds all that is wrong.

use crate::{
    cli::{
        commands::Run,
        config_file::{
            form::{KeyForm, Value, name},
            keys::{FileOptions, Key, Kind, repeats},
            mistakes::Found,
        },
        words::nearest,
    },
    session::faults::kind::FaultKind,
};
use serde_spanned::Spanned;
use std::ops::{Range, RangeInclusive};
use strum::VariantArray;
use toml::de::{DeString, DeTable, DeValue};

/// Why a flag of `proxy` is no key, and what to write in its place.
const SELF_SIGNED_WHY: &str = "each reload would make another certificate";
const SELF_SIGNED_HELP: &str = "write tls-cert and tls-key, or a table [tls.NAME] with cert and key; \
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout own.key -out own.pem makes a certificate and its key";

/// What a run of the file's keys finds.
pub struct Shape<'f, 'a> {
    pub options: &'f FileOptions,
    pub found: &'f mut Found<'a>,
}

/// The keys of a table in the order of the file.
pub fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// A value as an option of the command line has it; none if it is a table, a list or a time of day.
pub fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Some(parsed.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(false) => Some("off".to_owned()),
        DeValue::Boolean(true) => Some("true".to_owned()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A whole number that is not negative.
pub fn whole(value: &DeValue<'_>) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    i64::from_str_radix(number.as_str(), number.radix()).ok()?.try_into().ok()
}

/// Any number.
pub fn share(value: &DeValue<'_>) -> Option<f32> {
    match value {
        DeValue::Integer(_) | DeValue::Float(_) => word(value)?.parse().ok(),
        _ => None,
    }
}

/// The words of a list, or of one value in its place, each with its span.
pub fn words(value: &Spanned<DeValue<'_>>) -> Vec<(String, Range<usize>)> {
    let one = |value: &Spanned<DeValue<'_>>| Some((word(value.get_ref())?, value.span()));
    match value.get_ref() {
        DeValue::Array(list) => list.iter().filter_map(one).collect(),
        _ => one(value).into_iter().collect(),
    }
}

impl Shape<'_, '_> {
    /// Checks a table.
    pub fn table(&mut self, kind: Kind, table: &DeTable<'_>) {
        let known = kind.own();
        for (key, value) in in_order(table) {
            if self.found.is_full() {
                return;
            }
            let text: &str = key.get_ref();
            if let Some(known) = known.iter().find(|known| known.name == text) {
                self.value(known, value);
            } else if self.options.find(text).is_some_and(|flag| kind.takes(&flag.long[2..])) {
                self.option(text, value);
            } else {
                self.unknown(kind, text, key.span(), &known);
            }
        }
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        match (&key.form, value.get_ref()) {
            (KeyForm::Many(what), DeValue::Array(list)) => {
                self.refuse_empty(key.name, list, value.span());
                list.iter().for_each(|one| self.text(key.name, *what, one));
            }
            (KeyForm::One(what) | KeyForm::Many(what), _) => self.text(key.name, *what, value),
            (KeyForm::Numbers(range), DeValue::Array(list)) => {
                self.refuse_empty(key.name, list, value.span());
                list.iter().for_each(|one| self.number(key, range, one));
            }
            (KeyForm::Number(range) | KeyForm::Numbers(range), _) => self.number(key, range, value),
            (KeyForm::Share, number) => {
                if !share(number).is_some_and(|share| (0.0..=1.0).contains(&share)) {
                    self.wrong(key.name, value, &needs(&key.form));
                }
            }
            // Which it has depends on the kind.
            (KeyForm::Attributes, DeValue::Table(_)) => {}
            (KeyForm::Truth | KeyForm::TableOrTruth(_), DeValue::Boolean(_)) => {}
            (KeyForm::TableOrOff(_), DeValue::Boolean(false)) => {}
            (KeyForm::TableOrOff(_), DeValue::String(text)) if text == "off" => {}
            (
                KeyForm::Table(kind) | KeyForm::TableOrTruth(kind) | KeyForm::TableOrOff(kind),
                DeValue::Table(table),
            ) => {
                self.table(*kind, table);
            }
            (KeyForm::Named(kind), DeValue::Table(table)) => self.named(key, *kind, table),
            (KeyForm::Tables(kind), DeValue::Array(list)) => self.tables(key, *kind, list),
            (KeyForm::Servers, DeValue::Array(list)) => list.iter().for_each(|one| match one.get_ref() {
                DeValue::Table(table) => self.table(Kind::Server, table),
                _ => self.text(key.name, Value::Address, one),
            }),
            (form, _) => self.wrong(key.name, value, &needs(form)),
        }
    }

    fn number(&mut self, key: &Key, range: &RangeInclusive<u64>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Integer(_) if whole(value.get_ref()).is_some_and(|it| range.contains(&it)) => {}
            DeValue::Integer(_) => {
                let reason = format!("it must be from {} to {}", range.start(), range.end());
                self.wrong(key.name, value, &reason);
            }
            _ => self.wrong(key.name, value, &needs(&KeyForm::Number(range.clone()))),
        }
    }

    fn refuse_empty(&mut self, key: &str, list: &[Spanned<DeValue<'_>>], span: Range<usize>) {
        if list.is_empty() {
            self.found.error(span, format!("'{key}' cannot be []: it is empty"), "leave it out");
        }
    }

    fn named(&mut self, key: &Key, kind: Kind, table: &DeTable<'_>) {
        for (name_of, value) in in_order(table) {
            let text: &str = name_of.get_ref();
            if let Err(reason) = name(text) {
                let text = self.found.source.shown(&name_of.span());
                self.found.error(
                    name_of.span(),
                    format!("'{}' cannot be named {text}: {reason}", key.name),
                    "",
                );
            }
            match value.get_ref() {
                DeValue::Table(table) => self.table(kind, table),
                _ => {
                    let text = format!("'{text}' of '{}' is no table", key.name);
                    self.found.error(
                        value.span(),
                        text,
                        &format!("begin it with a line [{}.{}]", key.name, name_of.get_ref()),
                    );
                }
            }
        }
    }

    fn tables(&mut self, key: &Key, kind: Kind, list: &[Spanned<DeValue<'_>>]) {
        for one in list {
            match one.get_ref() {
                DeValue::Table(table) => self.table(kind, table),
                _ => self.wrong(key.name, one, &needs(&key.form)),
            }
        }
    }

    /// Checks a text, or what can be meant as one.
    fn text(&mut self, key: &str, what: Value, value: &Spanned<DeValue<'_>>) {
        let word = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(_) if matches!(what, Value::Listen | Value::Upstream | Value::Address) => {
                word(value.get_ref())
            }
            DeValue::Boolean(false) if what == Value::TimeOrOff => word(value.get_ref()),
            _ => None,
        };
        let Some(word) = word else {
            return self.wrong(key, value, "it must be a text in quotes");
        };
        if let Err(reason) = what.check(&word) {
            self.wrong(key, value, &reason);
        }
    }

    /// Checks an option of the command line.
    fn option(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let Some(flag) = self.options.find(key) else { return };
        match value.get_ref() {
            DeValue::Array(list) if repeats(flag) => {
                self.refuse_empty(key, list, value.span());
                list.iter().for_each(|one| self.option_word(key, flag.long, one));
            }
            _ => self.option_word(key, flag.long, value),
        }
    }

    fn option_word(&mut self, key: &str, option: &'static str, value: &Spanned<DeValue<'_>>) {
        let Some(word) = word(value.get_ref()) else {
            return self.wrong(key, value, "it must be a text in quotes, or a number");
        };
        if let Err(reason) = Run::check(option, &word) {
            self.wrong(key, value, &reason);
        }
    }

    fn unknown(&mut self, kind: Kind, key: &str, span: Range<usize>, known: &[Key]) {
        let options = || self.options.names().filter(|option| kind.takes(option));
        let here = || known.iter().map(|known| known.name).chain(options());
        let elsewhere = |kind: &Kind| {
            kind.own().iter().any(|known| known.name == key)
                || (self.options.find(key).is_some_and(|flag| kind.takes(&flag.long[2..])))
        };
        let place = Kind::ALL.into_iter().find(elsewhere);
        let shown = self.found.source.shown(&span);
        let (text, help) = match (place, nearest(key, here())) {
            _ if kind == Kind::Listener && key == "tls" => (
                format!("'{shown}' is no key of {}: a route ends TLS", kind.title()),
                "write it in a [[listener.NAME.route]], which may have nothing but it and an upstream"
                    .to_owned(),
            ),
            _ if kind.takes("idle-timeout") && key == "tls-self-signed" => {
                (format!("'{shown}' is no key of a file: {SELF_SIGNED_WHY}"), SELF_SIGNED_HELP.to_owned())
            }
            _ if kind == Kind::Fault && is_attribute(key) => (
                format!("'{shown}' is no key of {}; it belongs in its attributes", kind.title()),
                format!("write attributes = {{ {key} = … }}"),
            ),
            (Some(Kind::Top), _) if kind == Kind::Listener => (
                format!("'{shown}' belongs at the top of the file"),
                "move it above the first [table]".to_owned(),
            ),
            (Some(place), _) => {
                let text =
                    format!("'{shown}' is no key of {}; it belongs in {}", kind.title(), place.title());
                (text, format!("move it to {}", place.title()))
            }
            (None, Some(nearest)) => (
                format!("'{shown}' is no key of {}; did you mean '{nearest}'?", kind.title()),
                format!("write {nearest}"),
            ),
            (None, None) => {
                let names: Vec<&str> = here().collect();
                let most = if kind.takes("idle-timeout") { "options of the command line and " } else { "" };
                let own: Vec<&str> =
                    if most.is_empty() { names } else { known.iter().map(|key| key.name).collect() };
                let help = format!("its keys are {most}{}", own.join(", "));
                (format!("'{shown}' is no key of {}", kind.title()), help)
            }
        };
        self.found.error(span, text, &help);
    }

    /// A key has a wrong value. The reason may say after a semicolon what to write.
    fn wrong(&mut self, key: &str, value: &Spanned<DeValue<'_>>, reason: &str) {
        let text = format!("'{key}' cannot be {}: {reason}", self.found.source.shown(&value.span()));
        let help = reason.split_once("; ").map_or("", |(_, help)| help);
        self.found.error(value.span(), text, help);
    }
}

/// Whether some kind of fault has it.
fn is_attribute(key: &str) -> bool {
    FaultKind::VARIANTS.iter().any(|kind| kind.index(key).is_some())
}

/// What a form wants, for a value of another type.
fn needs(form: &KeyForm) -> String {
    match form {
        KeyForm::One(_) | KeyForm::Many(_) => "it must be a text in quotes".to_owned(),
        KeyForm::Number(range) | KeyForm::Numbers(range) => {
            format!("it must be a whole number from {} to {}", range.start(), range.end())
        }
        KeyForm::Share => "it must be a number from 0 to 1".to_owned(),
        KeyForm::Attributes => "it must be a table, as { latency = 120 }".to_owned(),
        KeyForm::Truth => "it must be true or false".to_owned(),
        KeyForm::Table(_) | KeyForm::Named(_) => "it must be a table".to_owned(),
        KeyForm::Tables(_) => "it must be a list of tables; begin each with a line [[...]]".to_owned(),
        KeyForm::TableOrTruth(_) => "it must be a table, or true or false".to_owned(),
        KeyForm::TableOrOff(_) => "it must be a table, or \"off\"".to_owned(),
        KeyForm::Servers => "it must be a list of addresses; put it in [ and ]".to_owned(),
    }
}
