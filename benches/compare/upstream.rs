//! The upstream of every case: a child process, this program again, that echoes, sends without end, or verifies what it
//! is sent. It ends when its standard input does.

use crate::child::{Child, quiet};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use std::{
    future::poll_fn,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    task::Poll,
    thread,
};
use switchboard::{
    net::{
        address::Address,
        endpoint::{Endpoint, Host},
        listener::{AcceptError, Listener, classify},
        options::Options,
        socket::Socket,
    },
    runtime::shard,
    server::plan::BACKLOG,
    tools::load::{connection::Connection, failure::Failure, room::Room},
};

/// The first argument of the upstream's process.
pub const COMMAND: &str = "upstream";
/// What the source sends at a time.
const PIECE_BYTES: u64 = 1024 * 1024;

/// What an upstream does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Is told a seed and sends its pattern until the client has enough.
    Source,
    /// Is told a seed, verifies its pattern to the end, and tells how much came.
    Sink,
}

const SERVICES: [Service; 3] = [Service::Echo, Service::Source, Service::Sink];

/// The running upstream.
pub struct Upstream {
    addresses: Vec<SocketAddr>,
    _child: Child,
}

impl Upstream {
    pub fn start() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = quiet(&program.to_string_lossy());
        let mut child = Child::start(command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let line = child.first_line()?;
        let mut addresses: Vec<SocketAddr> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        addresses.iter_mut().for_each(|address| address.set_ip(Ipv4Addr::LOCALHOST.into()));
        if addresses.len() != SERVICES.len() {
            return Err(io::Error::other(format!("the upstream said {line:?}")));
        }
        Ok(Upstream { addresses, _child: child })
    }

    pub fn address(&self, service: Service) -> SocketAddr {
        self.addresses[service as usize]
    }
}

/// The process itself: says its addresses in one line, then serves.
pub fn serve() -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    shard::run(async {
        let room = Room::default();
        let mut addresses = Vec::new();
        let mut running: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        for service in SERVICES {
            let everywhere = Endpoint::Tcp { host: Host::Ip(Ipv4Addr::UNSPECIFIED.into()), port: 0 };
            let listener = Listener::bind(&everywhere, BACKLOG, &Options::default())?;
            if let Address::Tcp(address) = listener.address() {
                addresses.push(address.to_string());
            }
            running.push(accept(listener, service, &room).boxed_local());
        }
        writeln!(io::stdout(), "{}", addresses.join(" "))?;
        while running.next().await.is_some() {}
        Ok(())
    })?
}

/// Serves the connections of one listener, all at once.
async fn accept(listener: Listener, service: Service, room: &Room) {
    let mut connections = FuturesUnordered::new();
    loop {
        let accepted = poll_fn(|context| {
            while let Poll::Ready(Some(_)) = connections.poll_next_unpin(context) {}
            std::pin::pin!(listener.readable()).poll(context)
        });
        accepted.await;
        match listener.try_accept() {
            Ok((socket, _)) => connections.push(talk(socket, service, room).boxed_local()),
            Err(error) if classify(&error) == AcceptError::Fatal => return,
            Err(_) => {}
        }
    }
}

async fn talk(socket: Socket, service: Service, room: &Room) {
    // What fails here, the client sees and counts.
    let _ = match service {
        Service::Echo => echo(socket, room).await.map_err(|_| Failure::Other),
        Service::Source => source(Connection::new(socket, 0, room)).await,
        Service::Sink => sink(Connection::new(socket, 0, room)).await,
    };
}

async fn source(mut connection: Connection<'_>) -> Result<(), Failure> {
    connection.learn_seed().await?;
    loop {
        connection.send(PIECE_BYTES).await?;
    }
}

async fn sink(mut connection: Connection<'_>) -> Result<(), Failure> {
    connection.learn_seed().await?;
    connection.expect_rest().await?;
    connection.tell_total().await?;
    connection.half_close().await?;
    connection.close();
    Ok(())
}

async fn echo(socket: Socket, room: &Room) -> io::Result<()> {
    let mut rest = Vec::new();
    loop {
        let count = poll_fn(|context| {
            room.lend(|room| {
                let read = socket.poll_read(context, room);
                let Poll::Ready(Ok(count)) = read else { return read };
                let written = match socket.poll_write(context, &room[..count]) {
                    _ if count == 0 => 0,
                    Poll::Ready(Ok(written)) => written,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => 0,
                };
                rest.clear();
                rest.extend_from_slice(&room[written..count]);
                Poll::Ready(Ok(count))
            })
        })
        .await?;
        let mut done = 0;
        while done < rest.len() {
            done += socket.write(&rest[done..]).await?;
        }
        if count == 0 {
            socket.finish()?;
            socket.close();
            return Ok(());
        }
    }
}
