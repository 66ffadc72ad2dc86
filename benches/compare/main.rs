//! Switchboard beside a direct connection and the peers found on this machine, in one run.
//!
//! `cargo bench --bench compare [-- [--quick] [--record] [--pinned|--unpinned] [--servers=NAME,…] [--window=TIME] [CASE…]]`
//!
//! `QUICK=1` is `--quick`. A case is named by the begin of its name (`pingpong`, `"bulk 1"`, `idle`). A full run is
//! appended to `benches/RESULTS.md`; a quick or partial one only with `--record`. `--servers` and `--window` are for looking
//! at one server with a profiler. `OTHER=PATH` adds another build of Switchboard, to see what a change brings.
//!
//! All of it runs in a network namespace of its own, with one congestion control for all. Every traffic case runs twice:
//! pinned (the server has a processor and one thread) and unpinned (a thread for each processor, the peers alike); in
//! rounds, each server in turn. It shows medians over the rounds. A server is a child process, and so is the upstream (this
//! program again), which each server finds at an address of its own; the load runs here, on one thread.
//!
//! `load` is `switchboard load` beside wrk and redis-benchmark on the same servers. `faults` is `switchboard faults` beside
//! toxiproxy where it is found. `hostile` is what hostile peers cost the others of a server, in both layouts;
//! `ATTACKS=NAME;…` are the kinds to look at alone.
#![forbid(unsafe_code)]

mod attack;
mod bench;
mod calls;
mod case;
mod certificate;
mod child;
mod command;
mod faults;
mod faulty;
mod generators;
mod hostile;
mod idle;
mod layout;
mod measure;
mod namespace;
mod options;
mod record;
mod scaling;
mod server;
mod source;
mod spacing;
mod start;
mod table;
mod targets;
mod upstream;
mod usage;

use crate::{
    bench::Bench, idle::Shape, layout::Layout, options::Options, record::Report, server::Server,
    targets::Findings,
};
use std::{error::Error, io, process::ExitCode};
use switchboard::net::limits::raise_descriptor_limit;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let end = if arguments.first().is_some_and(|first| first == upstream::COMMAND) {
        upstream::serve().map_err(Into::into)
    } else {
        let end = compare(arguments);
        command::remove_files();
        end
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(mut arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let network = namespace::enter(&mut arguments)?;
    let options = Options::parse(&arguments)?;
    let descriptors = raise_descriptor_limit();
    child::end_all_on_signal()?;
    let servers: Vec<Server> =
        Server::found().into_iter().filter(|server| options.wants_server(server.name())).collect();
    let mut layouts = Layout::all()?;
    layouts.retain(|layout| options.wants_layout(layout.name));
    let mut report = Report::new(&options, &servers, &network, &layouts);
    let mut findings = Findings::default();
    for (number, layout) in layouts.iter().enumerate() {
        let bench = Bench::begin(&options, &servers, descriptors, layout)?;
        for case in case::all() {
            if options.wants_case(case.name, case.is_quick()) {
                let outcome = measure::compare(&bench, &case)?;
                report.add(&outcome.table());
                findings.outcomes.push(outcome);
            }
        }
        if options.wants_case(hostile::NAME, false) {
            let (table, harms) = hostile::compare(&bench)?;
            report.add(&table);
            findings.hostile.extend(harms);
        }
        if number == 0 {
            look_closer(&bench, &mut report, &mut findings)?;
        }
        if number + 1 == layouts.len() {
            weigh(&bench, &mut report, &mut findings)?;
        }
    }
    report.add(&findings.table());
    report.finish(&options)?;
    Ok(())
}

/// What needs a server that has a processor to itself.
fn look_closer(bench: &Bench<'_>, report: &mut Report, findings: &mut Findings) -> io::Result<()> {
    let options = bench.options;
    if options.wants_case(spacing::NAME, false) {
        report.add(&spacing::compare(bench)?);
    }
    if options.wants_case(calls::NAME, true) {
        match calls::compare(bench)? {
            Some((table, own)) => {
                report.add(&table);
                findings.calls = own;
            }
            None => eprintln!("compare: no calls are counted: strace is not there or may not attach"),
        }
    }
    if options.wants_case(generators::NAME, false) {
        match generators::compare(bench)? {
            Some(table) => report.add(&table),
            None => {
                eprintln!("compare: neither wrk with nginx nor redis-benchmark with redis-server is there")
            }
        }
    }
    Ok(())
}

/// Servers as they come: a second thread, sessions that do nothing, and the start.
fn weigh(bench: &Bench<'_>, report: &mut Report, findings: &mut Findings) -> io::Result<()> {
    let options = bench.options;
    if options.wants_case(scaling::NAME, true) {
        let (table, scaling) = scaling::compare(bench)?;
        report.add(&table);
        findings.scaling = Some(scaling);
    }
    for shape in Shape::all(bench)? {
        if options.wants_case(shape.name, shape.is_quick()) {
            let (table, own) = idle::compare(bench, &shape)?;
            report.add(&table);
            findings.idle.extend(own.map(|cost| (shape.name, cost)));
        }
    }
    if options.wants_case(start::NAME, true) {
        let (table, start) = start::compare(bench)?;
        report.add(&table);
        findings.start = Some(start);
    }
    if options.wants_case(faults::NAME, false) {
        let (tables, figures) = faults::compare(bench)?;
        tables.iter().for_each(|table| report.add(table));
        findings.faults = Some(figures);
    }
    Ok(())
}

/// The middle of `values`, or of the two in the middle; not a number where there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}
