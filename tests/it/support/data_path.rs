//! The same scenario through the program with each data path, and directly as the control: what the program does to
//! a connection is right where it cannot be told from a direct one.

use crate::support::{
    fake::peer,
    server::Server,
    stream::{self, Received, read_to_end},
};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};

/// How the client reaches the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without the program.
    Direct,
    /// Through the program, which may splice.
    Spliced,
    /// Through the program, which only copies.
    Copied,
}

/// The data paths of the program.
pub const THROUGH: [Way; 2] = [Way::Spliced, Way::Copied];
/// The data paths of the program after the control.
pub const EACH: [Way; 3] = [Way::Direct, Way::Spliced, Way::Copied];

/// An address to connect to, and what stands behind it.
pub struct Destination {
    address: SocketAddr,
    server: Option<Server>,
}

impl Way {
    /// The flag that chooses the data path.
    pub fn flag(self) -> &'static str {
        if self == Way::Copied { "--splice=off" } else { "--splice=auto" }
    }

    /// A way to `upstream`; `flags` are for the program.
    pub fn to(self, upstream: SocketAddr, flags: &[&str]) -> Destination {
        match self {
            Way::Direct => Destination { address: upstream, server: None },
            _ => Destination::over(Server::proxy(upstream, &[&[self.flag()], flags].concat())),
        }
    }

    /// A way to an echo server.
    pub fn echo(self, flags: &[&str]) -> Destination {
        match self {
            Way::Direct => Destination { address: peer::echoes().address, server: None },
            _ => Destination::over(Server::echo(&[&[self.flag()], flags].concat())),
        }
    }
}

impl Destination {
    fn over(server: Server) -> Destination {
        Destination { address: server.address(), server: Some(server) }
    }

    pub fn connect(&self) -> TcpStream {
        stream::connect(self.address)
    }

    /// The program; none on the direct way.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub fn into_server(self) -> Option<Server> {
        self.server
    }

    /// Ends the program by a signal that it does not handle; there is none on the direct way.
    pub fn die_of(&mut self, signal: Signal) {
        self.server.iter_mut().for_each(|server| server.die_of(signal));
    }

    /// Reads what the other end sends; then waits for the session's close event, which has to name `cause`.
    pub fn read_to_end(&self, client: &mut TcpStream, cause: &str) -> Received {
        // An address is known only as long as the connection lives.
        let address = client.local_addr().unwrap();
        let received = read_to_end(client);
        if self.server.is_some() {
            self.await_cause(address, cause);
        }
        received
    }

    /// Waits for the close event of the session with this client, which has to name `cause`; none on the direct way.
    pub fn await_cause(&self, client: SocketAddr, cause: &str) -> Option<Value> {
        let close = self.server.as_ref()?.await_close(client);
        assert_eq!(close["cause"], cause, "{close}");
        Some(close)
    }
}
