//! One measurement of one server, and a case: rounds of measurements, each server in turn, and their medians.

use crate::{
    bench::Bench,
    case::{Case, Unit},
    certificate,
    command::Setup,
    median,
    server::{Running, Server},
    table::{self, Table},
    usage::Used,
};
use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use switchboard::{
    runtime::shard,
    tools::load::{
        failure::Failure,
        report::Report,
        report::add_counts,
        run::{Phase, Plan, run},
    },
};

const MIB: f64 = 1024.0 * 1024.0;
/// How long a server may put away what the last run left, before the next is measured.
const SETTLE: Duration = Duration::from_millis(20);

static LAST_SEED: AtomicU64 = AtomicU64::new(0);

/// What one server did in one window, or the medians of several.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Units a second.
    pub rate: f64,
    /// Latency of an operation in microseconds, at 0.5, 0.99 and 0.999.
    pub latency_us: [f64; 3],
    /// The server's processor time a unit in microseconds; not a number where there is no server.
    pub cpu_us: f64,
    /// The part of that which its busiest thread used.
    pub busiest: f64,
    /// The part of one processor that the load took.
    pub load: f64,
    pub failures: BTreeMap<Failure, u64>,
}

/// What a case came to.
pub struct Outcome {
    pub name: &'static str,
    pub layout: &'static str,
    about: &'static str,
    unit: Unit,
    pub rows: Vec<Row>,
}

/// The medians of one server.
pub struct Row {
    pub server: Server,
    pub sample: Sample,
    /// From the slowest to the fastest round, as a part of the median.
    spread: f64,
}

/// Runs `plan` against a server and measures both, in the window.
pub fn measure(running: &Running, plan: &Plan, unit: Unit) -> io::Result<Sample> {
    let used = || running.pid().map(Used::by).unwrap_or_default();
    let own = processor_time_of_this_process;
    let (mut before, mut after) = (Used::default(), Used::default());
    let mut load = Duration::ZERO;
    let seed = LAST_SEED.fetch_add(1, Relaxed) + 1;
    let report = shard::run(run(plan, seed, |phase| match phase {
        Phase::Ramp | Phase::WarmUp => {}
        Phase::Window => (before, load) = (used(), own()),
        Phase::End => (after, load) = (used(), own().saturating_sub(load)),
    }))?;
    std::thread::sleep(SETTLE);
    let seconds = report.window.as_secs_f64();
    let units = units(&report, unit);
    // Not a number for a direct connection.
    let cpu_us = running.pid().map_or(f64::NAN, |_| after.since(&before).as_secs_f64() * 1e6);
    Ok(Sample {
        rate: units / seconds,
        latency_us: [0.5, 0.99, 0.999].map(|part| report.service.part(part).as_secs_f64() * 1e6),
        cpu_us: cpu_us / units,
        busiest: after.busiest_since(&before).as_secs_f64() * 1e6 / cpu_us,
        load: load.as_secs_f64() / seconds,
        failures: report.failures,
    })
}

fn processor_time_of_this_process() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What `report` counts, in units.
pub fn units(report: &Report, unit: Unit) -> f64 {
    match unit {
        Unit::Operation(_) => report.operations as f64,
        Unit::Mib => (report.sent + report.received) as f64 / MIB,
    }
}

/// Runs a case with every server that can take part.
pub fn compare(bench: &Bench<'_>, case: &Case) -> io::Result<Outcome> {
    let running = bench
        .servers
        .iter()
        .filter(|server| takes_part(**server, case, bench.options.quick))
        .map(|server| {
            bench.start(*server, Setup { tls: case.tls.is_some(), ..bench.setup(case.service) }, &[])
        })
        .collect::<io::Result<Vec<_>>>()?;
    let tls = case.tls.map(certificate::clients).transpose()?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); running.len()];
    for round in 0..bench.options.rounds() {
        for number in order(round, running.len()) {
            let plan = Plan {
                connections: case.connections,
                script: case.script.clone(),
                tls: tls.clone(),
                warm_up: bench.options.warm_up(),
                window: bench.options.window(),
                ..Plan::to(running[number].address)
            };
            samples[number].push(measure(&running[number], &plan, case.unit)?);
        }
    }
    let rows = running.iter().zip(&samples).map(|(running, samples)| Row::new(running.server, samples));
    Ok(Outcome {
        name: case.name,
        layout: bench.layout.name,
        about: case.about,
        unit: case.unit,
        rows: rows.collect(),
    })
}

/// Who comes when in a round: another begins each pair of rounds, and the second goes backward, so that no one always
/// follows the same one.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let place = move |turn| if round.is_multiple_of(2) { turn } else { count - 1 - turn };
    (0..count).map(move |turn| (round / 2 + place(turn)) % count)
}

fn takes_part(server: Server, case: &Case, quick: bool) -> bool {
    match server {
        // They cannot end it.
        Server::Direct | Server::Socat | Server::HaproxySplice if case.tls.is_some() => false,
        // Small messages are never worth a splice.
        Server::HaproxySplice => case.unit == Unit::Mib,
        // It is no peer, and takes a tenth of the time.
        Server::Socat => !quick,
        _ => true,
    }
}

impl Sample {
    /// The medians of several.
    pub fn median(samples: &[Sample]) -> Sample {
        let middle = |value: &dyn Fn(&Sample) -> f64| median(samples.iter().map(value).collect());
        let mut failures = BTreeMap::new();
        samples.iter().for_each(|sample| add_counts(&mut failures, &sample.failures));
        Sample {
            rate: middle(&|sample| sample.rate),
            latency_us: std::array::from_fn(|part| middle(&|sample| sample.latency_us[part])),
            cpu_us: middle(&|sample| sample.cpu_us),
            busiest: middle(&|sample| sample.busiest),
            load: middle(&|sample| sample.load),
            failures,
        }
    }
}

impl Row {
    fn new(server: Server, samples: &[Sample]) -> Row {
        let sample = Sample::median(samples);
        let rates = samples.iter().map(|sample| sample.rate);
        let spread = (rates.clone().fold(0.0, f64::max) - rates.fold(f64::MAX, f64::min)) / sample.rate;
        Row { server, sample, spread }
    }
}

impl Outcome {
    /// Switchboard's value as a ratio to that of the best peer; `least` says whether less is better.
    pub fn ratio(&self, least: bool, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let own = self.rows.iter().find(|row| row.server == Server::Switchboard)?;
        Some(value(&own.sample) / self.best(least, &value)?)
    }

    fn best(&self, least: bool, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let peers = self.rows.iter().filter(|row| row.server.is_peer()).map(|row| value(&row.sample));
        peers.reduce(if least { f64::min } else { f64::max })
    }

    /// How many connections of Switchboard's failed.
    pub fn failures(&self) -> u64 {
        let own = self.rows.iter().filter(|row| row.server == Server::Switchboard);
        own.flat_map(|row| row.sample.failures.values()).sum()
    }

    /// A row for each server; ratios are to the best peer's.
    pub fn table(&self) -> Table {
        let (rate, cpu) = match self.unit {
            Unit::Operation(name) => ("rate /s".to_owned(), format!("CPU µs/{name}")),
            Unit::Mib => ("MiB/s".to_owned(), "CPU µs/MiB".to_owned()),
        };
        let head =
            ["", &rate, "±", "× best", "p50 µs", "p99 µs", "p99.9 µs", &cpu, "× best", "load", "failed"];
        let title = format!("{}, {}: {}", self.name, self.layout, self.about);
        let (best_rate, best_cpu) =
            (self.best(false, |sample| sample.rate), self.best(true, |sample| sample.cpu_us));
        let ratio =
            |value: f64, best: Option<f64>| best.map_or(String::new(), |best| table::two(value / best));
        let mut table = Table::new(title, &head);
        for Row { server, sample, spread } in &self.rows {
            let mut cells = vec![server.name().to_owned(), table::three(sample.rate)];
            cells.push(format!("{:.0} %", spread * 50.0));
            cells.push(ratio(sample.rate, best_rate));
            cells.extend(sample.latency_us.map(table::three));
            cells.push(table::three(sample.cpu_us));
            cells.push(ratio(sample.cpu_us, best_cpu));
            cells.push(format!("{:.0} %", sample.load * 100.0));
            cells.push(failed(&sample.failures));
            table.add(cells);
        }
        table
    }
}

fn failed(failures: &BTreeMap<Failure, u64>) -> String {
    let kinds: Vec<String> =
        failures.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    if kinds.is_empty() { "0".to_owned() } else { kinds.join(", ") }
}
