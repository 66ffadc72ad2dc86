//! Sessions that were used once and then do nothing: the memory and the processor time that they cost a proxy.

use crate::{
    case::greeting,
    options::Options,
    server::{Duty, Running, Server},
    table::{Table, three},
    upstream::{Service, Upstream},
    usage::{Memory, memory, processor_time},
};
use std::{io, time::Duration};
use switchboard::{
    net::limits::share,
    runtime::shard,
    tools::load::{
        report::Report,
        run::{Phase, Plan, run},
        script::{Script, Step},
    },
};

const SOME: usize = 2000;
/// Sessions before the baseline is taken, so that what a first session costs once is in it.
const FIRST: usize = 20;
/// A process for each session shows at a few sessions what it costs.
const FORKED: usize = 200;
const MS: fn(u64) -> Duration = Duration::from_millis;

struct Cost {
    sessions: usize,
    private_kib: f64,
    resident_kib: f64,
    /// Processor time a second, of all sessions.
    cpu_us: f64,
    failures: u64,
}

/// The sizes by their names: 2,000, and as many as the descriptors of one process allow, two each.
pub fn sizes(descriptors: usize) -> [(&'static str, usize); 2] {
    let most = share(descriptors).sessions.min(descriptors.saturating_sub(FORKED) / 2);
    [("idle 2000", SOME.min(most)), ("idle most", most)]
}

/// A row for each proxy, and Switchboard's private memory a session in KiB.
pub fn compare(
    name: &str,
    sessions: usize,
    servers: &[Server],
    upstream: &Upstream,
    options: &Options,
    descriptors: usize,
) -> io::Result<(Table, Option<f64>)> {
    let head = ["", "sessions", "private KiB/session", "resident KiB/session", "idle CPU µs/s", "failed"];
    let mut table = Table::new(format!("{name}: sessions that were used once"), &head);
    let mut own = None;
    for &server in servers {
        let sessions = match server {
            Server::Direct | Server::HaproxySplice => continue,
            Server::Socat => sessions.min(FORKED),
            _ => sessions,
        };
        let duty = Duty::Proxy(upstream.address(Service::Echo));
        let running = server.start(duty, descriptors, &[])?;
        let cost = measure(&running, sessions, options)?;
        if server == Server::Switchboard {
            own = Some(cost.private_kib);
        }
        table.add(vec![
            server.name().to_owned(),
            cost.sessions.to_string(),
            three(cost.private_kib),
            three(cost.resident_kib),
            three(cost.cpu_us),
            cost.failures.to_string(),
        ]);
    }
    Ok((table, own))
}

fn measure(running: &Running, sessions: usize, options: &Options) -> io::Result<Cost> {
    let Some(pid) = running.pid() else {
        return Err(io::Error::other("a direct connection has no sessions"));
    };
    hold(running, FIRST, MS(20), MS(20), |_| ())?;
    let base = memory(pid);
    let (settle, window) = if options.quick { (MS(300), MS(300)) } else { (MS(1000), MS(2000)) };
    let (mut full, mut cpu) = (Memory::default(), Duration::ZERO);
    let report = hold(running, sessions, settle, window, |phase| match phase {
        Phase::Ramp | Phase::WarmUp => {}
        Phase::Window => cpu = processor_time(pid),
        Phase::End => {
            cpu = processor_time(pid).saturating_sub(cpu);
            full = memory(pid);
        }
    })?;
    let per_session = |full: u64, base: u64| full.saturating_sub(base) as f64 / sessions as f64;
    Ok(Cost {
        sessions,
        private_kib: per_session(full.private_kib, base.private_kib),
        resident_kib: per_session(full.resident_kib, base.resident_kib),
        cpu_us: cpu.as_secs_f64() * 1e6 / report.window.as_secs_f64(),
        failures: report.failures.values().sum(),
    })
}

/// Opens sessions, uses each once, and holds them.
fn hold(
    running: &Running,
    connections: usize,
    warm_up: Duration,
    window: Duration,
    at: impl FnMut(Phase),
) -> io::Result<Report> {
    let script = Script { before: greeting(), each: vec![Step::Hold], after: Vec::new() };
    let plan = Plan { connections, script, warm_up, window, ..Plan::to(running.address) };
    shard::run(run(&plan, 0, at))
}
