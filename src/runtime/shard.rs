//! A shard: one thread, and all that the thread owns: the queue of its tasks, the readiness of its sockets, its clock, its
//! pools. A program has one shard, or several that share what [`shared`] gives.
//!
//! A task runs on the shard that began it, so it need not be `Send`. The thread itself waits for events: an event costs no
//! hand-off between threads. Other threads wake a task through a locked list, and end the wait if the shard is asleep.
//!
//! A round of `Shard::drive`: the program, the tasks that are ready, what other threads woke, the sleepers that are due, one
//! task that has to compute for long (`turn.rs`); when nothing is left to do, it waits for events, as `pace.rs` says.

use crate::runtime::{
    clock::Clock,
    lock::Lock,
    mailbox::{Mailbox, Sender, mailbox},
    pace::Pace,
    readiness::Poller,
    task::Panicked,
    turn::Turns,
};
use async_task::Runnable;
use futures::{
    future::{Either, select},
    task::AtomicWaker,
};
use rustix::{
    event::{EventfdFlags, eventfd},
    thread::set_current_timer_slack,
};
use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    num::NonZeroU64,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Wake, Waker, ready},
    thread,
    time::{Duration, Instant},
};

/// Polls of tasks between two looks for events, if there is always a task to poll: some 100 µs of small messages.
const POLLS_BETWEEN_LOOKS: usize = 128;
/// And the time between them, which is looked at after every few polls: those of bulk are long.
const LOOK_AFTER: (Duration, usize) = (Duration::from_millis(1), 8);
/// The same while tasks wait for their turn to compute: about as long as one of them does.
const TURN_AFTER: (Duration, usize) = (Duration::from_micros(500), 1);

thread_local! {
    static HERE: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

/// What a thread owns while it runs a program.
pub struct Shard {
    ready: RefCell<VecDeque<Runnable>>,
    remote: Arc<Remote>,
    pub(super) clock: Rc<Clock>,
    pub(super) readiness: Poller,
    pub(super) turns: Turns,
    /// Bulk was moved since the last wait.
    pub(super) bulk: Cell<bool>,
    owned: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    program: Arc<Program>,
}

/// What the shards of a program share.
#[derive(Default)]
struct Program {
    /// A socket had an event since an observer last asked.
    active: AtomicBool,
    observer: AtomicWaker,
    shared: Lock<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>,
}

/// How other threads reach a shard.
struct Remote {
    /// The tasks that they woke; none after the end of the shard.
    woken: Lock<Option<Vec<Runnable>>>,
    /// There are some.
    pending: AtomicBool,
    /// The program itself was woken, by any thread.
    rung: AtomicBool,
    asleep: AtomicBool,
    /// A write to it (eventfd(2)) ends the wait.
    event: OwnedFd,
}

/// Runs `program` on the calling thread to its end, and the tasks that it begins as long as it runs.
pub fn run<T>(program: impl Future<Output = T>) -> io::Result<T> {
    run_looking(None, program)
}

/// As [`run`]; where events come close together, the thread looks for the next one for at most `look_for` before it sleeps.
pub fn run_looking<T>(look_for: Option<Duration>, program: impl Future<Output = T>) -> io::Result<T> {
    Ok(Here::enter(Arc::default())?.run(look_for, program))
}

/// What this thread owns of a type, made at first use; outside a shard, a new one.
pub fn own<T: Default + 'static>() -> Rc<T> {
    Shard::look_at(|shard| shard.own(|| Rc::new(T::default()))).unwrap_or_default()
}

/// What the shards of the program share of a type, made at first use; outside a shard, a new one.
pub fn shared<T: Default + Send + Sync + 'static>() -> Arc<T> {
    let Some(shard) = Shard::here() else { return Arc::default() };
    Arc::clone(&shard.own(|| Rc::new(shard.program.share::<T>())))
}

/// Says that bulk is moved. Buffers are deep there, and a sleep delays no peer: looking again and again is not worth it.
pub fn note_bulk() {
    Shard::look_at(|shard| shard.bulk.set(true));
}

/// Waits until a socket of the program has had an event since the last call. For one observer, which need not look while
/// nothing happens.
pub async fn active() {
    let program = Shard::here().expect("an observer is a task of a shard").program.clone();
    poll_fn(|context| {
        program.observer.register(context.waker());
        if program.active.swap(false, SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Begins `future` as a task of this thread's shard.
pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> async_task::Task<T> {
    let shard = Shard::here().expect("a task begins on a shard");
    let remote = shard.remote.clone();
    let (runnable, task) =
        async_task::spawn_local(future, move |runnable| Remote::schedule(&remote, runnable));
    shard.ready.borrow_mut().push_back(runnable);
    task
}

impl Shard {
    /// That of this thread, while it runs a program.
    pub(super) fn here() -> Option<Rc<Shard>> {
        Self::look_at(Clone::clone)
    }

    /// What `look` makes of the same. It runs no task and ends no shard.
    pub(super) fn look_at<T>(look: impl FnOnce(&Rc<Shard>) -> T) -> Option<T> {
        HERE.try_with(|here| here.borrow().as_ref().map(look)).ok().flatten()
    }

    fn own<T: 'static>(&self, make: impl FnOnce() -> Rc<T>) -> Rc<T> {
        let id = TypeId::of::<T>();
        let found = self.find_owned(id);
        let value = found.unwrap_or_else(|| {
            let value: Rc<dyn Any> = make();
            self.owned.borrow_mut().push((id, value.clone()));
            value
        });
        value.downcast().expect("a value is kept under its type")
    }

    /// What was asked for last stands first: each message of a session takes a buffer, and gives it back.
    fn find_owned(&self, id: TypeId) -> Option<Rc<dyn Any>> {
        let mut owned = self.owned.borrow_mut();
        let place = owned.iter().position(|(of, _)| *of == id)?;
        if place > 0 {
            owned.swap(0, place);
        }
        Some(owned[0].1.clone())
    }

    /// Runs the program to its end.
    fn drive<T>(&self, mut program: Pin<&mut impl Future<Output = T>>, look_for: Option<Duration>) -> T {
        let waker = Waker::from(self.remote.clone());
        let mut context = Context::from_waker(&waker);
        let mut pace = Pace::new(look_for);
        loop {
            if self.remote.rung.swap(false, SeqCst)
                && let Poll::Ready(value) = program.as_mut().poll(&mut context)
            {
                return value;
            }
            self.run_ready();
            self.take_woken();
            let due = self.clock.wake_due();
            if self.has_work() || self.turns.are_awaited() {
                // What always has something to do must not keep events out.
                self.look();
                // The tasks of these events are before it in the queue.
                self.turns.give_next();
            } else {
                pace.wait(self, due);
            }
        }
    }

    /// Polls the tasks that are ready, and those that they wake, until none is left or it is time to look for events.
    fn run_ready(&self) {
        let (limit, every) = if self.turns.are_awaited() { TURN_AFTER } else { LOOK_AFTER };
        let mut begin = None;
        for polls in 1..=POLLS_BETWEEN_LOOKS {
            // Not in the condition: the borrow would last as long as the poll.
            let next = self.ready.borrow_mut().pop_front();
            let Some(task) = next else { return };
            task.run();
            if polls.is_multiple_of(every) && begin.get_or_insert_with(Instant::now).elapsed() >= limit {
                return;
            }
        }
    }

    /// Runs until nothing is ready: tasks whose owner has gone are dropped by being run, and may be the owners of others.
    fn run_out(&self) {
        self.take_woken();
        while !self.ready.borrow().is_empty() {
            self.run_ready();
            self.take_woken();
        }
    }

    fn take_woken(&self) {
        if self.remote.pending.swap(false, SeqCst) {
            let woken = self.remote.woken.lock().as_mut().map(mem::take);
            self.ready.borrow_mut().extend(woken.into_iter().flatten());
        }
    }

    fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty() || self.remote.rung.load(SeqCst) || self.remote.pending.load(SeqCst)
    }

    /// Takes the events that are there; says how many.
    pub(super) fn look(&self) -> usize {
        self.take_events(Some(Duration::ZERO), || ())
    }

    fn take_events(&self, limit: Option<Duration>, awake: impl FnOnce()) -> usize {
        let events = self.readiness.take_events(limit, awake);
        if events > 0 && !self.program.active.load(Relaxed) {
            self.program.active.store(true, SeqCst);
            self.program.observer.wake();
        }
        events
    }

    /// Waits for events until `due`, and takes them; says how many.
    pub(super) fn sleep(&self, due: Option<Instant>) -> usize {
        self.remote.asleep.store(true, SeqCst);
        let limit = if self.has_work() {
            Some(Duration::ZERO)
        } else {
            due.map(|due| due.saturating_duration_since(Instant::now()))
        };
        self.take_events(limit, || self.remote.asleep.store(false, SeqCst))
    }

    /// Whether another thread or a sleeper has something for this one to do.
    pub(super) fn is_called(&self, due: Option<Instant>) -> bool {
        self.has_work() || due.is_some_and(|due| due <= Instant::now())
    }
}

/// A thread that is a shard, until this is dropped.
struct Here(Rc<Shard>);

impl Here {
    fn enter(program: Arc<Program>) -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let readiness = Poller::open(&event)?;
        // By default the kernel lets a timer be 50 µs late, to save wake-ups (prctl(2)).
        set_current_timer_slack(NonZeroU64::new(1))?;
        let remote = Remote {
            woken: Lock::new(Some(Vec::new())),
            pending: AtomicBool::new(false),
            rung: AtomicBool::new(true),
            asleep: AtomicBool::new(false),
            event,
        };
        let shard = Rc::new(Shard {
            ready: RefCell::default(),
            remote: Arc::new(remote),
            clock: Rc::default(),
            readiness,
            turns: Turns::default(),
            bulk: Cell::new(false),
            owned: RefCell::default(),
            program,
        });
        let outer = HERE.replace(Some(shard.clone()));
        assert!(outer.is_none(), "a thread runs one program at a time");
        Ok(Here(shard))
    }

    fn run<T>(self, look_for: Option<Duration>, program: impl Future<Output = T>) -> T {
        let program = pin!(program);
        self.0.drive(program, look_for)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.run_out();
        // What the shard itself owns may own tasks too.
        drop(self.0.owned.take());
        self.0.run_out();
        *self.0.remote.woken.lock() = None;
        drop(HERE.take());
    }
}

impl Program {
    fn share<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let id = TypeId::of::<T>();
        let found = find(&self.shared.lock(), id);
        let value = found.unwrap_or_else(|| {
            // Made without the lock: it may be made of other values that are shared.
            let value: Arc<dyn Any + Send + Sync> = Arc::new(T::default());
            let mut shared = self.shared.lock();
            find(&shared, id).unwrap_or_else(|| {
                shared.push((id, value.clone()));
                value
            })
        });
        value.downcast().expect("a value is kept under its type")
    }
}

/// What is kept under a type.
fn find<V: Clone>(kept: &[(TypeId, V)], id: TypeId) -> Option<V> {
    kept.iter().find(|(of, _)| *of == id).map(|(_, value)| value.clone())
}

impl Remote {
    /// Puts a woken task into the queue of its shard.
    fn schedule(remote: &Arc<Self>, task: Runnable) {
        let mut task = Some(task);
        Shard::look_at(|shard| {
            if Arc::ptr_eq(&shard.remote, remote)
                && let Some(task) = task.take()
            {
                shard.ready.borrow_mut().push_back(task);
            }
        });
        // That of another shard.
        if let Some(task) = task {
            remote.hand_over(task);
        }
    }

    /// As [`Remote::schedule`], from another thread.
    fn hand_over(&self, task: Runnable) {
        match &mut *self.woken.lock() {
            Some(woken) => woken.push(task),
            // It can be run and dropped on its own thread only, and that runs no task any more.
            None => return mem::forget(task),
        }
        self.pending.store(true, SeqCst);
        self.end_wait();
    }

    fn end_wait(&self) {
        if self.asleep.load(SeqCst) {
            // Only a counter at its limit refuses, and then the wait has ended already.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}

impl Wake for Remote {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) {
            self.end_wait();
        }
    }
}

/// Another shard of a program, on a thread of its own. Awaiting it gives what its part of the program gave, or the panic that
/// ended it. Dropping it ends that part at its next await, soon and asynchronously.
pub struct ShardThread<T: 'static> {
    end: Mailbox<Result<T, Panicked>>,
    _owner: Sender<()>,
}

/// Runs what `part` makes on a thread of its own, as another shard of the calling one's program.
/// Fails if there is no thread for it, or no descriptor.
pub fn start<T: Send + 'static, F: Future<Output = T>>(
    name: String,
    look_for: Option<Duration>,
    part: impl FnOnce() -> F + Send + 'static,
) -> io::Result<ShardThread<T>> {
    let program = Shard::here().expect("a shard begins another").program.clone();
    let (owner, mut owned) = mailbox(1);
    let (ended, end) = mailbox(1);
    let (entered, mut entering) = mailbox(1);
    thread::Builder::new().name(name).spawn(move || {
        let here = match Here::enter(program) {
            Ok(here) => here,
            Err(error) => return drop(entered.try_send(Err(error))),
        };
        let _ = entered.try_send(Ok(()));
        let part = async {
            match select(pin!(part()), pin!(owned.next())).await {
                Either::Left((value, _)) => Some(value),
                Either::Right(_) => None,
            }
        };
        // What the panic passed is dropped: it is the end of this shard.
        match catch_unwind(AssertUnwindSafe(|| here.run(look_for, part))) {
            Ok(value) => drop(value.map(|value| ended.try_send(Ok(value)))),
            Err(panic) => drop(ended.try_send(Err(Panicked::new(&*panic)))),
        }
    })?;
    entering.next_blocking().unwrap_or_else(|| Err(io::Error::other("the thread ended at once")))?;
    Ok(ShardThread { end, _owner: owner })
}

impl<T> Future for ShardThread<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let end = ready!(self.end.poll_next(context));
        Poll::Ready(end.unwrap_or_else(|| Err(Panicked::new(&"its thread ended without a word"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::readiness::Registration;
    use crate::runtime::{
        clock::{sleep, within},
        task::{self, yield_now},
    };
    use futures::{FutureExt, channel::oneshot};
    use std::future::pending;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn another_thread_ends_the_wait() {
        let (sender, receiver) = oneshot::channel();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        assert_eq!(run(within(LIMIT, receiver)).unwrap(), Some(Ok(7)));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn another_thread_wakes_a_task_and_a_task_that_always_has_work_does_not_keep_it_out() {
        let (sender, receiver) = oneshot::channel();
        let ended = run(async {
            let _busy = task::spawn(async {
                loop {
                    yield_now().await;
                }
            });
            let waits = task::spawn(receiver);
            let thread = thread::spawn(move || sender.send(7));
            let end = within(LIMIT, waits).await;
            thread.join().unwrap().unwrap();
            end
        });
        assert!(matches!(ended.unwrap(), Some(Ok(Ok(7)))));
    }

    #[test]
    fn a_program_that_always_has_work_does_not_keep_events_out() {
        let (mut end, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let seen = run(async {
            let registration = Registration::new(&other, true).unwrap();
            std::io::Write::write_all(&mut end, b"x").unwrap();
            let mut readable = pin!(poll_fn(|context| registration.poll_readable(context)));
            let begin = Instant::now();
            while (&mut readable).now_or_never().is_none() {
                assert!(begin.elapsed() < Duration::from_secs(10));
                yield_now().await;
            }
        });
        seen.unwrap();
    }

    #[test]
    fn a_sleep_ends_in_time() {
        let begin = Instant::now();
        run(async { sleep(Duration::from_millis(20)).await }).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn tasks_whose_owner_goes_with_the_program_are_dropped_with_it() {
        let held = Rc::new(());
        run(async {
            let held = held.clone();
            let inner = task::spawn(async move { pending::<()>().await });
            let outer = task::spawn(async move {
                let _held = held;
                inner.await
            });
            yield_now().await;
            drop(outer);
        })
        .unwrap();
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn shards_of_a_program_share_and_each_owns_its_own() {
        let (other, own_count) = run(async {
            own::<Cell<u32>>().set(1);
            *shared::<Lock<u32>>().lock() = 2;
            let other = start("other".to_owned(), None, || async {
                (own::<Cell<u32>>().get(), *shared::<Lock<u32>>().lock())
            });
            (within(LIMIT, other.unwrap()).await, own::<Cell<u32>>().get())
        })
        .unwrap();
        assert!(matches!(other, Some(Ok((0, 2)))));
        assert_eq!(own_count, 1);
    }

    #[test]
    fn a_shard_ends_with_its_owner_and_a_panic_of_it_is_a_value() {
        let (dropped, told) = oneshot::channel::<()>();
        run(async {
            let shard = start("owned".to_owned(), None, || async move {
                let _dropped = dropped;
                pending::<()>().await;
            });
            drop(shard.unwrap());
            assert!(within(LIMIT, told).await.unwrap().is_err());
            let fails = start("fails".to_owned(), None, || async { panic!("on purpose") });
            let end: Option<Result<(), Panicked>> = within(LIMIT, fails.unwrap()).await;
            assert_eq!(end.unwrap().unwrap_err().to_string(), "internal fault: on purpose");
        })
        .unwrap();
    }
}
