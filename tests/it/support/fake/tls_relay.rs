//! A relay that ends its clients' TLS: it is right, or wrong in exactly one way. A thread a direction.

use crate::support::{
    stream::{await_acknowledged, reset},
    tls::{Authority, Wire, WireEnd, WireStream},
    wait::{LIMIT, within},
};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// What such a relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    Nothing,
    /// It ends its client's stream by close_notify where the upstream was reset.
    ConfirmsWhatWasCut,
    /// It ends its client's stream by FIN alone.
    LeavesOutCloseNotify,
    /// It takes a client's FIN for an end, whatever came before.
    BelievesFin,
}

/// A running relay. It relays once it is told where to.
pub struct TlsRelay {
    pub address: SocketAddr,
    upstream: Arc<OnceLock<SocketAddr>>,
}

impl TlsRelay {
    /// With the certificate of `a.test`, in TLS 1.3.
    pub fn start(authority: &Authority, fault: TlsFault) -> TlsRelay {
        TlsRelay::start_in(authority, Wire::Tls13, fault)
    }

    /// The same, in this version alone.
    pub fn start_in(authority: &Authority, wire: Wire, fault: TlsFault) -> TlsRelay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (upstream, config) = (Arc::new(OnceLock::new()), Arc::new(authority.server(wire, "a")));
        let known = upstream.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (known, config) = (known.clone(), config.clone());
                thread::spawn(move || {
                    let upstream = within(LIMIT, "the upstream is named", || known.get().copied());
                    // A client whom the certificate does not please is gone.
                    let Ok(client) = WireStream::accept(client, Some(config)) else { return };
                    match TcpStream::connect(upstream) {
                        Ok(upstream) => Session { client, upstream, fault, aborted: false.into() }.run(),
                        Err(_) => reset(client.stream),
                    }
                });
            }
        });
        TlsRelay { address, upstream }
    }

    /// Where to relay to.
    pub fn relay_to(&self, upstream: SocketAddr) {
        self.upstream.set(upstream).unwrap();
    }
}

struct Session {
    client: WireStream,
    upstream: TcpStream,
    fault: TlsFault,
    aborted: AtomicBool,
}

impl Session {
    fn run(self) {
        thread::scope(|scope| {
            scope.spawn(|| self.up());
            scope.spawn(|| self.down());
        });
    }

    fn up(&self) {
        let end = self.client.try_clone().read_each(|piece| {
            // If the upstream is gone, its own stream tells how.
            let _ = (&self.upstream).write_all(piece);
        });
        let is_end = match end {
            WireEnd::Clean | WireEnd::CleanThenReset => true,
            WireEnd::Truncated => self.fault == TlsFault::BelievesFin,
            WireEnd::Reset | WireEnd::Failed(_) => false,
        };
        if !is_end {
            self.abort();
        } else if !self.aborted.load(SeqCst) {
            let _ = self.upstream.shutdown(Shutdown::Write);
        }
    }

    fn down(&self) {
        let (mut client, mut piece) = (self.client.try_clone(), vec![0; 64 * 1024]);
        loop {
            match (&self.upstream).read(&mut piece) {
                _ if self.aborted.load(SeqCst) => return,
                Ok(0) if self.fault == TlsFault::LeavesOutCloseNotify => {
                    return client.stream.shutdown(Shutdown::Write).unwrap_or_default();
                }
                Ok(0) => return client.finish(),
                // If the client is gone, its own stream tells how.
                Ok(count) => client.write_all(&piece[..count]).unwrap_or_default(),
                Err(_) if self.fault == TlsFault::ConfirmsWhatWasCut => return client.finish(),
                Err(_) => return self.abort(),
            }
        }
    }

    /// Both connections are to be reset once they are dropped, which is soon: neither is read any more.
    fn abort(&self) {
        self.aborted.store(true, SeqCst);
        for stream in [&self.client.stream, &self.upstream] {
            if stream.peer_addr().is_ok() {
                await_acknowledged(stream);
            }
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}
