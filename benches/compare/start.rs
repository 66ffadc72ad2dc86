//! From exec to the first connection, and the size of the binary.

use crate::{
    bench::Bench,
    child::Child,
    command::{Prepared, prepare, switchboard_size},
    median,
    server::{Server, await_accept},
    table::{Table, three},
    upstream::Service,
};
use std::{io, process::Stdio, time::Instant};

pub const NAME: &str = "start";

/// What the targets ask for.
pub struct Start {
    /// From exec to the first accepted connection.
    pub accept_ms: f64,
    /// The stripped release binary.
    pub size_mib: f64,
}

/// A row for each proxy.
pub fn compare(bench: &Bench<'_>) -> io::Result<(Table, Start)> {
    let size_mib = switchboard_size()? as f64 / 1024.0 / 1024.0;
    let mut accept_ms = f64::NAN;
    let title = format!("start: from exec to ready; the release binary has {size_mib:.2} MiB");
    let mut table = Table::new(title, &["", "start line ms", "first connection ms"]);
    for &server in bench.servers {
        if matches!(server, Server::Direct | Server::HaproxySplice) {
            continue;
        }
        let (mut lines, mut accepts) = (Vec::new(), Vec::new());
        for _ in 0..bench.options.rounds() * 3 {
            accepts.push(until_accept(bench, server)?);
            if server == Server::Switchboard {
                lines.push(until_line(bench)?);
            }
        }
        let accept = median(accepts);
        if server == Server::Switchboard {
            accept_ms = accept;
        }
        table.add(vec![server.name().to_owned(), three(median(lines)), three(accept)]);
    }
    Ok((table, Start { accept_ms, size_mib }))
}

/// Milliseconds to the first connection.
fn until_accept(bench: &Bench<'_>, server: Server) -> io::Result<f64> {
    let Prepared { address, mut command } = prepare(server, bench.setup(Service::Echo))?;
    let begin = Instant::now();
    let _child = bench.layout.start_server(|| Child::start(&mut command))?;
    await_accept(address)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds to Switchboard's start line.
fn until_line(bench: &Bench<'_>) -> io::Result<f64> {
    let Prepared { mut command, .. } = prepare(Server::Switchboard, bench.setup(Service::Echo))?;
    let begin = Instant::now();
    let mut child = bench.layout.start_server(|| Child::start(command.stderr(Stdio::piped())))?;
    let said = child.first_error_line()?;
    Ok(said.duration_since(begin).as_secs_f64() * 1e3)
}
