//! What every fake is made of: a listener, a thread a connection, and the talk with the test.

pub mod behind_proxy;
pub mod faulty_relay;
pub mod http;
pub mod load_target;
pub mod name_server;
pub mod peer;
pub mod tls_relay;
pub mod unreachable;

use crate::support::{
    stream::{End, Received, bounded},
    wait::LIMIT,
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// A fake that listens; it serves every connection on a thread of its own.
pub struct Fake {
    pub address: SocketAddr,
    reached: Receiver<()>,
    go: Sender<()>,
    received: Receiver<Received>,
}

impl Fake {
    /// Starts a fake that does this on every connection; what it returns is its report.
    pub fn start(behave: impl Fn(TcpStream, &Checkpoint) -> Received + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ((reached_to, reached), (go, go_from), (received_to, received)) =
            (channel(), channel(), channel());
        let (behave, go_from) = (Arc::new(behave), Arc::new(Mutex::new(go_from)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (behave, received_to) = (behave.clone(), received_to.clone());
                let checkpoint = Checkpoint { reached: reached_to.clone(), go: go_from.clone() };
                thread::spawn(move || {
                    let received = behave(bounded(stream), &checkpoint);
                    let _ = received_to.send(received);
                });
            }
        });
        Fake { address, reached, go, received }
    }

    /// Waits until the fake has come to the point that its documentation names.
    pub fn await_reached(&self) {
        self.reached.recv_timeout(LIMIT).expect("the fake comes to its point");
    }

    /// Lets the fake go on from where it waits.
    pub fn go(&self) {
        self.go.send(()).unwrap();
    }

    /// Waits for the end of one connection; what the fake received over it.
    pub fn await_received(&self) -> Received {
        self.received.recv_timeout(LIMIT).expect("the fake's connection ends")
    }
}

/// Where a fake tells the test how far it is, and waits until it may go on.
pub struct Checkpoint {
    reached: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl Checkpoint {
    /// Tells the test, which may no longer be interested.
    pub fn reach(&self) {
        let _ = self.reached.send(());
    }

    /// Waits for the test; goes on as well when the test is over.
    pub fn wait(&self) {
        let _ = self.go.lock().unwrap().recv_timeout(LIMIT);
    }
}

/// The report of a fake that reads nothing.
pub fn nothing() -> Received {
    Received { bytes: Vec::new(), end: End::Reset }
}
