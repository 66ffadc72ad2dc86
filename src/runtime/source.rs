//! What is known of one socket's readiness, and the task that waits for it. Lives as long as the socket is registered.

use crate::runtime::waker::WakerCell;
use rustix::event::epoll::EventFlags;
use std::{
    cell::Cell,
    io,
    task::{Context, Poll},
};

/// One task waits for a socket, for any of what may come.
#[derive(Default)]
pub struct Source {
    flags: Cell<u8>,
    /// The flags that the task waits for.
    awaited: Cell<u8>,
    task: WakerCell,
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 1 << 1;
/// The peer has ended its stream: a read gives bytes or the end, and never has to wait.
const HANGUP: u8 = 1 << 2;
/// The socket has an error pending: the peer reset it, or vanished.
const ABORTED: u8 = 1 << 3;
/// An urgent byte is about: a read may stop short of it with more behind it.
const URGENT: u8 = 1 << 4;

impl Source {
    /// A socket of which at most is known that it can be written to.
    pub(super) fn new(writable: bool) -> Self {
        let flags = Cell::new(if writable { WRITABLE } else { 0 });
        Source { flags, ..Source::default() }
    }

    /// Notes events of the kernel and wakes the task if it waits for one of them.
    pub(super) fn notify(&self, events: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let flags = [
            (EventFlags::IN | EventFlags::PRI | ended, READABLE),
            (EventFlags::OUT | EventFlags::HUP | EventFlags::ERR, WRITABLE),
            (ended, HANGUP),
            (EventFlags::ERR, ABORTED),
            (EventFlags::PRI, URGENT),
        ]
        .into_iter()
        .fold(0, |flags, (means, flag)| if events.intersects(means) { flags | flag } else { flags });
        self.flags.set(self.flags.get() | flags);
        let awaited = self.awaited.get();
        if flags & awaited != 0 {
            self.awaited.set(awaited & !flags);
            // What else it waits for may come before it looks again.
            self.task.wake_and_keep();
        }
    }

    fn poll(&self, flag: u8, context: &Context<'_>) -> Poll<()> {
        if self.flags.get() & flag != 0 {
            return Poll::Ready(());
        }
        self.awaited.set(self.awaited.get() | flag);
        self.task.register(context);
        Poll::Pending
    }

    /// Takes a flag down, and says which were up.
    fn take(&self, flag: u8) -> u8 {
        let flags = self.flags.get();
        self.flags.set(flags & !flag);
        flags
    }

    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(READABLE, context)
    }

    pub fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(WRITABLE, context)
    }

    pub fn poll_aborted(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(ABORTED, context)
    }

    /// Does a read whose result says whether it `drained` the socket: took less than it had room for.
    ///
    /// The flag is cleared before the read, so that an event during it is not lost.
    /// After `WouldBlock`, wait with [`Source::poll_readable`].
    pub fn read<T>(&self, read: impl FnOnce() -> io::Result<(T, bool)>) -> io::Result<T> {
        let flags = self.take(READABLE);
        let result = read();
        match &result {
            Ok((_, drained)) if *drained && flags & (HANGUP | URGENT) == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.take(URGENT);
            }
            _ => {
                self.flags.set(self.flags.get() | READABLE);
            }
        }
        result.map(|(value, _)| value)
    }

    /// Does a write whose result says whether it `filled` the socket: put in less than it had.
    /// After `WouldBlock`, wait with [`Source::poll_writable`].
    pub fn write<T>(&self, write: impl FnOnce() -> io::Result<(T, bool)>) -> io::Result<T> {
        let flags = self.take(WRITABLE);
        let result = write();
        let blocked = match &result {
            Ok((_, filled)) => *filled && flags & HANGUP == 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !blocked {
            self.flags.set(self.flags.get() | WRITABLE);
        }
        result.map(|(value, _)| value)
    }

    /// Whether it is not known that a write would have to wait.
    pub fn writable(&self) -> bool {
        self.flags.get() & WRITABLE != 0
    }

    /// Whether the peer is known to have reset the connection, or vanished.
    pub fn aborted(&self) -> bool {
        self.flags.get() & ABORTED != 0
    }

    /// Whether an urgent byte was announced since the socket was last found empty.
    pub fn urgent(&self) -> bool {
        self.flags.get() & URGENT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    /// How often a task was woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Whether a read need not wait.
    fn readable(source: &Source) -> bool {
        poll_fn(|context| source.poll_readable(context)).now_or_never().is_some()
    }

    fn writable(source: &Source) -> bool {
        poll_fn(|context| source.poll_writable(context)).now_or_never().is_some()
    }

    #[test]
    fn a_read_that_drained_the_socket_waits_unless_the_stream_may_go_on() {
        for (events, goes_on) in [
            (EventFlags::IN, false),
            // The end is behind what was read.
            (EventFlags::IN | EventFlags::RDHUP, true),
            // A read stops short of an urgent byte.
            (EventFlags::IN | EventFlags::PRI, true),
        ] {
            let source = Source::new(false);
            source.notify(events);
            assert!(readable(&source));
            source.read(|| Ok(((), true))).unwrap();
            assert_eq!(readable(&source), goes_on, "{events:?}");
        }
    }

    #[test]
    fn the_task_is_woken_by_what_it_waits_for_and_by_each_of_it() {
        let (source, wakes) = (Source::new(false), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        let context = Context::from_waker(&waker);
        let woken = |events| {
            source.notify(events);
            wakes.0.swap(0, Relaxed)
        };
        assert!(source.poll_writable(&context).is_pending() && source.poll_aborted(&context).is_pending());
        assert_eq!(woken(EventFlags::IN), 0);
        assert_eq!(woken(EventFlags::IN | EventFlags::OUT), 1);
        // It has not looked yet, and is woken once for each.
        assert_eq!(woken(EventFlags::OUT), 0);
        assert_eq!(woken(EventFlags::ERR), 1);
    }

    #[test]
    fn a_socket_that_was_found_empty_has_no_urgent_byte_and_waits() {
        let source = Source::new(false);
        source.notify(EventFlags::IN | EventFlags::PRI);
        assert!(source.urgent());
        source.read::<()>(|| Err(io::ErrorKind::WouldBlock.into())).unwrap_err();
        assert!(!source.urgent() && !readable(&source));
    }

    #[test]
    fn an_event_during_a_read_or_a_write_is_not_lost() {
        let source = Source::new(true);
        source.read(|| Ok((source.notify(EventFlags::IN), true))).unwrap();
        assert!(readable(&source));
        source.write(|| Ok((source.notify(EventFlags::OUT), true))).unwrap();
        assert!(writable(&source));
    }

    #[test]
    fn a_write_that_filled_the_socket_waits_and_any_other_does_not() {
        let source = Source::new(true);
        source.write(|| Ok(((), false))).unwrap();
        assert!(writable(&source));
        source.write(|| Ok(((), true))).unwrap();
        assert!(!writable(&source));
        source.notify(EventFlags::ERR);
        source.write::<()>(|| Err(io::ErrorKind::BrokenPipe.into())).unwrap_err();
        assert!(writable(&source) && readable(&source));
    }
}
