//! Switchboard beside a direct connection and the peers found on this machine, in one run.
//!
//! `cargo bench --bench compare [-- [--quick] [--record] [--no-pin] [--servers=NAME,…] [--window=TIME] [CASE…]]`
//!
//! `QUICK=1` is `--quick`. A case is named by the begin of its name (`pingpong`, `"bulk 1"`, `idle`). A full run is
//! appended to `benches/RESULTS.md`; a quick or partial one only with `--record`. `--servers` and `--window` are for looking
//! at one server with a profiler. `OTHER=PATH` adds another build of Switchboard, to see what a change brings.
//!
//! `load` is `switchboard load` beside wrk and redis-benchmark on the same servers.
//!
//! Every case runs in rounds, each server in turn, and shows medians over the rounds. A server is a child process, and so
//! is the upstream (this program again); the load runs here, on one thread.
#![forbid(unsafe_code)]

mod calls;
mod case;
mod child;
mod command;
mod generators;
mod idle;
mod measure;
mod namespace;
mod options;
mod processors;
mod record;
mod server;
mod spacing;
mod start;
mod table;
mod targets;
mod upstream;
mod usage;

use crate::{options::Options, server::Server, targets::Findings, upstream::Upstream};
use std::{error::Error, process::ExitCode};
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
    let shared_out = options.pin && processors::share()?;
    let mut report = record::Report::new(&options, &servers, &network, shared_out);
    let upstream = Upstream::start()?;
    let mut findings = Findings::default();
    for case in case::all().into_iter().filter(|case| options.wants(case.name)) {
        let outcome = measure::compare(&case, &servers, &upstream, &options, descriptors)?;
        report.add(&outcome.table());
        findings.outcomes.push(outcome);
    }
    if options.wants(spacing::NAME) {
        report.add(&spacing::compare(&servers, &upstream, &options, descriptors)?);
    }
    for (name, sessions) in idle::sizes(descriptors) {
        if options.wants(name) {
            let (table, per_session) =
                idle::compare(name, sessions, &servers, &upstream, &options, descriptors)?;
            report.add(&table);
            findings.idle_kib.extend(per_session.map(|kib| (name, kib)));
        }
    }
    if options.wants(start::NAME) {
        let (table, start) = start::compare(&servers, &upstream, &options, descriptors)?;
        report.add(&table);
        findings.start = Some(start);
    }
    // In a quick run they are left out unless asked for.
    if options.names(calls::NAME) || (options.wants(calls::NAME) && !options.quick) {
        match calls::compare(&servers, &upstream, &options, descriptors)? {
            Some(table) => report.add(&table),
            None => eprintln!("compare: no calls are counted: strace is not there or may not attach"),
        }
    }
    // Others are started with 'load' alone, not with every quick run.
    if options.names(generators::NAME) || (options.wants(generators::NAME) && !options.quick) {
        match generators::compare(&options)? {
            Some(table) => report.add(&table),
            None => {
                eprintln!("compare: neither wrk with nginx nor redis-benchmark with redis-server is there")
            }
        }
    }
    report.add(&findings.table());
    report.finish(&options)?;
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
