//! The entrance of a listener: whether its acceptors take connections, on all shards, and which connections are our own.

use crate::{
    net::address::Address,
    runtime::{
        lock::Lock,
        mailbox::{Sender, mailbox},
    },
};
use std::{
    collections::HashSet,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Release},
    },
};

/// It is open at first.
#[derive(Default)]
pub struct Entrance {
    is_shut: AtomicBool,
    /// Acceptors that wait for it to open: dropping an address wakes one. An acceptor waits once at a time.
    waiting: Lock<Vec<Sender<()>>>,
    own: Lock<HashSet<Address>>,
    /// The length of the above.
    own_count: AtomicUsize,
}

impl Entrance {
    /// No acceptor takes a connection from now on, but for one that is about to.
    pub fn shut(&self) {
        self.is_shut.store(true, Release);
    }

    pub fn open(&self) {
        let mut waiting = self.waiting.lock();
        self.is_shut.store(false, Release);
        waiting.clear();
    }

    pub fn is_shut(&self) -> bool {
        self.is_shut.load(Acquire)
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
    use futures::FutureExt;

    #[test]
    fn who_waits_at_a_shut_entrance_goes_on_once_it_opens() {
        let entrance = Entrance::default();
        assert!(entrance.opened().now_or_never().is_some());
        entrance.shut();
        let mut waits = [Box::pin(entrance.opened()), Box::pin(entrance.opened())];
        assert!(waits.iter_mut().all(|one| one.now_or_never().is_none()));
        entrance.open();
        assert!(waits.into_iter().all(|one| one.now_or_never().is_some()));
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
