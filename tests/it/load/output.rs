//! What a load prints and writes.

use super::{load, report, run};
use crate::support::{
    fake::load_target,
    program::{self, binary},
    server::Server,
};
use std::{fs, time::Duration};

#[test]
fn the_text_has_every_part_of_a_report() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    let run = run(&[&target, "-c", "4", "--rate", "2000", "--duration", "2200ms"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out.starts_with(&format!(
            "{target}: pingpong, 64 B sent, the echo verified; open loop at 2,000/s\n"
        ))
    );
    for part in [
        "\nrequests     ",
        "/s\n",
        "\nsent ",
        "\nreceived ",
        "\nconnections  4 at once, 4 made\n",
        "\nerrors       none\n",
        "\nlatency     service   response",
        "\n  p50 ",
        "\n  p99.99 ",
        "\n  max ",
        "\n  mean ",
        "\nresponse up to   part\n",
        " % █",
    ] {
        assert!(run.out.contains(part), "{part:?} is not in {}", run.out);
    }
    // A line for each whole second, while it ran.
    let lines: Vec<&str> = run.notes.lines().collect();
    assert_eq!(lines.len(), 3, "{run:?}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{:>4} s ", number + 1)), "{line}");
        for word in ["/s ", " sent", " received", "p50 ", "p99 ", "max "] {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
    }
}

#[test]
fn percentiles_rise_and_the_seconds_add_up() {
    let server = Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "4", "--duration", "2500ms", "--threads", "2"]);
    let names = ["min", "p50", "p75", "p90", "p99", "p99.9", "p99.99", "max"];
    let latencies: Vec<f64> = names.map(|name| report["service_ms"][name].as_f64().unwrap()).to_vec();
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{report}");
    let seconds = report["seconds"].as_array().unwrap();
    assert_eq!(seconds.len(), 3, "{report}");
    let sum = |key: &str| seconds.iter().map(|second| second[key].as_u64().unwrap()).sum::<u64>();
    let whole = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(sum("requests") + whole("requests_late"), whole("requests"), "{report}");
    assert_eq!(sum("errors"), 0);
    // What moves between the last second and the window's end is told once, by either.
    assert!(sum("sent_bytes").abs_diff(whole("sent_bytes")) <= 4096, "{report}");
    assert!(seconds.iter().all(|second| second["p50_ms"].as_f64() <= second["max_ms"].as_f64()), "{report}");
}

/// The most decimals that a number in this text has.
fn decimals(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Number(number) => {
            number.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len())
        }
        serde_json::Value::Array(items) => items.iter().map(decimals).max().unwrap_or(0),
        serde_json::Value::Object(items) => items.values().map(decimals).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn the_json_has_no_more_decimals_than_were_measured() {
    let server = Server::echo(&[]);
    let mut report = load(server.address(), 0, &["-c", "2", "--requests", "50", "--rate", "500"]);
    for key in ["service_ms", "response_ms", "rate"] {
        assert!(decimals(&report[key]) <= 3, "{key}: {report}");
    }
    // Seconds are in microseconds.
    assert!(decimals(&report) <= 6, "{report}");
    assert!(
        report["seconds"].take().as_array().unwrap().iter().all(|second| decimals(&second["max_ms"]) <= 3)
    );
}

#[test]
fn every_key_of_the_json_is_explained() {
    let server = Server::echo(&[]);
    let report = load(server.address(), 0, &["-c", "1", "--requests", "20", "--rate", "100"]);
    let section = include_str!("../../../src/text/topics/load.md");
    for object in ["", "/connections", "/service_ms", "/response_ms", "/seconds/0"] {
        for key in report.pointer(object).unwrap().as_object().unwrap().keys() {
            assert!(section.contains(&format!("`{key}`")), "{key} of {object:?} is not explained");
        }
    }
}

/// Parses the page, and makes sure that it loads nothing and runs nothing.
fn assert_self_contained(page: &str) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(page, options).unwrap();
    for element in document.descendants().filter(roxmltree::Node::is_element) {
        let name = element.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object", "use", "image"].contains(&name), "{name}");
        for attribute in element.attributes() {
            // A link that holds what it leads to loads nothing.
            let is_held = attribute.value().starts_with("data:application/json,");
            assert!(
                is_held || !["href", "src", "srcset", "style", "action"].contains(&attribute.name()),
                "{attribute:?}"
            );
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let html = path.to_str().unwrap();
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    report(&target, 0, &["-c", "4", "--rate", "1000", "--duration", "1500ms", "--html", html]);
    let page = fs::read_to_string(&path).unwrap();
    assert_self_contained(&page);
    assert_eq!(page.matches("<svg").count(), 5);
    for part in [&*target, "Latency by percentile", "Requests a second", "Latency over time", "p99.99"] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["download=\"load.json\"", "<th>date</th>", "<th>host</th>", "load tcp://", "<title>"] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing answered is a page as well.
    let server = load_target::answers_nothing();
    let arguments = ["-c", "1", "--requests", "1", "--timeout", "100ms", "--html", html];
    load(server.address, 1, &arguments);
    let page = fs::read_to_string(&path).unwrap();
    assert_self_contained(&page);
    assert!(page.contains("1 timed out"), "{page}");
}

#[test]
fn a_condition_that_holds_fails_the_load_with_a_sentence() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    let good = run(&[&target, "-n", "50", "--fail-if", "p99>1m", "--fail-if", "errors>0"]);
    assert_eq!((good.code, good.notes.contains("failed")), (Some(0), false), "{good:?}");
    let bad = run(&[&target, "-n", "50", "--fail-if", "p50>1ns", "--fail-if", "requests<1"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(
        bad.notes.contains("failed: p50 is ") && bad.notes.contains("and --fail-if p50>1ns holds"),
        "{bad:?}"
    );
}

#[test]
fn an_older_run_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.json");
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    fs::write(&old, run(&[&target, "-n", "50", "--json"]).out).unwrap();
    let old = old.to_str().unwrap();
    let now = run(&[&target, "-n", "50", "--compare", old, "--fail-if", "p50>1000000%"]);
    assert_eq!(now.code, Some(0), "{now:?}");
    assert!(
        now.out.contains(" before ") && now.out.contains(" change") && !now.out.contains("differ"),
        "{now:?}"
    );
    let other = run(&[&target, "-n", "50", "--size", "1k", "--compare", old, "--fail-if", "p50>0%"]);
    assert_eq!(other.code, Some(1));
    assert!(other.out.contains("the runs differ in what was asked: request_bytes"), "{other:?}");
    assert_eq!(run(&[&target, "-n", "1", "--compare", "/nowhere"]).code, Some(2));
}

#[test]
fn a_report_is_written_for_ci_a_ticket_and_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [junit, markdown, html] = ["junit=r.xml", "md=r.md", "html=r.html"]
        .map(|form| form.replace("r.", &format!("{}/r.", folder.path().display())));
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    let words = [&target, "-n", "50", "--report", &junit, &markdown, &html, "github", "--fail-if", "p50>1ns"];
    let run = run(&words);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.contains("\n::error title=load p50>1ns%3A failed::p50 is "), "{run:?}");
    let xml = fs::read_to_string(path("r.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("failure")).count(), 1, "{xml}");
    assert!(fs::read_to_string(path("r.md")).unwrap().contains("| ❌ `p50>1ns` | failed |"));
    assert_self_contained(&fs::read_to_string(path("r.html")).unwrap());
}

#[test]
fn a_name_that_looks_like_markup_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a<b>&\"'\u{202e}");
    let html = folder.path().join("r.html");
    let server = Server::echo(&["--listen", &format!("unix:{}", path.display())]);
    let run = run(&[
        &format!("unix:{}", path.display()),
        "-c",
        "1",
        "--requests",
        "5",
        "--html",
        html.to_str().unwrap(),
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.out.contains('\u{202e}'), "{run:?}");
    let page = fs::read_to_string(&html).unwrap();
    assert_self_contained(&page);
    assert!(page.contains("a&lt;b&gt;&amp;"), "{page}");
    drop(server);
}

#[test]
fn a_standard_error_that_takes_nothing_does_not_hold_the_load_up() {
    let (server, _) = load_target::echoes_after(Duration::from_millis(1));
    let target = format!("tcp://{}", server.address);
    // Standard error is full from the start.
    let mut command = binary();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    command.args(["load", &target, "-c", "1", "--duration", "1200ms"]).stderr(full);
    let output = program::output(command);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("errors       none"));
}
