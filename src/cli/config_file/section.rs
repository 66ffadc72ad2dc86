//! A table of the file as it is read once its shape has been checked: what is missing or of another type is nothing, because
//! that has been told.

use crate::cli::{
    config_file::{
        keys::Kind,
        mistakes::Found,
        shape::{in_order, whole, words},
    },
    words::nearest,
};
use serde_spanned::Spanned;
use std::ops::Range;
use toml::de::{DeString, DeTable, DeValue};

#[derive(Clone)]
pub struct Section<'t> {
    pub table: &'t DeTable<'t>,
    /// Of its header, or of what stands between its braces.
    pub span: Range<usize>,
}

/// A text, and where it stands.
pub type Word = (String, Range<usize>);

impl<'t> Section<'t> {
    pub fn of(value: &'t Spanned<DeValue<'t>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Section { table, span: value.span() }),
            _ => None,
        }
    }

    pub fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Where a key stands; if it is not there, the section.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        found.map_or(self.span.clone(), |(name, _)| name.span())
    }

    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub fn words(&self, key: &str) -> Vec<Word> {
        self.value(key).map(words).unwrap_or_default()
    }

    pub fn word(&self, key: &str) -> Option<Word> {
        self.words(key).into_iter().next()
    }

    /// What a text means, if it has that form.
    pub fn read<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.word(key).and_then(|(text, _)| read(&text).ok())
    }

    /// What each text of a list means that has the form.
    pub fn read_all<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.words(key).into_iter().filter_map(|(text, _)| read(&text).ok()).collect()
    }

    pub fn number(&self, key: &str) -> Option<u32> {
        self.word(key).and_then(|(text, _)| text.parse().ok())
    }

    /// A whole number of any size.
    pub fn whole(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(|value| whole(value.get_ref()))
    }

    pub fn truth(&self, key: &str) -> Option<bool> {
        match self.value(key)?.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    pub fn section(&self, key: &str) -> Option<Section<'t>> {
        self.value(key).and_then(Section::of)
    }

    /// The tables of a list.
    pub fn sections(&self, key: &str) -> Vec<Section<'t>> {
        match self.value(key).map(Spanned::get_ref) {
            Some(DeValue::Array(list)) => list.iter().filter_map(Section::of).collect(),
            _ => Vec::new(),
        }
    }

    /// The keys of a table.
    pub fn names(&self, key: &str) -> Vec<String> {
        let section = self.section(key);
        section
            .iter()
            .flat_map(|section| section.table.keys())
            .map(|name| name.get_ref().to_string())
            .collect()
    }

    /// The tables of a table, each with its name, in the order of the file.
    pub fn named(&self, key: &str) -> Vec<(String, Section<'t>)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        let entries = in_order(section.table).into_iter();
        entries.filter_map(|(name, value)| Some((name.get_ref().to_string(), Section::of(value)?))).collect()
    }

    /// Tells that a key is missing, unless it is probably there: misspelt, or in a line that is no TOML.
    pub fn missing(&self, found: &mut Found<'_>, key: &str, why: &str, help: &str) {
        let is_key = |name: &str| Kind::ALL.iter().any(|kind| kind.own().iter().any(|key| key.name == name));
        let is_misspelt = |(name, _): (&Spanned<DeString<'_>>, _)| {
            !is_key(name.get_ref()) && nearest(name.get_ref(), [key].into_iter()).is_some()
        };
        if !found.may_have_meant(key) && !self.table.iter().any(is_misspelt) {
            found.error(self.span.clone(), format!("'{key}' is missing: {why}"), help);
        }
    }
}
