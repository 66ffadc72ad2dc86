//! Sessions that do nothing any more: the memory and the processor time that they cost a proxy, and what is left of the
//! memory once they have ended.

use crate::{
    bench::Bench,
    case::greeting,
    certificate::{self, Tls},
    command::Setup,
    server::{Running, Server},
    table::{Table, three},
    upstream::Service,
    usage::{Memory, Used, memory},
};
use std::{io, thread, time::Duration};
use switchboard::{
    net::limits::{reserve, share},
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
/// What each of those sends and takes back that come at once: a buffer or a pipe of each direction.
const WORK: u64 = 64 * 1024;
/// How long the work of all of them may take.
const WORK_LIMIT: Duration = Duration::from_millis(1500);
/// From when on nothing that a session did is looked after any more: Switchboard's rates come to rest after some 7 s.
const STILL_AFTER: Duration = Duration::from_secs(10);
/// A quick run does not wait that long, and says nothing of the processor time.
const QUICK_STILL_AFTER: Duration = Duration::from_millis(300);
/// How long the memory of sessions that have ended may take to be given back.
const GIVEN_BACK: Duration = Duration::from_millis(1000);
const MS: fn(u64) -> Duration = Duration::from_millis;

/// How many sessions, and how they come.
pub struct Shape {
    pub name: &'static str,
    about: &'static str,
    sessions: usize,
    /// All have their work at the same time; else each when it comes.
    at_once: bool,
    /// The clients speak TLS, which ends at the server.
    tls: Option<Tls>,
}

/// What a server's sessions cost.
pub struct Cost {
    sessions: usize,
    pub private_kib: f64,
    resident_kib: f64,
    /// Private memory once all have ended.
    left_kib: f64,
    /// Processor time a second, of all sessions; not a number in a quick run.
    pub cpu_us: f64,
    failures: u64,
    /// What a session of the best peer takes.
    pub best_peer_kib: f64,
}

impl Cost {
    /// Sessions that were there to the end.
    pub fn held(&self) -> f64 {
        self.sessions as f64 - self.failures as f64
    }
}

impl Shape {
    /// 2,000, those that all work at once, and as many as the descriptors of one process allow.
    pub fn all(bench: &Bench<'_>) -> io::Result<[Shape; 4]> {
        // As the server reckons it, in a program of its own.
        let sessions = shard::run(async {
            reserve(bench.layout.threads, 1);
            share(bench.descriptors).sessions
        })?;
        let most = sessions.min(bench.descriptors.saturating_sub(FORKED) / 2);
        let some = SOME.min(most);
        Ok([
            Shape {
                name: "idle 2000",
                about: "64 B there and back",
                sessions: some,
                at_once: false,
                tls: None,
            },
            Shape {
                name: "idle burst",
                about: "64 KiB there and back, all at once",
                sessions: some,
                at_once: true,
                tls: None,
            },
            Shape {
                name: "idle tls",
                about: "64 B there and back over TLS",
                sessions: some,
                at_once: false,
                tls: Some(Tls { resume: false, post_quantum: false }),
            },
            Shape {
                name: "idle most",
                about: "64 B there and back",
                sessions: most,
                at_once: false,
                tls: None,
            },
        ])
    }

    pub fn is_quick(&self) -> bool {
        self.name != "idle most"
    }

    fn script(&self) -> Script {
        if self.at_once {
            let each = vec![Step::Send(WORK), Step::Expect(WORK), Step::Hold];
            Script { before: vec![Step::Connect], each, after: Vec::new() }
        } else {
            Script { before: greeting(), each: vec![Step::Hold], after: Vec::new() }
        }
    }
}

/// A row for each proxy, and the cost of Switchboard's sessions.
pub fn compare(bench: &Bench<'_>, shape: &Shape) -> io::Result<(Table, Option<Cost>)> {
    let head = [
        "",
        "sessions",
        "private KiB/session",
        "resident KiB/session",
        "private KiB left",
        "idle CPU µs/s",
        "failed",
    ];
    let title = format!("{}, {}: idle after {}", shape.name, bench.layout.name, shape.about);
    let mut table = Table::new(title, &head);
    let (mut own, mut best) = (None, f64::INFINITY);
    for &server in bench.servers {
        let sessions = match server {
            Server::Direct | Server::HaproxySplice => continue,
            Server::Socat if shape.tls.is_some() => continue,
            Server::Socat if bench.options.quick => continue,
            Server::Socat => shape.sessions.min(FORKED),
            _ => shape.sessions,
        };
        let running =
            bench.start(server, Setup { tls: shape.tls.is_some(), ..bench.setup(Service::Echo) }, &[])?;
        let cost = measure(bench, &running, sessions, shape)?;
        table.add(vec![
            server.name().to_owned(),
            cost.sessions.to_string(),
            three(cost.private_kib),
            three(cost.resident_kib),
            three(cost.left_kib),
            three(cost.cpu_us),
            cost.failures.to_string(),
        ]);
        if server.is_peer() {
            best = best.min(cost.private_kib);
        }
        if server == Server::Switchboard {
            own = Some(cost);
        }
    }
    Ok((table, own.map(|own| Cost { best_peer_kib: best, ..own })))
}

fn measure(bench: &Bench<'_>, running: &Running, sessions: usize, shape: &Shape) -> io::Result<Cost> {
    let Some(pid) = running.pid() else {
        return Err(io::Error::other("a direct connection has no sessions"));
    };
    let first = Shape { at_once: false, ..*shape };
    hold(running, FIRST, &first, MS(20), MS(20), |_| ())?;
    let base = memory(pid);
    let quick = bench.options.quick;
    let (still, window) = if quick { (QUICK_STILL_AFTER, MS(100)) } else { (STILL_AFTER, MS(1000)) };
    let warm_up = still + if shape.at_once { WORK_LIMIT } else { Duration::ZERO };
    let (mut full, mut cpu, mut before) = (Memory::default(), Duration::ZERO, Used::default());
    let report = hold(running, sessions, shape, warm_up, window, |phase| match phase {
        Phase::Ramp | Phase::WarmUp => {}
        Phase::Window => before = Used::by(pid),
        Phase::End => {
            cpu = Used::by(pid).since(&before);
            full = memory(pid);
        }
    })?;
    thread::sleep(GIVEN_BACK);
    let left = memory(pid);
    let per_session = |now: u64, base: u64| now.saturating_sub(base) as f64 / sessions as f64;
    Ok(Cost {
        sessions,
        private_kib: per_session(full.private_kib, base.private_kib),
        resident_kib: per_session(full.resident_kib, base.resident_kib),
        left_kib: per_session(left.private_kib, base.private_kib),
        cpu_us: if quick { f64::NAN } else { cpu.as_secs_f64() * 1e6 / report.window.as_secs_f64() },
        failures: report.failures.values().sum(),
        best_peer_kib: f64::INFINITY,
    })
}

/// Opens sessions that do the work of `shape`, and holds them.
fn hold(
    running: &Running,
    connections: usize,
    shape: &Shape,
    warm_up: Duration,
    window: Duration,
    at: impl FnMut(Phase),
) -> io::Result<Report> {
    let (script, tls) = (shape.script(), shape.tls.map(certificate::clients).transpose()?);
    let plan = Plan { connections, script, tls, warm_up, window, ..Plan::to(running.address) };
    shard::run(run(&plan, 0, at))
}
