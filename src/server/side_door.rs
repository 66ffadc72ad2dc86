//! Listeners beside the traffic: few connections at once, each served by a task of its own.

use crate::{
    net::{listener::Listener, socket::Socket},
    report::reporter::Reporter,
    runtime::{
        clock::within,
        limit::{Slot, Slots},
        mailbox::{Mailbox, mailbox},
        task::{Panicked, Task, spawn},
    },
    server::acceptor::Acceptor,
};
use futures::{FutureExt, StreamExt, select_biased, stream::FuturesUnordered};
use std::time::Duration;

/// A listener whose connections are served by a task each, a few at once; the next ones wait in the kernel's backlog.
/// Dropping it closes the listener and ends every connection.
pub struct SideDoor {
    // Dropped first: no connection comes any more.
    acceptor: Acceptor,
    connections: Task<()>,
}

impl SideDoor {
    /// Serves at most `at_once` connections of `listener`; `name` is what one is called in a line.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        listener: Listener,
        at_once: usize,
        name: &'static str,
        reporter: Reporter,
        serve: impl Fn(Socket) -> F + Send + 'static,
    ) -> Self {
        let (address, arrivals) = mailbox(1);
        let hand_on = move |_: &Listener, (socket, _), slot| {
            let address = address.clone();
            async move {
                let _ = address.send((socket, slot)).await;
            }
        };
        let tell = reporter.clone();
        let acceptor = Acceptor::over(
            listener.address().to_string(),
            listener,
            Slots::new(at_once),
            hand_on,
            move |text| tell.warn(text),
        );
        let connections = spawn(serve_all(arrivals, serve, move |panicked| {
            reporter.warn(format!("a {name} connection: {panicked}"));
        }));
        SideDoor { acceptor, connections }
    }

    /// Closes the listener, and ends the connections that do not end within `last_words`.
    pub async fn stop(self, last_words: Duration) {
        self.acceptor.stop().await;
        let _ = within(Some(last_words), self.connections).await;
    }
}

/// All that can wake the actor of a [`SideDoor`].
enum Event {
    Arrived(Socket, Slot),
    /// The acceptor has ended.
    NoMore,
    Ended(Result<(), Panicked>),
}

/// Ends with the acceptor, after the last connection.
async fn serve_all<F: Future<Output = ()> + Send + 'static>(
    mut arrivals: Mailbox<(Socket, Slot)>,
    serve: impl Fn(Socket) -> F,
    warn: impl Fn(Panicked),
) {
    let mut connections = FuturesUnordered::new();
    let tell = |end: Result<(), Panicked>| end.unwrap_or_else(&warn);
    loop {
        let event = select_biased! {
            end = connections.select_next_some() => Event::Ended(end),
            arrival = arrivals.next().fuse() => {
                arrival.map_or(Event::NoMore, |(socket, slot)| Event::Arrived(socket, slot))
            }
        };
        match event {
            Event::Arrived(socket, slot) => {
                let served = serve(socket);
                connections.push(spawn(async move {
                    served.await;
                    drop(slot);
                }));
            }
            Event::Ended(end) => tell(end),
            Event::NoMore => break,
        }
    }
    while let Some(end) = connections.next().await {
        tell(end);
    }
}
