//! The files of `faults`: toxiproxy's array of proxies, with their toxics, and a scenario. What is wrong with one is told with
//! its place, as an editor reads it.

use crate::{
    cli::one_line,
    control::toxic::why_no_json,
    error::Error,
    net::endpoint::Endpoint,
    server::{
        scenario::Scenario,
        toxiproxy::{NewProxy, ProxyRequest, listen_endpoint},
    },
};
use serde_json::{Map, Value, value::RawValue};
use std::{collections::BTreeMap, fs, path::Path};

/// A proxy, and where it listens from the start; none if it is not enabled.
pub type FileProxy = (NewProxy, Option<Endpoint>);

/// Reads the proxies of a file.
/// Errors: `FILE:LINE:COLUMN: error: …`, the first thing that is wrong.
pub fn read(file: &Path) -> Result<Vec<FileProxy>, String> {
    let (name, text) = text_of(file)?;
    proxies(&text).map_err(|(at, why)| {
        let (line, column) = position(&text, at);
        format!("{name}:{line}:{column}: error: {}", one_line(&why))
    })
}

/// Reads the scenario of a file.
/// Errors: `FILE:LINE:COLUMN: …` of what is no JSON, else `FILE: step 3: …`.
pub fn read_scenario(file: &Path) -> Result<Scenario, String> {
    let (name, text) = text_of(file)?;
    Scenario::parse(&text).map_err(|why| {
        let has_place = why.starts_with(|first: char| first.is_ascii_digit());
        format!("{name}:{}{}", if has_place { "" } else { " " }, one_line(&why))
    })
}

/// The name of a file for people, and its text.
fn text_of(file: &Path) -> Result<(String, String), String> {
    let name = one_line(&file.display().to_string());
    let unread = |error| Error::new(format!("cannot read {name}"), error).to_string();
    let text = fs::read_to_string(file).map_err(unread)?;
    Ok((name, text))
}

/// Errors: at which byte something is wrong, and what.
fn proxies(text: &str) -> Result<Vec<FileProxy>, (usize, String)> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        // Its place is told by ours.
        (offset(text, error.line(), error.column()), why_no_json(&error))
    })?;
    let mut all: Vec<FileProxy> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = place(text, raw.get());
        let (new, listen) =
            proxy(raw.get()).map_err(|(part, why)| (part.map_or(at, |part| place(text, part)), why))?;
        if all.iter().any(|(other, _)| other.name == new.name) {
            return Err((
                at,
                format!("proxy {} has the name of another one: name '{}'", index + 1, new.name),
            ));
        }
        all.push((new, listen));
    }
    Ok(all)
}

/// Errors: the part of `raw` that is wrong, if it is known, and what is wrong with it.
fn proxy(raw: &str) -> Result<FileProxy, (Option<&str>, String)> {
    let object: Map<String, Value> =
        serde_json::from_str(raw).map_err(|_| (None, "a proxy is an object".to_owned()))?;
    let request = ProxyRequest::read(&object).map_err(|error| (None, error.to_string()))?;
    let new = request
        .into_new()
        .map_err(|error| (error.toxic().and_then(|at| toxic(raw, at)), error.to_string()))?;
    let listen = new.enabled.then(|| listen_endpoint(&new.listen)).transpose();
    let listen = listen.map_err(|why| (part(raw, "listen"), format!("listen: {why}")))?;
    Ok((new, listen))
}

/// The value of a key, in any case.
fn part<'a>(raw: &'a str, key: &str) -> Option<&'a str> {
    let parts: BTreeMap<String, &'a RawValue> = serde_json::from_str(raw).ok()?;
    parts.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.get())
}

/// The toxic at a place, from 1.
fn toxic(raw: &str, at: usize) -> Option<&str> {
    let toxics: Vec<&RawValue> = serde_json::from_str(part(raw, "toxics")?).ok()?;
    toxics.get(at.checked_sub(1)?).map(|toxic| toxic.get())
}

/// Where a part of a text begins.
fn place(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// The byte of a line and a column, both from 1, as serde_json counts them.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let begin: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (begin + column.saturating_sub(1)).min(text.len())
}

/// Line and column of a byte, from 1; the column counts characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before: Vec<u8> = text.bytes().take(at).collect();
    let before = String::from_utf8_lossy(&before);
    let begin = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[begin..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_wrong(text: &str, line: usize, column: usize, why: &str) {
        let (at, reason) = proxies(text).unwrap_err();
        assert_eq!((position(text, at), &*reason), ((line, column), why), "{text}");
    }

    #[test]
    fn a_file_has_proxies_with_toxics() {
        let text = r#"[
            {"name": "web", "listen": "[::]:18080", "upstream": "webapp.domain:8080", "enabled": true},
            {"name": "db", "upstream": "db:1", "enabled": false, "toxics": [{"type": "latency", "toxicity": 0.5}]}
        ]"#;
        let all = proxies(text).unwrap();
        let shown: Vec<_> =
            all.iter().map(|(proxy, listen)| (&*proxy.name, listen.clone(), proxy.toxics.len())).collect();
        assert_eq!(shown, [("web", Some(":18080".parse().unwrap()), 0), ("db", None, 1)]);
        assert_eq!(proxies("[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert_wrong("", 1, 1, "EOF while parsing a value");
        assert_wrong("[\n  {\"name\": }\n]", 2, 12, "expected value");
        assert_wrong("[\n {}]", 2, 2, "missing required field: name");
        assert_wrong("[{\"name\":\"é\",\"upstream\":\"b\"}, 7]", 1, 31, "a proxy is an object");
        let listen = "[{\"name\":\"a\",\n\"upstream\":\"b\", \"listen\":\"c\"}]";
        assert_wrong(listen, 2, 26, "listen: address c: missing port in address");
        let toxics = "[{\"name\":\"a\",\"upstream\":\"b\",\"toxics\":[{\"type\":\"noop\"},\n\
                      {\"type\":\"latency\",\"attributes\":{\"jitter\":1.5}}]}]";
        assert_wrong(toxics, 2, 1, "bad request body: jitter is a whole number, at toxic 2");
        let twice = "[{\"name\":\"a\",\"upstream\":\"b\"},{\"name\":\"a\",\"upstream\":\"b\"}]";
        assert_wrong(twice, 1, 30, "proxy 2 has the name of another one: name 'a'");
    }
}
