//! What operators are told of faults.

use crate::support::{
    operator::Operated,
    scrape::{address, scrape},
    stream::exchange,
};
use serde_json::json;

#[test]
fn what_cannot_be_is_told_and_changes_nothing() {
    let operated = Operated::run(
        "[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"127.0.0.1:9\"\n\
         [listener.b]\nlisten = \"127.0.0.1:0\"\nupstream = \"127.0.0.1:9\"\n",
        2,
    );
    operated.fault("add a latency 5ms");
    for (words, why) in [
        (
            "add a latency 5ms",
            "listener 'a' has a fault 'latency_downstream' already; give this one another name",
        ),
        ("add c noop", "there is no listener 'c'; there is a, b"),
        ("add noop", "which listener is missing; there is a, b"),
        ("remove a other", "listener 'a' has no fault 'other'; 'ctl fault list' shows them"),
        ("update a other 5ms", "listener 'a' has no fault 'other'; 'ctl fault list' shows them"),
        ("list c", "there is no listener 'c'"),
    ] {
        let words: Vec<&str> = ["fault"].into_iter().chain(words.split(' ')).collect();
        operated.assert_fails(&words, why);
    }
    // A value that no kind takes is told before anything is sent; others once the server has told the kind.
    operated.fault("add a slicer 100 --name cut");
    for (words, why) in [
        (
            "update a latency_downstream lag=5ms",
            "'lag' is no attribute of latency; latency takes latency (ms)",
        ),
        ("update a latency_downstream 5MB", "latency cannot be '5MB': it is no amount of it"),
        ("update a cut size-variation=100", "size_variation"),
        ("update nowhere at-all 5bananas", "no kind of fault takes '5bananas'"),
    ] {
        let words: Vec<&str> = ["fault"].into_iter().chain(words.split(' ')).collect();
        let run = operated.ctl(&words);
        assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{words:?}: {}", run.stderr);
        assert!(
            run.stderr.contains(why) && run.stderr.ends_with("try 'switchboard ctl --help'\n"),
            "{}",
            run.stderr
        );
    }
    operated.fault("remove a cut");
    let listed = operated.faults();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["listener"], &listed[0]["attributes"]["latency"]), (&json!("a"), &json!(5)));
}

#[test]
fn a_table_has_a_row_for_each_fault() {
    let operated = Operated::start("echo", &[]);
    operated.fault("add latency 120ms+-20ms --name slow --share 10% --after 1h");
    operated.fault("add bandwidth 1MB/s --up");
    let run = operated.ctl(&["fault", "list"]);
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..6], ["LISTENER", "NAME", "KIND", "STREAM", "VALUES", "SHARE"]);
    let name = &operated.server.addresses[0];
    assert_eq!(lines[1][..7], [name, "slow", "latency", "downstream", "latency=120ms", "jitter=20ms", "10%"]);
    assert_eq!(lines[2][..6], [name, "bandwidth_upstream", "bandwidth", "upstream", "rate=1MB/s", "-"]);
    assert_eq!(lines[3][0], "seed");
}

#[test]
fn the_seed_is_told_once_there_may_be_draws() {
    let operated = Operated::start("echo", &[]);
    let seeds = |line: &String| line.starts_with("seed ");
    let told = || operated.server.errors.all().into_iter().filter(seeds).collect::<Vec<_>>();
    assert_eq!(told(), Vec::<String>::new());
    let answer = operated.fault("add latency 5ms --share 10%");
    let seed = operated.faults()[0]["seed"].as_u64().unwrap();
    assert!(answer.ends_with(&format!(", 10% of the sessions; seed {seed}\n")), "{answer}");
    operated.fault("add hiccup 5% 1ms");
    assert!(!operated.fault("add noop").contains("seed"));
    operated.server.await_warning("seed ");
    assert_eq!(told(), [format!("seed {seed}")]);
    let text = operated.ctl(&["fault", "list"]).stdout;
    assert_eq!(text.lines().last(), Some(&*format!("seed {seed}")));
    // A run with it draws the same.
    let file = format!("seed = {seed}\n[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"127.0.0.1:9\"\n");
    let again = Operated::run(&file, 1);
    assert!(again.fault("add a noop --share 50%").ends_with(&format!("; seed {seed}\n")));
}

#[test]
fn metrics_count_what_faults_do() {
    let operated = Operated::start("echo", &["--metrics", "0"]);
    operated.fault("add latency 20ms --name slow --count 1");
    let _clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = operated.server.connect();
            exchange(&mut client, b"hello");
            client
        })
        .collect();
    let now = scrape(address(&operated.server));
    let name = operated.server.addresses[0].as_str();
    let labels = [("listener", name), ("fault", "slow"), ("type", "latency")];
    let value = |metric: &str, more: &[(&str, &str)]| now.value(metric, &[&labels[..], more].concat());
    assert_eq!(value("switchboard_fault_sessions_total", &[("result", "seen")]), 3.0);
    assert_eq!(value("switchboard_fault_sessions_total", &[("result", "hit")]), 1.0);
    assert_eq!(value("switchboard_fault_bytes_total", &[("what", "passed")]), 5.0);
    assert_eq!(value("switchboard_fault_bytes_total", &[("what", "swallowed")]), 0.0);
    assert_eq!(value("switchboard_fault_held_bytes", &[]), 0.0);
    assert!(value("switchboard_fault_delay_seconds_total", &[]) >= 0.02);
    assert_eq!(value("switchboard_fault_ends_total", &[("how", "reset")]), 0.0);
    // Without a fault they are not there.
    operated.fault("remove --all");
    let page = crate::support::scrape::get(address(&operated.server), "/metrics").body;
    assert!(!page.contains("switchboard_fault_"), "{page}");
}

#[test]
fn a_session_that_is_hit_is_marked_in_a_list() {
    let operated = Operated::start("echo", &[]);
    operated.fault("add noop --name slow --skip 1");
    let _clients = operated.server.greeted(2);
    let run = operated.ctl(&["list"]);
    let last: Vec<_> = run.stdout.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(last, ["FAULTS", "-", "slow"], "{}", run.stdout);
}
