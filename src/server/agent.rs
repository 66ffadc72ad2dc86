//! The agent: tells HAProxy's agent-check how much this server can take. Who connects to the listener of `--agent` gets one
//! line and its end: `up 75%` with the share of free session slots, `drain` while the server is paused or stops, `down` once
//! it has closed its listeners.
//!
//! To HAProxy, `drain` is an order that `up` does not take back, not even that of a server that was started again; only `ready`
//! does. So the line holds `ready` too for a while after the start and after a `drain`; not for ever, because it would also take
//! back what an operator of HAProxy has ordered there.

use crate::{
    net::{
        listener::Listener,
        socket::{Socket, settle},
        stream::{Stream, discard},
    },
    report::reporter::Reporter,
    runtime::clock::within,
    server::{
        operator::{Operator, Readiness},
        side_door::{SideDoor, Silence},
    },
};
use futures::AsyncWriteExt;
use std::{
    cell::Cell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

/// Balancers at once; each is gone as soon as it has its line.
const CONNECTIONS_MAX: usize = 16;
/// One connection, from its begin to its end: HAProxy's longest usual interval between two checks.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// How long `ready` is said: many intervals of every balancer (HAProxy's is 2 s unless it is told another).
const READY_FOR: Duration = Duration::from_secs(60);

/// Dropping it closes the listener.
pub struct Agent {
    door: SideDoor,
    answers: Rc<Answers>,
}

struct Answers {
    operator: Operator,
    /// Since when `up` has been the answer.
    up_since: Cell<Instant>,
    /// The server's listeners are closed.
    is_down: Cell<bool>,
}

impl Agent {
    pub fn start(listener: Listener, operator: Operator, reporter: Reporter) -> Self {
        let (up_since, is_down) = (Cell::new(Instant::now()), Cell::new(false));
        let answers = Rc::new(Answers { operator, up_since, is_down });
        let asked = answers.clone();
        let serve = move |socket, silence| {
            let asked = asked.clone();
            async move { asked.serve(socket, silence).await }
        };
        Agent { door: SideDoor::start(listener, CONNECTIONS_MAX, "agent", reporter, serve), answers }
    }

    /// The server accepts no more.
    pub fn go_down(&self) {
        self.answers.is_down.set(true);
    }

    /// Closes the listener; what waits there is left to the program that has taken over.
    pub fn leave(&mut self) {
        self.door.leave();
    }
}

impl Answers {
    /// Tells one balancer; resets it if that takes too long.
    async fn serve(&self, socket: Socket, silence: Rc<Silence>) {
        let line = self.line().await;
        if let Some(Ok(())) = within(Some(CONNECTION_MAX), tell(&socket, &line, &silence)).await {
            socket.close();
        }
    }

    async fn line(&self) -> String {
        let readiness = self.operator.ready().await;
        match readiness {
            // Another process accepts at the addresses that the question is of.
            Readiness::Accepting | Readiness::Replaced => {}
            Readiness::Paused | Readiness::Draining => {
                self.up_since.set(Instant::now());
                return if self.is_down.get() { "down\n".into() } else { "drain\n".into() };
            }
        }
        let (taken, limit) = self.operator.slots();
        let ready = if self.up_since.get().elapsed() < READY_FOR { " ready" } else { "" };
        format!("up {}%{ready}\n", share(taken, limit))
    }
}

/// The percentage of free slots. At least 1: at the limit connections wait, and at 0 HAProxy would end those by FIN for which it
/// has no other server.
fn share(taken: usize, limit: usize) -> usize {
    (limit.saturating_sub(taken) * 100 / limit.max(1)).max(1)
}

async fn tell(socket: &Socket, line: &str, silence: &Silence) -> io::Result<()> {
    let mut stream = Stream(socket);
    stream.write_all(line.as_bytes()).await?;
    stream.close().await?;
    // To give way, or to be closed with words of the balancer unread (agent-send), is a reset, which must not destroy the line.
    settle(socket).await;
    silence.during(discard(stream, CONNECTION_MAX)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_the_share_of_free_slots_and_at_least_one_percent() {
        for (taken, limit, percent) in
            [(0, 4, 100), (1, 4, 75), (2, 3, 33), (4, 4, 1), (9, 4, 1), (999, 1000, 1), (0, 1, 100)]
        {
            assert_eq!(share(taken, limit), percent, "{taken} of {limit}");
        }
    }
}
