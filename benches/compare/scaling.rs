//! A second thread: what it costs a round trip, and whether long connections are shared out between the two.

use crate::{
    bench::Bench,
    case::{Unit, pingpong},
    command::Setup,
    measure::{Sample, measure, order},
    server::Server,
    table::{Table, three, two},
    upstream::Service,
};
use std::io;
use switchboard::tools::load::run::Plan;

pub const NAME: &str = "scaling";
const SERVERS: [Server; 4] = [Server::Switchboard, Server::Other, Server::Haproxy, Server::Nginx];
const CONNECTIONS: [usize; 3] = [4, 8, 50];
/// The cost of the second thread is that of this case; with fewer connections it depends on where nginx's have come to.
const COST_CONNECTIONS: usize = 50;
const THREADS: usize = 2;

/// What the targets ask for.
#[derive(Default)]
pub struct Scaling {
    /// Processor time a round trip with two threads, as a ratio to one.
    pub own: Option<f64>,
    pub nginx: Option<f64>,
    /// For each number of connections, the busiest thread's part of the work.
    pub busiest: Vec<(usize, f64)>,
}

/// A row for each number of connections and server.
pub fn compare(bench: &Bench<'_>) -> io::Result<(Table, Scaling)> {
    let head = [
        "",
        "connections",
        "rate /s, 1",
        "rate /s, 2",
        "2 / 1",
        "CPU µs, 1",
        "CPU µs, 2",
        "2 / 1",
        "busiest of 2",
        "worst round",
    ];
    let title = format!("{NAME}, {}: 64 B there and back, 1 thread and 2", bench.layout.name);
    let (mut table, mut scaling) = (Table::new(title, &head), Scaling::default());
    let servers: Vec<Server> =
        bench.servers.iter().copied().filter(|server| SERVERS.contains(server)).collect();
    for connections in CONNECTIONS {
        let samples = samples(bench, &servers, connections)?;
        for (&server, samples) in servers.iter().zip(samples.chunks(THREADS)) {
            let [one, two_threads] = [0, 1].map(|number| Sample::median(&samples[number]));
            let cost = two_threads.cpu_us / one.cpu_us;
            match server {
                Server::Switchboard => {
                    scaling.busiest.push((connections, two_threads.busiest));
                    scaling.own = Some(cost).filter(|_| connections == COST_CONNECTIONS);
                }
                Server::Nginx => scaling.nginx = Some(cost).filter(|_| connections == COST_CONNECTIONS),
                _ => {}
            }
            table.add(vec![
                server.name().to_owned(),
                connections.to_string(),
                three(one.rate),
                three(two_threads.rate),
                two(two_threads.rate / one.rate),
                three(one.cpu_us),
                three(two_threads.cpu_us),
                two(cost),
                two(two_threads.busiest),
                two(samples[1].iter().map(|sample| sample.busiest).fold(0.0, f64::max)),
            ]);
        }
    }
    Ok((table, scaling))
}

/// For each server, its rounds with one thread and then those with two.
fn samples(bench: &Bench<'_>, servers: &[Server], connections: usize) -> io::Result<Vec<Vec<Sample>>> {
    let mut running = Vec::new();
    for &server in servers {
        for threads in 1..=THREADS {
            let setup = Setup { threads, ..bench.setup(Service::Echo) };
            running.push(bench.start(server, setup, &[])?);
        }
    }
    let mut samples = vec![Vec::new(); running.len()];
    for round in 0..bench.options.rounds() {
        for number in order(round, running.len()) {
            let plan = Plan {
                connections,
                script: pingpong(),
                warm_up: bench.options.warm_up(),
                window: bench.options.window(),
                ..Plan::to(running[number].address)
            };
            samples[number].push(measure(&running[number], &plan, Unit::Operation("round trip"))?);
        }
    }
    Ok(samples)
}
