//! Readiness: one edge-triggered epoll (epoll(7)) for every socket of a shard. A socket is registered once; an event sets its
//! flags and wakes the task that waits.
//!
//! A registration ends with its socket: the kernel drops it when the last descriptor of the socket closes, and a generation in
//! each event's token keeps late events of a closed socket from a new one in the same slot. A socket that another shard or
//! another process may hold open, as a listening one, is withdrawn first: else it would go on waking this shard.

use crate::runtime::{shard::Shard, source::Source};
use rustix::event::{
    PollFd, PollFlags, Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
    poll,
};
use std::{
    cell::RefCell,
    io,
    mem::MaybeUninit,
    ops::Deref,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

/// Events taken from the kernel at a time: 12 bytes each, and enough for 64 busy sessions' both sockets.
const EVENTS_AT_ONCE: usize = 128;
/// A token that no slot has.
const NO_SOCKET: u64 = u64::MAX;

/// What epoll_wait(2) counts in, upwards: so much earlier a wait has to end.
const COARSE_STEP: Duration = Duration::from_millis(1);
/// A wait shorter than this is left to ppoll(2), which counts in nanoseconds.
const FINE: Duration = Duration::from_millis(2);

/// The sockets of a shard.
pub(super) struct Poller {
    epoll: OwnedFd,
    sources: RefCell<Sources>,
}

#[derive(Default)]
struct Sources {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    source: Option<Rc<Source>>,
}

/// A socket's place among those of its shard. It ends when this is dropped.
pub struct Registration {
    source: Rc<Source>,
    token: u64,
}

impl Poller {
    /// No sockets yet. A write to `interruption` (eventfd(2)) ends a wait.
    pub(super) fn open(interruption: &OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, interruption, EventData::new_u64(NO_SOCKET), EventFlags::IN | EventFlags::ET)?;
        Ok(Poller { epoll, sources: RefCell::default() })
    }

    /// Waits until there are events, at most for `limit`; calls `awake`; then notes the events with their sources. Says how
    /// many of sockets there were.
    pub(super) fn take_events(&self, limit: Option<Duration>, awake: impl FnOnce()) -> usize {
        let limit = match limit {
            Some(limit) if limit.is_zero() => Some(Timespec::default()),
            Some(limit) if limit < FINE => {
                let mut epoll = [PollFd::new(&self.epoll, PollFlags::IN)];
                // An error here is a signal, and then the wait has ended as well.
                let _ = poll(&mut epoll, Timespec::try_from(limit).ok().as_ref());
                Some(Timespec::default())
            }
            // A limit beyond what the kernel's type holds is none.
            limit => limit.and_then(|limit| Timespec::try_from(limit.saturating_sub(COARSE_STEP)).ok()),
        };
        let mut room = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_AT_ONCE];
        let events = epoll::wait(&self.epoll, &mut room, limit.as_ref());
        awake();
        // An error is a signal: no other can come of this epoll.
        let Ok((events, _)) = events else { return 0 };
        let mut count = 0;
        for event in &*events {
            let source = self.sources.borrow().find(event.data.u64());
            if let Some(source) = source {
                source.notify(event.flags);
                count += 1;
            }
        }
        count
    }
}

impl Sources {
    /// The slot's number in the low half, its generation in the high half.
    fn insert(&mut self, source: Rc<Source>) -> u64 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, source: None });
            u32::try_from(self.slots.len() - 1).expect("descriptors are numbered by i32")
        });
        let slot = &mut self.slots[number as usize];
        slot.source = Some(source);
        u64::from(number) | u64::from(slot.generation) << 32
    }

    fn remove(&mut self, token: u64) {
        let number = token as u32;
        let slot = &mut self.slots[number as usize];
        slot.source = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(number);
    }

    fn find(&self, token: u64) -> Option<Rc<Source>> {
        let slot = self.slots.get(token as u32 as usize)?;
        slot.source.clone().filter(|_| u64::from(slot.generation) == token >> 32)
    }
}

impl Registration {
    /// Registers `socket` with this thread's shard. `writable` says that it can be written to already, as an accepted socket
    /// can.
    /// It fails if the kernel's limit on watches is reached (`ENOSPC`, epoll(7)) or it is out of memory.
    pub fn new(socket: impl AsFd, writable: bool) -> io::Result<Self> {
        let interest =
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        Self::with(socket, writable, interest)
    }

    /// Registers a socket that several shards wait for: one of them is woken (`EPOLLEXCLUSIVE`).
    pub fn shared(socket: impl AsFd) -> io::Result<Self> {
        Self::with(socket, false, EventFlags::IN | EventFlags::ET | EventFlags::EXCLUSIVE)
    }

    /// Does not wait for `socket` any more, though it stays open: for a socket that others may wait for too.
    pub fn withdraw(&self, socket: impl AsFd) {
        if let Some(shard) = Shard::here() {
            let _ = epoll::delete(&shard.readiness.epoll, socket);
        }
    }

    fn with(socket: impl AsFd, writable: bool, interest: EventFlags) -> io::Result<Self> {
        let readiness = &Shard::here().expect("a socket is registered with a shard").readiness;
        let source = Rc::new(Source::new(writable));
        let token = readiness.sources.borrow_mut().insert(source.clone());
        let registration = Registration { source, token };
        epoll::add(&readiness.epoll, socket, EventData::new_u64(token), interest)?;
        Ok(registration)
    }
}

impl Deref for Registration {
    type Target = Source;

    fn deref(&self) -> &Source {
        &self.source
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // A shard that has ended has no slots to give back, and another on the same thread has none of this one's.
        Shard::look_at(|shard| {
            let mut sources = shard.readiness.sources.borrow_mut();
            if sources.find(self.token).is_some_and(|source| Rc::ptr_eq(&source, &self.source)) {
                sources.remove(self.token);
            }
        });
    }
}
