//! One client whose round trips are spaced: what `--busy-poll` gains and costs between one event and the next.

use crate::{
    bench::Bench,
    case::{Unit, farewell, greeting, round_trip},
    measure::{Sample, measure},
    server::{Running, Server},
    table::{Table, three},
    upstream::Service,
};
use std::{io, time::Duration};
use switchboard::tools::load::{
    run::Plan,
    script::{Script, Step},
};

pub const NAME: &str = "spacing";
/// Never, and as it is by default.
const SETTINGS: [&str; 2] = ["off", "200us"];
const SPACINGS_US: [u64; 4] = [10, 100, 1000, 10_000];
/// Long enough for 30 round trips of the widest spacing.
const WINDOW: Duration = Duration::from_millis(350);
const ROUNDS: usize = 3;

/// Latency and processor time for each spacing and setting, and for nginx where it is there.
pub fn compare(bench: &Bench<'_>) -> io::Result<Table> {
    let setup = bench.setup(Service::Echo);
    let mut running: Vec<(String, Running)> = Vec::new();
    for setting in SETTINGS.into_iter().filter(|_| bench.servers.contains(&Server::Switchboard)) {
        let server = bench.start(Server::Switchboard, setup, &["--busy-poll", setting])?;
        running.push((setting.to_owned(), server));
    }
    if bench.servers.contains(&Server::Nginx) {
        running.push(("nginx".to_owned(), bench.start(Server::Nginx, setup, &[])?));
    }
    let names = running.iter().map(|(name, _)| name.as_str());
    let head: Vec<&str> = ["pause"].into_iter().chain(names).collect();
    let title =
        format!("spacing, {}: p50 µs / CPU µs a round trip of 64 B, by --busy-poll", bench.layout.name);
    let mut table = Table::new(title, &head);
    let (rounds, window) = if bench.options.quick { (1, bench.options.window()) } else { (ROUNDS, WINDOW) };
    for spacing_us in SPACINGS_US {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); running.len()];
        for _ in 0..rounds {
            for ((_, running), samples) in running.iter().zip(&mut samples) {
                let plan = plan(running, Duration::from_micros(spacing_us), window);
                samples.push(measure(running, &plan, Unit::Operation("round trip"))?);
            }
        }
        let mut cells = vec![format!("{:?}", Duration::from_micros(spacing_us))];
        for samples in &samples {
            let Sample { latency_us, cpu_us, .. } = Sample::median(samples);
            cells.push(format!("{} / {}", three(latency_us[0]), three(cpu_us)));
        }
        table.add(cells);
    }
    Ok(table)
}

fn plan(running: &Running, pause: Duration, window: Duration) -> Plan {
    let each = [vec![Step::Pause(pause)], round_trip()].concat();
    Plan {
        script: Script { before: greeting(), each, after: farewell() },
        warm_up: window / 10,
        window,
        ..Plan::to(running.address)
    }
}
