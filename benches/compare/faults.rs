//! Faults: how exact they are, what they cost, and whether the API waits for traffic. Set by toxiproxy's API, beside
//! toxiproxy where it is there; else beside what was published of it.

use crate::{
    bench::Bench,
    case::{Unit, pingpong},
    faulty::{Breaker, Faulty},
    measure::{Sample, measure, order},
    median,
    server::{Running, Server},
    source,
    table::{Table, three, two},
    upstream::Service,
    usage::{Used, forget_peak, peak_kib},
};
use serde_json::json;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use switchboard::tools::load::run::Plan;

pub const NAME: &str = "faults";
/// A row of figures that are not of this run.
const PUBLISHED: &str = "published: toxiproxy 2.12";
const MESSAGE: [u8; 64] = [7; 64];
/// Milliseconds, and round trips of a client at each, in a full run.
const LATENCIES: [(u64, usize); 3] = [(5, 150), (50, 40), (200, 20)];
const CLIENTS: usize = 4;
/// Of toxiproxy 2.12 on two processors, 2026-11-28: milliseconds late, p50 and p95 at each latency.
const PUBLISHED_LATE_MS: [[f64; 2]; 3] = [[0.33, 0.48], [0.43, 0.73], [0.73, 1.04]];
/// KB (1,000 bytes) a second.
const RATES: [u64; 4] = [100, 1000, 10_000, 50_000];
/// Alike: percent off over a second, and milliseconds to the first byte.
const PUBLISHED_RATES: [[f64; 2]; 4] = [[0.5, 100.0], [0.4, 34.0], [1.0, 5.0], [5.5, 2.0]];
/// Enough that the memory which the first of them take to be there is a small part.
const TRANSFER_BYTES: u64 = 1 << 30;
const TRANSFER_LATENCY_MS: u64 = 50;
/// Alike: seconds without a toxic and with latency, and resident memory with latency.
const PUBLISHED_MIB: f64 = 256.0;
const PUBLISHED_TRANSFER: ([f64; 2], f64) = ([0.39, 0.45], 86.0);
/// Sessions whose receivers read nothing, and what each is owed.
const STALLED: usize = 100;
const STALLED_BYTES: u64 = 1 << 40;
/// How long the calls under stalled sessions may take in all.
const CALLS_LIMIT: Duration = Duration::from_secs(30);
const CALL_ROUNDS: usize = 200;
/// The longest wait for a byte.
const LIMIT: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0 * 1024.0;

/// What the targets ask for: Switchboard's own.
#[derive(Default)]
pub struct FaultFigures {
    /// Milliseconds late at p95, the worst of the latencies.
    pub late_ms: f64,
    /// Round trips that were quicker than the latency.
    pub early: usize,
    /// Percent, the worst of the rates.
    pub rate_error: f64,
    /// The rate of a transfer behind latency, of that behind a fault that does nothing.
    pub latency_rate: f64,
    /// Milliseconds of an API call at p99, sessions being stalled.
    pub call_ms: f64,
}

/// A table for each question, and the figures that have targets.
pub fn compare(bench: &Bench<'_>) -> io::Result<(Vec<Table>, FaultFigures)> {
    let breakers = Breaker::found();
    let running = breakers.iter().map(|breaker| Faulty::start(bench, *breaker));
    let running = running.collect::<io::Result<Vec<Faulty>>>()?;
    let source = source::start()?;
    let mut figures = FaultFigures::default();
    let tables = vec![
        latency(bench, &running, &mut figures)?,
        bandwidth(bench, &running, source, &mut figures)?,
        transfer(bench, &running, source, &mut figures)?,
        round_trip(bench, &breakers)?,
        calls(bench, &running, source, &mut figures)?,
    ];
    Ok((tables, figures))
}

/// Whether the last row is what was published: no peer was there to be measured.
fn is_alone(running: &[Faulty]) -> bool {
    running.iter().all(|faulty| faulty.breaker == Breaker::Switchboard)
}

// ── accuracy ────────────────────────────────────────────────────────────────────────────────────────────────────────

fn latency(bench: &Bench<'_>, running: &[Faulty], figures: &mut FaultFigures) -> io::Result<Table> {
    let title = format!(
        "faults, {}: 64 B there and back, ms beyond the latency (p50 / p95), and how many were early",
        bench.layout.name
    );
    let mut table = Table::new(title, &["", "none", "5 ms", "50 ms", "200 ms", "early"]);
    for faulty in running {
        let at = faulty.proxy("latency", bench.setup(Service::Echo).upstream)?;
        let base = late(at, Duration::ZERO, LATENCIES[0].1)?;
        let mut cells = vec![faulty.breaker.name().to_owned(), both(part(&base, 0.5), part(&base, 0.95))];
        let mut early = 0;
        for (ms, rounds) in LATENCIES {
            faulty.add("latency", "latency", json!({ "latency": ms }))?;
            let rounds = if bench.options.quick { rounds / 5 } else { rounds };
            let late = late(at, Duration::from_millis(ms), rounds)?;
            faulty.remove("latency", "latency")?;
            early += late.iter().filter(|ms| **ms < 0.0).count();
            cells.push(both(part(&late, 0.5), part(&late, 0.95)));
            if faulty.breaker == Breaker::Switchboard {
                figures.late_ms = figures.late_ms.max(part(&late, 0.95));
            }
        }
        if faulty.breaker == Breaker::Switchboard {
            figures.early = early;
        }
        cells.push(early.to_string());
        table.add(cells);
    }
    if is_alone(running) {
        let late = PUBLISHED_LATE_MS.map(|[p50, p95]| both(p50, p95));
        table.add([vec![PUBLISHED.to_owned(), "–".to_owned()], late.to_vec(), vec!["0".to_owned()]].concat());
    }
    Ok(table)
}

/// Milliseconds beyond `latency` of each round trip of a few clients, in order of size.
fn late(at: SocketAddr, latency: Duration, rounds: usize) -> io::Result<Vec<f64>> {
    let client = |number: u32| {
        // They are not in step.
        thread::sleep(latency * number / CLIENTS as u32);
        let mut stream = connect(at)?;
        let mut answer = MESSAGE;
        let mut late = Vec::new();
        for round in 0..=rounds {
            let begin = Instant::now();
            stream.write_all(&MESSAGE)?;
            stream.read_exact(&mut answer)?;
            let took = begin.elapsed();
            // The first opens the far leg.
            if round > 0 {
                late.push((took.as_secs_f64() - latency.as_secs_f64()) * 1e3);
            }
        }
        io::Result::Ok(late)
    };
    let mut all = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS as u32).map(|number| scope.spawn(move || client(number))).collect();
        for client in clients {
            all.extend(client.join().map_err(|_| io::Error::other("a client panicked"))??);
        }
        io::Result::Ok(())
    })?;
    all.sort_by(f64::total_cmp);
    Ok(all)
}

fn bandwidth(
    bench: &Bench<'_>,
    running: &[Faulty],
    source: SocketAddr,
    figures: &mut FaultFigures,
) -> io::Result<Table> {
    let title = format!(
        "faults, {}: the bytes of a second at a rate in KB/s: % too slow / ms to the first byte",
        bench.layout.name
    );
    let mut table = Table::new(title, &["", "100", "1000", "10000", "50000"]);
    for faulty in running {
        let at = faulty.proxy("bandwidth", source)?;
        let mut cells = vec![faulty.breaker.name().to_owned()];
        for rate in RATES {
            faulty.add("bandwidth", "bandwidth", json!({ "rate": rate }))?;
            let rounds = if bench.options.quick { 1 } else { 3 };
            let received = (0..rounds).map(|_| receive(at, rate * 1000)).collect::<io::Result<Vec<_>>>()?;
            faulty.remove("bandwidth", "bandwidth")?;
            let error = median(received.iter().map(|received| (received.seconds - 1.0) * 100.0).collect());
            let first = median(received.iter().map(|received| received.first_ms).collect());
            cells.push(rate_cell(error, first));
            if faulty.breaker == Breaker::Switchboard {
                figures.rate_error = figures.rate_error.max(error.abs());
            }
        }
        table.add(cells);
    }
    if is_alone(running) {
        let published = PUBLISHED_RATES.map(|[error, first]| rate_cell(error, first));
        table.add([vec![PUBLISHED.to_owned()], published.to_vec()].concat());
    }
    Ok(table)
}

fn rate_cell(error: f64, first_ms: f64) -> String {
    format!("{error:+.2} / {}", three(first_ms))
}

/// What a client saw that asked for bytes.
struct Received {
    seconds: f64,
    first_ms: f64,
}

/// Asks the source behind `at` for `count` bytes, and reads to their end.
fn receive(at: SocketAddr, count: u64) -> io::Result<Received> {
    let mut stream = connect(at)?;
    let mut room = vec![0; 256 * 1024];
    let begin = Instant::now();
    source::ask(&stream, count)?;
    let (mut got, mut first) = (0, None);
    while got < count {
        match stream.read(&mut room)? {
            0 => return Err(io::Error::other(format!("{got} of {count} bytes"))),
            size => got += size as u64,
        }
        first.get_or_insert_with(|| begin.elapsed());
    }
    let first_ms = first.unwrap_or_default().as_secs_f64() * 1e3;
    Ok(Received { seconds: begin.elapsed().as_secs_f64(), first_ms })
}

// ── cost ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A transfer: what the client saw, the server's processor time and the most memory that it had.
struct Transfer {
    /// From the first byte to the last: the latency itself is no matter of the rate.
    seconds: f64,
    cpu_ms: f64,
    resident_mib: f64,
}

fn transfer(
    bench: &Bench<'_>,
    running: &[Faulty],
    source: SocketAddr,
    figures: &mut FaultFigures,
) -> io::Result<Table> {
    let title =
        format!("faults, {}: 1 GiB from the upstream, from its first byte to its last", bench.layout.name);
    let head = ["", "fault", "seconds", "MiB/s", "× noop", "CPU ms", "resident MiB"];
    let mut table = Table::new(title, &head);
    let kinds = [None, Some("noop"), Some("latency")];
    for faulty in running {
        let at = faulty.proxy("transfer", source)?;
        let mut transfers: [Vec<Transfer>; 3] = Default::default();
        for round in 0..if bench.options.quick { 1 } else { 5 } {
            for number in order(round, kinds.len()) {
                transfers[number].push(transfer_under(faulty, at, kinds[number])?);
            }
        }
        let middle = |number: usize, value: fn(&Transfer) -> f64| {
            median(transfers[number].iter().map(value).collect())
        };
        let noop = middle(1, |transfer| transfer.seconds);
        for (number, kind) in kinds.into_iter().enumerate() {
            let seconds = middle(number, |transfer| transfer.seconds);
            if faulty.breaker == Breaker::Switchboard && kind == Some("latency") {
                figures.latency_rate = noop / seconds;
            }
            let label = kind.map_or("none", |kind| if kind == "latency" { "latency 50 ms" } else { kind });
            table.add(vec![
                faulty.breaker.name().to_owned(),
                label.to_owned(),
                two(seconds),
                three(TRANSFER_BYTES as f64 / MIB / seconds),
                two(noop / seconds),
                three(middle(number, |transfer| transfer.cpu_ms)),
                three(middle(number, |transfer| transfer.resident_mib)),
            ]);
        }
    }
    if is_alone(running) {
        let ([none, latency], resident) = PUBLISHED_TRANSFER;
        for (label, seconds, resident) in [
            ("none: it copies; 256 MiB", none, "–".to_owned()),
            ("latency 50 ms; 256 MiB", latency, three(resident)),
        ] {
            let rate = three(PUBLISHED_MIB / seconds);
            let cells = [PUBLISHED, label, &two(seconds), &rate, &two(none / seconds), "–", &resident]
                .map(str::to_owned);
            table.add(cells.to_vec());
        }
    }
    Ok(table)
}

/// One transfer while the fault of this kind is there.
fn transfer_under(faulty: &Faulty, at: SocketAddr, kind: Option<&str>) -> io::Result<Transfer> {
    if let Some(kind) = kind {
        let attributes =
            if kind == "latency" { json!({ "latency": TRANSFER_LATENCY_MS }) } else { json!({}) };
        faulty.add("transfer", kind, attributes)?;
    }
    let before = Used::by(faulty.pid());
    forget_peak(faulty.pid())?;
    let received = receive(at, TRANSFER_BYTES)?;
    let cpu = Used::by(faulty.pid()).since(&before);
    if let Some(kind) = kind {
        faulty.remove("transfer", kind)?;
    }
    Ok(Transfer {
        seconds: received.seconds - received.first_ms / 1e3,
        cpu_ms: cpu.as_secs_f64() * 1e3,
        resident_mib: peak_kib(faulty.pid())? as f64 / 1024.0,
    })
}

/// A process for each row, so that its processor time is that row's.
fn round_trip(bench: &Bench<'_>, breakers: &[Breaker]) -> io::Result<Table> {
    let setup = bench.setup(Service::Echo);
    let proxy = bench.start(Server::Switchboard, setup, &[])?;
    let mut running = vec![("switchboard proxy".to_owned(), proxy)];
    for breaker in breakers {
        for noop in [false, true] {
            let faulty = Faulty::start(bench, *breaker)?;
            let at = faulty.proxy("echo", setup.upstream)?;
            if noop {
                faulty.add("echo", "noop", json!({}))?;
            }
            let name = format!("{}, {}", breaker.name(), if noop { "noop" } else { "no fault" });
            // Only its process matters.
            running.push((name, Running::process(Server::Switchboard, at, faulty.into_child())));
        }
    }
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); running.len()];
    for round in 0..bench.options.rounds() {
        for number in order(round, running.len()) {
            let plan = Plan {
                connections: 1,
                script: pingpong(),
                warm_up: bench.options.warm_up(),
                window: bench.options.window(),
                ..Plan::to(running[number].1.address)
            };
            samples[number].push(measure(&running[number].1, &plan, Unit::Operation("round trip"))?);
        }
    }
    let title = format!("faults, {}: 64 B there and back, a client", bench.layout.name);
    let head = ["", "rate /s", "p50 µs", "× proxy", "p99 µs", "CPU µs/round trip", "failed"];
    let mut table = Table::new(title, &head);
    let base = Sample::median(&samples[0]).latency_us[0];
    for ((name, _), samples) in running.iter().zip(&samples) {
        let sample = Sample::median(samples);
        let [p50, p99, _] = sample.latency_us;
        let mut cells = vec![name.clone(), three(sample.rate), three(p50), two(p50 / base), three(p99)];
        cells.extend([three(sample.cpu_us), sample.failures.values().sum::<u64>().to_string()]);
        table.add(cells);
    }
    Ok(table)
}

// ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Faults come, change and go on sessions whose receivers read nothing: does the API wait for them?
fn calls(
    bench: &Bench<'_>,
    running: &[Faulty],
    source: SocketAddr,
    figures: &mut FaultFigures,
) -> io::Result<Table> {
    let title = format!(
        "faults, {}: ms of an API call while {STALLED} sessions have receivers that read nothing",
        bench.layout.name
    );
    let mut table = Table::new(title, &["", "calls", "p50", "p99", "longest"]);
    let rounds = if bench.options.quick { CALL_ROUNDS / 10 } else { CALL_ROUNDS };
    for faulty in running {
        let at = faulty.proxy("stalled", source)?;
        faulty.add("stalled", "bandwidth", json!({ "rate": 100_000 }))?;
        let stalled = (0..STALLED).map(|_| stalled(at)).collect::<io::Result<Vec<TcpStream>>>()?;
        thread::sleep(Duration::from_millis(500));
        let mut took = Vec::new();
        let mut timed = |call: &dyn Fn() -> io::Result<()>| {
            let begin = Instant::now();
            // One that is refused after a wait has taken that long.
            let _ = call();
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        };
        let begin = Instant::now();
        for _ in 0..rounds {
            timed(&|| faulty.add("stalled", "latency", json!({ "latency": 50 })));
            timed(&|| faulty.list());
            timed(&|| faulty.change("stalled", "latency", json!({ "latency": 100 })));
            timed(&|| faulty.remove("stalled", "latency"));
            if begin.elapsed() > CALLS_LIMIT {
                break;
            }
        }
        drop(stalled);
        took.sort_by(f64::total_cmp);
        let (p50, p99, longest) = (part(&took, 0.5), part(&took, 0.99), part(&took, 1.0));
        let cells = vec![faulty.breaker.name().to_owned(), took.len().to_string(), three(p50), three(p99)];
        table.add([cells, vec![three(longest)]].concat());
        if faulty.breaker == Breaker::Switchboard {
            figures.call_ms = p99;
        }
    }
    if is_alone(running) {
        let cells = [PUBLISHED, "–", "–", "–", "8000 and more"];
        table.add(cells.map(str::to_owned).to_vec());
    }
    Ok(table)
}

/// A session that is sent more than it will ever take.
fn stalled(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect(at)?;
    source::ask(&stream, STALLED_BYTES)?;
    Ok(stream)
}

fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// What `part` of the sorted values are at most.
fn part(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

fn both(one: f64, other: f64) -> String {
    format!("{} / {}", two(one), two(other))
}
