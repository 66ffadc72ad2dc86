//! The entrance of a listener: whether its acceptors take connections, on all shards, and which connections are our own.

use crate::{
    net::address::Address,
    runtime::{
        clock::sleep,
        lock::Lock,
        mailbox::{Sender, mailbox},
    },
};
use std::{
    collections::HashSet,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Release},
    },
    time::Duration,
};

/// An acceptor that passes is gone after some system calls.
const PASSING_STEP: Duration = Duration::from_micros(50);

/// It is shut.
const SHUT: usize = 1;
/// An acceptor passes.
const PASSING: usize = 2;

/// It is open at first.
#[derive(Default)]
pub struct Entrance {
    /// The sum of the above: both are known at once.
    state: AtomicUsize,
    /// Acceptors that wait for it to open: dropping an address wakes one. An acceptor waits once at a time.
    waiting: Lock<Vec<Sender<()>>>,
    own: Lock<HashSet<Address>>,
    /// The length of the above.
    own_count: AtomicUsize,
}

/// An acceptor that takes a connection.
pub struct Passing<'a>(&'a Entrance);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(PASSING, AcqRel);
    }
}

impl Entrance {
    /// No acceptor takes a connection once this has ended.
    pub async fn shut(&self) {
        self.state.fetch_or(SHUT, AcqRel);
        while self.state.load(Acquire) >= PASSING {
            sleep(PASSING_STEP).await;
        }
    }

    pub fn open(&self) {
        let mut waiting = self.waiting.lock();
        self.state.fetch_and(!SHUT, AcqRel);
        waiting.clear();
    }

    /// An acceptor takes a connection while it has this; none: it is shut.
    pub fn pass(&self) -> Option<Passing<'_>> {
        let before = self.state.fetch_add(PASSING, AcqRel);
        let passing = Passing(self);
        (before & SHUT == 0).then_some(passing)
    }

    pub fn is_shut(&self) -> bool {
        self.state.load(Acquire) & SHUT != 0
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        while self.is_shut() {
            let (address, mut mailbox) = mailbox(1);
            {
                let mut waiting = self.waiting.lock();
                if !self.is_shut() {
                    return;
                }
                waiting.push(address);
            }
            mailbox.next().await;
        }
    }

    /// A connection from there will be our own, and no session.
    pub fn expect(&self, own: Address) {
        self.change(|all| all.insert(own));
    }

    /// Nothing is expected from there any more, or from anywhere.
    pub fn forget(&self, own: Option<&Address>) {
        self.change(|all| match own {
            Some(own) => all.remove(own),
            None => std::mem::take(all).is_empty(),
        });
    }

    /// Where connections of our own are expected from.
    pub fn own(&self) -> Vec<Address> {
        self.own.lock().iter().cloned().collect()
    }

    /// No acceptor is there yet: none takes a connection before it is opened.
    pub fn begin_shut(&self) {
        self.state.fetch_or(SHUT, AcqRel);
    }

    /// Whether a connection from there is our own; the next one is not.
    pub fn is_own(&self, client: &Address) -> bool {
        self.own_count.load(Acquire) > 0 && self.change(|all| all.remove(client))
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<Address>) -> bool) -> bool {
        let mut own = self.own.lock();
        let value = change(&mut own);
        self.own_count.store(own.len(), Release);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{clock::within, shard};
    use futures::FutureExt;

    #[test]
    fn who_waits_at_a_shut_entrance_goes_on_once_it_opens() {
        let entrance = Entrance::default();
        assert!(entrance.opened().now_or_never().is_some());
        assert!(entrance.shut().now_or_never().is_some());
        let mut waits = [Box::pin(entrance.opened()), Box::pin(entrance.opened())];
        assert!(waits.iter_mut().all(|one| one.now_or_never().is_none()));
        entrance.open();
        assert!(waits.into_iter().all(|one| one.now_or_never().is_some()));
    }

    #[test]
    fn it_is_shut_once_no_acceptor_passes_any_more() {
        let shut = shard::run(async {
            let entrance = Entrance::default();
            let passing = [entrance.pass(), entrance.pass()];
            assert!(passing.iter().all(Option::is_some));
            let mut shuts = Box::pin(entrance.shut());
            assert!(within(Some(PASSING_STEP * 4), &mut shuts).await.is_none());
            assert!(entrance.pass().is_none() && entrance.is_shut());
            drop(passing);
            let shut = within(Some(Duration::from_secs(10)), shuts).await;
            entrance.open();
            shut.and(entrance.pass().map(drop))
        });
        assert_eq!(shut.unwrap(), Some(()));
    }

    #[test]
    fn a_connection_of_our_own_is_known_once() {
        let (entrance, own) = (Entrance::default(), Address::Tcp("127.0.0.1:9".parse().unwrap()));
        assert!(!entrance.is_own(&own));
        entrance.expect(own.clone());
        assert!(!entrance.is_own(&Address::Tcp("127.0.0.1:8".parse().unwrap())));
        assert!(entrance.is_own(&own) && !entrance.is_own(&own));
        entrance.expect(own.clone());
        entrance.forget(None);
        assert!(!entrance.is_own(&own));
    }
}
