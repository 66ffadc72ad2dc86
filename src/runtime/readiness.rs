//! The readiness actor: one edge-triggered epoll for every socket, awaited by one task. It ends with the process.
//!
//! async-io re-arms a one-shot registration for every wait. Here a socket is registered once; the actor sets its flags and
//! wakes its waiters. A registration ends with its socket: the kernel drops it when the descriptor closes, and a
//! generation in each event's token keeps late events of a closed socket from a new one in the same slot.

use crate::runtime::{
    pace,
    source::Source,
    task::{self, Task},
};
use async_io::Async;
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
};
use std::{
    cell::RefCell,
    io,
    mem::MaybeUninit,
    ops::Deref,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// Events taken from the kernel at a time: 12 bytes each, and enough for 64 busy sessions' both sockets.
const EVENTS_AT_ONCE: usize = 128;

/// A token that no slot has.
pub(super) const NO_SOCKET: u64 = u64::MAX;

/// The sockets whose events the actor takes.
static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();

thread_local! {
    /// The sockets of a thread that takes their events itself.
    pub(super) static OWN: RefCell<Option<Arc<Registry>>> = const { RefCell::new(None) };
}

pub(super) struct Registry {
    pub(super) epoll: Arc<OwnedFd>,
    slots: Mutex<Sources>,
}

#[derive(Default)]
pub(super) struct Sources {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    source: Option<Arc<Source>>,
}

/// A socket's place in its registry. It ends when this is dropped.
pub struct Registration {
    registry: Arc<Registry>,
    source: Arc<Source>,
    token: u64,
}

/// Starts the actor. The first call counts; later ones (tests) find it running.
pub fn start(busy_poll: Option<Duration>) -> io::Result<Option<Task<()>>> {
    if REGISTRY.get().is_some() {
        return Ok(None);
    }
    let registry = Arc::new(Registry::open()?);
    let outer = Async::new_nonblocking(registry.epoll.clone())?;
    let is_first = REGISTRY.set(registry.clone()).is_ok();
    Ok(is_first.then(|| task::spawn(pace::run(registry, outer, busy_poll))))
}

/// Notes the events that come within `limit` with their sources; says how many there were.
pub(super) fn take_events(registry: &Registry, limit: Option<&Timespec>, awake: impl FnOnce()) -> usize {
    let mut room = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_AT_ONCE];
    let events = epoll::wait(&registry.epoll, &mut room, limit);
    awake();
    let Ok((events, _)) = events else { return 0 };
    let slots = registry.lock();
    for event in &*events {
        if let Some(source) = slots.find(event.data.u64()) {
            source.notify(event.flags);
        }
    }
    events.len()
}

impl Registry {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Registry { epoll: Arc::new(epoll::create(CreateFlags::CLOEXEC)?), slots: Mutex::default() })
    }

    /// That of the thread, or else that of the process.
    pub(super) fn here() -> Arc<Self> {
        let own = OWN.with_borrow(Clone::clone);
        own.unwrap_or_else(|| REGISTRY.get().expect("the runtime is started before the first socket").clone())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sources> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sources {
    /// The slot's number in the low half, its generation in the high half.
    fn insert(&mut self, source: Arc<Source>) -> u64 {
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

    fn find(&self, token: u64) -> Option<&Source> {
        let slot = self.slots.get(token as u32 as usize)?;
        slot.source.as_deref().filter(|_| u64::from(slot.generation) == token >> 32)
    }
}

impl Registration {
    /// Registers `socket`. `writable` says that it can be written to already, as an accepted socket can.
    /// It fails if the kernel's limit on watches is reached (`ENOSPC`, epoll(7)) or it is out of memory.
    pub fn new(socket: impl AsFd, writable: bool) -> io::Result<Self> {
        let registry = Registry::here();
        let source = Arc::new(Source::new(writable));
        let token = registry.lock().insert(source.clone());
        let registration = Registration { registry, source, token };
        let interest =
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        epoll::add(&registration.registry.epoll, socket, EventData::new_u64(token), interest)?;
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
        self.registry.lock().remove(self.token);
    }
}
