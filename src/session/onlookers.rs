//! Operators who look on: they follow what sessions say, or wait for sessions to come and tap them from their first byte.
//! While there are none, a session pays one look at a counter for each.

use crate::{
    net::network::Network,
    runtime::{
        lock::Lock,
        mailbox::{Mailbox, Sender, mailbox},
    },
    session::{
        event::{Event, What},
        mark::Mark,
        record::Record,
        tap::{View, Watcher},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Events that may wait for a slow follower: a burst of hundreds of sessions, some 200 bytes each.
const EVENTS: usize = 1024;
/// Sessions that may wait for a slow operator, each with a tap.
const ARRIVALS: usize = 64;

#[derive(Default)]
pub struct Onlookers {
    following: AtomicUsize,
    waiting: AtomicUsize,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// No more come.
    over: bool,
    followers: Vec<Following>,
    waiters: Vec<Waiting>,
}

struct Following {
    number: u64,
    events: Sender<Event>,
    lost: Arc<AtomicU64>,
}

struct Waiting {
    number: u64,
    wanted: Wanted,
    arrivals: Sender<Arrival>,
    lost: Arc<AtomicU64>,
}

/// Which sessions to come are tapped, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Only those of these clients.
    pub clients: Option<Network>,
    pub view: View,
    /// How many; none: all.
    pub count: Option<usize>,
}

/// A session that has just begun, and its tap.
pub struct Arrival {
    pub session: u64,
    pub watcher: Watcher,
    pub past: Vec<Mark>,
}

/// What an operator who looks on is shown. Dropping it ends the look; it ends by itself with the server.
pub struct Onlooker<T: 'static> {
    pub shown: Mailbox<T>,
    number: u64,
    lost: Arc<AtomicU64>,
    onlookers: Arc<Onlookers>,
}

impl Onlookers {
    /// Whether events are followed.
    pub fn follow(&self) -> bool {
        self.following.load(Relaxed) > 0
    }

    /// Shows an event to those who follow. Payload is for taps.
    pub fn tell(&self, event: &Event) {
        if !self.follow() || matches!(event.what, What::Data { .. } | What::Dropped { .. }) {
            return;
        }
        for follower in &self.state.lock().followers {
            if follower.events.try_send(event.clone()).is_err() {
                follower.lost.fetch_add(1, Relaxed);
            }
        }
    }

    /// A session begins, and has moved nothing yet.
    pub fn meet(&self, record: &Arc<Record>) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut state = self.state.lock();
        for waiter in &mut state.waiters {
            waiter.meet(record);
        }
        state.waiters.retain(|waiter| waiter.wanted.count != Some(0));
        self.waiting.store(state.waiters.len(), Relaxed);
    }

    /// Follows the events of all sessions from now on.
    pub fn follow_events(self: &Arc<Self>) -> Onlooker<Event> {
        let (events, shown) = mailbox(EVENTS);
        self.add(shown, |state, number, lost| state.followers.push(Following { number, events, lost }))
    }

    /// Taps sessions that begin from now on.
    pub fn wait(self: &Arc<Self>, wanted: Wanted) -> Onlooker<Arrival> {
        let (arrivals, shown) = mailbox(ARRIVALS);
        self.add(shown, |state, number, lost| state.waiters.push(Waiting { number, wanted, arrivals, lost }))
    }

    /// No more sessions come: the onlookers have seen all.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.over = true;
        (state.followers, state.waiters) = (Vec::new(), Vec::new());
        self.count(&state);
    }

    fn add<T>(
        self: &Arc<Self>,
        shown: Mailbox<T>,
        add: impl FnOnce(&mut State, u64, Arc<AtomicU64>),
    ) -> Onlooker<T> {
        let lost = Arc::new(AtomicU64::new(0));
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        if !state.over {
            add(&mut state, number, lost.clone());
        }
        self.count(&state);
        drop(state);
        Onlooker { shown, number, lost, onlookers: self.clone() }
    }

    fn remove(&self, number: u64) {
        let mut state = self.state.lock();
        state.followers.retain(|follower| follower.number != number);
        state.waiters.retain(|waiter| waiter.number != number);
        self.count(&state);
    }

    fn count(&self, state: &State) {
        self.following.store(state.followers.len(), Relaxed);
        self.waiting.store(state.waiters.len(), Relaxed);
    }
}

impl Waiting {
    fn meet(&mut self, record: &Arc<Record>) {
        let is_in = |network: Network| record.source().ip().is_some_and(|ip| network.contains(ip));
        if !self.wanted.clients.is_none_or(is_in) {
            return;
        }
        let Some(watcher) = Watcher::attach(record, self.wanted.view) else { return };
        let arrival = Arrival { session: record.id, watcher, past: Mark::past(record) };
        match self.arrivals.try_send(arrival) {
            Ok(()) => self.wanted.count = self.wanted.count.map(|count| count - 1),
            Err(_) => _ = self.lost.fetch_add(1, Relaxed),
        }
    }
}

impl<T> Onlooker<T> {
    /// How many were lost since this was last asked.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }
}

impl<T> Drop for Onlooker<T> {
    fn drop(&mut self) {
        self.onlookers.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{event::Events, target::Target};

    fn warn_and_open(events: &Events) {
        events.tell(What::Dropped { lines: 1 });
        let record = Record::sample(1, Target::Echo);
        events.tell_with(|| What::Open {
            session: 1,
            mode: record.mode(),
            listener: record.local.clone(),
            client: record.client.clone(),
            name: None,
            source: None,
        });
    }

    #[test]
    fn events_are_made_only_while_they_are_followed_or_told() {
        let events = Events::new(None, Arc::default());
        events.tell_with(|| unreachable!("there is no reader"));
        let mut follower = events.onlookers().follow_events();
        warn_and_open(&events);
        assert!(matches!(follower.shown.try_next().map(|event| event.what), Some(What::Open { .. })));
        assert!(follower.shown.try_next().is_none());
        for _ in 0..EVENTS + 3 {
            warn_and_open(&events);
        }
        assert_eq!((follower.take_lost(), follower.take_lost()), (3, 0));
        drop(follower);
        events.tell_with(|| unreachable!("there is no reader any more"));
    }

    #[test]
    fn the_next_session_of_a_network_is_tapped_and_no_other() {
        let onlookers = Arc::new(Onlookers::default());
        let clients = Some("10.0.0.0/8".parse().unwrap());
        let mut next = onlookers.wait(Wanted { clients, count: Some(1), view: View::default() });
        let met = |id, client: &str| {
            let record = Record::sample_from(id, Target::Echo, client);
            onlookers.meet(&record);
            record
        };
        let sessions = [met(1, "192.0.2.1:1"), met(2, "10.0.0.1:1"), met(3, "10.0.0.2:1")];
        let first = next.shown.try_next().unwrap();
        assert_eq!((first.session, first.past.len()), (2, 1));
        assert_eq!(sessions.map(|record| record.taps.count()), [0, 1, 0]);
        assert!(futures::executor::block_on(next.shown.next()).is_none(), "it was asked for one");
    }

    #[test]
    fn an_onlooker_at_the_end_or_after_it_is_told_of_it() {
        let onlookers = Arc::new(Onlookers::default());
        let mut before = onlookers.follow_events();
        onlookers.end();
        let mut after = onlookers.wait(Wanted::default());
        assert!(futures::executor::block_on(before.shown.next()).is_none());
        assert!(futures::executor::block_on(after.shown.next()).is_none());
    }
}
