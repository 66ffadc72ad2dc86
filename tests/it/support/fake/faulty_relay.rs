//! A relay that is right, or wrong in exactly one way: what the audit has to find, and what it has to pass.
//!
//! A thread a connection; nothing of it is the program's own code.

mod session;

use crate::support::{
    fake::behind_proxy::take_header,
    stream::reset,
    wait::{LIMIT, within},
};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// What a relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// It closes both connections this long after the client's FIN.
    ClosesAfterClientFin(Duration),
    /// It closes both connections at the upstream's FIN, once the reply is out.
    ClosesAfterUpstreamFin,
    /// It passes an abort on as a clean end.
    TurnsResetIntoFin,
    /// It passes the end of a connection without a byte on as an abort.
    ResetsVisitors,
    /// It loses what it holds of a large stream when that ends.
    DropsTheTail,
    /// It swaps two bytes of a large stream.
    Reorders,
    /// It discards what came while it was dialling.
    SwallowsEarlyData,
    /// It dials when the client has spoken.
    DialsLate,
    /// It passes a reply on when the upload has ended.
    RepliesAfterTheUpload,
    /// It takes all that a side sends, whether or not the other reads.
    HoldsNothingBack,
    /// It lets single bytes wait.
    DelaysSmallWrites,
    /// It takes an urgent byte into the stream.
    TakesUrgentInLine,
    /// It ends a connection that is silent for this long.
    CutsIdle(Duration),
    /// It closes each connection beyond this number at once.
    FewAtOnce(usize),
    /// Not a fault: it tells the upstream who its client is.
    SendsHeader(&'static [u8]),
    /// Not a fault: its client has to tell who it is, with a header of this version.
    WantsHeader(&'static str),
}

/// A running relay. It relays once it is told where to.
pub struct FaultyRelay {
    pub address: SocketAddr,
    upstream: Arc<OnceLock<SocketAddr>>,
}

/// What is held of a stream at most, and read at a time.
const HOLD_BYTES: usize = 64 * 1024;
/// A dial that nothing held up is over long before.
const LONG_DIAL: Duration = Duration::from_millis(500);

impl FaultyRelay {
    pub fn start(fault: Fault) -> FaultyRelay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(OnceLock::new());
        let (known, live) = (upstream.clone(), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (known, live) = (known.clone(), live.clone());
                thread::spawn(move || {
                    let upstream = within(LIMIT, "the upstream is named", || known.get().copied());
                    let beyond = live.fetch_add(1, SeqCst) >= fault.most_at_once();
                    if !beyond {
                        serve(client, upstream, fault);
                    }
                    live.fetch_sub(1, SeqCst);
                });
            }
        });
        FaultyRelay { address, upstream }
    }

    /// Where to relay to.
    pub fn relay_to(&self, upstream: SocketAddr) {
        self.upstream.set(upstream).unwrap();
    }
}

impl Fault {
    fn most_at_once(self) -> usize {
        if let Fault::FewAtOnce(most) = self { most } else { usize::MAX }
    }

    /// How long nothing may move, as the relay has it; none: for ever.
    fn patience(self, client_ended: bool) -> Option<Duration> {
        match self {
            Fault::CutsIdle(limit) => Some(limit),
            Fault::ClosesAfterClientFin(limit) if client_ended => Some(limit),
            _ => None,
        }
    }
}

fn serve(client: TcpStream, upstream: SocketAddr, fault: Fault) {
    if let Fault::WantsHeader(version) = fault
        && !take_header(&client, version)
    {
        return reset(client);
    }
    if fault == Fault::DialsLate && !matches!(client.peek(&mut [0]), Ok(1..)) {
        return;
    }
    let begin = Instant::now();
    let Ok(upstream) = TcpStream::connect(upstream) else {
        if fault != Fault::TurnsResetIntoFin {
            reset(client);
        }
        return;
    };
    if let Fault::SendsHeader(header) = fault {
        (&upstream).write_all(header).unwrap();
    }
    let ends = [client, upstream];
    for end in &ends {
        end.set_nonblocking(true).unwrap();
        end.set_nodelay(true).unwrap();
        SockRef::from(end).set_out_of_band_inline(fault == Fault::TakesUrgentInLine).unwrap();
    }
    if fault == Fault::SwallowsEarlyData && begin.elapsed() > LONG_DIAL {
        while matches!((&ends[0]).read(&mut [0; HOLD_BYTES]), Ok(1..)) {}
    }
    session::Relay::new(ends, fault).run();
}
