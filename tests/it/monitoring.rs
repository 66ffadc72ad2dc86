//! The dashboard and the alerts that `print` prints: they ask only for what a server serves.

use crate::support::{
    operator::Operated,
    program::{self, binary},
    scrape::{address, ask},
    stream::exchange,
};
use serde_json::Value;
use std::collections::BTreeSet;
use yaml_rust2::{Yaml, YamlLoader};

fn printed(what: &str) -> String {
    let mut command = binary();
    command.args(["print", what]);
    let output = program::run(command, b"");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&printed("grafana")).unwrap()
}

fn rules() -> Vec<Yaml> {
    let document = YamlLoader::load_from_str(&printed("alerts")).unwrap().remove(0);
    document["groups"][0]["rules"].as_vec().unwrap().clone()
}

/// All that is asked of Prometheus.
fn queries() -> Vec<String> {
    let panels = dashboard()["panels"].as_array().unwrap().clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    shown.chain(rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned())).collect()
}

/// The names of the series that a query asks for.
fn series(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    words.filter(|word| word.starts_with("switchboard_")).map(str::to_owned).collect()
}

/// The values that queries want of a label: `cause="a"`, `cause=~"a|b"`.
fn wanted(label: &str) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for query in queries() {
        for sign in ["=", "=~"] {
            let begin = format!("{label}{sign}\"");
            let texts = query.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap());
            values.extend(texts.flat_map(|text| text.split('|')).map(str::to_owned));
        }
    }
    values
}

/// What stands between backticks in a topic.
fn named(topic: &str) -> BTreeSet<&str> {
    topic.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_series_that_is_asked_for_is_served() {
    let operated = Operated::start("echo", &["--metrics", "0"]);
    let server = &operated.server;
    // Its series are there once it is.
    operated.fault("add noop");
    exchange(&mut server.connect(), b"one that ends");
    server.await_closes(1);
    let admin = address(server);
    // Names as Prometheus stores them.
    let page = ask(admin, "GET /metrics HTTP/1.1", &format!("Host: {admin}\r\n")).body;
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let asked: BTreeSet<String> = queries().iter().flat_map(|query| series(query)).collect();
    assert!(asked.len() > 12, "only {asked:?}");
    let missing: Vec<_> = asked.iter().filter(|name| !served.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {served:?}");
}

#[test]
fn each_cause_health_and_kind_that_is_asked_for_exists() {
    let causes = named(include_str!("../../src/text/topics/closing.md"));
    let healths = named(include_str!("../../src/text/topics/control.md"));
    let metrics = || named(include_str!("../../src/text/topics/metrics.md"));
    for (label, known, count) in [
        ("cause", causes, 11),
        ("health", healths, 1),
        ("kind", metrics(), 2),
        ("result", metrics(), 1),
        ("what", metrics(), 1),
    ] {
        let wanted = wanted(label);
        assert_eq!(wanted.len(), count, "{label}: {wanted:?}");
        assert!(wanted.iter().all(|value| known.contains(value.as_str())), "{label}: {wanted:?}");
    }
}

#[test]
fn each_panel_has_a_title_a_query_and_a_place_of_its_own() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let number = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(
            !panel["title"].as_str().unwrap().is_empty()
                && !panel["description"].as_str().unwrap().is_empty()
        );
        assert!(!panel["targets"].as_array().unwrap().is_empty());
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        assert!(number(panel, "x") + number(panel, "w") <= 24, "{panel}");
        for x in number(panel, "x")..number(panel, "x") + number(panel, "w") {
            assert!(places.insert((x, number(panel, "y"))), "one lies on another: {panel}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}

#[test]
fn each_alert_has_a_name_a_severity_and_a_sentence() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len(), "two of one name");
    for rule in &rules {
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{rule:?}");
        assert!(rule["annotations"]["summary"].as_str().unwrap().len() > 20, "{rule:?}");
    }
}
