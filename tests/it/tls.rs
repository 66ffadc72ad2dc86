//! TLS on either leg of a session: how its streams end, how a handshake fails, and what passes as it is.

mod bulk;
mod empty_records;
mod ends;
mod handshake;
mod hostile;
mod pass;
mod postgres;
mod renewal;

use crate::support::{
    fake::Fake,
    operator::Operated,
    stream::Received,
    tls::{Authority, Wire, WireStream},
    tls_records::RecordStream,
};
use std::{net::SocketAddr, sync::Arc};

/// What the client and the upstream speak.
const WIRES: [(Wire, Wire); 5] = [
    (Wire::Tls12, Wire::Tcp),
    (Wire::Tls13, Wire::Tcp),
    (Wire::Tcp, Wire::Tls12),
    (Wire::Tcp, Wire::Tls13),
    (Wire::Tls13, Wire::Tls12),
];

/// What an alert says that ends a stream: level, description (RFC 8446 §6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// An upstream whose records are the test's.
fn upstream_of_records(
    authority: &Authority,
    wire: Wire,
    behave: impl Fn(RecordStream) -> Received + Send + Sync + 'static,
) -> Fake {
    let mut config = authority.server(wire, "a");
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    Fake::start(move |stream, _| {
        behave(RecordStream::new(WireStream::accept(stream, Some(config.clone())).unwrap()))
    })
}

/// The program between a client and an upstream.
struct Between<'a> {
    operated: Operated,
    authority: &'a Authority,
    near: Wire,
}

impl<'a> Between<'a> {
    fn start(
        authority: &'a Authority,
        (near, far): (Wire, Wire),
        upstream: SocketAddr,
        flags: &[&str],
    ) -> Between<'a> {
        let [cert, key, ca] = ["a.pem", "a.key", "ca.pem"].map(|name| authority.file(name));
        let mut all = flags.to_vec();
        if near.is_tls() {
            all.extend(["--tls-cert", &cert, "--tls-key", &key]);
        }
        if far.is_tls() {
            all.extend(["--upstream-tls", "--upstream-ca", &ca, "--upstream-name", "a.test"]);
        }
        Between { operated: Operated::proxy(upstream, &all), authority, near }
    }

    fn connect(&self) -> WireStream {
        let config = self.near.is_tls().then(|| self.authority.client(self.near, None));
        WireStream::connect(self.operated.server.address(), config).unwrap()
    }

    /// Waits for the end of the session with this client.
    fn await_cause(&self, client: SocketAddr, cause: &str) -> serde_json::Value {
        let close = self.operated.server.await_close(client);
        assert_eq!(close["cause"], cause, "{close}");
        close
    }
}
