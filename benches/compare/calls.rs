//! System calls an operation, counted by strace(1) where it is there and may attach. It slows what it counts, so that
//! waits bring more events at a time than they do otherwise; the other calls are those of every run.

use crate::{
    bench::Bench,
    case::{Case, Unit, all},
    child::{Child, quiet},
    command::Setup,
    measure::units,
    server::{Running, Server},
    table::{Table, two},
};
use std::{
    fs,
    io::{self, Read},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use switchboard::{
    runtime::shard,
    tools::load::{
        report::Report,
        run::{Phase, Plan, run},
    },
};

pub const NAME: &str = "calls";
/// The case that has a target; a quick run has it alone.
const CHURN: &str = "churn 20";
const CASES: [&str; 4] = ["pingpong 1", "pingpong 50", "bulk 8 down", CHURN];
const SERVERS: [Server; 5] =
    [Server::Switchboard, Server::Other, Server::Haproxy, Server::HaproxySplice, Server::Nginx];
const WARM_UP: Duration = Duration::from_millis(50);
const WINDOW: Duration = Duration::from_millis(400);
/// How long strace may take to attach.
const ATTACH_LIMIT: Duration = Duration::from_secs(3);
/// Calls that are rarer than this an operation are only part of the sum.
const SHOWN: f64 = 0.01;

/// A row for each case and server, and Switchboard's calls a short connection; none where strace cannot be used at all.
pub fn compare(bench: &Bench<'_>) -> io::Result<Option<(Table, Option<f64>)>> {
    if quiet("strace").arg("-V").status().is_err() {
        return Ok(None);
    }
    let (mut counted, mut own) = (false, None);
    let mut table = Table::new("calls: system calls an operation", &["", "case", "sum", "which"]);
    let cases = if bench.options.quick { &[CHURN][..] } else { &CASES };
    for case in all().iter().filter(|case| cases.contains(&case.name)) {
        for &server in bench.servers.iter().filter(|server| SERVERS.contains(server)) {
            // HAProxy splices in bulk cases alone.
            let splices = case.unit == Unit::Mib && server != Server::Haproxy;
            if server == Server::HaproxySplice && !splices {
                continue;
            }
            let running = bench.start(server, Setup { threads: 1, ..bench.setup(case.service) }, &[])?;
            let mut calls = count(bench, &running, case)?;
            if calls.is_empty() {
                // strace sometimes loses hold of a process that is very busy.
                calls = count(bench, &running, case)?;
            }
            counted |= !calls.is_empty();
            let sum = calls.iter().map(|(_, count)| count).copied().reduce(|sum, count| sum + count);
            if server == Server::Switchboard && case.name == CHURN {
                own = sum;
            }
            let shown = calls.iter().filter(|(_, count)| *count >= SHOWN);
            let which: Vec<String> = shown.map(|(name, count)| format!("{name} {}", two(*count))).collect();
            let case = match case.unit {
                Unit::Mib => format!("{} a MiB", case.name),
                Unit::Operation(_) => case.name.to_owned(),
            };
            table.add(vec![server.name().to_owned(), case, two(sum.unwrap_or(f64::NAN)), which.join(", ")]);
        }
    }
    Ok(counted.then_some((table, own)))
}

/// The calls of a server an operation, the most frequent first; none where strace did not attach.
fn count(bench: &Bench<'_>, running: &Running, case: &Case) -> io::Result<Vec<(String, f64)>> {
    let Some(pid) = running.worker() else { return Ok(Vec::new()) };
    let plan = Plan {
        connections: case.connections,
        script: case.script.clone(),
        warm_up: WARM_UP,
        window: WINDOW.max(bench.options.window()),
        ..Plan::to(running.address)
    };
    let mut tracer: io::Result<Option<Child>> = Ok(None);
    let mut text = String::new();
    let report = shard::run(run(&plan, 0, |phase| match phase {
        Phase::Ramp | Phase::WarmUp => {}
        Phase::Window => tracer = attach(pid),
        Phase::End => {
            if let Ok(Some(tracer)) = &mut tracer {
                text = detach(tracer);
            }
        }
    }))?;
    tracer.map(|_| parse(&text, &report, case.unit))
}

fn attach(pid: u32) -> io::Result<Option<Child>> {
    let mut command = quiet("strace");
    let child =
        Child::start(command.args(["-f", "-c", "-q", "-p", &pid.to_string()]).stderr(Stdio::piped()))?;
    let begin = Instant::now();
    while begin.elapsed() < ATTACH_LIMIT {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() != "0")) {
            return Ok(Some(child));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// Ends the tracer and takes what it counted.
fn detach(tracer: &mut Child) -> String {
    tracer.interrupt();
    let mut text = String::new();
    if let Some(mut stream) = tracer.take_stderr() {
        // What cannot be read gives no calls, which is told as such.
        let _ = stream.read_to_string(&mut text);
    }
    text
}

/// Lines of `strace -c`: share, seconds, microseconds a call, calls, perhaps errors, name.
fn parse(text: &str, report: &Report, unit: Unit) -> Vec<(String, f64)> {
    let units = units(report, unit).max(1.0);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (count, name) = (words.get(3)?.parse::<u64>().ok()?, *words.last()?);
        (name != "total").then(|| (name.to_owned(), count as f64 / units))
    };
    let mut calls: Vec<(String, f64)> = text.lines().filter_map(line).collect();
    calls.sort_by(|one, other| other.1.total_cmp(&one.1));
    calls
}
