//! `switchboard load` beside other load generators on the same server: wrk on nginx, redis-benchmark on redis. What is
//! compared is the rate that each gets out of a server that has a processor of its own.

use crate::{
    bench::Bench,
    child::{Child, quiet},
    command::folder,
    median,
    server::await_accept,
    table::{Table, three, two},
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

pub const NAME: &str = "load";
const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");
const CONNECTIONS: &str = "50";
const PAGE: &str = "a page from nginx\n";
/// wrk's shortest run is a second.
const WINDOW: Duration = Duration::from_secs(1);
/// redis-benchmark counts requests in place of seconds: about a second's.
const PINGS: &str = "60000";

/// A server, its name, and who loads it: another generator and ourselves.
struct Pair {
    name: &'static str,
    rival: &'static str,
    _server: Child,
    rival_rate: Box<dyn Fn() -> io::Result<f64>>,
    own: Vec<String>,
}

/// What one generator got.
#[derive(Default)]
struct Rates {
    rival: Vec<f64>,
    own: Vec<f64>,
    errors: u64,
}

/// A row for each generator, with the ratio of ours to the other's; none where no other is there.
pub fn compare(bench: &Bench<'_>) -> io::Result<Option<Table>> {
    let pairs: Vec<Pair> = [http(bench)?, redis(bench)?].into_iter().flatten().collect();
    let head = ["", "case", "requests/s", "±", "switchboard ×", "errors"];
    let title = format!("load: {CONNECTIONS} connections, a request at a time each, one thread");
    let mut table = Table::new(title, &head);
    for pair in &pairs {
        let mut rates = Rates::default();
        for round in 0..bench.options.rounds() {
            // Another begins each round, so that no one always comes second.
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    rates.rival.push((pair.rival_rate)()?);
                } else {
                    let (rate, errors) = own_rate(&pair.own)?;
                    rates.own.push(rate);
                    rates.errors += errors;
                }
            }
        }
        let (own, rival) = (median(rates.own.clone()), median(rates.rival.clone()));
        let row = |name: &str, rates: &[f64], ratio: String, errors: String| {
            let spread =
                rates.iter().copied().fold(0.0, f64::max) - rates.iter().copied().fold(f64::MAX, f64::min);
            let rate = median(rates.to_vec());
            let spread = format!("{:.0} %", spread / rate * 50.0);
            vec![name.to_owned(), pair.name.to_owned(), three(rate), spread, ratio, errors]
        };
        table.add(row(pair.rival, &rates.rival, two(own / rival), String::new()));
        table.add(row("switchboard load", &rates.own, String::new(), rates.errors.to_string()));
    }
    Ok((!pairs.is_empty()).then_some(table))
}

/// The rate and the errors of a run of ours.
fn own_rate(arguments: &[String]) -> io::Result<(f64, u64)> {
    let text = output(Command::new(SWITCHBOARD).args(["load", "--json", "-c", CONNECTIONS]).args(arguments))?;
    let report: serde_json::Value = serde_json::from_str(&text)?;
    match (report["rate"].as_f64(), report["errors"].as_u64()) {
        (Some(rate), Some(errors)) => Ok((rate, errors)),
        _ => Err(io::Error::other(format!("switchboard load said {text:?}"))),
    }
}

/// wrk on nginx; none where one of the two is not there.
fn http(bench: &Bench<'_>) -> io::Result<Option<Pair>> {
    if !(is_there("wrk", "-v") && is_there("nginx", "-v")) {
        return Ok(None);
    }
    let address = free_address()?;
    let place = folder();
    fs::create_dir_all(place.join("www"))?;
    fs::write(place.join("www/index.html"), PAGE)?;
    let path = place.join("nginx-http");
    let shown = place.display();
    let text = format!(
        "daemon off; master_process off; pid {shown}/nginx-http.pid; error_log /dev/null crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; fastcgi_temp_path {shown}/fastcgi;
    uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;
    server {{ listen {address} backlog=4096; root {shown}/www; }}
}}
"
    );
    fs::write(&path, text)?;
    let mut command = quiet("nginx");
    command.args(["-e", "/dev/null", "-p"]).arg(&place).arg("-c").arg(&path);
    let server = bench.layout.start_server(|| Child::start(&mut command))?;
    await_accept(address)?;
    let target = format!("http://{address}/");
    let own = [&*target, "--duration", "1s"].map(str::to_owned).to_vec();
    let rival_rate = Box::new(move || {
        let seconds = format!("{}s", WINDOW.as_secs());
        let text = output(Command::new("wrk").args(["-t", "1", "-c", CONNECTIONS, "-d", &seconds, &target]))?;
        number_after(&text, "Requests/sec:").ok_or_else(|| said("wrk", &text))
    });
    Ok(Some(Pair { name: "http GET, 18 B", rival: "wrk", _server: server, rival_rate, own }))
}

/// redis-benchmark on redis; none where one of the two is not there.
fn redis(bench: &Bench<'_>) -> io::Result<Option<Pair>> {
    if !(is_there("redis-benchmark", "--version") && is_there("redis-server", "--version")) {
        return Ok(None);
    }
    let address = free_address()?;
    let port = address.port().to_string();
    let mut command = quiet("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
    let server = bench.layout.start_server(|| Child::start(&mut command))?;
    await_accept(address)?;
    let target = format!("tcp://{address}");
    let own =
        [&*target, "--send", r"PING\r\n", "--expect", "7", "--requests", PINGS].map(str::to_owned).to_vec();
    let rival_rate = Box::new(move || {
        let arguments =
            ["-h", "127.0.0.1", "-p", &port, "-c", CONNECTIONS, "-n", PINGS, "-t", "ping_inline", "--csv"];
        let text = output(Command::new("redis-benchmark").args(arguments))?;
        // "PING_INLINE","60277.27",… after a head in newer versions.
        let line = text.lines().find(|line| line.starts_with("\"PING_INLINE\""));
        let rate = line.and_then(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok());
        rate.ok_or_else(|| said("redis-benchmark", &text))
    });
    Ok(Some(Pair { name: "redis PING inline", rival: "redis-benchmark", _server: server, rival_rate, own }))
}

fn is_there(program: &str, flag: &str) -> bool {
    quiet(program).arg(flag).status().is_ok()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok())
}

fn said(program: &str, text: &str) -> io::Error {
    io::Error::other(format!("{program} said {text:?}"))
}
