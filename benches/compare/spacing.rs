//! One client whose round trips are spaced: what `--busy-poll` gains and costs between one event and the next.

use crate::{
    case::{Unit, farewell, greeting, round_trip},
    measure::{Sample, measure},
    options::Options,
    server::{Duty, Running, Server},
    table::{Table, three},
    upstream::{Service, Upstream},
};
use std::{io, time::Duration};
use switchboard::tools::load::{
    run::Plan,
    script::{Script, Step},
};

pub const NAME: &str = "spacing";
const SETTINGS: [&str; 4] = ["off", "50us", "100us", "200us"];
const SPACINGS_US: [u64; 7] = [10, 30, 100, 300, 1000, 3000, 10_000];
const QUICK_SPACINGS_US: [u64; 3] = [10, 100, 1000];
/// Long enough for 30 round trips of the widest spacing.
const WINDOW: Duration = Duration::from_millis(350);
const ROUNDS: usize = 3;

/// Latency and processor time for each spacing and setting, and for nginx where it is there.
pub fn compare(
    servers: &[Server],
    upstream: &Upstream,
    options: &Options,
    descriptors: usize,
) -> io::Result<Table> {
    let duty = Duty::Proxy(upstream.address(Service::Echo));
    let mut running: Vec<(String, Running)> = Vec::new();
    for setting in SETTINGS.into_iter().filter(|_| servers.contains(&Server::Switchboard)) {
        let server = Server::Switchboard.start(duty, descriptors, &["--busy-poll", setting])?;
        running.push((setting.to_owned(), server));
    }
    if servers.contains(&Server::Nginx) {
        running.push(("nginx".to_owned(), Server::Nginx.start(duty, descriptors, &[])?));
    }
    let names = running.iter().map(|(name, _)| name.as_str());
    let head: Vec<&str> = ["pause"].into_iter().chain(names).collect();
    let mut table = Table::new("spacing: p50 µs / CPU µs a round trip of 64 B, by --busy-poll", &head);
    let (spacings, rounds, window) = if options.quick {
        (&QUICK_SPACINGS_US[..], 1, options.window())
    } else {
        (&SPACINGS_US[..], ROUNDS, WINDOW)
    };
    for &spacing_us in spacings {
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
