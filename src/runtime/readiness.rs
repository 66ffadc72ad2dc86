//! The readiness actor: one edge-triggered epoll for every socket, awaited by one task. It ends with the process.
//!
//! async-io re-arms a one-shot registration for every wait. Here a socket is registered once; the actor sets its flags and
//! wakes its waiters. A registration ends with its socket: the kernel drops it when the descriptor closes, and a
//! generation in each event's token keeps late events of a closed socket from a new one in the same slot.

use crate::runtime::{
    executor::yield_now,
    task::{self, Task},
};
use async_io::Async;
use futures::task::AtomicWaker;
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Events taken from the kernel at a time: 12 bytes each, and enough for 64 busy sessions' both sockets.
const EVENTS_AT_ONCE: usize = 128;

static REGISTRY: OnceLock<Registry> = OnceLock::new();

struct Registry {
    epoll: Arc<OwnedFd>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    source: Option<Arc<Source>>,
}

/// What is known of one socket, and who waits for it: one task each way, and one for an abort.
#[derive(Default)]
struct Source {
    flags: AtomicU8,
    read: AtomicWaker,
    write: AtomicWaker,
    abort: AtomicWaker,
}

/// There may be something to read.
const READABLE: u8 = 1;
/// There may be room to write.
const WRITABLE: u8 = 1 << 1;
/// The peer has ended its stream: a read gives bytes or the end, and never has to wait.
const HANGUP: u8 = 1 << 2;
/// The socket has an error pending: the peer reset it, or vanished.
const ABORTED: u8 = 1 << 3;
/// An urgent byte is about: a read may stop short of it with more behind it.
const URGENT: u8 = 1 << 4;

/// A socket's place with the readiness actor. It ends when this is dropped.
pub struct Registration {
    source: Arc<Source>,
    token: u64,
}

/// Starts the actor. The first call counts; later ones (tests) find it running.
///
/// # Errors
/// Where the kernel gives no epoll instance.
pub fn start(busy_poll: Option<Duration>) -> io::Result<Option<Task<()>>> {
    if REGISTRY.get().is_some() {
        return Ok(None);
    }
    let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
    let outer = Async::new_nonblocking(epoll.clone())?;
    let registry = Registry { epoll, slots: Mutex::default() };
    match REGISTRY.set(registry) {
        Ok(()) => Ok(Some(task::spawn(run(outer, busy_poll)))),
        Err(_) => Ok(None),
    }
}

async fn run(outer: Async<Arc<OwnedFd>>, busy_poll: Option<Duration>) {
    let mut last_event = Instant::now();
    loop {
        if take_events(outer.get_ref()) > 0 {
            last_event = Instant::now();
            // The first round runs who was woken, the second who those woke: then there is a batch to look for again.
            yield_now().await;
            yield_now().await;
        } else if busy_poll.is_some_and(|limit| last_event.elapsed() < limit) {
            yield_now().await;
        } else if outer.readable().await.is_ok() {
            last_event = Instant::now();
        }
    }
}

/// Takes the events that are there and notes them with their sources; says how many there were.
fn take_events(epoll: &OwnedFd) -> usize {
    let mut room = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_AT_ONCE];
    let Ok((events, _)) = epoll::wait(epoll, &mut room, Some(&Timespec::default())) else { return 0 };
    let slots = registry().lock();
    for event in &*events {
        if let Some(source) = slots.find(event.data.u64()) {
            source.notify(event.flags);
        }
    }
    events.len()
}

fn registry() -> &'static Registry {
    REGISTRY.get().expect("the runtime is started before the first socket")
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Every change under the lock is complete at each point where it could panic.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
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

impl Source {
    fn notify(&self, events: EventFlags) {
        let mut flags = 0;
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if events.intersects(EventFlags::IN | EventFlags::PRI | ended) {
            flags |= READABLE;
        }
        if events.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            flags |= WRITABLE;
        }
        if events.intersects(ended) {
            flags |= HANGUP;
        }
        if events.contains(EventFlags::ERR) {
            flags |= ABORTED;
        }
        if events.contains(EventFlags::PRI) {
            flags |= URGENT;
        }
        self.flags.fetch_or(flags, Ordering::AcqRel);
        if flags & READABLE != 0 {
            self.read.wake();
        }
        if flags & WRITABLE != 0 {
            self.write.wake();
        }
        if flags & ABORTED != 0 {
            self.abort.wake();
        }
    }

    fn poll(&self, flag: u8, waker: &AtomicWaker, context: &Context<'_>) -> Poll<()> {
        if self.flags.load(Ordering::Acquire) & flag != 0 {
            return Poll::Ready(());
        }
        waker.register(context.waker());
        // An event may have come between the look and the registration.
        if self.flags.load(Ordering::Acquire) & flag != 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Registration {
    /// Registers `socket`. `writable` says that it can be written to already, as an accepted socket can.
    ///
    /// # Errors
    /// Where the kernel's limit on watches is reached (`ENOSPC`, epoll(7)) or it is out of memory.
    pub fn new(socket: impl AsFd, writable: bool) -> io::Result<Self> {
        let registry = registry();
        let source = Arc::new(Source::default());
        source.flags.store(if writable { WRITABLE } else { 0 }, Ordering::Release);
        let token = registry.lock().insert(source.clone());
        let registration = Registration { source, token };
        let interest =
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        epoll::add(&registry.epoll, socket, EventData::new_u64(token), interest)?;
        Ok(registration)
    }

    /// Ready when a read may give something.
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.source.poll(READABLE, &self.source.read, context)
    }

    /// Ready when a write may be taken.
    pub fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.source.poll(WRITABLE, &self.source.write, context)
    }

    /// Ready when the socket has an error pending.
    pub fn poll_aborted(&self, context: &Context<'_>) -> Poll<()> {
        self.source.poll(ABORTED, &self.source.abort, context)
    }

    /// Does a read whose result says whether it `drained` the socket: took less than it had room for.
    ///
    /// The flag is cleared before the read, so that an event during it is not lost.
    ///
    /// # Errors
    /// That of the read; `WouldBlock` means: wait with [`Registration::poll_readable`].
    pub fn read<T>(&self, read: impl FnOnce() -> io::Result<(T, bool)>) -> io::Result<T> {
        let flags = self.source.flags.fetch_and(!READABLE, Ordering::AcqRel);
        let result = read();
        match &result {
            Ok((_, drained)) if *drained && flags & (HANGUP | URGENT) == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.source.flags.fetch_and(!URGENT, Ordering::AcqRel);
            }
            _ => {
                self.source.flags.fetch_or(READABLE, Ordering::AcqRel);
            }
        }
        result.map(|(value, _)| value)
    }

    /// Does a write whose result says whether it `filled` the socket: put in less than it had.
    ///
    /// # Errors
    /// That of the write; `WouldBlock` means: wait with [`Registration::poll_writable`].
    pub fn write<T>(&self, write: impl FnOnce() -> io::Result<(T, bool)>) -> io::Result<T> {
        let flags = self.source.flags.fetch_and(!WRITABLE, Ordering::AcqRel);
        let result = write();
        let blocked = match &result {
            Ok((_, filled)) => *filled && flags & HANGUP == 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !blocked {
            self.source.flags.fetch_or(WRITABLE, Ordering::AcqRel);
        }
        result.map(|(value, _)| value)
    }

    /// Whether an urgent byte was announced since the socket was last found empty.
    #[must_use]
    pub fn urgent(&self) -> bool {
        self.source.flags.load(Ordering::Acquire) & URGENT != 0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        registry().lock().remove(self.token);
    }
}
