//! What hostile peers cost others: round trips of two neighbours, one in plain text and one over TLS, while each kind of
//! hostile peer is at work on the same server.
//!
//! Clients, upstream, hostile peers and server share the processors of this machine. Hostile peers give way to all others
//! (`attack.rs`); a second instance of the server would not. So each attack is made three times: not at all (quiet), on another
//! instance that runs beside on the same processors (elsewhere), and on the neighbours' own (here). What `here` has beyond
//! `elsewhere` is the server's doing; what `elsewhere` has beyond `quiet` is the machine's: another program that computes.
//!
//! The goal is 2 × quiet where the server ends or ignores what it is sent. Where it does what it is asked to, for long
//! (`Attack::is_work`), it has that work on a processor that the neighbours' clients need as well: there it is 2 × elsewhere.
//! Round trips are due by a schedule and their latencies count from then: none is left out because the one
//! before was late. A figure is the least of the rounds: other programs of the machine can only add to it, and an attack is
//! there in each round. Quiet is one condition, whatever attack it is held against: a neighbour's is the median of the quiet
//! figures of all rows, of which one alone may be twice another.

use crate::{
    attack::{Attack, Ground, HostileServers, Siege},
    bench::Bench,
    certificate::{self, NAME as HOST, Tls},
    child::{Child, quiet},
    command::{self, SWITCHBOARD},
    measure::order,
    median,
    server::{OTHER, Server, await_accept},
    table::{Table, three, two},
    upstream::Service,
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};
use switchboard::{
    net::address::Address,
    runtime::shard,
    tools::load::{
        arrivals::Rate,
        report::Report,
        run::{Plan, run},
        script::Script,
    },
};

pub const NAME: &str = "hostile";
/// Connections of each neighbour, and its round trips a second over all of them.
const CONNECTIONS: usize = 8;
const RATE: f64 = 1000.0;
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1000);
/// What is left of an attack may end.
const SETTLE: Duration = Duration::from_millis(250);
const NEIGHBOURS: [&str; 2] = ["plain", "tls"];
/// Where an attack is made.
const QUIET: usize = 0;
const ELSEWHERE: usize = 1;
const HERE: usize = 2;
const PLACES: usize = 3;

/// A server with a listener for each thing that can be attacked.
struct Ours {
    plain: SocketAddr,
    ground: Ground,
    _child: Child,
}

/// The p99 in microseconds of a neighbour, quiet, elsewhere and here, of each round.
type Rounds = [Vec<f64>; PLACES];

/// What an attack did to both neighbours: their p99 in microseconds, in each place.
struct Row {
    attack: Attack,
    /// How often a second it was made here.
    done: f64,
    p99: [[f64; PLACES]; 2],
}

/// What a neighbour's p99 here is to that of the place that it is judged by.
#[derive(Debug)]
pub struct Harm {
    /// The attack, the neighbour and the layout.
    pub name: String,
    pub ratio: f64,
    /// To that elsewhere; else to the quiet one.
    pub is_to_elsewhere: bool,
}

/// A row for each attack and neighbour; and the harm of each.
pub fn compare(bench: &Bench<'_>) -> io::Result<(Table, Vec<Harm>)> {
    let head = [
        "",
        "hostile peers",
        "done /s",
        "neighbour",
        "quiet µs",
        "elsewhere µs",
        "here µs",
        "× quiet (median)",
        "× elsewhere",
    ];
    let title = format!(
        "{NAME}, {}: p99 of 64 B there and back, {RATE}/s, of neighbours of hostile peers",
        bench.layout.name
    );
    let (mut table, mut harms) = (Table::new(title, &head), Vec::new());
    let hostile = HostileServers::start()?;
    for &server in bench.servers {
        let program = match server {
            Server::Switchboard => SWITCHBOARD.to_owned(),
            Server::Other => std::env::var(OTHER).map_err(io::Error::other)?,
            _ => continue,
        };
        let start = || Ours::start(bench, &program, hostile);
        let (here, elsewhere) = (start()?, start()?);
        let attacks = Attack::ALL.into_iter().filter(|attack| is_wanted(*attack));
        let rows = attacks
            .map(|attack| {
                let (rounds, done) = rounds(bench, attack, &here, &elsewhere)?;
                let least = |values: Vec<f64>| values.into_iter().fold(f64::INFINITY, f64::min);
                Ok(Row { attack, done, p99: rounds.map(|rounds| rounds.map(least)) })
            })
            .collect::<io::Result<Vec<Row>>>()?;
        let quiet = [0, 1].map(|at| median(rows.iter().map(|row| row.p99[at][QUIET]).collect()));
        for Row { attack, done, p99 } in rows {
            for ((neighbour, p99), quiet) in NEIGHBOURS.into_iter().zip(p99).zip(quiet) {
                let (to_quiet, to_elsewhere) = (p99[HERE] / quiet, p99[HERE] / p99[ELSEWHERE]);
                let mut cells = vec![server.name().to_owned(), attack.name().to_owned(), three(done)];
                cells.push(neighbour.to_owned());
                cells.extend(p99.map(three));
                cells.extend([two(to_quiet), two(to_elsewhere)]);
                table.add(cells);
                if server == Server::Switchboard {
                    let name = format!("{}, {neighbour}, {}", attack.name(), bench.layout.name);
                    let is_to_elsewhere = attack.is_work();
                    let ratio = if is_to_elsewhere { to_elsewhere } else { to_quiet };
                    harms.push(Harm { name, ratio, is_to_elsewhere });
                }
            }
        }
    }
    Ok((table, harms))
}

/// Of each neighbour; and how often a second the attack on the server of both was made.
fn rounds(
    bench: &Bench<'_>,
    attack: Attack,
    here: &Ours,
    elsewhere: &Ours,
) -> io::Result<([Rounds; 2], f64)> {
    let (mut rounds, mut done) = (<[Rounds; 2]>::default(), Vec::new());
    for round in 0..bench.options.rounds() {
        for place in order(round, PLACES) {
            let at = [None, Some(elsewhere.ground), Some(here.ground)][place];
            let siege = at.map(|at| attack.begin(at)).transpose()?;
            let reports = neighbours(here)?;
            for (rounds, report) in rounds.iter_mut().zip(&reports) {
                let response = report.response.as_ref().map_or(Duration::ZERO, |all| all.part(0.99));
                rounds[place].push(response.as_secs_f64() * 1e6);
            }
            if place == HERE {
                let seconds = (WARM_UP + WINDOW).as_secs_f64();
                // One that lasts longer than the window has no rate.
                let count = siege.as_ref().map(Siege::count).filter(|count| *count > 0);
                done.push(count.map_or(f64::NAN, |count| count as f64 / seconds));
            }
            drop(siege);
            thread::sleep(SETTLE);
        }
    }
    Ok((rounds, median(done)))
}

/// Both at the same time.
fn neighbours(server: &Ours) -> io::Result<[Report; 2]> {
    let script = Script { after: Vec::new(), ..crate::case::pingpong() };
    let plain = Plan {
        connections: CONNECTIONS,
        script,
        warm_up: WARM_UP,
        window: WINDOW,
        rate: Some(Rate { per_second: RATE, first: Duration::ZERO }),
        ..Plan::to(server.plain)
    };
    let tls = Some(certificate::clients(Tls { resume: false, post_quantum: false })?);
    // They take turns.
    let rate = Some(Rate { per_second: RATE, first: Duration::from_secs_f64(0.5 / RATE) });
    let over_tls = Plan { target: Address::Tcp(server.ground.tls), tls, rate, ..plain.clone() };
    let both = shard::run(async { futures::join!(run(&plain, 1, |_| ()), run(&over_tls, 2, |_| ())) })?;
    let reports = [both.0, both.1];
    let errors: u64 = reports.iter().map(Report::errors).sum();
    match errors {
        0 => Ok(reports),
        _ => Err(io::Error::other(format!("{errors} errors of neighbours"))),
    }
}

impl Ours {
    fn start(bench: &Bench<'_>, program: &str, hostile: HostileServers) -> io::Result<Self> {
        let [plain, tls, tickets, chain] = [(); 4].map(|()| free_address());
        let (plain, ground) = (plain?, Ground { tls: tls?, tickets: tickets?, chain: chain? });
        let files = certificate::files()?;
        let (cert, key) = (files.cert.display(), files.key.display());
        let echo = bench.setup(Service::Echo).upstream;
        let far = |address: SocketAddr| {
            format!("servers = [\"{address}\"]\ntls = {{ ca = \"{cert}\", name = \"{HOST}\" }}")
        };
        let text = format!(
            "threads = {}\nlog = \"off\"\n\
             [listener.plain]\nlisten = \"{plain}\"\nupstream = \"{echo}\"\n\
             [listener.tls]\nlisten = \"{}\"\nupstream = \"{echo}\"\ntls-cert = \"{cert}\"\ntls-key = \"{key}\"\n\
             [listener.tickets]\nlisten = \"{}\"\nupstream = \"tickets\"\n[upstream.tickets]\n{}\n\
             [listener.chain]\nlisten = \"{}\"\nupstream = \"chain\"\n[upstream.chain]\n{}\n",
            bench.layout.threads,
            ground.tls,
            ground.tickets,
            far(hostile.tickets),
            ground.chain,
            far(hostile.chain),
        );
        let path = command::folder().join(format!("{}.toml", plain.port()));
        fs::write(&path, text)?;
        let mut command = quiet(program);
        command.arg("run").arg(path);
        let child = bench.layout.start_server(|| Child::start(&mut command))?;
        await_accept(plain)?;
        Ok(Ours { plain, ground, _child: child })
    }
}

/// `ATTACKS` of the environment names those to look at alone, by the begin of their names, apart by semicolons.
fn is_wanted(attack: Attack) -> bool {
    let names = std::env::var("ATTACKS").unwrap_or_default();
    names.is_empty() || names.split(';').any(|name| attack.name().starts_with(name))
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
