//! The servers that are compared: who they are, whether they are there, and each one's process.

use crate::{child::Child, usage};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take until it accepts.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// Names another build of Switchboard.
pub const OTHER: &str = "OTHER";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// No server between: the limit.
    Direct,
    /// This project.
    Switchboard,
    /// Another build of it, named by `OTHER` of the environment: what a change brings.
    Other,
    /// As it is by default: it copies.
    Haproxy,
    /// Told to splice always; `option splice-auto` does not in these cases (strace).
    HaproxySplice,
    /// The stream module.
    Nginx,
    /// A process for each connection.
    Socat,
}

/// A server that accepts.
pub struct Running {
    pub server: Server,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    const ALL: [Server; 7] = [
        Server::Direct,
        Server::Switchboard,
        Server::Other,
        Server::Haproxy,
        Server::HaproxySplice,
        Server::Nginx,
        Server::Socat,
    ];

    /// Those that this machine has.
    pub fn found() -> Vec<Server> {
        Server::ALL.into_iter().filter(|server| server.version().is_some()).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Server::Direct => "direct",
            Server::Switchboard => "switchboard",
            Server::Other => "other",
            Server::Haproxy => "haproxy",
            Server::HaproxySplice => "haproxy splice",
            Server::Nginx => "nginx",
            Server::Socat => "socat",
        }
    }

    /// Where it finds the upstream, which is at every address. Each has one of its own: what the connections of another leave in
    /// TIME-WAIT takes ports towards that other's address, and who came next would have to look for free ones.
    pub fn own_loopback(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, 1 + self as u8)
    }

    /// Whether it is one of those that Switchboard is to be level with. socat, a process a connection, is not.
    pub fn is_peer(self) -> bool {
        matches!(self, Server::Haproxy | Server::HaproxySplice | Server::Nginx)
    }

    /// What it says of itself; none where it is not there.
    pub fn version(self) -> Option<String> {
        let (program, flag) = match self {
            Server::Direct => return Some(String::new()),
            Server::Switchboard => return Some(env!("CARGO_PKG_VERSION").to_owned()),
            Server::Other => return std::env::var(OTHER).ok(),
            Server::Haproxy | Server::HaproxySplice => ("haproxy", "-v"),
            Server::Nginx => ("nginx", "-v"),
            Server::Socat => ("socat", "-V"),
        };
        let output = Command::new(program).arg(flag).stdin(Stdio::null()).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.contains("version"))?.to_lowercase();
        let version = line.split("version").nth(1)?.trim_start_matches([':', ' ']);
        Some(version.trim_start_matches("nginx/").split(' ').next()?.to_owned())
    }
}

impl Running {
    /// None: clients reach the upstream itself.
    pub fn direct(address: SocketAddr) -> Self {
        Running { server: Server::Direct, address, child: None }
    }

    pub fn process(server: Server, address: SocketAddr, child: Child) -> Self {
        Running { server, address, child: Some(child) }
    }

    /// Its process; none where there is no server between.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// The process that does the work: the youngest of its family.
    pub fn worker(&self) -> Option<u32> {
        self.pid().and_then(|pid| usage::family(pid).pop())
    }
}

/// Waits until a connection to `address` is accepted.
pub fn await_accept(address: SocketAddr) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if begin.elapsed() > READY_LIMIT => return Err(error),
            Err(_) => thread::sleep(Duration::from_micros(100)),
        }
    }
}
